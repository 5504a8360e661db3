//! The decoder of the Qwen, Llama and Mistral families. Names mirror the checkpoint's tensors. Ragged rows, explicit positions,
//! causal by construction, no padding; nothing is mutated by a forward pass.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::backend::{Backend, Epilogue, Heads, Linear, PageShape, linear, pair, vector};
use crate::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{Error, Result};

pub struct Backbone<B: Backend> {
    config: Config,
    frequencies: Vec<f32>,
    /// On cos and sin.
    attention_factor: f32,
    embed_tokens: B::Table,
    layers: Vec<Layer<B>>,
    norm: B::Vector,
}

struct Layer<B: Backend> {
    input_layernorm: B::Vector,
    q_proj: Linear<B>,
    k_proj: Linear<B>,
    v_proj: Linear<B>,
    /// Qwen3 norms each head.
    q_norm: Option<B::Vector>,
    k_norm: Option<B::Vector>,
    o_proj: Linear<B>,
    post_attention_layernorm: B::Vector,
    gate_proj: Linear<B>,
    up_proj: Linear<B>,
    down_proj: Linear<B>,
}

impl<B: Backend> Backbone<B> {
    pub fn load(backend: &B, checkpoint: &Checkpoint, config: &Config) -> Result<Self> {
        let hidden = config.hidden_size;
        let layers = (0..config.layers).into_par_iter();
        let layers = layers.map(|index| Layer::load(backend, checkpoint, config, index));
        let (frequencies, attention_factor) = config.rope.frequencies(config.head_dim);
        let embeddings = checkpoint.matrix("model.embed_tokens.weight", config.vocab_size, hidden)?;
        Ok(Self {
            config: config.clone(),
            frequencies,
            attention_factor,
            embed_tokens: backend.table(&embeddings)?,
            layers: layers.collect::<Result<_>>()?,
            norm: vector(backend, checkpoint, "model.norm.weight", hidden)?,
        })
    }

    /// What a page of this model holds.
    pub fn page_shape(&self) -> PageShape {
        PageShape {
            layers: self.config.layers,
            heads: self.config.kv_heads,
            dim: self.config.head_dim,
        }
    }

