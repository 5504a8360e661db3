//! Holds the model against what transformers, TRL and llama2.c compute (fixtures/README.md).

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde_json::Value;
use surefoot_model::backbone::Backbone;
use surefoot_model::backend::{Backend, Epilogue, Linear, linear};
use surefoot_model::candle::Candle;
use surefoot_model::checkpoint::{Checkpoint, read_json};
use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::Compute;
use surefoot_model::config::Config;
use surefoot_model::profile::Profile;
use surefoot_model::prompt::{Encoder, Prompt};
use surefoot_model::tokenizer::{Tokenizer, TokenizerFiles};
use surefoot_model::{Overflow, Prm, Source, Trace};

const CHECKPOINTS: [&str; 6] = [
    "qwen2-mlp2",
    "qwen2-linear2",
    "qwen2-vhead",
    "llama-mlp2",
    "llama-linear2",
    "llama-vhead",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture(name: &str) -> PathBuf {
    repository().join("fixtures").join(name)
}

fn never() -> bool {
    false
}

fn floats(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect()
}

fn ids<T: TryFrom<u64>>(value: &Value) -> Vec<T> {
    let numbers = value.as_array().unwrap().iter();
    numbers
        .map(|x| T::try_from(x.as_u64().unwrap()).ok().unwrap())
        .collect()
}

fn trace(case: &Value) -> Trace {
    Trace {
        problem: case["problem"].as_str().unwrap().into(),
        steps: serde_json::from_value(case["steps"].clone()).unwrap(),
        system: None,
        overflow: Overflow::Refuse,
    }
}

/// The cases of a checkpoint by separator, each with the model that reads them.
fn cases(name: &str) -> Vec<(Prm, Vec<Value>)> {
    let expected = read_json(&fixture(name).join("expected.json")).unwrap();
    let all = expected["cases"].as_array().unwrap();
    let separators = all.iter().map(|case| case["separator"].as_str());
    let mut separators: Vec<_> = separators.collect();
    separators.sort();
    separators.dedup();
    let groups = separators.into_iter().map(|separator| {
        let choice = match separator {
            Some(separator) => ProfileChoice::default().with("separator", separator),
            None => ProfileChoice::default(),
        };
        let model = Prm::load(&Source::new(fixture(name)), &Compute::default(), &choice).unwrap();
        let cases = all.iter().filter(|case| case["separator"].as_str() == separator);
        (model, cases.cloned().collect())
    });
    groups.collect()
}

#[track_caller]
fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "{what}: {a} instead of {e} at {index}");
    }
}

#[test]
fn ids_and_read_positions_are_those_of_the_reference() {
    for name in CHECKPOINTS {
        for (model, cases) in cases(name) {
            for case in cases {
                let prompt = model.encode(&trace(&case)).unwrap();
                let what = format!("{name}: {}", case["name"]);
                assert_eq!(prompt.ids, ids::<u32>(&case["ids"]), "{what}");
                assert_eq!(prompt.reads, ids::<usize>(&case["reads"]), "{what}");
            }
        }
    }
}

#[test]
fn scores_and_logits_are_those_of_the_reference() {
    for name in CHECKPOINTS {
        for (model, cases) in cases(name) {
            for case in cases {
                let prompt = model.encode(&trace(&case)).unwrap();
                let scored = model.score(&[&prompt], 512, &never).unwrap().remove(0).unwrap();
                let what = format!("{name}: {}", case["name"]);
                assert_close(&scored.scores, &floats(&case["scores"]), 1e-4, &what);
                for (row, expected) in scored.logits.iter().zip(case["logits"].as_array().unwrap()) {
                    assert_close(row, &floats(expected), 2e-4, &what);
                }
            }
        }
    }
}

