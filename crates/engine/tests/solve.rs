//! Searches that the engine drives, on the embedded models, against what each text and score is by itself.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use surefoot_engine::{Engine, Entry, Event, Model, Outcome, Progress, Setting, Solve, Told, load, load_policy};
use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::Compute;
use surefoot_model::device::Choice;
use surefoot_model::policy::{PolicyChoice, Request as Texts};
use surefoot_model::sampler::Settings;
use surefoot_model::{Overflow, Source, Trace};
use surefoot_search::budget::Costs;
use surefoot_search::config::{Beam, BestOfN, Config, Mcts};
use surefoot_search::{Budget, Finish, Limit, Request, Search, Until};

const PROBLEM: &str = "In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. \
                       8 frogs sit by it. How many fish swim there now?";

fn source(name: &str) -> Source {
    Source::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name))
}

/// Models of this test's own: the number of cache bytes makes them others than those of the other tests.
fn models(own: usize) -> (Arc<Model>, Arc<Model>) {
    let compute = Compute {
        cache_bytes: Some((512 << 20) + own),
        ..Compute::on(Choice::Cpu)
    };
    (
        load_policy(&source("tiny-policy"), &compute, &PolicyChoice::default()).unwrap(),
        load(&source("tiny-prm"), &compute, &ProfileChoice::default()).unwrap(),
    )
}

fn setting() -> Setting {
    Setting {
        texts: Texts {
            problem: PROBLEM.into(),
            system: None,
            prefix: String::new(),
            n: 1,
            step: false,
            separator: Some("\n".into()),
            stop: vec![],
            max_tokens: 1,
            settings: Settings {
                temperature: 1.0,
                ..Settings::default()
            },
            banned_texts: vec![],
            seed: 3,
            path: String::new(),
            logprobs: false,
        },
        concurrency: 16,
        ms: None,
        costs: Costs::default(),
        since: 0,
        problem_paid: false,
        known: vec![],
    }
}

fn search(config: Config, budget: Budget) -> Arc<Mutex<Search>> {
    Arc::new(Mutex::new(Search::new(config, budget).unwrap()))
}

fn mcts(simulations: u32) -> Config {
    Config::Mcts(Mcts {
        simulations: Some(simulations),
        ..Mcts::default()
    })
}

fn without_end() -> Config {
    Config::Mcts(Mcts {
        children: 8,
        dedupe: false,
        ..Mcts::default()
    })
}

/// Steps until the search is at its end: what its driver did, and how it ended.
fn drain(engine: &Engine, now: &(dyn Fn() -> Duration + Sync)) -> (Vec<Entry>, Option<Result<Outcome, String>>) {
    let (mut entries, mut outcome) = (Vec::new(), None);
    while engine.waiting() > 0 {
        for event in engine.step(now) {
            match event {
                Event::Progress {
                    progress: Progress { entries: more, .. },
                    ..
                } => entries.extend(more),
                Event::Done { outcome: done, .. } => outcome = Some(done.map_err(|error| error.to_string())),
                Event::Text { .. } => panic!("nobody listens to texts"),
            }
        }
    }
    (entries, outcome)
}

fn still() -> Duration {
    Duration::ZERO
}

fn solve(engine: &Engine, search: &Arc<Mutex<Search>>, (policy, prm): &(Arc<Model>, Arc<Model>)) -> u64 {
    engine.solve(Solve {
        search: search.clone(),
        policy: policy.clone(),
        prm: Some(prm.clone()),
        caller: 1,
        setting: setting(),
    })
}

/// Every beginning of some sequences of tokens.
#[derive(Default)]
struct Beginnings(HashSet<Vec<u32>>);

impl Beginnings {
    fn add(&mut self, ids: &[u32]) {
        for end in 1..=ids.len() {
            self.0.insert(ids[..end].to_vec());
        }
    }
}

#[test]
fn the_texts_are_those_of_the_requests_and_each_token_is_computed_once() {
    let engine = Engine::default();
    let pair = models(1);
    let (alone, _) = models(2);
    for config in [mcts(12), Config::Beam(Beam::default())] {
        let before = (pair.0.counters(), pair.1.counters());
        let search = search(config, Budget::default());
        solve(&engine, &search, &pair);
        let (entries, outcome) = drain(&engine, &still);
        assert_eq!(outcome, Some(Ok(Outcome::Solved)));
        let (policy, prm) = (alone.policy().unwrap(), pair.1.prm().unwrap());
        let (mut read, mut scored) = (Beginnings::default(), Beginnings::default());
        let requests: Vec<Request> = entries.iter().flat_map(requests).copied().collect();
        let mut texts: Vec<(u32, String)> = vec![(0, String::new())];
        let prefix = |texts: &[(u32, String)], node| texts.iter().find(|(of, _)| *of == node).unwrap().1.clone();
        let mut tokens = 0;
        for told in told_in_order(&entries) {
            let request = requests.iter().find(|request| request.id == told.request).unwrap();
            let begun = prefix(&texts, request.node);
            let asked = Texts {
                prefix: begun.clone(),
                n: request.count as usize,
                step: request.until == Until::Step,
                max_tokens: request.caps.policy_tokens as usize,
                path: format!("{:016x}", request.path),
                ..setting().texts
            };
            let prompt = policy.encode(&asked).unwrap();
            let written = policy.write(&[asked], 64, &|| false).unwrap().remove(0);
            for (index, (child, text)) in told.children.iter().zip(written).enumerate() {
                assert_eq!(child.raw.trim_end_matches('\n'), text.text);
                read.add(&[&prompt[..], &text.ids[..text.ids.len() - 1]].concat());
                texts.push((told.first.unwrap() + index as u32, begun.clone() + &child.raw));
                let whole = begun.clone() + &child.raw;
                let steps: Vec<String> = whole
                    .split('\n')
                    .filter(|step| !step.is_empty())
                    .map(str::to_owned)
                    .collect();
                assert_eq!(child.child.scores.len(), child.child.steps as usize);
                tokens += child.child.prm_tokens as usize;
                if child.child.steps > 0 {
                    let trace = Trace {
                        problem: PROBLEM.into(),
                        steps,
                        system: None,
                        overflow: Overflow::Refuse,
                    };
                    let prompt = prm.encode(&trace).unwrap();
                    scored.add(&prompt.ids);
                    let alone = prm.score(&[&prompt], 64, &|| false).unwrap().remove(0).unwrap().scores;
                    assert!(alone.ends_with(&child.child.scores));
                }
            }
        }
        assert!(texts.len() > 20, "{}", texts.len());
        let computed = pair.0.counters().computed - before.0.computed;
        let fresh = if before.0.computed == 0 {
            read.0.len()
        } else {
            read.0.len() - prompt_tokens(&alone)
        };
        assert!(computed as usize <= fresh, "{computed} computed, {fresh} distinct");
        let computed = (pair.1.counters().computed - before.1.computed) as usize;
        assert!(
            computed <= scored.0.len(),
            "{computed} computed, {} distinct",
            scored.0.len()
        );
        assert!(tokens >= computed);
        if before.0.computed == 0 {
            assert_eq!(pair.0.counters().computed as usize, read.0.len());
            assert_eq!(computed, scored.0.len());
        }
    }
}

