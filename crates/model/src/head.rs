//! What sits on the hidden states at the read positions: the kinds of heads, how a checkpoint shows which it has, and
//! the scores they give.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Epilogue, Linear, linear};
use crate::checkpoint::{Checkpoint, Rows};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::profile::{Activation, Candidates};
use crate::tokenizer::Tokenizer;

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

/// The tensor that gives each kind of score head away, and all that it has.
pub(crate) const HEADS: [(&str, &[&str]); 4] = [
    (
        "score.2.weight",
        &["score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"],
    ),
    ("score.weight", &["score.weight", "score.bias"]),
    (
        "v_head.summary.weight",
        &["v_head.summary.weight", "v_head.summary.bias"],
    ),
    ("score_head.weight", &["score_head.weight", "score_head.bias"]),
];

/// Finds the head by tensor names and shapes; `architectures` only rules out what those cannot tell apart.
pub fn detect(checkpoint: &Checkpoint, config: &Config) -> Result<Detected> {
    let unsupported = |message: String| Error::ModelUnsupported {
        path: checkpoint.path().to_owned(),
        message,
    };
    let mut found = Vec::new();
    for (marker, tensors) in HEADS {
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
        return language_model(checkpoint, config);
    };
    let sequence_model = config
        .architectures
        .iter()
        .any(|name| name.contains("SequenceClassification"));
    if head.kind == HeadKind::Linear2 && sequence_model {
        return Err(unsupported(
            "a sequence classifier with two classes: it judges whole texts, not steps".into(),
        ));
    }
    Ok(head)
}

/// A checkpoint without a score head: its output layer may be read at candidate tokens.
fn language_model(checkpoint: &Checkpoint, config: &Config) -> Result<Detected> {
    let output = output_layer(config);
    match checkpoint.shape(output) {
        Some(shape) => Ok(Detected {
            kind: HeadKind::LmCandidates,
            evidence: format!("{output} {shape:?} and no score head"),
            tensors: BTreeSet::new(),
        }),
        None => Err(Error::ModelUnsupported {
            path: checkpoint.path().to_owned(),
            message: "neither a score head nor an output layer (lm_head.weight): there is nothing to score with".into(),
        }),
    }
}

pub(crate) fn output_layer(config: &Config) -> &'static str {
    if config.tied_embeddings {
        "model.embed_tokens.weight"
    } else {
        "lm_head.weight"
    }
}

/// The head's weights on a backend.
pub struct Head<B: Backend> {
    layers: Vec<Linear<B>>,
}