#[test]
fn hidden_states_are_those_of_the_reference() {
    for name in CHECKPOINTS {
        let (backend, checkpoint, config) = open(&fixture(name));
        let backbone = Backbone::load(&backend, &checkpoint, &config).unwrap();
        let expected = read_json(&fixture(name).join("expected.json")).unwrap();
        for case in expected["cases"].as_array().unwrap() {
            let hidden = backbone
                .hidden(&backend, &ids::<u32>(&case["ids"]), &ids::<usize>(&case["reads"]))
                .unwrap();
            for (row, expected) in backend
                .values(&hidden)
                .unwrap()
                .iter()
                .zip(case["hidden"].as_array().unwrap())
            {
                assert_close(row, &floats(expected), 2e-4, &format!("{name}: {}", case["name"]));
            }
        }
    }
}

#[test]
fn company_and_order_change_no_score() {
    for name in CHECKPOINTS {
        for (model, cases) in cases(name) {
            let prompts: Vec<Prompt> = cases.iter().map(|case| model.encode(&trace(case)).unwrap()).collect();
            let alone: Vec<_> = prompts
                .iter()
                .map(|prompt| model.score(&[prompt], 512, &never).unwrap().remove(0).unwrap())
                .collect();
            let forth: Vec<&Prompt> = prompts.iter().collect();
            let back: Vec<&Prompt> = prompts.iter().rev().collect();
            let mut reversed = model.score(&back, 512, &never).unwrap();
            reversed.reverse();
            for results in [model.score(&forth, 512, &never).unwrap(), reversed] {
                for (together, alone) in results.iter().zip(&alone) {
                    assert_close(&together.as_ref().unwrap().scores, &alone.scores, 1e-5, name);
                }
            }
        }
    }
}

#[test]
fn a_step_does_not_see_the_steps_after_it() {
    for name in CHECKPOINTS {
        for (model, cases) in cases(name) {
            let longest = cases
                .iter()
                .max_by_key(|case| case["steps"].as_array().unwrap().len())
                .unwrap();
            let long = trace(longest);
            let whole = model.encode(&long).unwrap();
            let whole = model.score(&[&whole], 512, &never).unwrap().remove(0).unwrap();
            for steps in [1, long.steps.len() / 2, long.steps.len() - 1] {
                let cut = Trace {
                    steps: long.steps[..steps].to_vec(),
                    ..long.clone()
                };
                let cut = model.encode(&cut).unwrap();
                let cut = model.score(&[&cut], 512, &never).unwrap().remove(0).unwrap();
                assert_close(&cut.scores, &whole.scores[..steps], 1e-5, name);
            }
        }
    }
}

#[test]
fn the_output_layer_gives_the_logits_of_the_reference() {
    let mut checked = 0;
    for name in CHECKPOINTS {
        let expected = read_json(&fixture(name).join("expected.json")).unwrap();
        let Some(case) = expected.get("causal_lm") else {
            continue;
        };
        let (backend, checkpoint, config) = open(&fixture(name));
        let language_model = LanguageModel::load(&backend, &checkpoint, &config);
        let logits = language_model.logits(&backend, &ids(&case["ids"]));
        for pair in case["top"].as_array().unwrap() {
            let id = pair[0].as_u64().unwrap() as usize;
            assert_close(&[logits[id]], &[pair[1].as_f64().unwrap() as f32], 2e-4, name);
        }
        checked += 1;
    }
    assert!(checked >= 2, "one tied and one untied output layer");
}

#[test]
fn stories260k_writes_its_story() {
    let (backend, checkpoint, config) = open(&fixture("stories260k/hf"));
    let language_model = LanguageModel::load(&backend, &checkpoint, &config);
    let golden = read_json(&fixture("stories260k/golden_greedy.json")).unwrap();
    let story: Vec<u32> = ids(&golden["greedy_ids"]);
    assert_eq!(story.len(), 256);
    for length in 1..story.len() {
        let logits = language_model.logits(&backend, &story[..length]);
        let best = (0..logits.len())
            .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
            .unwrap();
        assert_eq!(best as u32, story[length], "after {length} tokens");
    }
}

