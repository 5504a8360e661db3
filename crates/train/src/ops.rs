//! candle operations on our kernels, each with its backward. candle chains them; what they learn they add to their
//! parameters themselves, because candle's store would add each gradient to a fresh matrix of zeros.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor};
use rayon::prelude::*;
use surefoot_kernels as kernels;

use crate::lanes;
use crate::products::{Pool, Products};
use crate::weight::{Matrix, Parameter};

/// Numbers that are worth a task of their own.
const CHUNK: usize = 1 << 13;
/// Rows whose contributions to a gradient are added up one after the other.
const ROWS: usize = 64;

pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => Err(candle_core::Error::Msg("rows must lie one behind the other".into())),
    }
}

/// The numbers of a tensor, where they lie.
pub(crate) fn with<T>(tensor: &Tensor, look: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => look(floats(storage, layout)?),
        _ => Err(candle_core::Error::Msg("training computes on the CPU".into())),
    }
}

pub(crate) fn like(values: Vec<f32>, tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), tensor.device())
}

/// The sums of the columns of a matrix.
pub(crate) fn column_sums(x: &[f32], columns: usize) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = x
        .par_chunks(ROWS * columns)
        .map(|rows| {
            let mut sums = vec![0.0; columns];
            for row in rows.chunks_exact(columns) {
                lanes::add(&mut sums, row, 1.0);
            }
            sums
        })
        .collect();
    total(parts, columns)
}

fn total(parts: Vec<Vec<f32>>, columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    for part in parts {
        lanes::add(&mut sums, &part, 1.0);
    }
    sums
}

/// x Wᵀ + bias.
pub struct Product {
    pub products: Arc<Products>,
    pub matrix: Arc<Matrix>,
    pub bias: Option<Arc<Parameter>>,
}

impl CustomOp1 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let bias = self.bias.as_ref().map(|bias| bias.values());
        let bias = bias.as_ref().map(|bias| bias.as_slice());
        let y = self.products.product(x, &self.matrix.packed().forward, bias, None);
        let rows = y.len() / self.matrix.outputs;
        Ok((CpuStorage::F32(y), (rows, self.matrix.outputs).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        with(dy, |dy| {
            with(x, |values| {
                let (dx, ()) = rayon::join(
                    || self.products.product(dy, &self.matrix.packed().backward, None, None),
                    || {
                        self.matrix.learn(&self.products, dy, values);
                        if let Some(bias) = self.bias.as_ref().filter(|bias| bias.learns) {
                            bias.add(column_sums(dy, self.matrix.outputs));
                        }
                    },
                );
                Ok(Some(like(dx, x)?))
            })
        })
    }
}

/// x / √(mean(x²) + eps) · weight, over rows, or over heads where the weight is as long as one.
pub struct Norm {
    pub products: Arc<Products>,
    pub weight: Arc<Parameter>,
    pub eps: f32,
}

impl CustomOp1 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let mut y = vec![0.0; x.len()];
        kernels::rms_norm(self.products.isa(), &Pool, x, &self.weight.values(), self.eps, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    /// With r = 1/√(mean(x²) + eps) and g = dy · weight: dx = r g − r³/n (Σ g x) x, and dweight = Σ over rows of dy x r.
    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let weight = self.weight.values();
        let columns = weight.len();
        let mut dx = vec![0.0; x.elem_count()];
        let parts = with(dy, |dy| {
            with(x, |x| {
                let task = ROWS * columns;
                let rows = dx.par_chunks_mut(task).zip(x.par_chunks(task)).zip(dy.par_chunks(task));
                let parts = rows.map(|((dx, x), dy)| {
                    let mut sums = vec![0.0; columns];
                    let rows = dx.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
                    for ((dx, x), dy) in rows.zip(dy.chunks_exact(columns)) {
                        let scale = 1.0 / (lanes::dot(x, x) / columns as f32 + self.eps).sqrt();
                        for ((dx, dy), weight) in dx.iter_mut().zip(dy).zip(weight.iter()) {
                            *dx = dy * weight * scale;
                        }
                        let along = lanes::dot(dx, x) * scale * scale / columns as f32;
                        lanes::add(dx, x, -along);
                        for ((sum, dy), x) in sums.iter_mut().zip(dy).zip(x) {
                            *sum += dy * x * scale;
                        }
                    }
                    sums
                });
                Ok(parts.collect())
            })
        })?;
        if self.weight.learns {
            self.weight.add(total(parts, columns));
        }
        Ok(Some(like(dx, x)?))
    }
}

