//! REBASE, reward-balanced search (Wu et al., arXiv 2408.00724; thu-wyz/rebase, `rebase.py`): at each depth the nodes share
//! the remaining width by the softmax of their scores ([`formulas::rebase`]), from the highest score, of equal ones the
//! last first, as its sort has it; each finished path takes one from the width for good.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::level::Level;
use super::{Plan, Purpose, Strategy};
use crate::request::Until;
use crate::tree::{NodeId, ROOT, Tree};
use crate::{config, formulas};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rebase {
    pub(super) config: config::Rebase,
    level: Level,
    width: u32,
}

impl Rebase {
    pub(crate) fn new(config: &config::Rebase) -> Self {
        Self {
            config: config.clone(),
            level: Level::new(vec![(ROOT, config.width)]),
            width: config.width,
        }
    }
}

impl Strategy for Rebase {
    fn next(&self, _: &Tree) -> Option<Plan> {
        let (node, count) = self.level.next()?;
        Some(Plan::grow(node, count, Until::Step))
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
        let (finished, running): (Vec<_>, Vec<_>) = found.into_iter().partition(|&node| tree.is_finished(node));
        self.width = self.width.saturating_sub(finished.len() as u32);
        if self.level.depth + 1 == self.config.depth {
            return self.level.descend(vec![]);
        }
        // What has no score is not there for the source either.
        let scored = running.iter().filter_map(|&node| Some((node, tree.estimate(node)?)));
        let mut ranked: Vec<_> = scored.collect();
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
        ranked.reverse();
        let scores: Vec<_> = ranked.iter().map(|&(_, score)| score).collect();
        let counts = formulas::rebase(&scores, self.width, self.config.temperature);
        let mut todo = Vec::new();
        for (&(node, _), count) in ranked.iter().zip(counts) {
            if count > 0 {
                todo.push((node, count));
            } else {
                tree.prune(node);
            }
        }
        self.level.descend(todo);
    }

    fn is_sound(&self, length: u32) -> bool {
        self.level.is_sound(length)
    }
}
