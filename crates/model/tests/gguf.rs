//! Holds GGUF files against the checkpoints they were made from, transformers' `gguf_file=` and llama2.c
//! (fixtures/gguf-*, scripts/gguf/write.py).

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde_json::Value;
use surefoot_model::backbone::Backbone;
use surefoot_model::backend::{Backend, Epilogue, linear};
use surefoot_model::candle::Candle;
use surefoot_model::checkpoint::{Checkpoint, read_json};
use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::Compute;
use surefoot_model::config::Config;
use surefoot_model::gguf::Gguf;
use surefoot_model::tokenizer::Tokenizer;
use surefoot_model::{Overflow, Prm, Source, Trace};

/// Files that hold their family's own numbers.
const EXACT: [&str; 5] = [
    "rlhflow-deepseek",
    "math-shepherd",
    "reasonflux",
    "trl",
    "reasoneval-34b",
];
/// Files with rounded numbers, and their families.
const ROUNDED: [&str; 3] = ["rlhflow-q8_0", "reasonflux-q4_0", "versaprm"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn source(name: &str) -> Source {
    let folder = fixtures().join(format!("gguf-{name}"));
    let head = folder.join("head.safetensors");
    Source {
        path: folder.join("model.gguf"),
        head: head.is_file().then_some(head),
    }
}

fn never() -> bool {
    false
}

fn floats(value: &Value) -> Vec<f32> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap() as f32).collect()
}

fn integers(value: &Value) -> Vec<usize> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_u64().unwrap() as usize).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    integers(value).into_iter().map(|id| id as u32).collect()
}

struct Opened {
    checkpoint: Checkpoint,
    config: Config,
    backend: Candle,
    backbone: Backbone<Candle>,
}

fn open(source: &Source) -> Opened {
    let checkpoint = Checkpoint::open(source).unwrap();
    let (json, path) = checkpoint.config().unwrap();
    let config = Config::parse(&json, &path).unwrap();
    let backend = Candle::new(Device::Cpu);
    Opened {
        backbone: Backbone::load(&backend, &checkpoint, &config).unwrap(),
        checkpoint,
        config,
        backend,
    }
}

impl Opened {
    fn hidden(&self, ids: &[u32], reads: &[usize]) -> Vec<Vec<f32>> {
        let rows = self.backbone.hidden(&self.backend, ids, reads);
        self.backend.values(&rows.unwrap()).unwrap()
    }

    fn tokenizer(&self) -> Tokenizer {
        Tokenizer::new(&self.checkpoint.tokenizer().unwrap(), self.config.vocab_size).unwrap()
    }
}

fn largest_difference(actual: &[Vec<f32>], expected: &Value) -> f32 {
    let rows = expected.as_array().unwrap();
    assert_eq!(actual.len(), rows.len());
    let pairs = actual.iter().zip(rows).flat_map(|(row, expected)| {
        let expected = floats(expected);
        assert_eq!(row.len(), expected.len());
        row.iter().zip(expected).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>()
    });
    pairs.fold(0.0, f32::max)
}

#[test]
fn a_file_with_the_same_numbers_gives_the_ids_and_scores_of_the_folder() {
    for name in EXACT {
        let model = Prm::load(&source(name), &Compute::default(), &ProfileChoice::named(name)).unwrap();
        let expected = read_json(&fixtures().join("families").join(name).join("expected.json")).unwrap();
        let mut largest = 0.0;
        for case in expected["cases"].as_array().unwrap() {
            let what = format!("{name}: {}", case["name"]);
            let trace = Trace {
                problem: case["problem"].as_str().unwrap().into(),
                steps: serde_json::from_value(case["steps"].clone()).unwrap(),
                system: None,
                overflow: Overflow::Refuse,
            };
            let prompt = model.encode(&trace).unwrap();
            assert_eq!(prompt.ids, ids(&case["ids"]), "{what}");
            assert_eq!(prompt.reads, integers(&case["reads"]), "{what}");
            let scored = model.score(&[&prompt], 512, &never).unwrap().remove(0).unwrap();
            let scores = Value::Array(vec![case["scores"].clone()]);
            let difference = largest_difference(&[scored.scores], &scores);
            assert!(difference < 1e-4, "{what}: {difference}");
            let difference = largest_difference(&scored.logits, &case["logits"]);
            assert!(difference < 2e-4, "{what}: {difference}");
            largest = difference.max(largest);
        }
        eprintln!("{name}: largest difference of a logit {largest:.1e}");
    }
}

#[test]
fn quantised_files_give_the_hidden_states_and_ids_of_transformers() {
    for name in ROUNDED {
        let opened = open(&source(name));
        let tokenizer = opened.tokenizer();
        let expected = read_json(&fixtures().join(format!("gguf-{name}/expected.json"))).unwrap();
        let mut largest = 0.0;
        for case in expected["cases"].as_array().unwrap() {
            let hidden = opened.hidden(&ids(&case["ids"]), &integers(&case["reads"]));
            let difference = largest_difference(&hidden, &case["hidden"]);
            assert!(difference < 2e-4, "{name}: {}: {difference}", case["name"]);
            largest = difference.max(largest);
            let text = case["text"].as_str().unwrap();
            assert_eq!(
                tokenizer.encode(text).unwrap(),
                ids(&case["text_ids"]),
                "{name}: {text}"
            );
        }
        eprintln!("{name}: largest difference of a hidden state {largest:.1e}");
    }
}

