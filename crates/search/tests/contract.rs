//! What holds for every strategy.

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use support::{Draws, World, bytes, drive, drive_wide, group_all, is_unscored, new, settle, strategies};
use surefoot_search::{
    Ask, Budget, Child, Event, Finish, Limit, Nothing, Request, Scoring, Search, Snapshot, Until, budget::Costs,
};

fn worlds() -> [World; 3] {
    let world = World::new(1);
    [
        world,
        World {
            failing: 4,
            short: 3,
            ..World::new(2)
        },
        World {
            ending: 1000,
            ..World::new(3)
        },
    ]
}

fn budgets() -> Vec<Budget> {
    let none = Budget::default();
    vec![
        none,
        Budget {
            generations: Some(21),
            ..none
        },
        Budget {
            policy_tokens: Some(700),
            ..none
        },
        Budget {
            prm_tokens: Some(500),
            policy_tokens: Some(9000),
            ..none
        },
        Budget {
            flops: Some(5e6),
            costs: Costs { policy: 2e3, prm: 3e3 },
            ..none
        },
    ]
}

fn each(check: impl Fn(&str, &surefoot_search::Config, &World, Budget)) {
    for (name, config) in strategies() {
        for (index, world) in worlds().iter().enumerate() {
            for budget in budgets() {
                check(
                    &format!("{name} in world {index} with {budget:?}"),
                    &config,
                    world,
                    budget,
                );
            }
        }
    }
}

#[test]
fn a_native_driver_never_passes_a_cap_and_every_request_fits_with_those_that_are_out() {
    each(|name, config, world, budget| {
        let mut search = new(config, budget);
        let mut out: Vec<Request> = vec![];
        let mut draws = Draws(7);
        loop {
            match search.ask(usize::MAX, 0) {
                Ask::Requests(requests) => out.extend(requests),
                Ask::Wait => {}
                Ask::Done(_) => break,
            }
            let spent = search.spent();
            let tokens = |request: &Request| {
                u64::from(request.count)
                    * (u64::from(request.caps.policy_tokens) + u64::from(request.caps.ahead_tokens))
            };
            // What is told but not taken in yet counts by its cap as well: these are not known outside, so the bound is loose.
            let policy: u64 = out.iter().map(tokens).sum();
            let prm: u64 = out.iter().filter_map(|request| request.caps.prm_tokens).sum();
            let flops: f64 = out.iter().filter_map(|request| request.caps.flops).sum();
            let count: u64 = out.iter().map(|request| u64::from(request.count)).sum();
            let holds = |used: u64, limit: Option<u64>| limit.is_none_or(|limit| used <= limit);
            assert!(holds(spent.policy_tokens + policy, budget.policy_tokens), "{name}");
            assert!(holds(spent.generations + count, budget.generations), "{name}");
            assert!(
                budget.prm_tokens.is_none() || holds(spent.prm_tokens + prm, budget.prm_tokens),
                "{name}"
            );
            assert!(
                budget
                    .flops
                    .is_none_or(|limit| spent.flops + flops <= limit * (1.0 + 1e-9)),
                "{name}"
            );
            for request in &out {
                assert!(request.count > 0 && request.caps.policy_tokens > 0, "{name}");
            }
            let request = out.swap_remove(draws.below(out.len()));
            settle(&mut search, world, &request);
        }
        let spent = search.spent();
        assert!(
            budget.policy_tokens.is_none_or(|limit| spent.policy_tokens <= limit),
            "{name}"
        );
        assert!(
            budget.prm_tokens.is_none_or(|limit| spent.prm_tokens <= limit),
            "{name}"
        );
        assert!(
            budget.generations.is_none_or(|limit| spent.generations <= limit),
            "{name}"
        );
        assert!(budget.flops.is_none_or(|limit| spent.flops <= limit), "{name}");
        assert_eq!(spent.overruns, 0, "{name}");
    });
}

#[test]
fn the_same_tells_give_the_same_search_at_any_width_and_in_any_order() {
    each(|name, config, world, budget| {
        let mut alone = new(config, budget);
        let outcome = drive(&mut alone, world);
        for wide in [2, 3, 8, 100] {
            for seed in 0..4 {
                let mut search = new(config, budget);
                let found = drive_wide(&mut search, world, wide, &mut Draws(seed));
                assert_eq!(found, outcome, "{name}, {wide} wide");
                assert!(bytes(&search) == bytes(&alone), "{name}, {wide} wide");
            }
        }
    });
}

