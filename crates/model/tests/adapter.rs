//! Holds merged LoRA adapters against what PEFT computes with them (fixtures/lora-*, scripts/gguf/lora.py).

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde_json::{Value, json};
use surefoot_model::backbone::Backbone;
use surefoot_model::backend::Backend;
use surefoot_model::candle::Candle;
use surefoot_model::checkpoint::{Checkpoint, read_json};
use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::Compute;
use surefoot_model::config::Config;
use surefoot_model::{Overflow, Prm, Source, Trace};

const FAMILIES: [&str; 2] = ["rlhflow-deepseek", "pure"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn adapter(family: &str) -> PathBuf {
    fixtures().join(format!("lora-{family}"))
}

fn never() -> bool {
    false
}

fn integers(value: &Value) -> Vec<usize> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_u64().unwrap() as usize).collect()
}

#[track_caller]
fn assert_close(actual: &[Vec<f32>], expected: &Value, tolerance: f32, what: &str) {
    let expected: Vec<Vec<f32>> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (row, expected) in actual.iter().zip(expected) {
        assert_eq!(row.len(), expected.len(), "{what}");
        for (a, b) in row.iter().zip(expected) {
            assert!((a - b).abs() < tolerance, "{what}: {a} instead of {b}");
        }
    }
}

fn check(family: &str, source: &Source) {
    let expected = read_json(&adapter(family).join("expected.json")).unwrap();
    let model = Prm::load(source, &Compute::default(), &ProfileChoice::named(family)).unwrap();
    let checkpoint = Checkpoint::open(source).unwrap();
    let (config, path) = checkpoint.config().unwrap();
    let backend = Candle::new(Device::Cpu);
    let backbone = Backbone::load(&backend, &checkpoint, &Config::parse(&config, &path).unwrap()).unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let what = format!("{source:?}: {}", case["name"]);
        let ids: Vec<u32> = integers(&case["ids"]).into_iter().map(|id| id as u32).collect();
        let hidden = backbone.hidden(&backend, &ids, &integers(&case["reads"]));
        assert_close(&backend.values(&hidden.unwrap()).unwrap(), &case["hidden"], 2e-4, &what);
        let trace = Trace {
            problem: case["problem"].as_str().unwrap().into(),
            steps: serde_json::from_value(case["steps"].clone()).unwrap(),
            system: None,
            overflow: Overflow::Refuse,
        };
        let prompt = model.encode(&trace).unwrap();
        assert_eq!(prompt.ids, ids, "{what}");
        let scored = model.score(&[&prompt], 512, &never).unwrap().remove(0).unwrap();
        assert_close(&scored.logits, &case["logits"], 2e-4, &what);
    }
}

#[test]
fn an_adapter_over_its_base_gives_what_peft_computes() {
    for family in FAMILIES {
        check(
            family,
            &Source::new(fixtures().join("families").join(family)).with_head(adapter(family)),
        );
    }
}

#[test]
fn an_adapter_alone_finds_the_base_that_it_names_by_path() {
    for family in FAMILIES {
        check(family, &Source::new(adapter(family)));
    }
}

/// Rows of queries and keys are put in order before the update is added.
#[test]
fn an_adapter_over_a_gguf_file_gives_the_same() {
    let base = fixtures().join("gguf-rlhflow-deepseek/model.gguf");
    check(
        "rlhflow-deepseek",
        &Source::new(base).with_head(adapter("rlhflow-deepseek")),
    );
}

/// A copy of an adapter with other settings.
fn changed(name: &str, family: &str, changes: Value) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("surefoot-{}-lora-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let weights = "adapter_model.safetensors";
    std::fs::copy(adapter(family).join(weights), folder.join(weights)).unwrap();
    let mut config = read_json(&adapter(family).join("adapter_config.json")).unwrap();
    config
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    folder
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    for (changes, said) in [
        (json!({ "peft_type": "IA3" }), "IA3"),
        (json!({ "use_dora": true }), "use_dora"),
        (json!({ "use_qalora": true }), "use_qalora"),
        (json!({ "fan_in_fan_out": true }), "fan_in_fan_out"),
        (json!({ "bias": "lora_only" }), "bias"),
        (json!({ "lora_bias": true }), "lora_bias"),
        (json!({ "init_lora_weights": "pissa_niter_4" }), "pissa"),
        (json!({ "layer_replication": [[0, 2]] }), "layer_replication"),
        (json!({ "trainable_token_indices": [1] }), "trainable_token_indices"),
    ] {
        let head = changed("unread", "pure", changes);
        let source = Source::new(fixtures().join("families/pure")).with_head(&head);
        let error = Checkpoint::open(&source).unwrap_err();
        std::fs::remove_dir_all(head).unwrap();
        assert_eq!(error.code(), "ERR_MODEL_UNSUPPORTED", "{said}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn settings_that_contradict_the_tensors_are_refused() {
    for (changes, said) in [
        (json!({ "r": 4 }), "rank 4"),
        (json!({ "rank_pattern": { "q_proj": 2 } }), "rank 2"),
        (json!({ "rank_pattern": { "(": 2 } }), "pattern"),
        (json!({ "r": 0 }), "r is 0"),
        (json!({ "target_modules": ["q_proj", "v_proj"] }), "gate_proj"),
        (json!({ "modules_to_save": null }), "modules_to_save"),
        (json!({ "lora_alpha": "much" }), "lora_alpha"),
    ] {
        let head = changed("contradiction", "pure", changes);
        let source = Source::new(fixtures().join("families/pure")).with_head(&head);
        let error = Checkpoint::open(&source).unwrap_err();
        std::fs::remove_dir_all(head).unwrap();
        assert_eq!(error.code(), "ERR_MODEL_INVALID", "{said}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_base_that_is_not_here_is_asked_for() {
    let alone = changed(
        "alone",
        "pure",
        json!({ "base_model_name_or_path": "Qwen/Qwen2.5-Math-7B" }),
    );
    let error = Checkpoint::open(&Source::new(&alone)).unwrap_err();
    std::fs::remove_dir_all(alone).unwrap();
    assert!(error.to_string().contains("Qwen/Qwen2.5-Math-7B"), "{error}");
    assert!(error.to_string().contains("as the head"), "{error}");
}
