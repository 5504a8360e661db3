//! What sits on the hidden states at the read positions: the kinds of heads, how a checkpoint shows which it has, and
//! the scores they give.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Epilogue, Linear, linear};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::profile::Activation;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// `score.0`, ReLU, `score.2` with two rows.
    Mlp2,
    /// `score.0`, ReLU, `score.2` with one row: an outcome model.
    Mlp1,
    /// `score` with two rows and a bias (TokenClassification).
    Linear2,
    /// `score` with one row (SequenceClassification).
    Linear1,
    /// `v_head.summary` with one row (TRL's value head).
    Vhead,
    /// `score_head` with three rows.
    Linear3,
    /// No head of its own: candidate tokens of the language model.
    LmCandidates,
    /// The log-ratio of two language models.
    Implicit,
    /// A language model that writes its verdict.
    Generative,
}

impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.write_str(name.as_str().unwrap_or_default())
    }
}

/// A head found in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    pub kind: HeadKind,
    /// The tensor and its shape that gave it away, for people.
    pub evidence: String,
    /// The head's tensors.
    pub tensors: BTreeSet<String>,
}

/// Finds the head by tensor names and shapes; `architectures` only rules out what those cannot tell apart.
pub fn detect(checkpoint: &Checkpoint, config: &Config) -> Result<Detected> {
    let unsupported = |message: String| Error::ModelUnsupported {
        path: checkpoint.folder().to_owned(),
        message,
    };
    let mut found = Vec::new();
    for (marker, tensors) in [
        (
            "score.2.weight",
            &["score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"][..],
        ),
        ("score.weight", &["score.weight", "score.bias"]),
        (
            "v_head.summary.weight",
            &["v_head.summary.weight", "v_head.summary.bias"],
        ),
        ("score_head.weight", &["score_head.weight", "score_head.bias"]),
    ] {
        let Some(shape) = checkpoint.shape(marker) else {
            continue;
        };
        let rows = shape.first().copied().unwrap_or(0);
        let kind = match (marker, rows) {
            ("score.2.weight", 2) => HeadKind::Mlp2,
            ("score.2.weight", 1) => HeadKind::Mlp1,
            ("score.weight", 2) => HeadKind::Linear2,
            ("score.weight", 1) => HeadKind::Linear1,
            ("v_head.summary.weight", 1) => HeadKind::Vhead,
            ("score_head.weight", 3) => HeadKind::Linear3,
            _ => {
                return Err(unsupported(format!(
                    "{marker} has shape {shape:?}, which no known kind of PRM head has"
                )));
            }
        };
        found.push(Detected {
            kind,
            evidence: format!("{marker} {shape:?}"),
            tensors: tensors.iter().map(|&name| name.to_owned()).collect(),
        });
    }
    if found.len() > 1 {
        let all: Vec<_> = found.iter().map(|head| head.evidence.as_str()).collect();
        return Err(unsupported(format!("more than one head: {}", all.join(", "))));
    }
    let Some(head) = found.pop() else {
        return Err(unsupported(
            "a language model without a score head; it is no PRM of a kind that is scored here (heads: mlp2, linear2, vhead)"
                .into(),
        ));
    };
    let sequence_model = config
        .architectures
        .iter()
        .any(|name| name.contains("SequenceClassification"));
    if head.kind == HeadKind::Linear2 && sequence_model {
        return Err(unsupported(
            "a sequence classifier: it judges whole texts, not steps".into(),
        ));
    }
    match head.kind {
        HeadKind::Mlp2 | HeadKind::Linear2 | HeadKind::Vhead => Ok(head),
        other => Err(unsupported(format!(
            "a head of kind {other} ({}), which is not scored yet; scored are mlp2, linear2 and vhead",
            head.evidence
        ))),
    }
}

/// The head's weights on a backend.
pub struct Head<B: Backend> {
    layers: Vec<Linear<B>>,
}

impl<B: Backend> Head<B> {
    pub fn load(backend: &B, checkpoint: &Checkpoint, config: &Config, kind: HeadKind) -> Result<Self> {
        let hidden = config.hidden_size;
        let names: &[(&str, usize)] = match kind {
            HeadKind::Mlp2 => &[("score.0", hidden), ("score.2", 2)],
            HeadKind::Linear2 => &[("score", 2)],
            HeadKind::Vhead => &[("v_head.summary", 1)],
            other => {
                return Err(Error::Internal {
                    message: format!("no weights are known for the head {other}"),
                });
            }
        };
        let layers = names
            .iter()
            .map(|&(name, outputs)| linear(backend, checkpoint, name, outputs, hidden, true));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
        })
    }

    /// Hidden states (rows × hidden) → the head's outputs, one row each.
    pub fn logits(&self, backend: &B, hidden: B::Tensor) -> Result<Vec<Vec<f32>>> {
        let mut x = hidden;
        for (index, layer) in self.layers.iter().enumerate() {
            let last = index + 1 == self.layers.len();
            x = backend.linear(&x, layer, if last { Epilogue::None } else { Epilogue::Relu })?;
        }
        backend.values(&x)
    }
}

impl Activation {
    /// One row of head outputs → the score. The number of outputs must fit: two for a softmax, else one.
    pub fn score(self, logits: &[f32]) -> Result<f32> {
        match (self, logits) {
            (Self::Softmax, [zero, one]) => Ok(sigmoid(one - zero)),
            (Self::Sigmoid, [value]) => Ok(sigmoid(*value)),
            (Self::Tanh, [value]) => Ok(value.tanh()),
            (Self::None, [value]) => Ok(*value),
            _ => Err(Error::Internal {
                message: format!("{} head outputs do not fit {self:?}", logits.len()),
            }),
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_softmax_of_two_is_exact_at_the_ends() {
        assert_eq!(Activation::Softmax.score(&[0.0, 0.0]).unwrap(), 0.5);
        assert_eq!(Activation::Softmax.score(&[-200.0, 200.0]).unwrap(), 1.0);
        assert!(Activation::Softmax.score(&[40.0, -40.0]).unwrap() > 0.0);
    }

    #[test]
    fn outputs_of_another_width_never_become_a_score() {
        for logits in [&[][..], &[1.0, 2.0, 3.0], &[0.0; 1000]] {
            assert!(Activation::Softmax.score(logits).is_err());
            assert!(Activation::Sigmoid.score(logits).is_err());
        }
        assert!(Activation::Sigmoid.score(&[1.0, 2.0]).is_err());
    }

    proptest! {
        #[test]
        fn the_softmax_of_two_agrees_with_its_definition(a in -30f32..30.0, b in -30f32..30.0) {
            let (ea, eb) = (f64::from(a).exp(), f64::from(b).exp());
            let expected = eb / (ea + eb);
            let score = f64::from(Activation::Softmax.score(&[a, b]).unwrap());
            prop_assert!((score - expected).abs() < 1e-6);
        }
    }
}
