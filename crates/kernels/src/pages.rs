//! Keys and values of tokens in pages of 32.

use crate::gemm::Format;
use crate::lanes::{Lanes, dispatch};
use crate::norm::by_rows;
use crate::threads::Shared;
use crate::{Isa, Threads};

/// Tokens of a page. Page i of a sequence holds the positions 32i .. 32i + 32.
pub const PAGE: usize = 32;

/// Values are stored in rows of a multiple of this, so that every vector is whole.
const COLUMNS: usize = 16;

/// What a page holds of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageShape {
    pub layers: usize,
    /// Key-value heads.
    pub heads: usize,
    /// Numbers of a key and of a value of one head.
    pub dim: usize,
}

/// Where rows of keys and values go: row `row` + i to slot `slot` + i of the page, for i below `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    pub row: usize,
    pub count: usize,
    pub page: u32,
    pub slot: usize,
}

/// The unit of storage, so that it begins at a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Storage of `count` numbers of 32 bits, zeroed, aligned to a cache line.
pub(crate) struct Buffer(Vec<Line>);

impl Buffer {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![Line([0; 16]); count.div_ceil(16)])
    }

    pub(crate) fn floats(&mut self) -> &mut [f32] {
        self.numbers_mut()
    }

    fn numbers<T: Number>(&self) -> &[T] {
        // SAFETY: lines are arrays of 64 bytes in a row, and any bits are a T.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), size_of_val(&self.0[..]) / size_of::<T>()) }
    }

    fn numbers_mut<T: Number>(&mut self) -> &mut [T] {
        let count = size_of_val(&self.0[..]) / size_of::<T>();
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), count) }
    }
}

/// # Safety
/// Any bits are a value of the type, which divides a [`Line`].
unsafe trait Number: Copy + Send {
    fn round(x: f32) -> Self;
}

// SAFETY: four bytes of any bits.
unsafe impl Number for f32 {
    #[inline(always)]
    fn round(x: f32) -> Self {
        x
    }
}

/// bf16.
// SAFETY: two bytes of any bits.
unsafe impl Number for u16 {
    /// To the nearest, ties to even; NaN stays NaN.
    #[inline(always)]
    fn round(x: f32) -> Self {
        let bits = x.to_bits();
        let up = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        (if x.is_nan() { bits | 0x40_0000 } else { up } >> 16) as u16
    }
}

/// The keys and values of all layers, by page.
///
/// A page is known by a small number that the caller gives it. For each layer and each key-value head it holds the keys
/// as `dim` rows of 32 tokens, then the values as 32 rows of `dim`, filled up with zeros to a multiple of 16.
pub struct Pages {
    shape: PageShape,
    format: Format,
    pages: Vec<Option<Buffer>>,
    spare: Vec<Buffer>,
    allocated: usize,
}

impl Pages {
    /// No pages yet. `F32` keeps numbers as they are, `Bf16` rounds them to the nearest.
    pub fn new(shape: PageShape, format: Format) -> Self {
        assert!(shape.dim > 0 && shape.heads > 0, "{shape:?}");
        Self {
            shape,
            format,
            pages: Vec::new(),
            spare: Vec::new(),
            allocated: 0,
        }
    }

    pub fn shape(&self) -> PageShape {
        self.shape
    }

    pub fn bytes_per_page(&self) -> usize {
        self.count().div_ceil(self.per_line()) * size_of::<Line>()
    }

    /// Numbers of a page.
    fn count(&self) -> usize {
        self.shape.layers * self.shape.heads * self.part()
    }

    fn per_line(&self) -> usize {
        match self.format {
            Format::F32 => 16,
            Format::Bf16 => 32,
        }
    }

    /// Numbers of one head in one layer.
    fn part(&self) -> usize {
        PAGE * (self.shape.dim + self.columns())
    }

    /// The length of a row of values.
    pub(crate) fn columns(&self) -> usize {
        self.shape.dim.next_multiple_of(COLUMNS)
    }

    /// Pages that are allocated.
    pub fn allocated(&self) -> usize {
        self.allocated
    }

