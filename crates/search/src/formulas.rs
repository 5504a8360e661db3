//! The arithmetic of the strategies, each formula with its source.

/// What UCT explores by: Q + c·√(ln N / n) (Kocsis and Szepesvári 2006; arXiv 2506.00027, section "MCTS").
///
/// With the visits that are in flight added to N and n, Q untouched, it is WU-UCT (Liu et al., arXiv 1810.11755).
#[must_use]
pub fn uct(q: f64, c: f64, parent_visits: f64, visits: f64) -> f64 {
    q + c * (parent_visits.max(1.0).ln() / visits.max(1.0)).sqrt()
}

/// AlphaZero's PUCT, as OpenR and mctx have it:
/// Q + P·(ln((N + base + 1) / base) + init)·√N / (n + 1) (Silver et al. 2018; arXiv 1911.08265, appendix B).
#[must_use]
pub fn puct(q: f64, prior: f64, base: f64, init: f64, parent_visits: f64, visits: f64) -> f64 {
    q + prior * (((parent_visits + base + 1.0) / base).ln() + init) * parent_visits.sqrt() / (visits + 1.0)
}

/// A mean value under virtual loss: each of `in_flight` visits counts as `count` that brought −`loss`
/// (Chaslot et al. 2008).
#[must_use]
pub fn virtual_loss(total: f64, visits: f64, in_flight: f64, count: f64, loss: f64) -> f64 {
    let lost = count * in_flight;
    (total - lost * loss) / (visits + lost).max(1.0)
}

/// REBASE's expansion counts (Wu et al., arXiv 2408.00724, and its code `select_softmax`), for scores that are sorted from
/// the highest: each in turn gets ⌈B·e^(R/T) / Σe^(R/T)⌉, and takes it from B and its weight from the sum.
///
/// In f32, as the code computes it, because ⌈·⌉ sees the last bit: three equal scores share 16 as 6, 6 and 5. So the counts add
/// up to B or, as there, to one more. The share of the last score is always whole but for rounding, and torch has an
/// exponential and an order of summing of its own: of 10,000 inputs it counts 37 another way (tests/rebase.rs).
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub fn rebase(scores: &[f64], width: u32, temperature: f64) -> Vec<u32> {
    let scaled = |score: &f64| *score as f32 / temperature as f32;
    let highest = scores.iter().map(scaled).fold(f32::NEG_INFINITY, f32::max);
    // Scores that are not probabilities may overflow e^x; the shift cancels out.
    let shift = if highest.abs() > 80.0 { highest } else { 0.0 };
    let weights: Vec<f32> = scores.iter().map(|score| (scaled(score) - shift).exp()).collect();
    let mut sum: f32 = weights.iter().sum();
    let mut left = i64::from(width);
    let mut counts = Vec::with_capacity(scores.len());
    for weight in weights {
        let share = (left as f32 * weight / sum).ceil();
        // Where rounding has used up the sum, what is left goes to whoever is next.
        let count = if sum > 0.0 && share <= left as f32 + 1.0 {
            share as i64
        } else {
            left
        };
        let count = count.max(0);
        counts.push(count as u32);
        left -= count;
        sum -= weight;
    }
    counts
}

/// What OmegaPRM exploits: Q(s, r) = α^(1 − MC(s)) · β^(len(r) / L), for a wrong rollout r, of `tokens` tokens, from a prefix
/// of which the share `mc` is right (Luo et al., arXiv 2406.06592).
#[must_use]
pub fn omega_q(alpha: f64, beta: f64, length: f64, mc: f64, tokens: f64) -> f64 {
    alpha.powf(1.0 - mc) * beta.powf(tokens / length)
}

/// What OmegaPRM explores by: U(s) = c·√ΣN / (1 + N(s)), where N counts how often a prefix was selected, ΣN all of them
/// (Luo et al., arXiv 2406.06592).
#[must_use]
pub fn omega_u(c: f64, all_selected: f64, selected: f64) -> f64 {
    c * all_selected.sqrt() / (1.0 + selected)
}

/// Progressive widening: a node with N visits may have ⌈factor·N^exponent⌉ children (Coulom 2007; Couëtoux et al. 2011).
#[must_use]
pub fn widening(factor: f64, exponent: f64, visits: f64) -> f64 {
    (factor * visits.max(1.0).powf(exponent)).ceil()
}

/// softmax(x / T).
#[must_use]
pub fn softmax(numbers: &[f64], temperature: f64) -> Vec<f64> {
    let highest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = numbers.iter().map(|x| ((x - highest) / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}
