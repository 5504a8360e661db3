//! A job on its way through its model.

use rayon::prelude::*;
use surefoot_model::policy::{Generated, Generation, Request};
use surefoot_model::prefixes::Sequence;
use surefoot_model::prm::Iteration;
use surefoot_model::prompt::Prompt;
use surefoot_model::{Error, Result, Trace};

use crate::Model;

/// What is to be done.
pub enum Task {
    Score(Trace),
    /// A trace that is tokenised already.
    Prompt(Prompt),
    Generate {
        request: Request,
        /// Whether to tell of the text while it is being written.
        streams: bool,
    },
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Scored {
        /// One per step.
        scores: Vec<f32>,
        /// Of the prompt, whether they were computed or known.
        tokens: usize,
        /// Tokens that were cut from the trace's beginning.
        truncated: usize,
    },
    /// As many as were asked for.
    Generated(Vec<Generated>),
    /// The search that was to be driven is at its end.
    Solved,
}

pub(crate) enum Work {
    Score { prompt: Prompt, sequences: Vec<Sequence> },
    Generate(Vec<Generation>),
}

impl Work {
    pub(crate) fn new(model: &Model, task: &Task) -> Result<Self> {
        match task {
            Task::Score(trace) => {
                let prm = model.prm()?;
                let prompt = prm.encode(trace)?;
                let sequences = prm.sequences(&prompt);
                Ok(Self::Score { prompt, sequences })
            }
            Task::Prompt(prompt) => Ok(Self::Score {
                sequences: model.prm()?.sequences(prompt),
                prompt: prompt.clone(),
            }),
            Task::Generate { request, .. } => Ok(Self::Generate(model.policy()?.begin(request)?)),
        }
    }

    /// The numbers of the sequences that need something still.
    pub(crate) fn open(&self) -> Vec<usize> {
        match self {
            Self::Score { sequences, .. } => {
                let open = sequences.iter().enumerate().filter(|(_, one)| !one.is_done());
                open.map(|(index, _)| index).collect()
            }
            Self::Generate(texts) => {
                let open = texts.iter().enumerate().filter(|(_, text)| !text.is_done());
                open.map(|(index, _)| index).collect()
            }
        }
    }

    /// Plans a sequence's rows, about `most`. Returns how many tokens had to be looked at.
    pub(crate) fn plan(&mut self, sequence: usize, pass: &mut dyn Iteration, most: usize) -> Result<usize> {
        match self {
            Self::Score { sequences, .. } => {
                let sequence = &mut sequences[sequence];
                pass.plan(sequence, most)?;
                Ok(sequence.length())
            }
            // A token that follows is found at the end of what is there.
            Self::Generate(texts) => Ok(pass.plan(texts[sequence].sequence_mut(), most)?.max(1)),
        }
    }

    /// Takes what the pass has computed.
    pub(crate) fn collect(&mut self, pass: &mut dyn Iteration) {
        match self {
            Self::Score { sequences, .. } => sequences.iter_mut().for_each(|sequence| pass.collect(sequence)),
            Self::Generate(texts) => texts.iter_mut().for_each(|text| pass.collect(text.sequence_mut())),
        }
    }

    /// The next token of each text that has its logits.
    pub(crate) fn advance(&mut self, model: &Model) -> Result<()> {
        let Self::Generate(texts) = self else {
            return Ok(());
        };
        let policy = model.policy()?;
        let mut ready: Vec<_> = texts.iter_mut().filter(|text| text.has_logits()).collect();
        match ready.as_mut_slice() {
            [one] => policy.advance(one),
            all => all.par_iter_mut().try_for_each(|text| policy.advance(text)),
        }
    }

    /// What was written since the last call, by text.
    pub(crate) fn fresh(&mut self) -> Vec<(usize, String)> {
        let Self::Generate(texts) = self else {
            return vec![];
        };
        let fresh = texts.iter_mut().enumerate();
        let fresh = fresh.map(|(index, text)| (index, text.fresh().to_owned()));
        fresh.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Once all of it is done.
    pub(crate) fn outcome(&self, model: &Model) -> Option<Result<Outcome>> {
        match self {
            Self::Score { prompt, sequences } => {
                if !sequences.iter().all(Sequence::is_done) {
                    return None;
                }
                let scored = model.prm().and_then(|prm| prm.read(prompt, sequences));
                Some(scored.map(|scored| Outcome::Scored {
                    scores: scored.scores,
                    tokens: prompt.ids.len(),
                    truncated: prompt.truncated,
                }))
            }
            Self::Generate(texts) => {
                let done: Option<Vec<_>> = texts.iter().map(Generation::generated).collect();
                done.map(|texts| Ok(Outcome::Generated(texts)))
            }
        }
    }
}

pub(crate) fn internal(message: String) -> Error {
    Error::Internal { message }
}
