//! Attention of rows to the pages of their sequences.
//!
//! Each row goes through its pages in the order of positions, 32 tokens at a time, with a running maximum and sum. Rows
//! that see the same tokens of the same page are computed together, whatever sequences they belong to: a prefix that many
//! share is read once. For each row the operations are those that it would go through alone.

use std::cmp::Reverse;
use std::ops::Range;

use crate::lanes::{Lanes, dispatch};
use crate::math::{exp, largest, load_first, store_first, sum};
use crate::pages::{Buffer, PAGE, Pages};
use crate::threads::Shared;
use crate::{Isa, Serial, Threads};

/// Rows of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The first row of q; the rows first .. first + positions.len() belong to the span.
    pub first: usize,
    /// The position of each row in its sequence.
    pub positions: &'a [u32],
    /// Page i holds the positions 32i .. 32i + 32. Pages that no row sees need not be allocated.
    pub pages: &'a [u32],
}

/// Rows of q times query heads that a task computes together: enough to use what it reads of a page, few enough that
/// queries, scores and sums stay in the second cache.
const BLOCK: usize = 64;

/// Operations below which a task is not worth a thread.
const GRAIN: usize = 1 << 20;

/// The most rows of a product at a time. Twelve sums fill sixteen vector registers beside what they are made of.
const TILE: usize = 6;

/// softmax(q · kᵀ / √dim) · v for each row and query head.
///
/// `q` and `y` hold rows of `heads` · dim; query head h reads key-value head h / (heads / key-value heads). A row at
/// position p sees the tokens max(0, p + 1 − window) ..= p of its span's pages, itself among them. Rows of `y` that belong
/// to no span stay as they are; a row that belongs to two is refused.
#[allow(clippy::too_many_arguments)]
pub fn attend(
    isa: Isa,
    threads: &dyn Threads,
    q: &[f32],
    heads: usize,
    pages: &Pages,
    layer: usize,
    window: Option<usize>,
    spans: &[Span<'_>],
    y: &mut [f32],
) {
    assert!(isa.is_available(), "no {isa:?} here");
    let job = Job::new(q, heads, pages, layer, y);
    let rows = job.rows(window, spans);
    job.run(threads, &rows, &|job, rows, head| {
        // SAFETY: the instruction set is there, and Job::rows checked the rows.
        unsafe { dispatch!(isa, block(job: &Job<'_>, rows: &[Row<'_>], head: usize)) }
    });
}

/// What a row sees: the positions `from .. to`.
struct Row<'a> {
    at: usize,
    from: usize,
    to: usize,
    pages: &'a [u32],
}

impl Row<'_> {
    /// The page that holds position 32i and what the row sees of it, if anything.
    fn view(&self, i: usize) -> Option<(u32, Range<usize>)> {
        let start = i * PAGE;
        let seen = self.from.max(start) - start..self.to.clamp(start, start + PAGE) - start;
        (seen.start < seen.end).then(|| (self.pages[i], seen))
    }
}

/// Computes what the rows of the list see, for one key-value head.
type Block<'a> = &'a (dyn Fn(&Job<'_>, &[Row<'_>], usize) + Sync);

struct Job<'a> {
    q: &'a [f32],
    y: Shared<f32>,
    /// Query heads.
    heads: usize,
    /// Query heads that share a key-value head.
    group: usize,
    pages: &'a Pages,
    layer: usize,
}

impl<'a> Job<'a> {
    fn new(q: &'a [f32], heads: usize, pages: &'a Pages, layer: usize, y: &'a mut [f32]) -> Self {
        let shape = pages.shape();
        assert!(layer < shape.layers, "layer {layer} of {}", shape.layers);
        assert!(
            heads > 0 && heads.is_multiple_of(shape.heads),
            "{heads} heads on {}",
            shape.heads
        );
        assert_eq!(q.len(), y.len());
        assert!(
            q.len().is_multiple_of(heads * shape.dim),
            "rows of {heads} · {} in {}",
            shape.dim,
            q.len()
        );
        Self {
            q,
            y: Shared::new(y),
            heads,
            group: heads / shape.heads,
            pages,
            layer,
        }
    }

