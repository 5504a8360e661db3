//! Monte Carlo tree search over steps (arXiv 2506.00027, section "MCTS"; OpenR's guided search). A simulation goes from the
//! root to the best child by UCT or PUCT until it meets a node to expand, and what the expansion is worth comes up the same
//! way. Simulations that are out are counted at their nodes (WU-UCT, Liu et al., arXiv 1810.11755; or virtual loss, Chaslot
//! et al. 2008), so that the next ones go elsewhere. A path that has its end, and a node below which all have, is not selected
//! again.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Plan, Purpose, Strategy};
use crate::config::{self, Backup, Leaf, Parallel, Prior, Select, Unvisited, Value};
use crate::formulas::{puct, softmax, uct, virtual_loss, widening};
use crate::request::{Lookahead, Until};
use crate::tree::{MOST_COUNTED, NodeId, ROOT, Tree};

/// A node whose expansion failed so often is given up.
const MOST_FAILURES: u32 = 3;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mcts {
    pub(super) config: config::Mcts,
    /// Simulations that were begun.
    simulations: u32,
    failures: BTreeMap<NodeId, u32>,
    /// Continuations that the budget left out of a node's expansion: they are asked when it is met again.
    missing: BTreeMap<NodeId, u32>,
}

impl Mcts {
    pub(crate) fn new(config: &config::Mcts, tree: &mut Tree) -> Self {
        tree.set_available(ROOT, true);
        if config.backup == Backup::Max {
            tree.take_max();
        }
        Self {
            config: config.clone(),
            simulations: 0,
            failures: BTreeMap::new(),
            missing: BTreeMap::new(),
        }
    }

    /// Whether a simulation may end in `node`.
    fn expands(&self, tree: &Tree, node: NodeId) -> bool {
        if tree.is_finished(node) || tree.is_repeated(node) || tree.is_busy(node) {
            return false;
        }
        if !self.failures.is_empty() && self.failures.get(&node).is_some_and(|&count| count >= MOST_FAILURES) {
            return false;
        }
        if !tree.is_expanded(node) || self.missing.contains_key(&node) {
            return true;
        }
        let Some(config::Widening { factor, exponent, most }) = self.config.widening else {
            return false;
        };
        let children = tree.children(node).count() as u32;
        let allowed = widening(factor, exponent, f64::from(tree.visits(node)));
        let spent = tree.available_children(node) == 0 && tree.in_flight(node) == 0;
        children < most && (f64::from(children) < allowed || spent)
    }

    /// Continuations of the next expansion of `node`.
    fn count(&self, tree: &Tree, node: NodeId) -> u32 {
        match self.missing.get(&node) {
            Some(&missing) => missing,
            None if tree.is_expanded(node) => 1,
            None => self.config.children,
        }
    }

    fn refresh(&self, tree: &mut Tree, node: NodeId) {
        let available = tree.available_children(node) > 0 || self.expands(tree, node);
        tree.set_available(node, available);
    }

    /// The child by which a simulation goes on: the best, the first of equal ones.
    fn select(&self, tree: &Tree, node: NodeId) -> Option<NodeId> {
        let out = f64::from(tree.in_flight(node));
        let parent = match self.config.parallel {
            Parallel::WuUct => f64::from(tree.visits(node)) + out,
            Parallel::VirtualLoss { count, .. } => f64::from(tree.visits(node)) + count * out,
        };
        let available = tree.children(node).filter(|&child| tree.is_available(child));
        let ranked = available.map(|child| (child, self.rank(tree, child, parent)));
        let best = ranked.reduce(|best, one| if one.1 > best.1 { one } else { best });
        best.map(|(child, _)| child)
    }

    fn rank(&self, tree: &Tree, child: NodeId, parent_visits: f64) -> f64 {
        let visits = f64::from(tree.visits(child));
        let out = f64::from(tree.in_flight(child));
        if self.config.unvisited == Unvisited::First && visits + out == 0.0 {
            return f64::INFINITY;
        }
        let (q, n) = match self.config.parallel {
            _ if out == 0.0 => (tree.value(child).unwrap_or(0.0), visits),
            Parallel::WuUct => (tree.value(child).unwrap_or(0.0), visits + out),
            Parallel::VirtualLoss { count, loss } => {
                let value = tree.value(child).unwrap_or(0.0);
                (
                    virtual_loss(value * visits.max(1.0), visits.max(1.0), out, count, loss),
                    visits + count * out,
                )
            }
        };
        match self.config.select {
            Select::Uct { c } => uct(q, c, parent_visits, n),
            Select::Puct { base, init, .. } => puct(q, f64::from(tree.prior(child)), base, init, parent_visits, n),
        }
    }

