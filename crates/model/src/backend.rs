//! The coarse operations of a decoder. A backend computes them on its own kind of tensor; the backbone is written once
//! over this trait. Operations are whole enough that a kernel can fuse them.

pub use surefoot_kernels::PageShape;

use crate::batch::{Batch, Change};
use crate::checkpoint::{Checkpoint, Rows};
use crate::error::Result;

pub trait Backend: Send + Sync + Sized {
    /// Activations: rows × features, f32. A row is one token; rows of several sequences lie one behind the other.
    type Tensor: Send + Sync;
    /// Weights of a linear layer, as the backend likes to hold them.
    type Matrix: Send + Sync;
    /// A matrix of which rows are looked up.
    type Table: Send + Sync;
    /// A bias or the scale of a norm.
    type Vector: Send + Sync;
    /// Keys and values of all layers, in pages of [`PAGE`](crate::batch::PAGE) tokens.
    type Pages: Send;

    /// Runs a pass: what its operations need for as long as it takes is made ready before and given back after.
    fn together<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }

    fn matrix(&self, rows: &Rows<'_>) -> Result<Self::Matrix>;

    fn table(&self, rows: &Rows<'_>) -> Result<Self::Table>;

    fn vector(&self, values: Vec<f32>) -> Result<Self::Vector>;

    /// Activations from the host, row by row.
    fn tensor(&self, values: Vec<f32>, columns: usize) -> Result<Self::Tensor>;

    /// The rows of `table` (vocabulary × hidden) at `ids`.
    fn embed(&self, table: &Self::Table, ids: &[u32]) -> Result<Self::Tensor>;

    /// RMS norm: x / sqrt(mean(x²) + eps) · weight, over each row.
    fn norm(&self, x: &Self::Tensor, weight: &Self::Vector, eps: f64) -> Result<Self::Tensor>;

    /// [`Backend::norm`] over each head of each row; `weight` has as many features as one head.
    fn norm_heads(&self, x: &Self::Tensor, weight: &Self::Vector, eps: f64) -> Result<Self::Tensor>;

    /// x · Wᵀ + bias, then the epilogue. weight: outputs × inputs.
    fn linear(
        &self,
        x: &Self::Tensor,
        weight: &Self::Matrix,
        bias: Option<&Self::Vector>,
        epilogue: Epilogue<'_, Self::Tensor>,
    ) -> Result<Self::Tensor>;

    /// silu(x · Gᵀ) · (x · Uᵀ), each with its bias: first the weights of both, gate before up.
    fn gated(
        &self,
        x: &Self::Tensor,
        weights: [&Self::Matrix; 2],
        biases: [Option<&Self::Vector>; 2],
    ) -> Result<Self::Tensor>;

    /// Rotates each head of each row by its angles, first half against second half. cos, sin: rows × d/2.
    fn rope(&self, x: Self::Tensor, cos: &Self::Tensor, sin: &Self::Tensor) -> Result<Self::Tensor>;

    /// No pages yet.
    fn pages(&self, shape: PageShape) -> Self::Pages;

    fn bytes_per_page(&self, shape: PageShape) -> usize;

    fn change(&self, pages: &mut Self::Pages, changes: &[Change]) -> Result<()>;

    /// Puts the keys and values of the batch's rows in their pages, then lets each row attend to its sequence up to
    /// itself, or to the last `heads.window` positions of that. q: rows × (heads · d); k, v: rows × (kv_heads · d); the
    /// result is like q.
    fn attend(
        &self,
        qkv: [&Self::Tensor; 3],
        heads: Heads,
        batch: &Batch,
        layer: usize,
        pages: &mut Self::Pages,
    ) -> Result<Self::Tensor>;

    /// The rows at `indices`, in that order.
    fn rows(&self, x: &Self::Tensor, indices: &[usize]) -> Result<Self::Tensor>;

    /// To the host.
    fn values(&self, x: &Self::Tensor) -> Result<Vec<Vec<f32>>>;
}

/// y = x · Wᵀ + bias; weight: outputs × inputs.
pub struct Linear<B: Backend> {
    pub weight: B::Matrix,
    pub bias: Option<B::Vector>,
}

impl<B: Backend> Linear<B> {
    pub fn forward(&self, backend: &B, x: &B::Tensor, epilogue: Epilogue<'_, B::Tensor>) -> Result<B::Tensor> {
        backend.linear(x, &self.weight, self.bias.as_ref(), epilogue)
    }
}

pub enum Epilogue<'a, T> {
    None,
    /// Adds a residual of the same shape.
    Add(&'a T),
    Relu,
}

#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub query: usize,
    /// Divides `query`.
    pub key_value: usize,
    /// Features of one head.
    pub dim: usize,
    /// How many positions a row sees, itself among them; all before it without.
    pub window: Option<usize>,
}

/// Loads `{name}.weight` and, where asked, `{name}.bias`.
pub fn linear<B: Backend>(
    backend: &B,
    checkpoint: &Checkpoint,
    name: &str,
    outputs: usize,
    inputs: usize,
    bias: bool,
) -> Result<Linear<B>> {
    let weight = format!("{name}.weight");
    let rows = checkpoint.matrix(&weight, outputs, inputs)?;
    layer(backend, checkpoint, name, &rows, bias)
}

/// [`linear`] for two layers of one shape that compute together: their weights are stored alike.
pub fn pair<B: Backend>(
    backend: &B,
    checkpoint: &Checkpoint,
    names: [&str; 2],
    outputs: usize,
    inputs: usize,
    bias: bool,
) -> Result<[Linear<B>; 2]> {
    let weights = names.map(|name| format!("{name}.weight"));
    let rows = |at: usize| checkpoint.matrix(&weights[at], outputs, inputs);
    let [first, second] = Rows::alike([rows(0)?, rows(1)?])?;
    Ok([
        layer(backend, checkpoint, names[0], &first, bias)?,
        layer(backend, checkpoint, names[1], &second, bias)?,
    ])
}

fn layer<B: Backend>(
    backend: &B,
    checkpoint: &Checkpoint,
    name: &str,
    rows: &Rows<'_>,
    bias: bool,
) -> Result<Linear<B>> {
    let bias = bias.then(|| vector(backend, checkpoint, &format!("{name}.bias"), rows.outputs()));
    Ok(Linear {
        weight: backend.matrix(rows)?,
        bias: bias.transpose()?,
    })
}

pub fn vector<B: Backend>(backend: &B, checkpoint: &Checkpoint, name: &str, length: usize) -> Result<B::Vector> {
    backend.vector(checkpoint.read(name, &[length])?)
}