    /// The rows of all spans, each once, with all they see allocated.
    fn rows<'s>(&self, window: Option<usize>, spans: &[Span<'s>]) -> Vec<Row<'s>> {
        assert!(window != Some(0), "a row sees itself");
        let mut taken = vec![false; self.q.len() / (self.heads * self.pages.shape().dim)];
        let mut rows = Vec::with_capacity(taken.len());
        for span in spans {
            let (mut first, mut end) = (usize::MAX, 0);
            for (i, &position) in span.positions.iter().enumerate() {
                let at = span.first + i;
                assert!(
                    at < taken.len() && !taken[at],
                    "row {at} of {} is not there or taken",
                    taken.len()
                );
                taken[at] = true;
                let to = position as usize + 1;
                let from = window.map_or(0, |window| to.saturating_sub(window));
                (first, end) = (first.min(from), end.max(to));
                rows.push(Row {
                    at,
                    from,
                    to,
                    pages: span.pages,
                });
            }
            let needed = end.div_ceil(PAGE);
            assert!(
                needed <= span.pages.len(),
                "position {} in {} pages",
                end - 1,
                span.pages.len()
            );
            for &page in span.pages.iter().take(needed).skip(first / PAGE) {
                assert!(self.pages.is_allocated(page), "page {page} is not allocated");
            }
        }
        rows
    }

    /// Cuts the rows into blocks and runs each for each key-value head. How they are cut changes no result.
    fn run(&self, threads: &dyn Threads, rows: &[Row<'_>], block: Block<'_>) {
        let shape = self.pages.shape();
        let work = |row: &Row<'_>| row.to - row.from;
        let total: usize = rows.iter().map(work).sum();
        let operations = total * self.heads * shape.dim * 4;
        // Some more tasks than threads, so that they end together.
        let tasks = (operations / GRAIN).min(4 * threads.count());
        let share = if threads.count() == 1 {
            total
        } else {
            total / tasks.div_ceil(shape.heads).max(1)
        };
        let mut blocks = Vec::new();
        let (mut start, mut sum) = (0, 0);
        for (i, row) in rows.iter().enumerate() {
            sum += work(row);
            if sum >= share || (i + 1 - start) * self.group >= BLOCK || i + 1 == rows.len() {
                blocks.push((sum, start..i + 1));
                (start, sum) = (i + 1, 0);
            }
        }
        // The longest first.
        blocks.sort_by_key(|block| Reverse(block.0));
        let threads = if tasks < 2 { &Serial } else { threads };
        threads.run(blocks.len() * shape.heads, &|task| {
            block(self, &rows[blocks[task / shape.heads].1.clone()], task % shape.heads);
        });
    }
}

/// Where the numbers of a block lie. One query of one head is a line of each; lines are in the order of rows, then heads.
struct Scratch {
    /// The offset of each query in q, and of its result in y.
    offsets: Vec<usize>,
    /// 32 scores of each, then what e is raised to.
    scores: *mut f32,
    /// The largest score so far.
    peaks: *mut f32,
    /// By how much the sums shrink when the largest score grows.
    shrink: *mut f32,
    /// The sum of the weights so far, by lane.
    weights: *mut f32,
    /// The weighted sum of values so far.
    values: *mut f32,
    /// Keys and values, where they are widened.
    part: *mut f32,
    _buffer: Buffer,
}

/// Lanes of the weights.
const LANES: usize = 16;

