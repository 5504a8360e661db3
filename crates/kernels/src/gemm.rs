//! Matrix products with weights packed once.

use std::ops::Range;

use crate::lanes::{Lanes, dispatch};
use crate::out::{Area, Out, Target};
use crate::pack::{Aligned, Panels, pack};
use crate::plan::{Plan, Scratch, spread};
use crate::threads::Shared;
use crate::tile::{Job, Kernel};
use crate::{Isa, Threads, amx};

/// How much of an activation goes into a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// All of an f32; where bf16 tiles multiply, its first sixteen bits of fraction.
    Exact,
    /// Where bf16 tiles multiply, a bf16; elsewhere as exact.
    Fast,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    F32,
    Bf16,
}

/// Weights, outputs × inputs, in the order in which the kernels of one instruction set read them.
pub struct Packed {
    isa: Isa,
    precision: Precision,
    format: Format,
    outputs: usize,
    inputs: usize,
    layout: Layout,
}

enum Layout {
    Panels(Panels),
    /// bf16 weights where there is AMX.
    Tiles(amx::Weights),
}

impl Packed {
    /// Zeroes. Panics if the instruction set is not available here.
    pub fn new(isa: Isa, precision: Precision, format: Format, outputs: usize, inputs: usize) -> Self {
        assert!(isa.is_available(), "{} is not available here", isa.name());
        let layout = if isa == Isa::Amx && format == Format::Bf16 {
            Layout::Tiles(amx::Weights::new(outputs, inputs))
        } else {
            Layout::Panels(Panels::new(Kernel::of(isa), format, outputs, inputs))
        };
        Self {
            isa,
            precision,
            format,
            outputs,
            inputs,
            layout,
        }
    }

    /// Writes rows `first ..` of the matrix, each `inputs` long. A bf16 store rounds to nearest, ties to even.
    pub fn fill_f32(&mut self, first: usize, rows: &[f32]) {
        self.check(first, rows.len());
        match &mut self.layout {
            Layout::Panels(panels) => panels.fill(first, rows, |x| x, to_bf16),
            Layout::Tiles(tiles) => tiles.fill(first, rows, to_bf16),
        }
    }

    /// Writes rows `first ..` of the matrix, each `inputs` long, given as bf16.
    pub fn fill_bf16(&mut self, first: usize, rows: &[u16]) {
        self.check(first, rows.len());
        match &mut self.layout {
            Layout::Panels(panels) => panels.fill(first, rows, |x| f32::from_bits(u32::from(x) << 16), |x| x),
            Layout::Tiles(tiles) => tiles.fill(first, rows, |x| x),
        }
    }

    fn check(&self, first: usize, length: usize) {
        let inputs = self.inputs();
        let whole = length.is_multiple_of(inputs);
        assert!(whole, "{length} weights are not whole rows of {inputs}");
        let rows = length.checked_div(inputs).unwrap_or(0);
        assert!(
            first <= self.outputs() && rows <= self.outputs() - first,
            "rows {first} to {} of a matrix of {}",
            first.saturating_add(rows),
            self.outputs()
        );
    }

    fn panels(&self) -> Option<&Panels> {
        match &self.layout {
            Layout::Panels(panels) => Some(panels),
            Layout::Tiles(_) => None,
        }
    }

