//! What becomes of the sums of a product.

use crate::gemm::Epilogue;
use crate::lanes::Lanes;
use crate::math::{load_first, silu, store_first};
use crate::threads::Shared;

/// The result of a product of one matrix, or, gated, of two.
pub(crate) struct Target<'a> {
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    pub(crate) biases: &'a [Option<&'a [f32]>],
    pub(crate) epilogue: Epilogue<'a>,
    /// Rows × outputs.
    pub(crate) y: Shared<f32>,
}

impl Target<'_> {
    /// How many matrices there are.
    pub(crate) fn terms(&self) -> usize {
        self.biases.len()
    }

    /// The part from `row` and `column` on, for sums of matrix `term`. Sums between blocks are kept in y.
    pub(crate) fn out(&self, term: usize, row: usize, column: usize) -> Out {
        let at = row * self.outputs + column;
        Out {
            y: self.y.at(at),
            stride: self.outputs,
            partial: self.y.at(at),
            partial_stride: self.outputs,
            bias: self.biases[term].map(|bias| bias[column..].as_ptr()),
            then: match self.epilogue {
                _ if term == 1 => Then::Gate,
                Epilogue::None => Then::Nothing,
                Epilogue::Add(residual) => Then::Add(residual[at..].as_ptr()),
                Epilogue::Relu => Then::Relu,
            },
        }
    }
}

/// What is done with an element of x Wᵀ + bias.
#[derive(Clone, Copy)]
enum Then {
    Nothing,
    Add(*const f32),
    Relu,
    /// y holds the gate: y = silu(y) · element.
    Gate,
}

/// Where a task's sums go. All pointers are to the first element of its rows and columns.
pub(crate) struct Out {
    /// Of the residual too.
    stride: usize,
    y: *mut f32,
    /// Sums over the blocks of inputs so far; may be y.
    pub(crate) partial: *mut f32,
    pub(crate) partial_stride: usize,
    bias: Option<*const f32>,
    then: Then,
}

/// Rows and columns of a task.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) column: usize,
    pub(crate) columns: usize,
}

impl Out {
    /// Where the partial sum of an element is.
    #[inline(always)]
    pub(crate) fn partial(&self, row: usize, column: usize) -> *mut f32 {
        self.partial.wrapping_add(row * self.partial_stride + column)
    }

    /// Whether partial sums that are complete are y already.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.then, Then::Nothing) && self.bias.is_none()
    }

    /// Adds sums to the partial ones, or puts them in their place.
    ///
    /// # Safety
    /// The area is the task's own. `sums` has its rows, `pitch` apart, each a whole number of vectors.
    #[inline(always)]
    pub(crate) unsafe fn keep<L: Lanes>(&self, area: Area, sums: *const f32, pitch: usize, add: bool) {
        for r in 0..area.rows {
            for c in (0..area.columns).step_by(L::N) {
                let count = L::N.min(area.columns - c);
                let partial = self.partial(area.row + r, area.column + c);
                // SAFETY: promised by the caller.
                unsafe {
                    let sum = L::load(sums.add(r * pitch + c));
                    let sum = if add { load::<L>(partial, count).add(sum) } else { sum };
                    store(sum, partial, count);
                }
            }
        }
    }

    /// Writes y from sums that are complete, with bias and epilogue.
    ///
    /// # Safety
    /// The area is the task's own. `sums` has its rows, `pitch` apart.
    #[inline(always)]
    pub(crate) unsafe fn finish<L: Lanes>(&self, area: Area, sums: *const f32, pitch: usize) {
        for r in 0..area.rows {
            for c in (0..area.columns).step_by(L::N) {
                let count = L::N.min(area.columns - c);
                let at = (area.row + r) * self.stride + area.column + c;
                // SAFETY: promised by the caller.
                unsafe {
                    let mut sum: L = load(sums.add(r * pitch + c), count);
                    if let Some(bias) = self.bias {
                        sum = sum.add(load(bias.add(area.column + c), count));
                    }
                    let result = match self.then {
                        Then::Nothing => sum,
                        Then::Add(residual) => sum.add(load(residual.add(at), count)),
                        Then::Relu => L::splat(0.0).max(sum),
                        Then::Gate => silu(load::<L>(self.y.add(at), count)).mul(sum),
                    };
                    store(result, self.y.add(at), count);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn load<L: Lanes>(from: *const f32, count: usize) -> L {
    // SAFETY: promised by the caller.
    unsafe {
        if count == L::N {
            L::load(from)
        } else {
            load_first(from, count)
        }
    }
}

#[inline(always)]
unsafe fn store<L: Lanes>(x: L, to: *mut f32, count: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        if count == L::N {
            x.store(to);
        } else {
            store_first(x, to, count);
        }
    }
}
