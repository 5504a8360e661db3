//! Weights and activations, laid out in the order in which the kernels read them.

use std::ops::{Deref, DerefMut, Range};

use crate::Threads;
use crate::gemm::Format;
use crate::plan::{Plan, part, spread};
use crate::threads::Shared;
use crate::tile::Kernel;

/// How many inputs one sum runs over before it is added to the sums before it. Blocks begin at multiples of it, so the
/// order of additions depends on nothing else.
pub(crate) const BLOCK: usize = 256;

/// How many blocks there are: one, an empty one, if there are no inputs.
pub(crate) fn blocks(inputs: usize) -> usize {
    inputs.div_ceil(BLOCK).max(1)
}

/// The inputs of a block.
pub(crate) fn block(inputs: usize, index: usize) -> Range<usize> {
    index * BLOCK..((index + 1) * BLOCK).min(inputs)
}

/// How many of `rows` rows tile `index` of `tiles` has: all have the same number, the first ones one more.
#[inline(always)]
pub(crate) fn tile_height(rows: usize, tiles: usize, index: usize) -> usize {
    rows / tiles + usize::from(index < rows % tiles)
}

/// A slice that begins on a cache line.
#[derive(Default)]
pub(crate) struct Aligned<T> {
    values: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Zeroes, which the system hands out when they are first touched.
    pub(crate) fn new(length: usize) -> Self {
        const LINE: usize = 64;
        let values = vec![T::default(); length + LINE / size_of::<T>()];
        let start = values.as_ptr().align_offset(LINE);
        Self { values, start, length }
    }

    /// Makes it at least `length` long; what was in it is lost if it grows.
    pub(crate) fn reserve(&mut self, length: usize) {
        if self.length < length {
            *self = Self::new(length);
        }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.length]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.length]
    }
}

/// Numbers of weights as they are stored.
pub(crate) enum Values {
    F32(Aligned<f32>),
    Bf16(Aligned<u16>),
}

/// Weights cut into blocks of [`BLOCK`] inputs, each cut into panels of as many outputs as a kernel computes at a time;
/// a panel holds the weights of its outputs for one input after the other. Outputs that fill up the last panel are zero.
pub(crate) struct Panels {
    pub(crate) kernel: Kernel,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) values: Values,
}

impl Panels {
    pub(crate) fn new(kernel: Kernel, format: Format, outputs: usize, inputs: usize) -> Self {
        let length = outputs.next_multiple_of(kernel.width) * inputs;
        let values = match format {
            Format::F32 => Values::F32(Aligned::new(length)),
            Format::Bf16 => Values::Bf16(Aligned::new(length)),
        };
        Self {
            kernel,
            outputs,
            inputs,
            values,
        }
    }

    /// How many panels a block has.
    pub(crate) fn count(&self) -> usize {
        self.outputs.div_ceil(self.kernel.width)
    }

    /// Where a panel of a block begins.
    #[inline(always)]
    pub(crate) fn at(&self, index: usize, panel: usize) -> usize {
        let inputs = block(self.inputs, index);
        (inputs.start * self.count() + inputs.len() * panel) * self.kernel.width
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => size_of_val(&**values),
            Values::Bf16(values) => size_of_val(&**values),
        }
    }

    /// Rows `first ..` of the weights; whole ones, and no more than there are.
    pub(crate) fn fill<S: Copy>(&mut self, first: usize, rows: &[S], f32: impl Fn(S) -> f32, bf16: impl Fn(S) -> u16) {
        let (width, inputs, count) = (self.kernel.width, self.inputs, self.count());
        let shape = (width, inputs, count);
        match &mut self.values {
            Values::F32(values) => scatter(values, shape, first, rows, f32, |place| place),
            // One load of 2N numbers gives two vectors: the even places and the odd ones.
            Values::Bf16(values) => scatter(values, shape, first, rows, bf16, |place| {
                place / 2 + place % 2 * width / 2
            }),
        }
    }
}

