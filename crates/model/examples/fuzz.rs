//! Feeds broken checkpoints to every parser and looks for a panic, a hang and memory beyond the file's size:
//!
//!     cargo run --release --target TARGET --example fuzz -- [PARSER] [COUNT] [SEED]
//!
//! Inputs are sound files with bytes changed, cut, repeated and joined, and JSON with values exchanged for hostile ones.
//! A panic ends the run with the input's number; the same seed makes the same inputs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use surefoot_model::checkpoint::{Checkpoint, Source, read_json};
use surefoot_model::choose::{ProfileChoice, choose};
use surefoot_model::compute::Compute;
use surefoot_model::config::Config;
use surefoot_model::head::HeadKind;
use surefoot_model::template::Template;
use surefoot_model::tokenizer::{Tokenizer, TokenizerFiles};
use surefoot_model::{Overflow, Prm, Trace};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Changes a few places of a file, most of them in its first part, where headers stand.
fn mutate(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let part = if random.below(3) > 0 {
            bytes.len().min(2000)
        } else {
            bytes.len()
        };
        let at = random.below(part);
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let end = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let number = *random.pick(&[0u64, 1, 127, 255, u32::MAX.into(), i64::MAX as u64, u64::MAX, 1 << 40]);
                let end = (at + 8).min(bytes.len());
                bytes.splice(at..end, number.to_le_bytes());
            }
            _ => {
                let text = *random.pick(&[
                    "\"", "{", "[", "}", "]", ",", ":", "null", "1e999", "-1", "\\u0000", "é", "\n",
                ]);
                bytes.splice(at..at, text.bytes());
            }
        }
    }
    bytes
}

/// Exchanges values inside a JSON document for hostile ones.
fn mutate_json(random: &mut Random, seed: &Value) -> Value {
    let mut value = seed.clone();
    for _ in 0..=random.below(3) {
        change(random, &mut value);
    }
    value
}

fn change(random: &mut Random, value: &mut Value) {
    let inside = random.below(4) > 0;
    match value {
        Value::Object(fields) if inside && !fields.is_empty() => {
            let key = fields
                .keys()
                .nth(random.below(fields.len()))
                .cloned()
                .unwrap_or_default();
            match random.below(8) {
                0 => drop(fields.remove(&key)),
                1 => {
                    let moved = fields.remove(&key).unwrap_or_default();
                    fields.insert(format!("{key}{}", random.below(10)), moved);
                }
                _ => change(random, &mut fields[&key]),
            }
        }
        Value::Array(items) if inside && !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(8) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(random, &mut items[at]),
            }
        }
        _ => {
            *value = match random.below(14) {
                0 => Value::Null,
                1 => json!(true),
                2 => json!(0),
                3 => json!(-1),
                4 => json!(1u64 << 40),
                5 => json!(u64::MAX),
                6 => json!(1e308),
                7 => json!(0.5),
                8 => json!(""),
                9 => json!("x".repeat(random.below(2000))),
                10 => json!([]),
                11 => json!({}),
                12 => json!([[[[[[[[]]]]]]]]),
                _ => json!("../../etc/passwd"),
            };
        }
    }
}

/// Where the broken files are written; in memory where the system has such a place.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let folder = base.join(format!("surefoot-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Peak of this process's memory, in bytes, where the system tells it.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

struct Setting {
    folder: PathBuf,
    header: Vec<u8>,
    index: Value,
    config: Value,
    tokenizer_bytes: Vec<u8>,
    tokenizer: Value,
    choice: Value,
    gguf: Vec<Vec<u8>>,
    adapter: Value,
    adapter_weights: Vec<u8>,
    template: String,
    fixed: Tokenizer,
}

