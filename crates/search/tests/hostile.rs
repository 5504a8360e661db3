//! Settings out of their range, snapshots that do not hold together, budgets that allow next to nothing.

mod support;

use proptest::prelude::*;
use support::{Draws, World, config, drive, drive_wide, is_unscored, new, strategies};
use surefoot_search::{Ask, Budget, Caps, Child, Config, Finish, Limit, Search, Snapshot, budget::Costs};

fn kind(json: &str) -> &'static str {
    Search::new(
        config(json),
        Budget {
            ms: Some(9),
            ..Budget::default()
        },
    )
    .unwrap_err()
    .kind()
}

#[test]
fn settings_out_of_their_range_are_refused() {
    for json in [
        r#"{ "strategy": "bestOfN", "n": 0 }"#,
        r#"{ "strategy": "bestOfN", "batch": 0 }"#,
        r#"{ "strategy": "majority", "n": 4000000000 }"#,
        r#"{ "strategy": "weightedVote", "answerTokens": 0 }"#,
        r#"{ "strategy": "beam", "width": 0 }"#,
        r#"{ "strategy": "beam", "width": 100000, "expansions": 2 }"#,
        r#"{ "strategy": "beam", "stepTokens": 0 }"#,
        r#"{ "strategy": "beam", "choose": "visits" }"#,
        r#"{ "strategy": "dvts", "trees": 0 }"#,
        r#"{ "strategy": "rebase", "temperature": 0 }"#,
        r#"{ "strategy": "mcts", "children": 0 }"#,
        r#"{ "strategy": "mcts", "select": { "by": "uct", "c": -1 } }"#,
        r#"{ "strategy": "mcts", "select": { "by": "puct", "prior": { "from": "logProbability", "temperature": 0 } } }"#,
        r#"{ "strategy": "mcts", "widening": { "factor": 0, "exponent": 0.5, "most": 9 } }"#,
        r#"{ "strategy": "mcts", "parallel": { "by": "virtualLoss", "count": -1, "loss": 1 } }"#,
        r#"{ "strategy": "refine", "samples": 0 }"#,
        r#"{ "strategy": "omega", "rollouts": 0 }"#,
        r#"{ "strategy": "omega", "alpha": 0 }"#,
        r#"{ "strategy": "omega", "beta": -0.9 }"#,
        r#"{ "strategy": "omega", "length": 0 }"#,
        r#"{ "strategy": "omega", "c": -1 }"#,
        r#"{ "strategy": "omega", "retest": 4000000000 }"#,
        r#"{ "strategy": "omega", "searches": 4000000000 }"#,
    ] {
        assert_eq!(kind(json), "config", "{json}");
    }
    assert_eq!(
        Search::new(config(r#"{ "strategy": "mcts" }"#), Budget::default())
            .unwrap_err()
            .kind(),
        "unbounded"
    );
    for budget in [
        Budget {
            flops: Some(f64::NAN),
            ..Budget::default()
        },
        Budget {
            flops: Some(1e9),
            ..Budget::default()
        },
        Budget {
            reserve: 1.0,
            ..Budget::default()
        },
        Budget {
            costs: Costs { policy: -1.0, prm: 1.0 },
            ..Budget::default()
        },
    ] {
        let found = Search::new(config(r#"{ "strategy": "bestOfN" }"#), budget);
        assert_eq!(found.unwrap_err().kind(), "config", "{budget:?}");
    }
}

#[test]
fn a_setting_that_does_not_exist_is_refused() {
    for json in [
        r#"{ "strategy": "bestOfN", "m": 4 }"#,
        r#"{ "strategy": "beam", "beamWidth": 4 }"#,
        r#"{ "strategy": "mcts", "select": { "by": "uct", "d": 4 } }"#,
        r#"{ "strategy": "alphaBeta" }"#,
    ] {
        assert!(serde_json::from_str::<Config>(json).is_err(), "{json}");
    }
    assert!(serde_json::from_str::<Budget>(r#"{ "token": 4 }"#).is_err());
    for (_, config) in strategies() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    }
}

#[test]
fn the_smallest_budgets_hold_and_are_used() {
    for (name, config) in strategies() {
        for most in 0..60 {
            for budget in [
                Budget {
                    generations: Some(most),
                    ..Budget::default()
                },
                Budget {
                    policy_tokens: Some(most),
                    ..Budget::default()
                },
                Budget {
                    prm_tokens: Some(most),
                    ..Budget::default()
                },
                Budget {
                    flops: Some(most as f64),
                    costs: Costs { policy: 1.0, prm: 1.0 },
                    ..Budget::default()
                },
            ] {
                let mut search = new(&config, budget);
                let outcome = drive_wide(&mut search, &World::new(most), 3, &mut Draws(most));
                let spent = outcome.spent;
                assert!(
                    budget.generations.is_none_or(|limit| spent.generations <= limit),
                    "{name} {budget:?}"
                );
                assert!(
                    budget.policy_tokens.is_none_or(|limit| spent.policy_tokens <= limit),
                    "{name} {budget:?}"
                );
                assert!(
                    budget.prm_tokens.is_none_or(|limit| spent.prm_tokens <= limit),
                    "{name} {budget:?}"
                );
                assert!(
                    budget.flops.is_none_or(|limit| spent.flops <= limit),
                    "{name} {budget:?}"
                );
                // A token that is written and scored takes two FLOPs.
                let least = if budget.flops.is_some() && !is_unscored(name) {
                    2
                } else {
                    1
                };
                let asked = most >= least;
                let free = is_unscored(name) && budget.prm_tokens.is_some();
                assert_eq!(spent.generations > 0, asked || free, "{name} {budget:?}");
                if outcome.finish == Finish::Complete {
                    assert_eq!(outcome.limit, None);
                }
            }
        }
    }
}

/// One request out of a search that has had `spent` tokens.
fn caps(json: &str, budget: Budget) -> Vec<(u32, Caps)> {
    let mut search = Search::new(config(json), budget).unwrap();
    match search.ask(99, 0) {
        Ask::Requests(requests) => requests.iter().map(|request| (request.count, request.caps)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn caps_are_what_fits_with_all_that_is_out() {
    let tokens = |tokens: u64| Budget {
        policy_tokens: Some(tokens),
        ..Budget::default()
    };
    let of = |json: &str, budget| -> Vec<_> {
        caps(json, budget)
            .iter()
            .map(|(count, caps)| (*count, caps.policy_tokens))
            .collect()
    };
    // Three answers of 2048 fit 7000 tokens; the fourth waits for what these give back.
    assert_eq!(of(r#"{ "strategy": "bestOfN" }"#, tokens(7000)), [(1, 2048); 3]);
    // Where not even one fits, it is shorter.
    assert_eq!(of(r#"{ "strategy": "bestOfN" }"#, tokens(100)), [(1, 100)]);
    // A step is at most 512 tokens, four are 2048: of 2000, less the fifth that is kept, three fit.
    assert_eq!(of(r#"{ "strategy": "mcts" }"#, tokens(2000)), [(3, 512)]);
    let kept = Budget {
        reserve: 0.0,
        ..tokens(2048)
    };
    assert_eq!(of(r#"{ "strategy": "mcts" }"#, kept), [(4, 512)]);
    // Of 1000 PRM tokens each of two requests has its half.
    let prm = Budget {
        prm_tokens: Some(1000),
        ..Budget::default()
    };
    let shares = caps(r#"{ "strategy": "bestOfN", "batch": 2 }"#, prm);
    assert_eq!(
        shares.iter().map(|(_, caps)| caps.prm_tokens).collect::<Vec<_>>(),
        [Some(500); 2]
    );
    assert_eq!(caps(r#"{ "strategy": "majority", "n": 1 }"#, prm)[0].1.prm_tokens, None);
    // 100 FLOPs at 2 and 3 a token: 20 tokens are written and scored for 5 each.
    let flops = Budget {
        flops: Some(100.0),
        costs: Costs { policy: 2.0, prm: 3.0 },
        ..Budget::default()
    };
    let found = caps(r#"{ "strategy": "bestOfN", "batch": 2 }"#, flops);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].1,
        Caps {
            policy_tokens: 20,
            ahead_tokens: 0,
            prm_tokens: Some(20),
            flops: Some(100.0)
        }
    );
    assert_eq!(caps(r#"{ "strategy": "majority" }"#, flops)[0].1.policy_tokens, 50);
}

#[test]
fn what_the_prm_has_no_budget_for_comes_unscored_and_nothing_more_is_asked() {
    let budget = Budget {
        prm_tokens: Some(30),
        ..Budget::default()
    };
    let mut search = new(&config(r#"{ "strategy": "bestOfN", "batch": 1 }"#), budget);
    let child = |prm_tokens, scores: &[f32]| Child {
        policy_tokens: 9,
        prm_tokens,
        steps: 1,
        scores: scores.to_vec(),
        ended: true,
        ..Child::default()
    };
    for told in [child(20, &[0.3]), child(0, &[])] {
        let Ask::Requests(requests) = search.ask(1, 0) else {
            panic!()
        };
        search.tell(requests[0].id, &[told]).unwrap();
    }
    let Ask::Done(outcome) = search.ask(1, 0) else { panic!() };
    assert_eq!(
        (outcome.finish, outcome.limit),
        (Finish::Budget, Some(Limit::PrmTokens))
    );
    assert_eq!(outcome.chosen.unwrap().score, Some(f64::from(0.3f32)));
    assert_eq!(search.solutions()[1].score, None);
}

#[test]
fn a_server_that_tells_no_tokens_cannot_go_on_for_ever() {
    let budget = Budget {
        policy_tokens: Some(50),
        ..Budget::default()
    };
    let mut search = new(&config(r#"{ "strategy": "mcts" }"#), budget);
    let mut asked = 0;
    while let Ask::Requests(requests) = search.ask(1, 0) {
        let child = Child {
            steps: 1,
            scores: vec![0.5],
            ..Child::default()
        };
        search
            .tell(requests[0].id, &vec![child; requests[0].count as usize])
            .unwrap();
        asked += requests[0].count;
    }
    assert!(asked <= 50, "{asked}");
}

#[test]
fn a_snapshot_of_another_version_or_one_that_was_cut_is_refused() {
    let (_, config) = strategies().remove(7);
    let mut search = new(&config, Budget::default());
    drive(&mut search, &World::new(1));
    let whole = serde_json::to_value(search.snapshot()).unwrap();
    let restore = |value: serde_json::Value| Search::restore(serde_json::from_value::<Snapshot>(value).unwrap());
    assert!(restore(whole.clone()).is_ok());
    let mut other = whole.clone();
    other["version"] = 2.into();
    assert_eq!(restore(other).unwrap_err().kind(), "snapshot");
    for column in [
        "depth",
        "tokens",
        "steps",
        "scores_end",
        "scores",
        "text",
        "path",
        "group",
        "asked",
        "log_prior",
        "hot",
    ] {
        let mut other = whole.clone();
        other["search"]["tree"][column].as_array_mut().unwrap().pop();
        assert_eq!(restore(other).unwrap_err().kind(), "snapshot", "{column}");
    }
    let mut other = whole;
    other["search"]["config"]["children"] = 0.into();
    assert_eq!(restore(other).unwrap_err().kind(), "config");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A number anywhere in a snapshot is another one: it is refused, or the search still comes to an end.
    #[test]
    fn a_snapshot_that_was_changed_anywhere_never_panics(
        which in 0usize..12, steps in 0usize..12, at in any::<prop::sample::Index>(), to in prop::sample::select(vec![0u64, 1, 2, 7, 1000, u64::from(u32::MAX)]),
    ) {
        let (_, config) = strategies().swap_remove(which);
        let mut search = new(&config, Budget { generations: Some(60), ..Budget::default() });
        let mut out = vec![];
        for _ in 0..steps {
            if let Ask::Requests(requests) = search.ask(3, 0) { out.extend(requests) }
            if out.is_empty() { break }
            let request = out.remove(0);
            support::settle(&mut search, &World::new(1), &request);
        }
        let mut value = serde_json::to_value(search.snapshot()).unwrap();
        let count = numbers(&mut value["search"], &mut |_| {});
        let mut left = at.index(count);
        numbers(&mut value["search"], &mut |number| {
            if left == 0 { *number = to.into() }
            left = left.wrapping_sub(1);
        });
        let Ok(snapshot) = serde_json::from_value::<Snapshot>(value) else { return Ok(()) };
        let Ok(mut search) = Search::restore(snapshot) else { return Ok(()) };
        let mut out = search.outstanding();
        for _ in 0..300 {
            match search.ask(3, 0) {
                Ask::Requests(requests) => out.extend(requests),
                Ask::Wait => {}
                Ask::Done(_) => break,
            }
            if out.is_empty() { break }
            let request = out.remove(0);
            if let Some(children) = World::new(1).answer(&request) { let _ = search.tell(request.id, &children); }
        }
        search.abort();
        let _ = search.outcome();
        let _ = search.solutions();
    }
}

fn numbers(value: &mut serde_json::Value, change: &mut impl FnMut(&mut serde_json::Value)) -> usize {
    match value {
        serde_json::Value::Number(_) => {
            change(value);
            1
        }
        serde_json::Value::Array(all) => all.iter_mut().map(|one| numbers(one, change)).sum(),
        serde_json::Value::Object(all) => all.iter_mut().map(|(_, one)| numbers(one, change)).sum(),
        _ => 0,
    }
}
