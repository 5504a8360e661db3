//! Logits → the next token. What is left out, and in which order, is what transformers 5 does: repetition penalty, bans,
//! temperature, top-k, top-p, min-p.

use std::cmp::Ordering;

use serde::Deserialize;
use surefoot_kernels::{self as kernels, Isa};

use crate::draws::Draws;
use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Divides the logits; 0: always the likeliest token, of equals the first.
    pub temperature: f32,
    /// Only the so many likeliest tokens, and those as likely as the last of them; 0: all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability.
    pub top_p: f32,
    /// Only tokens with at least this part of the likeliest one's probability.
    pub min_p: f32,
    /// Divides positive logits of tokens that occurred, multiplies negative ones (Keskar et al. 2019).
    pub repetition_penalty: f32,
    /// Tokens that are never taken.
    pub banned: Vec<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            banned: vec![],
        }
    }
}

impl Settings {
    pub fn check(&self, vocabulary: usize) -> Result<()> {
        let invalid = |argument: &str, message: String| {
            Err(Error::InvalidArgument {
                argument: argument.into(),
                message,
            })
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return invalid("temperature", format!("must be 0 or more, got {}", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return invalid("topP", format!("must be above 0 and at most 1, got {}", self.top_p));
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return invalid("minP", format!("must be from 0 to 1, got {}", self.min_p));
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return invalid(
                "repetitionPenalty",
                format!("must be above 0, got {}", self.repetition_penalty),
            );
        }
        match self.banned.iter().find(|id| **id as usize >= vocabulary) {
            Some(id) => invalid("bans", format!("token {id}, of {vocabulary} tokens")),
            None => Ok(()),
        }
    }

    /// Whether only the likeliest token can be taken, whatever is drawn.
    fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    fn leaves_out(&self) -> bool {
        self.top_k > 0 || self.top_p < 1.0 || self.min_p > 0.0
    }
}

/// Tokens that may be taken, with weights that are their probabilities but for one factor.
#[derive(Debug, Default)]
pub struct Choice {
    /// Ids; all tokens in order where empty.
    ids: Vec<u32>,
    weights: Vec<f32>,
}

impl Choice {
    /// The tokens and their probabilities, in the order in which they are drawn.
    pub fn probabilities(&self) -> Vec<(u32, f64)> {
        let total: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
        let weights = self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0);
        let id = |at: usize| self.ids.get(at).copied().unwrap_or(at as u32);
        weights
            .map(|(at, &weight)| (id(at), f64::from(weight) / total))
            .collect()
    }

    /// The token at `uniform`, from [0, 1), of the weights laid end to end; `None` where all weights are 0.
    fn at(&self, uniform: f64) -> Option<u32> {
        const BLOCK: usize = 256;
        let sum = |weights: &[f32]| weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
        let blocks: Vec<f64> = self.weights.chunks(BLOCK).map(sum).collect();
        let mut left = uniform * blocks.iter().sum::<f64>();
        let last = self.weights.iter().rposition(|&weight| weight > 0.0)?;
        let mut block = 0;
        while block + 1 < blocks.len() && left >= blocks[block] {
            left -= blocks[block];
            block += 1;
        }
        let mut at = last;
        for (index, &weight) in self.weights.iter().enumerate().skip(block * BLOCK) {
            if left < f64::from(weight) {
                at = index;
                break;
            }
            left -= f64::from(weight);
        }
        let at = at.min(last);
        Some(self.ids.get(at).copied().unwrap_or(at as u32))
    }
}

/// Takes tokens from logits. Its scratch is kept between calls.
#[derive(Debug, Default)]
pub struct Sampler {
    logits: Vec<f32>,
    choice: Choice,
}

impl Sampler {
    /// What may be taken. `seen`: tokens that occurred, each once.
    ///
    /// The logits are finite, or −∞ for tokens that cannot be.
    pub fn choose(&mut self, isa: Isa, logits: &[f32], settings: &Settings, seen: &[u32]) -> &Choice {
        self.prepare(logits, settings, seen);
        self.weigh(isa, settings);
        &self.choice
    }

