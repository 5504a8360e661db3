//! Beam search over steps (Snell et al., arXiv 2408.03314), as huggingface/search-and-learn has it (`beam_search.py`): a
//! level has N = width · expansions continuations; of those that go on, the `width` with the highest value survive, the
//! first of equal ones (its `argsort` leaves that open, and of a few keeps the last); the survivors, in the order in which
//! they were asked, are dealt out to N again. Paths that have their end are kept apart and take no place. The last level is
//! written to the end.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::level::Level;
use super::{Plan, Purpose, Strategy};
use crate::config;
use crate::request::{Lookahead, Until};
use crate::tree::{NodeId, ROOT, Tree};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beam {
    pub(super) config: config::Beam,
    level: Level,
}

impl Beam {
    pub(crate) fn new(config: &config::Beam) -> Self {
        Self {
            config: config.clone(),
            level: Level::new(vec![(ROOT, config.expansions); config.width as usize]),
        }
    }
}

impl Strategy for Beam {
    fn next(&self, _: &Tree) -> Option<Plan> {
        let (node, count) = self.level.next()?;
        if self.level.depth + 1 == self.config.depth {
            return Some(Plan::grow(node, count, Until::Answer));
        }
        let lookahead = match self.config.lookahead {
            0 => Lookahead::None,
            steps => Lookahead::Steps(steps),
        };
        Some(Plan {
            lookahead,
            ..Plan::grow(node, count, Until::Step)
        })
    }

    fn asked(&mut self, _: &mut Tree, plan: &Plan, count: u32) {
        if plan.purpose != Purpose::Close {
            self.level.asked(count);
        }
    }

    fn settled(&mut self, tree: &mut Tree, plan: &Plan, new: Range<NodeId>) {
        if plan.purpose == Purpose::Close {
            return;
        }
        let Some(found) = self.level.settled(tree, new) else {
            return;
        };
        let goes_on = |&node: &NodeId| !tree.is_finished(node) && !tree.is_repeated(node);
        let (running, out): (Vec<_>, Vec<_>) = found.into_iter().partition(goes_on);
        let last = self.level.depth + 1 == self.config.depth;
        let survivors = if last {
            running
        } else {
            survivors(tree, &running, self.config.width)
        };
        for node in out {
            if tree.is_repeated(node) {
                tree.prune(node);
            }
        }
        let beams = self.config.width * self.config.expansions;
        self.level.descend(if last { vec![] } else { dealt(&survivors, beams) });
    }

    fn is_sound(&self, length: u32) -> bool {
        self.level.is_sound(length)
    }
}

/// The `width` with the highest value, the first of equal ones, in the order of `nodes`; the others are pruned.
fn survivors(tree: &mut Tree, nodes: &[NodeId], width: u32) -> Vec<NodeId> {
    let value = |node: NodeId| tree.estimate(node).unwrap_or(f64::NEG_INFINITY);
    let mut ranked = nodes.to_vec();
    ranked.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    let mut best = ranked.split_off(ranked.len().min(width as usize));
    std::mem::swap(&mut best, &mut ranked);
    for node in ranked {
        tree.prune(node);
    }
    best.sort_unstable();
    best
}

/// `count` continuations dealt out to the nodes in turn.
fn dealt(nodes: &[NodeId], count: u32) -> Vec<(NodeId, u32)> {
    let hands = nodes.len() as u32;
    let hand = |(index, &node): (usize, &NodeId)| (node, count / hands + u32::from((index as u32) < count % hands));
    let dealt = nodes.iter().enumerate().map(hand);
    dealt.filter(|&(_, count)| count > 0).collect()
}
