//! Matrix products on our kernels, for both ways through a layer. One instruction set and one length of the sums give one
//! result, bit for bit, on any number of threads.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use surefoot_kernels as kernels;
use surefoot_kernels::{Epilogue, Format, Isa, Packed, Precision, Threads, Workspace};

/// Columns that are turned at a time: a cache line of f32.
const STRIP: usize = 16;

/// The threads of the rayon pool that the caller runs in.
pub(crate) struct Pool;

impl Threads for Pool {
    fn count(&self) -> usize {
        rayon::current_num_threads()
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// An instruction set, and scratch that is used again.
pub struct Products {
    isa: Isa,
    workspaces: Mutex<Vec<Workspace>>,
}

impl Products {
    pub fn new(isa: Isa) -> Self {
        Self {
            isa,
            workspaces: Mutex::default(),
        }
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// x Wᵀ, with a bias, or added to `to`: rows × outputs. x: rows × inputs.
    pub fn product(&self, x: &[f32], weight: &Packed, bias: Option<&[f32]>, to: Option<&[f32]>) -> Vec<f32> {
        self.on(&Pool, x, weight, bias, to)
    }

    /// [`Products::product`] on the calling thread alone.
    pub(crate) fn alone(&self, x: &[f32], weight: &Packed) -> Vec<f32> {
        self.on(&kernels::Serial, x, weight, None, None)
    }

    fn on(
        &self,
        threads: &dyn Threads,
        x: &[f32],
        weight: &Packed,
        bias: Option<&[f32]>,
        to: Option<&[f32]>,
    ) -> Vec<f32> {
        let rows = x.len().checked_div(weight.inputs()).unwrap_or(0);
        let mut y = vec![0.0; rows * weight.outputs()];
        let spare = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut workspace = spare.unwrap_or_default();
        let epilogue = to.map_or(Epilogue::None, Epilogue::Add);
        kernels::linear(threads, &mut workspace, x, weight, bias, epilogue, &mut y);
        self.workspaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(workspace);
        y
    }

    /// `gradient` += dYᵀ X, where an empty gradient is zero: outputs × inputs. dy: rows × outputs; x: rows × inputs.
    pub fn add_outer(&self, dy: &[f32], outputs: usize, x: &[f32], inputs: usize, gradient: &mut Vec<f32>) {
        let rows = dy.len() / outputs;
        let (turned, packed) = rayon::join(|| transposed(dy, outputs), || self.packed_transposed(x, rows, inputs));
        let so_far = (!gradient.is_empty()).then_some(gradient.as_slice());
        *gradient = self.product(&turned, &packed, None, so_far);
    }

    /// Packs a matrix of outputs × inputs.
    pub fn packed(&self, values: &[f32], outputs: usize, inputs: usize) -> Packed {
        let mut packed = Packed::new(self.isa, Precision::Exact, Format::F32, outputs, inputs);
        packed.fill_f32(0, values);
        packed
    }

    /// Packs the transpose of a matrix of rows × columns.
    pub fn packed_transposed(&self, values: &[f32], rows: usize, columns: usize) -> Packed {
        let mut packed = Packed::new(self.isa, Precision::Exact, Format::F32, columns, rows);
        fill_transposed(values, rows, columns, |first, turned| packed.fill_f32(first, turned));
        packed
    }
}

/// Hands over the columns of a matrix of rows × columns, some at a time: the first one's number, and all of each.
pub(crate) fn fill_transposed<T: Copy + Default>(
    values: &[T],
    rows: usize,
    columns: usize,
    mut fill: impl FnMut(usize, &[T]),
) {
    let width = 2 * STRIP;
    let mut turned = vec![T::default(); width.min(columns) * rows];
    for first in (0..columns).step_by(width) {
        let width = width.min(columns - first);
        for (row, values) in values.chunks_exact(columns).enumerate() {
            for (column, &value) in values[first..first + width].iter().enumerate() {
                turned[column * rows + row] = value;
            }
        }
        fill(first, &turned[..width * rows]);
    }
}

/// The transpose of a matrix of rows × columns.
pub(crate) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    let mut turned = vec![0.0; values.len()];
    turned
        .par_chunks_mut(STRIP * rows.max(1))
        .enumerate()
        .for_each(|(strip, turned)| {
            let first = strip * STRIP;
            let width = turned.len() / rows;
            for (row, values) in values.chunks_exact(columns).enumerate() {
                for (column, &value) in values[first..first + width].iter().enumerate() {
                    turned[column * rows + row] = value;
                }
            }
        });
    turned
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn noise(length: usize, seed: usize) -> Vec<f32> {
        (0..length)
            .map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0)
            .collect()
    }

    fn agree(ours: &[f32], theirs: &Tensor) {
        let theirs: Vec<f32> = theirs.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(ours.len(), theirs.len());
        let size = theirs.iter().fold(0f32, |most, x| most.max(x.abs()));
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() <= 1e-5 * size.max(1.0), "{ours} for {theirs}");
        }
    }

    /// candle's own matmul is the oracle for all three products of a linear layer, on every instruction set that is here.
    #[test]
    fn forward_and_both_gradients_agree_with_candle() {
        for isa in Isa::available() {
            let products = Products::new(isa);
            for (rows, inputs, outputs) in [(1, 1, 1), (1, 33, 7), (5, 300, 97), (130, 64, 31), (257, 48, 80)] {
                let (x, w, dy) = (
                    noise(rows * inputs, 1),
                    noise(outputs * inputs, 2),
                    noise(rows * outputs, 3),
                );
                let tensor = |values: &[f32], shape| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
                let [tx, tw, tdy] = [
                    tensor(&x, (rows, inputs)),
                    tensor(&w, (outputs, inputs)),
                    tensor(&dy, (rows, outputs)),
                ];
                let forward = products.packed(&w, outputs, inputs);
                agree(
                    &products.product(&x, &forward, None, None),
                    &tx.matmul(&tw.t().unwrap()).unwrap(),
                );
                let backward = products.packed_transposed(&w, outputs, inputs);
                agree(&products.product(&dy, &backward, None, None), &tdy.matmul(&tw).unwrap());
                let mut gradient = Vec::new();
                products.add_outer(&dy, outputs, &x, inputs, &mut gradient);
                let expected = tdy.t().unwrap().matmul(&tx).unwrap();
                agree(&gradient, &expected);
                products.add_outer(&dy, outputs, &x, inputs, &mut gradient);
                agree(&gradient, &(expected * 2.0).unwrap());
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (rows, inputs, outputs) = (300, 200, 130);
        let (x, dy) = (noise(rows * inputs, 1), noise(rows * outputs, 2));
        let bits = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let products = Products::new(Isa::choose(None).unwrap());
            let mut gradient = Vec::new();
            pool.install(|| products.add_outer(&dy, outputs, &x, inputs, &mut gradient));
            gradient.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(1), bits(3));
    }
}
