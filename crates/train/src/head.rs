//! What sits on the hidden states while they learn: one row or two for step scores, or the vocabulary.

use std::sync::Arc;

use rayon::prelude::*;
use surefoot_model::checkpoint::Checkpoint;
use surefoot_model::config::Config;
use surefoot_model::draws::{Draws, hash};
use surefoot_model::head::{self, HeadKind};

use crate::data::Target;
use crate::error::{Error, Result};
use crate::loss::{binary, next_token};
use crate::optimizer::{Group, Named};
use crate::products::Products;
use crate::settings::Settings;
use crate::weight::{Matrix, Parameter};

/// Rows whose logits over the vocabulary are in memory at a time.
const VOCABULARY_ROWS: usize = 256;
/// Standard deviation of the weights of a new head, transformers' `initializer_range`.
const SPREAD: f64 = 0.02;

pub enum Head {
    Scores(Scores),
    Vocabulary(Arc<Matrix>),
}

/// z = w · h + b, or the difference of two such rows, z₁ − z₀: the softmax's second is σ(z) either way.
pub struct Scores {
    /// 1 or 2 × hidden.
    pub weight: Arc<Parameter>,
    pub bias: Arc<Parameter>,
}

/// Of some rows.
#[derive(Debug, Default)]
pub struct Outcome {
    pub loss: f64,
    /// Logits of the probability that a step is right, and the labels.
    pub scored: Vec<(f64, f32)>,
}

impl Outcome {
    pub fn add(&mut self, more: Self) {
        self.loss += more.loss;
        self.scored.extend(more.scored);
    }
}

impl Scores {
    /// Goes on from the checkpoint's `linear2` head, or begins anew.
    pub fn load(checkpoint: &Checkpoint, config: &Config, rows: usize, seed: u64) -> Result<Self> {
        let hidden = config.hidden_size;
        let has_head = checkpoint.names().any(|name| {
            ["score.", "score_head.", "v_head."]
                .iter()
                .any(|head| name.starts_with(head))
        });
        let (mut weight, mut bias) = if has_head {
            let detected = head::detect(checkpoint, config)?;
            if detected.kind != HeadKind::Linear2 {
                return Err(Error::Model(surefoot_model::Error::ModelUnsupported {
                    path: checkpoint.path().to_owned(),
                    message: format!(
                        "the head {}; training goes on from linear2, or begins a new head on a language model",
                        detected.kind
                    ),
                }));
            }
            let bias = match checkpoint.shape("score.bias") {
                Some(_) => checkpoint.read("score.bias", &[2])?,
                None => vec![0.0; 2],
            };
            (checkpoint.read("score.weight", &[2, hidden])?, bias)
        } else {
            let draws = Draws::new(seed, hash(&[b"head"]), 0);
            (normal(&draws, rows * hidden, SPREAD), vec![0.0; rows])
        };
        if weight.len() == 2 * hidden && rows == 1 {
            let (wrong, right) = weight.split_at(hidden);
            weight = right.iter().zip(wrong).map(|(right, wrong)| right - wrong).collect();
            bias = vec![bias[1] - bias[0]];
        }
        Ok(Self {
            weight: Parameter::new(weight, &[rows, hidden], true),
            bias: Parameter::new(bias, &[rows], true),
        })
    }

    /// As a `linear2` head, whose softmax gives exactly σ(z): the first row is 0 where there is one row only.
    pub fn linear2(&self) -> (Vec<f32>, Vec<f32>) {
        let (weight, bias) = (self.weight.values(), self.bias.values());
        if bias.len() == 2 {
            return (weight.clone(), bias.clone());
        }
        let mut two = vec![0.0; weight.len()];
        two.extend(weight.iter());
        (two, vec![0.0, bias[0]])
    }
}

impl Head {
    pub fn parameters(&self) -> Vec<Named> {
        match self {
            Self::Scores(scores) => [("score.weight", &scores.weight), ("score.bias", &scores.bias)]
                .into_iter()
                .map(|(name, parameter)| Named {
                    name: name.into(),
                    parameter: parameter.clone(),
                    group: Group::Head,
                })
                .collect(),
            Self::Vocabulary(matrix) => matrix
                .learner()
                .map(|parameter| Named {
                    name: "lm_head.weight".into(),
                    parameter: parameter.clone(),
                    group: Group::Backbone,
                })
                .into_iter()
                .collect(),
        }
    }

