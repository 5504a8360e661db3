//! Exponentials of many numbers: what a softmax is made of.

use crate::Isa;
use crate::lanes::{Lanes, dispatch};
use crate::math::{exp, load_first, store_first};

/// y = e^((x − `most`) · `scale`), element by element, each within a few units in the last place of its argument.
///
/// With `most` the largest x and `scale` the inverse of a temperature, y are a softmax's weights: at most 1, and 0 for −∞.
pub fn exponentials(isa: Isa, x: &[f32], most: f32, scale: f32, y: &mut [f32]) {
    assert!(isa.is_available(), "no {isa:?} here");
    assert_eq!(x.len(), y.len());
    // SAFETY: the instruction set is there, and x and y have one length.
    unsafe { dispatch!(isa, run(x: &[f32], most: f32, scale: f32, y: &mut [f32])) }
}

/// # Safety
/// Needs the instruction set of `L`; x and y have one length.
#[inline(always)]
unsafe fn run<L: Lanes>(x: &[f32], most: f32, scale: f32, y: &mut [f32]) {
    let whole = x.len() - x.len() % L::N;
    let (from, to) = (x.as_ptr(), y.as_mut_ptr());
    // SAFETY: every index stays below the length.
    unsafe {
        let (most, scale) = (L::splat(most), L::splat(scale));
        for i in (0..whole).step_by(L::N) {
            exp(L::load(from.add(i)).sub(most).mul(scale)).store(to.add(i));
        }
        if whole < x.len() {
            let rest = x.len() - whole;
            let x = load_first::<L>(from.add(whole), rest);
            store_first(exp(x.sub(most).mul(scale)), to.add(whole), rest);
        }
    }
}
