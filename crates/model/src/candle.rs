//! The backend on candle. Every operation is built from candle's differentiable ones: its fused softmax, RMS norm and
//! rope cut gradients without an error. It is the path for GPUs, the oracle for other backends, and what training uses.

use std::ops::Range;

use candle_core::{D, Device, Tensor};

use crate::backend::{Angles, Backend, Epilogue, Heads, Linear};
use crate::error::Result;

/// Query rows that attend together: bounds the score matrix of a long sequence to this many rows a head.
const QUERY_BLOCK: usize = 256;

pub struct Candle {
    device: Device,
}

impl Candle {
    pub fn new(device: Device) -> Self {
        Self { device }
    }
}

impl Backend for Candle {
    type Tensor = Tensor;
    type Weight = Tensor;

    fn weight(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }

    fn tensor(&self, values: Vec<f32>, columns: usize) -> Result<Tensor> {
        let rows = values.len() / columns;
        Ok(Tensor::from_vec(values, (rows, columns), &self.device)?)
    }

    fn embed(&self, table: &Tensor, ids: &[u32]) -> Result<Tensor> {
        Ok(table.index_select(&Tensor::new(ids, &self.device)?, 0)?)
    }

    fn norm(&self, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
        Ok(x.broadcast_mul(&scale)?.broadcast_mul(weight)?)
    }

    fn norm_heads(&self, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        let (rows, features) = x.dims2()?;
        let dim = weight.dim(0)?;
        let x = x.reshape((rows * features / dim, dim))?;
        Ok(self.norm(&x, weight, eps)?.reshape((rows, features))?)
    }

    fn linear(&self, x: &Tensor, layer: &Linear<Self>, epilogue: Epilogue<'_, Self>) -> Result<Tensor> {
        let mut y = x.matmul(&layer.weight.t()?)?;
        if let Some(bias) = &layer.bias {
            y = y.broadcast_add(bias)?;
        }
        Ok(match epilogue {
            Epilogue::None => y,
            Epilogue::Add(residual) => (y + residual)?,
            Epilogue::Relu => y.relu()?,
        })
    }