    /// Storage for a page, zeroed. Panics where the page has some.
    pub fn allocate(&mut self, page: u32) {
        let at = page as usize;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        assert!(self.pages[at].is_none(), "page {page} is allocated");
        let buffer = match self.spare.pop() {
            Some(mut buffer) => {
                buffer.0.fill(Line([0; 16]));
                buffer
            }
            None => Buffer::new(self.bytes_per_page() / 4),
        };
        self.pages[at] = Some(buffer);
        self.allocated += 1;
    }

    /// Keeps the storage of a page for another. Panics where the page has none.
    pub fn free(&mut self, page: u32) {
        let buffer = self.take(page);
        self.spare.push(buffer);
        self.allocated -= 1;
    }

    /// Gives storage that no page uses back to the system.
    pub fn trim(&mut self) {
        self.spare = Vec::new();
    }

    pub(crate) fn is_allocated(&self, page: u32) -> bool {
        self.pages.get(page as usize).is_some_and(Option::is_some)
    }

    fn get(&self, page: u32) -> &Buffer {
        let buffer = self.pages.get(page as usize).and_then(Option::as_ref);
        buffer.unwrap_or_else(|| panic!("page {page} is not allocated"))
    }

    fn take(&mut self, page: u32) -> Buffer {
        let buffer = self.pages.get_mut(page as usize).and_then(Option::take);
        buffer.unwrap_or_else(|| panic!("page {page} is not allocated"))
    }

    /// Copies the first `slots` tokens of a page to another, in all layers.
    pub fn copy(&mut self, from: u32, to: u32, slots: usize) {
        assert!(slots <= PAGE && from != to, "{slots} tokens of page {from} to {to}");
        let mut target = self.take(to);
        let source = self.get(from);
        match self.format {
            Format::F32 => self.copy_tokens::<f32>(source, &mut target, slots),
            Format::Bf16 => self.copy_tokens::<u16>(source, &mut target, slots),
        }
        self.pages[to as usize] = Some(target);
    }

    fn copy_tokens<T: Number>(&self, from: &Buffer, to: &mut Buffer, slots: usize) {
        let keys = self.shape.dim * PAGE;
        let parts = from.numbers::<T>().chunks_exact(self.part());
        for (from, to) in parts.zip(to.numbers_mut::<T>().chunks_exact_mut(self.part())) {
            for (from, to) in from[..keys].chunks_exact(PAGE).zip(to[..keys].chunks_exact_mut(PAGE)) {
                to[..slots].copy_from_slice(&from[..slots]);
            }
            let values = keys..keys + slots * self.columns();
            to[values.clone()].copy_from_slice(&from[values]);
        }
    }

