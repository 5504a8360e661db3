//! The tree as arrays, one row per node, in the order in which they were asked: a column for each property, but for those
//! that a simulation reads at every node on its way, which lie side by side, since at a million nodes it is the cache lines that
//! take the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::path;

pub type NodeId = u32;

/// The node without a step.
pub const ROOT: NodeId = 0;

/// Where there is no node.
pub(crate) const NO_NODE: NodeId = u32::MAX;

/// Nobody has said yet which answer a solution gives.
const UNGROUPED: u32 = u32::MAX;
/// The solution gives none.
const NO_ANSWER: u32 = u32::MAX - 1;
/// The highest number that a group of answers may have.
pub(crate) const MOST_GROUPS: u32 = NO_ANSWER - 1;

/// Which group of equal answers a solution belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Nobody has said yet.
    Unknown,
    NoAnswer,
    Of(u32),
}

/// What counts anything stays below, in a tree that holds together.
pub(crate) const MOST_COUNTED: u32 = 1 << 30;

/// Properties of a node that are true or false.
mod flag {
    /// Was asked and never came.
    pub(super) const VOID: u32 = 1;
    /// The answer ended with it.
    pub(super) const ENDED: u32 = 1 << 1;
    /// A cap ended it.
    pub(super) const CUT: u32 = 1 << 2;
    pub(super) const SCORED: u32 = 1 << 3;
    /// Has the text of an earlier sibling.
    pub(super) const REPEATED: u32 = 1 << 4;
    pub(super) const PRUNED: u32 = 1 << 5;
    /// Was written to its end because no path had one.
    pub(super) const CLOSING: u32 = 1 << 6;
    /// MCTS: its expansion is in flight.
    pub(super) const BUSY: u32 = 1 << 7;
    /// MCTS: has been expanded.
    pub(super) const EXPANDED: u32 = 1 << 8;
    /// MCTS: a selection may end in it or below.
    pub(super) const AVAILABLE: u32 = 1 << 9;
    /// Its answer is right, under a strategy that has answers graded.
    pub(super) const CORRECT: u32 = 1 << 10;
    /// The budget left it less tokens than its path may have, and it had them all.
    pub(super) const BUDGET_CUT: u32 = 1 << 11;
}

/// What a simulation reads at a node: 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Hot {
    /// Sum, or maximum, of the values that were backed up.
    total: f64,
    /// By which strategies rank: the aggregate over the path and what was looked ahead. 0 where nothing was scored.
    estimate: f64,
    parent: NodeId,
    first_child: NodeId,
    next_sibling: NodeId,
    visits: u32,
    in_flight: u32,
    /// Children in which, or below which, a selection may end.
    available: u32,
    prior: f32,
    flags: u32,
}

/// See the module. What only MCTS fills stays zero elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    hot: Vec<Hot>,
    last_child: Vec<NodeId>,
    /// Expansions between the root and the node.
    depth: Vec<u32>,
    /// Policy tokens from the root to the node's end.
    tokens: Vec<u32>,
    /// New steps of the node.
    steps: Vec<u32>,
    /// One past the node's last score in `scores`; its first follows the last of the node before.
    scores_end: Vec<u32>,
    scores: Vec<f32>,
    text: Vec<u64>,
    path: Vec<u64>,
    group: Vec<u32>,
    /// Continuations that were asked so far.
    asked: Vec<u32>,
    log_prior: Vec<f32>,
    /// Of the nodes that were told with them: hashes of the whole text up to the end of each new step.
    prefixes: BTreeMap<NodeId, Vec<u64>>,
    /// Whether `total` is a maximum.
    takes_max: bool,
    /// Nodes that have ended.
    ended: u32,
    /// Pruned since the search last looked.
    #[serde(skip)]
    freshly_pruned: Vec<NodeId>,
}

