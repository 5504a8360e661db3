//! LoRA adapters as PEFT saves them (arXiv 2106.09685): W + scale · B · A, added where a tensor is read, and whole modules
//! that were trained beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Map, Value};

use crate::checkpoint::{is_pickle, read_json};
use crate::error::{Error, Result};
use crate::stored::{Stored, safetensors};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of the base model.
const PREFIX: &str = "base_model.model.";

/// Whether a folder holds an adapter.
pub fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// The base that an adapter names, where that is a path: as it stands, or from the adapter's folder.
pub fn base(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(CONFIG);
    let config = read_json(&path)?;
    let named = config["base_model_name_or_path"].as_str().unwrap_or_default();
    let base = folder.join(named);
    if !named.is_empty() && base.exists() {
        return Ok(base);
    }
    Err(Error::ModelInvalid {
        path,
        message: format!(
            "a LoRA adapter of {named:?}, which is no folder here; give the base model as the path and this folder as \
             the head"
        ),
    })
}

/// The updates of an adapter by the name of the tensor that each changes.
#[derive(Debug)]
pub struct Adapter {
    updates: BTreeMap<String, Update>,
}

/// scale · B · A on a matrix of outputs × inputs.
#[derive(Debug)]
pub struct Update {
    /// rank × inputs.
    a: Stored,
    /// outputs × rank.
    b: Stored,
    scale: f64,
}

impl Update {
    /// Adds to a matrix, or to those of its rows that `values` holds.
    pub fn add_to(&self, values: &mut [f32], rows: Option<&[usize]>) -> Result<()> {
        let (rank, inputs) = (self.a.shape[0], self.a.shape[1]);
        let a = Tensor::from_vec(self.a.read("lora_A")?, (rank, inputs), &Device::Cpu)?;
        let b = match rows {
            None => self.b.read("lora_B")?,
            Some(rows) => self.b.read_rows("lora_B", rows)?,
        };
        let b = Tensor::from_vec(b, (values.len() / inputs, rank), &Device::Cpu)?;
        let update: Vec<f32> = (b.matmul(&a)? * self.scale)?.flatten_all()?.to_vec1()?;
        values
            .iter_mut()
            .zip(update)
            .for_each(|(value, update)| *value += update);
        Ok(())
    }
}

impl Adapter {
    /// Reads an adapter's headers. `base_shape` tells the shape of a tensor of the base.
    /// Also returns the tensors that it puts in the place of the base's, or beside them.
    pub fn open(
        folder: &Path,
        base_shape: impl Fn(&str) -> Option<Vec<usize>>,
    ) -> Result<(Self, Vec<(String, Stored)>)> {
        let weights = folder.join(WEIGHTS);
        if !weights.is_file() {
            let pickle = folder.join("adapter_model.bin");
            return Err(if is_pickle(&pickle) && pickle.is_file() {
                Error::UnsafeFormat { path: pickle }
            } else {
                Error::ModelInvalid {
                    path: folder.to_owned(),
                    message: format!("{WEIGHTS} is missing"),
                }
            });
        }
        let settings = Settings::read(folder)?;
        let invalid = |message: String| Error::ModelInvalid {
            path: weights.clone(),
            message,
        };
        let mut replaced = Vec::new();
        let mut halves: BTreeMap<String, [Option<Stored>; 2]> = BTreeMap::new();
        let twice = |name: &str| invalid(format!("{name} stands there twice, under two names"));
        for (full_name, stored) in safetensors(&weights)? {
            let name = full_name.strip_prefix(PREFIX).unwrap_or(&full_name);
            if let Some(module) = name.strip_suffix(".lora_A.weight") {
                if halves.entry(module.into()).or_default()[0].replace(stored).is_some() {
                    return Err(twice(name));
                }
            } else if let Some(module) = name.strip_suffix(".lora_B.weight") {
                if halves.entry(module.into()).or_default()[1].replace(stored).is_some() {
                    return Err(twice(name));
                }
            } else if name.contains("lora_") {
                return Err(settings.unsupported(format!("{full_name}; only linear layers are updated")));
            } else {
                // PEFT saves the layers of the vocabulary whole beside their updates.
                let name = name.replace(".modules_to_save.", ".").replace(".base_layer.", ".");
                let vocabulary = matches!(
                    in_base(&name, &base_shape).as_str(),
                    "model.embed_tokens.weight" | "lm_head.weight"
                );
                if !vocabulary && !settings.saves(&name) {
                    return Err(invalid(format!("{full_name} is not among modules_to_save")));
                }
                let name = in_base(&name, &base_shape);
                if replaced.iter().any(|(other, _)| *other == name) {
                    return Err(twice(&name));
                }
                replaced.push((name, stored));
            }
        }
        let mut updates = BTreeMap::new();
        for (module, halves) in halves {
            let [Some(a), Some(b)] = halves else {
                return Err(invalid(format!("{module} has only one of lora_A and lora_B")));
            };
            let name = in_base(&format!("{module}.weight"), &base_shape);
            let Some(shape) = base_shape(&name) else {
                return Err(invalid(format!(
                    "{module} updates {name}, which the base does not have"
                )));
            };
            if !settings.targets(&module)? {
                return Err(invalid(format!("{module} is not among target_modules")));
            }
            let (rank, alpha) = settings.rank_and_alpha(&module)?;
            let fits = matches!(*shape, [outputs, inputs] if a.shape == [rank, inputs] && b.shape == [outputs, rank]);
            if !fits {
                return Err(invalid(format!(
                    "{module} has lora_A {:?} and lora_B {:?}; rank {rank} on {shape:?} is asked for",
                    a.shape, b.shape
                )));
            }
            let scale = alpha
                / if settings.rank_stabilised {
                    (rank as f64).sqrt()
                } else {
                    rank as f64
                };
            updates.insert(name, Update { a, b, scale });
        }
        Ok((Self { updates }, replaced))
    }