/// Writes rows into panels. `lane` says which of a panel's outputs lies at a place in its rows.
fn scatter<S: Copy, T>(
    values: &mut [T],
    (width, inputs, count): (usize, usize, usize),
    first: usize,
    rows: &[S],
    convert: impl Fn(S) -> T,
    lane: impl Fn(usize) -> usize,
) {
    let end = first + rows.len().checked_div(inputs).unwrap_or(0);
    for panel in first / width..end.div_ceil(width) {
        let whole = first <= panel * width && (panel + 1) * width <= end;
        for index in 0..blocks(inputs) {
            let block = block(inputs, index);
            let begin = (block.start * count + block.len() * panel) * width;
            let values = &mut values[begin..begin + block.len() * width];
            let row = |place: usize| {
                let output = panel * width + lane(place);
                let at = output.checked_sub(first).filter(|_| output < end)? * inputs;
                Some(&rows[at + block.start..at + block.end])
            };
            match width {
                16 if whole => interleave::<_, _, 16>(|place| row(place).unwrap_or(&[]), values, &convert),
                32 if whole => interleave::<_, _, 32>(|place| row(place).unwrap_or(&[]), values, &convert),
                _ => {
                    for (place, row) in (0..width).filter_map(|place| Some((place, row(place)?))) {
                        for (values, &weight) in values.chunks_exact_mut(width).zip(row) {
                            values[place] = convert(weight);
                        }
                    }
                }
            }
        }
    }
}

/// Packs x, rows × inputs, for the row parts of a plan: part after part, in a part block after block, in a block tile
/// after tile of at most `height` rows.
pub(crate) fn pack(threads: &dyn Threads, x: &[f32], inputs: usize, height: usize, plan: &Plan, to: &mut Aligned<f32>) {
    /// Numbers that are worth other threads.
    const MANY: usize = 1 << 16;
    to.reserve(x.len());
    let to = Shared::new(to);
    let task = |index: usize| {
        let rows = part(plan.rows, plan.row_parts, index % plan.row_parts);
        let block = block(inputs, index / plan.row_parts);
        let at = rows.start * inputs + rows.len() * block.start;
        // SAFETY: parts and blocks are disjoint, and together as long as x.
        let to = unsafe { to.slice(at, rows.len() * block.len()) };
        pack_block(x, inputs, rows, height, block, to);
    };
    spread(threads, plan.row_parts * blocks(inputs), x.len() >= MANY, &task);
}

/// Tile after tile: for each input of the block the numbers of the tile's rows.
fn pack_block(x: &[f32], inputs: usize, rows: Range<usize>, height: usize, block: Range<usize>, to: &mut [f32]) {
    let tiles = rows.len().div_ceil(height);
    let (mut first, mut rest) = (rows.start, to);
    for tile in 0..tiles {
        let height = tile_height(rows.len(), tiles, tile);
        let (to, after) = rest.split_at_mut(height * block.len());
        let row = |i: usize| {
            let at = (first + i) * inputs;
            &x[at + block.start..at + block.end]
        };
        macro_rules! heights {
            ($($height:literal)*) => {
                match height {
                    $($height => interleave::<_, _, $height>(row, to, |x| x),)*
                    _ => unreachable!("a tile is at most 12 rows high"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8 9 10 11 12);
        (first, rest) = (first + height, after);
    }
}

/// For each number of a row that of all R rows.
fn interleave<'a, S: Copy + 'a, T, const R: usize>(
    row: impl Fn(usize) -> &'a [S],
    to: &mut [T],
    convert: impl Fn(S) -> T,
) {
    let to = to.as_chunks_mut::<R>().0;
    let rows: [&[S]; R] = std::array::from_fn(|i| &row(i)[..to.len()]);
    for (k, to) in to.iter_mut().enumerate() {
        *to = std::array::from_fn(|i| convert(rows[i][k]));
    }
}
