//! Goes back to the first weak step of the best solution so far, writes the answer anew from before it, and keeps whichever is
//! better; done when no step is weak. The step to go back to is the first error as ProcessBench has a PRM predict it: the first
//! whose score is below the threshold (arXiv 2412.06559).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Plan, Purpose, Strategy};
use crate::config;
use crate::request::{Stem, Until};
use crate::tree::{MOST_COUNTED, NodeId, ROOT, Tree};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refine {
    pub(super) config: config::Refine,
    /// Rounds that were begun, the first answer's included.
    rounds: u32,
    /// Continuations of the round that are not asked yet.
    left: u32,
    /// Where the round goes on.
    from: NodeId,
    stem: Option<Stem>,
    /// The stems that are nodes by now.
    stems: Vec<(Stem, NodeId)>,
    best: Option<NodeId>,
}

impl Refine {
    pub(crate) fn new(config: &config::Refine) -> Self {
        Self {
            config: config.clone(),
            rounds: 1,
            left: config.samples,
            from: ROOT,
            stem: None,
            stems: vec![],
            best: None,
        }
    }

    /// Where to go back to from `node`: the prefix before its first weak step. `None`: no step is weak.
    fn weak(&self, tree: &Tree, node: NodeId) -> Option<(NodeId, Option<Stem>)> {
        let scores = tree.path_scores(node);
        let first = scores
            .iter()
            .position(|&score| f64::from(score) < self.config.threshold)?;
        let parent = tree.parent(node)?;
        let kept = first.checked_sub(tree.path_scores(parent).len());
        Some(match kept {
            // The prefix is older than the node's own steps: the node it ends with was gone on from before.
            None => return self.weak(tree, parent),
            Some(0) => (parent, None),
            Some(steps) => {
                let steps = steps as u32;
                (parent, Some(Stem { of: node, steps }))
            }
        })
    }
}

impl Strategy for Refine {
    fn next(&self, _: &Tree) -> Option<Plan> {
        (self.left > 0).then(|| Plan {
            stem: self.stem,
            ..Plan::grow(self.from, self.left, Until::Answer)
        })
    }

    fn asked(&mut self, _: &mut Tree, plan: &Plan, count: u32) {
        if plan.purpose == Purpose::Close {
            return;
        }
        self.left -= count;
        // The stem is a node by now: the rest of the round, and later ones, go on from it.
        if let Some(stem) = self.stem.take() {
            self.stems.push((stem, plan.node));
            self.from = plan.node;
        }
    }

    fn settled(&mut self, tree: &mut Tree, plan: &Plan, new: Range<NodeId>) {
        if plan.purpose == Purpose::Close {
            return;
        }
        let score = |node: NodeId| tree.score(node, self.config.aggregate);
        for node in new.filter(|&node| tree.has(node)) {
            let better = |best: NodeId| score(node) > score(best);
            if self.best.is_none_or(better) {
                self.best = Some(node);
            }
        }
        if self.left > 0 || self.rounds > self.config.rounds {
            return;
        }
        // Where all failed at first there is nothing to go back from.
        let Some((from, stem)) = self.best.and_then(|best| self.weak(tree, best)) else {
            return;
        };
        self.rounds += 1;
        self.left = self.config.samples;
        let known = self.stems.iter().find(|(known, _)| Some(*known) == stem);
        (self.from, self.stem) = known.map_or((from, stem), |&(_, node)| (node, None));
    }

    fn is_sound(&self, length: u32) -> bool {
        let stem = self.stem.map(|stem| stem.of);
        let stems = self.stems.iter().flat_map(|&(stem, node)| [stem.of, node]);
        let nodes = [Some(self.from), stem, self.best].into_iter().flatten();
        let counted = self.rounds < MOST_COUNTED && self.left < MOST_COUNTED;
        counted && nodes.chain(stems).all(|node| node < length)
    }
}
