//! How training goes. Numbers that make no sense are refused by name.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    pub objective: Objective,
    pub method: Method,
    /// Passes over the examples.
    pub epochs: u64,
    /// The most updates, where epochs alone are not to say when it ends.
    pub updates: Option<u64>,
    /// How many examples make one update.
    pub batch: Batch,
    /// The most tokens in memory at a time: a larger batch is passed in portions whose gradients are added up. A longer
    /// example is a portion of its own.
    pub rows: usize,
    /// Of the backbone, or of its LoRA matrices.
    pub learning_rate: f64,
    pub head_learning_rate: f64,
    pub schedule: Schedule,
    /// The share of all updates in which the learning rate rises from 0; 0 to 1.
    pub warmup: f64,
    /// Of matrices; norms and biases do not decay.
    pub weight_decay: f64,
    pub betas: [f64; 2],
    pub epsilon: f64,
    /// The largest norm of all gradients together; without it they are taken as they are.
    pub clip: Option<f64>,
    pub mean: Mean,
    /// How much a step that is wrong counts, and one that is right; a soft label takes its share of both.
    pub class_weights: [f64; 2],
    /// Computes each layer again on the way back instead of keeping what it computed: less memory, a third more time.
    pub recompute: bool,
    pub seed: u64,
    /// Evaluations in a row without a better one after which training stops.
    pub patience: Option<u64>,
    pub best_by: BestBy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            objective: Objective::Bce,
            method: Method::Full,
            epochs: 1,
            updates: None,
            batch: Batch::Examples(64),
            rows: 4096,
            learning_rate: 1e-5,
            head_learning_rate: 1e-4,
            schedule: Schedule::Cosine,
            warmup: 0.03,
            weight_decay: 0.0,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            clip: Some(1.0),
            mean: Mean::Steps,
            class_weights: [1.0, 1.0],
            recompute: false,
            seed: 0,
            patience: None,
            best_by: BestBy::Auc,
        }
    }
}

/// What is to become small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Objective {
    /// Binary cross entropy of σ(w · h + b) at the read positions (arXiv 2506.00027): the head is one row.
    Bce,
    /// Cross entropy of the two rows of a `linear2` head, as TRL's PRMTrainer has it.
    CrossEntropy,
    /// Cross entropy of the next token: a policy.
    NextToken,
}

/// What learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", deny_unknown_fields)]
pub enum Method {
    /// The head alone: the hidden states are computed once.
    Head,
    /// Low-rank updates of linear layers (arXiv 2106.09685), and the head.
    Lora {
        rank: usize,
        alpha: f64,
        /// Names of the layers, as `q_proj`; without them all seven.
        #[serde(default)]
        targets: Vec<String>,
    },
    /// All weights.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Batch {
    Examples(usize),
    /// As many examples as have so many tokens together, at least one.
    Tokens(usize),
}

/// How the learning rate goes after the warm-up, as in transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Schedule {
    Constant,
    /// To 0, along a line.
    Linear,
    /// To 0, along half a cosine.
    Cosine,
}

/// What the loss of a batch is the mean of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mean {
    /// All labelled steps (or tokens), each as much as its class weighs: TRL's way.
    Steps,
    /// The means of the examples: a long solution counts as much as a short one.
    Examples,
}

/// By which number of the held-out examples one evaluation is better than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BestBy {
    Loss,
    /// The loss where there is no AUC.
    Auc,
}

/// The linear layers that LoRA can update.
pub const TARGETS: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

impl Settings {
    pub fn check(&self) -> Result<()> {
        let refuse = |argument: &str, message: String| Err(Error::invalid(argument, message));
        let at_least_0 = |x: f64| x >= 0.0 && x.is_finite();
        for (name, value) in [
            ("learningRate", self.learning_rate),
            ("headLearningRate", self.head_learning_rate),
            ("weightDecay", self.weight_decay),
        ] {
            if !at_least_0(value) {
                return refuse(name, format!("{value} is not a finite number from 0"));
            }
        }
        if self.betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            return refuse("betas", format!("{:?} are not from 0 to below 1", self.betas));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return refuse("epsilon", format!("{} is not above 0", self.epsilon));
        }
        if !(0.0..=1.0).contains(&self.warmup) {
            return refuse("warmup", format!("{} is not a share from 0 to 1", self.warmup));
        }
        if let Some(clip) = self.clip.filter(|clip| !(*clip > 0.0 && clip.is_finite())) {
            return refuse("clip", format!("{clip} is not above 0"));
        }
        let weights = self.class_weights;
        if !weights.iter().all(|&weight| at_least_0(weight)) || weights == [0.0, 0.0] {
            return refuse(
                "classWeights",
                format!("{weights:?} are not two numbers from 0, one above"),
            );
        }
        for (name, value) in [
            ("epochs", self.epochs),
            ("updates", self.updates.unwrap_or(1)),
            ("rows", self.rows as u64),
            ("patience", self.patience.unwrap_or(1)),
            (
                "batch",
                match self.batch {
                    Batch::Examples(count) | Batch::Tokens(count) => count as u64,
                },
            ),
        ] {
            if value == 0 {
                return refuse(name, "must be at least 1".into());
            }
        }
        match &self.method {
            Method::Lora { rank: 0, .. } => refuse("rank", "must be at least 1".into()),
            Method::Lora { alpha, .. } if !(alpha.is_finite() && *alpha != 0.0) => {
                refuse("alpha", format!("{alpha} is not a number other than 0"))
            }
            Method::Lora { targets, .. } => match targets.iter().find(|name| !TARGETS.contains(&name.as_str())) {
                Some(name) => refuse("targets", format!("{name:?} is none of {}", TARGETS.join(", "))),
                None => Ok(()),
            },
            Method::Head if self.objective == Objective::NextToken => refuse(
                "method",
                "a policy has no head of its own; train it whole or by LoRA".into(),
            ),
            _ => Ok(()),
        }
    }
}
