//! A profile says how one family of PRM checkpoints is prompted, tokenised and read. It is data: a new family is a
//! record here and a fixture. Sources: the model cards and loaders named at each record.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checkpoint::read_json;
use crate::error::{Error, Result};
use crate::head::HeadKind;

/// How one family of checkpoints is prompted, tokenised and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    pub head: HeadKind,
    /// What stands before the first step. Each segment is tokenised alone.
    pub prompt: Vec<Segment>,
    /// Follows every step; the step's score is read at its last token.
    pub separator: Separator,
    /// What stands after the last separator. It changes no score.
    pub suffix: Vec<Segment>,
    /// The system text for `{system}`, unless the trace brings its own.
    pub system: String,
    /// A solution given as one text is split into steps here.
    pub split: String,
    /// What becomes of a line break inside a step.
    pub line_break: LineBreak,
    pub activation: Activation,
    pub semantics: Semantics,
    /// A score below it marks a weak step.
    pub threshold: Option<f64>,
    /// Tokens, where the family was trained on fewer than its backbone allows.
    pub max_length: Option<usize>,
    pub aggregate: Aggregate,
}

/// A piece of the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Segment {
    /// A special token by name.
    Special(String),
    /// The tokenizer's BOS token: `optional` where it is left out when the tokenizer names none.
    Bos { optional: bool },
    /// Text with the placeholders `{problem}` and `{system}`.
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Separator {
    /// A special token by name.
    Special(String),
    /// All tokens of a text.
    Text(String),
    /// The last token of a text.
    LastTokenOf(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LineBreak {
    Keep,
    Blank,
}

/// From the head's outputs to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activation {
    /// The second of two outputs' softmax.
    Softmax,
    Sigmoid,
    Tanh,
    None,
}

/// What a score says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Semantics {
    /// The probability that the step is correct.
    Probability,
    /// The expected success of a solution that goes on from here.
    Value,
    /// Unbounded; only differences have a meaning.
    Reward,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Aggregate {
    Last,
    Min,
    Product,
    Mean,
    Max,
    Sum,
    Softmin,
}

/// What a caller may change of a detected profile: a checkpoint of a known family with another separator, say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileChoice {
    /// The profile to use instead of the detected one.
    pub name: Option<String>,
    /// The text between two steps, for profiles with a textual separator.
    pub separator: Option<String>,
    pub split: Option<String>,
    pub system: Option<String>,
    pub aggregate: Option<Aggregate>,
}

impl ProfileChoice {
    /// What the folder's surefoot.json chooses, if there is one.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("surefoot.json");
        if !path.is_file() {
            return Ok(Self::default());
        }
        serde_json::from_value(read_json(&path)?).map_err(|error| Error::ModelInvalid {
            path,
            message: error.to_string(),
        })
    }

    /// This choice, and `under` where it chooses nothing.
    #[must_use]
    pub fn over(&self, under: &Self) -> Self {
        let text = |over: &Option<String>, under: &Option<String>| over.clone().or_else(|| under.clone());
        Self {
            name: text(&self.name, &under.name),
            separator: text(&self.separator, &under.separator),
            split: text(&self.split, &under.split),
            system: text(&self.system, &under.system),
            aggregate: self.aggregate.or(under.aggregate),
        }
    }
}

impl Profile {
    /// Every profile there is.
    pub fn all() -> Vec<Self> {
        vec![qwen_prm(), trl(), skywork()]
    }

    /// The profile for a detected head, changed as the caller chose.
    pub fn choose(head: HeadKind, choice: &ProfileChoice) -> Result<Self> {
        let mut profile = match &choice.name {
            Some(name) => Self::named(name)?,
            None => Self::all()
                .into_iter()
                .find(|profile| profile.head == head)
                .ok_or_else(|| invalid("profile", format!("no profile reads the head {head}")))?,
        };
        if profile.head != head {
            let message = format!(
                "{:?} reads the head {}, the checkpoint has {head}",
                profile.name, profile.head
            );
            return Err(invalid("profile", message));
        }
        if let Some(separator) = &choice.separator {
            match &mut profile.separator {
                Separator::Text(text) | Separator::LastTokenOf(text) if !separator.is_empty() => {
                    text.clone_from(separator);
                }
                _ => {
                    return Err(invalid(
                        "separator",
                        format!("{separator:?} does not fit {:?}", profile.name),
                    ));
                }
            }
            profile.split.clone_from(separator);
        }
        if let Some(split) = &choice.split {
            if split.is_empty() {
                return Err(invalid("split", "must not be empty".into()));
            }
            profile.split.clone_from(split);
        }
        if let Some(system) = &choice.system {
            profile.system.clone_from(system);
        }
        profile.aggregate = choice.aggregate.unwrap_or(profile.aggregate);
        Ok(profile)
    }

