//! How long a simulation of MCTS takes, ask and tell included, and how much memory a tree holds:
//! `cargo run --release -p surefoot-search --example simulations`.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use surefoot_search::config::{self, Select};
use surefoot_search::{Ask, Budget, Child, Config, Search};

fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

struct Report {
    nanoseconds: f64,
    nodes: u32,
    bytes: usize,
    depth: u32,
}

/// The mean over the last `window` simulations of a search that ends with about `nodes` nodes.
fn run(select: Select, nodes: u32, window: u32) -> Report {
    let config = config::Mcts {
        simulations: Some(nodes / 4),
        batch: 1,
        depth: 10_000,
        answer_tokens: 10_000_000,
        dedupe: false,
        select,
        aggregate: surefoot_search::Aggregate::Last,
        ..config::Mcts::default()
    };
    let mut search = Search::new(Config::Mcts(config), Budget::default()).unwrap();
    let child = Child {
        policy_tokens: 1,
        prm_tokens: 1,
        steps: 1,
        scores: vec![0.0],
        log_prior: Some(-1.0),
        ..Child::default()
    };
    let mut children = vec![child; 4];
    let (mut begun, mut seen) = (Instant::now(), 0);
    while let Ask::Requests(requests) = search.ask(1, 0) {
        if seen == nodes / 4 - window {
            begun = Instant::now();
        }
        seen += 1;
        for request in requests {
            for (index, child) in children.iter_mut().enumerate() {
                let draw = mixed(request.path ^ index as u64);
                child.scores[0] = (draw >> 40) as f32 / (1u32 << 24) as f32;
            }
            search.tell(request.id, &children).unwrap();
            if seen == nodes / 4 {
                let nanoseconds = begun.elapsed().as_nanos() as f64 / f64::from(window);
                let tree = search.tree();
                return Report {
                    nanoseconds,
                    nodes: tree.len(),
                    bytes: tree.bytes(),
                    depth: tree.nodes().map(|node| tree.depth(node)).max().unwrap(),
                };
            }
        }
    }
    unreachable!("the search goes on for as many simulations as it was given");
}

fn main() {
    let uct = Select::Uct { c: 1.0 };
    let puct: Select = serde_json::from_str(r#"{ "by": "puct" }"#).unwrap();
    for (name, select) in [("UCT", uct), ("PUCT", puct)] {
        for (nodes, window, times) in [(1_000, 200, 400), (1_000_000, 50_000, 5)] {
            let mut all: Vec<_> = (0..times).map(|_| run(select, nodes, window)).collect();
            all.sort_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
            let (least, median) = (&all[0], &all[times / 2]);
            println!(
                "{name:4} {nodes:>9} nodes: {:6.0} ns a simulation (least {:.0}, {times} runs), {:.1} MB ({:.0} bytes a node), {} deep",
                median.nanoseconds,
                least.nanoseconds,
                median.bytes as f64 / 1e6,
                median.bytes as f64 / f64::from(median.nodes),
                median.depth,
            );
        }
    }
}
