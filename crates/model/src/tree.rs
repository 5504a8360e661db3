//! The tree of [`prefixes`](crate::prefixes): nodes with their tokens, pages and head outputs; how they part and how they
//! are forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::{Batch, Change, PAGE, Write};

pub(crate) type NodeId = usize;
pub(crate) const ROOT: NodeId = 0;

/// Bytes of a node besides its tokens, pages and head outputs, roughly.
const NODE_BYTES: usize = 256;
/// Bytes of a position's head outputs, roughly.
const OUTPUT_BYTES: usize = 80;

pub(crate) struct Tree {
    nodes: Vec<Option<Node>>,
    vacant: Vec<NodeId>,
    pub(crate) pages: PageTable,
    /// Bytes of tokens and head outputs.
    pub(crate) notes: usize,
    /// Nodes whose rows are in the batch in the making, and nodes at which it reads.
    flight: Vec<NodeId>,
    reading: Vec<NodeId>,
}

#[derive(Default)]
pub(crate) struct Node {
    parent: NodeId,
    /// By their first token.
    pub(crate) children: BTreeMap<u32, NodeId>,
    /// None at a root.
    pub(crate) tokens: Vec<u32>,
    /// Position of the first token.
    pub(crate) start: usize,
    /// From the page of the first token to that of the last; none when they were evicted.
    pub(crate) pages: Vec<u32>,
    /// Head outputs by position.
    pub(crate) outputs: BTreeMap<usize, Arc<Vec<f32>>>,
    /// Positions that the batch in the making reads, and the numbers of the reads.
    pub(crate) awaited: Vec<(usize, usize)>,
    /// The row of the first token, where it is in the batch in the making.
    pub(crate) row: Option<usize>,
    /// When, on the clock of plans.
    pub(crate) used: u64,
}

impl Node {
    pub(crate) fn end(&self) -> usize {
        self.start + self.tokens.len()
    }

    /// Whether its keys and values are there, or will be after the batch in the making.
    pub(crate) fn is_held(&self) -> bool {
        !self.pages.is_empty() || self.tokens.is_empty()
    }

    fn bytes(&self) -> usize {
        NODE_BYTES + 4 * self.tokens.len() + OUTPUT_BYTES * self.outputs.len()
    }
}

/// Which pages there are, how many nodes hold each, and how many of its slots are taken.
pub(crate) struct PageTable {
    holders: Vec<u32>,
    taken: Vec<usize>,
    vacant: Vec<u32>,
    /// What became of pages, in order, until somebody asks.
    pub(crate) changes: Vec<Change>,
    pub(crate) held: usize,
    pub(crate) most: usize,
}

impl PageTable {
    pub(crate) fn free(&self) -> usize {
        self.most - self.held
    }

    fn allocate(&mut self) -> u32 {
        let page = self.vacant.pop().unwrap_or_else(|| {
            self.holders.push(0);
            self.taken.push(0);
            (self.holders.len() - 1) as u32
        });
        self.holders[page as usize] = 1;
        self.held += 1;
        self.changes.push(Change::Allocate(page));
        page
    }

    fn drop(&mut self, page: u32) {
        let holders = &mut self.holders[page as usize];
        *holders -= 1;
        if *holders == 0 {
            self.held -= 1;
            self.vacant.push(page);
            self.changes.push(Change::Free(page));
        }
    }
}