/// Rotates each head of each row by its angles. cos, sin: rows × d/2.
pub struct Rope {
    pub products: Arc<Products>,
    pub cos: Tensor,
    pub sin: Tensor,
}

impl Rope {
    fn turned(&self, x: &[f32], columns: usize, back: bool) -> Result<Vec<f32>> {
        let mut x = x.to_vec();
        with(&self.cos, |cos| {
            with(&self.sin, |sin| {
                let isa = self.products.isa();
                if back {
                    let sin: Vec<f32> = sin.iter().map(|sin| -sin).collect();
                    kernels::rope(isa, &Pool, &mut x, columns, cos, &sin);
                } else {
                    kernels::rope(isa, &Pool, &mut x, columns, cos, sin);
                }
                Ok(())
            })
        })?;
        Ok(x)
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.turned(floats(x, layout)?, layout.dims()[1], false)?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = with(dy, |dy| self.turned(dy, x.dim(1)?, true))?;
        Ok(Some(like(dx, x)?))
    }
}

/// silu(gate) · up.
pub struct Gate {
    pub products: Arc<Products>,
}

impl Gate {
    /// 1 / (1 + e⁻ˣ).
    fn sigmoid(&self, x: &[f32], y: &mut [f32]) {
        kernels::exponentials(self.products.isa(), x, 0.0, -1.0, y);
        for y in y {
            *y = 1.0 / (1.0 + *y);
        }
    }
}

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(&self, gate: &CpuStorage, l1: &Layout, up: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (floats(gate, l1)?, floats(up, l2)?);
        let mut y = vec![0.0; gate.len()];
        let chunks = y
            .par_chunks_mut(CHUNK)
            .zip(gate.par_chunks(CHUNK))
            .zip(up.par_chunks(CHUNK));
        chunks.for_each(|((y, gate), up)| {
            self.sigmoid(gate, y);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y *= gate * up;
            }
        });
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut d_gate, mut d_up) = (vec![0.0; gate.elem_count()], vec![0.0; gate.elem_count()]);
        with(dy, |dy| {
            with(gate, |gate| {
                with(up, |up| {
                    let outs = d_gate.par_chunks_mut(CHUNK).zip(d_up.par_chunks_mut(CHUNK));
                    let ins = dy
                        .par_chunks(CHUNK)
                        .zip(gate.par_chunks(CHUNK))
                        .zip(up.par_chunks(CHUNK));
                    outs.zip(ins).for_each(|((d_gate, d_up), ((dy, gate), up))| {
                        self.sigmoid(gate, d_gate);
                        for i in 0..dy.len() {
                            let (sigmoid, gate, dy) = (d_gate[i], gate[i], dy[i]);
                            d_up[i] = dy * gate * sigmoid;
                            d_gate[i] = dy * up[i] * sigmoid * (1.0 + gate * (1.0 - sigmoid));
                        }
                    });
                    Ok(())
                })
            })
        })?;
        Ok((Some(like(d_gate, gate)?), Some(like(d_up, up)?)))
    }
}

/// Where a pass back begins: a number whose gradient is `seed`.
pub struct Seed {
    pub seed: Tensor,
}

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, _x: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), ().into()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, _dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.seed.clone()))
    }
}