    /// The hidden states after the last norm at the batch's reads: reads × hidden. Of what was there before only `pages`
    /// change, in the slots that the batch writes.
    ///
    /// `cancelled` is asked between layers; once it says yes the result is `Cancelled`.
    pub fn forward(
        &self,
        backend: &B,
        batch: &Batch,
        pages: &mut B::Pages,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<B::Tensor> {
        backend.together(|| self.pass(backend, batch, pages, cancelled))
    }

    fn pass(
        &self,
        backend: &B,
        batch: &Batch,
        pages: &mut B::Pages,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<B::Tensor> {
        let [cos, sin] = self.angles(backend, &batch.positions)?;
        let mut x = backend.embed(&self.embed_tokens, &batch.ids)?;
        for (index, layer) in self.layers.iter().enumerate() {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let heads = Heads {
                query: self.config.heads,
                key_value: self.config.kv_heads,
                dim: self.config.head_dim,
                window: self.config.windows[index],
            };
            let attend =
                |q: &B::Tensor, k: &B::Tensor, v: &B::Tensor| backend.attend([q, k, v], heads, batch, index, pages);
            x = layer.forward(backend, self.config.norm_eps, &x, [&cos, &sin], attend)?;
        }
        backend.norm(&backend.rows(&x, &batch.reads)?, &self.norm, self.config.norm_eps)
    }

    /// [`Backbone::forward`] over one sequence, from nothing; the hidden states at the positions `reads`.
    pub fn hidden(&self, backend: &B, ids: &[u32], reads: &[usize]) -> Result<B::Tensor> {
        let (mut batch, changes) = Batch::of([ids]);
        batch.reads = reads.to_vec();
        let mut pages = backend.pages(self.page_shape());
        backend.change(&mut pages, &changes)?;
        self.forward(backend, &batch, &mut pages, &|| false)
    }

    /// cos and sin of position · frequency, by plane: rows × d/2.
    fn angles(&self, backend: &B, positions: &[u32]) -> Result<[B::Tensor; 2]> {
        let half = self.frequencies.len();
        let angles = positions.iter().flat_map(|&position| {
            self.frequencies
                .iter()
                .map(move |frequency| position as f32 * frequency)
        });
        let factor = self.attention_factor;
        let (cos, sin) = angles.map(|angle| (angle.cos() * factor, angle.sin() * factor)).unzip();
        Ok([backend.tensor(cos, half)?, backend.tensor(sin, half)?])
    }
}

impl<B: Backend> Layer<B> {
    fn load(backend: &B, checkpoint: &Checkpoint, config: &Config, index: usize) -> Result<Self> {
        let hidden = config.hidden_size;
        let (query, key_value) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let scale = |part: &str| vector(backend, checkpoint, &name(part), hidden);
        let head_scale = |part: &str| {
            let scale = config
                .qk_norm
                .then(|| vector(backend, checkpoint, &name(part), config.head_dim));
            scale.transpose()
        };
        let linear = |part: &str, outputs: usize, inputs: usize, bias: bool| {
            linear(backend, checkpoint, &name(part), outputs, inputs, bias)
        };
        let [gate_proj, up_proj] = pair(
            backend,
            checkpoint,
            [&name("mlp.gate_proj"), &name("mlp.up_proj")],
            config.intermediate_size,
            hidden,
            config.mlp_bias,
        )?;
        Ok(Self {
            input_layernorm: scale("input_layernorm.weight")?,
            q_proj: linear("self_attn.q_proj", query, hidden, config.qkv_bias)?,
            k_proj: linear("self_attn.k_proj", key_value, hidden, config.qkv_bias)?,
            v_proj: linear("self_attn.v_proj", key_value, hidden, config.qkv_bias)?,
            q_norm: head_scale("self_attn.q_norm.weight")?,
            k_norm: head_scale("self_attn.k_norm.weight")?,
            o_proj: linear("self_attn.o_proj", hidden, query, config.output_bias)?,
            post_attention_layernorm: scale("post_attention_layernorm.weight")?,
            gate_proj,
            up_proj,
            down_proj: linear("mlp.down_proj", hidden, config.intermediate_size, config.mlp_bias)?,
        })
    }

    fn forward(
        &self,
        backend: &B,
        eps: f64,
        x: &B::Tensor,
        [cos, sin]: [&B::Tensor; 2],
        attend: impl FnOnce(&B::Tensor, &B::Tensor, &B::Tensor) -> Result<B::Tensor>,
    ) -> Result<B::Tensor> {
        let project = |x: &B::Tensor, layer: &Linear<B>, norm: &Option<B::Vector>| {
            let heads = layer.forward(backend, x, Epilogue::None)?;
            let heads = match norm {
                Some(weight) => backend.norm_heads(&heads, weight, eps)?,
                None => heads,
            };
            backend.rope(heads, cos, sin)
        };
        let normed = backend.norm(x, &self.input_layernorm, eps)?;
        let q = project(&normed, &self.q_proj, &self.q_norm)?;
        let k = project(&normed, &self.k_proj, &self.k_norm)?;
        let v = self.v_proj.forward(backend, &normed, Epilogue::None)?;
        let x = self.o_proj.forward(backend, &attend(&q, &k, &v)?, Epilogue::Add(x))?;
        let normed = backend.norm(&x, &self.post_attention_layernorm, eps)?;
        let (gate, up) = (&self.gate_proj, &self.up_proj);
        let biases = [gate.bias.as_ref(), up.bias.as_ref()];
        let gated = backend.gated(&normed, [&gate.weight, &up.weight], biases)?;
        self.down_proj.forward(backend, &gated, Epilogue::Add(&x))
    }
}

/// Refuses a checkpoint with tensors that neither the backbone, nor the head, nor the ignored language model head
/// explains: they would change the scores.
pub fn refuse_unknown(checkpoint: &Checkpoint, config: &Config, head: &BTreeSet<String>) -> Result<()> {
    let known = |name: &str| {
        head.contains(name)
            || matches!(
                name,
                "model.embed_tokens.weight" | "model.norm.weight" | "lm_head.weight"
            )
            || name
                .strip_prefix("model.layers.")
                .is_some_and(|rest| is_layer_tensor(rest, config))
    };
    match checkpoint.names().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(Error::ModelUnsupported {
            path: checkpoint.path().to_owned(),
            message: format!("the tensor {name} has no place in a {} model", config.family.name()),
        }),
    }
}

fn is_layer_tensor(rest: &str, config: &Config) -> bool {
    let Some((index, part)) = rest.split_once('.') else {
        return false;
    };
    let weights = [
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
        "self_attn.o_proj.weight",
        "mlp.gate_proj.weight",
        "mlp.up_proj.weight",
        "mlp.down_proj.weight",
        "self_attn.rotary_emb.inv_freq",
    ];
    let optional = match part {
        "self_attn.q_norm.weight" | "self_attn.k_norm.weight" => config.qk_norm,
        "self_attn.q_proj.bias" | "self_attn.k_proj.bias" | "self_attn.v_proj.bias" => config.qkv_bias,
        "self_attn.o_proj.bias" => config.output_bias,
        "mlp.gate_proj.bias" | "mlp.up_proj.bias" | "mlp.down_proj.bias" => config.mlp_bias,
        _ => false,
    };
    index.parse::<usize>().is_ok_and(|index| index < config.layers) && (optional || weights.contains(&part))
}
