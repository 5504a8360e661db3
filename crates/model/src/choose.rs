//! Which profile reads a checkpoint: what the caller names, else the hub's name, a telling key of config.json, or the
//! one family that has such a head. Where files alone cannot tell families apart, there is an error and never a guess.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checkpoint::{Source, read_json};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::profile::{BOOK, Profile, Separator};

/// What a caller chooses of a profile: `name`, and any of its fields instead of the profile's own. `separator` may be a
/// text, which then also splits solutions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileChoice(Fields);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Fields(Map<String, Value>);

impl std::hash::Hash for Fields {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Value::Object(self.0.clone()).to_string().hash(state);
    }
}

impl ProfileChoice {
    pub fn named(name: &str) -> Self {
        Self::default().with("name", name)
    }

    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.0.insert(field.into(), value.into());
        self
    }

    /// What surefoot.json chooses in the folder of the model (beside a GGUF file), and before it in that of an adapter;
    /// and the first such file.
    pub fn of_source(source: &Source) -> Result<(Self, Option<PathBuf>)> {
        let path = source.path.as_path();
        let own = if path.is_file() {
            path.parent().unwrap_or(path)
        } else {
            path
        };
        let (mut choice, mut first) = (Self::default(), None);
        for folder in source.adapter().into_iter().chain([own]) {
            let path = folder.join("surefoot.json");
            if !path.is_file() {
                continue;
            }
            let read = serde_json::from_value(read_json(&path)?).map_err(|error| Error::ModelInvalid {
                path: path.clone(),
                message: error.to_string(),
            })?;
            choice = choice.over(&read);
            first = first.or(Some(path));
        }
        Ok((choice, first))
    }

    /// This choice, and `under` where it chooses nothing.
    #[must_use]
    pub fn over(&self, under: &Self) -> Self {
        let mut fields = under.0.0.clone();
        fields.extend(self.0.0.iter().map(|(key, value)| (key.clone(), value.clone())));
        Self(Fields(fields))
    }

    fn name(&self) -> Result<Option<&str>> {
        match self.0.0.get("name") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => Ok(Some(name)),
            Some(other) => Err(invalid(format!("the name {other} is not a string"))),
        }
    }

    /// `profile` with the chosen fields.
    fn apply(&self, profile: &Profile) -> Result<Profile> {
        let mut fields = object(profile)?;
        for (key, value) in &self.0.0 {
            if value.is_null() && key != "split" && key != "threshold" && key != "maxLength" {
                continue;
            }
            match (key.as_str(), value) {
                ("name" | "head" | "hub" | "byDefault", _) => continue,
                ("separator", Value::String(text)) if text != "none" => {
                    let separator = match &profile.separator {
                        _ if text.is_empty() => None,
                        Separator::Text(_) => Some(Separator::Text(text.clone())),
                        Separator::LastTokenOf(_) => Some(Separator::LastTokenOf(text.clone())),
                        Separator::Joint(_) => Some(Separator::Joint(text.clone())),
                        Separator::None | Separator::Special(_) => None,
                    };
                    let Some(separator) = separator else {
                        let message = format!("{text:?} does not fit {:?}", profile.name);
                        return Err(argument("separator", message));
                    };
                    fields.insert(key.clone(), json(&separator)?);
                    if !self.0.0.contains_key("split") {
                        fields.insert("split".into(), value.clone());
                    }
                }
                _ => {
                    fields.insert(key.clone(), value.clone());
                }
            }
        }
        let profile: Profile =
            serde_json::from_value(Value::Object(fields)).map_err(|error| invalid(error.to_string()))?;
        if profile.split.as_deref() == Some("") {
            return Err(argument("split", "must not be empty".into()));
        }
        Ok(profile)
    }
}

/// A profile, and by which evidence it was taken.
#[derive(Debug)]
pub struct Chosen {
    pub profile: Profile,
    pub evidence: String,
}