    fn rope(&self, x: &Tensor, angles: &Angles<Self>) -> Result<Tensor> {
        let (rows, features) = x.dims2()?;
        let half = angles.cos.dim(1)?;
        let x = x.reshape((rows, features / (2 * half), 2 * half))?;
        let (first, second) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let (cos, sin) = (angles.cos.unsqueeze(1)?, angles.sin.unsqueeze(1)?);
        let rotated = Tensor::cat(
            &[
                (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?,
                (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?,
            ],
            2,
        )?;
        Ok(rotated.reshape((rows, features))?)
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, sequences: &[Range<usize>]) -> Result<Tensor> {
        let mut outputs = Vec::new();
        for sequence in sequences {
            let (start, length) = (sequence.start, sequence.len());
            let k = by_head(&k.narrow(0, start, length)?, heads.key_value, heads.dim)?;
            let v = by_head(&v.narrow(0, start, length)?, heads.key_value, heads.dim)?;
            for from in (0..length).step_by(QUERY_BLOCK) {
                let rows = QUERY_BLOCK.min(length - from);
                let first = heads.window.map_or(0, |window| (from + 1).saturating_sub(window));
                let seen = from + rows - first;
                let q = q.narrow(0, start + from, rows)?;
                let (k, v) = (k.narrow(1, first, seen)?, v.narrow(1, first, seen)?);
                outputs.push(self.attend_block(&q, &k, &v, heads, from - first)?);
            }
        }
        Ok(Tensor::cat(&outputs, 0)?)
    }

    fn gate(&self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        Ok((gate.silu()? * up)?)
    }

    fn rows(&self, x: &Tensor, indices: &[usize]) -> Result<Tensor> {
        let indices: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        Ok(x.index_select(&Tensor::new(indices, &self.device)?, 0)?)
    }

    fn values(&self, x: &Tensor) -> Result<Vec<Vec<f32>>> {
        Ok(x.to_vec2()?)
    }
}

impl Candle {
    /// Query rows against the rows they may see; the first query row is row `from` of those.
    /// q: rows × (heads · d); k, v: kv_heads × seen × d.
    fn attend_block(&self, q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, from: usize) -> Result<Tensor> {
        let (rows, features) = q.dims2()?;
        let seen = k.dim(1)?;
        let group = heads.query / heads.key_value;
        // The query heads that share a key-value head stand below each other: kv_heads × (group · rows) × d.
        let q = q
            .reshape((rows, heads.key_value, group, heads.dim))?
            .permute((1, 2, 0, 3))?
            .reshape((heads.key_value, group * rows, heads.dim))?;
        let q = (q / (heads.dim as f64).sqrt())?;
        let scores = q
            .matmul(&k.t()?.contiguous()?)?
            .reshape((heads.key_value * group, rows, seen))?
            .broadcast_add(&self.causal_mask(rows, seen, from, heads.window)?)?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.reshape((heads.key_value, group * rows, seen))?;
        Ok(weights
            .matmul(&v.contiguous()?)?
            .reshape((heads.key_value, group, rows, heads.dim))?
            .permute((2, 0, 1, 3))?
            .reshape((rows, features))?)
    }

    fn causal_mask(&self, rows: usize, seen: usize, from: usize, window: Option<usize>) -> Result<Tensor> {
        let sees = |row: usize, column: usize| column <= row && window.is_none_or(|window| column + window > row);
        let mask: Vec<f32> = (from..from + rows)
            .flat_map(|row| (0..seen).map(move |column| if sees(row, column) { 0.0 } else { f32::NEG_INFINITY }))
            .collect();
        Ok(Tensor::from_vec(mask, (rows, seen), &self.device)?)
    }
}

/// rows × (heads · d) → heads × rows × d.
fn by_head(x: &Tensor, heads: usize, dim: usize) -> Result<Tensor> {
    let rows = x.dim(0)?;
    Ok(x.reshape((rows, heads, dim))?.transpose(0, 1)?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    /// Training uses this backend, and candle's fused operations would drop gradients without an error.
    #[test]
    fn gradients_reach_every_input() {
        let device = Device::Cpu;
        let backend = Candle::new(device.clone());
        let random = |rows: usize, columns: usize| Var::randn(0f32, 1.0, (rows, columns), &device).unwrap();
        let table = random(7, 8);
        let weight = random(8, 8);
        let scale = Var::ones(8, candle_core::DType::F32, &device).unwrap();
        let head_scale = Var::ones(4, candle_core::DType::F32, &device).unwrap();
        let angles = Angles {
            cos: backend.tensor(vec![0.8; 10], 2).unwrap(),
            sin: backend.tensor(vec![0.6; 10], 2).unwrap(),
        };
        let heads = Heads {
            query: 2,
            key_value: 2,
            dim: 4,
            window: None,
        };
        let layer = Linear {
            weight: weight.as_tensor().clone(),
            bias: None,
        };
        let x = backend.embed(&table, &[0, 1, 2, 3, 4]).unwrap();
        let x = backend.norm(&x, &scale, 1e-6).unwrap();
        let q = backend.linear(&x, &layer, Epilogue::None).unwrap();
        let q = backend.norm_heads(&q, &head_scale, 1e-6).unwrap();
        let q = backend.rope(&q, &angles).unwrap();
        let y = backend.attend(&q, &q, &x, heads, &[0..2, 2..5]).unwrap();
        let y = backend.gate(&y, &x).unwrap();
        let loss = backend.rows(&y, &[1, 4]).unwrap().sqr().unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        for variable in [&table, &weight, &scale, &head_scale] {
            let gradient = gradients.get(variable).expect("a gradient");
            let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size > 1e-4 && size.is_finite());
        }
    }
    /// Blocks of queries cut the rows that they see; a window must not notice.
    #[test]
    fn a_window_reaches_across_blocks_of_queries() {
        let backend = Candle::new(Device::Cpu);
        let rows = 2 * QUERY_BLOCK + 7;
        let heads = |window| Heads {
            query: 1,
            key_value: 1,
            dim: 2,
            window,
        };
        let zeros = backend.tensor(vec![0.0; 2 * rows], 2).unwrap();
        let counting = backend
            .tensor((0..2 * rows).map(|i| (i / 2) as f32).collect(), 2)
            .unwrap();
        for window in [1, 5, QUERY_BLOCK, QUERY_BLOCK + 1, rows, 2 * rows] {
            let means = backend
                .attend(
                    &zeros,
                    &zeros,
                    &counting,
                    heads(Some(window)),
                    std::slice::from_ref(&(0..rows)),
                )
                .unwrap();
            for (row, values) in backend.values(&means).unwrap().iter().enumerate() {
                let seen = window.min(row + 1);
                let mean = row as f32 - (seen - 1) as f32 / 2.0;
                assert!(
                    (values[0] - mean).abs() < 1e-2,
                    "window {window}, row {row}: {} for {mean}",
                    values[0]
                );
            }
        }
    }
}
