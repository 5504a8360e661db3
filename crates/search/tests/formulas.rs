//! The formulas against the golden numbers of algorithms.md 3.7, as scripts/metrics/golden.py computed them.

mod support;

use serde::Deserialize;
use support::fixture;
use surefoot_search::formulas::{omega_q, omega_u, puct, rebase, softmax, uct, virtual_loss, widening};

#[derive(Deserialize)]
struct Golden {
    waiting: Waiting,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    uct: f64,
    wu_uct: f64,
    openr_puct: f64,
    #[serde(rename = "omegaPrmQ")]
    omega_q: f64,
    #[serde(rename = "omegaPrmU")]
    omega_u: f64,
    rebase: Vec<u32>,
}

fn close(found: f64, wanted: f64) {
    assert!(
        (found - wanted).abs() <= 1e-14 * wanted.abs(),
        "{found} is not {wanted}"
    );
}

#[test]
fn uct_and_wu_uct_and_puct_give_the_golden_numbers() {
    let Golden { waiting } = fixture("metrics/golden.json");
    close(uct(0.6, 2f64.sqrt(), 10.0, 3.0), waiting.uct);
    close(uct(0.6, 2f64.sqrt(), 10.0 + 2.0, 3.0 + 1.0), waiting.wu_uct);
    close(puct(0.6, 0.25, 19652.0, 1.25, 10.0, 3.0), waiting.openr_puct);
}

#[test]
fn omega_prm_gives_the_golden_numbers() {
    let Golden { waiting } = fixture("metrics/golden.json");
    close(omega_q(0.5, 0.9, 500.0, 0.75, 200.0), waiting.omega_q);
    close(omega_u(0.125, 25.0, 4.0), waiting.omega_u);
    // By hand: a prefix that is always right and no tokens give 1; nothing selected yet explores nothing.
    close(omega_q(0.5, 0.9, 500.0, 1.0, 0.0), 1.0);
    close(omega_u(0.125, 0.0, 0.0), 0.0);
}

#[test]
fn rebase_gives_the_golden_counts_and_at_most_one_more_than_there_are() {
    let Golden { waiting } = fixture("metrics/golden.json");
    assert_eq!(rebase(&[0.9, 0.7, 0.2], 16, 0.2), waiting.rebase);
    // What numpy's f32 gives for the same lines of Python: the last bit of the sum is rounded up.
    assert_eq!(rebase(&[0.5; 3], 16, 0.2), [6, 6, 5]);
    assert_eq!(rebase(&[0.5; 4], 16, 0.2), [4, 4, 5, 4]);
    assert_eq!(rebase(&[0.9; 4], 16, 0.2), [4, 4, 4, 4]);
    assert_eq!(rebase(&[0.123; 5], 16, 0.2), [4, 3, 3, 3, 3]);
    // By hand: equal shares of 2 are rounded up to 1 each, and then there is nothing left.
    assert_eq!(rebase(&[0.9; 4], 2, 0.2), [1, 1, 0, 0]);
    assert_eq!(rebase(&[], 16, 0.2), Vec::<u32>::new());
    assert_eq!(rebase(&[0.3, 0.1], 0, 0.2), [0, 0]);
    for width in 0..40 {
        let counts = rebase(&[0.99, 0.98, 0.5, 0.49, 0.2, 0.0], width, 0.2);
        assert!((width..=width + 1).contains(&counts.iter().sum()), "{counts:?}");
    }
}

#[test]
fn rebase_takes_rewards_that_would_overflow_an_exponential() {
    // e^(500) is past f64 too. By hand: e^-1 and e^0 share 16 as 16 / (1 + e^-1) = 11.7 and what is left.
    for scores in [[100.0, 99.8], [-100.0, -100.2]] {
        let counts = rebase(&scores, 16, 0.2);
        assert!(counts[0] == 12 && (4..=5).contains(&counts[1]), "{counts:?}");
    }
}

#[test]
fn a_virtual_loss_counts_as_visits_that_brought_nothing_good() {
    // By hand: (1.8 - 2) / (3 + 2).
    close(virtual_loss(1.8, 3.0, 1.0, 2.0, 1.0), -0.04);
    close(virtual_loss(1.8, 3.0, 0.0, 2.0, 1.0), 0.6);
}

#[test]
fn widening_grows_with_the_root_of_the_visits() {
    let allowed: Vec<_> = [0.0, 1.0, 4.0, 5.0, 16.0]
        .map(|visits| widening(1.0, 0.5, visits))
        .into();
    assert_eq!(allowed, [1.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_softmax_sums_to_one_and_takes_any_size() {
    let shares = softmax(&[1000.0, 1000.0 + 3f64.ln()], 1.0);
    assert!((shares[0] - 0.25).abs() < 1e-12 && (shares[1] - 0.75).abs() < 1e-12);
    assert_eq!(softmax(&[], 1.0), Vec::<f64>::new());
}