    /// What is added to a tensor.
    pub fn update(&self, name: &str) -> Option<&Update> {
        self.updates.get(name)
    }
}

/// A module's name in the base, which may be saved without its leading `model.`.
fn in_base(name: &str, base_shape: &impl Fn(&str) -> Option<Vec<usize>>) -> String {
    let longer = format!("model.{name}");
    if base_shape(name).is_none() && base_shape(&longer).is_some() {
        longer
    } else {
        name.to_owned()
    }
}

/// adapter_config.json.
struct Settings {
    path: PathBuf,
    fields: Map<String, Value>,
    rank: usize,
    alpha: f64,
    /// Scaled by the root of the rank (arXiv 2312.03732).
    rank_stabilised: bool,
}

impl Settings {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let Value::Object(fields) = read_json(&path)? else {
            return Err(Error::ModelInvalid {
                path,
                message: "not a JSON object".into(),
            });
        };
        let mut settings = Self {
            path,
            rank: 8,
            alpha: 8.0,
            rank_stabilised: fields.get("use_rslora") == Some(&Value::Bool(true)),
            fields,
        };
        settings.refuse_what_is_not_computed()?;
        if let Some(rank) = settings.get("r") {
            settings.rank = settings.whole(rank, "r")?;
        }
        if let Some(alpha) = settings.get("lora_alpha") {
            settings.alpha = settings.number(alpha, "lora_alpha")?;
        }
        Ok(settings)
    }

    fn refuse_what_is_not_computed(&self) -> Result<()> {
        let kind = self.get("peft_type").and_then(Value::as_str).unwrap_or_default();
        if kind != "LORA" {
            return Err(self.unsupported(format!("peft_type {kind:?}; LORA is read")));
        }
        for key in [
            "fan_in_fan_out",
            "lora_bias",
            "alora_invocation_tokens",
            "arrow_config",
            "trainable_token_indices",
            "layer_replication",
            "target_parameters",
            "megatron_config",
            "kasa_config",
            "lora_ga_config",
            "monteclora_config",
        ] {
            match self.get(key) {
                None | Some(Value::Bool(false)) => {}
                Some(Value::Array(values)) if values.is_empty() => {}
                Some(Value::Object(values)) if values.is_empty() => {}
                Some(value) => return Err(self.unsupported(format!("{key} {value}"))),
            }
        }
        let variants = self
            .fields
            .iter()
            .filter(|(key, _)| key.starts_with("use_") && *key != "use_rslora");
        for (key, value) in variants {
            if *value == Value::Bool(true) {
                return Err(self.unsupported(format!("{key}; plain LoRA and rsLoRA are computed")));
            }
        }
        if let Some(bias) = self.get("bias").filter(|bias| *bias != "none") {
            return Err(self.unsupported(format!("bias {bias}; only \"none\" is read")));
        }
        // These change the base's weights before training, which the saved adapter does not undo.
        let init = self
            .get("init_lora_weights")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let changes_base = ["pissa", "olora", "corda", "loftq", "lora_ga"];
        match changes_base.into_iter().find(|kind| init.starts_with(kind)) {
            Some(_) => Err(self.unsupported(format!(
                "init_lora_weights {init:?} changes the base; save the adapter as a plain LoRA \
                 (path_initial_model_for_weight_conversion)"
            ))),
            None => Ok(()),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    fn unsupported(&self, message: String) -> Error {
        Error::ModelUnsupported {
            path: self.path.clone(),
            message,
        }
    }

    fn invalid(&self, message: String) -> Error {
        Error::ModelInvalid {
            path: self.path.clone(),
            message,
        }
    }

    fn whole(&self, value: &Value, key: &str) -> Result<usize> {
        match value.as_u64() {
            Some(number @ 1..=65_536) => Ok(number as usize),
            _ => Err(self.invalid(format!("{key} is {value}, not a whole number from 1"))),
        }
    }

    fn number(&self, value: &Value, key: &str) -> Result<f64> {
        value
            .as_f64()
            .ok_or_else(|| self.invalid(format!("{key} is {value}, not a number")))
    }

    /// The rank and the alpha of a module: those of the first pattern that its name ends with, else the common ones.
    fn rank_and_alpha(&self, module: &str) -> Result<(usize, f64)> {
        let rank = match self.pattern("rank_pattern", module)? {
            Some(rank) => self.whole(rank, "rank_pattern")?,
            None => self.rank,
        };
        let alpha = match self.pattern("alpha_pattern", module)? {
            Some(alpha) => self.number(alpha, "alpha_pattern")?,
            None => self.alpha,
        };
        Ok((rank, alpha))
    }

    fn pattern(&self, key: &str, module: &str) -> Result<Option<&Value>> {
        let Some(patterns) = self.get(key) else { return Ok(None) };
        let Some(patterns) = patterns.as_object() else {
            return Err(self.invalid(format!("{key} is {patterns}, not an object")));
        };
        for (pattern, value) in patterns {
            if self.matches(&format!(r"^(?:.*\.)?(?:{pattern})$"), module)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn targets(&self, module: &str) -> Result<bool> {
        match self.get("target_modules") {
            None => Ok(true),
            Some(Value::String(all)) if all == "all-linear" => Ok(true),
            Some(Value::String(pattern)) => self.matches(&format!("^(?:{pattern})$"), module),
            Some(Value::Array(names)) => Ok(names
                .iter()
                .filter_map(Value::as_str)
                .any(|name| ends_with(module, name))),
            Some(other) => Err(self.invalid(format!("target_modules is {other}"))),
        }
    }

    /// Whether a tensor belongs to a module that was trained whole.
    fn saves(&self, name: &str) -> bool {
        let Some((module, _)) = name.rsplit_once('.') else {
            return false;
        };
        let listed = self.get("modules_to_save").and_then(Value::as_array);
        let mut names = listed.into_iter().flatten().filter_map(Value::as_str);
        names.any(|saved| {
            let parts = module.match_indices('.').map(|(at, _)| at).chain([module.len()]);
            parts.into_iter().any(|at| ends_with(&module[..at], saved))
        })
    }

    fn matches(&self, pattern: &str, text: &str) -> Result<bool> {
        let found = fancy_regex::Regex::new(pattern).and_then(|regex| regex.is_match(text));
        found.map_err(|error| self.invalid(format!("the pattern {pattern:?}: {error}")))
    }
}

/// Whether a module is called so, or ends with `.name`.
fn ends_with(module: &str, name: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}