    /// Penalty and bans.
    fn prepare(&mut self, logits: &[f32], settings: &Settings, seen: &[u32]) {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        if settings.repetition_penalty != 1.0 {
            for &id in seen {
                if let Some(logit) = self.logits.get_mut(id as usize) {
                    *logit = match *logit < 0.0 {
                        true => *logit * settings.repetition_penalty,
                        false => *logit / settings.repetition_penalty,
                    };
                }
            }
        }
        for &id in &settings.banned {
            self.ban(id);
        }
    }

    fn ban(&mut self, id: u32) {
        if let Some(logit) = self.logits.get_mut(id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }

    /// Weights of the tokens that temperature, top-k, top-p and min-p leave.
    fn weigh(&mut self, isa: Isa, settings: &Settings) {
        let Choice { ids, weights } = &mut self.choice;
        ids.clear();
        weights.clear();
        let most = largest(&self.logits);
        if most == f32::NEG_INFINITY {
            return;
        }
        if settings.is_greedy() {
            ids.extend(self.logits.iter().position(|&logit| logit == most).map(|at| at as u32));
            weights.push(1.0);
            return;
        }
        weights.resize(self.logits.len(), 0.0);
        // Finite, or the likeliest token's exponent would be 0 · ∞.
        let scale = settings.temperature.recip().min(f32::MAX);
        kernels::exponentials(isa, &self.logits, most, scale, weights);
        if settings.leaves_out() {
            self.leave_out(settings);
        }
    }

    /// Top-k, then top-p of what is left, then min-p; the ids come likeliest first.
    fn leave_out(&mut self, settings: &Settings) {
        let Choice { ids, weights } = &mut self.choice;
        let logits = &self.logits;
        let likelier = |a: &u32, b: &u32| {
            let order = logits[*b as usize].total_cmp(&logits[*a as usize]);
            if order == Ordering::Equal { a.cmp(b) } else { order }
        };
        let sum = |ids: &[u32]| ids.iter().map(|&id| f64::from(weights[id as usize])).sum::<f64>();
        ids.extend((0..logits.len() as u32).filter(|&id| weights[id as usize] > 0.0));
        let k = settings.top_k;
        if k > 0 && k < ids.len() {
            let (_, &mut last, _) = ids.select_nth_unstable_by(k - 1, likelier);
            let border = logits[last as usize];
            ids.retain(|&id| logits[id as usize] >= border);
        }
        let total = sum(ids);
        // All tokens below this weight together have less than 1 − p, so top-p leaves them out.
        let beneath = (1.0 - f64::from(settings.top_p)) * total / ids.len() as f64;
        let least = if settings.top_p < 1.0 { 0.0 } else { settings.min_p };
        ids.retain(|&id| {
            let weight = weights[id as usize];
            weight == 1.0 || (f64::from(weight) >= beneath && weight >= least)
        });
        ids.sort_unstable_by(likelier);
        let (mut kept, mut before) = (0, 0.0);
        for &id in ids.iter() {
            let weight = weights[id as usize];
            let enough = settings.top_p < 1.0 && before >= f64::from(settings.top_p) * total;
            if kept > 0 && (enough || weight < settings.min_p) {
                break;
            }
            before += f64::from(weight);
            kept += 1;
        }
        ids.truncate(kept);
        let kept = ids.iter().map(|&id| weights[id as usize]).collect();
        *weights = kept;
    }

    /// The next token: number `token` of its text. `refused` may send a candidate back; it is drawn again without it, so
    /// that the others keep their proportions. `None` where nothing is left.
    pub fn next(
        &mut self,
        isa: Isa,
        logits: &[f32],
        settings: &Settings,
        seen: &[u32],
        (draws, token): (&Draws, u32),
        mut refused: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        self.prepare(logits, settings, seen);
        for attempt in 0.. {
            self.weigh(isa, settings);
            let uniform = if settings.is_greedy() {
                0.0
            } else {
                draws.uniform(token, attempt)
            };
            let id = self.choice.at(uniform)?;
            if !refused(id) {
                return Some(id);
            }
            self.ban(id);
        }
        None
    }
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// ln of the probability of a token under finite logits as they are.
pub fn log_probability(isa: Isa, logits: &[f32], id: u32) -> f64 {
    let most = largest(logits);
    let mut weights = vec![0.0; logits.len()];
    kernels::exponentials(isa, logits, most, 1.0, &mut weights);
    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    f64::from(logits[id as usize]) - f64::from(most) - sum.ln()
}
