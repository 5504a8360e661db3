//! `config.json` → the shape of the backbone. What a config asks for and the backbone does not do is an error.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::rope::{Rope, Scaling, yarn_attention_factor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5.
    Qwen2,
    Qwen3,
    /// Llama 2 and 3.
    Llama,
    Mistral,
}

impl Family {
    const ALL: [Self; 4] = [Self::Qwen2, Self::Qwen3, Self::Llama, Self::Mistral];

    /// The `model_type` of config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
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
    pub rope: Rope,
    pub norm_eps: f64,
    /// Whether each head of the queries and keys is normed (Qwen3).
    pub qk_norm: bool,
    /// A layer that attends to the last rows only: how many, itself among them. One entry a layer.
    pub windows: Vec<Option<usize>>,
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
        let model_type = object.get("model_type").and_then(Value::as_str);
        let Some(family) = Family::ALL.into_iter().find(|family| Some(family.name()) == model_type) else {
            let named = model_type.map_or("no model_type".into(), |name| format!("model_type {name:?}"));
            let known = Family::ALL.map(Family::name).join(", ");
            return Err(fields.unsupported(format!("{named}; the families read are {known}")));
        };
        let hidden_size = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        let layers = fields.size("num_hidden_layers")?;
        if layers > MOST_LAYERS {
            return Err(invalid(
                path,
                format!("num_hidden_layers is {layers}, above {MOST_LAYERS}"),
            ));
        }
        let default_kv_heads = if family == Family::Mistral { 8 } else { heads };
        let kv_heads = match object.get("num_key_value_heads") {
            Some(Value::Null) => heads,
            _ => fields.size_or("num_key_value_heads", default_kv_heads)?,
        };
        let default_head_dim = if family == Family::Qwen3 {
            128
        } else {
            hidden_size / heads
        };
        let head_dim = fields.size_or("head_dim", default_head_dim)?;
        if heads % kv_heads != 0 {
            return Err(invalid(
                path,
                format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"),
            ));
        }
        let divides = fields.get("head_dim").is_some() || family == Family::Qwen3 || hidden_size % heads == 0;
        if head_dim == 0 || head_dim % 2 != 0 || !divides {
            return Err(invalid(
                path,
                format!("hidden_size {hidden_size} and num_attention_heads {heads} give no even head size"),
            ));
        }
        fields.only("hidden_act", "silu", "silu")?;
        let max_positions = fields.size_or(
            "max_position_embeddings",
            match family {
                Family::Qwen2 | Family::Qwen3 => 32_768,
                Family::Llama => 2048,
                Family::Mistral => 131_072,
            },
        )?;
        let bias = matches!(family, Family::Llama | Family::Qwen3) && fields.flag("attention_bias")?;
        Ok(Self {
            family,
            architectures: fields.architectures(),
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            layers,
            heads,
            kv_heads,
            head_dim,
            max_positions,
            rope: fields.rope(max_positions)?,
            norm_eps: fields.positive("rms_norm_eps", 1e-6)?,
            qk_norm: family == Family::Qwen3,
            windows: fields.windows(family, layers)?,
            qkv_bias: family == Family::Qwen2 || bias,
            output_bias: bias,
            mlp_bias: family == Family::Llama && fields.flag("mlp_bias")?,
            tied_embeddings: fields.flag("tie_word_embeddings")?,
        })
    }
}

/// Sizes above this are lies: the largest published decoders stay below it.
const LARGEST_SIZE: u64 = 1 << 24;
/// Layers above this too.
const MOST_LAYERS: usize = 1 << 12;

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

impl<'a> Fields<'a> {
    fn unsupported(&self, message: String) -> Error {
        Error::ModelUnsupported {
            path: self.path.to_owned(),
            message,
        }
    }

    /// The value of a key; absent and null are the same to transformers.
    fn get(&self, key: &str) -> Option<&'a Value> {
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

