//! The backend that learns: candle's tensors and its chain of operations, our kernels in each of them. Rows are those of
//! whole sequences, so keys and values need no pages.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use surefoot_kernels::PageShape;
use surefoot_model::backend::{Backend, Epilogue, Heads};
use surefoot_model::batch::{Batch, Change};
use surefoot_model::checkpoint::{Numbers, Rows};
use surefoot_model::{Error, Result};

use crate::attention::Attention;
use crate::ops::{Gate, Norm, Product, Rope};
use crate::products::Products;
use crate::weight::{Matrix, Parameter, Weight};

pub struct Autograd {
    pub products: Arc<Products>,
    /// Whether the weights that are loaded learn.
    pub learns: bool,
}

impl Autograd {
    fn product(&self, x: &Tensor, matrix: &Arc<Matrix>, bias: Option<&Arc<Parameter>>) -> Result<Tensor> {
        Ok(x.apply_op1(Product {
            products: self.products.clone(),
            matrix: matrix.clone(),
            bias: bias.cloned(),
        })?)
    }
}

impl Backend for Autograd {
    type Tensor = Tensor;
    type Matrix = Weight;
    type Table = Arc<Parameter>;
    type Vector = Arc<Parameter>;
    type Pages = ();

    fn matrix(&self, rows: &Rows<'_>) -> Result<Weight> {
        let numbers = rows.read(0..rows.outputs())?;
        let shape = [rows.outputs(), rows.inputs()];
        let base = if self.learns {
            Matrix::of(&self.products, Parameter::new(widened(numbers), &shape, true))
        } else {
            Matrix::frozen(&self.products, &numbers, rows.outputs(), rows.inputs())
        };
        Ok(Weight {
            base: Arc::new(base),
            adapter: None,
        })
    }

    fn table(&self, rows: &Rows<'_>) -> Result<Arc<Parameter>> {
        let values = widened(rows.read(0..rows.outputs())?);
        Ok(Parameter::new(values, &[rows.outputs(), rows.inputs()], self.learns))
    }

    fn vector(&self, values: Vec<f32>) -> Result<Arc<Parameter>> {
        let length = values.len();
        Ok(Parameter::new(values, &[length], self.learns))
    }

    fn tensor(&self, values: Vec<f32>, columns: usize) -> Result<Tensor> {
        let rows = values.len() / columns;
        Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
    }

    /// Not an operation that learns: the network adds to the table's gradient itself.
    fn embed(&self, table: &Arc<Parameter>, ids: &[u32]) -> Result<Tensor> {
        let (values, columns) = (table.values(), table.shape[1]);
        let mut x = Vec::with_capacity(ids.len() * columns);
        for &id in ids {
            let at = id as usize * columns;
            x.extend(values.get(at..at + columns).ok_or_else(|| Error::Internal {
                message: format!("token {id} is beyond the vocabulary"),
            })?);
        }
        self.tensor(x, columns)
    }

    fn norm(&self, x: &Tensor, weight: &Arc<Parameter>, eps: f64) -> Result<Tensor> {
        Ok(x.apply_op1(Norm {
            products: self.products.clone(),
            weight: weight.clone(),
            eps: eps as f32,
        })?)
    }

    fn norm_heads(&self, x: &Tensor, weight: &Arc<Parameter>, eps: f64) -> Result<Tensor> {
        self.norm(x, weight, eps)
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Weight,
        bias: Option<&Arc<Parameter>>,
        epilogue: Epilogue<'_, Tensor>,
    ) -> Result<Tensor> {
        let mut y = self.product(x, &weight.base, bias)?;
        if let Some(adapter) = &weight.adapter {
            let low = self.product(x, &adapter.a, None)?;
            y = (y + (self.product(&low, &adapter.b, None)? * adapter.scale)?)?;
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
        [gate, up]: [&Weight; 2],
        [gate_bias, up_bias]: [Option<&Arc<Parameter>>; 2],
    ) -> Result<Tensor> {
        let gate = self.linear(x, gate, gate_bias, Epilogue::None)?;
        let up = self.linear(x, up, up_bias, Epilogue::None)?;
        Ok(gate.apply_op2(
            &up,
            Gate {
                products: self.products.clone(),
            },
        )?)
    }

    fn rope(&self, x: Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        Ok(x.apply_op1(Rope {
            products: self.products.clone(),
            cos: cos.clone(),
            sin: sin.clone(),
        })?)
    }

    fn pages(&self, _shape: PageShape) {}

    fn bytes_per_page(&self, _shape: PageShape) -> usize {
        0
    }

    fn change(&self, _pages: &mut (), _changes: &[Change]) -> Result<()> {
        Ok(())
    }

    fn attend(
        &self,
        [q, k, v]: [&Tensor; 3],
        heads: Heads,
        batch: &Batch,
        _layer: usize,
        _pages: &mut (),
    ) -> Result<Tensor> {
        Ok(q.apply_op3(
            k,
            v,
            Attention {
                products: self.products.clone(),
                spans: batch.spans.iter().map(|span| span.rows.clone()).collect(),
                heads,
            },
        )?)
    }

    fn rows(&self, x: &Tensor, indices: &[usize]) -> Result<Tensor> {
        let indices: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        Ok(x.index_select(&Tensor::new(indices, &Device::Cpu)?, 0)?)
    }

    fn values(&self, x: &Tensor) -> Result<Vec<Vec<f32>>> {
        Ok(x.to_vec2()?)
    }
}

fn widened(numbers: Numbers) -> Vec<f32> {
    match numbers {
        Numbers::F32(values) => values,
        Numbers::Bf16(bits) => bits
            .into_iter()
            .map(|bits| f32::from_bits(u32::from(bits) << 16))
            .collect(),
    }
}
