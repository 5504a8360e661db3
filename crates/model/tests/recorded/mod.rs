//! A backend that records what it is asked to do: for operation counts, and for the table of where the time goes.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use surefoot_model::Result;
use surefoot_model::backend::{Backend, Epilogue, Heads, PageShape};
use surefoot_model::batch::{Batch, Change};
use surefoot_model::checkpoint::Rows;
use surefoot_model::cpu::Cpu;

/// A backend that keeps a record of each operation.
pub(crate) struct Recorded {
    pub(crate) inner: Cpu,
    pub(crate) spent: Mutex<BTreeMap<String, Spent>>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) calls: usize,
    pub(crate) rows: usize,
    pub(crate) flop: usize,
    pub(crate) seconds: f64,
}

impl Recorded {
    pub(crate) fn new(inner: Cpu) -> Self {
        Self {
            inner,
            spent: Mutex::default(),
        }
    }

    fn record<T>(&self, name: impl Into<String>, rows: usize, flop: usize, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let mut spent = self.spent.lock().unwrap();
        let entry = spent.entry(name.into()).or_default();
        entry.calls += 1;
        entry.seconds += start.elapsed().as_secs_f64();
        entry.rows += rows;
        entry.flop += flop;
        result
    }
}

type Tensor = <Cpu as Backend>::Tensor;
type Matrix = <Cpu as Backend>::Matrix;
type Table = <Cpu as Backend>::Table;
type Vector = <Cpu as Backend>::Vector;
type Pages = <Cpu as Backend>::Pages;

impl Backend for Recorded {
    type Tensor = Tensor;
    type Matrix = Matrix;
    type Table = Table;
    type Vector = Vector;
    type Pages = Pages;

    fn together<T>(&self, work: impl FnOnce() -> T) -> T {
        self.inner.together(work)
    }
    fn matrix(&self, rows: &Rows<'_>) -> Result<Matrix> {
        self.inner.matrix(rows)
    }
    fn table(&self, rows: &Rows<'_>) -> Result<Table> {
        self.inner.table(rows)
    }
    fn vector(&self, values: Vec<f32>) -> Result<Vector> {
        self.inner.vector(values)
    }
    fn tensor(&self, values: Vec<f32>, columns: usize) -> Result<Tensor> {
        self.inner.tensor(values, columns)
    }
    fn embed(&self, table: &Table, ids: &[u32]) -> Result<Tensor> {
        self.record("embed", ids.len(), 0, || self.inner.embed(table, ids))
    }
    fn norm(&self, x: &Tensor, weight: &Vector, eps: f64) -> Result<Tensor> {
        self.record("norm", x.rows(), 0, || self.inner.norm(x, weight, eps))
    }
    fn norm_heads(&self, x: &Tensor, weight: &Vector, eps: f64) -> Result<Tensor> {
        self.record("norm of heads", x.rows(), 0, || self.inner.norm_heads(x, weight, eps))
    }
    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Vector>,
        epilogue: Epilogue<'_, Tensor>,
    ) -> Result<Tensor> {
        let (outputs, inputs) = (weight.outputs(), weight.inputs());
        let name = format!("linear {inputs} to {outputs}");
        let flop = 2 * x.rows() * outputs * inputs;
        self.record(name, x.rows(), flop, || self.inner.linear(x, weight, bias, epilogue))
    }
    fn gated(&self, x: &Tensor, weights: [&Matrix; 2], biases: [Option<&Vector>; 2]) -> Result<Tensor> {
        let (outputs, inputs) = (weights[0].outputs(), weights[0].inputs());
        let name = format!("gated {inputs} to 2 x {outputs}");
        let flop = 4 * x.rows() * outputs * inputs;
        self.record(name, x.rows(), flop, || self.inner.gated(x, weights, biases))
    }
    fn rope(&self, x: Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        self.record("rope", x.rows(), 0, || self.inner.rope(x, cos, sin))
    }
    fn pages(&self, shape: PageShape) -> Pages {
        self.inner.pages(shape)
    }
    fn bytes_per_page(&self, shape: PageShape) -> usize {
        self.inner.bytes_per_page(shape)
    }
    fn change(&self, pages: &mut Pages, changes: &[Change]) -> Result<()> {
        self.record("pages", changes.len(), 0, || self.inner.change(pages, changes))
    }
    fn attend(
        &self,
        qkv: [&Tensor; 3],
        heads: Heads,
        batch: &Batch,
        layer: usize,
        pages: &mut Pages,
    ) -> Result<Tensor> {
        let seen: usize = batch.positions.iter().map(|&position| position as usize + 1).sum();
        let flop = 4 * seen * heads.query * heads.dim;
        self.record("attention", batch.ids.len(), flop, || {
            self.inner.attend(qkv, heads, batch, layer, pages)
        })
    }
    fn rows(&self, x: &Tensor, indices: &[usize]) -> Result<Tensor> {
        self.record("rows", indices.len(), 0, || self.inner.rows(x, indices))
    }
    fn values(&self, x: &Tensor) -> Result<Vec<Vec<f32>>> {
        self.inner.values(x)
    }
}
