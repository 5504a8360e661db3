//! What crosses between a search and its driver: requests out, continuations in.

use serde::{Deserialize, Serialize};

use crate::tree::NodeId;

/// How far a continuation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Until {
    Step,
    Answer,
}

/// Which of a continuation's new steps are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scoring {
    /// None: the PRM is not asked at all.
    None,
    /// The last of them. With a lookahead: the last of these steps too.
    Last,
    All,
}

/// What is written beyond a continuation, greedily, for its scores alone: the text is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lookahead {
    None,
    /// So many steps (Snell et al., arXiv 2408.03314).
    Steps(u32),
    /// To the end of the answer: a rollout.
    Answer,
}

/// What a request may use at most. The sum over all requests that are out fits the budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caps {
    /// Tokens that each continuation may have.
    pub policy_tokens: u32,
    /// Tokens that may be looked ahead after each continuation.
    pub ahead_tokens: u32,
    /// Tokens that the PRM may compute for the whole request; `None`: without limit. A continuation whose scores do not fit
    /// is told without scores.
    pub prm_tokens: Option<u64>,
    /// FLOPs of the whole request, what it takes to read the prompt included; `None`: without limit.
    pub flops: Option<f64>,
}

/// A node that is the beginning of another one's text: the first `steps` new steps of node `of`.
/// The driver keeps that text for the node as it does for those it tells: later requests go on from it without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stem {
    pub of: NodeId,
    pub steps: u32,
}

/// Continuations to write and to score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Counted from 0.
    pub id: u32,
    /// What is gone on with.
    pub node: NodeId,
    /// Where the node has no text yet: what its text is.
    pub stem: Option<Stem>,
    /// How many continuations.
    pub count: u32,
    pub until: Until,
    pub score: Scoring,
    pub lookahead: Lookahead,
    /// Whether each continuation is told with its log-probability.
    pub priors: bool,
    pub caps: Caps,
    /// Names the draws, with the index of the continuation: unlike that of any other request, and the same wherever the same
    /// node is gone on with for the same time.
    #[serde(with = "hex")]
    pub path: u64,
}

/// A continuation as it was written. What it does not have is left out in serde's formats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Child {
    /// Tokens that were sampled for it, those of its end included.
    pub policy_tokens: u32,
    /// Tokens that were sampled beyond it.
    pub ahead_tokens: u32,
    /// Tokens of prompt and prefix that the policy had to compute for it. They count as FLOPs only.
    pub prefill_tokens: u32,
    /// Tokens that the PRM had to compute for it.
    pub prm_tokens: u32,
    /// How many steps it adds. 0: the continuation is empty, which ends its path.
    pub steps: u32,
    /// Scores of its new steps: none, the last, or all, as was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<f32>,
    /// Scores of the steps that were looked ahead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<f32>,
    /// The value of the rollout by another judge, such as a verifier; without it the scores count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<f32>,
    /// Mean of its tokens' natural log-probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_prior: Option<f32>,
    /// Whether the answer ended with it.
    pub ended: bool,
    /// Whether a cap cut it.
    pub cut: bool,
    /// Whether its answer is right: asked of every continuation by the strategies that make labels, and by no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correct: Option<bool>,
    /// Hashes of the whole text up to the end of each new step, by which the strategies that make labels find a prefix again.
    /// Empty: each is unlike any other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<u64>,
    /// A hash of its text: continuations of a node with equal hashes are the same. `None`: unlike any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<u64>,
}

/// 64 bits do not fit a number of JavaScript: as a text of 16 digits.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{path:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
