//! PUCT beside mctx's, on random tables (scripts/search/mctx_visits.py): every node has the same visits.

mod support;

use std::collections::BTreeMap;

use serde::Deserialize;
use support::{config, fixture};
use surefoot_search::{Ask, Budget, Child, Config, ROOT, Search};

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    simulations: u32,
    next: Vec<Vec<usize>>,
    value: Vec<f32>,
    logits: Vec<Vec<f32>>,
    visits: BTreeMap<String, u32>,
}

#[test]
fn every_node_is_visited_as_often_as_in_mctx() {
    let Fixture { cases } = fixture("search/mctx.json");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let Config::Mcts(mut mcts) = config(
            r#"{ "strategy": "mcts", "batch": 1, "leaf": "own", "dedupe": false, "depth": 10000, "select": { "by": "puct" } }"#,
        ) else {
            unreachable!()
        };
        let actions = case.next[0].len();
        mcts.children = actions as u32;
        // mctx begins with an expanded root, which takes us a simulation.
        mcts.simulations = Some(case.simulations + 1);
        let mut search = Search::new(Config::Mcts(mcts), Budget::default()).unwrap();
        let mut names = vec![String::new()];
        let mut states = vec![0];
        let mut asked = 0;
        while let Ask::Requests(requests) = search.ask(1, 0) {
            let request = requests[0];
            let state: usize = states[request.node as usize];
            let children: Vec<_> = (0..actions)
                .map(|action| Child {
                    policy_tokens: 1,
                    steps: 1,
                    scores: vec![case.value[case.next[state][action]]],
                    log_prior: Some(case.logits[state][action]),
                    ..Child::default()
                })
                .collect();
            for action in 0..actions {
                names.push(format!("{}{action}", names[request.node as usize]));
                states.push(case.next[state][action]);
            }
            search.tell(request.id, &children).unwrap();
            asked += 1;
            if asked > case.simulations {
                break;
            }
        }
        let tree = search.tree();
        let found: BTreeMap<_, _> = tree
            .nodes()
            .filter(|&node| tree.visits(node) > 0)
            .map(|node| (names[node as usize].clone(), tree.visits(node)))
            .collect();
        assert_eq!(found[""], tree.visits(ROOT));
        assert_eq!(found, case.visits);
    }
}
