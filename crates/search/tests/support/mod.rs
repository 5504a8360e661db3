//! A world whose continuations depend on their place in the tree alone, and drivers that answer in any order.
#![allow(dead_code)] // Each test file uses a part of it.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use surefoot_search::config::{self, Prior, Select, Value, Widening};
use surefoot_search::{
    Aggregate, Ask, Budget, Caps, Child, Choice, Config, Lookahead, NodeId, Outcome, Request, Scoring, Search, Until,
};

pub(crate) fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Uniform over the multiples of 2⁻²⁴ in [0, 1).
pub(crate) fn uniform(x: u64) -> f32 {
    (mixed(x) >> 40) as f32 / (1u32 << 24) as f32
}

/// Draws in turn.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = mixed(self.0);
        (self.0 % most as u64) as usize
    }
}

#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) seed: u64,
    /// Of so many requests one fails; 0: none.
    pub(crate) failing: u64,
    /// Of so many requests one comes back with fewer continuations; 0: none.
    pub(crate) short: u64,
    /// Of so many steps one ends the answer.
    pub(crate) ending: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            failing: 0,
            short: 0,
            ending: 5,
        }
    }

    /// What a generator and a PRM that keep to the caps would tell; `None`: it fails.
    pub(crate) fn answer(&self, request: &Request) -> Option<Vec<Child>> {
        let key = mixed(request.path ^ self.seed);
        if self.failing > 0 && mixed(key ^ 1).is_multiple_of(self.failing) {
            return None;
        }
        let short = self.short > 0 && mixed(key ^ 2).is_multiple_of(self.short);
        let count = if short {
            request.count.div_ceil(2)
        } else {
            request.count
        };
        let mut left = request.caps;
        Some(
            (0..count)
                .map(|index| self.child(request, &mut left, mixed(key ^ u64::from(index) << 8)))
                .collect(),
        )
    }

    /// Of two steps each way, so that some rollouts begin alike.
    fn prefixes(&self, node: NodeId, steps: u32, key: u64) -> Vec<u64> {
        let step = |text: &mut u64, index: u32| {
            *text = mixed(*text ^ (mixed(key ^ u64::from(200 + index)) % 2));
            Some(*text)
        };
        (0..steps).scan(mixed(self.seed ^ u64::from(node) << 9), step).collect()
    }

    fn child(&self, request: &Request, left: &mut Caps, key: u64) -> Child {
        let whole = request.until == Until::Answer;
        let empty = mixed(key ^ 3).is_multiple_of(40);
        let steps = if empty {
            0
        } else if whole {
            1 + (mixed(key ^ 4) % 4) as u32
        } else {
            1
        };
        let wanted = 1 + steps * (5 + (mixed(key ^ 5) % 20) as u32);
        let policy_tokens = wanted.min(left.policy_tokens);
        let cut = wanted > policy_tokens;
        let ended = !cut && (whole || empty || mixed(key ^ 6).is_multiple_of(self.ending));
        let looked = match request.lookahead {
            Lookahead::None => 0,
            Lookahead::Steps(steps) => steps.min(50),
            Lookahead::Answer => 2,
        };
        let ahead_tokens = (looked * 7).min(left.ahead_tokens);
        let prm_tokens = policy_tokens + ahead_tokens + 2;
        let fits = left.prm_tokens.is_none_or(|cap| u64::from(prm_tokens) <= cap);
        let scored = request.score != Scoring::None && fits;
        if let (true, Some(cap)) = (scored, left.prm_tokens.as_mut()) {
            *cap -= u64::from(prm_tokens);
        }
        let due = match request.score {
            _ if !scored => 0,
            Scoring::None => 0,
            Scoring::Last => steps.min(1),
            Scoring::All => steps,
        };
        let score = |index: u32| uniform(key ^ u64::from(100 + index));
        Child {
            policy_tokens,
            ahead_tokens,
            prefill_tokens: 0,
            prm_tokens: if scored { prm_tokens } else { 0 },
            steps,
            scores: (0..due).map(score).collect(),
            ahead: if scored {
                (0..looked).map(|index| score(50 + index)).collect()
            } else {
                vec![]
            },
            rollout: None,
            log_prior: request.priors.then(|| uniform(key ^ 7) * -2.0),
            ended,
            cut,
            // Few texts, so that some repeat.
            text: Some(mixed(key ^ 8) % 6),
            correct: Some(ended && mixed(key ^ 9).is_multiple_of(3)),
            prefixes: self.prefixes(request.node, steps, key),
        }
    }
}

/// Whether the strategy never asks for scores.
pub(crate) fn is_unscored(name: &str) -> bool {
    ["majority", "omega"].contains(&name)
}

