//! Products of a few rows and a few panels of weights, by vectors.

use crate::Isa;
use crate::lanes::{Lanes, dispatch, prefetch};
use crate::out::{Area, Out, Target};
use crate::pack::{Panels, Values, block, blocks, tile_height};
use crate::plan::Plan;

/// A product of panels, cut into tasks.
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    /// The rows' activations, packed for the plan.
    pub(crate) x: &'a [f32],
    /// One matrix, or two of the same shape.
    pub(crate) weights: &'a [&'a Panels],
    pub(crate) target: &'a Target<'a>,
}

/// How one instruction set computes tiles.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// Outputs in a panel.
    pub(crate) width: usize,
    /// Rows in a tile, at most.
    pub(crate) height: usize,
    task: unsafe fn(&Job<'_>, usize, &mut [f32]),
}

impl Kernel {
    pub(crate) fn of(isa: Isa) -> Self {
        match isa {
            Isa::Scalar => Self::new::<crate::lanes::Plain<8>>(task::<crate::lanes::Plain<8>>),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: these are called where the instruction set is available, see `run`.
            Isa::Avx2 => Self::new::<std::arch::x86_64::__m256>(|job, index, scratch| unsafe {
                dispatch!(Isa::Avx2, task(job: &Job<'_>, index: usize, scratch: &mut [f32]))
            }),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 | Isa::Amx => Self::new::<std::arch::x86_64::__m512>(|job, index, scratch| unsafe {
                dispatch!(Isa::Avx512, task(job: &Job<'_>, index: usize, scratch: &mut [f32]))
            }),
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("{} is not available here", isa.name()),
        }
    }

    /// Sixteen plain lanes in the shape of AVX-512's tiles.
    #[cfg(test)]
    pub(crate) const WIDE: Self = Self::new::<crate::lanes::Plain<16>>(task::<crate::lanes::Plain<16>>);

    const fn new<L: Lanes>(task: unsafe fn(&Job<'_>, usize, &mut [f32])) -> Self {
        Self {
            width: 2 * L::N,
            height: L::SUMS / 2,
            task,
        }
    }

    /// How long the scratch of a task is: one tile, and for two matrices the sums of `rows` × `panels`.
    pub(crate) fn scratch(&self, (rows, panels): (usize, usize), matrices: usize) -> usize {
        self.width * (self.height + if matrices > 1 { rows * panels } else { 0 })
    }

    /// # Safety
    /// The instruction set is available, the job's slices are as long as its numbers say, the scratch as
    /// [`Kernel::scratch`] says, and no other task of the same number runs.
    pub(crate) unsafe fn run(&self, job: &Job<'_>, index: usize, scratch: &mut [f32]) {
        // SAFETY: promised by the caller.
        unsafe { (self.task)(job, index, scratch) }
    }
}

/// A stored weight.
trait Weight: Copy {
    /// Two vectors of weights.
    ///
    /// # Safety
    /// As for [`Lanes::load`], twice.
    unsafe fn pair<L: Lanes>(from: *const Self) -> [L; 2];
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn pair<L: Lanes>(from: *const Self) -> [L; 2] {
        // SAFETY: promised by the caller.
        unsafe { [L::load(from), L::load(from.add(L::N))] }
    }
}

impl Weight for u16 {
    #[inline(always)]
    unsafe fn pair<L: Lanes>(from: *const Self) -> [L; 2] {
        // SAFETY: promised by the caller.
        unsafe { L::widen(from) }
    }
}

/// One part of the rows by one part of the panels.
///
/// # Safety
/// As for [`Kernel::run`].
#[inline(always)]
unsafe fn task<L: Lanes>(job: &Job<'_>, index: usize, scratch: &mut [f32]) {
    let (width, height) = (2 * L::N, L::SUMS / 2);
    let (rows, panels) = job.plan.task(index);
    let inputs = job.weights[0].inputs;
    let first = panels.start * width;
    let (edge, partial) = scratch.split_at_mut(height * width);
    for index in 0..blocks(inputs) {
        let block = block(inputs, index);
        let x = &job.x[rows.start * inputs + rows.len() * block.start..][..rows.len() * block.len()];
        for (term, weights) in job.weights.iter().enumerate() {
            let mut out = job.target.out(term, rows.start, first);
            if term == 1 {
                // y holds the sums of the first matrix.
                out.partial = partial.as_mut_ptr();
                out.partial_stride = panels.len() * width;
            }
            let strip = Strip {
                x: x.as_ptr(),
                inputs: block.len(),
                rows: rows.len(),
                tiles: rows.len().div_ceil(height),
                panels: panels.len(),
                columns: job.target.outputs.min(panels.end * width) - first,
                first: index == 0,
                last: block.end == inputs,
                out,
            };
            let at = weights.at(index, panels.start);
            // SAFETY: the panels of this block begin there; the rest is the caller's promise.
            unsafe {
                match &weights.values {
                    Values::F32(values) => strip.multiply::<L, _>(values[at..].as_ptr(), edge.as_mut_ptr()),
                    Values::Bf16(values) => strip.multiply::<L, _>(values[at..].as_ptr(), edge.as_mut_ptr()),
                }
            }
        }
    }
}

/// The rows and panels of a task in one block of inputs.
struct Strip {
    x: *const f32,
    inputs: usize,
    rows: usize,
    tiles: usize,
    panels: usize,
    columns: usize,
    /// Whether this is the first block, and the last.
    first: bool,
    last: bool,
    out: Out,
}

impl Strip {
    /// Panel by panel; all rows by one before the next. One or two rows take several panels at a time, so that enough
    /// sums are under way at a time to hide the latency of a product.
    ///
    /// # Safety
    /// Needs the instruction set of `L`; `edge` holds the largest tile.
    #[inline(always)]
    unsafe fn multiply<L: Lanes, W: Weight>(&self, weights: *const W, edge: *mut f32) {
        let width = 2 * L::N;
        let mut panel = 0;
        while panel < self.panels {
            let column = panel * width;
            let whole = (self.columns - column) / width;
            // SAFETY: the tile's rows lie one behind the other in x, the panels in the weights. `partial` has all
            // columns of whole panels; the others go by way of `edge`.
            unsafe {
                let weights = weights.add(panel * self.inputs * width);
                panel += match self.rows {
                    1 if whole >= 4 && 8 <= L::SUMS => {
                        self.tile::<L, W, 1, 4>(0, column, weights, Ahead::NOTHING, None);
                        self.settle::<L>(0, 1, column, 4 * width, None);
                        4
                    }
                    2 if whole >= 3 && 12 <= L::SUMS => {
                        self.tile::<L, W, 2, 3>(0, column, weights, Ahead::NOTHING, None);
                        self.settle::<L>(0, 2, column, 3 * width, None);
                        3
                    }
                    _ => {
                        self.panel::<L, W>(column, weights, (whole == 0).then_some(edge));
                        1
                    }
                };
            }
        }
    }

    /// All rows by one panel, while the next one is fetched.
    #[inline(always)]
    unsafe fn panel<L: Lanes, W: Weight>(&self, column: usize, weights: *const W, edge: Option<*mut f32>) {
        let width = 2 * L::N;
        let mut ahead = Ahead {
            at: weights.wrapping_add(self.inputs * width).cast(),
            step: width * size_of::<W>() / self.tiles,
        };
        let mut row = 0;
        for tile in 0..self.tiles {
            let rows = tile_height(self.rows, self.tiles, tile);
            macro_rules! heights {
                ($($height:literal)*) => {
                    match rows {
                        $($height if 2 * $height <= L::SUMS => {
                            // SAFETY: promised by the caller.
                            unsafe { self.tile::<L, W, $height, 1>(row, column, weights, ahead, edge) }
                        })*
                        _ => unreachable!("a tile is no higher than its kernel"),
                    }
                };
            }
            heights!(1 2 3 4 5 6 7 8 9 10 11 12);
            // SAFETY: promised by the caller.
            unsafe { self.settle::<L>(row, rows, column, width, edge) };
            ahead.at = ahead.at.wrapping_add(ahead.step * self.inputs);
            row += rows;
        }
    }

    /// R rows by P panels: one sum for each element, inputs in ascending order, added to the partial sums or to `edge`.
    #[inline(always)]
    unsafe fn tile<L: Lanes, W: Weight, const R: usize, const P: usize>(
        &self,
        row: usize,
        column: usize,
        weights: *const W,
        mut ahead: Ahead,
        edge: Option<*mut f32>,
    ) {
        // SAFETY: promised by the caller.
        unsafe {
            let x = self.x.add(row * self.inputs);
            let mut panels = [[[L::splat(0.0); 2]; R]; P];
            for k in 0..self.inputs {
                if P == 1 {
                    prefetch(ahead.at);
                    ahead.at = ahead.at.wrapping_add(ahead.step);
                }
                for (p, rows) in panels.iter_mut().enumerate() {
                    let [a, b] = W::pair::<L>(weights.add((p * self.inputs + k) * 2 * L::N));
                    for (r, sums) in rows.iter_mut().enumerate() {
                        let x = L::splat(*x.add(k * R + r));
                        *sums = [x.fma(a, sums[0]), x.fma(b, sums[1])];
                    }
                }
            }
            let out = &self.out;
            let (to, pitch, add) = match edge {
                None => (out.partial(row, column), out.partial_stride, !self.first),
                Some(edge) => (edge, 2 * L::N, false),
            };
            for (p, rows) in panels.iter().enumerate() {
                for (r, sums) in rows.iter().enumerate() {
                    for (half, sum) in sums.iter().enumerate() {
                        let to = to.add(r * pitch + (2 * p + half) * L::N);
                        let sum = if add { L::load(to).add(*sum) } else { *sum };
                        sum.store(to);
                    }
                }
            }
        }
    }

    /// What is left to do when a tile's sums are written.
    #[inline(always)]
    unsafe fn settle<L: Lanes>(&self, row: usize, rows: usize, column: usize, columns: usize, edge: Option<*mut f32>) {
        let out = &self.out;
        let columns = columns.min(self.columns - column);
        let area = Area {
            row,
            rows,
            column,
            columns,
        };
        // SAFETY: promised by the caller.
        unsafe {
            if let Some(edge) = edge {
                out.keep::<L>(area, edge, 2 * L::N, !self.first);
            }
            if self.last && !out.is_plain() {
                out.finish::<L>(area, out.partial(row, column), out.partial_stride);
            }
        }
    }
}

/// An address that is needed soon, and how many bytes on the next input's is.
#[derive(Clone, Copy)]
struct Ahead {
    at: *const u8,
    step: usize,
}

impl Ahead {
    /// Memory reads several panels ahead by itself.
    const NOTHING: Self = Self {
        at: std::ptr::null(),
        step: 0,
    };
}
