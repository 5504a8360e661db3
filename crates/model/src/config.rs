//! `config.json` → the shape of the backbone. What a config asks for and the backbone does not do is an error.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5.
    Qwen2,
    Llama,
}

impl Family {
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Llama => "llama",
        }
    }
}

/// The shape of a decoder. Defaults are those of the family's configuration class in transformers.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub family: Family,
    /// As written in the file; empty where it names none.
    pub architectures: Vec<String>,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub layers: usize,
    pub heads: usize,
    /// Divides `heads`; each key-value head serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Even.
    pub head_dim: usize,
    /// The longest sequence, in tokens.
    pub max_positions: usize,
    pub rope_theta: f32,
    pub norm_eps: f64,
    pub qkv_bias: bool,
    pub output_bias: bool,
    pub mlp_bias: bool,
    pub tied_embeddings: bool,
}

impl Config {
    pub fn parse(json: &Value, path: &Path) -> Result<Self> {
        let Some(object) = json.as_object() else {
            return Err(invalid(path, "not a JSON object".into()));
        };
        let fields = Fields { object, path };
        let family = match object.get("model_type").and_then(Value::as_str) {
            Some("qwen2") => Family::Qwen2,
            Some("llama") => Family::Llama,
            other => {
                let named = other.map_or("no model_type".into(), |name| format!("model_type {name:?}"));
                return Err(fields.unsupported(format!("{named}; the families read are qwen2 and llama")));
            }
        };
        let hidden_size = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        let kv_heads = fields.size_or("num_key_value_heads", heads)?;
        let head_dim = fields.size_or("head_dim", hidden_size / heads)?;
        if heads % kv_heads != 0 {
            return Err(invalid(
                path,
                format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"),
            ));
        }
        if head_dim == 0 || head_dim % 2 != 0 || (!object.contains_key("head_dim") && hidden_size % heads != 0) {
            return Err(invalid(
                path,
                format!("hidden_size {hidden_size} and num_attention_heads {heads} give no even head size"),
            ));
        }
        fields.only("hidden_act", "silu", "silu")?;
        fields.full_attention()?;
        let bias = family == Family::Llama && fields.flag("attention_bias")?;
        Ok(Self {
            family,
            architectures: fields.architectures(),
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            layers: fields.size("num_hidden_layers")?,
            heads,
            kv_heads,
            head_dim,
            max_positions: fields.size_or(
                "max_position_embeddings",
                if family == Family::Qwen2 { 32768 } else { 2048 },
            )?,
            rope_theta: fields.rope_theta()?,
            norm_eps: fields.positive("rms_norm_eps", 1e-6)?,
            qkv_bias: family == Family::Qwen2 || bias,
            output_bias: bias,
            mlp_bias: family == Family::Llama && fields.flag("mlp_bias")?,
            tied_embeddings: fields.flag("tie_word_embeddings")?,
        })
    }
}

/// Sizes above this are lies: the largest published decoders stay below it.
const LARGEST_SIZE: u64 = 1 << 24;

fn invalid(path: &Path, message: String) -> Error {
    Error::ModelInvalid {
        path: path.to_owned(),
        message,
    }
}

struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: &'a Path,
}