    /// transformers 5 writes `rope_parameters`, earlier versions `rope_theta` and `rope_scaling`, which wins over it.
    fn rope(&self, max_positions: usize) -> Result<Rope> {
        let mut rope: Option<Self> = None;
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = self.get(key) else { continue };
            let Some(object) = value.as_object() else {
                return Err(invalid(self.path, format!("{key} is {value}, not an object")));
            };
            if object.values().any(Value::is_object) {
                return Err(self.unsupported(format!("{key} {value}; one rope for all layers is computed")));
            }
            if rope.is_none() && !object.is_empty() {
                rope = Some(Fields { object, ..*self });
            }
        }
        let own = rope.as_ref().and_then(|rope| rope.get("rope_theta"));
        let theta = own.or_else(|| self.get("rope_theta"));
        for fields in [Some(self), rope.as_ref()].into_iter().flatten() {
            if fields.positive("partial_rotary_factor", 1.0)? != 1.0 {
                return Err(self.unsupported("partial_rotary_factor; only whole heads are rotated".into()));
            }
        }
        let theta = positive(theta, "rope_theta", 10_000.0, self.path)?;
        if theta <= 1.0 {
            return Err(invalid(self.path, format!("rope_theta is {theta}, not above 1")));
        }
        Ok(Rope {
            theta,
            scaling: rope.map_or(Ok(Scaling::None), |rope| rope.scaling(max_positions))?,
        })
    }

    /// Of the object `rope_parameters` or `rope_scaling`.
    fn scaling(&self, max_positions: usize) -> Result<Scaling> {
        let kind = self.get("rope_type").or_else(|| self.get("type"));
        let required = |key: &str| {
            let value = self
                .get(key)
                .ok_or_else(|| invalid(self.path, format!("the rope scaling has no {key}")))?;
            positive(Some(value), key, 0.0, self.path)
        };
        let original = || self.positive("original_max_position_embeddings", max_positions as f64);
        match kind.map(Value::as_str) {
            None if self.get("factor").is_none() => Ok(Scaling::None),
            Some(Some("default")) => Ok(Scaling::None),
            Some(Some("linear")) => Ok(Scaling::Linear {
                factor: required("factor")?,
            }),
            Some(Some("llama3")) => {
                let scaling = Scaling::Llama3 {
                    factor: required("factor")?,
                    low_freq_factor: required("low_freq_factor")?,
                    high_freq_factor: required("high_freq_factor")?,
                    original_context: original()?,
                };
                match required("high_freq_factor")? > required("low_freq_factor")? {
                    true => Ok(scaling),
                    false => Err(invalid(
                        self.path,
                        "high_freq_factor is not above low_freq_factor".into(),
                    )),
                }
            }
            Some(Some("yarn")) => {
                let factor = required("factor")?;
                let number = |key: &str| self.get(key).and_then(Value::as_f64);
                let default = yarn_attention_factor(factor, number("mscale"), number("mscale_all_dim"));
                Ok(Scaling::Yarn {
                    factor,
                    original_context: original()?,
                    beta_fast: self.positive("beta_fast", 32.0)?,
                    beta_slow: self.positive("beta_slow", 1.0)?,
                    attention_factor: self.positive("attention_factor", default)?,
                    truncate: self.get("truncate").is_none() || self.flag("truncate")?,
                })
            }
            _ => Err(self.unsupported(format!(
                "rope scaling {}; computed are default, linear, llama3 and yarn",
                Value::Object(self.object.clone())
            ))),
        }
    }

    /// Which layers see a window only. Qwen: those from `max_window_layers` on, when `use_sliding_window` is on;
    /// Mistral: all, unless `sliding_window` is null; `layer_types` names them one by one.
    fn windows(&self, family: Family, layers: usize) -> Result<Vec<Option<usize>>> {
        let window = match family {
            Family::Llama => None,
            Family::Mistral if self.object.get("sliding_window").is_some_and(Value::is_null) => None,
            Family::Qwen2 | Family::Qwen3 if !self.flag("use_sliding_window")? => None,
            _ => Some(self.size_or("sliding_window", 4096)?),
        };
        let first = match family {
            Family::Qwen2 | Family::Qwen3 if window.is_some() => match self.get("max_window_layers") {
                Some(value) if value.as_u64() == Some(0) => 0,
                _ => self.size_or("max_window_layers", 28)?,
            },
            _ => 0,
        };
        let by_default: Vec<_> = (0..layers).map(|layer| window.filter(|_| layer >= first)).collect();
        let Some(types) = self.get("layer_types") else {
            return Ok(by_default);
        };
        let full = |types: &Vec<Value>| types.iter().all(|kind| kind.as_str() == Some("full_attention"));
        if types.as_array().is_some_and(full) && by_default.iter().all(Option::is_none) {
            return Ok(by_default);
        }
        if types.as_array().is_none_or(|types| types.len() != layers) {
            let message = format!("layer_types is not an array of num_hidden_layers, {layers}, names");
            return Err(invalid(self.path, message));
        }
        let named = types.as_array().map(|types| {
            let named = types.iter().map(|kind| match kind.as_str() {
                Some("full_attention") => Some(None),
                Some("sliding_attention") => window.map(Some),
                _ => None,
            });
            named.collect::<Option<Vec<_>>>()
        });
        match named.flatten() {
            Some(named) if named == by_default || matches!(family, Family::Qwen2 | Family::Qwen3) => Ok(named),
            _ => Err(self.unsupported(format!(
                "layer_types {types}, which does not fit the rest of the config"
            ))),
        }
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
            (config.head_dim, config.rope.theta, config.norm_eps),
            (4, 10_000.0, 1e-6)
        );
        assert!(config.qkv_bias && !config.output_bias && !config.tied_embeddings);
    }

    #[test]
    fn both_spellings_of_theta_are_read() {
        assert_eq!(with("rope_theta", json!(1e6)).unwrap().rope.theta, 1e6);
        let new = json!({ "rope_theta": 5e5, "rope_type": "default" });
        assert_eq!(with("rope_parameters", new).unwrap().rope.theta, 5e5);
    }

    #[test]
    fn windows_are_where_the_family_puts_them() {
        let windows = |changes: Value| {
            let mut config = tiny();
            config
                .as_object_mut()
                .unwrap()
                .extend(changes.as_object().unwrap().clone());
            Config::parse(&config, Path::new("config.json")).unwrap().windows
        };
        assert_eq!(windows(json!({ "sliding_window": 7 })), [None, None]);
        let on = json!({ "use_sliding_window": true, "sliding_window": 7, "max_window_layers": 1 });
        assert_eq!(windows(on), [None, Some(7)]);
        let named = json!({ "use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention"] });
        assert_eq!(windows(named), [Some(4096), None]);
        assert_eq!(windows(json!({ "model_type": "mistral" })), [Some(4096); 2]);
        assert_eq!(
            windows(json!({ "model_type": "mistral", "sliding_window": null })),
            [None; 2]
        );
    }

    #[test]
    fn what_is_not_computed_is_refused() {
        for (key, value) in [
            ("model_type", json!("gpt2")),
            ("hidden_act", json!("gelu")),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("rope_scaling", json!({ "rope_type": "dynamic", "factor": 8.0 })),
            ("rope_scaling", json!({ "factor": 8.0 })),
            ("rope_parameters", json!({ "type": "longrope" })),
            ("partial_rotary_factor", json!(0.5)),
            (
                "rope_parameters",
                json!({ "full_attention": { "rope_type": "default" } }),
            ),
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
            ("rope_theta", json!(1)),
            ("rope_scaling", json!({ "rope_type": "llama3", "factor": 8.0 })),
            ("rope_parameters", json!({ "type": "yarn" })),
            ("vocab_size", json!(2.5)),
            ("layer_types", json!(["sliding_attention"])),
            ("layer_types", json!("full_attention")),
            ("tie_word_embeddings", json!("yes")),
        ] {
            let error = with(key, value).unwrap_err();
            assert_eq!(error.code(), "ERR_MODEL_INVALID", "{key}");
        }
    }
}