#[test]
fn every_type_is_dequantised_as_gguf_does_whole_and_by_rows() {
    let checkpoint_path = fixtures().join("gguf-types/model.gguf");
    let file = Gguf::open(&checkpoint_path).unwrap();
    let expected = read_json(&fixtures().join("gguf-types/expected.json")).unwrap();
    let expected = expected["rows"].as_object().unwrap();
    assert_eq!(file.tensors.len(), expected.len());
    for (name, stored) in &file.tensors {
        let rows: Vec<Vec<f32>> = expected[name].as_array().unwrap().iter().map(floats).collect();
        let values = stored.read(name).unwrap();
        for (value, expected) in values.iter().zip(rows.iter().flatten()) {
            assert!(
                (value - expected).abs() <= 1e-6 * expected.abs().max(0.1),
                "{name}: {value} {expected}"
            );
        }
        assert_eq!(values.len(), rows.len() * rows[0].len(), "{name}");
        let width = rows[0].len();
        let some = stored.read_rows(name, &[2, 0]).unwrap();
        assert_eq!(some[..width], values[2 * width..], "{name}");
        assert_eq!(some[width..], values[..width], "{name}");
    }
}

/// In llama's files the halves of each query and key head alternate; everyone else's stand as they are.
#[test]
fn the_rows_of_llama_s_queries_and_keys_are_put_in_order_whole_and_by_rows() {
    for (name, part) in [
        ("rlhflow-deepseek", "q_proj"),
        ("rlhflow-deepseek", "k_proj"),
        ("trl", "q_proj"),
    ] {
        let tensor = format!("model.layers.1.self_attn.{part}.weight");
        let file = Checkpoint::open(&source(name)).unwrap();
        let folder = Checkpoint::open(&Source::new(fixtures().join("families").join(name))).unwrap();
        let shape = folder.shape(&tensor).unwrap().to_vec();
        let values = folder.read(&tensor, &shape).unwrap();
        assert!(file.read(&tensor, &shape).unwrap() == values, "{name}: {tensor}");
        let rows = file.read_rows(&tensor, &shape, &[5, 2]).unwrap();
        let row = |row: usize| &values[row * shape[1]..][..shape[1]];
        assert_eq!(rows, [row(5), row(2)].concat(), "{name}");
    }
}

fn folder_tensors(name: &str) -> impl Iterator<Item = String> {
    let folder = Checkpoint::open(&Source::new(fixtures().join("families").join(name))).unwrap();
    let names: Vec<_> = folder.names().map(str::to_owned).collect();
    names.into_iter()
}

#[test]
fn the_config_is_that_of_the_folder() {
    for name in EXACT {
        let parse = |source: &Source| {
            let (json, path) = Checkpoint::open(source).unwrap().config().unwrap();
            Config::parse(&json, &path).unwrap()
        };
        let (file, folder) = (
            parse(&source(name)),
            parse(&Source::new(fixtures().join("families").join(name))),
        );
        // A GGUF file of Mistral without a window is one of Llama, and none names an architecture of transformers.
        let mut same = folder.clone();
        same.architectures = vec![];
        same.family = file.family;
        if folder_tensors(name).all(|tensor| tensor != "lm_head.weight") {
            same.tied_embeddings = true;
        }
        same.norm_eps = file.norm_eps;
        same.rope = file.rope.clone();
        assert_eq!(file, same, "{name}");
        assert!((file.norm_eps - folder.norm_eps).abs() < 1e-12, "{name}");
        let ((a, factor_a), (b, factor_b)) = (
            file.rope.frequencies(file.head_dim),
            folder.rope.frequencies(file.head_dim),
        );
        assert!(
            a.iter().zip(&b).all(|(a, b)| (a / b - 1.0).abs() < 1e-6),
            "{name}: {a:?} {b:?}"
        );
        assert_eq!(factor_a, factor_b, "{name}");
    }
}

#[test]
fn the_template_and_the_special_tokens_come_from_the_metadata() {
    let files = Checkpoint::open(&source("rlhflow-deepseek"))
        .unwrap()
        .tokenizer()
        .unwrap();
    let folder = Source::new(fixtures().join("families/rlhflow-deepseek"));
    let expected = Checkpoint::open(&folder).unwrap().tokenizer().unwrap();
    assert!(expected.chat_template.is_some());
    assert_eq!(files.chat_template, expected.chat_template);
    assert_eq!(
        (files.bos_token, files.eos_token),
        (expected.bos_token, expected.eos_token)
    );
}

