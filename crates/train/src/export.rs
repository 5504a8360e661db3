//! What training made, in the formats of other tools: a model folder as transformers saves them, or a LoRA adapter as PEFT
//! does.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use surefoot_model::config::Family;

use crate::error::{Error, Result};
use crate::head::Head;
use crate::settings::{Method, Objective, TARGETS};
use crate::state::{Tensor, write_tensors, write_whole};
use crate::trainer::Trainer;
use crate::weight::Parameter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// Whole weights in f32, LoRA's updates added: TokenClassification, or CausalLM for a policy.
    Model,
    /// adapter_config.json and adapter_model.safetensors, the head among `modules_to_save`.
    Adapter,
}

/// What stands beside the weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Beside {
    /// surefoot.json: the profile that reads the scores.
    pub profile: Option<Value>,
    /// `base_model_name_or_path` of an adapter: a hub id, or the path of the base as it is found from the adapter.
    pub base: Option<String>,
}

impl Trainer {
    /// Writes the weights as they are now into a folder, each file whole or not at all.
    pub fn export(&self, folder: &Path, format: Format, beside: &Beside) -> Result<()> {
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        if let Some(profile) = &beside.profile {
            write_json(&folder.join("surefoot.json"), profile)?;
        }
        match format {
            Format::Model => self.export_model(folder)?,
            Format::Adapter => self.export_adapter(folder, beside)?,
        }
        self.export_tokenizer(folder)
    }

    fn learned(&self) -> HashMap<&str, &Parameter> {
        let named = self.parameters().iter();
        named.map(|named| (named.name.as_str(), &*named.parameter)).collect()
    }

    fn export_model(&self, folder: &Path) -> Result<()> {
        let learned = self.learned();
        let scores = matches!(self.head(), Head::Scores(_));
        let mut tensors = Vec::new();
        for name in self.base.names() {
            let is_head = name.starts_with("score.");
            let output = name == "lm_head.weight";
            if is_head || output && (scores || self.config.tied_embeddings) || name.ends_with(".inv_freq") {
                continue;
            }
            let shape = self.base.shape(name).unwrap_or_default().to_vec();
            let module = name.trim_end_matches(".weight");
            let half = |half: &str| learned.get(format!("{module}.{half}.weight").as_str()).copied();
            let (whole, update) = (learned.get(name).copied(), half("lora_A").zip(half("lora_B")));
            let numbers = {
                let shape = shape.clone();
                move || {
                    if let Some(parameter) = whole {
                        return Ok(parameter.values().clone());
                    }
                    let mut values = self.base.read(name, &shape)?;
                    if let Some((a, b)) = update {
                        self.add_update(&mut values, a, b);
                    }
                    Ok(values)
                }
            };
            tensors.push(Tensor {
                name: name.to_owned(),
                shape,
                numbers: Box::new(numbers),
            });
        }
        tensors.extend(self.head_tensors("score."));
        write_tensors(&folder.join("model.safetensors"), &tensors, &[("format", "pt")])?;
        write_json(&folder.join("config.json"), &self.model_config()?)
    }

