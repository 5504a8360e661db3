//! OmegaPRM (Luo et al., arXiv 2406.06592): a tree of prefixes whose rollouts are graded, for step labels rather than for an
//! answer. MC of a prefix is the share of its rollouts that are right. Of all wrong rollouts of prefixes with 0 < MC < 1 the
//! one with the highest [`omega_q`] + [`omega_u`] is searched for its first error by bisection: where rollouts from the middle
//! are ever right the error is behind it, else before. Prefixes are states, found again by their text, with what was rolled
//! out from them; the rollouts of each new one are searched later in their turn.
//!
//! A false negative sends the bisection to the left for good, so the border that it finds is tested again by fresh rollouts
//! from behind the wrong step. Where one of these is right, the search goes on behind it, up to the nearest prefix that had
//! none. What is found is told as an [`Event::FirstError`](crate::Event).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Plan, Purpose, Strategy};
use crate::config;
use crate::event::Event;
use crate::formulas::{omega_q, omega_u};
use crate::request::{Stem, Until};
use crate::tree::{MOST_COUNTED, NodeId, ROOT, Tree};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Omega {
    pub(super) config: config::Omega,
    /// What is rolled out now.
    test: Option<Test>,
    /// The bisection that waits for it; none while the root is rolled out.
    bisection: Option<Bisection>,
    /// Bisections that were begun.
    searches: u32,
    /// N of states that were selected.
    selected: BTreeMap<NodeId, u32>,
    /// States by their text.
    states: BTreeMap<u64, NodeId>,
    /// States of rollouts whose text nobody hashed.
    stems: Vec<(Stem, NodeId)>,
    /// Wrong rollouts that were not searched yet, in the order in which they were asked.
    pool: Vec<NodeId>,
    /// The texts that are or were in the pool.
    pooled: BTreeSet<u64>,
    /// States that were tested again.
    retested: BTreeSet<NodeId>,
    /// Found since the search last looked.
    #[serde(skip)]
    found: Vec<Event>,
}

/// Rollouts from one state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Test {
    /// The state; where there is a stem, the node of which it is a part.
    node: NodeId,
    stem: Option<Stem>,
    /// Rollouts that are not asked yet.
    left: u32,
    /// Rollouts that the state has already.
    known: u32,
}

/// A wrong rollout on the way to its first error. Prefixes by how many of its own steps they have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bisection {
    rollout: NodeId,
    /// The longest prefix with a right rollout; 0 is the state of the rollout itself.
    right: u32,
    /// Longer ones without: each is shorter than that before it, the whole rollout is the first.
    wrong: Vec<u32>,
    /// The prefix that is rolled out.
    at: u32,
}

impl Omega {
    pub(crate) fn new(config: &config::Omega) -> Self {
        Self {
            test: Some(Test {
                node: ROOT,
                stem: None,
                left: config.rollouts,
                known: 0,
            }),
            config: config.clone(),
            bisection: None,
            searches: 0,
            selected: BTreeMap::new(),
            states: BTreeMap::new(),
            stems: vec![],
            pool: vec![],
            pooled: BTreeSet::new(),
            retested: BTreeSet::new(),
            found: vec![],
        }
    }

    /// The state that is the first `steps` steps of a rollout, if there is one.
    fn state(&self, tree: &Tree, rollout: NodeId, steps: u32) -> Option<NodeId> {
        if steps == 0 {
            return tree.parent(rollout);
        }
        if let Some(text) = tree.prefix(rollout, steps) {
            return self.states.get(&text).copied();
        }
        let stem = Stem { of: rollout, steps };
        let known = self.stems.iter().find(|(known, _)| *known == stem);
        known.map(|&(_, node)| node)
    }

    /// Takes in rollouts of `state`.
    fn count(&mut self, tree: &mut Tree, state: NodeId, new: Range<NodeId>) {
        for rollout in new {
            // What the budget cut might have become right.
            if !tree.has(rollout) || tree.is_cut_by_budget(rollout) {
                continue;
            }
            let right = tree.is_correct(rollout);
            tree.visit(state, tree.total(state) + f64::from(u8::from(right)));
            if right || tree.is_cut(rollout) || tree.steps(rollout) == 0 {
                continue;
            }
            let text = tree.prefix(rollout, tree.steps(rollout));
            if text.is_none_or(|text| self.pooled.insert(text)) {
                self.pool.push(rollout);
            }
        }
    }

    /// Takes the best wrong rollout from the pool, the first of equal ones.
    fn select(&mut self, tree: &Tree) -> Option<NodeId> {
        let all: u64 = self.selected.values().copied().map(u64::from).sum();
        let rank = |&rollout: &NodeId| {
            let state = tree.parent(rollout)?;
            let mc = tree.value(state)?;
            let tokens = tree.tokens(rollout).saturating_sub(tree.tokens(state));
            let selected = self.selected.get(&state).copied().unwrap_or(0);
            let config::Omega {
                alpha, beta, length, c, ..
            } = self.config;
            #[allow(clippy::cast_precision_loss)]
            let explored = omega_u(c, all as f64, f64::from(selected));
            (mc > 0.0).then(|| omega_q(alpha, beta, length, mc, f64::from(tokens)) + explored)
        };
        let ranked = self.pool.iter().enumerate();
        let ranked = ranked.filter_map(|(index, rollout)| Some((index, rank(rollout)?)));
        let (index, _) = ranked.reduce(|best, one| if one.1 > best.1 { one } else { best })?;
        Some(self.pool.remove(index))
    }

