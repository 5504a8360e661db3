//! Work cut into tasks, and the scratch that they share.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::Threads;
use crate::pack::Aligned;

/// Part `index` of `total` things in `parts` parts that differ by one at most.
pub(crate) fn part(total: usize, parts: usize, index: usize) -> Range<usize> {
    index * total / parts..(index + 1) * total / parts
}

/// Rows and panels of a product, cut into tasks: each a part of the rows by a part of the panels.
pub(crate) struct Plan {
    pub(crate) rows: usize,
    pub(crate) row_parts: usize,
    pub(crate) panels: usize,
    pub(crate) panel_parts: usize,
}

impl Plan {
    /// At most `most_rows` rows in a task, at most `most_sums` rows times panels, and, if there are threads and at least
    /// as many things `worth` a task, some tasks for each thread: one that is slow must not hold up the others for long.
    pub(crate) fn new(
        threads: usize,
        worth: usize,
        (rows, panels): (usize, usize),
        most_rows: usize,
        most_sums: usize,
    ) -> Self {
        const TASKS: usize = 8;
        let row_parts = rows.div_ceil(most_rows);
        let most_panels = (most_sums / rows.div_ceil(row_parts)).max(1);
        let wanted = if threads > 1 {
            worth.clamp(1, TASKS * threads)
        } else {
            1
        };
        let panel_parts = panels.div_ceil(most_panels).max(wanted.div_ceil(row_parts)).min(panels);
        Self {
            rows,
            row_parts,
            panels,
            panel_parts,
        }
    }

    /// The largest numbers of rows and panels in a task.
    pub(crate) fn most(&self) -> (usize, usize) {
        (
            self.rows.div_ceil(self.row_parts),
            self.panels.div_ceil(self.panel_parts),
        )
    }

    pub(crate) fn tasks(&self) -> usize {
        self.row_parts * self.panel_parts
    }

    /// A task's rows and panels. Tasks of the same panels follow each other, so that those stay in a shared cache.
    pub(crate) fn task(&self, index: usize) -> (Range<usize>, Range<usize>) {
        (
            part(self.rows, self.row_parts, index % self.row_parts),
            part(self.panels, self.panel_parts, index / self.row_parts),
        )
    }
}

/// Runs tasks on the threads if there is work enough, otherwise here.
pub(crate) fn spread(threads: &dyn Threads, tasks: usize, enough: bool, task: &(dyn Fn(usize) + Sync)) {
    if enough && tasks > 1 {
        threads.run(tasks, task);
    } else {
        (0..tasks).for_each(task);
    }
}

/// Scratch for each task that runs at the same time.
#[derive(Default)]
pub(crate) struct Scratch(Vec<Mutex<Aligned<f32>>>);

impl Scratch {
    /// Makes it long enough for `count` tasks at a time.
    pub(crate) fn reserve(&mut self, count: usize, length: usize) {
        self.0.resize_with(count.max(self.0.len()), Mutex::default);
        for slot in &mut self.0 {
            slot.get_mut().unwrap_or_else(PoisonError::into_inner).reserve(length);
        }
    }

    /// One that no other task uses. Waits where more tasks run than it was made for.
    pub(crate) fn take(&self) -> MutexGuard<'_, Aligned<f32>> {
        loop {
            for slot in &self.0 {
                match slot.try_lock() {
                    Ok(slot) => return slot,
                    Err(TryLockError::Poisoned(slot)) => return slot.into_inner(),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            std::thread::yield_now();
        }
    }
}