/// A node to be.
pub(crate) struct New {
    pub(crate) parent: NodeId,
    pub(crate) tokens: u32,
    pub(crate) steps: u32,
    pub(crate) estimate: Option<f64>,
    pub(crate) text: Option<u64>,
    pub(crate) path: u64,
    pub(crate) log_prior: f32,
    pub(crate) ended: bool,
    pub(crate) cut: bool,
    pub(crate) repeated: bool,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let mut tree = Self::default();
        tree.row(NO_NODE, path::ORIGIN);
        tree
    }

    /// Number of rows: that of nodes, and of continuations that never came.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // There is always a root.
    pub fn len(&self) -> u32 {
        self.hot.len() as u32
    }

    /// Whether `node` is there: it was asked, and it came.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        node < self.len() && !self.is(node, flag::VOID)
    }

    /// All nodes, in the order in which they were asked.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.len()).filter(|&node| !self.is(node, flag::VOID))
    }

    /// `None` for the root.
    #[must_use]
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        let parent = self.hot[node as usize].parent;
        (parent != NO_NODE).then_some(parent)
    }

    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let follow = |at: NodeId| (at != NO_NODE).then_some(at);
        std::iter::successors(follow(self.hot[node as usize].first_child), move |&child| {
            follow(self.hot[child as usize].next_sibling)
        })
    }

    /// The node, its parent and so on to the root.
    pub fn upwards(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(node), |&at| self.parent(at))
    }

    /// Expansions between the root and the node.
    #[must_use]
    pub fn depth(&self, node: NodeId) -> u32 {
        self.depth[node as usize]
    }

    /// Policy tokens from the root to the node's end.
    #[must_use]
    pub fn tokens(&self, node: NodeId) -> u32 {
        self.tokens[node as usize]
    }

    /// Steps that the node adds to its parent's.
    #[must_use]
    pub fn steps(&self, node: NodeId) -> u32 {
        self.steps[node as usize]
    }

    /// The scores of the node's own steps, as far as they were asked.
    #[must_use]
    pub fn scores(&self, node: NodeId) -> &[f32] {
        let begin = node.checked_sub(1).map_or(0, |before| self.scores_end[before as usize]);
        &self.scores[begin as usize..self.scores_end[node as usize] as usize]
    }

    /// The scores of all steps from the root to the node's end.
    #[must_use]
    pub fn path_scores(&self, node: NodeId) -> Vec<f32> {
        let mut pieces: Vec<_> = self.upwards(node).map(|at| self.scores(at)).collect();
        pieces.reverse();
        pieces.concat()
    }

    /// One number for the path to `node`; `None` where the PRM has not seen all of it.
    #[must_use]
    pub fn score(&self, node: NodeId, by: Aggregate) -> Option<f64> {
        if node != ROOT && !self.is(node, flag::SCORED) {
            return None;
        }
        by.of(&self.path_scores(node))
    }

    /// What the strategy ranks the node by, as its PRM or rollout gave it: the value before any backup.
    #[must_use]
    pub fn estimate(&self, node: NodeId) -> Option<f64> {
        self.is(node, flag::SCORED).then(|| self.hot[node as usize].estimate)
    }

    /// The mean, or under max-backup the maximum, of what came up through the node; its estimate where nothing did.
    #[must_use]
    pub fn value(&self, node: NodeId) -> Option<f64> {
        match self.visits(node) {
            0 => self.estimate(node),
            _ if self.takes_max => Some(self.total(node)),
            visits => Some(self.total(node) / f64::from(visits)),
        }
    }

    /// How often a simulation of MCTS went through the node, or ended in it.
    #[must_use]
    pub fn visits(&self, node: NodeId) -> u32 {
        self.hot[node as usize].visits
    }

    /// Sum, or maximum under max-backup, of the values that came up through the node.
    #[must_use]
    pub fn total(&self, node: NodeId) -> f64 {
        self.hot[node as usize].total
    }

    /// Simulations of MCTS that are out below the node.
    #[must_use]
    pub fn in_flight(&self, node: NodeId) -> u32 {
        self.hot[node as usize].in_flight
    }

    /// The node's share of its siblings' probability; 0 where priors were not asked.
    #[must_use]
    pub fn prior(&self, node: NodeId) -> f32 {
        self.hot[node as usize].prior
    }

    /// Names the draws that the node was written with.
    #[must_use]
    pub fn path(&self, node: NodeId) -> u64 {
        self.path[node as usize]
    }

    #[must_use]
    pub fn group(&self, node: NodeId) -> Group {
        match self.group[node as usize] {
            UNGROUPED => Group::Unknown,
            NO_ANSWER => Group::NoAnswer,
            group => Group::Of(group),
        }
    }

    /// Whether the answer ended with the node.
    #[must_use]
    pub fn has_ended(&self, node: NodeId) -> bool {
        self.is(node, flag::ENDED)
    }

    /// Whether a cap cut the node, or its path has all the tokens it may have.
    #[must_use]
    pub fn is_cut(&self, node: NodeId) -> bool {
        self.is(node, flag::CUT)
    }

    /// Whether the path ends here: by its own end or by a cap.
    #[must_use]
    pub fn is_finished(&self, node: NodeId) -> bool {
        self.hot[node as usize].flags & (flag::ENDED | flag::CUT) != 0
    }

    /// Whether the node has the text of an earlier sibling, under a strategy that looks.
    #[must_use]
    pub fn is_repeated(&self, node: NodeId) -> bool {
        self.is(node, flag::REPEATED)
    }

    #[must_use]
    pub fn is_pruned(&self, node: NodeId) -> bool {
        self.is(node, flag::PRUNED)
    }

    /// Whether its answer is right, under a strategy that has answers graded; else false.
    #[must_use]
    pub fn is_correct(&self, node: NodeId) -> bool {
        self.is(node, flag::CORRECT)
    }

    /// Memory that the arrays hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        fn of<T>(column: &Vec<T>) -> usize {
            column.capacity() * size_of::<T>()
        }
        let words = [
            &self.last_child,
            &self.depth,
            &self.tokens,
            &self.steps,
            &self.scores_end,
            &self.group,
            &self.asked,
        ];
        let words: usize = words.into_iter().map(of).sum();
        words + of(&self.hot) + of(&self.scores) + of(&self.log_prior) + of(&self.text) + of(&self.path)
    }

    /// Whether any path came to its own end.
    pub(crate) fn any_ended(&self) -> bool {
        self.ended > 0
    }

    /// Whether `text` is that of a child of `parent` that goes on.
    pub(crate) fn repeats(&self, parent: NodeId, text: u64) -> bool {
        self.children(parent)
            .any(|child| !self.is_finished(child) && self.text[child as usize] == text)
    }

    pub(crate) fn add(&mut self, new: &New, scores: &[f32]) -> NodeId {
        let node = self.row(new.parent, new.path);
        let at = node as usize;
        let parent = new.parent as usize;
        self.depth[at] = self.depth[parent] + 1;
        self.tokens[at] = self.tokens[parent].saturating_add(new.tokens);
        self.steps[at] = new.steps;
        self.scores.extend_from_slice(scores);
        self.scores_end[at] = self.scores.len() as u32;
        self.hot[at].estimate = new.estimate.unwrap_or(0.0);
        // A text that nobody hashed is that of no other: its path is its own.
        self.text[at] = new.text.unwrap_or(new.path);
        self.log_prior[at] = new.log_prior;
        for (is, flag) in [
            (new.ended, flag::ENDED),
            (new.cut, flag::CUT),
            (new.repeated, flag::REPEATED),
            (new.estimate.is_some(), flag::SCORED),
        ] {
            self.set(node, flag, is);
        }
        self.ended += u32::from(new.ended);
        match self.last_child[parent] {
            NO_NODE => self.hot[parent].first_child = node,
            last => self.hot[last as usize].next_sibling = node,
        }
        self.last_child[parent] = node;
        node
    }

    /// A row for a continuation that never came.
    pub(crate) fn add_void(&mut self, parent: NodeId) {
        let node = self.row(parent, 0);
        self.set(node, flag::VOID, true);
    }

    fn row(&mut self, parent: NodeId, path: u64) -> NodeId {
        let node = self.len();
        self.hot.push(Hot {
            total: 0.0,
            estimate: 0.0,
            parent,
            first_child: NO_NODE,
            next_sibling: NO_NODE,
            visits: 0,
            in_flight: 0,
            available: 0,
            prior: 0.0,
            flags: 0,
        });
        self.last_child.push(NO_NODE);
        self.depth.push(0);
        self.tokens.push(0);
        self.steps.push(0);
        self.scores_end.push(self.scores.len() as u32);
        self.text.push(0);
        self.path.push(path);
        self.group.push(UNGROUPED);
        self.asked.push(0);
        self.log_prior.push(0.0);
        node
    }

    pub(crate) fn prune(&mut self, node: NodeId) {
        if !self.is_pruned(node) {
            self.set(node, flag::PRUNED, true);
            self.freshly_pruned.push(node);
        }
    }

    pub(crate) fn take_pruned(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.freshly_pruned)
    }

    pub(crate) fn set_group(&mut self, node: NodeId, group: Option<u32>) {
        self.group[node as usize] = group.unwrap_or(NO_ANSWER);
    }

    /// The ordinal of the next continuation of `node`, of which `count` are now asked.
    pub(crate) fn ask(&mut self, node: NodeId, count: u32) -> u32 {
        let asked = &mut self.asked[node as usize];
        *asked += count;
        *asked - count
    }

    /// Whether anything was asked of `node`.
    pub(crate) fn was_asked(&self, node: NodeId) -> bool {
        self.asked[node as usize] > 0
    }

    pub(crate) fn was_closing(&self, node: NodeId) -> bool {
        self.is(node, flag::CLOSING)
    }

    pub(crate) fn set_closing(&mut self, node: NodeId) {
        self.set(node, flag::CLOSING, true);
    }

    fn is(&self, node: NodeId, flag: u32) -> bool {
        self.hot[node as usize].flags & flag != 0
    }

    fn set(&mut self, node: NodeId, flag: u32, to: bool) {
        let flags = &mut self.hot[node as usize].flags;
        *flags = if to { *flags | flag } else { *flags & !flag };
    }

    /// Whether all columns are as long, and every link and every range stays inside.
    pub(crate) fn is_sound(&self) -> bool {
        let length = self.hot.len();
        let words = [
            &self.last_child,
            &self.depth,
            &self.tokens,
            &self.steps,
            &self.scores_end,
            &self.group,
            &self.asked,
        ];
        let as_long = words.iter().all(|column| column.len() == length)
            && [self.text.len(), self.path.len(), self.log_prior.len()] == [length; 3];
        // A parent comes before its children, and they come in order: following links ends.
        let after = |node: usize, to: NodeId| to == NO_NODE || (node < to as usize && (to as usize) < length);
        let row = |(node, hot): (usize, &Hot)| {
            (hot.parent == NO_NODE) == (node == 0)
                && (node == 0 || (hot.parent as usize) < node)
                && after(node, hot.first_child)
                && after(node, hot.next_sibling)
                && after(node, self.last_child[node])
                && (hot.first_child == NO_NODE) == (self.last_child[node] == NO_NODE)
                && (hot.flags & flag::VOID != 0 || node == 0 || self.depth[node] == self.depth[hot.parent as usize] + 1)
                && (node == 0 || hot.flags & flag::VOID != 0 || self.tokens[node] >= self.tokens[hot.parent as usize])
                && [hot.visits, hot.in_flight, hot.available, self.asked[node]]
                    .iter()
                    .all(|&count| count < MOST_COUNTED)
                && self.depth[node] < MOST_COUNTED
                && [hot.total, hot.estimate, f64::from(hot.prior)]
                    .iter()
                    .all(|number| number.is_finite())
        };
        let finite = |column: &[f32]| column.iter().all(|number| number.is_finite());
        as_long
            && (1..u32::MAX as usize).contains(&length)
            && self.hot.iter().enumerate().all(row)
            && self.depth[0] == 0
            && self.ended <= length as u32
            && self.scores_end.is_sorted()
            && self.scores_end[length - 1] as usize == self.scores.len()
            && finite(&self.scores)
            && finite(&self.log_prior)
    }
}

