//! GGUF files that lie, that ask for what is not computed, or that are damaged: typed errors, never a panic.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use surefoot_model::checkpoint::Checkpoint;
use surefoot_model::config::Config;
use surefoot_model::gguf::Gguf;
use surefoot_model::tokenizer::Tokenizer;
use surefoot_model::{Error, Source};

const REAL: &str = "../../fixtures/gguf-math-shepherd/model.gguf";

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("surefoot-{}-{name}.gguf", std::process::id()))
}

/// A header by hand: key and value pairs, then tensors by name, sizes, type and offset, then zeros.
fn file(pairs: &[(&str, Vec<u8>)], tensors: &[(&str, &[u64], u32, u64)], data: usize) -> Vec<u8> {
    let text = |text: &str| [(text.len() as u64).to_le_bytes().to_vec(), text.as_bytes().to_vec()].concat();
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((pairs.len() as u64).to_le_bytes());
    for (key, value) in pairs {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    for (name, sizes, kind, offset) in tensors {
        bytes.extend(text(name));
        bytes.extend((sizes.len() as u32).to_le_bytes());
        bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    bytes
}

fn u32_value(number: u32) -> Vec<u8> {
    [4u32.to_le_bytes(), number.to_le_bytes()].concat()
}

fn parse(bytes: &[u8], name: &str) -> Result<Gguf, Error> {
    let path = temporary(name);
    std::fs::write(&path, bytes).unwrap();
    let result = Gguf::open(&path);
    std::fs::remove_file(&path).unwrap();
    result
}

#[test]
fn a_sound_header_is_read() {
    let bytes = file(&[("a", u32_value(7))], &[("t", &[4, 2], 0, 0), ("u", &[2], 1, 32)], 36);
    let gguf = parse(&bytes, "sound").unwrap();
    assert_eq!(gguf.unsigned("a").unwrap(), Some(7));
    assert_eq!(gguf.tensors[0].1.shape, [2, 4]);
    assert_eq!(gguf.tensors[1].1.offset % 32, 0);
}

#[test]
fn lies_are_refused() {
    let array = |kind: u32, count: u64| {
        [
            9u32.to_le_bytes().to_vec(),
            kind.to_le_bytes().to_vec(),
            count.to_le_bytes().to_vec(),
        ]
        .concat()
    };
    let sound: (&str, &[u64], u32, u64) = ("t", &[4], 0, 0);
    let mut many = b"GGUF\x03\0\0\0".to_vec();
    many.extend(u64::MAX.to_le_bytes());
    many.extend(0u64.to_le_bytes());
    for (bytes, name) in [
        (file(&[], &[sound], 15), "short"),
        (file(&[], &[("t", &[1 << 63, 4], 0, 0)], 16), "overflow"),
        (file(&[], &[("t", &[0], 0, 0)], 16), "nothing"),
        (file(&[], &[("t", &[16], 2, 0)], 16), "half a block"),
        (file(&[], &[("t", &[4], 0, 4)], 32), "unaligned"),
        (file(&[], &[sound, ("u", &[4], 0, 0)], 64), "overlap"),
        (file(&[], &[sound, ("t", &[4], 0, 32)], 64), "twice"),
        (file(&[], &[("t", &[1, 1, 1, 1, 1], 0, 0)], 16), "five dimensions"),
        (file(&[("a", array(4, 1 << 60))], &[], 0), "long list"),
        (file(&[("a", array(9, 1))], &[], 64), "list of lists"),
        (file(&[("a", array(8, 1 << 40))], &[], 64), "many texts"),
        (file(&[("a", vec![13, 0, 0, 0])], &[], 64), "type"),
        (file(&[("a", u32_value(1)), ("a", u32_value(1))], &[], 0), "key twice"),
        (file(&[("general.alignment", u32_value(0))], &[], 0), "alignment"),
        (file(&[("general.alignment", u32_value(24))], &[], 0), "odd alignment"),
        (many, "many tensors"),
        (b"GGUF\x03\0\0".to_vec(), "stub"),
        (b"PK\x03\x04 a zip".to_vec(), "magic"),
    ] {
        assert_eq!(parse(&bytes, name).unwrap_err().code(), "ERR_MODEL_INVALID", "{name}");
    }
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let text = |text: &str| {
        [
            8u32.to_le_bytes().to_vec(),
            (text.len() as u64).to_le_bytes().to_vec(),
            text.into(),
        ]
        .concat()
    };
    let mut version1 = file(&[], &[], 0);
    version1[4] = 1;
    let mut big_endian = file(&[], &[], 0);
    big_endian[4..8].copy_from_slice(&[0, 0, 0, 3]);
    for (bytes, said) in [
        (version1, "version 1"),
        (big_endian, "big-endian"),
        (file(&[], &[("t", &[256], 23, 0)], 256), "IQ4_XS"),
        (file(&[], &[("t", &[256], 99, 0)], 256), "99"),
        (file(&[("split.count", u32_value(3))], &[], 0), "parts"),
    ] {
        let error = parse(&bytes, "unread").unwrap_err();
        assert_eq!(error.code(), "ERR_MODEL_UNSUPPORTED", "{said}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let path = temporary("arch");
    std::fs::write(&path, file(&[("general.architecture", text("gemma3"))], &[], 0)).unwrap();
    let error = Checkpoint::open(&Source::new(&path)).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(error.to_string().contains("gemma3"), "{error}");
}

fn text_value(text: &str) -> Vec<u8> {
    [
        8u32.to_le_bytes().to_vec(),
        (text.len() as u64).to_le_bytes().to_vec(),
        text.into(),
    ]
    .concat()
}

fn list(kind: u32, values: &[Vec<u8>]) -> Vec<u8> {
    let count = (values.len() as u64).to_le_bytes();
    [
        9u32.to_le_bytes().to_vec(),
        kind.to_le_bytes().to_vec(),
        count.to_vec(),
        values.concat(),
    ]
    .concat()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    let values: Vec<_> = texts.iter().map(|text| text_value(text)[4..].to_vec()).collect();
    list(8, &values)
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    let values: Vec<_> = numbers.iter().map(|number| number.to_le_bytes().to_vec()).collect();
    list(4, &values)
}

/// Asks for the config and the tokenizer of a one-layer file whose metadata are changed.
fn ask(architecture: &str, changes: &[(&str, Option<Vec<u8>>)], name: &str) -> Result<Value, Error> {
    let key = |name: &str| format!("{architecture}.{name}");
    let mut pairs = vec![("general.architecture".to_owned(), text_value(architecture))];
    for (name, number) in [
        ("context_length", 64),
        ("embedding_length", 4),
        ("block_count", 1),
        ("feed_forward_length", 4),
        ("attention.head_count", 2),
    ] {
        pairs.push((key(name), u32_value(number)));
    }
    pairs.push(("tokenizer.ggml.model".into(), text_value("gpt2")));
    pairs.push(("tokenizer.ggml.pre".into(), text_value("qwen2")));
    pairs.push(("tokenizer.ggml.tokens".into(), texts(&["a", "b", "ab"])));
    pairs.push(("tokenizer.ggml.merges".into(), texts(&["a b"])));
    for (name, value) in changes {
        let name = name.replace('*', architecture);
        pairs.retain(|(key, _)| *key != name);
        pairs.extend(value.clone().map(|value| (name, value)));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let path = temporary(&format!("ask-{name}"));
    std::fs::write(&path, file(&pairs, &[("token_embd.weight", &[4, 3], 0, 0)], 48)).unwrap();
    let answer = Checkpoint::open(&Source::new(&path)).and_then(|checkpoint| {
        let (config, path) = checkpoint.config()?;
        Config::parse(&config, &path)?;
        Tokenizer::new(&checkpoint.tokenizer()?, 3)?;
        Ok(config)
    });
    std::fs::remove_file(&path).unwrap();
    answer
}

#[test]
fn metadata_that_is_not_computed_or_does_not_fit_is_refused_by_name() {
    ask("llama", &[], "sound").unwrap();
    let float = |number: f32| [6u32.to_le_bytes(), number.to_le_bytes()].concat();
    for (architecture, changes, said) in [
        (
            "llama",
            vec![("*.expert_count", Some(u32_value(8)))],
            "mixture of experts",
        ),
        ("llama", vec![("*.attention.head_count", None)], "head_count"),
        (
            "llama",
            vec![("*.attention.head_count", Some(numbers(&[2, 3])))],
            "layer to layer",
        ),
        (
            "llama",
            vec![("*.attention.head_count", Some(text_value("two")))],
            "whole number",
        ),
        (
            "llama",
            vec![
                ("*.attention.key_length", Some(u32_value(6))),
                ("*.attention.value_length", Some(u32_value(4))),
            ],
            "value_length",
        ),
        (
            "llama",
            vec![("*.rope.dimension_count", Some(u32_value(1)))],
            "dimension_count",
        ),
        (
            "llama",
            vec![("*.rope.scaling.type", Some(text_value("longrope")))],
            "longrope",
        ),
        ("qwen2", vec![("*.rope.scaling.type", Some(text_value("yarn")))], "yarn"),
        (
            "qwen2",
            vec![("*.rope.scaling.attn_factor", Some(float(0.5)))],
            "attn_factor",
        ),
        (
            "qwen2",
            vec![("*.attention.sliding_window", Some(u32_value(16)))],
            "sliding_window",
        ),
        (
            "llama",
            vec![("tokenizer.ggml.pre", Some(text_value("viking")))],
            "viking",
        ),
        ("llama", vec![("tokenizer.ggml.pre", None)], "tokenizer.ggml.pre"),
        ("llama", vec![("tokenizer.ggml.model", Some(text_value("t5")))], "t5"),
        (
            "llama",
            vec![("tokenizer.ggml.model", Some(text_value("llama")))],
            "scores",
        ),
        ("llama", vec![("tokenizer.ggml.model", None)], "tokenizer.ggml.model"),
        (
            "llama",
            vec![("tokenizer.ggml.tokens", Some(texts(&["a", "a"])))],
            "both",
        ),
        (
            "llama",
            vec![("tokenizer.ggml.tokens", Some(texts(&["a", "b", "ab", "c"])))],
            "embeds 3",
        ),
        (
            "llama",
            vec![("tokenizer.ggml.token_type", Some(numbers(&[1])))],
            "1 token types",
        ),
        (
            "llama",
            vec![("tokenizer.ggml.bos_token_id", Some(u32_value(7)))],
            "bos_token_id is 7",
        ),
        ("llama", vec![("tokenizer.ggml.merges", None)], "merges"),
    ] {
        let error = ask(architecture, &changes, "changed").unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[test]
fn a_window_makes_a_mistral_of_a_llama() {
    let window = |rows: u32| {
        ask(
            "llama",
            &[("*.attention.sliding_window", Some(u32_value(rows)))],
            "window",
        )
        .unwrap()
    };
    assert_eq!(
        (&window(16)["model_type"], &window(16)["sliding_window"]),
        (&"mistral".into(), &16.into())
    );
    assert_eq!(window(64)["model_type"], "llama");
}

proptest! {
    #[test]
    fn no_changed_bytes_of_a_real_file_make_anything_panic(
        changes in proptest::collection::vec((0usize..16_000, any::<u8>()), 1..6)
    ) {
        let mut bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(REAL)).unwrap();
        for (at, value) in changes {
            bytes[at] = value;
        }
        let path = temporary("real");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(&Source::new(&path)) {
            if let Ok((config, path)) = checkpoint.config() {
                let _ = Config::parse(&config, &path);
            }
            if let Ok(files) = checkpoint.tokenizer() {
                let _ = Tokenizer::new(&files, 512);
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&[b"GGUF\x03\0\0\0".to_vec(), bytes].concat(), "random");
    }

    #[test]
    fn no_changed_byte_takes_a_tensor_out_of_the_file(at in 0usize..200, value in any::<u8>()) {
        let mut bytes = file(&[("a", u32_value(7))], &[("t", &[4, 2], 0, 0), ("u", &[2], 1, 32)], 36);
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(gguf) = parse(&bytes, "changed") {
            for (_, stored) in gguf.tensors {
                prop_assert!(stored.offset + stored.length as u64 <= bytes.len() as u64);
            }
        }
    }
}
