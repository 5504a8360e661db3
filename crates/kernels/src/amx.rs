//! Matrix products on AMX tiles, for bf16 weights.
//!
//! An activation goes in as one bf16 number, or as the sum of two: x ≈ hi + lo with hi the nearest bf16 to x and lo the
//! nearest to x − hi. Both are multiplied by the weight exactly and added up in f32, so that the first sixteen bits of x
//! count. Sums run over steps of 32 inputs in ascending order, in a step over hi, then lo; nothing else changes them,
//! whatever the number of rows or panels in a call.
//!
//! At the edges of the number range:
//! - A finite activation stays finite: one that would round to infinity becomes the largest bf16. With lo it is still
//!   right to sixteen bits.
//! - Infinity has lo = 0, and so has NaN: where f32 gives infinity or NaN, so does this, in the row of the activation
//!   alone. In the output of an infinite weight, lo = 0 makes NaN of what f32 might call infinity.
//! - Tiles read numbers below 2⁻¹²⁶ as 0 and write sums below it as 0. Since lo is 2⁻⁹ of x, activations below 2⁻¹¹⁷
//!   count with eight bits only, those below 2⁻¹²⁶ not at all.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ops::Range;

use crate::threads::Shared;
use crate::{Isa, Threads};

/// How many outputs a panel of weights has, and how many rows a panel of activations.
pub(crate) const PANEL: usize = 32;
/// How many rows of activations, or columns of weights, a tile has.
const SIDE: usize = 16;
/// How many inputs a step has: those of one tile.
const STEP: usize = 32;
/// Steps whose weights, 64 KiB for a panel, stay in the cache while the rows go by.
const BLOCK: usize = 32;

/// 16 lines of 32 bf16 numbers. Of activations: a line is a row. Of weights: line i holds inputs 2i and 2i + 1 of the
/// first output, then of the second, and so on.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Tile([[u16; 32]; 16]);

/// Zeroes, which the system hands out when they are first touched.
fn zeroes(count: usize) -> Vec<Tile> {
    let layout = Layout::array::<Tile>(count).expect("tiles fit into memory");
    if layout.size() == 0 {
        return Vec::new();
    }
    // SAFETY: the layout is not empty.
    let tiles = unsafe { alloc_zeroed(layout) }.cast::<Tile>();
    if tiles.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: allocated for `count` tiles by the allocator that a Vec uses; zero bits are a tile.
    unsafe { Vec::from_raw_parts(tiles, count, count) }
}

/// Weights, outputs × inputs: panel after panel, in a panel step after step, in a step two tiles of 16 outputs. What
/// fills up the last panel and the last step is zero.
pub(crate) struct Weights {
    outputs: usize,
    inputs: usize,
    tiles: Vec<Tile>,
}

impl Weights {
    /// Zeroes.
    pub(crate) fn new(outputs: usize, inputs: usize) -> Self {
        let tiles = zeroes(outputs.div_ceil(PANEL) * inputs.div_ceil(STEP) * 2);
        Self { outputs, inputs, tiles }
    }

    /// How many panels of 32 outputs there are.
    pub(crate) fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.tiles)
    }

    /// Writes rows `first ..` of the matrix, each `inputs` long; whole ones, and no more than there are. `bf16` makes
    /// a bf16 of a number.
    pub(crate) fn fill<S: Copy>(&mut self, first: usize, rows: &[S], bf16: impl Fn(S) -> u16) {
        if self.inputs == 0 {
            return;
        }
        let steps = self.inputs.div_ceil(STEP);
        let end = first + rows.len() / self.inputs;
        // Tile by tile, so that its lines stay in the cache until all their outputs are there.
        for side in first / SIDE..end.div_ceil(SIDE) {
            for step in 0..steps {
                let tile = &mut self.tiles[(side / 2 * steps + step) * 2 + side % 2];
                for output in first.max(side * SIDE)..end.min((side + 1) * SIDE) {
                    let row = &rows[(output - first) * self.inputs..][..self.inputs];
                    for (i, &weight) in row[step * STEP..].iter().take(STEP).enumerate() {
                        tile.0[i / 2][output % SIDE * 2 + i % 2] = bf16(weight);
                    }
                }
            }
        }
    }
}

