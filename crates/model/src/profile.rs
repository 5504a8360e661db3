//! A profile says how one family of PRM checkpoints is prompted, tokenised and read. It is data: a new family is one
//! record of profiles.json and a fixture.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::head::HeadKind;

/// How one family of checkpoints is prompted, tokenised and read.
///
/// The tokens come from `chat` or else `prompt`, then the steps, then `suffix`; where a turn of `chat` holds the mark
/// `steps`, or there are turns per step, the steps stand inside the chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    /// Where the recipe is written down.
    pub source: String,
    /// What about the recipe is not certain.
    #[serde(default)]
    pub caveat: Option<String>,
    /// Hub ids of the family; `*` stands for any text.
    #[serde(default)]
    pub hub: Vec<String>,
    /// Keys that only this family's config.json has.
    #[serde(default)]
    pub config_keys: Vec<String>,
    /// Architectures that it may claim by default; empty: any.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// Whether it reads every checkpoint with its head that no other evidence names.
    #[serde(default)]
    pub by_default: bool,
    pub head: HeadKind,
    /// Of the head `lm-candidates`.
    #[serde(default)]
    pub candidates: Option<Candidates>,
    pub activation: Activation,
    #[serde(default)]
    pub chat: Option<Chat>,
    /// What stands before the first step, without a chat.
    #[serde(default)]
    pub prompt: Vec<Segment>,
    /// What stands for each step.
    #[serde(default)]
    pub step: Vec<Segment>,
    /// What stands between two steps.
    #[serde(default)]
    pub between: Vec<Segment>,
    /// What stands at the end.
    #[serde(default)]
    pub suffix: Vec<Segment>,
    pub separator: Separator,
    #[serde(default)]
    pub passes: Passes,
    /// What `{opening}` stands for in the first step.
    #[serde(default)]
    pub opening: String,
    /// Put before a step that does not begin with "Step" itself; `{index}` counts from 1.
    #[serde(default)]
    pub numbering: Option<String>,
    /// Whether blanks at the ends of a step are cut.
    #[serde(default)]
    pub trim: bool,
    /// What becomes of a line break inside a step.
    #[serde(default)]
    pub line_break: LineBreak,
    /// The system text for `{system}`, unless the trace brings its own.
    #[serde(default)]
    pub system: String,
    /// A solution given as one text is split into steps here; null: an outcome model, which reads it whole.
    pub split: Option<String>,
    pub semantics: Semantics,
    pub labels: Labels,
    /// A score below it marks a weak step.
    pub threshold: Option<f64>,
    /// Tokens, where the family was trained on fewer than its backbone allows.
    #[serde(default)]
    pub max_length: Option<usize>,
    pub aggregate: Aggregate,
}

/// A piece of the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segment {
    /// With the placeholders `{problem}`, `{system}`, `{step}`, `{index}` and `{opening}`. Neighbouring texts are
    /// tokenised together.
    Text(String),
    Special(Special),
    Mark(Mark),
}

/// A token of the vocabulary by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Special {
    pub token: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    pub mark: MarkKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MarkKind {
    /// The tokenizer's BOS token, which must be named.
    Bos,
    /// The same, left out where the tokenizer names none.
    OptionalBos,
    Eos,
    /// The texts before and after are tokenised apart.
    Cut,
    /// The profile's separator.
    Separator,
    /// All steps with what stands between them.
    Steps,
    /// A score is read at the last token so far.
    Read,
    /// At the token before the last so far.
    ReadPrevious,
    /// At the next token.
    ReadNext,
}

/// Turns of a conversation, rendered by the checkpoint's own chat template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chat {
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// Repeated for every step, after `turns`.
    #[serde(default)]
    pub per_step: Vec<Turn>,
    #[serde(default)]
    pub generation_prompt: bool,
    /// For checkpoints without a template: one of profiles.json by name, or a template.
    #[serde(default)]
    pub template: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    pub role: String,
    pub content: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Separator {
    None,
    /// A special token by name.
    Special(String),
    /// All tokens of a text, which is tokenised alone.
    Text(String),
    /// The last token of a text that is tokenised alone.
    LastTokenOf(String),
    /// A text that is tokenised together with its neighbours.
    Joint(String),
}

/// The tokens of the vocabulary that the language model's head is read at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Candidates {
    /// Two texts of one token each.
    Pair { positive: String, negative: String },
    /// The mean over the whole vocabulary.
    Mean,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Passes {
    #[default]
    One,
    /// Each step is scored by a sequence of its own that ends with it.
    PerPrefix,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LineBreak {
    #[default]
    Keep,
    Blank,
    /// Several in a row become one.
    Single,
}

/// From the head's outputs to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activation {
    /// The second of two outputs' softmax.
    Softmax,
    /// The second less the first of two outputs' softmax.
    Difference,
    /// The sum of the last two of three outputs' softmax (neutral and positive).
    Validity,
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
    /// No probability; only comparisons have a meaning.
    Reward,
}

/// How the labels of the training were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Labels {
    Humans,
    /// The share of rollouts from the step that end right.
    Rollouts,
    /// Several judges that agree.
    Consensus,
    /// Whole solutions that were compared.
    Preferences,
    Unknown,
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

/// Checkpoints that are recognised and not scored, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    pub(crate) hub: Vec<String>,
    pub(crate) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    pub(crate) profiles: Vec<Profile>,
    pub(crate) templates: std::collections::BTreeMap<String, String>,
    pub(crate) refused: Vec<Refusal>,
}

/// profiles.json.
#[allow(clippy::expect_used)]
pub(crate) static BOOK: LazyLock<Book> =
    LazyLock::new(|| serde_json::from_str(include_str!("profiles.json")).expect("profiles.json fits Book"));

impl Profile {
    /// Every profile there is.
    pub fn all() -> &'static [Self] {
        &BOOK.profiles
    }

    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|profile| profile.name == name)
    }

    /// Whether the prompt has a place for a system text.
    pub fn takes_system(&self) -> bool {
        let turns = self
            .chat
            .iter()
            .flat_map(|chat| chat.turns.iter().chain(&chat.per_step));
        let mut segments = self.prompt.iter().chain(turns.flat_map(|turn| &turn.content));
        segments.any(|segment| matches!(segment, Segment::Text(text) if text.contains("{system}")))
    }

    /// Whether it scores a whole solution and not its steps.
    pub fn reads_outcomes(&self) -> bool {
        self.split.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_text_of_qwen_keeps_its_backslash() {
        let expected = b"Please reason step by step, and put your final answer within \\boxed{}.";
        assert_eq!(Profile::named("qwen-prm").unwrap().system.as_bytes(), expected);
    }

    #[test]
    fn a_profile_survives_json() {
        for profile in Profile::all() {
            let json = serde_json::to_string(profile).unwrap();
            assert_eq!(&serde_json::from_str::<Profile>(&json).unwrap(), profile);
        }
    }

    #[test]
    fn each_head_has_one_default_at_most() {
        for profile in Profile::all().iter().filter(|profile| profile.by_default) {
            let others = Profile::all()
                .iter()
                .filter(|other| other.by_default && other.head == profile.head);
            assert_eq!(others.count(), 1, "{}", profile.name);
        }
    }
}