impl Scratch {
    fn new(job: &Job<'_>, rows: &[Row<'_>], head: usize) -> Self {
        let dim = job.pages.shape().dim;
        let offset = |row: &Row<'_>, i| (row.at * job.heads + head * job.group + i) * dim;
        let offsets: Vec<_> = rows
            .iter()
            .flat_map(|row| (0..job.group).map(move |i| offset(row, i)))
            .collect();
        let count = offsets.len();
        let lengths = [PAGE, 1, 1, LANES, job.pages.columns()].map(|length| (length * count).next_multiple_of(LANES));
        let mut buffer = Buffer::new(lengths.iter().sum::<usize>() + job.pages.scratch());
        let mut next = buffer.floats().as_mut_ptr();
        let mut take = |length| {
            let start = next;
            next = next.wrapping_add(length);
            start
        };
        let [scores, peaks, shrink, weights, values] = lengths.map(&mut take);
        let part = take(0);
        // SAFETY: the buffer has as many.
        unsafe { std::slice::from_raw_parts_mut(peaks, count).fill(f32::MIN) };
        Self {
            offsets,
            scores,
            peaks,
            shrink,
            weights,
            values,
            part,
            _buffer: buffer,
        }
    }
}

/// # Safety
/// Needs the instruction set of `L`, rows from [`Job::rows`], and for itself the heads of `head` in their rows of y.
#[inline(always)]
unsafe fn block<L: Lanes>(job: &Job<'_>, rows: &[Row<'_>], head: usize) {
    let scratch = Scratch::new(job, rows, head);
    let first = rows.iter().map(|row| row.from / PAGE).min().unwrap_or(0);
    let last = rows.iter().map(|row| row.to.div_ceil(PAGE)).max().unwrap_or(0);
    for i in first..last {
        let mut loaded = None;
        let mut start = 0;
        while start < rows.len() {
            let view = rows[start].view(i);
            let alike = rows[start..].iter().take_while(|row| row.view(i) == view).count();
            let lines = start * job.group..(start + alike) * job.group;
            start += alike;
            let Some((page, seen)) = view else { continue };
            // SAFETY: promised by the caller; the lines are those of the scratch.
            unsafe {
                let part = match loaded {
                    Some((of, part)) if of == page => part,
                    _ => job.pages.part_of(page, job.layer, head, scratch.part),
                };
                loaded = Some((page, part));
                pass::<L>(job, &scratch, lines, part, seen);
            }
        }
    }
    let dim = job.pages.shape().dim;
    let whole = dim - dim % L::N;
    for (line, &offset) in scratch.offsets.iter().enumerate() {
        // SAFETY: as above; the offsets lie within y.
        unsafe {
            let total = L::splat(sum(L::load(scratch.weights.add(line * LANES))));
            let (from, to) = (scratch.values.add(line * job.pages.columns()), job.y.at(offset));
            for j in (0..whole).step_by(L::N) {
                L::load(from.add(j)).div(total).store(to.add(j));
            }
            if whole < dim {
                store_first(L::load(from.add(whole)).div(total), to.add(whole), dim - whole);
            }
        }
    }
}

/// Takes the tokens `seen` of a page into the sums of the lines.
///
/// # Safety
/// As [`block`]; the lines are within the scratch, `part` holds the keys and values of the page.
#[inline(always)]
unsafe fn pass<L: Lanes>(
    job: &Job<'_>,
    scratch: &Scratch,
    lines: Range<usize>,
    [keys, values]: [*const f32; 2],
    seen: Range<usize>,
) {
    let dim = job.pages.shape().dim;
    let columns = job.pages.columns();
    let scale = 1.0 / (dim as f32).sqrt();
    // SAFETY: promised by the caller.
    unsafe {
        let score = |line: usize| scratch.scores.add(line * PAGE);
        let query = |line: usize| job.q.as_ptr().add(scratch.offsets[line]);
        let zero = |_: usize, _: *const f32| L::splat(0.0);
        products(lines.clone(), query, keys, PAGE, dim, score, zero);

        for line in lines.clone() {
            // What is not seen may be anything.
            std::slice::from_raw_parts_mut(score(line), seen.start).fill(f32::NEG_INFINITY);
            std::slice::from_raw_parts_mut(score(line).add(seen.end), PAGE - seen.end).fill(f32::NEG_INFINITY);
            let mut most = L::load(score(line));
            for j in (L::N..PAGE).step_by(L::N) {
                most = most.max(L::load(score(line).add(j)));
            }
            let before = *scratch.peaks.add(line);
            let peak = before.max(largest(most));
            *scratch.peaks.add(line) = peak;
            *scratch.shrink.add(line) = (before - peak) * scale;
        }
        for line in lines.clone().step_by(L::N) {
            let (at, count) = (scratch.shrink.add(line), L::N.min(lines.end - line));
            store_first(exp(load_first::<L>(at, count)), at, count);
        }
        for line in lines.clone() {
            let peak = L::splat(*scratch.peaks.add(line));
            let mut total = L::splat(0.0);
            for j in (0..PAGE).step_by(L::N) {
                let at = score(line).add(j);
                let weight = exp(L::load(at).sub(peak).mul(L::splat(scale)));
                weight.store(at);
                total = total.add(weight);
            }
            let at = scratch.weights.add(line * LANES);
            L::load(at).fma(L::splat(*scratch.shrink.add(line)), total).store(at);
        }

        let weight = |line: usize| score(line).add(seen.start).cast_const();
        let value = |line: usize| scratch.values.add(line * columns);
        let shrunk = |line: usize, sum: *const f32| L::load(sum).mul(L::splat(*scratch.shrink.add(line)));
        products(
            lines,
            weight,
            values.add(seen.start * columns),
            columns,
            seen.len(),
            value,
            shrunk,
        );
    }
}

