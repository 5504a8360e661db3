//! The backend on our own kernels: the default on a CPU. A row's values depend on its sequence alone, bit for bit: not on
//! other rows, on threads, or on what was cached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use surefoot_kernels as kernels;
use surefoot_kernels::{Crew, Format, Isa, IsaError, Packed, Pages, Precision, Workspace};

use crate::backend::{Backend, Epilogue, Heads, PageShape};
use crate::batch::{Batch, Change};
use crate::checkpoint::{Numbers, Rows};
use crate::error::{Error, Result};

/// Weights read at a time, in numbers.
const CHUNK: usize = 1 << 20;

pub struct Cpu {
    isa: Isa,
    precision: Precision,
    crew: Crew,
    workspace: Mutex<Workspace>,
    spares: Arc<Spares>,
}

impl Cpu {
    /// On the instruction set given, else the one that `SUREFOOT_ISA` names, else the widest that is here.
    pub fn new(isa: Option<Isa>, precision: Precision) -> Result<Self> {
        let named = match isa {
            Some(isa) => Some(isa.name().to_owned()),
            None => std::env::var("SUREFOOT_ISA").ok(),
        };
        let isa = Isa::choose(named.as_deref()).map_err(|error| match error {
            IsaError::Unknown(_) => Error::InvalidArgument {
                argument: "SUREFOOT_ISA".into(),
                message: error.to_string(),
            },
            IsaError::Unavailable(isa) => Error::DeviceUnavailable {
                device: isa.name().into(),
                available: Isa::available().iter().map(|isa| isa.name().to_owned()).collect(),
            },
        })?;
        Ok(Self {
            isa,
            precision,
            crew: Crew::default(),
            workspace: Mutex::default(),
            spares: Arc::default(),
        })
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    fn workspace(&self) -> MutexGuard<'_, Workspace> {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Activations of any content.
    fn activations(&self, rows: usize, columns: usize) -> Activations {
        Activations {
            values: self.spares.take(rows * columns),
            columns,
            spares: self.spares.clone(),
        }
    }

    fn page_format(&self) -> Format {
        match self.precision {
            Precision::Exact => Format::F32,
            Precision::Fast => Format::Bf16,
        }
    }
}

/// rows × columns, f32. Their memory is used again.
pub struct Activations {
    values: Vec<f32>,
    columns: usize,
    spares: Arc<Spares>,
}

impl Activations {
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }
}

impl Drop for Activations {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.values));
    }
}

/// Memory of activations that are gone: fresh memory would be cleared by the system page by page, each time.
#[derive(Default)]
struct Spares(Mutex<Vec<Vec<f32>>>);

impl Spares {
    /// Kept at most.
    const MOST: usize = 16;

    fn take(&self, length: usize) -> Vec<f32> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = spares
            .iter()
            .enumerate()
            .filter(|(_, spare)| spare.capacity() >= length);
        let smallest = fitting
            .min_by_key(|(_, spare)| spare.capacity())
            .map(|(index, _)| index);
        let mut values = smallest.map_or_else(|| Vec::with_capacity(length), |index| spares.swap_remove(index));
        drop(spares);
        values.resize(length, 0.0);
        values
    }

    fn give(&self, values: Vec<f32>) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.push(values);
        if spares.len() > Self::MOST {
            let smallest = (0..spares.len()).min_by_key(|&index| spares[index].capacity());
            smallest.map(|index| spares.swap_remove(index));
        }
    }
}

/// A matrix of which rows are looked up, row by row.
pub struct Table {
    numbers: Numbers,
    columns: usize,
}

/// Sends the crew home, also after a panic.
struct Dismiss<'a>(&'a Crew);

impl Drop for Dismiss<'_> {
    fn drop(&mut self) {
        self.0.dismiss();
    }
}

/// Rows of a matrix, some at a time.
fn chunks(rows: &Rows<'_>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let (outputs, step) = (rows.outputs(), (CHUNK / rows.inputs().max(1)).max(1));
    (0..outputs)
        .step_by(step)
        .map(move |first| first..outputs.min(first + step))
}

impl Backend for Cpu {
    type Tensor = Activations;
    type Matrix = Packed;
    type Table = Table;
    type Vector = Vec<f32>;
    type Pages = Pages;

    /// The other threads of the rayon pool that the caller runs in help until `work` is done.
    fn together<T>(&self, work: impl FnOnce() -> T) -> T {
        let threads = rayon::current_num_threads();
        self.crew.gather(threads);
        rayon::in_place_scope(|scope| {
            let _dismiss = Dismiss(&self.crew);
            for _ in 1..threads {
                scope.spawn(|_| self.crew.help());
            }
            work()
        })
    }

    fn matrix(&self, rows: &Rows<'_>) -> Result<Packed> {
        let format = if rows.is_bf16()? { Format::Bf16 } else { Format::F32 };
        let mut packed = Packed::new(self.isa, self.precision, format, rows.outputs(), rows.inputs());
        for chunk in chunks(rows) {
            match rows.read(chunk.clone())? {
                Numbers::F32(values) => packed.fill_f32(chunk.start, &values),
                Numbers::Bf16(bits) => packed.fill_bf16(chunk.start, &bits),
            }
        }
        Ok(packed)
    }

