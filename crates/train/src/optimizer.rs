//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) in the order of operations of torch, the schedule of transformers, and
//! clipping by the norm of all gradients.

use std::f64::consts::PI;
use std::sync::Arc;

use rayon::prelude::*;

use crate::settings::{Schedule, Settings};
use crate::weight::Parameter;

/// Numbers of a task; also those whose squares are added up one after the other.
const CHUNK: usize = 1 << 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Backbone,
    Head,
}

/// A parameter that learns, under the name that its tensor has in files.
#[derive(Clone)]
pub struct Named {
    pub name: String,
    pub parameter: Arc<Parameter>,
    pub group: Group,
}

/// The running means of gradients and of their squares, parameter by parameter.
pub struct AdamW {
    pub moments: Vec<[Vec<f32>; 2]>,
}

impl AdamW {
    pub fn new(parameters: &[Named]) -> Self {
        let moments = parameters.iter().map(|named| {
            let length = named.parameter.values().len();
            [vec![0.0; length], vec![0.0; length]]
        });
        Self {
            moments: moments.collect(),
        }
    }

    /// Moves the parameters along their gradients times `scale`, and forgets those. `update` counts from 0; `factor` is
    /// what the schedule makes of the learning rates.
    pub fn step(&mut self, settings: &Settings, parameters: &[Named], update: u64, factor: f64, scale: f32) {
        let [beta1, beta2] = settings.betas;
        let corrections = [beta1, beta2].map(|beta| 1.0 - beta.powf(update as f64 + 1.0));
        let root = corrections[1].sqrt() as f32;
        for (named, [first, second]) in parameters.iter().zip(&mut self.moments) {
            let rate = factor
                * match named.group {
                    Group::Backbone => settings.learning_rate,
                    Group::Head => settings.head_learning_rate,
                };
            let decays = named.parameter.shape.len() > 1;
            let decay = if decays { settings.weight_decay } else { 0.0 };
            let (keep, size) = ((1.0 - rate * decay) as f32, (rate / corrections[0]) as f32);
            let (beta2, epsilon) = (beta2 as f32, settings.epsilon as f32);
            let (toward1, toward2) = ((1.0 - beta1) as f32, (1.0 - settings.betas[1]) as f32);
            let mut gradient = named.parameter.gradient();
            let mut values = named.parameter.values_mut();
            gradient.resize(values.len(), 0.0);
            let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
            let numbers = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
            numbers.zip(moments).for_each(|((values, gradient), (first, second))| {
                for i in 0..values.len() {
                    let gradient = gradient[i] * scale;
                    first[i] += toward1 * (gradient - first[i]);
                    second[i] = second[i] * beta2 + toward2 * gradient * gradient;
                    let denominator = second[i].sqrt() / root + epsilon;
                    values[i] = values[i] * keep - size * (first[i] / denominator);
                }
            });
            gradient.clear();
        }
    }
}

/// The norm of all gradients together.
pub fn norm(parameters: &[Named]) -> f64 {
    let squares = parameters.iter().map(|named| {
        let gradient = named.parameter.gradient();
        let parts: Vec<f64> = gradient
            .par_chunks(CHUNK)
            .map(|part| part.iter().map(|&x| f64::from(x) * f64::from(x)).sum())
            .collect();
        parts.into_iter().sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}

/// What gradients are multiplied with so that their norm is at most `clip`, as torch does it.
pub fn clipping(norm: f64, clip: Option<f64>) -> f64 {
    clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0))
}

/// The share of the learning rate at an update, from 0, of `updates`. The first update of a warm-up has rate 0.
pub fn factor(settings: &Settings, update: u64, updates: u64) -> f64 {
    let warmup = (settings.warmup * updates as f64).ceil();
    let (at, all) = (update as f64, updates as f64);
    if at < warmup {
        return at / warmup.max(1.0);
    }
    let progress = (at - warmup) / (all - warmup).max(1.0);
    match settings.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => (1.0 - progress).max(0.0),
        Schedule::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
    }
}