    fn head_tensors(&self, prefix: &str) -> Vec<Tensor<'static>> {
        let Head::Scores(scores) = self.head() else {
            return vec![];
        };
        let (weight, bias) = scores.linear2();
        [
            ("weight", weight, vec![2, self.config.hidden_size]),
            ("bias", bias, vec![2]),
        ]
        .into_iter()
        .map(|(part, values, shape)| Tensor {
            name: format!("{prefix}{part}"),
            shape,
            numbers: Box::new(move || Ok(values.clone())),
        })
        .collect()
    }

    fn add_update(&self, values: &mut [f32], a: &Parameter, b: &Parameter) {
        let Method::Lora { rank, alpha, .. } = self.settings.method else {
            return;
        };
        let scale = alpha / rank as f64;
        let (a, b) = (a.values(), b.values());
        let columns = a.len() / rank;
        for (row, b) in values.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
            for (b, a) in b.iter().zip(a.chunks_exact(columns)) {
                crate::lanes::add(row, a, (scale * f64::from(*b)) as f32);
            }
        }
    }

    fn model_config(&self) -> Result<Value> {
        let (mut config, _) = self.base.config()?;
        let family = match self.config.family {
            Family::Qwen2 => "Qwen2",
            Family::Qwen3 => "Qwen3",
            Family::Llama => "Llama",
            Family::Mistral => "Mistral",
        };
        let head = match self.settings.objective {
            Objective::NextToken => "ForCausalLM",
            _ => "ForTokenClassification",
        };
        config["architectures"] = json!([format!("{family}{head}")]);
        let fields = config.as_object_mut();
        if let Some(fields) = fields {
            fields.remove("torch_dtype");
            // A quantised base was widened.
            fields.remove("quantization_config");
        }
        config["dtype"] = json!("float32");
        if self.settings.objective != Objective::NextToken {
            config["num_labels"] = json!(2);
            config["id2label"] = json!({ "0": "wrong", "1": "right" });
            config["label2id"] = json!({ "wrong": 0, "right": 1 });
            config["classifier_dropout"] = json!(0.0);
        }
        Ok(config)
    }

    fn export_adapter(&self, folder: &Path, beside: &Beside) -> Result<()> {
        let Method::Lora { rank, alpha, targets } = &self.settings.method else {
            return Err(Error::invalid(
                "format",
                "an adapter is what LoRA trains; save the whole model instead",
            ));
        };
        let prefix = "base_model.model.";
        let mut tensors = self.head_tensors(&format!("{prefix}score."));
        for named in self.parameters().iter().filter(|named| named.name.contains(".lora_")) {
            let parameter = named.parameter.clone();
            tensors.push(Tensor {
                name: format!("{prefix}{}", named.name),
                shape: parameter.shape.clone(),
                numbers: Box::new(move || Ok(parameter.values().clone())),
            });
        }
        write_tensors(&folder.join("adapter_model.safetensors"), &tensors, &[("format", "pt")])?;
        let scores = matches!(self.head(), Head::Scores(_));
        let base = beside
            .base
            .clone()
            .unwrap_or_else(|| self.base.path().display().to_string());
        let all = TARGETS.map(str::to_owned).to_vec();
        write_json(
            &folder.join("adapter_config.json"),
            &json!({
                "peft_type": "LORA",
                "task_type": if scores { "TOKEN_CLS" } else { "CAUSAL_LM" },
                "base_model_name_or_path": base,
                "inference_mode": true,
                "r": rank,
                "lora_alpha": alpha,
                "lora_dropout": 0.0,
                "bias": "none",
                "fan_in_fan_out": false,
                "init_lora_weights": true,
                "use_rslora": false,
                "target_modules": if targets.is_empty() { &all } else { targets },
                "modules_to_save": if scores { json!(["score"]) } else { Value::Null },
            }),
        )
    }

    fn export_tokenizer(&self, folder: &Path) -> Result<()> {
        let files = self.base.tokenizer()?;
        write_bytes(&folder.join("tokenizer.json"), &files.json)?;
        let own = files.path.parent().unwrap_or(files.path.as_path());
        let settings = own.join("tokenizer_config.json");
        if !self.base.is_gguf() && settings.is_file() {
            for name in [
                "tokenizer_config.json",
                "special_tokens_map.json",
                "chat_template.jinja",
                "chat_template.json",
                "generation_config.json",
            ] {
                let from = own.join(name);
                if from.is_file() {
                    let bytes = fs::read(&from).map_err(|source| Error::io(&from, source))?;
                    write_bytes(&folder.join(name), &bytes)?;
                }
            }
            return Ok(());
        }
        write_json(
            &folder.join("tokenizer_config.json"),
            &json!({
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": files.bos_token,
                "eos_token": files.eos_token,
                "add_bos_token": files.begins_with_bos && files.bos_token.is_some(),
                "chat_template": files.chat_template,
            }),
        )
    }
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    write_bytes(path, format!("{value:#}\n").as_bytes())
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, |file| {
        file.write_all(bytes).map_err(|source| Error::io(path, source))
    })
}
