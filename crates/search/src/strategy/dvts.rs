//! Diverse verifier tree search (Beeching et al., "Scaling test-time compute with open models", 2024; search-and-learn's
//! `diverse_verifier_tree_search.py`): independent subtrees, each of which keeps the best of its continuations at every
//! step, the first of equal ones. A subtree is done when that one has its end; all continuations of its last expansion are
//! solutions then, and none of those before.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Plan, Purpose, Strategy};
use crate::config;
use crate::request::{Lookahead, Until};
use crate::tree::{MOST_COUNTED, NodeId, ROOT, Tree};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dvts {
    pub(super) config: config::Dvts,
    subtrees: Vec<Subtree>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Subtree {
    node: NodeId,
    /// Expansions before the next.
    depth: u32,
    /// Continuations of the expansion that are not asked yet: the budget may have it in parts.
    left: u32,
    out: u32,
    found: Vec<NodeId>,
}

impl Dvts {
    pub(crate) fn new(config: &config::Dvts) -> Self {
        let subtree = Subtree {
            node: ROOT,
            depth: 0,
            left: config.expansions,
            out: 0,
            found: vec![],
        };
        Self {
            config: config.clone(),
            subtrees: vec![subtree; config.trees as usize],
        }
    }
}

impl Strategy for Dvts {
    /// The subtree that is behind the others goes first, so that a budget is shared fairly.
    fn next(&self, _: &Tree) -> Option<Plan> {
        let waiting = self.subtrees.iter().enumerate().filter(|(_, subtree)| subtree.left > 0);
        let (index, subtree) = waiting.min_by_key(|(_, subtree)| subtree.depth)?;
        let last = subtree.depth + 1 == self.config.depth;
        let lookahead = match self.config.lookahead {
            steps if steps > 0 && !last => Lookahead::Steps(steps),
            _ => Lookahead::None,
        };
        Some(Plan {
            lookahead,
            purpose: Purpose::Subtree(index as u32),
            ..Plan::grow(
                subtree.node,
                subtree.left,
                if last { Until::Answer } else { Until::Step },
            )
        })
    }

    fn asked(&mut self, _: &mut Tree, plan: &Plan, count: u32) {
        if let Purpose::Subtree(index) = plan.purpose {
            let subtree = &mut self.subtrees[index as usize];
            subtree.left -= count;
            subtree.out += 1;
        }
    }

    fn settled(&mut self, tree: &mut Tree, plan: &Plan, new: Range<NodeId>) {
        let Purpose::Subtree(index) = plan.purpose else {
            return;
        };
        let Some(subtree) = self.subtrees.get_mut(index as usize) else {
            return;
        };
        subtree.out = subtree.out.saturating_sub(1);
        subtree.found.extend(new.filter(|&node| tree.has(node)));
        if subtree.out > 0 || subtree.left > 0 {
            return;
        }
        let found = std::mem::take(&mut subtree.found);
        let scored = found.iter().filter_map(|&node| Some((node, tree.estimate(node)?)));
        let Some((best, _)) = scored.reduce(|best, one| if one.1 > best.1 { one } else { best }) else {
            return;
        };
        subtree.depth += 1;
        if tree.is_finished(best) || subtree.depth == self.config.depth {
            return;
        }
        for &node in found.iter().filter(|&&node| node != best) {
            tree.prune(node);
        }
        subtree.node = best;
        subtree.left = self.config.expansions;
    }

    fn is_sound(&self, length: u32) -> bool {
        let inside = |subtree: &Subtree| {
            let counts = [subtree.depth, subtree.left, subtree.out];
            counts.iter().all(|&count| count < MOST_COUNTED)
                && subtree.found.iter().chain([&subtree.node]).all(|&node| node < length)
        };
        self.subtrees.len() == self.config.trees as usize && self.subtrees.iter().all(inside)
    }
}