/// The profile for a checkpoint with the head `head`, changed as the caller chose.
///
/// `hub_id` is `org/name` where it is known; `config_json` the whole config.json.
pub fn choose(
    head: HeadKind,
    config: &Config,
    config_json: &Value,
    hub_id: Option<&str>,
    choice: &ProfileChoice,
) -> Result<Chosen> {
    let (profile, evidence) = match choice.name()? {
        Some(name) => match Profile::named(name) {
            Some(profile) => (profile.clone(), format!("profile {name}: named")),
            None => (own(name, choice)?, format!("profile {name}: brought along")),
        },
        None => {
            let (profile, evidence) = recognise(head, config, config_json, hub_id)?;
            (profile.clone(), evidence)
        }
    };
    if profile.head != head {
        return Err(invalid(format!(
            "{:?} reads the head {}, the checkpoint has {head}",
            profile.name, profile.head
        )));
    }
    let mut evidence = evidence;
    if let Some(caveat) = &profile.caveat {
        evidence.push_str(&format!("; unverified: {caveat}"));
    }
    Ok(Chosen {
        profile: choice.apply(&profile)?,
        evidence,
    })
}

fn recognise(
    head: HeadKind,
    config: &Config,
    config_json: &Value,
    hub_id: Option<&str>,
) -> Result<(&'static Profile, String)> {
    let fitting: Vec<&Profile> = Profile::all().iter().filter(|profile| profile.head == head).collect();
    let by_hub = |id: &str| fitting.iter().find(|profile| matches_any(&profile.hub, id));
    if let Some((id, profile)) = hub_id.and_then(|id| Some((id, by_hub(id)?))) {
        return Ok((profile, format!("profile {}: the hub name {id}", profile.name)));
    }
    for profile in &fitting {
        if let Some(key) = profile
            .config_keys
            .iter()
            .find(|key| config_json.get(key.as_str()).is_some())
        {
            return Ok((profile, format!("profile {}: config.json has {key}", profile.name)));
        }
    }
    let claimed = |profile: &Profile| {
        profile.architectures.is_empty()
            || config.architectures.is_empty()
            || config
                .architectures
                .iter()
                .any(|name| matches_any(&profile.architectures, name))
    };
    let names: Vec<&str> = fitting.iter().map(|profile| profile.name.as_str()).collect();
    match fitting.iter().find(|profile| profile.by_default && claimed(profile)) {
        Some(profile) => {
            let others: Vec<&str> = names.into_iter().filter(|name| *name != profile.name).collect();
            let also = if others.is_empty() {
                String::new()
            } else {
                format!("; name it if this is {}", others.join(" or "))
            };
            let evidence = format!("profile {}: the usual one of the head {head}{also}", profile.name);
            Ok((profile, evidence))
        }
        None if names.is_empty() => Err(invalid(format!("no profile reads the head {head}"))),
        None => Err(invalid(format!(
            "the files of this checkpoint (head {head}) do not tell which family it is; name one of {}, \
             or keep it in a folder org/name as the hub has it",
            names.join(", ")
        ))),
    }
}

/// A whole profile of the caller's.
fn own(name: &str, choice: &ProfileChoice) -> Result<Profile> {
    let mut fields = choice.0.0.clone();
    fields.entry("source").or_insert_with(|| "the caller".into());
    fields.entry("split").or_insert(Value::Null);
    fields.entry("threshold").or_insert(Value::Null);
    serde_json::from_value(Value::Object(fields)).map_err(|error| {
        let names: Vec<_> = Profile::all().iter().map(|profile| profile.name.as_str()).collect();
        invalid(format!(
            "{name:?} is none of {}; as a profile of its own: {error}",
            names.join(", ")
        ))
    })
}

/// Refuses a checkpoint whose hub name is known not to be scored right.
pub fn refuse_known(path: &Path, hub_id: Option<&str>, choice: &ProfileChoice) -> Result<()> {
    let Some(id) = hub_id else { return Ok(()) };
    if choice.name()?.is_some() {
        return Ok(());
    }
    match BOOK.refused.iter().find(|refusal| matches_any(&refusal.hub, id)) {
        None => Ok(()),
        Some(refusal) => Err(Error::ModelUnsupported {
            path: path.to_owned(),
            message: format!("{id} is {}", refusal.why),
        }),
    }
}