/// What strategies that make labels keep at the nodes.
impl Tree {
    /// A hash of the whole text up to the end of the first `steps` new steps of `node`, if it was told.
    pub(crate) fn prefix(&self, node: NodeId, steps: u32) -> Option<u64> {
        let index = steps.checked_sub(1)? as usize;
        self.prefixes.get(&node)?.get(index).copied()
    }

    pub(crate) fn set_prefixes(&mut self, node: NodeId, prefixes: &[u64]) {
        if !prefixes.is_empty() {
            self.prefixes.insert(node, prefixes.to_vec());
        }
    }

    pub(crate) fn set_verdict(&mut self, node: NodeId, correct: bool, cut_by_budget: bool) {
        self.set(node, flag::CORRECT, correct);
        self.set(node, flag::BUDGET_CUT, cut_by_budget);
    }

    pub(crate) fn is_cut_by_budget(&self, node: NodeId) -> bool {
        self.is(node, flag::BUDGET_CUT)
    }
}

/// What MCTS keeps at the nodes.
impl Tree {
    pub(crate) fn take_max(&mut self) {
        self.takes_max = true;
    }

    pub(crate) fn is_busy(&self, node: NodeId) -> bool {
        self.is(node, flag::BUSY)
    }

    pub(crate) fn set_busy(&mut self, node: NodeId, to: bool) {
        self.set(node, flag::BUSY, to);
    }