/// The answer that a solution gives: one in ten gives none.
pub(crate) fn group(search: &Search, node: NodeId) -> Option<u32> {
    let draw = mixed(search.tree().path(node));
    (!draw.is_multiple_of(10)).then_some((draw >> 8) as u32 % 3)
}

pub(crate) fn group_all(search: &mut Search) {
    let nodes: Vec<_> = search.solutions().iter().map(|one| one.node).collect();
    let groups: Vec<_> = nodes.into_iter().map(|node| (node, group(search, node))).collect();
    search.group(&groups).unwrap();
}

pub(crate) fn settle(search: &mut Search, world: &World, request: &Request) -> Range<NodeId> {
    match world.answer(request) {
        Some(children) => search.tell(request.id, &children).unwrap(),
        None => {
            search.fail(request.id).unwrap();
            0..0
        }
    }
}

/// One request at a time.
pub(crate) fn drive(search: &mut Search, world: &World) -> Outcome {
    drive_wide(search, world, 1, &mut Draws(0))
}

/// Up to `wide` requests at a time, told in a random order.
pub(crate) fn drive_wide(search: &mut Search, world: &World, wide: usize, draws: &mut Draws) -> Outcome {
    let mut out: Vec<Request> = search.outstanding();
    loop {
        match search.ask(wide - out.len().min(wide), 0) {
            Ask::Requests(requests) => out.extend(requests),
            Ask::Wait => {}
            Ask::Done(_) => {
                group_all(search);
                return search.outcome().unwrap();
            }
        }
        assert!(!out.is_empty(), "a search that waits has something out");
        assert!(out.len() <= wide);
        let request = out.swap_remove(draws.below(out.len()));
        settle(search, world, &request);
    }
}

/// The search as bytes: all of it that there is.
pub(crate) fn bytes(search: &Search) -> Vec<u8> {
    serde_json::to_vec(&search.snapshot()).unwrap()
}

/// Every strategy, with settings that touch every part of it.
pub(crate) fn strategies() -> Vec<(&'static str, Config)> {
    let beam = config::Beam {
        depth: 6,
        ..config::Beam::default()
    };
    let mcts = config::Mcts {
        simulations: Some(40),
        depth: 6,
        ..config::Mcts::default()
    };
    let widening = Widening {
        factor: 1.5,
        exponent: 0.5,
        most: 6,
    };
    vec![
        ("best of n", Config::BestOfN(config::BestOfN::default())),
        ("majority", Config::Majority(config::Majority::default())),
        ("weighted vote", Config::WeightedVote(config::WeightedVote::default())),
        ("beam", Config::Beam(beam.clone())),
        (
            "beam that looks ahead",
            Config::Beam(config::Beam {
                lookahead: 2,
                dedupe: false,
                rank: Aggregate::Product,
                aggregate: Aggregate::Mean,
                choose: Choice::Best,
                ..beam
            }),
        ),
        (
            "dvts",
            Config::Dvts(config::Dvts {
                depth: 6,
                ..config::Dvts::default()
            }),
        ),
        (
            "rebase",
            Config::Rebase(config::Rebase {
                depth: 6,
                batch: 3,
                ..config::Rebase::default()
            }),
        ),
        ("uct", Config::Mcts(mcts.clone())),
        (
            "puct",
            Config::Mcts(config::Mcts {
                select: Select::Puct {
                    base: 19652.0,
                    init: 1.25,
                    prior: Prior::LogProbability { temperature: 1.0 },
                },
                leaf: config::Leaf::Own,
                unvisited: config::Unvisited::First,
                batch: 7,
                choose: Choice::Visits,
                ..mcts.clone()
            }),
        ),
        (
            "mcts that widens",
            Config::Mcts(config::Mcts {
                children: 2,
                widening: Some(widening),
                parallel: config::Parallel::VirtualLoss { count: 2.0, loss: 1.0 },
                value: Value::Rollout,
                backup: config::Backup::Max,
                rank: Aggregate::Min,
                choose: Choice::Value,
                ..mcts
            }),
        ),
        (
            "refine",
            Config::Refine(config::Refine {
                samples: 2,
                threshold: 0.6,
                ..config::Refine::default()
            }),
        ),
        (
            "omega",
            Config::Omega(config::Omega {
                rollouts: 4,
                searches: 12,
                retest: Some(5),
                ..config::Omega::default()
            }),
        ),
    ]
}

pub(crate) fn new(config: &Config, budget: Budget) -> Search {
    let mut search = Search::new(config.clone(), budget).unwrap();
    search.trace(true);
    search
}
