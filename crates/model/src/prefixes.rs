//! The prefixes that a model has computed: a radix tree over token ids that all callers share. A node holds the pages of
//! its tokens' keys and values and the head outputs that were read there. Tails of pages are copied when they part.
//!
//! Memory is bounded: the pages of the leaves that were least recently used go first. Their tokens and head outputs stay
//! for as long as they fit, so what was read once is not computed again; keys and values are, where they are needed.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Weak};

use serde::Serialize;

use crate::batch::{Batch, Change, PAGE, Span};
use crate::error::{Error, Result};
use crate::tree::{Node, NodeId, ROOT, Tree};

/// Tokens and head outputs take a part of the budget beside it: one of so many.
const NOTES: usize = 16;

/// Batches in which a leader may be missing before another takes its place: it is alive, and nobody goes on with it.
const PATIENCE: usize = 64;

/// What the cache did, in tokens, and what it holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Tokens of finished sequences that did not have to be computed.
    pub hits: u64,
    /// Tokens computed for the first time.
    pub computed: u64,
    /// Tokens computed again: their keys and values had been evicted, or a score had not been read.
    pub recomputed: u64,
    /// Of keys and values now.
    pub bytes: usize,
    /// Of keys and values at most so far.
    pub peak_bytes: usize,
    /// Of keys and values at most ever.
    pub budget: usize,
}

/// Whether the tree keeps head outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A few numbers each, for whoever asks again.
    Outputs,
    /// They are large: who asks later has them computed again, in one row.
    Nothing,
}

/// Token ids on their way to the head outputs at some positions.
#[derive(Debug)]
pub struct Sequence {
    ids: Vec<u32>,
    /// Ascending positions.
    reads: Vec<usize>,
    /// By read; none before it is known.
    outputs: Vec<Option<Arc<Vec<f32>>>>,
    /// Reads that the batch in the making answers, and the numbers of its reads.
    awaited: Vec<(usize, usize)>,
    /// Whether more tokens will follow.
    grows: bool,
    /// Rows computed for the tokens behind those that were counted as hits or not.
    rows: usize,
    counted: usize,
    /// Lives as long as the sequence: what it uses is not evicted meanwhile.
    life: Arc<()>,
}

impl Sequence {
    pub fn new(ids: Vec<u32>, reads: Vec<usize>) -> Self {
        Self {
            outputs: vec![None; reads.len()],
            ids,
            reads,
            awaited: vec![],
            grows: false,
            rows: 0,
            counted: 0,
            life: Arc::default(),
        }
    }

    /// A sequence that is read at its last token, and goes on token by token: see [`Sequence::grow`]. What it uses is
    /// kept until it is dropped. At least one id.
    pub fn growing(ids: Vec<u32>) -> Self {
        let last = ids.len() - 1;
        Self {
            grows: true,
            ..Self::new(ids, vec![last])
        }
    }

    /// Adds a token, the head output of which is wanted next.
    pub fn grow(&mut self, id: u32) {
        self.reads = vec![self.ids.len()];
        self.outputs = vec![None];
        self.ids.push(id);
    }

    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The last head output, once it is known.
    pub fn output(&self) -> Option<&Arc<Vec<f32>>> {
        self.outputs.last()?.as_ref()
    }

    /// Whether all head outputs are known.
    pub fn is_done(&self) -> bool {
        self.outputs.iter().all(Option::is_some)
    }

    /// The head outputs by read, once all are known.
    pub fn outputs(&self) -> Option<Vec<Arc<Vec<f32>>>> {
        self.outputs.iter().cloned().collect()
    }

    /// Tokens up to the last read: no token behind changes a head output.
    pub fn length(&self) -> usize {
        self.reads.last().map_or(0, |last| last + 1)
    }

    /// The reads within some positions that are neither known nor awaited.
    fn missing(&self, positions: Range<usize>) -> Vec<(usize, usize)> {
        let awaited = |read| self.awaited.iter().any(|(other, _)| *other == read);
        let reads = self.reads.iter().copied().enumerate();
        reads
            .filter(|(read, at)| positions.contains(at) && self.outputs[*read].is_none() && !awaited(*read))
            .collect()
    }
}