/// Activations: panel after panel of 32 rows, in a panel step after step, in a step two tiles of 16 rows of hi, then two
/// of lo if there are two parts. What fills up the last tile and the last step is zero.
#[derive(Default)]
pub(crate) struct Rows {
    rows: usize,
    steps: usize,
    parts: usize,
    tiles: Vec<Tile>,
}

impl Rows {
    /// Packs x, rows × inputs, in one part or two. The memory is kept for the next call.
    pub(crate) fn pack(&mut self, threads: &dyn Threads, x: &[f32], inputs: usize, parts: usize) {
        /// Numbers that are worth other threads.
        const MANY: usize = 1 << 16;
        assert!((1..=2).contains(&parts), "an activation has one part or two");
        self.rows = x.len().checked_div(inputs).unwrap_or(0);
        self.steps = inputs.div_ceil(STEP);
        self.parts = parts;
        let each = self.steps * parts * 2;
        let length = self.panels() * each;
        if self.tiles.len() < length {
            self.tiles = zeroes(length);
        }
        let tiles = Shared::new(&mut self.tiles);
        let wide = Isa::Avx512.is_available();
        let task = |panel: usize| {
            let rows = x.chunks(PANEL * inputs).nth(panel).unwrap_or(&[]);
            // SAFETY: each task has its own panel, and `length` is that of all panels.
            let tiles = unsafe { tiles.slice(panel * each, each) };
            #[cfg(target_arch = "x86_64")]
            if wide {
                // SAFETY: seen just now.
                unsafe { pack_wide(rows, inputs, parts, tiles) };
                return;
            }
            let _ = wide;
            pack_panel(rows, inputs, parts, tiles);
        };
        if x.len() >= MANY {
            threads.run(self.panels(), &task);
        } else {
            (0..self.panels()).for_each(task);
        }
    }

    /// How many panels of 32 rows there are.
    pub(crate) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn pack_wide(rows: &[f32], inputs: usize, parts: usize, tiles: &mut [Tile]) {
    pack_panel(rows, inputs, parts, tiles);
}

#[inline(always)]
fn pack_panel(rows: &[f32], inputs: usize, parts: usize, tiles: &mut [Tile]) {
    let count = rows.len() / inputs;
    for line in 0..count.next_multiple_of(SIDE) {
        let row = if line < count {
            &rows[line * inputs..][..inputs]
        } else {
            &[]
        };
        for (step, tiles) in tiles.chunks_exact_mut(2 * parts).enumerate() {
            let mut x = [0.0; STEP];
            if let Some(rest) = row.get(step * STEP..) {
                let taken = rest.len().min(STEP);
                x[..taken].copy_from_slice(&rest[..taken]);
            }
            let hi = x.map(nearest);
            tiles[line / SIDE].0[line % SIDE] = hi;
            if parts == 2 {
                tiles[2 + line / SIDE].0[line % SIDE] = std::array::from_fn(|i| rest(x[i], hi[i]));
            }
        }
    }
}

/// The nearest bf16, ties to even, but a finite number stays finite.
#[inline(always)]
fn nearest(x: f32) -> u16 {
    /// From here on, halfway between the largest bf16 and the next power of two, rounding gives infinity.
    const TOP: u32 = 0x7f7f_8000;
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    let cut = (bits >> 16) as u16 | if x.is_nan() { 0x40 } else { 0 };
    if magnitude < TOP { rounded } else { cut }
}

/// The bf16 nearest to what is left of x after hi; 0 if that is no number.
#[inline(always)]
fn rest(x: f32, hi: u16) -> u16 {
    let left = x - f32::from_bits(u32::from(hi) << 16);
    if left.is_nan() { 0 } else { nearest(left) }
}

/// out = x Wᵀ for panels `rows` of x and panels `panels` of the weights. `out` has as many lines as those rows, filled
/// up to whole panels, and in a line 32 numbers for each panel of weights; lines and columns that fill up a panel get
/// numbers of no meaning.
pub(crate) fn product(x: &Rows, weights: &Weights, rows: Range<usize>, panels: Range<usize>, out: &mut [f32]) {
    assert!(Isa::Amx.is_available(), "amx is not available here");
    product_by::<Registers>(x, weights, rows, panels, out);
}

fn product_by<T: Multiply>(x: &Rows, weights: &Weights, rows: Range<usize>, panels: Range<usize>, out: &mut [f32]) {
    let steps = x.steps;
    assert_eq!(
        steps,
        weights.inputs.div_ceil(STEP),
        "x and the weights must have the same inputs"
    );
    let stride = panels.len() * PANEL;
    let out = &mut out[..rows.len() * PANEL * stride];
    out.fill(0.0);
    // SAFETY: `product` saw that tiles are there; other implementations need none.
    let unit = unsafe { T::start() };
    for block in (0..steps).step_by(BLOCK) {
        let block = block..steps.min(block + BLOCK);
        for (column, panel) in panels.clone().enumerate() {
            let b = &weights.tiles[(panel * steps + block.start) * 2..(panel * steps + block.end) * 2];
            for (line, row) in rows.clone().enumerate() {
                let each = x.parts * 2;
                let a = &x.tiles[(row * steps + block.start) * each..(row * steps + block.end) * each];
                let both = x.rows - row * PANEL > SIDE;
                unit.multiply(a, b, both, &mut out[line * PANEL * stride + column * PANEL..], stride);
            }
        }
    }
}

/// What multiplies tiles.
trait Multiply {
    /// # Safety
    /// The processor has what it takes.
    unsafe fn start() -> Self;