    /// The loss of hidden states (rows × hidden) and, where they are to learn, its gradient by them; what the head
    /// learns is added to its parameters. `shares` say how much each row counts.
    pub fn loss(
        &self,
        products: &Products,
        settings: &Settings,
        hidden: &[f32],
        targets: &[Target],
        shares: &[f64],
        learns: bool,
    ) -> Result<(Outcome, Vec<f32>)> {
        if targets.is_empty() {
            return Ok((Outcome::default(), vec![]));
        }
        let columns = hidden.len() / targets.len();
        match self {
            Self::Scores(scores) => {
                let mut outcome = Outcome::default();
                let (weight, bias) = (scores.weight.values(), scores.bias.values());
                let rows = bias.len();
                // The sign with which each row of the head goes into z.
                let signs: &[f64] = if rows == 2 { &[-1.0, 1.0] } else { &[1.0] };
                let mut d_hidden = vec![0.0; if learns { hidden.len() } else { 0 }];
                let (mut d_weight, mut d_bias) = (vec![0f64; weight.len()], vec![0f64; rows]);
                for (row, (h, target)) in hidden.chunks_exact(columns).zip(targets).enumerate() {
                    let Target::Label(label) = *target else {
                        return Err(Error::invalid("examples", "a token is no label of a step"));
                    };
                    let z: f64 = weight
                        .chunks_exact(columns)
                        .zip(bias.iter())
                        .zip(signs)
                        .map(|((w, &b), sign)| {
                            let dot: f64 = w.iter().zip(h).map(|(&w, &h)| f64::from(w) * f64::from(h)).sum();
                            sign * (dot + f64::from(b))
                        })
                        .sum();
                    let (loss, dz) = binary(z, label.into(), settings.class_weights);
                    outcome.loss += shares[row] * loss;
                    outcome.scored.push((z, label));
                    if !learns {
                        continue;
                    }
                    let dh = &mut d_hidden[row * columns..(row + 1) * columns];
                    for (index, sign) in signs.iter().enumerate() {
                        let dz = shares[row] * dz * sign;
                        let at = index * columns..(index + 1) * columns;
                        crate::lanes::add(dh, &weight[at.clone()], dz as f32);
                        for (d, &h) in d_weight[at].iter_mut().zip(h) {
                            *d += dz * f64::from(h);
                        }
                        d_bias[index] += dz;
                    }
                }
                if learns {
                    scores.weight.add(d_weight.into_iter().map(|d| d as f32).collect());
                    scores.bias.add(d_bias.into_iter().map(|d| d as f32).collect());
                }
                Ok((outcome, d_hidden))
            }
            Self::Vocabulary(matrix) => {
                let mut loss = 0.0;
                let mut d_hidden = Vec::with_capacity(if learns { hidden.len() } else { 0 });
                let portions = hidden
                    .chunks(VOCABULARY_ROWS * columns)
                    .zip(targets.chunks(VOCABULARY_ROWS))
                    .zip(shares.chunks(VOCABULARY_ROWS));
                for ((hidden, targets), shares) in portions {
                    let mut logits = products.product(hidden, &matrix.packed().forward, None, None);
                    let each: Vec<f64> = logits
                        .par_chunks_mut(matrix.outputs)
                        .zip(targets)
                        .zip(shares)
                        .map(|((logits, target), &share)| match *target {
                            Target::Token(token) => Ok(share * next_token(logits, token, share)),
                            Target::Label(_) => Err(Error::invalid("examples", "a label is no token of a text")),
                        })
                        .collect::<Result<_>>()?;
                    loss += each.into_iter().sum::<f64>();
                    if learns {
                        d_hidden.extend(products.product(&logits, &matrix.packed().backward, None, None));
                        matrix.learn(products, &logits, hidden);
                    }
                }
                let scored = vec![];
                Ok((Outcome { loss, scored }, d_hidden))
            }
        }
    }
}

/// Normal numbers by Box and Muller.
pub fn normal(draws: &Draws, count: usize, spread: f64) -> Vec<f32> {
    let one = |index: usize| {
        let [a, b] = [0, 1].map(|attempt| draws.uniform(index as u32, attempt));
        let radius = (-2.0 * (1.0 - a).ln()).sqrt();
        (spread * radius * (std::f64::consts::TAU * b).cos()) as f32
    };
    (0..count).map(one).collect()
}