impl<B: Backend> Head<B> {
    /// `candidates` are those of the profile, which the tokenizer must know as one token each.
    pub fn load(
        backend: &B,
        checkpoint: &Checkpoint,
        config: &Config,
        kind: HeadKind,
        candidates: Option<&Candidates>,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        let names: &[(&str, usize)] = match kind {
            HeadKind::Mlp2 => &[("score.0", hidden), ("score.2", 2)],
            HeadKind::Mlp1 => &[("score.0", hidden), ("score.2", 1)],
            HeadKind::Linear2 => &[("score", 2)],
            HeadKind::Linear1 => &[("score", 1)],
            HeadKind::Vhead => &[("v_head.summary", 1)],
            HeadKind::Linear3 => &[("score_head", 3)],
            HeadKind::LmCandidates => return Self::candidates(backend, checkpoint, config, candidates, tokenizer),
            HeadKind::Implicit | HeadKind::Generative => {
                return Err(Error::Internal {
                    message: format!("no weights are known for the head {kind}"),
                });
            }
        };
        // Classifiers of whole sequences have no bias, and ReasonEval's config says whether it has one.
        let may_lack_bias = matches!(kind, HeadKind::Linear1 | HeadKind::Linear3);
        let layers = names.iter().map(|&(name, outputs)| {
            let bias = !may_lack_bias || checkpoint.shape(&format!("{name}.bias")).is_some();
            linear(backend, checkpoint, name, outputs, hidden, bias)
        });
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
        })
    }

    /// The whole output layer: one logit for each token.
    pub fn language_model(backend: &B, checkpoint: &Checkpoint, config: &Config) -> Result<Self> {
        let output = linear(
            backend,
            checkpoint,
            output_layer(config).trim_end_matches(".weight"),
            config.vocab_size,
            config.hidden_size,
            false,
        );
        Ok(Self { layers: vec![output?] })
    }

    /// The rows of the output layer that matter: [negative, positive], or the mean of all.
    fn candidates(
        backend: &B,
        checkpoint: &Checkpoint,
        config: &Config,
        candidates: Option<&Candidates>,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let (rows, hidden) = (config.vocab_size, config.hidden_size);
        let (output, shape) = (output_layer(config), [rows, hidden]);
        let values: Vec<f32> = match candidates {
            Some(Candidates::Pair { positive, negative }) => {
                let (positive, negative) = (one_token(tokenizer, positive)?, one_token(tokenizer, negative)?);
                if positive == negative {
                    return Err(Error::Tokenizer {
                        message: format!("both candidates are token {positive}"),
                    });
                }
                checkpoint.read_rows(output, &shape, &[negative as usize, positive as usize])?
            }
            Some(Candidates::Mean) => {
                let table = checkpoint.read(output, &shape)?;
                let mut sums = vec![0f64; hidden];
                for row in table.chunks_exact(hidden) {
                    sums.iter_mut()
                        .zip(row)
                        .for_each(|(sum, value)| *sum += f64::from(*value));
                }
                sums.into_iter().map(|sum| (sum / rows as f64) as f32).collect()
            }
            None => {
                return Err(Error::InvalidArgument {
                    argument: "profile".into(),
                    message: "the head lm-candidates needs candidates".into(),
                });
            }
        };
        let outputs = values.len() / hidden;
        Ok(Self {
            layers: vec![Linear {
                weight: backend.matrix(&Rows::of(values, outputs, hidden))?,
                bias: None,
            }],
        })
    }

    /// Hidden states (rows × hidden) → the head's outputs, one row each.
    pub fn logits(&self, backend: &B, hidden: B::Tensor) -> Result<Vec<Vec<f32>>> {
        let mut x = hidden;
        for (index, layer) in self.layers.iter().enumerate() {
            let last = index + 1 == self.layers.len();
            x = layer.forward(backend, &x, if last { Epilogue::None } else { Epilogue::Relu })?;
        }
        backend.values(&x)
    }
}

fn one_token(tokenizer: &Tokenizer, text: &str) -> Result<u32> {
    match tokenizer.encode(text)?.as_slice() {
        [id] => Ok(*id),
        ids => Err(Error::Tokenizer {
            message: format!(
                "the candidate {text:?} must be one token, and here it is {}: {ids:?}",
                ids.len()
            ),
        }),
    }
}

impl Activation {
    /// One row of head outputs → the score. The number of outputs must fit, or it is an error.
    pub fn score(self, logits: &[f32]) -> Result<f32> {
        match (self, logits) {
            (Self::Softmax, [zero, one]) => Ok(sigmoid(one - zero)),
            (Self::Difference, [zero, one]) => Ok(((one - zero) / 2.0).tanh()),
            (Self::Validity, [negative, neutral, positive]) => {
                let most = neutral.max(*positive);
                let right = most + ((neutral - most).exp() + (positive - most).exp()).ln();
                Ok(sigmoid(right - negative))
            }
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
            assert!(Activation::Difference.score(logits).is_err());
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
            let difference = f64::from(Activation::Difference.score(&[a, b]).unwrap());
            prop_assert!((difference - (eb - ea) / (ea + eb)).abs() < 1e-6);
        }

        #[test]
        fn validity_agrees_with_its_definition(a in -30f32..30.0, b in -30f32..30.0, c in -30f32..30.0) {
            let [ea, eb, ec] = [a, b, c].map(|x| f64::from(x).exp());
            let score = f64::from(Activation::Validity.score(&[a, b, c]).unwrap());
            prop_assert!((score - (eb + ec) / (ea + eb + ec)).abs() < 1e-6);
        }
    }
}