/// c = start + a · b for each line: a has `depth` numbers, b `depth` rows of `width`, c `width` numbers, and `start` gives a
/// vector of c from the line and its place.
///
/// # Safety
/// Needs the instruction set of `L`, valid pointers for all lines, and a width that is a multiple of 16.
#[inline(always)]
unsafe fn products<L: Lanes>(
    lines: Range<usize>,
    a: impl Fn(usize) -> *const f32,
    b: *const f32,
    width: usize,
    depth: usize,
    c: impl Fn(usize) -> *mut f32,
    start: impl Fn(usize, *const f32) -> L,
) {
    let mut line = lines.start;
    let mut left = lines.len().div_ceil(TILE);
    while line < lines.end {
        // Tiles that differ by one line at most, so that the last is not a narrow one.
        let count = (lines.end - line).div_ceil(left);
        macro_rules! tile {
            ($($count:literal)*) => {
                match count {
                    // SAFETY: promised by the caller.
                    $($count => unsafe { tile::<L, $count>(line, &a, b, width, depth, &c, &start) },)*
                    _ => unreachable!("a tile has 1 to {TILE} lines"),
                }
            };
        }
        tile!(1 2 3 4 5 6);
        line += count;
        left -= 1;
    }
}

/// [`products`] of the lines `line .. line + R`.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn tile<L: Lanes, const R: usize>(
    line: usize,
    a: &impl Fn(usize) -> *const f32,
    b: *const f32,
    width: usize,
    depth: usize,
    c: &impl Fn(usize) -> *mut f32,
    start: &impl Fn(usize, *const f32) -> L,
) {
    let a: [_; R] = std::array::from_fn(|i| a(line + i));
    let c: [_; R] = std::array::from_fn(|i| c(line + i));
    let mut at = 0;
    macro_rules! strips {
        ($vectors:literal) => {
            while at + $vectors * L::N <= width {
                // SAFETY: promised by the caller.
                unsafe {
                    let to = c.map(|c| c.add(at));
                    // Loops: a closure within a closure may be called instead of inlined, without the instruction set.
                    let mut sums = [[L::splat(0.0); $vectors]; R];
                    for (i, sums) in sums.iter_mut().enumerate() {
                        for (j, sum) in sums.iter_mut().enumerate() {
                            *sum = start(line + i, to[i].add(j * L::N).cast_const());
                        }
                    }
                    let sums = strip::<L, R, $vectors>(&a, b.add(at), width, depth, sums);
                    for (to, sums) in to.iter().zip(&sums) {
                        for (j, sum) in sums.iter().enumerate() {
                            sum.store(to.add(j * L::N));
                        }
                    }
                }
                at += $vectors * L::N;
            }
        };
    }
    // Few lines need more vectors of each, so that sums do not wait for one another.
    if R <= 2 {
        strips!(4);
    }
    strips!(2);
    strips!(1);
}