pub struct Prefixes {
    tree: Tree,
    bytes_per_page: usize,
    /// Whether sequences share what they have in common.
    shared: bool,
    kept: Kept,
    /// Roots of sequences that share nothing.
    own_roots: Vec<(Weak<()>, NodeId)>,
    /// Sequences under way, each with the deepest node that it uses.
    users: Vec<(Weak<()>, NodeId)>,
    /// The deepest nodes that the batch in the making uses.
    busy: Vec<NodeId>,
    /// The sequence that memory is kept for, and how many batches went by without it.
    leader: (Weak<()>, usize),
    clock: u64,
    counters: Counters,
}

impl Prefixes {
    /// `budget` in bytes of keys and values, for at least one page. `shared`: whether sequences share what they have in common.
    pub fn new(budget: usize, bytes_per_page: usize, shared: bool, kept: Kept) -> Result<Self> {
        let most = budget / bytes_per_page;
        if most == 0 {
            let message =
                format!("{budget} bytes; this model needs {bytes_per_page} for each {PAGE} tokens of a trace");
            return Err(Error::InvalidArgument {
                argument: "cacheBytes".into(),
                message,
            });
        }
        Ok(Self {
            tree: Tree::new(most),
            bytes_per_page,
            shared,
            kept,
            own_roots: vec![],
            users: vec![],
            busy: vec![],
            leader: (Weak::new(), 0),
            clock: 0,
            counters: Counters {
                budget,
                ..Counters::default()
            },
        })
    }

    pub fn counters(&self) -> Counters {
        Counters {
            bytes: self.bytes(),
            ..self.counters
        }
    }

    fn bytes(&self) -> usize {
        self.tree.pages.held * self.bytes_per_page
    }

