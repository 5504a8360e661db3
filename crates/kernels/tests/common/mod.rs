//! What the tests of kernels share.
#![allow(dead_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use surefoot_kernels::{Isa, Threads};

/// The instruction sets of this machine; says which are missing.
pub(crate) fn isas() -> Vec<Isa> {
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        eprintln!("NOT RUN: no {}", isa.name());
    }
    Isa::available()
}

/// As many threads as it says, each taking the next task that is left.
pub(crate) struct Crew {
    count: usize,
    tasks: AtomicUsize,
}

impl Crew {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count,
            tasks: AtomicUsize::new(0),
        }
    }

    /// Tasks that were run so far.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }
}

impl Threads for Crew {
    fn count(&self) -> usize {
        self.count
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        self.tasks.fetch_add(tasks, Ordering::Relaxed);
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < tasks) {
                task(i);
            }
        };
        std::thread::scope(|scope| (0..self.count).for_each(|_| drop(scope.spawn(work))));
    }
}

/// Numbers that look random, the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// A whole number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Numbers from -1 to 1.
    pub(crate) fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0)
            .collect()
    }
}
