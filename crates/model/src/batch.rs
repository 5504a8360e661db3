//! The rows of one forward pass, of many sequences, and the pages in which their keys and values lie.

use std::ops::Range;

pub use surefoot_kernels::{PAGE, Write};

/// Rows of different sequences, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// One token a row.
    pub ids: Vec<u32>,
    /// Of each row within its sequence, from 0.
    pub positions: Vec<u32>,
    pub spans: Vec<Span>,
    /// Where the rows' keys and values go. A row may go to several pages, or to none where they lie there already.
    pub writes: Vec<Write>,
    /// Rows whose hidden states are wanted.
    pub reads: Vec<usize>,
}

/// Rows of one sequence with ascending positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub rows: Range<usize>,
    /// The pages of the sequence up to the last row's position.
    pub pages: Vec<u32>,
}

/// What becomes of a page before a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Allocate(u32),
    Free(u32),
    /// The first `slots` tokens of one page to another.
    Copy {
        from: u32,
        to: u32,
        slots: usize,
    },
}

impl Batch {
    /// Whole sequences, each in pages of its own from number 0, and the changes that make those.
    pub fn of<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> (Self, Vec<Change>) {
        let mut batch = Self::default();
        let mut pages = 0;
        for ids in sequences {
            let own: Vec<u32> = (pages..).take(ids.len().div_ceil(PAGE)).collect();
            pages += own.len() as u32;
            let rows = batch.push(ids, 0);
            batch.write(rows.clone(), 0, &own);
            batch.spans.push(Span { rows, pages: own });
        }
        (batch, (0..pages).map(Change::Allocate).collect())
    }

    /// Adds the rows of tokens that begin at a position.
    pub fn push(&mut self, ids: &[u32], position: usize) -> Range<usize> {
        let start = self.ids.len();
        self.ids.extend(ids);
        self.positions.extend((position as u32..).take(ids.len()));
        start..self.ids.len()
    }

    /// Sends rows that begin at a position to `pages`, the first of which holds that position.
    pub fn write(&mut self, rows: Range<usize>, position: usize, pages: &[u32]) {
        let mut row = rows.start;
        for &page in pages {
            let slot = (position + row - rows.start) % PAGE;
            let end = rows.end.min(row + PAGE - slot);
            let count = end - row;
            if count > 0 {
                self.writes.push(Write { row, count, page, slot });
            }
            row = end;
        }
    }

    /// Wants the hidden state of a row, and returns its number among the reads.
    pub fn read(&mut self, row: usize) -> usize {
        self.reads.push(row);
        self.reads.len() - 1
    }
}