impl Fields<'_> {
    fn unsupported(&self, message: String) -> Error {
        Error::ModelUnsupported {
            path: self.path.to_owned(),
            message,
        }
    }

    /// The value of a key; absent and null are the same to transformers.
    fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str) -> Result<usize> {
        let value = self
            .get(key)
            .ok_or_else(|| invalid(self.path, format!("{key} is missing")))?;
        match value.as_u64() {
            Some(size @ 1..=LARGEST_SIZE) => Ok(size as usize),
            _ => Err(invalid(
                self.path,
                format!("{key} is {value}, not a whole number from 1 to {LARGEST_SIZE}"),
            )),
        }
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        self.get(key).map_or(Ok(default), |_| self.size(key))
    }

    fn positive(&self, key: &str, default: f64) -> Result<f64> {
        positive(self.get(key), key, default, self.path)
    }

    fn flag(&self, key: &str) -> Result<bool> {
        self.get(key).map_or(Ok(false), |value| {
            value
                .as_bool()
                .ok_or_else(|| invalid(self.path, format!("{key} is {value}, not true or false")))
        })
    }

    fn only(&self, key: &str, default: &str, supported: &str) -> Result<()> {
        let value = self.get(key).map_or(Some(default), Value::as_str);
        if value == Some(supported) {
            return Ok(());
        }
        Err(self.unsupported(format!("{key} {}; only {supported:?} is computed", self.object[key])))
    }

    fn architectures(&self) -> Vec<String> {
        let names = self.get("architectures").and_then(Value::as_array);
        names
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }

    /// transformers 5 writes `rope_parameters`, earlier versions `rope_theta` and `rope_scaling`.
    fn rope_theta(&self) -> Result<f32> {
        let mut theta = self.get("rope_theta");
        for key in ["rope_parameters", "rope_scaling"] {
            let Some(value) = self.get(key) else { continue };
            let Some(rope) = value.as_object() else {
                return Err(invalid(self.path, format!("{key} is {value}, not an object")));
            };
            let kind = rope.get("rope_type").or_else(|| rope.get("type"));
            if kind.is_some_and(|kind| kind.as_str() != Some("default")) || rope.get("factor").is_some() {
                return Err(self.unsupported(format!("{key} {value}; only unscaled rotary embeddings are computed")));
            }
            theta = rope.get("rope_theta").or(theta);
        }
        Ok(positive(theta, "rope_theta", 10_000.0, self.path)? as f32)
    }

    /// A sliding window counts only when it is switched on (`use_sliding_window`) or named layer by layer.
    fn full_attention(&self) -> Result<()> {
        let sliding_layer = self
            .get("layer_types")
            .and_then(Value::as_array)
            .is_some_and(|layers| layers.iter().any(|kind| kind.as_str() != Some("full_attention")));
        if sliding_layer || self.flag("use_sliding_window")? {
            return Err(self.unsupported("sliding-window attention; only full attention is computed".into()));
        }
        Ok(())
    }
}

fn positive(value: Option<&Value>, key: &str, default: f64, path: &Path) -> Result<f64> {
    let Some(value) = value else { return Ok(default) };
    match value.as_f64() {
        Some(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(invalid(path, format!("{key} is {value}, not a positive number"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tiny() -> Value {
        json!({
            "model_type": "qwen2", "vocab_size": 100, "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2
        })
    }

    fn with(key: &str, value: Value) -> Result<Config> {
        let mut config = tiny();
        config[key] = value;
        Config::parse(&config, Path::new("config.json"))
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = Config::parse(&tiny(), Path::new("config.json")).unwrap();
        assert_eq!(
            (config.head_dim, config.rope_theta, config.norm_eps),
            (4, 10_000.0, 1e-6)
        );
        assert!(config.qkv_bias && !config.output_bias && !config.tied_embeddings);
    }

    #[test]
    fn both_spellings_of_theta_are_read() {
        assert_eq!(with("rope_theta", json!(1e6)).unwrap().rope_theta, 1e6);
        let new = json!({ "rope_theta": 5e5, "rope_type": "default" });
        assert_eq!(with("rope_parameters", new).unwrap().rope_theta, 5e5);
    }

    #[test]
    fn what_is_not_computed_is_refused() {
        for (key, value) in [
            ("model_type", json!("gpt2")),
            ("hidden_act", json!("gelu")),
            ("use_sliding_window", json!(true)),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("rope_scaling", json!({ "rope_type": "llama3", "factor": 8.0 })),
            ("rope_parameters", json!({ "type": "yarn" })),
        ] {
            let error = with(key, value).unwrap_err();
            assert_eq!(error.code(), "ERR_MODEL_UNSUPPORTED", "{key}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for (key, value) in [
            ("hidden_size", json!(0)),
            ("hidden_size", json!(-4)),
            ("hidden_size", json!(17)),
            ("num_hidden_layers", json!(1u64 << 40)),
            ("num_key_value_heads", json!(3)),
            ("head_dim", json!(5)),
            ("rms_norm_eps", json!("small")),
            ("rope_theta", json!(-1)),
            ("vocab_size", json!(2.5)),
            ("tie_word_embeddings", json!("yes")),
        ] {
            let error = with(key, value).unwrap_err();
            assert_eq!(error.code(), "ERR_MODEL_INVALID", "{key}");
        }
    }
}