#[test]
fn another_batch_is_another_search_but_one_that_holds_as_well() {
    let (_, config) = strategies().remove(7);
    let mut json = serde_json::to_value(&config).unwrap();
    let mut trees = BTreeSet::new();
    for batch in [1, 2, 5] {
        json["batch"] = batch.into();
        let mut search = new(&serde_json::from_value(json.clone()).unwrap(), Budget::default());
        drive_wide(&mut search, &World::new(1), 100, &mut Draws(1));
        trees.insert(bytes(&search));
    }
    assert_eq!(trees.len(), 3);
}

#[test]
fn no_more_than_a_batch_is_ever_out() {
    for (name, config) in strategies() {
        let batch = serde_json::to_value(&config).unwrap()["batch"].as_u64().unwrap_or(1) as usize;
        let mut search = new(&config, Budget::default());
        let mut out = vec![];
        let mut most = 0;
        loop {
            match search.ask(usize::MAX, 0) {
                Ask::Requests(requests) => out.extend(requests),
                Ask::Wait => {}
                Ask::Done(_) => break,
            }
            most = most.max(out.len());
            assert!(out.len() <= batch, "{name}");
            let request = out.remove(0);
            settle(&mut search, &World::new(1), &request);
        }
        assert!(most > batch / 2, "{name} had {most} of {batch} out at most");
    }
}

#[test]
fn a_search_goes_on_from_a_snapshot_at_every_point_as_if_nothing_had_been() {
    for (name, config) in strategies() {
        let world = worlds()[1];
        let mut whole = new(&config, Budget::default());
        let outcome = drive_wide(&mut whole, &world, 3, &mut Draws(5));
        let mut search = new(&config, Budget::default());
        let mut out: Vec<Request> = vec![];
        let mut draws = Draws(5);
        loop {
            let text = serde_json::to_string(&search.snapshot()).unwrap();
            let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
            let restored = Search::restore(snapshot).unwrap();
            assert!(restored == search, "{name}");
            let mut ids: Vec<_> = out.iter().map(|request| request.id).collect();
            ids.sort_unstable();
            let outstanding: Vec<_> = restored.outstanding().iter().map(|request| request.id).collect();
            assert_eq!(outstanding, ids, "{name}");
            // One that was killed here, and has to send again what was out.
            let mut other = restored.clone();
            assert_eq!(drive_wide(&mut other, &world, 9, &mut Draws(1)), outcome, "{name}");
            search = restored;
            match search.ask(3 - out.len(), 0) {
                Ask::Requests(requests) => out.extend(requests),
                Ask::Wait => {}
                Ask::Done(_) => break,
            }
            let request = out.swap_remove(draws.below(out.len()));
            settle(&mut search, &world, &request);
        }
        group_all(&mut search);
        assert_eq!(search.outcome(), Some(outcome), "{name}");
        assert!(bytes(&search) == bytes(&whole), "{name}");
    }
}

