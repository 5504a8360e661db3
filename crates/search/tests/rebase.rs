//! REBASE's counts beside those of torch on 10,000 inputs (scripts/search/rebase.py), many of them with ties.

mod support;

use serde::Deserialize;
use support::{fixture, mixed};
use surefoot_search::formulas::rebase;

#[derive(Deserialize)]
struct Fixture {
    cases: String,
}

/// The scores from the highest, and a width.
fn drawn(case: u64) -> (Vec<f64>, u32) {
    let key = mixed(case);
    let (count, width) = (1 + mixed(key ^ 1) % 32, 1 + mixed(key ^ 2) % 64);
    let grain = if case.is_multiple_of(2) {
        1 << 24
    } else {
        1 + mixed(key ^ 3) % 8
    } as f64;
    let score = |index: u64| ((mixed(key ^ (100 + index)) >> 40) as f64 / f64::from(1 << 24) * grain).floor() / grain;
    let mut scores: Vec<_> = (0..count).map(score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    (scores, width as u32)
}

/// Whether a share is a whole number but for rounding, after `before` were given theirs.
fn hangs_on_the_last_bit(scores: &[f64], width: u32, before: &[u32]) -> bool {
    let weights: Vec<_> = scores.iter().map(|score| (score / 0.2).exp()).collect();
    let left = f64::from(width) - before.iter().map(|&count| f64::from(count)).sum::<f64>();
    let share = left * weights[before.len()] / weights[before.len()..].iter().sum::<f64>();
    (share - share.round()).abs() < 1e-5 * share.max(1.0)
}

#[test]
fn the_counts_are_those_of_torch_but_where_a_share_is_whole_but_for_rounding() {
    let Fixture { cases } = fixture("search/rebase.json");
    let (mut all, mut ties, mut other) = (0, 0, 0);
    for (case, wanted) in cases.split(' ').enumerate() {
        let (scores, width) = drawn(case as u64);
        let counts = rebase(&scores, width, 0.2);
        let mut wanted: Vec<_> = wanted.bytes().map(|byte| u32::from(byte - b'0')).collect();
        wanted.resize(counts.len(), 0);
        all += 1;
        ties += u32::from(scores.windows(2).any(|pair| pair[0] == pair[1]));
        let Some(at) = (0..counts.len()).find(|&at| counts[at] != wanted[at]) else {
            continue;
        };
        other += 1;
        assert_eq!(counts[at].abs_diff(wanted[at]), 1, "case {case}");
        assert!(hangs_on_the_last_bit(&scores, width, &counts[..at]), "case {case}");
    }
    assert_eq!(all, 10_000);
    assert!(ties > 4000, "{ties}");
    // 37 with torch 2.15, whose exponential is not the C library's.
    assert!(other < 60, "{other}");
}