/// sums + a · b: one order, from the first to the last of `depth`, whatever R and V.
///
/// # Safety
/// As [`products`].
#[inline(always)]
unsafe fn strip<L: Lanes, const R: usize, const V: usize>(
    a: &[*const f32; R],
    b: *const f32,
    width: usize,
    depth: usize,
    mut sums: [[L; V]; R],
) -> [[L; V]; R] {
    let mut row = b;
    for k in 0..depth {
        // SAFETY: promised by the caller.
        unsafe {
            let mut vectors = [L::splat(0.0); V];
            for (j, vector) in vectors.iter_mut().enumerate() {
                *vector = L::load(row.add(j * L::N));
            }
            for (sums, a) in sums.iter_mut().zip(a) {
                let a = L::splat(*a.add(k));
                for (sum, vector) in sums.iter_mut().zip(&vectors) {
                    *sum = a.fma(*vector, *sum);
                }
            }
            row = row.add(width);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Plain;
    use crate::{Format, PageShape, Write};

    /// Attention of the rows `rows` of a sequence of 150 tokens by sixteen plain lanes, or by an instruction set.
    fn attention(isa: Option<Isa>, format: Format, dim: usize, window: Option<usize>, rows: Range<usize>) -> Vec<f32> {
        const TOKENS: usize = 150;
        let noise = |count: usize, factor: u32| -> Vec<f32> {
            let at = |i: u32| (i.wrapping_mul(factor) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            (0..count as u32).map(at).collect()
        };
        let shape = PageShape {
            layers: 1,
            heads: 2,
            dim,
        };
        let mut pages = Pages::new(shape, format);
        let table: Vec<u32> = (0..TOKENS.div_ceil(PAGE) as u32).collect();
        let (k, v) = (
            noise(TOKENS * 2 * dim, 2_654_435_769),
            noise(TOKENS * 2 * dim, 1_597_334_677),
        );
        for &page in &table {
            pages.allocate(page);
            let row = page as usize * PAGE;
            let write = Write {
                row,
                count: PAGE.min(TOKENS - row),
                page,
                slot: 0,
            };
            pages.write(Isa::Scalar, &Serial, 0, &k, &v, &[write]);
        }
        let wide = 6 * dim;
        let q = &noise(TOKENS * wide, 3_812_015_801)[rows.start * wide..rows.end * wide];
        let mut y = vec![f32::NAN; q.len()];
        let positions: Vec<u32> = rows.map(|row| row as u32).collect();
        let spans = [Span {
            first: 0,
            positions: &positions,
            pages: &table,
        }];
        if let Some(isa) = isa {
            attend(isa, &Serial, q, 6, &pages, 0, window, &spans, &mut y);
        } else {
            let job = Job::new(q, 6, &pages, 0, &mut y);
            let rows = job.rows(window, &spans);
            // SAFETY: plain lanes need no instruction set, and Job::rows checked the rows.
            job.run(&Serial, &rows, &|job, rows, head| unsafe {
                block::<Plain<16>>(job, rows, head)
            });
        }
        y
    }

    #[test]
    fn sixteen_lanes_are_near_eight_and_the_same_however_rows_are_cut() {
        for (format, dim, window) in [
            (Format::F32, 64, None),
            (Format::Bf16, 80, Some(33)),
            (Format::F32, 6, Some(5)),
            (Format::F32, 2, None),
            (Format::Bf16, 128, None),
        ] {
            let whole = attention(None, format, dim, window, 0..150);
            for (a, b) in whole
                .iter()
                .zip(attention(Some(Isa::Scalar), format, dim, window, 0..150))
            {
                assert!((a - b).abs() < 4e-6, "dim {dim}, window {window:?}: {a} for {b}");
            }
            let mut parts = Vec::new();
            for (start, end) in [(0, 1), (1, 31), (31, 33), (33, 97), (97, 150)] {
                parts.extend(attention(None, format, dim, window, start..end));
            }
            assert!(
                whole.iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits()),
                "dim {dim}, window {window:?}"
            );
        }
    }
}
