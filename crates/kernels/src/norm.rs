//! RMS norm, and how functions of single rows are spread over threads.

use std::ops::Range;

use crate::lanes::{Lanes, dispatch};
use crate::math::{load_first, store_first, sum};
use crate::threads::Shared;
use crate::{Isa, Threads};

/// Numbers below which a task is not worth a thread.
const GRAIN: usize = 1 << 14;

/// Calls `f` with ranges that make up 0 .. `rows`, on several threads where there are many rows of `width` numbers.
pub(crate) fn by_rows(threads: &dyn Threads, rows: usize, width: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    let tasks = (rows * width / GRAIN).min(2 * threads.count()).min(rows);
    if threads.count() == 1 || tasks < 2 {
        f(0..rows);
    } else {
        threads.run(tasks, &|task| f(rows * task / tasks..rows * (task + 1) / tasks));
    }
}

/// y = x / √(mean(x²) + eps) · weight, for each row.
///
/// `x` and `y` hold the same number of rows of `weight.len()`: hidden states, or heads one behind the other. The squares
/// are f32: a row with numbers beyond 1.8e19 becomes 0.
pub fn rms_norm(isa: Isa, threads: &dyn Threads, x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    assert!(isa.is_available(), "no {isa:?} here");
    let width = weight.len();
    assert!(
        width > 0 && x.len().is_multiple_of(width),
        "rows of {width} in {}",
        x.len()
    );
    assert_eq!(x.len(), y.len());
    let y = Shared::new(y);
    by_rows(threads, x.len() / width, width, &|rows| {
        let x = &x[rows.start * width..rows.end * width];
        // SAFETY: the ranges of tasks are disjoint and within y, whose length is that of x.
        let y = unsafe { y.slice(rows.start * width, x.len()) };
        // SAFETY: the instruction set is there, and the chunks of x and y have the length of the weight.
        unsafe { dispatch!(isa, norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32])) }
    });
}

/// # Safety
/// Needs the instruction set of `L`; x and y hold the same number of rows of `weight.len()`.
#[inline(always)]
unsafe fn norm<L: Lanes>(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let width = weight.len();
    let whole = width - width % L::N;
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        let (from, by, to) = (x.as_ptr(), weight.as_ptr(), y.as_mut_ptr());
        // SAFETY: every index stays below the width.
        unsafe {
            let mut sums = [L::splat(0.0); 4];
            let mut i = 0;
            while i + 4 * L::N <= whole {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let x = L::load(from.add(i + j * L::N));
                    *sum = x.fma(x, *sum);
                }
                i += 4 * L::N;
            }
            while i < whole {
                let x = L::load(from.add(i));
                sums[0] = x.fma(x, sums[0]);
                i += L::N;
            }
            if whole < width {
                let x = load_first::<L>(from.add(whole), width - whole);
                sums[1] = x.fma(x, sums[1]);
            }
            let squares = sum(sums[0].add(sums[1]).add(sums[2].add(sums[3])));
            let factor = L::splat(1.0 / (squares / width as f32 + eps).sqrt());
            for i in (0..whole).step_by(L::N) {
                L::load(from.add(i))
                    .mul(factor)
                    .mul(L::load(by.add(i)))
                    .store(to.add(i));
            }
            if whole < width {
                let rest = width - whole;
                let x = load_first::<L>(from.add(whole), rest).mul(factor);
                store_first(x.mul(load_first(by.add(whole), rest)), to.add(whole), rest);
            }
        }
    }
}
