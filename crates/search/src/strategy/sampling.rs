//! Whole answers, each by itself: best-of-n, majority vote (self-consistency, Wang et al., arXiv 2203.11171) and weighted vote
//! (Li et al., arXiv 2206.02336) grow the same tree and differ in what they choose from it, and in whether they score.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Plan, Purpose, Strategy};
use crate::request::Until;
use crate::tree::{MOST_COUNTED, NodeId, ROOT, Tree};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sampling {
    /// Answers still to ask.
    left: u32,
}

impl Sampling {
    pub(crate) fn new(n: u32) -> Self {
        Self { left: n }
    }
}

impl Strategy for Sampling {
    /// One answer per request: one that fails costs no other.
    fn next(&self, _: &Tree) -> Option<Plan> {
        (self.left > 0).then(|| Plan::grow(ROOT, 1, Until::Answer))
    }

    fn asked(&mut self, _: &mut Tree, plan: &Plan, count: u32) {
        if plan.purpose != Purpose::Close {
            self.left -= count;
        }
    }

    fn settled(&mut self, _: &mut Tree, _: &Plan, _: Range<NodeId>) {}

    fn is_sound(&self, _: u32) -> bool {
        self.left < MOST_COUNTED
    }
}
