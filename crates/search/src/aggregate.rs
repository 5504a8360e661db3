//! Step scores → one number for the solution. src/aggregate.ts does the same; both are held against
//! fixtures/aggregates.json.

use serde::{Deserialize, Serialize};

/// Temperature of `softmin`, as PURE uses it (arXiv 2504.15275).
const SOFTMIN_TEMPERATURE: f64 = 0.1;

/// How the scores of a solution's steps become one number.
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

impl Aggregate {
    /// The scores of all steps as one number, computed in f64; `None` without a score.
    ///
    /// `Softmin` is PURE's min-form credit, Σ softmax(−r/T)ᵢ·rᵢ with T = 0.1 (arXiv 2504.15275). `Product` and `Min` suit
    /// probabilities, `Sum` suits rewards (arXiv 2506.00027 ranks beams by it).
    #[must_use]
    pub fn of(self, scores: &[f32]) -> Option<f64> {
        let last = f64::from(*scores.last()?);
        let numbers = || scores.iter().copied().map(f64::from);
        Some(match self {
            Self::Last => last,
            Self::Min => numbers().fold(last, f64::min),
            Self::Max => numbers().fold(last, f64::max),
            Self::Product => numbers().product(),
            Self::Sum => numbers().sum(),
            #[allow(clippy::cast_precision_loss)] // No solution has 2^53 steps.
            Self::Mean => numbers().sum::<f64>() / scores.len() as f64,
            Self::Softmin => {
                let lowest = numbers().fold(last, f64::min);
                let weight = |score: f64| ((lowest - score) / SOFTMIN_TEMPERATURE).exp();
                let total: f64 = numbers().map(weight).sum();
                numbers().map(|score| weight(score) / total * score).sum()
            }
        })
    }
}
