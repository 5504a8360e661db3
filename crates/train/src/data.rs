//! What is learned from: token ids, and what is to be read at some of their positions.

use serde::{Deserialize, Serialize};
use surefoot_model::config::Config;
use surefoot_model::draws::hash;

use crate::error::{Error, Result};
use crate::settings::Objective;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Example {
    /// For people: an error names it.
    pub id: String,
    pub ids: Vec<u32>,
    pub targets: Targets,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Targets {
    /// The position where a step is read, and its label: the probability from 0 to 1 that the step is right. A step that
    /// is masked is left out. Positions ascend.
    Steps(Vec<(usize, f32)>),
    /// Each token from this position on is to be told from those before it; at least 1.
    TextFrom(usize),
}

/// What is wanted at one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    Label(f32),
    Token(u32),
}

impl Example {
    /// Positions, and what is wanted there.
    pub fn targets(&self) -> Vec<(usize, Target)> {
        match &self.targets {
            Targets::Steps(labels) => labels.iter().map(|&(at, label)| (at, Target::Label(label))).collect(),
            Targets::TextFrom(from) => {
                let positions = *from..self.ids.len();
                positions.map(|at| (at - 1, Target::Token(self.ids[at]))).collect()
            }
        }
    }

    /// Refuses what a model of this shape cannot learn from.
    pub fn check(&self, config: &Config, objective: Objective) -> Result<()> {
        let refuse = |message: String| Err(Error::invalid("examples", format!("{}: {message}", self.id)));
        let length = self.ids.len();
        if length > config.max_positions {
            return Err(Error::Model(surefoot_model::Error::ContextOverflow {
                tokens: length,
                limit: config.max_positions,
            }));
        }
        if let Some(id) = self.ids.iter().find(|&&id| id as usize >= config.vocab_size) {
            return refuse(format!("token {id} is beyond the vocabulary of {}", config.vocab_size));
        }
        match (&self.targets, objective) {
            (Targets::Steps(labels), Objective::Bce | Objective::CrossEntropy) => {
                if labels.is_empty() {
                    return refuse("no step has a label; leave it out".into());
                }
                if let Some((at, _)) = labels.iter().find(|(at, _)| *at >= length) {
                    return refuse(format!("a step is read at {at}, and there are {length} tokens"));
                }
                if labels.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
                    return refuse("the positions of the steps do not ascend".into());
                }
                match labels.iter().find(|(_, label)| !(0.0..=1.0).contains(label)) {
                    Some((_, label)) => refuse(format!("the label {label} is not from 0 to 1")),
                    None => Ok(()),
                }
            }
            (Targets::TextFrom(from), Objective::NextToken) if (1..length).contains(from) => Ok(()),
            (Targets::TextFrom(from), Objective::NextToken) => {
                refuse(format!("of {length} tokens none follows another from {from} on"))
            }
            _ => refuse("labels are for step scores, texts for policies".into()),
        }
    }
}

/// What tells one set of examples from another.
pub fn digest(examples: &[Example]) -> u64 {
    let each: Vec<[u8; 8]> = examples
        .iter()
        .map(|example| {
            let ids: Vec<u8> = example.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let targets: Vec<u8> = example
                .targets()
                .into_iter()
                .flat_map(|(at, target)| {
                    let (kind, bits) = match target {
                        Target::Label(label) => (0u32, label.to_bits()),
                        Target::Token(id) => (1, id),
                    };
                    [at as u32, kind, bits].map(u32::to_le_bytes).concat()
                })
                .collect();
            hash(&[example.id.as_bytes(), &ids, &targets]).to_le_bytes()
        })
        .collect();
    hash(&[each.as_flattened()])
}