fn prompt_tokens(policy: &Model) -> usize {
    policy.policy().unwrap().encode(&setting().texts).unwrap().len()
}

fn requests(entry: &Entry) -> &[Request] {
    match entry {
        Entry::Ask { requests, .. } => requests,
        _ => &[],
    }
}

/// In the order of asking: a node comes before those that go on from it.
fn told_in_order(entries: &[Entry]) -> Vec<&Told> {
    let told = entries.iter().filter_map(|entry| match entry {
        Entry::Tell(told) | Entry::Fail(told) => Some(told),
        _ => None,
    });
    let mut told: Vec<&Told> = told.collect();
    told.sort_by_key(|told| told.request);
    told
}

#[test]
fn many_searches_at_once_are_each_what_they_are_alone() {
    let pair = models(3);
    let config = |index: u32| match index % 3 {
        0 => mcts(4 + index),
        1 => Config::BestOfN(BestOfN {
            n: 2 + index,
            ..BestOfN::default()
        }),
        _ => Config::Beam(Beam::default()),
    };
    let alone: Vec<Search> = (0..9)
        .map(|index| {
            let engine = Engine::default();
            let search = search(config(index), Budget::default());
            solve(&engine, &search, &pair);
            drain(&engine, &still);
            search.lock().unwrap().clone()
        })
        .collect();
    let engine = Engine::default();
    let together: Vec<_> = (0..9).map(|index| search(config(index), Budget::default())).collect();
    for search in &together {
        solve(&engine, search, &pair);
    }
    drain(&engine, &still);
    for (one, alone) in together.iter().zip(&alone) {
        assert!(one.lock().unwrap().outcome().is_some());
        assert_eq!(*one.lock().unwrap(), *alone);
    }
}

#[test]
fn a_stop_and_a_deadline_end_a_search_with_what_is_there_and_a_cancelled_one_without_a_word() {
    let pair = models(4);
    let endless = || {
        search(
            without_end(),
            Budget {
                generations: Some(1_000_000),
                ..Budget::default()
            },
        )
    };
    let clock = AtomicU64::new(0);
    // Each look at the clock finds it 40 ms later.
    let now = || Duration::from_millis(40 * clock.fetch_add(1, Ordering::Relaxed));
    let engine = Engine::default();
    let stopped = endless();
    let id = solve(&engine, &stopped, &pair);
    engine.step(&now);
    engine.stop(id);
    let (entries, outcome) = drain(&engine, &now);
    assert_eq!(outcome, Some(Ok(Outcome::Solved)));
    let stops = entries.iter().filter(|entry| matches!(entry, Entry::Stop)).count();
    let finish = stopped.lock().unwrap().outcome().unwrap().finish;
    assert_eq!((stops, finish), (1, Finish::Aborted));

    let late = search(
        without_end(),
        Budget {
            ms: Some(1000),
            ..Budget::default()
        },
    );
    engine.solve(Solve {
        search: late.clone(),
        policy: pair.0.clone(),
        prm: Some(pair.1.clone()),
        caller: 1,
        setting: Setting {
            ms: Some(1000),
            ..setting()
        },
    });
    drain(&engine, &now);
    let outcome = late.lock().unwrap().outcome().unwrap();
    assert_eq!((outcome.finish, outcome.limit), (Finish::Budget, Some(Limit::Ms)));
    assert!(outcome.spent.ms >= 1000);

    let id = solve(&engine, &endless(), &pair);
    engine.step(&now);
    engine.cancel(id);
    assert!(engine.step(&now).is_empty());
    assert_eq!(engine.waiting(), 0);
}

#[test]
fn what_is_not_about_one_continuation_ends_the_search_with_an_error() {
    let engine = Engine::default();
    let pair = models(5);
    let swapped = (pair.1, pair.0);
    let search = search(mcts(4), Budget::default());
    solve(&engine, &search, &swapped);
    let (_, outcome) = drain(&engine, &still);
    assert!(outcome.unwrap().unwrap_err().contains("writes nothing"));
}
