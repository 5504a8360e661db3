//! Rotary position embedding.

use crate::lanes::{Lanes, dispatch};
use crate::math::{load_first, store_first};
use crate::norm::by_rows;
use crate::threads::Shared;
use crate::{Isa, Threads};

/// Turns each pair (x[i], x[half + i]) of every head by the angle i of its row, in place.
///
/// `x` holds rows of `columns` = heads · 2 · half numbers, `cos` and `sin` rows of half. Every product and every sum is
/// rounded on its own.
pub fn rope(isa: Isa, threads: &dyn Threads, x: &mut [f32], columns: usize, cos: &[f32], sin: &[f32]) {
    assert!(isa.is_available(), "no {isa:?} here");
    if x.is_empty() {
        return;
    }
    assert!(
        columns > 0 && x.len().is_multiple_of(columns),
        "rows of {columns} in {}",
        x.len()
    );
    let rows = x.len() / columns;
    assert!(cos.len().is_multiple_of(rows), "{} cosines for {rows} rows", cos.len());
    assert_eq!(cos.len(), sin.len());
    let half = cos.len() / rows;
    assert!(
        half > 0 && columns.is_multiple_of(2 * half),
        "heads of {} in {columns}",
        2 * half
    );
    let x = Shared::new(x);
    by_rows(threads, rows, columns, &|rows| {
        // SAFETY: the ranges of tasks are disjoint and within x.
        let x = unsafe { x.slice(rows.start * columns, rows.len() * columns) };
        let (cos, sin) = (
            &cos[rows.start * half..rows.end * half],
            &sin[rows.start * half..rows.end * half],
        );
        // SAFETY: the instruction set is there; rows, heads and angles were counted above.
        unsafe { dispatch!(isa, turn(x: &mut [f32], columns: usize, half: usize, cos: &[f32], sin: &[f32])) }
    });
}

/// # Safety
/// Needs the instruction set of `L`; x holds rows of `columns`, a multiple of 2 · `half`, cos and sin as many of `half`.
#[inline(always)]
unsafe fn turn<L: Lanes>(x: &mut [f32], columns: usize, half: usize, cos: &[f32], sin: &[f32]) {
    let whole = half - half % L::N;
    let rest = half - whole;
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for (x, (cos, sin)) in x.chunks_exact_mut(columns).zip(angles) {
        for head in x.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            let (first, second) = (first.as_mut_ptr(), second.as_mut_ptr());
            let (cos, sin) = (cos.as_ptr(), sin.as_ptr());
            // SAFETY: every index stays below half.
            unsafe {
                for i in (0..whole).step_by(L::N) {
                    let (a, b) = (L::load(first.add(i)), L::load(second.add(i)));
                    let (c, s) = (L::load(cos.add(i)), L::load(sin.add(i)));
                    a.mul(c).sub(b.mul(s)).store(first.add(i));
                    b.mul(c).add(a.mul(s)).store(second.add(i));
                }
                if rest > 0 {
                    let (a, b) = (first.add(whole), second.add(whole));
                    let (x, y) = (load_first::<L>(a, rest), load_first::<L>(b, rest));
                    let (c, s) = (
                        load_first::<L>(cos.add(whole), rest),
                        load_first::<L>(sin.add(whole), rest),
                    );
                    store_first(x.mul(c).sub(y.mul(s)), a, rest);
                    store_first(y.mul(c).add(x.mul(s)), b, rest);
                }
            }
        }
    }
}