impl Setting {
    fn new() -> Self {
        let fixtures = fixtures();
        let source = fixtures.join("families/reasonflux");
        let folder = folder();
        for name in [
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "model.safetensors",
        ] {
            std::fs::copy(source.join(name), folder.join(name)).unwrap();
        }
        Self {
            header: small_checkpoint(),
            index: json!({ "metadata": { "total_size": 64 }, "weight_map": { "a": "one.safetensors", "b": "two.safetensors" } }),
            config: read_json(&fixtures.join("families/rlhflow-deepseek/config.json")).unwrap(),
            tokenizer_bytes: std::fs::read(source.join("tokenizer.json")).unwrap(),
            tokenizer: read_json(&source.join("tokenizer.json")).unwrap(),
            choice: json!({
                "name": "mine", "head": "linear2", "activation": "softmax", "prompt": ["{problem}", { "mark": "cut" }],
                "chat": { "turns": [{ "role": "user", "content": ["{problem}", { "mark": "steps" }] }] },
                "step": ["{step}", { "token": "<extra_0>" }, { "mark": "read" }], "separator": { "text": ";" },
                "split": ";", "semantics": "probability", "labels": "humans", "threshold": 0.5, "aggregate": "min"
            }),
            gguf: ["gguf-types", "gguf-reasonflux-q4_0", "gguf-math-shepherd"]
                .map(|name| std::fs::read(fixtures.join(name).join("model.gguf")).unwrap())
                .to_vec(),
            adapter: read_json(&fixtures.join("lora-pure/adapter_config.json")).unwrap(),
            adapter_weights: std::fs::read(fixtures.join("lora-pure/adapter_model.safetensors")).unwrap(),
            template: read_json(&source.join("tokenizer_config.json")).unwrap()["chat_template"]
                .as_str()
                .map_or_else(
                    || std::fs::read_to_string(source.join("chat_template.jinja")).unwrap(),
                    str::to_owned,
                ),
            fixed: Tokenizer::new(&TokenizerFiles::of_folder(&source).unwrap(), 1 << 20).unwrap(),
            folder,
        }
    }

    fn run(&self, parser: &str, random: &mut Random) {
        match parser {
            "safetensors" => {
                let folder = self.folder.join("weights");
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("model.safetensors"), mutate(random, &self.header)).unwrap();
                if let Ok(checkpoint) = Checkpoint::open(&Source::new(&folder)) {
                    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
                    for name in names {
                        let shape = checkpoint.shape(&name).unwrap().to_vec();
                        let _ = checkpoint.read(&name, &shape);
                    }
                }
            }
            "index" => {
                let folder = self.folder.join("sharded");
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("one.safetensors"), &self.header).unwrap();
                let index = if random.below(2) == 0 {
                    mutate(random, self.index.to_string().as_bytes())
                } else {
                    mutate_json(random, &self.index).to_string().into_bytes()
                };
                std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
                let _ = Checkpoint::open(&Source::new(&folder));
            }
            "config" => {
                let config = mutate_json(random, &self.config);
                if let Ok(config) = Config::parse(&config, Path::new("config.json")) {
                    let _ = config.rope.frequencies(config.head_dim.min(1 << 12));
                }
            }
            "tokenizer" => {
                let folder = self.folder.join("tokenizer");
                std::fs::create_dir_all(&folder).unwrap();
                let bytes = if random.below(2) == 0 {
                    mutate(random, &self.tokenizer_bytes)
                } else {
                    mutate_json(random, &self.tokenizer).to_string().into_bytes()
                };
                std::fs::write(folder.join("tokenizer.json"), bytes).unwrap();
                if let Ok(tokenizer) = TokenizerFiles::of_folder(&folder).and_then(|files| Tokenizer::new(&files, 512))
                {
                    let _ = tokenizer.encode("What is 2 + 2? é <|im_end|>");
                    let _ = tokenizer.encode_with_offsets("Step 1: two ки\n");
                }
            }
            "gguf" => {
                let path = self.folder.join("broken.gguf");
                let seed = random.below(self.gguf.len());
                std::fs::write(&path, mutate(random, &self.gguf[seed])).unwrap();
                if let Ok(checkpoint) = Checkpoint::open(&Source::new(&path)) {
                    let _ = checkpoint.config().and_then(|(json, path)| Config::parse(&json, &path));
                    let _ = checkpoint.tokenizer().and_then(|files| Tokenizer::new(&files, 512));
                    let names: Vec<String> = checkpoint.names().take(4).map(str::to_owned).collect();
                    for name in names {
                        let shape = checkpoint.shape(&name).unwrap().to_vec();
                        let _ = checkpoint.read(&name, &shape);
                    }
                }
            }
            "adapter" => {
                let folder = self.folder.join("adapter");
                std::fs::create_dir_all(&folder).unwrap();
                let sound = || (self.adapter.to_string().into_bytes(), self.adapter_weights.clone());
                let (config, weights) = match random.below(3) {
                    0 => (sound().0, mutate(random, &self.adapter_weights)),
                    1 => (mutate(random, &sound().0), sound().1),
                    _ => (mutate_json(random, &self.adapter).to_string().into_bytes(), sound().1),
                };
                std::fs::write(folder.join("adapter_config.json"), config).unwrap();
                std::fs::write(folder.join("adapter_model.safetensors"), weights).unwrap();
                let source = Source::new(fixtures().join("families/pure")).with_head(&folder);
                if let Ok(checkpoint) = Checkpoint::open(&source) {
                    for name in ["score.weight", "model.layers.0.self_attn.q_proj.weight"] {
                        let shape = checkpoint.shape(name).unwrap().to_vec();
                        let _ = checkpoint.read(name, &shape);
                    }
                }
            }
            "surefoot.json" => {
                let choice = mutate_json(random, &self.choice);
                if let Ok(choice) = serde_json::from_value::<ProfileChoice>(choice) {
                    let config = Config::parse(&self.config, Path::new("config.json")).unwrap();
                    let _ = choose(HeadKind::Linear2, &config, &self.config, Some("a/b"), &choice);
                }
            }
            "template" => {
                let text = String::from_utf8_lossy(&mutate(random, self.template.as_bytes())).into_owned();
                let _ = Template::parse(&text, &self.fixed);
                std::fs::write(self.folder.join("chat_template.jinja"), text).unwrap();
                if random.below(20) == 0 {
                    self.score();
                }
            }
            other => panic!("no parser {other}"),
        }
    }

    fn score(&self) {
        let choice = ProfileChoice::named("reasonflux");
        if let Ok(prm) = Prm::load(&Source::new(&self.folder), &Compute::default(), &choice) {
            let _ = prm.encode(&Trace {
                problem: "a".into(),
                steps: vec!["b".into(), "<|im_end|>".into()],
                system: None,
                overflow: Overflow::Refuse,
            });
        }
    }
}

