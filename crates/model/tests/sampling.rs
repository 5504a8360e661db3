//! The sampler against transformers' logits processors (fixtures/sampling/sets.json) and against the softmax.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use surefoot_model::checkpoint::read_json;
use surefoot_model::compute::Isa;
use surefoot_model::draws::Draws;
use surefoot_model::sampler::{Sampler, Settings, log_probability};

fn sets() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sampling/sets.json");
    read_json(&path).unwrap()
}

fn logits(case: &Value) -> Vec<f32> {
    let numbers = case["logits"].as_array().unwrap().iter();
    numbers
        .map(|number| number.as_f64().map_or(f32::NEG_INFINITY, |number| number as f32))
        .collect()
}

fn number(set: &Value, name: &str, without: f64) -> f32 {
    set[name].as_f64().unwrap_or(without) as f32
}

fn settings(set: &Value) -> Settings {
    Settings {
        temperature: number(set, "temperature", 1.0),
        top_k: set["top_k"].as_u64().unwrap_or(0) as usize,
        top_p: number(set, "top_p", 1.0),
        min_p: number(set, "min_p", 0.0),
        repetition_penalty: number(set, "repetition_penalty", 1.0),
        banned: ids(&set["bans"]),
    }
}

fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().into_iter().flatten();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

/// [[first, last]], both ends included.
fn runs(value: &Value) -> BTreeSet<u32> {
    let runs = value.as_array().into_iter().flatten().map(ids);
    runs.flat_map(|run| run[0]..=run[1]).collect()
}

fn seen(case: &Value) -> Vec<u32> {
    let ids: BTreeSet<u32> = ids(&case["input_ids"]).into_iter().collect();
    ids.into_iter().collect()
}

#[test]
fn what_may_be_drawn_and_how_likely_is_as_in_transformers() {
    let mut compared = 0;
    for isa in Isa::available() {
        let mut sampler = Sampler::default();
        for case in sets()["cases"].as_array().unwrap() {
            let (logits, seen) = (logits(case), seen(case));
            for run in case["runs"].as_array().unwrap() {
                let what = format!("{isa:?}, {}, {}", case["name"], run["set"]);
                let choice = sampler.choose(isa, &logits, &settings(&run["set"]), &seen);
                let found: BTreeMap<u32, f64> = choice.probabilities().into_iter().collect();
                let (border, kept) = (&run["border"], runs(&run["kept"]));
                let among = runs(&border["among"]);
                // A kept token may have probability 0, and then it cannot be drawn.
                let expected: BTreeMap<u32, f64> = run["probabilities"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|pair| (pair[0].as_u64().unwrap() as u32, pair[1].as_f64().unwrap()))
                    .collect();
                let certain = |id: &&u32| !among.contains(id);
                for id in found.keys().filter(certain) {
                    assert!(kept.contains(id), "{what}: {id} is left out there");
                }
                let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let temperature = number(&run["set"], "temperature", 1.0);
                // They divide in f32 before they subtract the largest.
                let rounding = 2.4e-7 * f64::from(most.abs() / temperature);
                // The penalty moves a logit by a third at most.
                let possible = |id: &u32| match expected.get(id) {
                    Some(probability) => *probability > 1e-37,
                    None => 1.5 * (most - logits[*id as usize]) / temperature < 80.0,
                };
                for id in kept.iter().filter(certain).filter(|id| possible(id)) {
                    assert!(found.contains_key(id), "{what}: {id} is kept there");
                }
                let of_border = found.keys().filter(|id| among.contains(id)).count() as u64;
                let numbers = std::iter::once(&border["keep"]).chain(border["also"].as_array().into_iter().flatten());
                let allowed: Vec<u64> = numbers.filter_map(Value::as_u64).collect();
                assert!(
                    allowed.is_empty() || allowed.contains(&of_border),
                    "{what}: {of_border} of {allowed:?}"
                );
                if allowed.first().is_none_or(|&keep| keep == of_border) {
                    for (id, probability) in expected.iter().filter(|(id, _)| found.contains_key(id)) {
                        let error = (found[id] - probability).abs();
                        assert!(
                            error <= (1e-5 + rounding) * probability + 1e-12,
                            "{what}: {id} {} for {probability}",
                            found[id]
                        );
                    }
                    let entropy: f64 = found.values().map(|p| -p * p.ln()).sum();
                    assert!(
                        (entropy - run["entropy"].as_f64().unwrap_or(0.0)).abs() < 1e-5 + 4.0 * rounding,
                        "{what}: {entropy}"
                    );
                    compared += 1;
                }
            }
            let greedy = Settings {
                temperature: 0.0,
                ..Settings::default()
            };
            let draws = Draws::new(0, 0, 0);
            let first = sampler.next(isa, &logits, &greedy, &[], (&draws, 0), |_| false);
            assert_eq!(
                first.map(u64::from),
                case["argmax"].as_u64(),
                "{isa:?}, {}",
                case["name"]
            );
        }
    }
    assert!(compared > 200, "{compared}");
}