    /// Adds the product of the steps of a panel of rows and a panel of weights to c, whose lines are `stride` apart and
    /// 32 long. There are 32 of them, or, if not `both` tiles of rows are wanted, 16.
    fn multiply(&self, a: &[Tile], b: &[Tile], both: bool, c: &mut [f32], stride: usize);
}

/// This thread's tile registers, from their configuration to their release. Nothing that the compiler emits touches them,
/// so the configuration lasts from one piece of assembly to the next.
struct Registers;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod registers {
    use std::arch::asm;

    use super::{Multiply, PANEL, Registers, Tile};

    #[repr(align(64))]
    struct Configuration([u8; 64]);

    /// Palette 1; eight tiles of 16 lines of 64 bytes.
    static CONFIGURATION: Configuration = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut tile = 0;
        while tile < 8 {
            bytes[16 + 2 * tile] = 64;
            bytes[48 + tile] = 16;
            tile += 1;
        }
        Configuration(bytes)
    };

    impl Drop for Registers {
        fn drop(&mut self) {
            // SAFETY: they were configured, so the instruction is there.
            unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
        }
    }

    /// tmm0 and tmm1 hold sums of the first 16 rows, tmm2 and tmm3 of the others; tmm4 and tmm5 activations of either;
    /// tmm6 and tmm7 weights. A step's activations take `$advance` bytes.
    macro_rules! steps {
        // Sixteen rows; `more` is what a step does after it has multiplied hi.
        (@one $advance:literal, $a:ident $b:ident $c:ident $stride:ident $steps:ident, [$($more:literal)*]) => {
            steps!($advance, $a $b $c $stride $steps, [
                "tileloadd tmm0, [{c} + {stride}]"
                "tileloadd tmm1, [{c} + {stride} + 64]"
            ] [
                "tileloadd tmm6, [{b} + {line}]"
                "tileloadd tmm4, [{a} + {line}]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm7, [{b} + {line} + 1024]"
                "tdpbf16ps tmm1, tmm4, tmm7"
                $($more)*
            ] [
                "tilestored [{c} + {stride}], tmm0"
                "tilestored [{c} + {stride} + 64], tmm1"
            ])
        };
        // Thirty-two rows.
        (@both $advance:literal, $a:ident $b:ident $c:ident $stride:ident $steps:ident, [$($more:literal)*]) => {
            steps!($advance, $a $b $c $stride $steps, [
                "tileloadd tmm0, [{c} + {stride}]"
                "tileloadd tmm1, [{c} + {stride} + 64]"
                "tileloadd tmm2, [{d} + {stride}]"
                "tileloadd tmm3, [{d} + {stride} + 64]"
            ] [
                "tileloadd tmm6, [{b} + {line}]"
                "tileloadd tmm4, [{a} + {line}]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm7, [{b} + {line} + 1024]"
                "tdpbf16ps tmm1, tmm4, tmm7"
                "tileloadd tmm5, [{a} + {line} + 1024]"
                "tdpbf16ps tmm2, tmm5, tmm6"
                "tdpbf16ps tmm3, tmm5, tmm7"
                $($more)*
            ] [
                "tilestored [{c} + {stride}], tmm0"
                "tilestored [{c} + {stride} + 64], tmm1"
                "tilestored [{d} + {stride}], tmm2"
                "tilestored [{d} + {stride} + 64], tmm3"
            ] d = in(reg) $c.wrapping_byte_add(16 * $stride),)
        };
        ($advance:literal, $a:ident $b:ident $c:ident $stride:ident $steps:ident,
            [$($load:literal)*] [$($step:literal)*] [$($store:literal)*] $($d:tt)*) => {
            asm!(
                $($load,)*
                "2:",
                $($step,)*
                concat!("add {a}, ", $advance),
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                $($store,)*
                a = inout(reg) $a => _,
                b = inout(reg) $b => _,
                c = in(reg) $c,
                $($d)*
                steps = inout(reg) $steps => _,
                line = in(reg) 64_usize,
                stride = in(reg) $stride,
                options(nostack),
            )
        };
    }