    pub(crate) fn is_expanded(&self, node: NodeId) -> bool {
        self.is(node, flag::EXPANDED)
    }

    pub(crate) fn set_expanded(&mut self, node: NodeId) {
        self.set(node, flag::EXPANDED, true);
    }

    pub(crate) fn is_available(&self, node: NodeId) -> bool {
        self.is(node, flag::AVAILABLE)
    }

    pub(crate) fn available_children(&self, node: NodeId) -> u32 {
        self.hot[node as usize].available
    }

    /// Says whether a selection may end in `node` or below, to its parent too.
    pub(crate) fn set_available(&mut self, node: NodeId, to: bool) {
        if self.is_available(node) == to {
            return;
        }
        self.set(node, flag::AVAILABLE, to);
        if let Some(parent) = self.parent(node) {
            let count = &mut self.hot[parent as usize].available;
            *count = if to { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    pub(crate) fn depart(&mut self, node: NodeId) {
        self.hot[node as usize].in_flight += 1;
    }

    pub(crate) fn arrive(&mut self, node: NodeId) {
        let count = &mut self.hot[node as usize].in_flight;
        *count = count.saturating_sub(1);
    }

    pub(crate) fn visit(&mut self, node: NodeId, total: f64) {
        self.hot[node as usize].visits += 1;
        self.hot[node as usize].total = total;
    }

    pub(crate) fn log_prior(&self, node: NodeId) -> f32 {
        self.log_prior[node as usize]
    }

    pub(crate) fn set_prior(&mut self, node: NodeId, prior: f32) {
        self.hot[node as usize].prior = prior;
    }
}