    /// Takes in new children: what has its end was visited by that.
    fn adopt(&self, tree: &mut Tree, new: Range<NodeId>) {
        for node in new {
            if !tree.has(node) {
                continue;
            }
            if tree.is_repeated(node) {
                tree.prune(node);
            } else if tree.is_finished(node) {
                if let Some(estimate) = tree.estimate(node) {
                    tree.visit(node, estimate);
                }
            } else {
                tree.set_available(node, true);
            }
        }
    }

    /// Shares out the siblings' probability; repeated ones have none.
    fn share_priors(&self, tree: &mut Tree, parent: NodeId) {
        let Select::Puct { prior, .. } = self.config.select else {
            return;
        };
        let siblings: Vec<_> = tree
            .children(parent)
            .filter(|&child| !tree.is_repeated(child))
            .collect();
        let temperature = match prior {
            Prior::LogProbability { temperature } => temperature,
            // All log-probabilities are 0.
            Prior::Uniform => 1.0,
        };
        let logs: Vec<_> = siblings.iter().map(|&child| f64::from(tree.log_prior(child))).collect();
        for (child, share) in siblings.into_iter().zip(softmax(&logs, temperature)) {
            #[allow(clippy::cast_possible_truncation)]
            tree.set_prior(child, share as f32);
        }
    }

    /// What an expansion of `node` is worth.
    fn worth(&self, tree: &Tree, node: NodeId, new: Range<NodeId>) -> Option<f64> {
        if self.config.leaf == Leaf::Own && node != ROOT {
            return tree.estimate(node);
        }
        let values = || {
            new.clone()
                .filter(|&child| tree.has(child))
                .filter_map(|child| tree.estimate(child))
        };
        let count = values().count();
        if count == 0 {
            return None;
        }
        Some(match self.config.backup {
            #[allow(clippy::cast_precision_loss)]
            Backup::Mean => values().sum::<f64>() / count as f64,
            Backup::Max => values().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    fn back_up(&self, tree: &mut Tree, node: NodeId, worth: f64) {
        let total = match (tree.visits(node), self.config.backup) {
            (0, _) => worth,
            (_, Backup::Mean) => tree.total(node) + worth,
            (_, Backup::Max) => tree.total(node).max(worth),
        };
        tree.visit(node, total);
    }
}

impl Strategy for Mcts {
    fn next(&self, tree: &Tree) -> Option<Plan> {
        let spent = self.config.simulations.is_some_and(|most| self.simulations >= most);
        if spent || !tree.is_available(ROOT) {
            return None;
        }
        let mut node = ROOT;
        while !self.expands(tree, node) {
            node = self.select(tree, node)?;
        }
        let last = tree.depth(node) + 1 >= self.config.depth;
        let lookahead = match self.config.value {
            Value::Rollout if !last => Lookahead::Answer,
            Value::Rollout | Value::Prm => Lookahead::None,
        };
        Some(Plan {
            lookahead,
            ..Plan::grow(
                node,
                self.count(tree, node),
                if last { Until::Answer } else { Until::Step },
            )
        })
    }

    fn asked(&mut self, tree: &mut Tree, plan: &Plan, count: u32) {
        if plan.purpose != Purpose::Close {
            self.simulations += u32::from(self.missing.remove(&plan.node).is_none());
            if count < plan.count {
                self.missing.insert(plan.node, plan.count - count);
            }
            tree.set_busy(plan.node, true);
        }
        let mut at = Some(plan.node);
        while let Some(node) = at {
            tree.depart(node);
            self.refresh(tree, node);
            at = tree.parent(node);
        }
    }

    fn settled(&mut self, tree: &mut Tree, plan: &Plan, new: Range<NodeId>) {
        let came = new.clone().any(|node| tree.has(node));
        if plan.purpose != Purpose::Close {
            tree.set_busy(plan.node, false);
            if came {
                tree.set_expanded(plan.node);
            } else {
                *self.failures.entry(plan.node).or_default() += 1;
            }
        }
        self.adopt(tree, new.clone());
        if came {
            self.share_priors(tree, plan.node);
        }
        let worth = if came { self.worth(tree, plan.node, new) } else { None };
        let mut at = Some(plan.node);
        while let Some(node) = at {
            tree.arrive(node);
            if let Some(worth) = worth {
                self.back_up(tree, node, worth);
            }
            self.refresh(tree, node);
            at = tree.parent(node);
        }
    }

    fn is_sound(&self, length: u32) -> bool {
        let counted = |&count: &u32| count < MOST_COUNTED;
        counted(&self.simulations)
            && self
                .failures
                .iter()
                .chain(&self.missing)
                .all(|(&node, count)| node < length && counted(count))
    }
}