/// `org/name` of a path: from the hub's cache (`models--org--name/snapshots/…`), or its last two folders.
pub fn hub_id(path: &Path) -> Option<String> {
    let parts: Vec<&str> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    let cached = parts
        .iter()
        .rev()
        .find_map(|part| part.strip_prefix("models--")?.split_once("--"));
    if let Some((org, name)) = cached {
        return Some(format!("{org}/{name}"));
    }
    match parts.as_slice() {
        [.., org, name, file] if file.ends_with(".gguf") => Some(format!("{org}/{name}")),
        [.., org, name] => Some(format!("{org}/{name}")),
        _ => None,
    }
}

/// Whether a path is that of the hub's cache, or names a repository that a profile or a refusal knows: any other two
/// folders are no hub name.
pub fn is_of_hub(path: &Path, id: &str) -> bool {
    let cached = path
        .components()
        .any(|part| part.as_os_str().to_string_lossy().starts_with("models--"));
    let known = BOOK.profiles.iter().map(|profile| &profile.hub);
    let refused = BOOK.refused.iter().map(|refusal| &refusal.hub);
    cached || known.chain(refused).any(|patterns| matches_any(patterns, id))
}

fn matches_any(patterns: &[String], text: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| matches(&pattern.to_lowercase(), &text.to_lowercase()))
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            ends.into_iter().any(|at| matches(rest, &tail[at..]))
        }),
    }
}

fn object(profile: &Profile) -> Result<Map<String, Value>> {
    match json(profile)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

fn json(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::Internal {
        message: error.to_string(),
    })
}

fn argument(argument: &str, message: String) -> Error {
    Error::InvalidArgument {
        argument: argument.into(),
        message,
    }
}