    impl Multiply for Registers {
        unsafe fn start() -> Self {
            // SAFETY: the caller has AMX, and the system's leave; the configuration is one that it knows.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) CONFIGURATION.0.as_ptr(), options(readonly, nostack, preserves_flags));
            }
            Self
        }

        fn multiply(&self, a: &[Tile], b: &[Tile], both: bool, c: &mut [f32], stride: usize) {
            let steps = b.len() / 2;
            let parts = a.len().checked_div(b.len()).unwrap_or(0);
            assert!(steps > 0 && (1..=2).contains(&parts) && a.len() == b.len() * parts);
            let lines = if both { 32 } else { 16 };
            assert!(stride >= PANEL && c.len() >= (lines - 1) * stride + PANEL);
            let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
            let stride = stride * size_of::<f32>();
            // SAFETY: the registers are configured; the steps of a and b and the lines of c are within the slices.
            unsafe {
                match (both, parts) {
                    (false, 1) => steps!(@one 2048, a b c stride steps, []),
                    (false, _) => steps!(@one 4096, a b c stride steps, [
                        "tileloadd tmm5, [{a} + {line} + 2048]"
                        "tdpbf16ps tmm0, tmm5, tmm6"
                        "tdpbf16ps tmm1, tmm5, tmm7"
                    ]),
                    (true, 1) => steps!(@both 2048, a b c stride steps, []),
                    (true, _) => steps!(@both 4096, a b c stride steps, [
                        "tileloadd tmm4, [{a} + {line} + 2048]"
                        "tdpbf16ps tmm0, tmm4, tmm6"
                        "tdpbf16ps tmm1, tmm4, tmm7"
                        "tileloadd tmm5, [{a} + {line} + 3072]"
                        "tdpbf16ps tmm2, tmm5, tmm6"
                        "tdpbf16ps tmm3, tmm5, tmm7"
                    ]),
                }
            }
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
impl Multiply for Registers {
    unsafe fn start() -> Self {
        unreachable!("amx is never available here")
    }

    fn multiply(&self, _a: &[Tile], _b: &[Tile], _both: bool, _c: &mut [f32], _stride: usize) {}
}

#[cfg(test)]
mod tests;