#[test]
fn a_head_that_stands_in_the_backbone_too_is_refused() {
    let mut twice = source("trl");
    twice.head = Some(fixtures().join("families/reasonflux/model.safetensors"));
    let error = Checkpoint::open(&twice).unwrap_err();
    assert_eq!(error.code(), "ERR_MODEL_INVALID");
    let none = source("trl").with_head(fixtures());
    assert_eq!(Checkpoint::open(&none).unwrap_err().code(), "ERR_MODEL_INVALID");
    let lost = source("trl").with_head("nowhere");
    assert_eq!(Checkpoint::open(&lost).unwrap_err().code(), "ERR_MODEL_NOT_FOUND");
}

/// A trained SentencePiece Llama in GGUF, as llama2.c's converter wrote it.
#[test]
fn stories260k_writes_the_golden_story() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/models/stories260k");
    if !data.is_dir() {
        eprintln!("NOT RUN: stories260k_writes_the_golden_story needs ../shared");
        return;
    }
    let opened = open(&Source::new(data.join("stories260K.gguf")));
    let golden = ids(&read_json(&data.join("golden_greedy.json")).unwrap()["greedy_ids"]);
    assert_eq!(golden.len(), 256);
    let head = linear(
        &opened.backend,
        &opened.checkpoint,
        "lm_head",
        opened.config.vocab_size,
        opened.config.hidden_size,
        false,
    );
    let reads: Vec<usize> = (0..golden.len() - 1).collect();
    let hidden = opened.backbone.hidden(&opened.backend, &golden, &reads);
    let logits = head.unwrap().forward(&opened.backend, &hidden.unwrap(), Epilogue::None);
    let logits = logits.unwrap();
    for (row, next) in opened.backend.values(&logits).unwrap().iter().zip(&golden[1..]) {
        assert_eq!(argmax(row), *next);
    }
    let folder = Source::new(fixtures().join("stories260k/hf"));
    let expected = Checkpoint::open(&folder).unwrap().tokenizer().unwrap();
    let expected = Tokenizer::new(&expected, opened.config.vocab_size).unwrap();
    for text in [
        "Once upon a time, there was a girl named Zoë.",
        "  two blanks\nand 12345 \u{1F980}",
        "",
        " ",
    ] {
        assert_eq!(
            opened.tokenizer().encode(text).unwrap(),
            expected.encode(text).unwrap(),
            "{text:?}"
        );
    }
}

/// A really trained model: scripts/gguf/smollm2.sh fetches it and writes what transformers computes.
#[test]
#[ignore = "needs SMOLLM2, the folder that scripts/gguf/smollm2.sh fills"]
fn smollm2_writes_what_transformers_writes() {
    let folder = PathBuf::from(std::env::var_os("SMOLLM2").expect("SMOLLM2, a folder"));
    let opened = open(&Source::new(folder.join("model.gguf")));
    let tokenizer = opened.tokenizer();
    let config = &opened.config;
    let head = linear(
        &opened.backend,
        &opened.checkpoint,
        "model.embed_tokens",
        config.vocab_size,
        config.hidden_size,
        false,
    );
    let head = head.unwrap();
    let (mut tokens, mut ties, mut largest, mut size) = (0, 0, 0f32, 0f32);
    let expected = read_json(&folder.join("expected.json")).unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let prompt = ids(&case["prompt_ids"]);
        let text = case["prompt"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), prompt, "{text}");
        let greedy = ids(&case["greedy_ids"]);
        let all = [prompt.as_slice(), greedy.as_slice()].concat();
        let reads: Vec<usize> = (prompt.len() - 1..all.len() - 1).collect();
        let rows = opened.backbone.hidden(&opened.backend, &all, &reads);
        let rows = rows.unwrap();
        let hidden = opened.backend.values(&rows).unwrap();
        let last = Value::Array(vec![case["hidden"].clone()]);
        largest = largest_difference(&hidden[..1], &last).max(largest);
        size = hidden[0].iter().fold(size, |size, value| size.max(value.abs()));
        let logits = head.forward(&opened.backend, &rows, Epilogue::None).unwrap();
        let gaps = floats(&case["gaps"]);
        for ((row, next), gap) in opened.backend.values(&logits).unwrap().iter().zip(&greedy).zip(gaps) {
            if argmax(row) != *next {
                assert!(gap < 1e-3, "{text}: token {next} by a gap of {gap}");
                ties += 1;
                break;
            }
            tokens += 1;
        }
    }
    eprintln!(
        "{tokens} greedy tokens agree, {ties} near-ties; hidden states differ by {largest:.1e} at most, of {size:.1}"
    );
    assert!(largest < 1e-3 * size);
}

fn argmax(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.unwrap().0 as u32
}

/// The hub's cache keeps files under their hashes, and their names in links.
#[cfg(unix)]
#[test]
fn a_link_is_read_by_its_own_name() {
    let folder = std::env::temp_dir().join(format!("surefoot-{}-links", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let blob = folder.join("0123abcd");
    std::fs::copy(source("rlhflow-deepseek").path, &blob).unwrap();
    let link = folder.join("model.gguf");
    std::os::unix::fs::symlink(&blob, &link).unwrap();
    let opened = Checkpoint::open(&Source::new(&link)).map(|checkpoint| checkpoint.names().count());
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(opened.unwrap() > 10);
}