#[test]
fn a_search_can_be_aborted_at_every_point_and_still_has_its_best() {
    for (name, config) in strategies() {
        let world = World::new(1);
        for point in 0.. {
            let mut search = new(&config, Budget::default());
            let mut out: Vec<Request> = vec![];
            let mut draws = Draws(point);
            let mut steps = 0;
            while steps < point {
                steps += 1;
                match search.ask(4 - out.len(), 0) {
                    Ask::Requests(requests) => out.extend(requests),
                    Ask::Wait => {}
                    Ask::Done(_) => break,
                }
                let request = out.swap_remove(draws.below(out.len()));
                settle(&mut search, &world, &request);
            }
            let ended = search.outcome().is_some();
            search.abort();
            let outcome = search.outcome().unwrap();
            assert_eq!(outcome.chosen, search.best(), "{name}");
            assert_eq!(outcome.chosen.is_none(), outcome.nothing.is_some(), "{name}");
            assert!(search.outstanding().is_empty(), "{name}");
            if ended {
                assert_ne!(outcome.finish, Finish::Aborted);
                break;
            }
            assert_eq!(outcome.finish, Finish::Aborted, "{name}");
            let told: u64 = outcome.spent.generations - outcome.spent.cancelled;
            let came = search.tree().nodes().count() as u64 - 1;
            assert!(came >= told - outcome.spent.failures, "{name}");
            assert_eq!(search.ask(9, 1), Ask::Done(outcome), "{name}");
            for request in out {
                assert_eq!(search.tell(request.id, &[]).unwrap_err().kind(), "ended", "{name}");
            }
            let again = Search::restore(search.snapshot()).unwrap();
            assert!(again == search, "{name}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_by_its_kind_and_changes_nothing() {
    for (name, config) in strategies() {
        let world = World::new(1);
        let mut search = new(&config, Budget::default());
        let mut told = vec![];
        let mut out: Vec<Request> = vec![];
        let mut kinds = BTreeSet::new();
        loop {
            match search.ask(3 - out.len(), 0) {
                Ask::Requests(requests) => out.extend(requests),
                Ask::Wait => {}
                Ask::Done(_) => break,
            }
            let request = out.remove(out.len() / 2);
            let right = world.answer(&request).unwrap();
            let before = bytes(&search);
            let mut refuses = |children: &[Child], id: u32, kind: &'static str| {
                assert_eq!(search.tell(id, children).unwrap_err().kind(), kind, "{name}");
                assert!(bytes(&search) == before, "{name}: {kind}");
                kinds.insert(kind);
            };
            refuses(&[], request.id, "wrongChildren");
            let mut many = right.clone();
            many.push(right[0].clone());
            refuses(&many, request.id, "wrongChildren");
            refuses(&right, request.id + 1000, "unknownRequest");
            if let Some(&old) = told.last() {
                refuses(&right, old, "toldTwice");
            }
            let mut wrong = right.clone();
            wrong[0].scores.push(0.5);
            refuses(&wrong, request.id, "wrongScores");
            if right[0].steps > 0 && request.score != Scoring::None {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut wrong = right.clone();
                    wrong[0].scores[0] = bad;
                    refuses(&wrong, request.id, "notFinite");
                }
                let mut wrong = right.clone();
                wrong[0].scores.clear();
                refuses(&wrong, request.id, "wrongScores");
            }
            if request.priors {
                let mut wrong = right.clone();
                wrong[0].log_prior = None;
                refuses(&wrong, request.id, "priorMissing");
                wrong[0].log_prior = Some(f32::NAN);
                refuses(&wrong, request.id, "notFinite");
            }
            if name == "omega" {
                let mut wrong = right.clone();
                wrong[0].correct = None;
                refuses(&wrong, request.id, "verdictMissing");
            }
            let mut wrong = right.clone();
            wrong[0].prefixes.push(1);
            refuses(&wrong, request.id, "wrongPrefixes");
            if right[0].ahead.is_empty() {
                let mut wrong = right.clone();
                wrong[0].rollout = Some(1.0);
                refuses(&wrong, request.id, "unasked");
            } else {
                let mut wrong = right.clone();
                wrong[0].ahead[0] = f32::NAN;
                refuses(&wrong, request.id, "notFinite");
            }
            assert_eq!(search.group(&[(0, Some(1))]).unwrap_err().kind(), "notFinished");
            assert_eq!(search.group(&[(1 << 30, None)]).unwrap_err().kind(), "unknownNode");
            assert_eq!(search.fail(request.id + 1000).unwrap_err().kind(), "unknownRequest");
            assert!(bytes(&search) == before, "{name}");
            search.tell(request.id, &right).unwrap();
            told.push(request.id);
            if search.outcome().is_none() {
                assert_eq!(search.fail(request.id).unwrap_err().kind(), "toldTwice", "{name}");
            }
        }
        assert!(kinds.len() >= 5, "{name}: {kinds:?}");
        // All the mistakes made no difference.
        let mut clean = new(&config, Budget::default());
        drive(&mut clean, &world);
        group_all(&mut search);
        assert!(bytes(&search) == bytes(&clean), "{name}");
    }
}

#[test]
fn when_all_fails_there_is_a_typed_outcome_without_an_answer() {
    each(|name, config, _, budget| {
        let mut search = new(config, budget);
        let world = World {
            failing: 1,
            ..World::new(1)
        };
        let outcome = drive_wide(&mut search, &world, 5, &mut Draws(3));
        assert_eq!(outcome.chosen, None, "{name}");
        assert_eq!(outcome.nothing, Some(Nothing::Failed), "{name}");
        assert_eq!(outcome.spent.failures, outcome.spent.generations, "{name}");
        assert_eq!(search.tree().nodes().count(), 1, "{name}");
    });
}

#[test]
fn one_failure_costs_its_path_and_not_the_search() {
    for (name, config) in strategies() {
        for failing in 0..6 {
            let mut search = new(&config, Budget::default());
            let mut at = 0;
            while let Ask::Requests(requests) = search.ask(1, 0) {
                let request = requests[0];
                // A request for the root with everything is told in part: the others are told nothing.
                if at == failing && request.count == 1 {
                    search.fail(request.id).unwrap();
                } else if at == failing {
                    let children = World::new(1).answer(&request).unwrap();
                    search.tell(request.id, &children[..children.len() - 1]).unwrap();
                } else {
                    settle(&mut search, &World::new(1), &request);
                }
                at += 1;
            }
            let outcome = search.outcome().unwrap();
            assert!(
                outcome.chosen.is_some_and(|chosen| chosen.finished),
                "{name}: {outcome:?}"
            );
            assert_eq!(outcome.finish, Finish::Complete, "{name}");
            assert!(outcome.spent.failures <= 1, "{name}");
        }
    }
}

#[test]
fn draws_have_names_of_their_own_that_do_not_depend_on_the_order() {
    for (name, config) in strategies() {
        let mut search = new(&config, Budget::default());
        let mut paths = BTreeSet::new();
        while let Ask::Requests(requests) = search.ask(1, 0) {
            assert!(paths.insert(requests[0].path), "{name}");
            settle(&mut search, &World::new(1), &requests[0]);
        }
        let tree = search.tree();
        let nodes: BTreeSet<_> = tree.nodes().map(|node| tree.path(node)).collect();
        assert_eq!(nodes.len(), tree.nodes().count(), "{name}");
    }
}

#[test]
fn the_first_of_more_samples_are_those_of_fewer() {
    let paths = |n: u32| {
        let json = format!(r#"{{ "strategy": "bestOfN", "n": {n}, "batch": {n} }}"#);
        let mut search = new(&support::config(&json), Budget::default());
        let Ask::Requests(requests) = search.ask(100, 0) else {
            panic!()
        };
        requests.iter().map(|request| request.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(16)[..4], paths(4));
}

#[test]
fn votes_and_labels_never_ask_for_scores_and_the_others_always_do() {
    for (name, config) in strategies() {
        let mut search = new(&config, Budget::default());
        while let Ask::Requests(requests) = search.ask(1, 0) {
            let unscored = requests[0].score == Scoring::None;
            assert_eq!(unscored, is_unscored(name), "{name}");
            settle(&mut search, &World::new(1), &requests[0]);
        }
        assert_eq!(search.spent().prm_tokens == 0, is_unscored(name));
    }
}

#[test]
fn when_time_ends_nothing_further_is_asked_and_the_best_so_far_is_the_outcome() {
    for (name, config) in strategies() {
        for deadline in [0, 5, 20] {
            let budget = Budget {
                ms: Some(deadline),
                ..Budget::default()
            };
            let mut search = new(&config, budget);
            let mut out: Vec<Request> = vec![];
            let mut now = 1000;
            let outcome = loop {
                match search.ask(3 - out.len(), now) {
                    Ask::Requests(requests) => out.extend(requests),
                    Ask::Wait => {}
                    Ask::Done(outcome) => break outcome,
                }
                assert!(now - 1000 < deadline, "{name}");
                let request = out.swap_remove(out.len() - 1);
                settle(&mut search, &World::new(1), &request);
                now += 1;
            };
            if outcome.finish == Finish::Budget {
                assert_eq!(outcome.limit, Some(Limit::Ms), "{name}");
            }
            assert_eq!(outcome.chosen, search.best(), "{name}");
            assert_eq!(
                outcome.spent.cancelled,
                out.iter().map(|request| u64::from(request.count)).sum::<u64>()
            );
            assert_eq!(search.ask(9, now + 9), Ask::Done(search.outcome().unwrap()), "{name}");
            if deadline == 0 {
                assert_eq!(outcome.nothing, Some(Nothing::Unasked), "{name}");
            }
        }
    }
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let (_, config) = strategies().remove(7);
    let budget = Budget {
        ms: Some(100),
        ..Budget::default()
    };
    let mut search = new(&config, budget);
    search.ask(1, 500);
    search.ask(1, 550);
    search.ask(1, 0);
    assert_eq!(search.spent().ms, 50);
    assert!(matches!(search.ask(1, 600), Ask::Done(_)));
}

#[test]
fn what_brings_more_than_its_cap_is_an_overrun_and_nothing_further_is_asked() {
    for (name, config) in strategies() {
        for (limit, budget) in [
            (
                Limit::PolicyTokens,
                Budget {
                    policy_tokens: Some(1_000_000),
                    ..Budget::default()
                },
            ),
            (
                Limit::PrmTokens,
                Budget {
                    prm_tokens: Some(1_000_000),
                    ..Budget::default()
                },
            ),
        ] {
            let mut search = new(&config, budget);
            let mut at = 0;
            let outcome = loop {
                let requests = match search.ask(1, 0) {
                    Ask::Requests(requests) => requests,
                    Ask::Wait => panic!("one at a time"),
                    Ask::Done(outcome) => break outcome,
                };
                let mut children = World::new(1).answer(&requests[0]).unwrap();
                if at == 2 {
                    match limit {
                        Limit::PolicyTokens => children[0].policy_tokens = requests[0].caps.policy_tokens + 1,
                        _ => children[0].prm_tokens = 1_000_001,
                    }
                }
                at += 1;
                search.tell(requests[0].id, &children).unwrap();
            };
            if is_unscored(name) && limit == Limit::PrmTokens {
                assert_eq!(outcome.finish, Finish::Complete);
                continue;
            }
            // What was out by then is still heard.
            assert_eq!(outcome.finish, Finish::Budget, "{name}");
            assert_eq!(outcome.limit, Some(limit), "{name}");
            assert_eq!(outcome.spent.overruns, 1, "{name}");
            let id = 2;
            assert!(
                search.take_events().contains(&Event::Overrun { request: id, limit }),
                "{name}"
            );
            let batch = serde_json::to_value(&config).unwrap()["batch"].as_u64().unwrap_or(1);
            assert!(at <= 3 + batch, "{name}: {at}");
        }
    }
}

#[test]
fn events_tell_all_of_the_tree_and_end_with_the_choice() {
    for (name, config) in strategies() {
        let mut search = new(&config, Budget::default());
        drive_wide(&mut search, &worlds()[1], 4, &mut Draws(2));
        let events = search.take_events();
        let tree = search.tree();
        let count = |is: &dyn Fn(&Event) -> bool| events.iter().filter(|&event| is(event)).count();
        let stems =
            tree.nodes().filter(|&node| node != 0).count() - count(&|event| matches!(event, Event::Sampled { .. }));
        assert!(stems == 0 || ["refine", "omega"].contains(&name), "{name}");
        let pruned = tree.nodes().filter(|&node| tree.is_pruned(node)).count();
        assert_eq!(count(&|event| matches!(event, Event::Pruned { .. })), pruned, "{name}");
        let failed = events.iter().map(|event| match event {
            Event::Failed { count, .. } => u64::from(*count),
            _ => 0,
        });
        assert_eq!(failed.sum::<u64>(), search.spent().failures, "{name}");
        assert!(matches!(events.last(), Some(Event::Chosen { .. })), "{name}");
        assert!(search.take_events().is_empty());
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }
}

#[test]
fn a_request_is_written_to_the_end_only_where_the_strategy_says_so() {
    for (name, config) in strategies() {
        let whole = ["best of n", "majority", "weighted vote", "refine", "omega"].contains(&name);
        let mut search = new(&config, Budget::default());
        let mut steps = 0;
        while let Ask::Requests(requests) = search.ask(1, 0) {
            steps += u32::from(requests[0].until == Until::Step);
            settle(&mut search, &World::new(1), &requests[0]);
        }
        assert_eq!(steps == 0, whole, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A driver that does anything at any time: asks, tells out of order, fails, snapshots, restores, makes mistakes.
    #[test]
    fn a_random_driver_comes_to_the_same_end(
        which in 0usize..12,
        seed in any::<u64>(),
        budget in 0usize..5,
        moves in prop::collection::vec((0u8..8, any::<u32>()), 0..200),
    ) {
        let (_, config) = strategies().swap_remove(which);
        let budget = budgets()[budget];
        let world = World { failing: 6, short: 5, ..World::new(seed) };
        let mut plain = new(&config, budget);
        let outcome = drive(&mut plain, &world);
        let mut search = new(&config, budget);
        let mut out: Vec<Request> = vec![];
        for (choice, draw) in moves {
            let draw = draw as usize;
            match choice {
                0..=2 => if let Ask::Requests(requests) = search.ask(draw % 5, 0) { out.extend(requests) },
                3..=5 if !out.is_empty() => {
                    let request = out.swap_remove(draw % out.len());
                    settle(&mut search, &world, &request);
                }
                6 => {
                    let text = serde_json::to_string(&search.snapshot()).unwrap();
                    search = Search::restore(serde_json::from_str(&text).unwrap()).unwrap();
                }
                _ => {
                    prop_assert!(search.tell(draw as u32, &[]).is_err());
                    prop_assert!(search.group(&[(u32::MAX, None)]).is_err());
                }
            }
        }
        let found = drive_wide(&mut search, &world, 200_000, &mut Draws(seed));
        prop_assert_eq!(found, outcome);
        prop_assert!(bytes(&search) == bytes(&plain));
    }
}