/// 10⁵ draws of each setting: the counts fit the probabilities, and nothing else is drawn.
#[test]
fn draws_fit_the_softmax() {
    const DRAWS: u32 = 100_000;
    let sets = sets();
    let critical: Vec<f64> = serde_json::from_value(sets["chi_square"]["critical"].clone()).unwrap();
    let isa = Isa::choose(None).unwrap();
    let logits: Vec<f32> = (0..64).map(|id| (id * 37 % 64) as f32 * -0.07).collect();
    let with = |temperature: f32, top_k: usize, top_p: f32, min_p: f32| Settings {
        temperature,
        top_k,
        top_p,
        min_p,
        ..Settings::default()
    };
    let all = [
        with(1.0, 0, 1.0, 0.0),
        with(0.7, 0, 1.0, 0.0),
        with(1.5, 0, 1.0, 0.0),
        with(1.0, 40, 1.0, 0.0),
        with(1.0, 0, 0.9, 0.0),
        with(1.0, 0, 1.0, 0.02),
        with(0.8, 20, 0.95, 0.01),
    ];
    let mut sampler = Sampler::default();
    for (seed, settings) in all.iter().enumerate() {
        let expected = sampler.choose(isa, &logits, settings, &[]).probabilities();
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for draw in 0..DRAWS {
            // As in use: other texts, and other tokens of one text.
            let draws = Draws::new(seed as u64, 1, u64::from(draw / 10));
            let id = sampler.next(isa, &logits, settings, &[], (&draws, draw % 10), |_| false);
            *counts.entry(id.unwrap()).or_default() += 1;
        }
        let (mut chi, mut bins, mut rare, mut rare_seen) = (0.0, 0usize, 0.0, 0.0);
        let mut bin = |wanted: f64, seen: f64| {
            chi += (seen - wanted).powi(2) / wanted;
            bins += 1;
        };
        for (id, probability) in &expected {
            let (wanted, seen) = (probability * f64::from(DRAWS), counts.remove(id).unwrap_or(0));
            // Five expected is the least that the approximation bears.
            if wanted < 5.0 {
                rare += wanted;
                rare_seen += f64::from(seen);
            } else {
                bin(wanted, f64::from(seen));
            }
        }
        if rare >= 5.0 {
            bin(rare, rare_seen);
        }
        assert!(counts.is_empty(), "{settings:?} drew {counts:?}");
        assert!(
            bins > 3 && chi < critical[bins - 2],
            "{settings:?}: {chi} with {} degrees",
            bins - 1
        );
    }
}

#[test]
fn what_is_sent_back_leaves_the_others_in_proportion() {
    let isa = Isa::choose(None).unwrap();
    let logits: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].map(f32::ln).into();
    let mut sampler = Sampler::default();
    let mut counts = [0u32; 4];
    for path in 0..40_000 {
        let draws = Draws::new(3, 3, path);
        let id = sampler.next(isa, &logits, &Settings::default(), &[], (&draws, 0), |id| id == 0);
        counts[id.unwrap() as usize] += 1;
    }
    assert_eq!(counts[0], 0);
    for (count, wanted) in counts[1..].iter().zip([20_000.0, 10_000.0, 10_000.0f64]) {
        assert!((f64::from(*count) - wanted).abs() < 4.0 * wanted.sqrt(), "{counts:?}");
    }
    let none = sampler.next(
        isa,
        &logits,
        &Settings::default(),
        &[],
        (&Draws::new(0, 0, 0), 0),
        |_| true,
    );
    assert_eq!(none, None);
    let greedy = Settings {
        temperature: 0.0,
        ..Settings::default()
    };
    let second = sampler.next(isa, &logits, &greedy, &[], (&Draws::new(0, 0, 0), 0), |id| id == 0);
    assert_eq!(second, Some(1));
}

proptest! {
    /// Whatever the logits and settings, a token comes that may come.
    #[test]
    fn a_token_that_may_come_comes(
        logits in proptest::collection::vec(prop_oneof![4 => -50f32..50.0, 1 => Just(f32::NEG_INFINITY), 1 => -3e38f32..3e38], 1..300),
        temperature in prop_oneof![Just(0f32), 1e-3f32..5.0, Just(f32::MIN_POSITIVE), Just(1e-45f32), Just(f32::MAX)],
        top_k in 0usize..40,
        top_p in prop_oneof![Just(1f32), 1e-6f32..1.0],
        min_p in prop_oneof![Just(0f32), 0f32..=1.0],
        seed in any::<u64>(),
    ) {
        let settings = Settings { temperature, top_k, top_p, min_p, ..Settings::default() };
        settings.check(logits.len()).unwrap();
        let possible = logits.iter().any(|logit| logit.is_finite());
        for isa in Isa::available() {
            let mut sampler = Sampler::default();
            let found = sampler.next(isa, &logits, &settings, &[], (&Draws::new(seed, 0, 0), 0), |_| false);
            prop_assert_eq!(found.is_some(), possible);
            if let Some(id) = found {
                prop_assert!(logits[id as usize].is_finite());
                let all: Vec<(u32, f64)> = sampler.choose(isa, &logits, &settings, &[]).probabilities();
                prop_assert!(all.iter().any(|(other, _)| *other == id));
                prop_assert!((all.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_log_probability_agrees_with_its_definition(logits in proptest::collection::vec(-30f32..30.0, 1..300), at in any::<prop::sample::Index>()) {
        let id = at.index(logits.len());
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        let exact = f64::from(logits[id]) - sum.ln();
        for isa in Isa::available() {
            prop_assert!((log_probability(isa, &logits, id as u32) - exact).abs() < 1e-6 * (1.0 + exact.abs()));
        }
    }
}