    fn table(&self, rows: &Rows<'_>) -> Result<Table> {
        let length = rows.outputs() * rows.inputs();
        let mut numbers = match rows.is_bf16()? {
            true => Numbers::Bf16(Vec::with_capacity(length)),
            false => Numbers::F32(Vec::with_capacity(length)),
        };
        for chunk in chunks(rows) {
            match (&mut numbers, rows.read(chunk)?) {
                (Numbers::F32(all), Numbers::F32(more)) => all.extend(more),
                (Numbers::Bf16(all), Numbers::Bf16(more)) => all.extend(more),
                _ => {
                    return Err(Error::Internal {
                        message: "a table of two kinds of numbers".into(),
                    });
                }
            }
        }
        Ok(Table {
            numbers,
            columns: rows.inputs(),
        })
    }

    fn vector(&self, values: Vec<f32>) -> Result<Vec<f32>> {
        Ok(values)
    }

    fn tensor(&self, values: Vec<f32>, columns: usize) -> Result<Activations> {
        Ok(Activations {
            values,
            columns,
            spares: self.spares.clone(),
        })
    }

    fn embed(&self, table: &Table, ids: &[u32]) -> Result<Activations> {
        let mut x = self.activations(ids.len(), table.columns);
        for (row, &id) in x.values.chunks_exact_mut(table.columns).zip(ids) {
            let from = id as usize * table.columns;
            let range = from..from + table.columns;
            let missing = || Error::Internal {
                message: format!("token {id} is beyond the vocabulary"),
            };
            match &table.numbers {
                Numbers::F32(values) => row.copy_from_slice(values.get(range).ok_or_else(missing)?),
                Numbers::Bf16(bits) => {
                    let bits = bits.get(range).ok_or_else(missing)?;
                    row.iter_mut()
                        .zip(bits)
                        .for_each(|(value, bits)| *value = f32::from_bits(u32::from(*bits) << 16));
                }
            }
        }
        Ok(x)
    }

    fn norm(&self, x: &Activations, weight: &Vec<f32>, eps: f64) -> Result<Activations> {
        let mut y = self.activations(x.rows(), x.columns);
        kernels::rms_norm(self.isa, &self.crew, &x.values, weight, eps as f32, &mut y.values);
        Ok(y)
    }

    fn norm_heads(&self, x: &Activations, weight: &Vec<f32>, eps: f64) -> Result<Activations> {
        self.norm(x, weight, eps)
    }

    fn linear(
        &self,
        x: &Activations,
        weight: &Packed,
        bias: Option<&Vec<f32>>,
        epilogue: Epilogue<'_, Activations>,
    ) -> Result<Activations> {
        let mut y = self.activations(x.rows(), weight.outputs());
        let epilogue = match epilogue {
            Epilogue::None => kernels::Epilogue::None,
            Epilogue::Add(residual) => kernels::Epilogue::Add(&residual.values),
            Epilogue::Relu => kernels::Epilogue::Relu,
        };
        kernels::linear(
            &self.crew,
            &mut self.workspace(),
            &x.values,
            weight,
            bias.map(Vec::as_slice),
            epilogue,
            &mut y.values,
        );
        Ok(y)
    }

    fn gated(
        &self,
        x: &Activations,
        [gate, up]: [&Packed; 2],
        [gate_bias, up_bias]: [Option<&Vec<f32>>; 2],
    ) -> Result<Activations> {
        let mut y = self.activations(x.rows(), gate.outputs());
        kernels::gated(
            &self.crew,
            &mut self.workspace(),
            &x.values,
            gate,
            up,
            gate_bias.map(Vec::as_slice),
            up_bias.map(Vec::as_slice),
            &mut y.values,
        );
        Ok(y)
    }

    fn rope(&self, mut x: Activations, cos: &Activations, sin: &Activations) -> Result<Activations> {
        let columns = x.columns;
        kernels::rope(self.isa, &self.crew, &mut x.values, columns, &cos.values, &sin.values);
        Ok(x)
    }

    fn pages(&self, shape: PageShape) -> Pages {
        Pages::new(shape, self.page_format())
    }

    fn bytes_per_page(&self, shape: PageShape) -> usize {
        self.pages(shape).bytes_per_page()
    }

    fn change(&self, pages: &mut Pages, changes: &[Change]) -> Result<()> {
        for change in changes {
            match *change {
                Change::Allocate(page) => pages.allocate(page),
                Change::Free(page) => pages.free(page),
                Change::Copy { from, to, slots } => pages.copy(from, to, slots),
            }
        }
        Ok(())
    }

    fn attend(
        &self,
        [q, k, v]: [&Activations; 3],
        heads: Heads,
        batch: &Batch,
        layer: usize,
        pages: &mut Pages,
    ) -> Result<Activations> {
        let mut y = self.activations(q.rows(), q.columns);
        pages.write(self.isa, &self.crew, layer, &k.values, &v.values, &batch.writes);
        let spans: Vec<_> = batch
            .spans
            .iter()
            .map(|span| kernels::Span {
                first: span.rows.start,
                positions: &batch.positions[span.rows.clone()],
                pages: &span.pages,
            })
            .collect();
        kernels::attend(
            self.isa,
            &self.crew,
            &q.values,
            heads.query,
            pages,
            layer,
            heads.window,
            &spans,
            &mut y.values,
        );
        Ok(y)
    }

    fn rows(&self, x: &Activations, indices: &[usize]) -> Result<Activations> {
        let mut y = self.activations(indices.len(), x.columns);
        for (row, &index) in y.values.chunks_exact_mut(x.columns).zip(indices) {
            row.copy_from_slice(&x.values[index * x.columns..(index + 1) * x.columns]);
        }
        Ok(y)
    }

    fn values(&self, x: &Activations) -> Result<Vec<Vec<f32>>> {
        Ok(x.values.chunks_exact(x.columns).map(<[f32]>::to_vec).collect())
    }
}
