//! The decoder of the Qwen, Llama and Mistral families. Names mirror the checkpoint's tensors. Ragged rows, explicit positions,
//! causal by construction, no padding; nothing is mutated by a forward pass.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::backend::{Angles, Backend, Epilogue, Heads, Linear, linear, weight};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{Error, Result};

/// Sequences of different lengths, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub ids: Vec<u32>,
    /// Of each row within its sequence, from 0.
    pub positions: Vec<u32>,
    /// Ranges of rows.
    pub sequences: Vec<Range<usize>>,
}

impl Batch {
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut batch = Self::default();
        for ids in sequences {
            let start = batch.ids.len();
            batch.ids.extend(ids);
            batch.positions.extend(0..ids.len() as u32);
            batch.sequences.push(start..batch.ids.len());
        }
        batch
    }
}

pub struct Backbone<B: Backend> {
    config: Config,
    frequencies: Vec<f32>,
    /// On cos and sin.
    attention_factor: f32,
    embed_tokens: B::Weight,
    layers: Vec<Layer<B>>,
    norm: B::Weight,
}

struct Layer<B: Backend> {
    input_layernorm: B::Weight,
    q_proj: Linear<B>,
    k_proj: Linear<B>,
    v_proj: Linear<B>,
    /// Qwen3 norms each head.
    q_norm: Option<B::Weight>,
    k_norm: Option<B::Weight>,
    o_proj: Linear<B>,
    post_attention_layernorm: B::Weight,
    gate_proj: Linear<B>,
    up_proj: Linear<B>,
    down_proj: Linear<B>,
}

impl<B: Backend> Backbone<B> {
    pub fn load(backend: &B, checkpoint: &Checkpoint, config: &Config) -> Result<Self> {
        let hidden = config.hidden_size;
        let layers = (0..config.layers).map(|index| Layer::load(backend, checkpoint, config, index));
        let (frequencies, attention_factor) = config.rope.frequencies(config.head_dim);
        Ok(Self {
            config: config.clone(),
            frequencies,
            attention_factor,
            embed_tokens: weight(
                backend,
                checkpoint,
                "model.embed_tokens.weight",
                &[config.vocab_size, hidden],
            )?,
            layers: layers.collect::<Result<_>>()?,
            norm: weight(backend, checkpoint, "model.norm.weight", &[hidden])?,
        })
    }

    /// The hidden states after the last norm at the rows `reads`: reads × hidden.
    ///
    /// `cancelled` is asked between layers; once it says yes the result is `Cancelled`.
    pub fn forward(
        &self,
        backend: &B,
        batch: &Batch,
        reads: &[usize],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<B::Tensor> {
        let angles = self.angles(backend, &batch.positions)?;
        let mut x = backend.embed(&self.embed_tokens, &batch.ids)?;
        for (layer, window) in self.layers.iter().zip(&self.config.windows) {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            x = layer.forward(backend, &self.config, *window, &x, &angles, &batch.sequences)?;
        }
        backend.norm(&backend.rows(&x, reads)?, &self.norm, self.config.norm_eps)
    }

    /// The output layer that shares its weight with the embedding.
    pub fn tied_lm_head(&self) -> Linear<B>
    where
        B::Weight: Clone,
    {
        Linear {
            weight: self.embed_tokens.clone(),
            bias: None,
        }
    }

    fn angles(&self, backend: &B, positions: &[u32]) -> Result<Angles<B>> {
        let half = self.frequencies.len();
        let angles = positions.iter().flat_map(|&position| {
            self.frequencies
                .iter()
                .map(move |frequency| position as f32 * frequency)
        });
        let factor = self.attention_factor;
        let (cos, sin) = angles.map(|angle| (angle.cos() * factor, angle.sin() * factor)).unzip();
        Ok(Angles {
            cos: backend.tensor(cos, half)?,
            sin: backend.tensor(sin, half)?,
        })
    }
}

impl<B: Backend> Layer<B> {
    fn load(backend: &B, checkpoint: &Checkpoint, config: &Config, index: usize) -> Result<Self> {
        let hidden = config.hidden_size;
        let (query, key_value) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let scale = |part: &str| weight(backend, checkpoint, &name(part), &[hidden]);
        let head_scale = |part: &str| {
            let dim = [config.head_dim];
            config
                .qk_norm
                .then(|| weight(backend, checkpoint, &name(part), &dim))
                .transpose()
        };
        let linear = |part: &str, outputs: usize, inputs: usize, bias: bool| {
            linear(backend, checkpoint, &name(part), outputs, inputs, bias)
        };
        Ok(Self {
            input_layernorm: scale("input_layernorm.weight")?,
            q_proj: linear("self_attn.q_proj", query, hidden, config.qkv_bias)?,
            k_proj: linear("self_attn.k_proj", key_value, hidden, config.qkv_bias)?,
            v_proj: linear("self_attn.v_proj", key_value, hidden, config.qkv_bias)?,
            q_norm: head_scale("self_attn.q_norm.weight")?,
            k_norm: head_scale("self_attn.k_norm.weight")?,
            o_proj: linear("self_attn.o_proj", hidden, query, config.output_bias)?,
            post_attention_layernorm: scale("post_attention_layernorm.weight")?,
            gate_proj: linear("mlp.gate_proj", config.intermediate_size, hidden, config.mlp_bias)?,
            up_proj: linear("mlp.up_proj", config.intermediate_size, hidden, config.mlp_bias)?,
            down_proj: linear("mlp.down_proj", hidden, config.intermediate_size, config.mlp_bias)?,
        })
    }

    fn forward(
        &self,
        backend: &B,
        config: &Config,
        window: Option<usize>,
        x: &B::Tensor,
        angles: &Angles<B>,
        sequences: &[Range<usize>],
    ) -> Result<B::Tensor> {
        let heads = Heads {
            query: config.heads,
            key_value: config.kv_heads,
            dim: config.head_dim,
            window,
        };
        let project = |x: &B::Tensor, layer: &Linear<B>, norm: &Option<B::Weight>| {
            let heads = backend.linear(x, layer, Epilogue::None)?;
            let heads = match norm {
                Some(weight) => backend.norm_heads(&heads, weight, config.norm_eps)?,
                None => heads,
            };
            backend.rope(&heads, angles)
        };
        let normed = backend.norm(x, &self.input_layernorm, config.norm_eps)?;
        let q = project(&normed, &self.q_proj, &self.q_norm)?;
        let k = project(&normed, &self.k_proj, &self.k_norm)?;
        let v = backend.linear(&normed, &self.v_proj, Epilogue::None)?;
        let attended = backend.attend(&q, &k, &v, heads, sequences)?;
        let x = backend.linear(&attended, &self.o_proj, Epilogue::Add(x))?;
        let normed = backend.norm(&x, &self.post_attention_layernorm, config.norm_eps)?;
        let gate = backend.linear(&normed, &self.gate_proj, Epilogue::None)?;
        let up = backend.linear(&normed, &self.up_proj, Epilogue::None)?;
        backend.linear(&backend.gate(&gate, &up)?, &self.down_proj, Epilogue::Add(&x))
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