    /// Writes keys and values of one layer. `k` and `v` hold rows of heads · dim; a row may go to several pages, and where
    /// two go to one slot the later stays.
    pub fn write(&mut self, isa: Isa, threads: &dyn Threads, layer: usize, k: &[f32], v: &[f32], writes: &[Write]) {
        assert!(isa.is_available(), "no {isa:?} here");
        let PageShape { layers, heads, dim } = self.shape;
        assert!(layer < layers, "layer {layer} of {layers}");
        assert_eq!(k.len(), v.len());
        let rows = k.len() / (heads * dim);
        let mut pages = Vec::with_capacity(writes.len());
        for write in writes {
            let fits = |start: usize, end| start.checked_add(write.count).is_some_and(|stop| stop <= end);
            assert!(
                fits(write.row, rows) && fits(write.slot, PAGE),
                "{write:?} of {rows} rows"
            );
            let buffer = self.pages.get_mut(write.page as usize).and_then(Option::as_mut);
            let buffer = buffer.unwrap_or_else(|| panic!("page {} is not allocated", write.page));
            pages.push(Shared::new(&mut buffer.0));
        }
        let job = Scatter {
            pages: &pages,
            first: layer * heads * self.part(),
            columns: self.columns(),
            shape: self.shape,
            k,
            v,
            writes,
        };
        let (job, format) = (&job, self.format);
        let write = |head: usize| {
            // SAFETY: the instruction set is there; rows, slots and pages were checked above; heads lie apart, so that
            // tasks never write to the same place, whatever the writes.
            unsafe {
                match format {
                    Format::F32 => dispatch!(isa, scatter_f32(job: &Scatter<'_>, head: usize)),
                    Format::Bf16 => dispatch!(isa, scatter_bf16(job: &Scatter<'_>, head: usize)),
                }
            }
        };
        let tokens: usize = writes.iter().map(|write| write.count).sum();
        by_rows(threads, heads, tokens * dim, &|heads| heads.for_each(write));
    }

    /// The keys (dim rows of 32) and values (32 rows of [`Self::columns`]) of one head, in `scratch` where they are widened.
    ///
    /// # Safety
    /// `scratch` has room for them where pages are bf16. The pointers hold as long as the page and the scratch.
    #[inline(always)]
    pub(crate) unsafe fn part_of(&self, page: u32, layer: usize, head: usize, scratch: *mut f32) -> [*const f32; 2] {
        let start = (layer * self.shape.heads + head) * self.part();
        let buffer = self.get(page);
        let keys = match self.format {
            Format::F32 => buffer.numbers::<f32>()[start..start + self.part()].as_ptr(),
            Format::Bf16 => {
                let numbers = &buffer.numbers::<u16>()[start..start + self.part()];
                for (i, &number) in numbers.iter().enumerate() {
                    // SAFETY: promised by the caller.
                    unsafe { *scratch.add(i) = f32::from_bits(u32::from(number) << 16) };
                }
                scratch.cast_const()
            }
        };
        [keys, keys.wrapping_add(self.shape.dim * PAGE)]
    }

    /// Numbers of scratch that [`Self::part_of`] needs.
    pub(crate) fn scratch(&self) -> usize {
        match self.format {
            Format::F32 => 0,
            Format::Bf16 => self.part(),
        }
    }
}

/// What [`Pages::write`] spreads over heads.
struct Scatter<'a> {
    /// The storage that each write goes to.
    pages: &'a [Shared<Line>],
    /// Where the layer begins in a page.
    first: usize,
    columns: usize,
    shape: PageShape,
    k: &'a [f32],
    v: &'a [f32],
    writes: &'a [Write],
}

/// # Safety
/// Needs the instruction set of `L`; pages are f32 and big enough; no one else uses this head of them.
#[inline(always)]
unsafe fn scatter_f32<L: Lanes>(job: &Scatter<'_>, head: usize) {
    // SAFETY: promised by the caller.
    unsafe { scatter::<f32>(job, head) }
}

/// # Safety
/// Needs the instruction set of `L`; pages are bf16 and big enough; no one else uses this head of them.
#[inline(always)]
unsafe fn scatter_bf16<L: Lanes>(job: &Scatter<'_>, head: usize) {
    // SAFETY: promised by the caller.
    unsafe { scatter::<u16>(job, head) }
}

/// # Safety
/// Pages hold T and are big enough; no one else uses this head of them.
#[inline(always)]
unsafe fn scatter<T: Number>(job: &Scatter<'_>, head: usize) {
    let Scatter {
        shape: PageShape { heads, dim, .. },
        columns,
        ..
    } = *job;
    for (write, page) in job.writes.iter().zip(job.pages) {
        let start = job.first + head * PAGE * (dim + columns);
        let rows = write.row * heads * dim + head * dim;
        // SAFETY: promised by the caller; the slices do not overlap.
        let (keys, values) = unsafe {
            let keys = page.at(0).cast::<T>().add(start);
            let values = keys.add(dim * PAGE);
            (
                std::slice::from_raw_parts_mut(keys, dim * PAGE),
                std::slice::from_raw_parts_mut(values, PAGE * columns),
            )
        };
        for i in 0..write.count {
            let row = rows + i * heads * dim;
            let slot = write.slot + i;
            for (j, &x) in job.k[row..row + dim].iter().enumerate() {
                keys[j * PAGE + slot] = T::round(x);
            }
            let to = &mut values[slot * columns..slot * columns + dim];
            for (to, &x) in to.iter_mut().zip(&job.v[row..row + dim]) {
                *to = T::round(x);
            }
        }
    }
}