    fn named(name: &str) -> Result<Self> {
        let all = Self::all();
        let names: Vec<_> = all.iter().map(|profile| profile.name.clone()).collect();
        all.into_iter()
            .find(|profile| profile.name == name)
            .ok_or_else(|| invalid("profile", format!("{name:?} is none of {}", names.join(", "))))
    }

    /// Whether the prompt has a place for a system text.
    pub fn takes_system(&self) -> bool {
        self.prompt
            .iter()
            .any(|segment| matches!(segment, Segment::Text(text) if text.contains("{system}")))
    }
}

fn invalid(argument: &str, message: String) -> Error {
    Error::InvalidArgument {
        argument: argument.into(),
        message,
    }
}

fn special(token: &str) -> Segment {
    Segment::Special(token.into())
}

fn text(text: &str) -> Segment {
    Segment::Text(text.into())
}

/// Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K: ChatML, `<extra_0>` after every step, labels by consensus of
/// rollouts and a judge. Source: the model card of Qwen/Qwen2.5-Math-PRM-7B.
fn qwen_prm() -> Profile {
    Profile {
        name: "qwen-prm".into(),
        head: HeadKind::Mlp2,
        prompt: vec![
            special("<|im_start|>"),
            text("system\n{system}"),
            special("<|im_end|>"),
            text("\n"),
            special("<|im_start|>"),
            text("user\n{problem}"),
            special("<|im_end|>"),
            text("\n"),
            special("<|im_start|>"),
            text("assistant\n"),
        ],
        separator: Separator::Special("<extra_0>".into()),
        suffix: vec![special("<|im_end|>"), text("\n")],
        system: r"Please reason step by step, and put your final answer within \boxed{}.".into(),
        split: "\n\n".into(),
        line_break: LineBreak::Keep,
        activation: Activation::Softmax,
        semantics: Semantics::Probability,
        threshold: Some(0.5),
        max_length: Some(4096),
        aggregate: Aggregate::Product,
    }
}

/// What TRL's PRMTrainer (until 1.13) makes: the bare problem, each step tokenised alone and followed by a line break.
/// How the labels were made is not known, so the aggregate is the careful one. Source: trl/experimental/prm.
fn trl() -> Profile {
    Profile {
        name: "trl".into(),
        head: HeadKind::Linear2,
        prompt: vec![Segment::Bos { optional: true }, text("{problem}")],
        separator: Separator::Text("\n".into()),
        suffix: vec![],
        system: String::new(),
        split: "\n".into(),
        line_break: LineBreak::Keep,
        activation: Activation::Softmax,
        semantics: Semantics::Probability,
        threshold: Some(0.5),
        max_length: None,
        aggregate: Aggregate::Min,
    }
}

/// Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B: lines, each followed by one line break token, under a value head.
/// A line break inside a step becomes a blank, so that each step has one flag. Source: SkyworkAI/skywork-o1-prm-inference.
fn skywork() -> Profile {
    Profile {
        name: "skywork".into(),
        head: HeadKind::Vhead,
        prompt: vec![Segment::Bos { optional: false }, text("{problem}\n")],
        separator: Separator::LastTokenOf("\n".into()),
        suffix: vec![],
        system: String::new(),
        split: "\n".into(),
        line_break: LineBreak::Blank,
        activation: Activation::Sigmoid,
        semantics: Semantics::Value,
        threshold: Some(0.5),
        max_length: Some(4096),
        aggregate: Aggregate::Last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_text_of_qwen_keeps_its_backslash() {
        let expected = b"Please reason step by step, and put your final answer within \\boxed{}.";
        assert_eq!(qwen_prm().system.as_bytes(), expected);
    }

    #[test]
    fn a_profile_survives_json() {
        for profile in Profile::all() {
            let json = serde_json::to_string(&profile).unwrap();
            assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), profile);
        }
    }

    #[test]
    fn a_choice_changes_what_it_names() {
        let choice = ProfileChoice {
            separator: Some("\n\n".into()),
            ..ProfileChoice::default()
        };
        let profile = Profile::choose(HeadKind::Linear2, &choice).unwrap();
        assert_eq!(profile.separator, Separator::Text("\n\n".into()));
        assert_eq!(profile.split, "\n\n");
    }

    #[test]
    fn a_choice_that_does_not_fit_is_refused() {
        let named = |name: &str| ProfileChoice {
            name: Some(name.into()),
            ..ProfileChoice::default()
        };
        let separator = ProfileChoice {
            separator: Some("\n".into()),
            ..ProfileChoice::default()
        };
        for (head, choice) in [
            (HeadKind::Mlp2, named("trl")),
            (HeadKind::Mlp2, named("nobody")),
            (HeadKind::Mlp2, separator),
            (HeadKind::Linear3, ProfileChoice::default()),
        ] {
            let error = Profile::choose(head, &choice).unwrap_err();
            assert_eq!(error.code(), "ERR_INVALID_ARGUMENT");
        }
    }
}