impl Tree {
    /// `most` pages.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            nodes: vec![Some(Node::default())],
            vacant: vec![],
            pages: PageTable {
                holders: vec![],
                taken: vec![],
                vacant: vec![],
                changes: vec![],
                held: 0,
                most,
            },
            notes: 0,
            flight: vec![],
            reading: vec![],
        }
    }

    pub(crate) fn at(&self, id: NodeId) -> &Node {
        self.nodes[id].as_ref().expect("a node that is in the tree")
    }

    pub(crate) fn at_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id].as_mut().expect("a node that is in the tree")
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> {
        (0..self.nodes.len()).filter(|&id| self.nodes[id].is_some())
    }

    /// The nodes along `ids` from `root` on, cut so that all of the last one's tokens are in `ids`.
    pub(crate) fn walk(&mut self, root: NodeId, ids: &[u32]) -> Vec<NodeId> {
        let mut path = vec![root];
        let mut position = 0;
        while let Some(next) = ids.get(position) {
            let Some(&child) = self.at(path[path.len() - 1]).children.get(next) else {
                break;
            };
            let tokens = &self.at(child).tokens;
            let same = tokens.iter().zip(&ids[position..]).take_while(|(a, b)| a == b).count();
            position += same;
            if same < tokens.len() {
                path.push(self.split(child, position));
                break;
            }
            path.push(child);
        }
        path
    }

    /// The node of a path with a position.
    pub(crate) fn node_of(&self, path: &[NodeId], position: usize) -> Option<NodeId> {
        path.iter().copied().find(|&id| self.at(id).end() > position)
    }

    pub(crate) fn deepest_held(&self, path: &[NodeId]) -> NodeId {
        let held = path.iter().copied().take_while(|&id| self.at(id).is_held());
        held.last().unwrap_or(path[0])
    }

    /// The pages of a path's nodes up to the deepest that has any.
    pub(crate) fn page_table(&self, path: &[NodeId]) -> Vec<u32> {
        let mut pages = Vec::new();
        for node in path.iter().map(|&id| self.at(id)).filter(|node| !node.pages.is_empty()) {
            pages.truncate(node.start / PAGE);
            pages.extend(&node.pages);
        }
        pages
    }

    pub(crate) fn add_root(&mut self) -> NodeId {
        self.place(Node::default())
    }

    pub(crate) fn add(&mut self, parent: NodeId, tokens: &[u32], used: u64) -> NodeId {
        let node = Node {
            parent,
            tokens: tokens.to_vec(),
            start: self.at(parent).end(),
            used,
            ..Node::default()
        };
        self.notes += node.bytes();
        let id = self.place(node);
        self.at_mut(parent).children.insert(tokens[0], id);
        id
    }

    fn place(&mut self, node: Node) -> NodeId {
        match self.vacant.pop() {
            Some(id) => {
                self.nodes[id] = Some(node);
                id
            }
            None => {
                self.nodes.push(Some(node));
                self.nodes.len() - 1
            }
        }
    }

    /// Cuts a node in two before a position; the first part is a new node, the second keeps the number.
    pub(crate) fn split(&mut self, id: NodeId, before: usize) -> NodeId {
        let node = self.at_mut(id);
        let (cut, first_page) = (before - node.start, node.start / PAGE);
        let rest = node.tokens.split_off(cut);
        let later = node.outputs.split_off(&before);
        let mut upper = Node {
            parent: node.parent,
            children: BTreeMap::from([(rest[0], id)]),
            tokens: std::mem::replace(&mut node.tokens, rest),
            start: std::mem::replace(&mut node.start, before),
            pages: node
                .pages
                .iter()
                .copied()
                .take(before.div_ceil(PAGE) - first_page)
                .collect(),
            outputs: std::mem::replace(&mut node.outputs, later),
            awaited: vec![],
            row: node.row,
            used: node.used,
        };
        (upper.awaited, node.awaited) = node.awaited.iter().partition(|(position, _)| *position < before);
        node.row = node.row.map(|row| row + cut);
        if !node.pages.is_empty() {
            node.pages.drain(..before / PAGE - first_page);
        }
        let shared = node.pages.first().copied().filter(|_| !before.is_multiple_of(PAGE));
        if let Some(page) = shared {
            self.pages.holders[page as usize] += 1;
        }
        let (parent, first_token) = (upper.parent, upper.tokens[0]);
        let (in_flight, is_read) = (upper.row.is_some(), !upper.awaited.is_empty());
        let new = self.place(upper);
        self.notes += NODE_BYTES;
        self.at_mut(id).parent = new;
        self.at_mut(parent).children.insert(first_token, new);
        if in_flight {
            self.flight.push(new);
        }
        if is_read {
            self.reading.push(new);
        }
        new
    }

    /// How many pages the rows from the end of a node up to a position need.
    pub(crate) fn pages_needed(&self, id: NodeId, upto: usize) -> usize {
        let end = self.at(id).end();
        let goes_on_in_place = !end.is_multiple_of(PAGE) && self.tail_taken(id) == end % PAGE;
        upto.div_ceil(PAGE) - end / PAGE - usize::from(goes_on_in_place && upto > end)
    }

    /// How many slots of a node's last page are taken, by whichever node.
    fn tail_taken(&self, id: NodeId) -> usize {
        let tail = self.at(id).pages.last();
        tail.map_or(0, |&page| self.pages.taken[page as usize])
    }

    /// Pages for the last node of a path, whose rows begin at `row`. It goes on in its parent's last page, or, where
    /// another node does already, in a copy.
    pub(crate) fn place_rows(&mut self, path: &[NodeId], row: usize, batch: &mut Batch) {
        let id = path[path.len() - 1];
        let (parent, start, end) = (self.at(id).parent, self.at(id).start, self.at(id).end());
        let mut pages = Vec::new();
        if !start.is_multiple_of(PAGE) {
            let in_place = self.tail_taken(parent) == start % PAGE;
            let tail = self.page_table(&path[..path.len() - 1])[start / PAGE];
            if in_place {
                self.pages.holders[tail as usize] += 1;
                pages.push(tail);
            } else {
                let copy = self.pages.allocate();
                self.copy_tail(&path[..path.len() - 1], tail, copy, start, batch);
                pages.push(copy);
            }
        }
        while start / PAGE + pages.len() < end.div_ceil(PAGE) {
            pages.push(self.pages.allocate());
        }
        for (index, &page) in pages.iter().enumerate() {
            self.pages.taken[page as usize] = PAGE.min(end - (start / PAGE + index) * PAGE);
        }
        batch.write(row..row + end - start, start, &pages);
        let node = self.at_mut(id);
        node.pages = pages;
        node.row = Some(row);
        self.flight.push(id);
    }

    /// Fills page `to` with what page `from` holds before position `end`: what lies there by copying, and what is in the
    /// batch in the making by writing those rows there too.
    fn copy_tail(&mut self, path: &[NodeId], from: u32, to: u32, end: usize, batch: &mut Batch) {
        let first = end / PAGE * PAGE;
        let mut slots = end - first;
        for node in path.iter().map(|&id| self.at(id)).filter(|node| node.end() > first) {
            if let Some(row) = node.row {
                let begin = node.start.max(first);
                slots = slots.min(begin - first);
                batch.writes.push(Write {
                    row: row + begin - node.start,
                    count: node.end() - begin,
                    page: to,
                    slot: begin - first,
                });
            }
        }
        if slots > 0 {
            self.pages.changes.push(Change::Copy { from, to, slots });
        }
    }

    /// Notes that read number `read` of the batch is a node's head output at a position.
    pub(crate) fn await_output(&mut self, id: NodeId, position: usize, read: usize) {
        self.at_mut(id).awaited.push((position, read));
        self.reading.push(id);
    }

    /// Takes in the head outputs of the finished batch, where they are kept: all its rows are known from here on. A node
    /// that merely goes on from its parent takes that in; returns which nodes are gone, and into which.
    pub(crate) fn land(&mut self, outputs: Option<&[Arc<Vec<f32>>]>) -> Vec<(NodeId, NodeId)> {
        for id in std::mem::take(&mut self.reading) {
            let node = self.at_mut(id);
            let before = node.bytes();
            for (position, read) in std::mem::take(&mut node.awaited) {
                if let Some(outputs) = outputs {
                    node.outputs.insert(position, outputs[read].clone());
                }
            }
            let more = node.bytes() - before;
            self.notes += more;
        }
        let landed = std::mem::take(&mut self.flight);
        for &id in &landed {
            self.at_mut(id).row = None;
        }
        let mut gone: Vec<(NodeId, NodeId)> = Vec::new();
        for id in landed {
            // One that is gone already was taken in by its child, which has all of it.
            while self.nodes[id].is_some()
                && let Some(parent) = self.take_in_parent(id)
            {
                gone.push((parent, id));
            }
        }
        gone
    }

    /// Joins a node to its parent where no other goes on from there: a text that grows token by token stays one node.
    fn take_in_parent(&mut self, id: NodeId) -> Option<NodeId> {
        let above = self.at(id).parent;
        let parent = self.at(above);
        if parent.tokens.is_empty()
            || parent.children.len() != 1
            || parent.pages.is_empty()
            || self.at(id).pages.is_empty()
        {
            return None;
        }
        let parent = self.nodes[above].take()?;
        self.vacant.push(above);
        let node = self.at_mut(id);
        let bytes = parent.bytes() + node.bytes();
        let first_own = node.start / PAGE - parent.start / PAGE;
        // Where the node begins within a page, it holds the parent's part of that page too.
        let dropped = parent.pages.get(first_own).copied();
        let pages = parent.pages.iter().copied().take(first_own);
        node.pages.splice(0..0, pages);
        node.tokens.splice(0..0, parent.tokens);
        node.outputs.extend(parent.outputs);
        node.start = parent.start;
        node.parent = parent.parent;
        node.used = node.used.max(parent.used);
        let (first, after) = (node.tokens[0], node.bytes());
        self.notes = self.notes + after - bytes;
        self.at_mut(parent.parent).children.insert(first, id);
        if let Some(page) = dropped {
            self.pages.drop(page);
        }
        Some(above)
    }

    /// Undoes what the batch in the making has planned.
    pub(crate) fn forget_flight(&mut self) {
        for id in std::mem::take(&mut self.reading) {
            self.at_mut(id).awaited.clear();
        }
        let mut flight = std::mem::take(&mut self.flight);
        flight.sort_unstable_by_key(|&id| std::cmp::Reverse(self.at(id).start));
        for id in flight {
            self.at_mut(id).row = None;
            self.evict(id);
        }
    }

    /// Takes a node's pages; its children have none. Without head outputs and children it is forgotten.
    pub(crate) fn evict(&mut self, id: NodeId) {
        self.drop_pages(id);
        if self.at(id).children.is_empty() && self.at(id).outputs.is_empty() {
            self.forget(id);
        }
    }

    fn drop_pages(&mut self, id: NodeId) {
        let (parent, start) = (self.at(id).parent, self.at(id).start);
        let pages = std::mem::take(&mut self.at_mut(id).pages);
        if let Some(&first) = pages.first()
            && !start.is_multiple_of(PAGE)
            && self.at(parent).pages.last() == Some(&first)
        {
            self.pages.taken[first as usize] = start % PAGE;
        }
        for page in pages {
            self.pages.drop(page);
        }
    }

    /// Removes a leaf.
    pub(crate) fn forget(&mut self, id: NodeId) {
        self.drop_pages(id);
        if let Some(node) = self.nodes[id].take() {
            self.vacant.push(id);
            if let Some(first) = node.tokens.first() {
                self.notes -= node.bytes();
                self.at_mut(node.parent).children.remove(first);
            }
        }
    }

    /// Removes all below a node.
    pub(crate) fn forget_below(&mut self, root: NodeId) {
        let mut below: Vec<NodeId> = self.at(root).children.values().copied().collect();
        let mut next = 0;
        while next < below.len() {
            below.extend(self.at(below[next]).children.values());
            next += 1;
        }
        for id in below.into_iter().rev() {
            self.forget(id);
        }
    }
}
