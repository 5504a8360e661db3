//! The backend on candle. Every operation is built from candle's differentiable ones: its fused softmax, RMS norm and
//! rope cut gradients without an error. It is the path for GPUs, the oracle for other backends, and what training uses.

use std::collections::HashMap;

use candle_core::{D, Device, Tensor};

use crate::backend::{Backend, Epilogue, Heads, PageShape};
use crate::batch::{Batch, Change, PAGE, Span};
use crate::checkpoint::{Numbers, Rows};
use crate::error::{Error, Result};

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

/// By layer and page: keys and values, tokens × (kv_heads · d). Tensors do not change, so a page that grows is a new one.
pub struct Pages {
    layers: Vec<HashMap<u32, [Tensor; 2]>>,
}

impl Pages {
    /// The first `count` tokens of a page.
    fn first(&self, layer: usize, page: u32, count: usize) -> Result<[Tensor; 2]> {
        let missing = || Error::Internal {
            message: format!("page {page} of layer {layer} is read before it is written"),
        };
        let [k, v] = self.layers[layer].get(&page).ok_or_else(missing)?;
        Ok([k.narrow(0, 0, count)?, v.narrow(0, 0, count)?])
    }
}

impl Backend for Candle {
    type Tensor = Tensor;
    type Matrix = Tensor;
    type Table = Tensor;
    type Vector = Tensor;
    type Pages = Pages;

    fn matrix(&self, rows: &Rows<'_>) -> Result<Tensor> {
        let values = match rows.read(0..rows.outputs())? {
            Numbers::F32(values) => values,
            Numbers::Bf16(bits) => bits
                .into_iter()
                .map(|bits| f32::from_bits(u32::from(bits) << 16))
                .collect(),
        };
        Ok(Tensor::from_vec(values, (rows.outputs(), rows.inputs()), &self.device)?)
    }

    fn table(&self, rows: &Rows<'_>) -> Result<Tensor> {
        self.matrix(rows)
    }

    fn vector(&self, values: Vec<f32>) -> Result<Tensor> {
        let length = values.len();
        Ok(Tensor::from_vec(values, length, &self.device)?)
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

    fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        epilogue: Epilogue<'_, Tensor>,
    ) -> Result<Tensor> {
        let mut y = x.matmul(&weight.t()?)?;
        if let Some(bias) = bias {
            y = y.broadcast_add(bias)?;
        }
        Ok(match epilogue {
            Epilogue::None => y,
            Epilogue::Add(residual) => (y + residual)?,
            Epilogue::Relu => y.relu()?,
        })
    }

    fn gated(
        &self,
        x: &Tensor,
        [gate, up]: [&Tensor; 2],
        [gate_bias, up_bias]: [Option<&Tensor>; 2],
    ) -> Result<Tensor> {
        let gate = self.linear(x, gate, gate_bias, Epilogue::None)?;
        Ok((gate.silu()? * self.linear(x, up, up_bias, Epilogue::None)?)?)
    }

