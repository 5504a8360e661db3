//! A trace's scores do not depend on its company, on threads, on what was cached or on how it was cut: bit for bit, on
//! every instruction set that is here.

use std::path::{Path, PathBuf};

use serde_json::Value;
use surefoot_model::checkpoint::read_json;
use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::{Compute, Isa, Precision};
use surefoot_model::prm::Scored;
use surefoot_model::prompt::Prompt;
use surefoot_model::{Overflow, Prm, Source, Trace};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Checkpoints of all families and heads, with the traces that they are held against.
fn checkpoints() -> Vec<(PathBuf, ProfileChoice, Vec<Trace>)> {
    let names = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths.into_iter().filter(|path| path.join("expected.json").is_file())
    };
    let families = names(fixtures().join("families")).map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        (path.clone(), ProfileChoice::named(name))
    });
    let plain = ["qwen2-mlp2", "llama-linear2", "llama-vhead"]
        .map(|name| (fixtures().join(name), ProfileChoice::default()))
        .into_iter();
    let all = plain.chain(families).map(|(path, choice)| {
        let expected = read_json(&path.join("expected.json")).unwrap();
        let cases = expected["cases"].as_array().unwrap().iter();
        let traces = cases
            .filter(|case| case.get("separator").is_none_or(Value::is_null))
            .map(|case| Trace {
                problem: case["problem"].as_str().unwrap().into(),
                steps: serde_json::from_value(case["steps"].clone()).unwrap(),
                system: None,
                overflow: Overflow::Refuse,
            });
        let traces = traces.collect();
        (path, choice, traces)
    });
    all.collect()
}

fn isas() -> Vec<Isa> {
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        eprintln!("NOT RUN: no {}", isa.name());
    }
    Isa::available()
}

fn score(prm: &Prm, prompts: &[&Prompt], rows: usize) -> Vec<Scored> {
    let scored = prm.score(prompts, rows, &|| false).unwrap();
    scored.into_iter().map(Result::unwrap).collect()
}

fn bits(scored: &[Scored]) -> Vec<Vec<u32>> {
    scored
        .iter()
        .map(|one| one.logits.iter().flatten().map(|logit| logit.to_bits()).collect())
        .collect()
}

#[test]
fn alone_in_company_in_pieces_from_cache_and_after_eviction() {
    for isa in isas() {
        for precision in [Precision::Exact, Precision::Fast] {
            for (path, choice, traces) in checkpoints() {
                let compute = |reuse, cache_bytes| Compute {
                    isa: Some(isa),
                    precision,
                    reuse,
                    cache_bytes,
                    ..Compute::default()
                };
                let load = |compute: Compute| Prm::load(&Source::new(&path), &compute, &choice).unwrap();
                let nothing_kept = load(compute(false, None));
                let prompts: Vec<Prompt> = traces.iter().map(|trace| nothing_kept.encode(trace).unwrap()).collect();
                let all: Vec<&Prompt> = prompts.iter().collect();
                let alone: Vec<Scored> = all.iter().flat_map(|one| score(&nothing_kept, &[one], 4096)).collect();
                let wanted = bits(&alone);
                let what = format!("{} on {}, {precision:?}", path.display(), isa.name());
                for rows in [4096, 33, 7] {
                    assert_eq!(
                        bits(&score(&nothing_kept, &all, rows)),
                        wanted,
                        "{what}: {rows} rows together"
                    );
                }
                let cached = load(compute(true, None));
                for rows in [50, 4096] {
                    assert_eq!(
                        bits(&score(&cached, &all, rows)),
                        wanted,
                        "{what}: shared prefixes, then all cached"
                    );
                }
                let counters = cached.counters();
                assert!(counters.hits > counters.computed / 2, "{what}: {counters:?}");
                step_by_step(&load(compute(true, None)), &traces, &wanted, &what);
                // The least that holds the longest: others are evicted meanwhile.
                let budgets = (10..).map(|power| 1 << power);
                let mut models = budgets.filter_map(|bytes| {
                    Some((
                        bytes,
                        Prm::load(&Source::new(&path), &compute(true, Some(bytes)), &choice).ok()?,
                    ))
                });
                let (bytes, small) = models
                    .find(|(_, small)| small.score(&all, 64, &|| false).is_ok())
                    .unwrap();
                for _ in 0..2 {
                    assert_eq!(bits(&score(&small, &all, 64)), wanted, "{what}: evicted");
                }
                assert!(small.counters().peak_bytes <= bytes, "{what}");
            }
        }
    }
}

/// Each trace grows by a step at a time, as in a search.
fn step_by_step(prm: &Prm, traces: &[Trace], wanted: &[Vec<u32>], what: &str) {
    for (trace, wanted) in traces.iter().zip(wanted) {
        for end in 1..=trace.steps.len() {
            let grown = Trace {
                steps: trace.steps[..end].to_vec(),
                ..trace.clone()
            };
            let scored = score(prm, &[&prm.encode(&grown).unwrap()], 4096);
            let scored = bits(&scored);
            assert_eq!(scored[0][..], wanted[..scored[0].len()], "{what}: step {end}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for isa in isas() {
        for (path, choice, traces) in checkpoints() {
            let compute = Compute {
                isa: Some(isa),
                reuse: false,
                ..Compute::default()
            };
            let prm = Prm::load(&Source::new(&path), &compute, &choice).unwrap();
            let prompts: Vec<Prompt> = traces.iter().map(|trace| prm.encode(trace).unwrap()).collect();
            let all: Vec<&Prompt> = prompts.iter().collect();
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                bits(&pool.install(|| score(&prm, &all, 4096)))
            };
            let one = with(1);
            for threads in [2, 3, 7] {
                assert_eq!(
                    with(threads),
                    one,
                    "{} on {}: {threads} threads",
                    path.display(),
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn every_instruction_set_is_within_a_ten_thousandth_of_candle() {
    for (path, choice, traces) in checkpoints() {
        let oracle = Compute {
            device: surefoot_model::device::Choice::Candle,
            ..Compute::default()
        };
        let oracle = Prm::load(&Source::new(&path), &oracle, &choice).unwrap();
        let prompts: Vec<Prompt> = traces.iter().map(|trace| oracle.encode(trace).unwrap()).collect();
        let all: Vec<&Prompt> = prompts.iter().collect();
        let wanted = score(&oracle, &all, 100);
        assert!(oracle.counters().computed > 0);
        for isa in isas() {
            let compute = Compute {
                isa: Some(isa),
                ..Compute::default()
            };
            let prm = Prm::load(&Source::new(&path), &compute, &choice).unwrap();
            for (ours, theirs) in score(&prm, &all, 100).iter().zip(&wanted) {
                for (a, b) in ours.scores.iter().zip(&theirs.scores) {
                    assert!(
                        (a - b).abs() < 1e-4,
                        "{} on {}: {a}, candle {b}",
                        path.display(),
                        isa.name()
                    );
                }
            }
        }
    }
}