fn invalid(message: String) -> Error {
    argument("profile", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(architecture: &str) -> Config {
        let json = json!({
            "model_type": "qwen2", "vocab_size": 8, "hidden_size": 4, "intermediate_size": 4,
            "num_hidden_layers": 1, "num_attention_heads": 1, "architectures": [architecture]
        });
        Config::parse(&json, Path::new("config.json")).unwrap()
    }

    fn by(head: HeadKind, architecture: &str, json: Value, hub: Option<&str>) -> Result<String> {
        choose(head, &config(architecture), &json, hub, &ProfileChoice::default()).map(|chosen| chosen.profile.name)
    }

    #[test]
    fn the_evidence_is_asked_in_order() {
        let none = json!({});
        assert_eq!(by(HeadKind::Linear2, "X", none.clone(), None).unwrap(), "trl");
        assert_eq!(
            by(HeadKind::Linear2, "X", none.clone(), Some("jinachris/PURE-PRM-7B")).unwrap(),
            "pure"
        );
        assert_eq!(
            by(HeadKind::Linear3, "X", json!({ "score_dim": 3 }), None).unwrap(),
            "reasoneval-34b"
        );
        let seven = json!({ "score_dimension": 3 });
        assert_eq!(by(HeadKind::Linear3, "X", seven, None).unwrap(), "reasoneval-7b");
        assert_eq!(
            by(HeadKind::Linear1, "Qwen2ForSequenceClassification", none, None).unwrap(),
            "acemath"
        );
    }

    #[test]
    fn what_the_files_do_not_tell_is_an_error_that_lists_the_profiles() {
        for (head, architecture) in [
            (HeadKind::LmCandidates, "LlamaForCausalLM"),
            (HeadKind::Linear3, "X"),
            (HeadKind::Linear1, "Qwen2ForTokenClassification"),
        ] {
            let error = by(head, architecture, json!({}), Some("me/mine")).unwrap_err();
            assert_eq!(error.code(), "ERR_INVALID_ARGUMENT");
            let listed = Profile::all().iter().filter(|profile| profile.head == head);
            assert!(listed.clone().count() > 0);
            for profile in listed {
                assert!(error.to_string().contains(&profile.name), "{error}");
            }
        }
    }

    #[test]
    fn a_hub_name_of_another_head_decides_nothing() {
        let id = Some("peiyi9979/math-shepherd-mistral-7b-prm");
        assert_eq!(by(HeadKind::Linear2, "X", json!({}), id).unwrap(), "trl");
    }

    #[test]
    fn a_choice_changes_what_it_names() {
        let choose = |choice: &ProfileChoice| {
            choose(HeadKind::Linear2, &config("X"), &json!({}), None, choice).map(|chosen| chosen.profile)
        };
        let separated = choose(&ProfileChoice::default().with("separator", "\n\n")).unwrap();
        assert_eq!(separated.separator, Separator::Text("\n\n".into()));
        assert_eq!(separated.split.as_deref(), Some("\n\n"));
        let limited = choose(&ProfileChoice::named("pure").with("maxLength", 7).with("trim", true)).unwrap();
        assert_eq!(
            (limited.max_length, limited.trim, limited.name.as_str()),
            (Some(7), true, "pure")
        );
        let own = json!({
            "name": "mine", "head": "linear2", "activation": "softmax", "prompt": ["{problem}"],
            "step": ["{step}", { "mark": "separator" }, { "mark": "read" }], "separator": { "text": ";" }, "split": ";",
            "semantics": "probability", "labels": "humans", "aggregate": "min"
        });
        assert_eq!(choose(&serde_json::from_value(own).unwrap()).unwrap().name, "mine");
    }

    #[test]
    fn a_choice_that_does_not_fit_is_refused() {
        for (head, choice) in [
            (HeadKind::Mlp2, ProfileChoice::named("trl")),
            (HeadKind::Mlp2, ProfileChoice::named("nobody")),
            (HeadKind::Mlp2, ProfileChoice::default().with("separator", "\n")),
            (HeadKind::Linear2, ProfileChoice::default().with("separator", "")),
            (HeadKind::Linear2, ProfileChoice::default().with("split", "")),
            (HeadKind::Linear2, ProfileChoice::default().with("colour", "red")),
            (HeadKind::Linear2, ProfileChoice::default().with("activation", 3)),
            (HeadKind::Linear2, ProfileChoice::default().with("name", 3)),
        ] {
            let error = choose(head, &config("X"), &json!({}), None, &choice).unwrap_err();
            assert_eq!(error.code(), "ERR_INVALID_ARGUMENT", "{choice:?}");
        }
    }

    #[test]
    fn the_hub_name_is_read_from_the_path() {
        for (path, id) in [
            (
                "/c/hub/models--jinachris--PURE-PRM-7B/snapshots/0a1b",
                "jinachris/PURE-PRM-7B",
            ),
            ("models/GAIR/ReasonEval-7B", "GAIR/ReasonEval-7B"),
            ("/m/GAIR/ReasonEval-7B/x-Q8_0.gguf", "GAIR/ReasonEval-7B"),
        ] {
            assert_eq!(hub_id(Path::new(path)).as_deref(), Some(id));
        }
        assert_eq!(hub_id(Path::new("one")), None);
        assert!(is_of_hub(Path::new("models/GAIR/ReasonEval-7B"), "GAIR/ReasonEval-7B"));
        assert!(is_of_hub(Path::new("/c/models--me--mine/snapshots/0a"), "me/mine"));
        assert!(!is_of_hub(Path::new("home/models"), "home/models"));
    }

    #[test]
    fn known_checkpoints_that_cannot_be_scored_are_refused_by_name() {
        for id in [
            "PRIME-RL/EurusPRM-Stage1",
            "launch/ThinkPRM-14B",
            "GenPRM/GenPRM-7B",
            "infly/Universal-PRM-7B",
        ] {
            let error = refuse_known(Path::new("x"), Some(id), &ProfileChoice::default()).unwrap_err();
            assert_eq!(error.code(), "ERR_MODEL_UNSUPPORTED");
            assert!(error.to_string().contains(id), "{error}");
            assert!(refuse_known(Path::new("x"), Some(id), &ProfileChoice::named("trl")).is_ok());
        }
        assert!(
            refuse_known(
                Path::new("x"),
                Some("Qwen/Qwen2.5-Math-PRM-7B"),
                &ProfileChoice::default()
            )
            .is_ok()
        );
    }

    #[test]
    fn stars_stand_for_any_text() {
        assert!(matches("a/*-prm-*", "a/b-prm-7b"));
        assert!(matches("*", ""));
        assert!(!matches("a/*-rm", "a/b-rm-7b"));
    }
}