/// Two tensors in one sound file.
fn small_checkpoint() -> Vec<u8> {
    let header = json!({
        "__metadata__": { "format": "pt" },
        "a": { "dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32] },
        "b": { "dtype": "BF16", "shape": [4, 4], "data_offsets": [32, 64] }
    })
    .to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend([0; 64]);
    bytes
}

const PARSERS: [&str; 8] = [
    "safetensors",
    "index",
    "config",
    "tokenizer",
    "surefoot.json",
    "template",
    "gguf",
    "adapter",
];

fn main() {
    let parameters: Vec<String> = std::env::args().skip(1).collect();
    let chosen = parameters.first().map_or("all", String::as_str);
    let count: u64 = parameters.get(1).map_or(10_000, |text| text.parse().expect("a count"));
    let seed: u64 = parameters.get(2).map_or(1, |text| text.parse().expect("a seed"));
    let setting = Setting::new();
    let mut results = BTreeMap::new();
    for parser in PARSERS
        .into_iter()
        .filter(|parser| chosen == "all" || chosen == *parser)
    {
        let before = peak();
        let (start, mut slowest) = (Instant::now(), Duration::ZERO);
        for number in 0..count {
            let mut random = Random(seed.wrapping_mul(1 << 32).wrapping_add(number));
            let began = Instant::now();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| setting.run(parser, &mut random)));
            assert!(outcome.is_ok(), "{parser}: input {number} of seed {seed} panics");
            slowest = slowest.max(began.elapsed());
        }
        let grown = peak().saturating_sub(before) / 1024;
        results.insert(parser, (start.elapsed(), slowest, grown));
    }
    std::fs::remove_dir_all(&setting.folder).unwrap();
    for (parser, (time, slowest, grown)) in results {
        let mut out = std::io::stdout().lock();
        use std::io::Write;
        let seconds = time.as_secs_f64();
        writeln!(
            out,
            "{parser}: {count} inputs in {seconds:.1} s, slowest {:.1} ms, peak memory grew by {grown} KiB",
            slowest.as_secs_f64() * 1e3
        )
        .unwrap();
    }
}