    fn tiles(&self) -> Option<&amx::Weights> {
        match &self.layout {
            Layout::Panels(_) => None,
            Layout::Tiles(tiles) => Some(tiles),
        }
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many bytes the weights take, packed.
    pub fn bytes(&self) -> usize {
        match &self.layout {
            Layout::Panels(panels) => panels.bytes(),
            Layout::Tiles(tiles) => tiles.bytes(),
        }
    }
}

/// The nearest bf16, ties to even; NaN stays NaN.
fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// What is done with an element of x Wᵀ + bias before it is written.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    None,
    /// Adds the element of a residual, which has the shape of y.
    Add(&'a [f32]),
    /// The larger of it and 0; NaN stays.
    Relu,
}

/// Scratch that is kept between calls. It grows to what the largest call needs and never shrinks.
#[derive(Default)]
pub struct Workspace {
    x: Aligned<f32>,
    tiles: amx::Rows,
    scratch: Scratch,
}

/// y = x Wᵀ + bias, then the epilogue. x is rows × inputs, `bias` has one number for each output, y is rows × outputs.
///
/// Each element is the sum over blocks of 256 inputs, in order, of the fused sum over a block, in order. Panics if
/// lengths do not agree.
pub fn linear(
    threads: &dyn Threads,
    workspace: &mut Workspace,
    x: &[f32],
    weight: &Packed,
    bias: Option<&[f32]>,
    epilogue: Epilogue<'_>,
    y: &mut [f32],
) {
    if let Epilogue::Add(residual) = epilogue {
        assert_eq!(residual.len(), y.len(), "the residual must have the shape of y");
    }
    product(threads, workspace, x, &[weight], &[bias], epilogue, y);
}

/// y = silu(x Gᵀ + `gate_bias`) · (x Uᵀ + `up_bias`), element by element, the two products as in [`linear`].
#[allow(clippy::too_many_arguments)]
pub fn gated(
    threads: &dyn Threads,
    workspace: &mut Workspace,
    x: &[f32],
    gate: &Packed,
    up: &Packed,
    gate_bias: Option<&[f32]>,
    up_bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let shape = |weight: &Packed| {
        (
            weight.isa,
            weight.precision,
            weight.format,
            weight.outputs,
            weight.inputs,
        )
    };
    assert_eq!(shape(gate), shape(up), "gate and up must be packed alike");
    product(
        threads,
        workspace,
        x,
        &[gate, up],
        &[gate_bias, up_bias],
        Epilogue::None,
        y,
    );
}

/// One matrix, or two that are packed alike.
fn product(
    threads: &dyn Threads,
    workspace: &mut Workspace,
    x: &[f32],
    weights: &[&Packed],
    biases: &[Option<&[f32]>],
    epilogue: Epilogue<'_>,
    y: &mut [f32],
) {
    let &Packed {
        isa,
        precision,
        outputs,
        inputs,
        ..
    } = weights[0];
    let rows = y.len().checked_div(outputs).unwrap_or(0);
    assert_eq!(rows * outputs, y.len(), "y must be rows × {outputs} outputs");
    if rows == 0 {
        assert!(outputs == 0 || x.is_empty(), "x has rows and y has none");
        return;
    }
    assert_eq!(x.len(), rows * inputs, "x must be {rows} rows × {inputs} inputs");
    for bias in biases.iter().flatten() {
        assert_eq!(bias.len(), outputs, "a bias must have one number for each output");
    }
    let target = Target {
        rows,
        outputs,
        biases,
        epilogue,
        y: Shared::new(y),
    };
    let panels: Vec<&Panels> = weights.iter().filter_map(|weight| weight.panels()).collect();
    let tiles: Vec<&amx::Weights> = weights.iter().filter_map(|weight| weight.tiles()).collect();
    let Workspace {
        x: packed,
        tiles: activations,
        scratch,
    } = workspace;
    if tiles.is_empty() {
        by_panels(threads, packed, scratch, x, &panels, &target);
    } else {
        let parts = if precision == Precision::Exact { 2 } else { 1 };
        activations.pack(threads, x, inputs, parts);
        by_tiles(
            threads,
            scratch,
            isa,
            (inputs, tiles[0].panels()),
            &target,
            &|term, rows, panels, sums| {
                amx::product(activations, tiles[term], rows, panels, sums);
            },
        );
    }
}

fn by_panels(
    threads: &dyn Threads,
    packed: &mut Aligned<f32>,
    scratch: &mut Scratch,
    x: &[f32],
    weights: &[&Panels],
    target: &Target<'_>,
) {
    /// Rows whose activations for one block fill part of the second cache.
    const ROWS: usize = 128;
    /// Sums of one task: a few hundred outputs for all its rows.
    const SUMS: usize = ROWS * 256;
    /// Multiplications that are worth a task of their own.
    const TASK: usize = 1 << 18;
    let first = weights[0];
    let (rows, kernel) = (target.rows, first.kernel);
    // Up to four rows take as long as memory takes to read the weights.
    let work = (first.inputs * target.outputs * target.terms()).saturating_mul(rows.max(4));
    let sums = SUMS / kernel.width / target.terms();
    let plan = Plan::new(threads.count(), work / TASK, (rows, first.count()), ROWS, sums);
    // A single row lies as the kernels read it.
    let x = if rows == 1 {
        x
    } else {
        pack(threads, x, first.inputs, kernel.height, &plan, packed);
        &packed[..x.len()]
    };
    scratch.reserve(
        threads.count().clamp(1, plan.tasks()),
        kernel.scratch(plan.most(), target.terms()),
    );
    let job = Job {
        plan: &plan,
        x,
        weights,
        target,
    };
    let task = |index: usize| {
        // SAFETY: `Packed::new` saw that the instruction set is available; the lengths are checked; each task has its own
        // rows and columns of y.
        unsafe { kernel.run(&job, index, &mut scratch.take()) }
    };
    spread(threads, plan.tasks(), work >= 2 * TASK, &task);
}

/// Writes x Wᵀ of a matrix, the first or the second, for panels of [`amx::PANEL`] rows and panels of as many outputs, with
/// whole panels in a line.
type Multiply<'a> = dyn Fn(usize, Range<usize>, Range<usize>, &mut [f32]) + Sync + 'a;

fn by_tiles(
    threads: &dyn Threads,
    scratch: &mut Scratch,
    isa: Isa,
    (inputs, panels): (usize, usize),
    target: &Target<'_>,
    multiply: &Multiply<'_>,
) {
    use amx::PANEL;
    /// Panels of rows of a task, and sums, in panels.
    const ROWS: usize = 4;
    const SUMS: usize = ROWS * 8;
    /// Multiplications that are worth a task of their own.
    const TASK: usize = 1 << 21;
    let rows = target.rows.div_ceil(PANEL);
    let work = (inputs * target.outputs * target.terms()).saturating_mul(rows * PANEL);
    let plan = Plan::new(threads.count(), work / TASK, (rows, panels), ROWS, SUMS);
    let (most_rows, most_panels) = plan.most();
    scratch.reserve(
        threads.count().clamp(1, plan.tasks()),
        most_rows * most_panels * PANEL * PANEL,
    );
    let task = |index: usize| {
        let (rows, panels) = plan.task(index);
        let (row, column) = (rows.start * PANEL, panels.start * PANEL);
        let area = Area {
            row: 0,
            rows: target.rows.min(rows.end * PANEL) - row,
            column: 0,
            columns: target.outputs.min(panels.end * PANEL) - column,
        };
        let pitch = panels.len() * PANEL;
        let mut sums = scratch.take();
        for term in 0..target.terms() {
            multiply(term, rows.clone(), panels.clone(), &mut sums);
            let (out, sums) = (&target.out(term, row, column), sums.as_ptr());
            // SAFETY: `Packed::new` saw that the instruction set is available; the area is this task's own, and the sums
            // have its rows.
            unsafe { dispatch!(isa, finish(out: &Out, area: Area, sums: *const f32, pitch: usize)) }
        }
    };
    spread(threads, plan.tasks(), work >= 2 * TASK, &task);
}

#[inline(always)]
unsafe fn finish<L: Lanes>(out: &Out, area: Area, sums: *const f32, pitch: usize) {
    // SAFETY: promised by the caller.
    unsafe { out.finish::<L>(area, sums, pitch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Serial;

    fn noise(length: usize, seed: usize) -> Vec<f32> {
        (0..length)
            .map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0)
            .collect()
    }

    fn bits(y: &[f32]) -> Vec<u32> {
        y.iter().map(|y| y.to_bits()).collect()
    }

    /// Tiles of twelve rows by thirty-two outputs, as with AVX-512.
    #[test]
    fn sixteen_lanes_give_the_bits_of_eight() {
        for format in [Format::F32, Format::Bf16] {
            for (rows, inputs, outputs) in [
                (1, 33, 31),
                (1, 300, 129),
                (2, 257, 129),
                (3, 0, 5),
                (4, 1, 64),
                (5, 300, 97),
            ]
            .into_iter()
            .chain((6..50).map(|rows| (rows, 250 + rows, 13 * rows % 101 + 1)))
            {
                let [weights, ups] = [1, 2].map(|seed| noise(outputs * inputs, seed));
                let x = noise(rows * inputs, 3);
                let (bias, residual) = (noise(outputs, 4), noise(rows * outputs, 5));
                let [narrow, wide] = [Kernel::of(Isa::Scalar), Kernel::WIDE].map(|kernel| {
                    let [weight, up] = [&weights, &ups].map(|weights| {
                        let mut packed = Packed::new(Isa::Scalar, Precision::Exact, format, outputs, inputs);
                        packed.layout = Layout::Panels(Panels::new(kernel, format, outputs, inputs));
                        packed.fill_f32(0, weights);
                        packed
                    });
                    let mut workspace = Workspace::default();
                    let [mut y, mut z] = [0, 1].map(|_| vec![f32::NAN; rows * outputs]);
                    let epilogue = Epilogue::Add(&residual);
                    linear(&Serial, &mut workspace, &x, &weight, Some(&bias), epilogue, &mut y);
                    gated(&Serial, &mut workspace, &x, &weight, &up, None, Some(&bias), &mut z);
                    [bits(&y), bits(&z)]
                });
                assert_eq!(narrow, wide, "{rows} rows, {inputs} inputs, {outputs} outputs");
            }
        }
    }

    /// Runs tasks last to first, and says that there are two threads.
    struct Backwards;

    impl Threads for Backwards {
        fn count(&self) -> usize {
            2
        }

        fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
            (0..tasks).rev().for_each(task);
        }
    }

    /// With a plain product of one block in the place of that by tiles, the results must be those by panels.
    #[test]
    fn sums_of_whole_panels_of_rows_and_outputs_become_the_same_results() {
        let inputs = 250;
        for (rows, outputs) in [(1, 1), (31, 33), (32, 64), (33, 31), (150, 500), (300, 290)] {
            let weights = [1, 2].map(|seed| noise(outputs * inputs, seed));
            let x = noise(rows * inputs, 3);
            let (bias, residual) = (noise(outputs, 4), noise(rows * outputs, 5));
            let [weight, up] = [0, 1].map(|term| {
                let mut packed = Packed::new(Isa::Scalar, Precision::Exact, Format::F32, outputs, inputs);
                packed.fill_f32(0, &weights[term]);
                packed
            });
            let multiply = |term: usize, rows: Range<usize>, panels: Range<usize>, sums: &mut [f32]| {
                let (lines, pitch) = (rows.len() * amx::PANEL, panels.len() * amx::PANEL);
                for (i, sum) in sums[..lines * pitch].iter_mut().enumerate() {
                    let (row, output) = (
                        rows.start * amx::PANEL + i / pitch,
                        panels.start * amx::PANEL + i % pitch,
                    );
                    let pairs = x.chunks(inputs).nth(row).zip(weights[term].chunks(inputs).nth(output));
                    *sum = pairs.map_or(f32::NAN, |(x, w)| {
                        x.iter().zip(w).fold(0.0, |sum, (x, w)| fma(*x, *w, sum))
                    });
                }
            };
            let by_tiles = |biases: &[Option<&[f32]>], epilogue: Epilogue<'_>| {
                let mut y = vec![f32::NAN; rows * outputs];
                let y_shared = Shared::new(&mut y);
                let target = Target {
                    rows,
                    outputs,
                    biases,
                    epilogue,
                    y: y_shared,
                };
                let shape = (inputs, outputs.div_ceil(amx::PANEL));
                by_tiles(
                    &Backwards,
                    &mut Scratch::default(),
                    Isa::Scalar,
                    shape,
                    &target,
                    &multiply,
                );
                bits(&y)
            };
            let by_panels = |run: &dyn Fn(&mut Workspace, &mut [f32])| {
                let mut y = vec![f32::NAN; rows * outputs];
                run(&mut Workspace::default(), &mut y);
                bits(&y)
            };
            let bias = Some(&*bias);
            for epilogue in [Epilogue::None, Epilogue::Add(&residual), Epilogue::Relu] {
                let expected = by_panels(&|workspace, y| linear(&Serial, workspace, &x, &weight, bias, epilogue, y));
                assert_eq!(by_tiles(&[bias], epilogue), expected, "{rows} rows, {outputs} outputs");
            }
            let expected = by_panels(&|workspace, y| gated(&Serial, workspace, &x, &weight, &up, bias, None, y));
            assert_eq!(
                by_tiles(&[bias, None], Epilogue::None),
                expected,
                "{rows} rows, {outputs} outputs, gated"
            );
        }
    }

    /// As the plain lanes do it.
    fn fma(x: f32, w: f32, sum: f32) -> f32 {
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
            x.mul_add(w, sum)
        } else {
            x * w + sum
        }
    }
}