    fn rope(&self, x: Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let (rows, features) = x.dims2()?;
        let half = cos.dim(1)?;
        let x = x.reshape((rows, features / (2 * half), 2 * half))?;
        let (first, second) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
        let rotated = Tensor::cat(
            &[
                (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?,
                (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?,
            ],
            2,
        )?;
        Ok(rotated.reshape((rows, features))?)
    }

    fn pages(&self, shape: PageShape) -> Pages {
        Pages {
            layers: vec![HashMap::new(); shape.layers],
        }
    }

    fn bytes_per_page(&self, shape: PageShape) -> usize {
        shape.layers * 2 * PAGE * shape.heads * shape.dim * size_of::<f32>()
    }

    fn change(&self, pages: &mut Pages, changes: &[Change]) -> Result<()> {
        for change in changes {
            for layer in 0..pages.layers.len() {
                match *change {
                    Change::Allocate(_) => {}
                    Change::Free(page) => {
                        pages.layers[layer].remove(&page);
                    }
                    Change::Copy { from, to, slots } => {
                        let copy = pages.first(layer, from, slots)?;
                        pages.layers[layer].insert(to, copy);
                    }
                }
            }
        }
        Ok(())
    }

    fn attend(
        &self,
        [q, k, v]: [&Tensor; 3],
        heads: Heads,
        batch: &Batch,
        layer: usize,
        pages: &mut Pages,
    ) -> Result<Tensor> {
        for write in &batch.writes {
            let mut more = [
                k.narrow(0, write.row, write.count)?,
                v.narrow(0, write.row, write.count)?,
            ];
            if write.slot > 0 {
                let [before_k, before_v] = pages.first(layer, write.page, write.slot)?;
                more = [
                    Tensor::cat(&[&before_k, &more[0]], 0)?,
                    Tensor::cat(&[&before_v, &more[1]], 0)?,
                ];
            }
            pages.layers[layer].insert(write.page, more);
        }
        let mut outputs = Vec::new();
        for span in &batch.spans {
            outputs.extend(self.attend_span(q, heads, batch, span, layer, pages)?);
        }
        Ok(Tensor::cat(&outputs, 0)?)
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
    fn attend_span(
        &self,
        q: &Tensor,
        heads: Heads,
        batch: &Batch,
        span: &Span,
        layer: usize,
        pages: &Pages,
    ) -> Result<Vec<Tensor>> {
        let positions = &batch.positions[span.rows.clone()];
        let length = positions.last().map_or(0, |&last| last as usize + 1);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (index, &page) in span.pages.iter().enumerate() {
            let [k, v] = pages.first(layer, page, PAGE.min(length - PAGE * index))?;
            keys.push(k);
            values.push(v);
        }
        let k = by_head(&Tensor::cat(&keys, 0)?, heads.key_value, heads.dim)?;
        let v = by_head(&Tensor::cat(&values, 0)?, heads.key_value, heads.dim)?;
        let mut outputs = Vec::new();
        let mut row = span.rows.start;
        // Rows may leave positions out: those in a block follow each other.
        for run in positions.chunk_by(|a, b| a + 1 == *b) {
            for block in run.chunks(QUERY_BLOCK) {
                let from = block[0] as usize;
                let first = heads.window.map_or(0, |window| (from + 1).saturating_sub(window));
                let seen = from + block.len() - first;
                let q = q.narrow(0, row, block.len())?;
                let (k, v) = (k.narrow(1, first, seen)?, v.narrow(1, first, seen)?);
                outputs.push(self.attend_block(&q, &k, &v, heads, from - first)?);
                row += block.len();
            }
        }
        Ok(outputs)
    }

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
        let cos = backend.tensor(vec![0.8; 10], 2).unwrap();
        let sin = backend.tensor(vec![0.6; 10], 2).unwrap();
        let heads = Heads {
            query: 2,
            key_value: 2,
            dim: 4,
            window: None,
        };
        let (batch, _) = Batch::of([&[0, 1][..], &[2, 3, 4]]);
        let shape = PageShape {
            layers: 1,
            heads: 2,
            dim: 4,
        };
        let mut pages = backend.pages(shape);
        let x = backend.embed(&table, &[0, 1, 2, 3, 4]).unwrap();
        let x = backend.norm(&x, &scale, 1e-6).unwrap();
        let q = backend.linear(&x, &weight, None, Epilogue::None).unwrap();
        let q = backend.norm_heads(&q, &head_scale, 1e-6).unwrap();
        let q = backend.rope(q, &cos, &sin).unwrap();
        let y = backend.attend([&q, &q, &x], heads, &batch, 0, &mut pages).unwrap();
        let y = backend.gated(&y, [&weight, &weight], [None, None]).unwrap();
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
        let ids = vec![0; rows];
        let (batch, _) = Batch::of([&ids[..]]);
        let shape = PageShape {
            layers: 1,
            heads: 1,
            dim: 2,
        };
        for window in [1, 5, QUERY_BLOCK, QUERY_BLOCK + 1, rows, 2 * rows] {
            let mut pages = backend.pages(shape);
            let qkv = [&zeros, &zeros, &counting];
            let means = backend.attend(qkv, heads(Some(window)), &batch, 0, &mut pages).unwrap();
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
