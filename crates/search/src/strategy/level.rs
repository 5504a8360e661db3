//! The levels of a search that goes on only when all of a level is there.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::tree::{MOST_COUNTED, NodeId, Tree};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Level {
    /// Levels before this one.
    pub(crate) depth: u32,
    /// What is to be expanded, with how many continuations; all before `at` are asked.
    todo: Vec<(NodeId, u32)>,
    at: usize,
    /// Requests that are out.
    out: u32,
    /// What came, in the order of asking.
    found: Vec<NodeId>,
}

impl Level {
    pub(crate) fn new(todo: Vec<(NodeId, u32)>) -> Self {
        Self {
            todo,
            ..Self::default()
        }
    }

    /// The level below, with `todo` to expand.
    pub(crate) fn descend(&mut self, todo: Vec<(NodeId, u32)>) {
        *self = Self {
            depth: self.depth + 1,
            ..Self::new(todo)
        };
    }

    pub(crate) fn next(&self) -> Option<(NodeId, u32)> {
        self.todo.get(self.at).copied()
    }

    pub(crate) fn asked(&mut self, count: u32) {
        self.out += 1;
        let left = &mut self.todo[self.at].1;
        *left -= count;
        self.at += usize::from(*left == 0);
    }

    /// Takes in what came; once the level is complete, all of it.
    pub(crate) fn settled(&mut self, tree: &Tree, new: Range<NodeId>) -> Option<Vec<NodeId>> {
        self.out = self.out.saturating_sub(1);
        self.found.extend(new.filter(|&node| tree.has(node)));
        let complete = self.out == 0 && self.at == self.todo.len();
        complete.then(|| std::mem::take(&mut self.found))
    }

    pub(crate) fn is_sound(&self, length: u32) -> bool {
        let asked = self.todo.iter().map(|&(node, _)| node);
        let counted = self.todo[self.at.min(self.todo.len())..]
            .iter()
            .all(|&(_, count)| (1..MOST_COUNTED).contains(&count));
        let bounded = self.depth < MOST_COUNTED && self.out < MOST_COUNTED;
        self.at <= self.todo.len()
            && counted
            && bounded
            && asked.chain(self.found.iter().copied()).all(|node| node < length)
    }
}