    /// What has become of pages since the last call, in order: due before the batch that was planned meanwhile.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.tree.pages.changes)
    }

    /// Begins a batch. What the last one left unfinished is forgotten.
    pub fn begin(&mut self) {
        self.tree.forget_flight();
        self.busy.clear();
        self.leader.1 += 1;
        self.users.retain(|(life, _)| life.strong_count() > 0);
        let (live, dead): (Vec<_>, Vec<_>) = std::mem::take(&mut self.own_roots)
            .into_iter()
            .partition(|(life, _)| life.strong_count() > 0);
        self.own_roots = live;
        for (_, root) in dead {
            self.tree.forget_below(root);
            self.tree.forget(root);
        }
    }

    /// Adds the rows that a sequence needs next to the batch, about `most` of them. Returns how many; none where all is
    /// known or on its way, or where the other sequences of the batch hold the memory for now.
    pub fn plan(&mut self, sequence: &mut Sequence, most: usize, batch: &mut Batch) -> Result<usize> {
        self.check(sequence.length())?;
        self.clock += 1;
        if self.leads(sequence) {
            self.leader.1 = 0;
        }
        let root = self.root_of(sequence);
        let mut path = self.tree.walk(root, &sequence.ids[..sequence.length()]);
        for &id in &path {
            self.tree.at_mut(id).used = self.clock;
        }
        self.take_known(sequence, &path);
        let Some(&(_, last)) = sequence.missing(0..sequence.length()).last() else {
            self.busy.push(self.tree.deepest_held(&path));
            self.release_if_done(sequence);
            return Ok(0);
        };
        let upto = |held: usize| (last + 1).min(held + most.max(1)).max(held);
        let deepest = self.tree.deepest_held(&path);
        let mut held = self.tree.at(deepest).end();
        if !self.reserve(sequence, deepest, upto(held)) {
            if !self.busy.is_empty() || !self.leads(sequence) {
                return Ok(0);
            }
            // Alone, and branches along its way hold too much. Without them it fits.
            self.tree.forget_below(root);
            path.truncate(1);
            held = 0;
        }
        let first = batch.ids.len();
        self.read_again(sequence, &path, held, batch);
        let rows = batch.push(&sequence.ids[held..upto(held)], held);
        self.fill(sequence, &mut path, held, &rows, batch);
        let deepest = self.tree.deepest_held(&path);
        self.used_by(sequence, deepest);
        self.busy.push(deepest);
        self.counters.peak_bytes = self.counters.peak_bytes.max(self.bytes());
        for (read, position) in sequence.missing(held..held + rows.len()) {
            let row = rows.start + position - held;
            self.read(sequence, &path, (read, position), row, batch);
        }
        sequence.rows += rows.len();
        if let Some(&last) = batch.positions[first..].last() {
            let mut pages = self.tree.page_table(&path);
            pages.truncate(last as usize / PAGE + 1);
            let rows = first..batch.ids.len();
            batch.spans.push(Span { rows, pages });
        }
        Ok(batch.ids.len() - first)
    }

    /// Takes in the head outputs of the finished batch, by read.
    pub fn commit(&mut self, outputs: &[Arc<Vec<f32>>]) {
        for (gone, by) in self.tree.land((self.kept == Kept::Outputs).then_some(outputs)) {
            for (_, node) in self.users.iter_mut().filter(|(_, node)| *node == gone) {
                *node = by;
            }
        }
        self.busy.clear();
        self.trim_notes();
    }

    /// Hands a sequence of the committed batch its head outputs.
    pub fn collect(&mut self, sequence: &mut Sequence, outputs: &[Arc<Vec<f32>>]) {
        if sequence.awaited.is_empty() {
            return;
        }
        for (read, output) in std::mem::take(&mut sequence.awaited) {
            sequence.outputs[read] = Some(outputs[output].clone());
        }
        self.release_if_done(sequence);
    }

    /// A sequence that is done uses nothing and leads nobody, however long its owner keeps it.
    fn release_if_done(&mut self, sequence: &mut Sequence) {
        if !sequence.is_done() {
            return;
        }
        let new = sequence.length() - sequence.counted;
        self.counters.hits += new.saturating_sub(sequence.rows) as u64;
        (sequence.counted, sequence.rows) = (sequence.length(), 0);
        if sequence.grows {
            return;
        }
        if self.leads(sequence) {
            self.leader.0 = Weak::new();
        }
        let life = Arc::downgrade(&sequence.life);
        self.users.retain(|(other, _)| !other.ptr_eq(&life));
    }

    /// Whether the budget holds a sequence of so many tokens.
    fn check(&self, tokens: usize) -> Result<()> {
        let pages = tokens.div_ceil(PAGE);
        if pages <= self.tree.pages.most {
            return Ok(());
        }
        Err(Error::CacheBudget {
            tokens,
            needed: pages * self.bytes_per_page,
            budget: self.counters.budget,
        })
    }

    fn root_of(&mut self, sequence: &Sequence) -> NodeId {
        if self.shared {
            return ROOT;
        }
        let life = Arc::downgrade(&sequence.life);
        if let Some((_, root)) = self.own_roots.iter().find(|(other, _)| other.ptr_eq(&life)) {
            return *root;
        }
        let root = self.tree.add_root();
        self.own_roots.push((life, root));
        root
    }

    /// Gives a sequence the head outputs that are known, and has it await those of the batch in the making.
    fn take_known(&self, sequence: &mut Sequence, path: &[NodeId]) {
        sequence.awaited.clear();
        for (read, &position) in sequence.reads.iter().enumerate() {
            let Some(node) = self.tree.node_of(path, position).map(|id| self.tree.at(id)) else {
                return;
            };
            if sequence.outputs[read].is_some() {
                continue;
            }
            if let Some(output) = node.outputs.get(&position) {
                sequence.outputs[read] = Some(output.clone());
            } else if let Some(&(_, output)) = node.awaited.iter().find(|(other, _)| *other == position) {
                sequence.awaited.push((read, output));
            }
        }
    }

    /// Reads at positions whose keys and values are there: from their rows in the batch, or from rows run again.
    fn read_again(&mut self, sequence: &mut Sequence, path: &[NodeId], held: usize, batch: &mut Batch) {
        for (read, position) in sequence.missing(0..held) {
            let node = self.tree.node_of(path, position).map(|id| self.tree.at(id));
            let row = match node.and_then(|node| Some(node.row? + position - node.start)) {
                Some(row) => row,
                None => {
                    self.counters.recomputed += 1;
                    batch.push(&sequence.ids[position..=position], position).start
                }
            };
            self.read(sequence, path, (read, position), row, batch);
        }
    }

    fn read(
        &mut self,
        sequence: &mut Sequence,
        path: &[NodeId],
        (read, position): (usize, usize),
        row: usize,
        batch: &mut Batch,
    ) {
        let output = batch.read(row);
        if let Some(id) = self.tree.node_of(path, position) {
            self.tree.await_output(id, position, output);
        }
        sequence.awaited.push((read, output));
    }

    /// Gives the rows from position `held` on their nodes and pages: nodes of the path whose pages were evicted, then a
    /// new one.
    fn fill(
        &mut self,
        sequence: &Sequence,
        path: &mut Vec<NodeId>,
        held: usize,
        rows: &Range<usize>,
        batch: &mut Batch,
    ) {
        let upto = held + rows.len();
        let mut position = held;
        while position < upto {
            let at = match path.iter().position(|&id| self.tree.at(id).end() > position) {
                Some(at) => {
                    if self.tree.at(path[at]).end() > upto {
                        path[at] = self.tree.split(path[at], upto);
                        path.truncate(at + 1);
                    }
                    self.counters.recomputed += self.tree.at(path[at]).tokens.len() as u64;
                    at
                }
                None => {
                    self.counters.computed += (upto - position) as u64;
                    let parent = path[path.len() - 1];
                    path.push(self.tree.add(parent, &sequence.ids[position..upto], self.clock));
                    path.len() - 1
                }
            };
            self.tree.place_rows(&path[..=at], rows.start + position - held, batch);
            position = self.tree.at(path[at]).end();
        }
    }

    /// Makes room for the pages of the rows behind a node up to a position, where that is possible. A batch's first
    /// sequence that lacks room leads from then on: it may take what sequences of earlier batches use, and until it is
    /// done no other takes a page, or two would take from each other for ever.
    fn reserve(&mut self, sequence: &Sequence, deepest: NodeId, upto: usize) -> bool {
        self.used_by(sequence, deepest);
        if self.another_leads(sequence) && self.tree.pages_needed(deepest, upto) > 0 {
            return false;
        }
        self.evict(deepest, upto);
        if self.lacks(deepest, upto) && self.busy.is_empty() {
            let life = Arc::downgrade(&sequence.life);
            self.users.retain(|(other, _)| other.ptr_eq(&life));
            self.leader = (life, 0);
            self.evict(deepest, upto);
        }
        !self.lacks(deepest, upto)
    }

    fn leads(&self, sequence: &Sequence) -> bool {
        self.leader.0.ptr_eq(&Arc::downgrade(&sequence.life))
    }

    fn another_leads(&self, sequence: &Sequence) -> bool {
        let (leader, idle) = &self.leader;
        leader.strong_count() > 0 && *idle < PATIENCE && !self.leads(sequence)
    }

    fn lacks(&self, deepest: NodeId, upto: usize) -> bool {
        self.tree.pages.free() < self.tree.pages_needed(deepest, upto)
    }

    /// Takes pages from the leaves that were least recently used until the rows behind a node have room, or none can be
    /// taken. Takes some more than needed, since finding them means looking at all.
    fn evict(&mut self, deepest: NodeId, upto: usize) {
        let slack = self.tree.pages.most / 16;
        while self.lacks(deepest, upto) {
            let leaves = self.oldest(|tree, node| {
                let is_leaf = !node.children.values().any(|&child| tree.at(child).is_held());
                !node.pages.is_empty() && node.row.is_none() && is_leaf
            });
            if leaves.is_empty() {
                return;
            }
            for id in leaves {
                self.tree.evict(id);
                if !self.lacks(deepest, upto) && self.tree.pages.free() >= slack {
                    break;
                }
            }
        }
    }

    /// Forgets the leaves that were least recently used while tokens and head outputs take more than their part.
    fn trim_notes(&mut self) {
        let most = self.counters.budget / NOTES;
        while self.tree.notes > most {
            let leaves = self.oldest(|_, node| node.children.is_empty());
            if leaves.is_empty() {
                return;
            }
            for id in leaves {
                self.tree.forget(id);
                if self.tree.notes <= most - most / 8 {
                    break;
                }
            }
        }
    }

    /// The nodes that fit and that nobody uses, least recently used first.
    fn oldest(&self, fits: impl Fn(&Tree, &Node) -> bool) -> Vec<NodeId> {
        let in_use = self.busy.iter().chain(self.users.iter().map(|(_, id)| id));
        let in_use: HashSet<NodeId> = in_use.copied().collect();
        let mut found: Vec<(u64, NodeId)> = self
            .tree
            .ids()
            .map(|id| (self.tree.at(id), id))
            .filter(|(node, id)| !node.tokens.is_empty() && fits(&self.tree, node) && !in_use.contains(id))
            .map(|(node, id)| (node.used, id))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    fn used_by(&mut self, sequence: &Sequence, node: NodeId) {
        let life = Arc::downgrade(&sequence.life);
        match self.users.iter_mut().find(|(other, _)| other.ptr_eq(&life)) {
            Some((_, used)) => *used = node,
            None => self.users.push((life, node)),
        }
    }
}
