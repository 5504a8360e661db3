//! What is to become small, and how good scores are.

use crate::data::Target;
use crate::settings::{Mean, Settings};

/// How much each target of a batch adds to the loss, so that together they are a mean: examples × targets.
///
/// A class weight is not in it: [`binary`] has it.
pub fn shares(settings: &Settings, examples: &[Vec<Target>]) -> Vec<Vec<f64>> {
    let [wrong, right] = settings.class_weights;
    let weight = |targets: &[Target]| -> f64 {
        let each = targets.iter().map(|target| match *target {
            Target::Label(label) => right * f64::from(label) + wrong * (1.0 - f64::from(label)),
            Target::Token(_) => 1.0,
        });
        each.sum()
    };
    let part = |weight: f64| if weight > 0.0 { 1.0 / weight } else { 0.0 };
    let all = part(examples.iter().map(|targets| weight(targets)).sum());
    let weighing = examples.iter().filter(|targets| weight(targets) > 0.0).count();
    let shares = examples.iter().map(|targets| {
        let share = match settings.mean {
            Mean::Steps => all,
            Mean::Examples => part(weight(targets)) / weighing as f64,
        };
        vec![share; targets.len()]
    });
    shares.collect()
}

/// Binary cross entropy of σ(z) against a label from 0 to 1, and its derivative by z. Exact far from 0: nothing is
/// exponentiated that could overflow.
pub fn binary(z: f64, label: f64, [wrong, right]: [f64; 2]) -> (f64, f64) {
    // ln(1 + e^−z)
    let softplus = |z: f64| (-z.abs()).exp().ln_1p() + z.max(0.0);
    let p = if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        z.exp() / (1.0 + z.exp())
    };
    let (right, wrong) = (right * label, wrong * (1.0 - label));
    (
        right * softplus(-z) + wrong * softplus(z),
        wrong * p - right * (1.0 - p),
    )
}

/// Cross entropy of the softmax of `logits` against a token; in their place comes its derivative, times `share`.
pub fn next_token(logits: &mut [f32], token: u32, share: f64) -> f64 {
    let most = crate::lanes::largest(logits);
    let target = f64::from(logits[token as usize]);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - most).exp();
        sum += f64::from(*logit);
    }
    let scale = (share / sum) as f32;
    logits.iter_mut().for_each(|logit| *logit *= scale);
    logits[token as usize] -= share as f32;
    sum.ln() + f64::from(most) - target
}

/// The area under the ROC curve of scores against labels, of which those from 0.5 on are right: the share of pairs of a
/// right and a wrong step in which the right one is scored higher, equal scores counting half. None without both.
pub fn auc(scored: &[(f64, f32)]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = scored.iter().map(|&(score, label)| (score, label >= 0.5)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wrong, mut right, mut pairs) = (0.0, 0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let here = equal.iter().filter(|(_, right)| *right).count() as f64;
        let wrong_here = equal.len() as f64 - here;
        pairs += here * (wrong + wrong_here / 2.0);
        wrong += wrong_here;
        right += here;
    }
    (wrong > 0.0 && right > 0.0).then(|| pairs / (wrong * right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logit(p: f64) -> f64 {
        (p / (1.0 - p)).ln()
    }

    /// algorithms.md 3.7: −(ln .9 + ln .8 + ln .7) / 3.
    #[test]
    fn binary_cross_entropy_gives_the_golden_mean() {
        let all = [(0.9, 1.0), (0.8, 1.0), (0.3, 0.0)];
        let sum: f64 = all.iter().map(|&(p, y)| binary(logit(p), y, [1.0, 1.0]).0).sum();
        assert!((sum / 3.0 - 0.228_393).abs() < 1e-6);
    }

    #[test]
    fn derivatives_agree_with_differences_and_ends_are_finite() {
        for (z, label, weights) in [(0.3, 1.0, [1.0, 1.0]), (-2.0, 0.25, [3.0, 0.5]), (5.0, 0.0, [1.0, 2.0])] {
            let step = 1e-6;
            let [low, high] = [-step, step].map(|by| binary(z + by, label, weights).0);
            assert!(((high - low) / (2.0 * step) - binary(z, label, weights).1).abs() < 1e-8);
        }
        assert_eq!(binary(1000.0, 0.0, [1.0, 1.0]), (1000.0, 1.0));
        assert_eq!(binary(-1000.0, 1.0, [1.0, 1.0]), (1000.0, -1.0));
        assert_eq!(binary(1000.0, 1.0, [1.0, 1.0]), (0.0, 0.0));
    }

    #[test]
    fn next_token_is_the_log_of_the_softmax() {
        let mut logits = [1.0f32, 2.0, 3.0];
        let loss = next_token(&mut logits, 1, 1.0);
        assert!((loss - 1.407_605_964_444_38).abs() < 1e-6);
        for (ours, theirs) in logits.iter().zip([0.090_030_57, 0.244_728_47 - 1.0, 0.665_240_96]) {
            assert!((ours - theirs).abs() < 1e-6);
        }
    }

    #[test]
    fn auc_counts_pairs_and_ties() {
        assert_eq!(auc(&[(0.1, 0.0), (0.9, 1.0)]), Some(1.0));
        assert_eq!(auc(&[(0.5, 0.0), (0.5, 1.0)]), Some(0.5));
        assert_eq!(auc(&[(0.2, 1.0), (0.1, 0.0), (0.2, 0.0), (0.3, 0.0)]), Some(0.5));
        assert_eq!(auc(&[(0.2, 1.0)]), None);
    }

    #[test]
    fn shares_make_either_mean() {
        let label = Target::Label;
        let examples = [vec![label(1.0), label(0.0), label(1.0)], vec![label(0.0)]];
        let mut settings = Settings::default();
        assert_eq!(shares(&settings, &examples), [vec![0.25; 3], vec![0.25]]);
        settings.mean = Mean::Examples;
        assert_eq!(shares(&settings, &examples), [vec![0.5 / 3.0; 3], vec![0.5]]);
        settings.class_weights = [2.0, 1.0];
        assert_eq!(shares(&settings, &examples), [vec![0.125; 3], vec![0.25]]);
    }
}
