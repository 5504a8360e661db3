//! A GGUF file in the words of a Hugging Face folder: config.json from its metadata, and its tensors by the names that
//! transformers gives them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::Result;
use crate::gguf::{self, Gguf};
use crate::rope::{Rope, Scaling};
use crate::stored::Stored;

/// The factors on the wavelengths that llama.cpp's converter computes for Llama 3.1's scaling.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// The metadata of one architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl<'a> Keys<'a> {
    fn of(gguf: &'a Gguf) -> Result<Self> {
        match gguf.text("general.architecture")? {
            Some(architecture @ ("llama" | "qwen2" | "qwen3")) => Ok(Self { gguf, architecture }),
            Some(other) => Err(gguf.unsupported(format!(
                "the architecture {other:?}; llama (Mistral's too), qwen2 and qwen3 are read"
            ))),
            None => Err(gguf.invalid("no general.architecture")),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// A size, which a file may also give layer by layer.
    fn size(&self, name: &str) -> Result<Option<u64>> {
        let key = self.key(name);
        let Some(gguf::Value::Integers(layers)) = self.gguf.get(&key) else {
            return self.gguf.unsigned(&key);
        };
        match layers.as_slice() {
            [first, rest @ ..] if rest.iter().all(|size| size == first) => Ok(u64::try_from(*first).ok()),
            _ => Err(self.gguf.unsupported(format!("{key} differs from layer to layer"))),
        }
    }

    fn required(&self, name: &str) -> Result<u64> {
        self.size(name)?
            .ok_or_else(|| self.gguf.invalid(format!("no {}", self.key(name))))
    }

    fn float(&self, name: &str) -> Result<Option<f64>> {
        self.gguf.float(&self.key(name))
    }

    /// Refuses a number other than `only`, under which the computation is the one that is done here.
    fn refuse_other(&self, name: &str, only: f64) -> Result<()> {
        match self.float(name)? {
            Some(value) if value != only => Err(self
                .gguf
                .unsupported(format!("{} is {value}; only {only} is computed", self.key(name)))),
            _ => Ok(()),
        }
    }
}

/// Takes the weights out of a file, by the names of transformers; those without one keep theirs. In llama's files the
/// halves of each query and key head alternate.
pub fn take_weights(gguf: &mut Gguf) -> Result<Vec<(String, Stored)>> {
    let (weights, factors) = std::mem::take(&mut gguf.tensors)
        .into_iter()
        .partition(|(name, _)| name != ROPE_FACTORS);
    gguf.tensors = factors;
    rename(gguf, weights)
}

fn rename(gguf: &Gguf, tensors: Vec<(String, Stored)>) -> Result<Vec<(String, Stored)>> {
    let keys = Keys::of(gguf)?;
    let heads = keys.required("attention.head_count")?;
    let kv_heads = keys.size("attention.head_count_kv")?.unwrap_or(heads);
    let named = tensors.into_iter().map(|(name, mut stored)| {
        let renamed = transformers_name(&name);
        let heads = match layer_part(&name) {
            Some((_, "attn_q.weight" | "attn_q.bias")) => heads,
            Some((_, "attn_k.weight" | "attn_k.bias")) => kv_heads,
            _ => return Ok((renamed, stored)),
        };
        if keys.architecture == "llama" {
            let rows = stored.shape[0];
            match usize::try_from(heads) {
                Ok(heads) if heads > 0 && rows % (2 * heads) == 0 => stored.interleaved = Some(rows / heads),
                _ => return Err(gguf.invalid(format!("{name} has {rows} rows, which {heads} heads do not share"))),
            }
        }
        Ok((renamed, stored))
    });
    named.collect()
}

/// The number of the layer and the rest of a name.
fn layer_part(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("blk.")?.split_once('.')
}

fn transformers_name(name: &str) -> String {
    let known = match name {
        "token_embd.weight" => "model.embed_tokens.weight",
        "output_norm.weight" => "model.norm.weight",
        "output.weight" => "lm_head.weight",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    let renamed = layer_part(name).and_then(|(layer, part)| {
        let (module, kind) = part.rsplit_once('.')?;
        let module = match module {
            "attn_norm" => "input_layernorm",
            "ffn_norm" => "post_attention_layernorm",
            "attn_q" => "self_attn.q_proj",
            "attn_k" => "self_attn.k_proj",
            "attn_v" => "self_attn.v_proj",
            "attn_output" => "self_attn.o_proj",
            "attn_q_norm" => "self_attn.q_norm",
            "attn_k_norm" => "self_attn.k_norm",
            "ffn_gate" => "mlp.gate_proj",
            "ffn_up" => "mlp.up_proj",
            "ffn_down" => "mlp.down_proj",
            _ => return None,
        };
        Some(format!("model.layers.{layer}.{module}.{kind}"))
    });
    renamed.unwrap_or_else(|| name.to_owned())
}

/// config.json as transformers would write it. `tensors` are those of [`take_weights`], and a head's.
pub fn config(gguf: &Gguf, tensors: &BTreeMap<String, Stored>) -> Result<Value> {
    let keys = Keys::of(gguf)?;
    if keys.size("expert_count")?.unwrap_or(0) > 0 {
        return Err(gguf.unsupported("a mixture of experts"));
    }
    let hidden = keys.required("embedding_length")?;
    let heads = keys.required("attention.head_count")?;
    let Some(embedding) = tensors.get("model.embed_tokens.weight") else {
        return Err(gguf.invalid("tensor token_embd.weight is missing"));
    };
    let head_dim = match keys.size("attention.key_length")? {
        Some(dim) => dim,
        None if heads > 0 && hidden % heads == 0 => hidden / heads,
        None => return Err(gguf.invalid(format!("{heads} heads do not share the {hidden} features"))),
    };
    for (name, what) in [
        ("attention.value_length", "values"),
        ("rope.dimension_count", "rotated features"),
    ] {
        if let Some(size) = keys.size(name)?.filter(|size| *size != head_dim) {
            return Err(gguf.unsupported(format!(
                "{} is {size}: heads of {head_dim} with {size} {what}",
                keys.key(name)
            )));
        }
    }
    let context = keys.required("context_length")?;
    let mut config = json!({
        "model_type": keys.architecture,
        "vocab_size": embedding.shape.first(),
        "hidden_size": hidden,
        "intermediate_size": keys.required("feed_forward_length")?,
        "num_hidden_layers": keys.required("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.size("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": context,
        "rms_norm_eps": keys.float("attention.layer_norm_rms_epsilon")?,
        "rope_parameters": rope(&keys, context, head_dim)?,
        "tie_word_embeddings": !tensors.contains_key("lm_head.weight"),
    });
    if let Some(window) = keys
        .size("attention.sliding_window")?
        .filter(|window| *window < context)
    {
        match keys.architecture {
            "llama" => {
                config["model_type"] = "mistral".into();
                config["sliding_window"] = window.into();
            }
            _ => {
                let message = format!(
                    "{} does not say which layers it means",
                    keys.key("attention.sliding_window")
                );
                return Err(gguf.unsupported(message));
            }
        }
    }
    for (field, tensor) in [
        ("attention_bias", "model.layers.0.self_attn.q_proj.bias"),
        ("mlp_bias", "model.layers.0.mlp.gate_proj.bias"),
    ] {
        config[field] = tensors.contains_key(tensor).into();
    }
    Ok(config)
}

fn rope(keys: &Keys<'_>, context: u64, head_dim: u64) -> Result<Value> {
    let theta = keys.float("rope.freq_base")?.unwrap_or(10_000.0);
    let scaling = keys.gguf.text(&keys.key("rope.scaling.type"))?;
    let factor = match keys.float("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => keys.float("rope.scale_linear")?,
    };
    for name in [
        "rope.scaling.attn_factor",
        "rope.scaling.yarn_attn_factor",
        "rope.scaling.yarn_ext_factor",
    ] {
        keys.refuse_other(name, 1.0)?;
    }
    keys.refuse_other("rope.scaling.yarn_log_multiplier", 0.0)?;
    let mut rope = match (scaling, factor) {
        (Some("yarn"), Some(factor)) => json!({
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": keys.size("rope.scaling.original_context_length")?.unwrap_or(context),
            "beta_fast": keys.float("rope.scaling.yarn_beta_fast")?,
            "beta_slow": keys.float("rope.scaling.yarn_beta_slow")?,
        }),
        (None | Some("linear"), Some(factor)) if factor != 1.0 => json!({ "rope_type": "linear", "factor": factor }),
        (None | Some("none" | "linear"), _) => json!({ "rope_type": "default" }),
        (Some(other), _) => {
            let message = format!(
                "{} {other:?}; none, linear and yarn are computed",
                keys.key("rope.scaling.type")
            );
            return Err(keys.gguf.unsupported(message));
        }
    };
    if let Some((_, stored)) = keys.gguf.tensors.iter().find(|(name, _)| name == ROPE_FACTORS) {
        if rope["rope_type"] != "default" {
            return Err(keys
                .gguf
                .unsupported(format!("{ROPE_FACTORS} and a rope scaling of the metadata")));
        }
        let factors = stored.read(ROPE_FACTORS)?;
        rope = llama3(&factors, theta, head_dim as usize, context as f64).ok_or_else(|| {
            keys.gguf
                .unsupported(format!("{ROPE_FACTORS} is not the scaling of Llama 3.1: {factors:?}"))
        })?;
    }
    rope["rope_theta"] = theta.into();
    Ok(rope)
}

/// The parameters of Llama 3.1's scaling that give these factors on the wavelengths, if any do.
///
/// The factors fix the ramp between kept and stretched waves as a line over the turns that a wave makes, so the original
/// context and the two borders are known but for a common scale: the lower border is taken as 1. Where too few planes
/// lie on the ramp, the published borders are tried.
fn llama3(factors: &[f32], theta: f64, head_dim: usize, context: f64) -> Option<Value> {
    if factors.len() != head_dim / 2 || !factors.iter().all(|factor| factor.is_finite() && *factor >= 1.0) {
        return None;
    }
    let factor = factors.iter().copied().fold(1.0, f32::max);
    if factor == 1.0 {
        return Some(json!({ "rope_type": "default" }));
    }
    let factor = f64::from(factor);
    let plain = Rope {
        theta,
        scaling: Scaling::None,
    };
    let (frequencies, _) = plain.frequencies(head_dim);
    // How much of a wave is kept, from 0 to 1, over its frequency.
    let ramp: Vec<(f64, f64)> = factors
        .iter()
        .zip(&frequencies)
        .map(|(f, frequency)| {
            (
                f64::from(*frequency),
                (1.0 / f64::from(*f) - 1.0 / factor) / (1.0 - 1.0 / factor),
            )
        })
        .filter(|(_, kept)| (1e-4..1.0 - 1e-4).contains(kept))
        .collect();
    let turns = std::f64::consts::TAU;
    let mut candidates = Vec::new();
    if let [(x0, y0), .., (x1, y1)] = ramp.as_slice() {
        let slope = (y0 - y1) / (x0 - x1);
        let high = 1.0 - 1.0 / (y0 - slope * x0);
        let original = slope * (high - 1.0) * turns;
        candidates.extend([(original.round(), high.round()), (original, high)]);
    }
    if let [(x, y), ..] = ramp.as_slice() {
        candidates.push(((1.0 + 3.0 * y) * turns / x, 4.0));
    }
    candidates.extend([8192.0, context, context / factor].map(|original| (original, 4.0)));
    candidates.into_iter().find_map(|(original, high)| {
        if !(original > 0.0 && high > 1.0) {
            return None;
        }
        let scaled = Rope {
            theta,
            scaling: Scaling::Llama3 {
                factor,
                low_freq_factor: 1.0,
                high_freq_factor: high,
                original_context: original,
            },
        };
        let (scaled, _) = scaled.frequencies(head_dim);
        let fits = scaled
            .iter()
            .zip(&frequencies)
            .zip(factors)
            .all(|((scaled, plain), factor)| (scaled * factor / plain - 1.0).abs() < 1e-5);
        fits.then(|| {
            json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": high,
                "original_max_position_embeddings": original,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As llama.cpp's converter computes them.
    fn factors(theta: f64, head_dim: usize, factor: f64, low: f64, high: f64, original: f64) -> Vec<f32> {
        let wavelength = |plane: usize| std::f64::consts::TAU * theta.powf(2.0 * plane as f64 / head_dim as f64);
        let factor_of = |plane| match wavelength(plane) {
            wave if wave < original / high => 1.0,
            wave if wave > original / low => factor,
            wave => {
                let smooth = (original / wave - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        (0..head_dim / 2).map(|plane| factor_of(plane) as f32).collect()
    }

    #[test]
    fn llama_3_s_scaling_is_found_in_its_factors() {
        for (theta, head_dim, factor, low, high, original, context) in [
            (500_000.0, 128, 8.0, 1.0, 4.0, 8192.0, 131_072.0),
            (500_000.0, 64, 32.0, 1.0, 4.0, 8192.0, 131_072.0),
            (10_000.0, 8, 8.0, 1.0, 4.0, 64.0, 4096.0),
            (500_000.0, 128, 8.0, 2.0, 16.0, 10_000.0, 131_072.0),
        ] {
            let factors = factors(theta, head_dim, factor, low, high, original);
            let found = llama3(&factors, theta, head_dim, context).unwrap();
            let number = |key: &str| found[key].as_f64().unwrap();
            assert_eq!(number("factor"), factor);
            assert!((number("high_freq_factor") * low / high - 1.0).abs() < 1e-4, "{found}");
            let scaled = number("original_max_position_embeddings") * low / original;
            assert!((scaled - 1.0).abs() < 1e-4, "{found}");
        }
        assert_eq!(llama3(&[1.0; 4], 1e4, 8, 4096.0).unwrap()["rope_type"], "default");
    }

    #[test]
    fn factors_of_another_scaling_are_not_taken_for_it() {
        let sound = factors(5e5, 128, 8.0, 1.0, 4.0, 8192.0);
        let mut longer = sound.clone();
        longer[40] *= 1.01;
        let mut broken = sound.clone();
        broken[3] = f32::NAN;
        for factors in [&longer[..], &broken, &sound[1..], &[0.5; 64], &[]] {
            assert_eq!(llama3(factors, 5e5, 128, 131_072.0), None, "{factors:?}");
        }
    }
}
