//! Causal attention as one candle operation. Weights are computed again on the way back, block by block, so that memory
//! grows with the rows and not with their square (Dao et al., arXiv 2205.14135).

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use surefoot_kernels as kernels;
use surefoot_kernels::Packed;
use surefoot_model::backend::Heads;

use crate::lanes;
use crate::ops::{floats, like, with};
use crate::products::Products;

/// Rows of a block of queries, and of keys.
const BLOCK: usize = 128;

/// Each row attends to its sequence up to itself, or to the last `heads.window` rows of that.
/// q: rows × (heads · d); k, v: rows × (kv_heads · d).
pub struct Attention {
    pub products: Arc<Products>,
    /// The rows of each sequence, from its beginning.
    pub spans: Vec<Range<usize>>,
    pub heads: Heads,
}

/// The rows of one sequence and one key-value head, with the query heads that it serves.
struct Task<'a> {
    of: &'a Attention,
    span: Range<usize>,
    head: usize,
}

/// Rows × d, of one head.
type Rows = Vec<f32>;

/// The weights of a block of queries on a block of keys: rows × keys.
struct Tile {
    keys: usize,
    weights: Vec<f32>,
}

impl Attention {
    fn group(&self) -> usize {
        self.heads.query / self.heads.key_value
    }

    fn tasks(&self) -> impl IndexedParallelIterator<Item = Task<'_>> {
        let heads = self.heads.key_value;
        (0..self.spans.len() * heads)
            .into_par_iter()
            .with_max_len(1)
            .map(move |index| Task {
                of: self,
                span: self.spans[index / heads].clone(),
                head: index % heads,
            })
    }

    /// Puts what the tasks gave, `each` heads a task, back side by side.
    fn gathered(&self, parts: &[Vec<Rows>], heads: usize, rows: usize) -> Vec<f32> {
        let (dim, each) = (self.heads.dim, heads / self.heads.key_value);
        let mut all = vec![0.0; rows * heads * dim];
        for (index, part) in parts.iter().enumerate() {
            let span = &self.spans[index / self.heads.key_value];
            let first = index % self.heads.key_value * each;
            for (head, part) in part.iter().enumerate() {
                let at = (first + head) * dim;
                let to = all[span.start * heads * dim..].chunks_exact_mut(heads * dim);
                for (to, from) in to.zip(part.chunks_exact(dim)) {
                    to[at..at + dim].copy_from_slice(from);
                }
            }
        }
        all
    }
}

