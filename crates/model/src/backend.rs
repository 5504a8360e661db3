//! The coarse operations of a decoder. A backend computes them on its own kind of tensor; the backbone is written once
//! over this trait. Operations are whole enough that a kernel can fuse them.

use std::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::error::Result;

pub trait Backend: Send + Sync + Sized {
    /// Activations: rows × features, f32. A row is one token; rows of several sequences lie one behind the other.
    type Tensor: Clone + Send + Sync;
    /// Weights as the backend likes to hold them.
    type Weight: Send + Sync;

    /// Takes over a checkpoint tensor, row by row.
    fn weight(&self, values: Vec<f32>, shape: &[usize]) -> Result<Self::Weight>;

    /// Activations from the host, row by row.
    fn tensor(&self, values: Vec<f32>, columns: usize) -> Result<Self::Tensor>;

    /// The rows of `table` (vocabulary × hidden) at `ids`.
    fn embed(&self, table: &Self::Weight, ids: &[u32]) -> Result<Self::Tensor>;

    /// RMS norm: x / sqrt(mean(x²) + eps) · weight, over each row.
    fn norm(&self, x: &Self::Tensor, weight: &Self::Weight, eps: f64) -> Result<Self::Tensor>;

    /// [`Backend::norm`] over each head of each row; `weight` has as many features as one head.
    fn norm_heads(&self, x: &Self::Tensor, weight: &Self::Weight, eps: f64) -> Result<Self::Tensor>;

    /// x · Wᵀ + bias, then the epilogue.
    fn linear(&self, x: &Self::Tensor, layer: &Linear<Self>, epilogue: Epilogue<'_, Self>) -> Result<Self::Tensor>;

    /// Rotates each head of each row by its angles, first half against second half.
    fn rope(&self, x: &Self::Tensor, angles: &Angles<Self>) -> Result<Self::Tensor>;

    /// Causal attention of each row on the rows of its own sequence up to itself, or on the last `heads.window` of them.
    /// q: rows × (heads · d); k, v: rows × (kv_heads · d); result like q. `sequences` are ranges of rows.
    fn attend(
        &self,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
        heads: Heads,
        sequences: &[Range<usize>],
    ) -> Result<Self::Tensor>;

    /// silu(gate) · up.
    fn gate(&self, gate: &Self::Tensor, up: &Self::Tensor) -> Result<Self::Tensor>;

    /// The rows at `indices`, in that order.
    fn rows(&self, x: &Self::Tensor, indices: &[usize]) -> Result<Self::Tensor>;

    /// To the host.
    fn values(&self, x: &Self::Tensor) -> Result<Vec<Vec<f32>>>;
}

/// y = x · Wᵀ + bias; weight: outputs × inputs.
pub struct Linear<B: Backend> {
    pub weight: B::Weight,
    pub bias: Option<B::Weight>,
}

pub enum Epilogue<'a, B: Backend> {
    None,
    /// Adds a residual of the same shape.
    Add(&'a B::Tensor),
    Relu,
}

/// cos and sin of position · frequency, by plane: rows × d/2.
pub struct Angles<B: Backend> {
    pub cos: B::Tensor,
    pub sin: B::Tensor,
}

#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub query: usize,
    /// Divides `query`.
    pub key_value: usize,
    /// Features of one head.
    pub dim: usize,
    /// How many rows a row sees, itself among them; all before it without.
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
    Ok(Linear {
        weight: weight(backend, checkpoint, &format!("{name}.weight"), &[outputs, inputs])?,
        bias: bias
            .then(|| weight(backend, checkpoint, &format!("{name}.bias"), &[outputs]))
            .transpose()?,
    })
}

pub fn weight<B: Backend>(backend: &B, checkpoint: &Checkpoint, name: &str, shape: &[usize]) -> Result<B::Weight> {
    backend.weight(checkpoint.read(name, shape)?, shape)
}