    /// Goes on as far as it can without another rollout.
    fn go_on(&mut self, tree: &Tree) {
        while self.test.is_none() {
            let Some(bisection) = self.bisection.take() else {
                if self.searches == self.config.searches {
                    return;
                }
                let Some(rollout) = self.select(tree) else { return };
                self.searches += 1;
                if let Some(state) = tree.parent(rollout) {
                    *self.selected.entry(state).or_default() += 1;
                }
                self.bisection = Some(Bisection {
                    rollout,
                    right: 0,
                    wrong: vec![tree.steps(rollout)],
                    at: 0,
                });
                continue;
            };
            self.narrow(tree, bisection);
        }
    }

    /// One turn of a bisection: it asks for a test, finds, or goes on by what is known.
    fn narrow(&mut self, tree: &Tree, mut bisection: Bisection) {
        let Bisection { rollout, right, .. } = bisection;
        let Some(&wrong) = bisection.wrong.last() else { return };
        let middle = u32::midpoint(right, wrong);
        if middle > right {
            bisection.at = middle;
            let state = self.state(tree, rollout, middle);
            match state.filter(|&state| tree.visits(state) > 0) {
                Some(state) => bisection.learn(tree.total(state) > 0.0),
                None => self.test = Some(self.first_test(tree, rollout, middle, state)),
            }
            self.bisection = Some(bisection);
            return;
        }
        let behind = self.state(tree, rollout, wrong).filter(|_| bisection.wrong.len() > 1);
        let again = self.config.again();
        match behind {
            Some(state) if again > 0 && self.retested.insert(state) => {
                bisection.at = wrong;
                self.bisection = Some(bisection);
                self.test = Some(Test {
                    node: state,
                    stem: None,
                    left: again,
                    known: tree.visits(state),
                });
            }
            // It turned out to lead to the answer, in another bisection or just now.
            Some(state) if tree.total(state) > 0.0 => {
                bisection.wrong.pop();
                bisection.right = wrong;
                self.bisection = Some(bisection);
            }
            _ => {
                if let Some(before) = self.state(tree, rollout, right) {
                    self.found.push(Event::FirstError {
                        node: rollout,
                        step: right,
                        before,
                        behind,
                    });
                }
            }
        }
    }

    fn first_test(&self, tree: &Tree, rollout: NodeId, steps: u32, state: Option<NodeId>) -> Test {
        let stem = Stem { of: rollout, steps };
        Test {
            node: state.or_else(|| tree.parent(rollout)).unwrap_or(ROOT),
            stem: state.is_none().then_some(stem),
            left: self.config.rollouts,
            known: 0,
        }
    }
}

impl Bisection {
    /// Whether rollouts from the prefix in hand are ever right.
    fn learn(&mut self, right: bool) {
        if right {
            self.right = self.at;
        } else {
            self.wrong.push(self.at);
        }
    }

    fn is_sound(&self, length: u32) -> bool {
        let falling = self.wrong.windows(2).all(|pair| pair[0] > pair[1]);
        let counted = self.wrong.iter().chain([&self.at]).all(|&steps| steps < MOST_COUNTED);
        self.rollout < length
            && falling
            && counted
            && self
                .wrong
                .last()
                .is_some_and(|&wrong| self.right < wrong && self.at <= self.wrong[0])
    }
}

impl Strategy for Omega {
    fn next(&self, _: &Tree) -> Option<Plan> {
        let Test { node, stem, left, .. } = self.test.filter(|test| test.left > 0)?;
        Some(Plan {
            stem,
            ..Plan::grow(node, left, Until::Answer)
        })
    }

    fn asked(&mut self, tree: &mut Tree, plan: &Plan, count: u32) {
        let Some(test) = self.test.as_mut().filter(|_| plan.purpose != Purpose::Close) else {
            return;
        };
        test.left = test.left.saturating_sub(count);
        test.node = plan.node;
        if let Some(stem) = test.stem.take() {
            match tree.prefix(stem.of, stem.steps) {
                Some(text) => {
                    self.states.insert(text, plan.node);
                }
                None => self.stems.push((stem, plan.node)),
            }
        }
    }

    fn settled(&mut self, tree: &mut Tree, plan: &Plan, new: Range<NodeId>) {
        if plan.purpose == Purpose::Close {
            return;
        }
        self.count(tree, plan.node, new);
        let Some(Test { known, .. }) = self.test.take_if(|test| test.left == 0) else {
            return;
        };
        if tree.visits(plan.node) == known {
            // All failed, so nothing is learned: the bisection is given up.
            self.bisection = None;
            self.retested.remove(&plan.node);
        } else if known == 0
            && let Some(bisection) = &mut self.bisection
        {
            bisection.learn(tree.total(plan.node) > 0.0);
        }
        self.go_on(tree);
    }

    fn take_found(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.found)
    }

    fn is_sound(&self, length: u32) -> bool {
        let stem = |stem: &Stem| stem.of < length && stem.steps < MOST_COUNTED;
        let test = self.test.is_none_or(|test| {
            test.node < length && test.left.max(test.known) < MOST_COUNTED && test.stem.as_ref().is_none_or(stem)
        });
        let nodes = [
            self.selected.keys().copied().collect::<Vec<_>>(),
            self.states.values().copied().collect(),
            self.stems.iter().map(|&(_, node)| node).collect(),
            self.pool.clone(),
            self.retested.iter().copied().collect(),
        ];
        test && nodes.concat().into_iter().all(|node| node < length)
            && self.stems.iter().all(|(known, _)| stem(known))
            && self
                .bisection
                .as_ref()
                .is_none_or(|bisection| bisection.is_sound(length))
            && self
                .selected
                .values()
                .chain([&self.searches])
                .all(|&count| count < MOST_COUNTED)
    }
}