impl Task<'_> {
    fn rows(&self) -> usize {
        self.span.len()
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + Clone + use<'_> {
        (0..self.rows())
            .step_by(BLOCK)
            .map(|start| start..self.rows().min(start + BLOCK))
    }

    /// The rows of a head, out of those of all `heads`, times `scale`.
    fn head(&self, x: &[f32], heads: usize, head: usize, scale: f32) -> Rows {
        let (dim, width) = (self.of.heads.dim, heads * self.of.heads.dim);
        let rows = x[self.span.start * width..self.span.end * width].chunks_exact(width);
        rows.flat_map(|row| row[head * dim..(head + 1) * dim].iter().map(|x| x * scale))
            .collect()
    }

    fn query_head(&self, index: usize) -> usize {
        self.head * self.of.group() + index
    }

    fn scale(&self) -> f32 {
        1.0 / (self.of.heads.dim as f32).sqrt()
    }

    fn block<'a>(&self, x: &'a [f32], rows: &Range<usize>) -> &'a [f32] {
        &x[rows.start * self.of.heads.dim..rows.end * self.of.heads.dim]
    }

    fn packed(&self, x: &[f32]) -> Vec<Packed> {
        let products = &self.of.products;
        self.blocks()
            .map(|rows| products.packed(self.block(x, &rows), rows.len(), self.of.heads.dim))
            .collect()
    }

    fn packed_transposed(&self, x: &[f32]) -> Vec<Packed> {
        let products = &self.of.products;
        self.blocks()
            .map(|rows| products.packed_transposed(self.block(x, &rows), rows.len(), self.of.heads.dim))
            .collect()
    }

    /// The weights of the queries of a block on all keys that they see. `q` are its rows, scaled.
    fn weights(&self, q: &[f32], rows: &Range<usize>, keys: &[Packed]) -> Vec<Tile> {
        let window = self.of.heads.window.unwrap_or(usize::MAX);
        let first = (rows.start + 1).saturating_sub(window) / BLOCK;
        let last = rows.start / BLOCK;
        let mut tiles: Vec<Tile> = (first..=last)
            .map(|keys_block| Tile {
                keys: keys_block,
                weights: self.of.products.alone(q, &keys[keys_block]),
            })
            .collect();
        for (row, position) in rows.clone().enumerate() {
            let sees = (position + 1).saturating_sub(window)..position + 1;
            // Of the row in a tile: all of it, and what it sees.
            let parts = |tile: &Tile| {
                let (start, width) = (tile.keys * BLOCK, keys[tile.keys].outputs());
                let from = sees.start.clamp(start, start + width) - start;
                let to = sees.end.clamp(start, start + width) - start;
                (row * width..(row + 1) * width, from..to)
            };
            let mut most = f32::NEG_INFINITY;
            for tile in &tiles {
                let (all, seen) = parts(tile);
                most = most.max(lanes::largest(&tile.weights[all][seen]));
            }
            let mut sum = 0.0;
            let mut scores = [0.0; BLOCK];
            for tile in &mut tiles {
                let (all, seen) = parts(tile);
                let weights = &mut tile.weights[all];
                let scores = &mut scores[..seen.len()];
                scores.copy_from_slice(&weights[seen.clone()]);
                weights.fill(0.0);
                kernels::exponentials(self.of.products.isa(), scores, most, 1.0, &mut weights[seen.clone()]);
                sum += lanes::sum(&weights[seen]);
            }
            for tile in &mut tiles {
                let (all, seen) = parts(tile);
                tile.weights[all][seen].iter_mut().for_each(|weight| *weight /= sum);
            }
        }
        tiles
    }

    fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<Rows> {
        let Heads {
            query, key_value, dim, ..
        } = self.of.heads;
        let keys = self.packed(&self.head(k, key_value, self.head, 1.0));
        let values = self.packed_transposed(&self.head(v, key_value, self.head, 1.0));
        let heads = (0..self.of.group()).map(|index| {
            let q = self.head(q, query, self.query_head(index), self.scale());
            let mut y = vec![0.0; q.len()];
            for rows in self.blocks() {
                let to = &mut y[rows.start * dim..rows.end * dim];
                for tile in self.weights(self.block(&q, &rows), &rows, &keys) {
                    let part = self.of.products.alone(&tile.weights, &values[tile.keys]);
                    lanes::add(to, &part, 1.0);
                }
            }
            y
        });
        heads.collect()
    }

    /// With P the weights, S = Q Kᵀ and D = Σ over a row of dY · Y: dV = Pᵀ dY, dS = P · (dY Vᵀ − D), dQ = dS K,
    /// dK = dSᵀ Q. Returns dQ of each query head, dK and dV.
    fn backward(&self, [q, k, v]: [&[f32]; 3], y: &[f32], dy: &[f32]) -> [Vec<Rows>; 3] {
        let Heads {
            query, key_value, dim, ..
        } = self.of.heads;
        let products = &self.of.products;
        let k = self.head(k, key_value, self.head, 1.0);
        let v = self.head(v, key_value, self.head, 1.0);
        let (keys, keys_turned, values) = (self.packed(&k), self.packed_transposed(&k), self.packed(&v));
        let (mut dk, mut dv) = (vec![0.0; k.len()], vec![0.0; v.len()]);
        let mut all_dq = Vec::new();
        for index in 0..self.of.group() {
            let head = self.query_head(index);
            let [q, y, dy] = [(q, self.scale()), (y, 1.0), (dy, 1.0)].map(|(x, by)| self.head(x, query, head, by));
            let mut dq = vec![0.0; q.len()];
            for rows in self.blocks() {
                let [q, y, dy] = [&q, &y, &dy].map(|x| self.block(x, &rows));
                let along: Vec<f32> = y
                    .chunks_exact(dim)
                    .zip(dy.chunks_exact(dim))
                    .map(|(y, dy)| lanes::dot(y, dy))
                    .collect();
                let [q_turned, dy_turned] = [q, dy].map(|x| products.packed_transposed(x, rows.len(), dim));
                for tile in self.weights(q, &rows, &keys) {
                    let width = keys[tile.keys].outputs();
                    let at = tile.keys * BLOCK * dim..(tile.keys * BLOCK + width) * dim;
                    let dv_part = products.alone(&turned(&tile.weights, width), &dy_turned);
                    lanes::add(&mut dv[at.clone()], &dv_part, 1.0);
                    let mut ds = products.alone(dy, &values[tile.keys]);
                    let weights = tile.weights.chunks_exact(width);
                    for ((ds, weights), along) in ds.chunks_exact_mut(width).zip(weights).zip(&along) {
                        for (ds, weight) in ds.iter_mut().zip(weights) {
                            *ds = weight * (*ds - along);
                        }
                    }
                    let dq_part = products.alone(&ds, &keys_turned[tile.keys]);
                    lanes::add(&mut dq[rows.start * dim..rows.end * dim], &dq_part, self.scale());
                    let dk_part = products.alone(&turned(&ds, width), &q_turned);
                    lanes::add(&mut dk[at], &dk_part, 1.0);
                }
            }
            all_dq.push(dq);
        }
        [all_dq, vec![dk], vec![dv]]
    }
}

/// The transpose of a tile.
fn turned(x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len() / columns;
    let mut turned = vec![0.0; x.len()];
    crate::products::fill_transposed(x, rows, columns, |first, strip| {
        turned[first * rows..first * rows + strip.len()].copy_from_slice(strip);
    });
    turned
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        l1: &Layout,
        k: &CpuStorage,
        l2: &Layout,
        v: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (floats(q, l1)?, floats(k, l2)?, floats(v, l3)?);
        let parts: Vec<Vec<Rows>> = self.tasks().map(|task| task.forward(q, k, v)).collect();
        let y = self.gathered(&parts, self.heads.query, l1.dims()[0]);
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let parts: Vec<[Vec<Rows>; 3]> = with(q, |q| {
            with(k, |k| {
                with(v, |v| {
                    with(y, |y| {
                        with(dy, |dy| {
                            Ok(self.tasks().map(|task| task.backward([q, k, v], y, dy)).collect())
                        })
                    })
                })
            })
        })?;
        let [mut dq, mut dk, mut dv] = [const { Vec::new() }; 3];
        for [q, k, v] in parts {
            dq.push(q);
            dk.push(k);
            dv.push(v);
        }
        let rows = q.dim(0)?;
        let together = |parts: &[Vec<Rows>], heads: usize, x: &Tensor| like(self.gathered(parts, heads, rows), x);
        Ok((
            Some(together(&dq, self.heads.query, q)?),
            Some(together(&dk, self.heads.key_value, k)?),
            Some(together(&dv, self.heads.key_value, v)?),
        ))
    }
}