#[test]
fn the_tokenizer_of_qwen_gives_the_ids_of_transformers() {
    let shared = repository().join("../shared/data");
    if !shared.is_dir() {
        eprintln!("NOT RUN: the_tokenizer_of_qwen_gives_the_ids_of_transformers needs ../shared");
        return;
    }
    let folder = std::env::temp_dir().join(format!("surefoot-qwen-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    with_extra_0(
        &shared.join("models/tokenizer-qwen2_5/tokenizer.json"),
        &folder.join("tokenizer.json"),
    );
    let tokenizer = Tokenizer::new(&TokenizerFiles::of_folder(&folder).unwrap(), 152_064).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(tokenizer.special("<extra_0>").unwrap(), 151_651);
    check_qwen_lines(tokenizer, &shared);
}

/// The PRMs' tokenizer: `<extra_0>` in the place of `<|quad_end|>`.
fn with_extra_0(from: &Path, to: &Path) {
    let text = std::fs::read_to_string(from).unwrap();
    std::fs::write(to, text.replace("<|quad_end|>", "<extra_0>")).unwrap();
}

fn open(folder: &Path) -> (Candle, Checkpoint, Config) {
    let path = folder.join("config.json");
    let config = Config::parse(&read_json(&path).unwrap(), &path).unwrap();
    (
        Candle::new(Device::Cpu),
        Checkpoint::open(&Source::new(folder)).unwrap(),
        config,
    )
}

struct LanguageModel {
    backbone: Backbone<Candle>,
    lm_head: Linear<Candle>,
}

impl LanguageModel {
    fn load(backend: &Candle, checkpoint: &Checkpoint, config: &Config) -> Self {
        let backbone = Backbone::load(backend, checkpoint, config).unwrap();
        let name = if config.tied_embeddings {
            "model.embed_tokens"
        } else {
            "lm_head"
        };
        let lm_head = linear(backend, checkpoint, name, config.vocab_size, config.hidden_size, false).unwrap();
        Self { backbone, lm_head }
    }

    /// Of the token after `ids`.
    fn logits(&self, backend: &Candle, ids: &[u32]) -> Vec<f32> {
        let hidden = self.backbone.hidden(backend, ids, &[ids.len() - 1]).unwrap();
        let logits = self.lm_head.forward(backend, &hidden, Epilogue::None).unwrap();
        backend.values(&logits).unwrap().remove(0)
    }
}

/// Lines, and whole prompts, of real mathematics.
fn check_qwen_lines(tokenizer: Tokenizer, shared: &Path) {
    let expected = read_json(&fixture("qwen2_5-tokenizer.json")).unwrap();
    let lines = expected["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 200);
    for line in lines {
        let text = match line["text"].as_str() {
            Some(text) => text.to_owned(),
            None => referenced(shared, line),
        };
        assert_eq!(tokenizer.encode(&text).unwrap(), ids::<u32>(&line["ids"]), "{text}");
    }
    let profile = Profile::named("qwen-prm").unwrap().clone();
    let encoder = Encoder::new(profile, tokenizer, None, 4096).unwrap();
    for case in expected["prompts"].as_array().unwrap() {
        let prompt = encoder.encode(&trace(case)).unwrap();
        assert_eq!(prompt.ids, ids::<u32>(&case["ids"]));
        assert_eq!(prompt.reads, ids::<usize>(&case["reads"]));
    }
}

/// Text that its licence keeps out of this repository, by file, row and field.
fn referenced(shared: &Path, line: &Value) -> String {
    let file = std::fs::read_to_string(shared.join(line["file"].as_str().unwrap())).unwrap();
    let row = line["row"].as_u64().unwrap() as usize;
    let rows: Value = serde_json::from_str(&file).unwrap_or_else(|_| {
        file.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect()
    });
    rows[row][line["field"].as_str().unwrap()].as_str().unwrap().to_owned()
}
