//! Policies against transformers, llama2.c and themselves: the same request gives the same text in any company.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use surefoot_model::backbone::Backbone;
use surefoot_model::candle::Candle;
use surefoot_model::checkpoint::{Checkpoint, read_json};
use surefoot_model::compute::{Compute, Isa, Precision};
use surefoot_model::config::Config;
use surefoot_model::device::Choice;
use surefoot_model::head::Head;
use surefoot_model::policy::{Ended, Generated, PolicyChoice, PromptKind, Request};
use surefoot_model::sampler::Settings;
use surefoot_model::writer::Writer;
use surefoot_model::{Policy, Source};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn load(folder: &str, compute: &Compute) -> Policy {
    Policy::load(
        &Source::new(repository().join(folder)),
        compute,
        &PolicyChoice::default(),
    )
    .unwrap()
}

fn tiny() -> Policy {
    load("models/tiny-policy", &Compute::default())
}

fn request(problem: &str) -> Request {
    Request {
        problem: problem.into(),
        system: None,
        prefix: String::new(),
        n: 1,
        step: false,
        separator: None,
        stop: vec![],
        max_tokens: 200,
        settings: Settings::default(),
        banned_texts: vec![],
        seed: 1,
        path: String::new(),
        logprobs: false,
    }
}

fn greedy(problem: &str) -> Request {
    Request {
        settings: Settings {
            temperature: 0.0,
            ..Settings::default()
        },
        ..request(problem)
    }
}

fn write(policy: &Policy, requests: &[Request]) -> Vec<Generated> {
    let texts = policy.write(requests, 1000, &|| false).unwrap();
    texts.into_iter().flatten().collect()
}

fn fixture() -> Value {
    read_json(&repository().join("fixtures/sampling/greedy.json")).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-4, "{what}: {found} for {expected}");
    }
}

const PROBLEM: &str =
    "In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. How many fish swim there?";

#[test]
fn greedy_texts_and_their_probabilities_are_those_of_transformers() {
    let fixture = fixture();
    let policy = tiny();
    let cases = fixture["policy"]["cases"].as_array().unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let what = case["problem"].as_str().unwrap();
        let request = Request {
            settings: Settings {
                temperature: 0.0,
                repetition_penalty: case["repetition_penalty"].as_f64().unwrap() as f32,
                ..Settings::default()
            },
            logprobs: true,
            ..request(what)
        };
        assert_eq!(policy.encode(&request).unwrap(), ids(&case["prompt_ids"]), "{what}");
        let gaps = floats(&case["gaps"]);
        assert!(gaps.iter().all(|gap| *gap > 1e-4), "a near-tie in the fixture: {what}");
        let [text]: [Generated; 1] = write(&policy, &[request]).try_into().unwrap();
        assert_eq!(text.ids, ids(&case["ids"]), "{what}");
        assert_eq!(text.text, case["text"].as_str().unwrap(), "{what}");
        let ended = if case["ended"] == "answer" {
            Ended::Answer
        } else {
            Ended::Length
        };
        assert_eq!(text.ended, ended, "{what}");
        close(&text.logprobs, &floats(&case["logprobs"]), what);
    }
}

#[test]
fn stories_are_told_as_llama2_c_tells_them() {
    let golden = read_json(&repository().join("fixtures/stories260k/golden_greedy.json")).unwrap();
    let expected = fixture();
    let all = ids(&golden["greedy_ids"]);
    assert_eq!(all.len(), 256);
    for isa in Isa::available() {
        let compute = Compute {
            isa: Some(isa),
            ..Compute::default()
        };
        let policy = load("fixtures/stories260k/hf", &compute);
        let request = Request {
            max_tokens: 255,
            logprobs: true,
            ..greedy("")
        };
        assert_eq!(policy.encode(&request).unwrap(), [1]);
        let [story]: [Generated; 1] = write(&policy, &[request]).try_into().unwrap();
        assert_eq!(story.ids, all[1..], "{isa:?}");
        assert_eq!(
            story.text,
            golden["text"].as_str().unwrap().trim_start_matches(' '),
            "{isa:?}"
        );
        close(&story.logprobs, &floats(&expected["stories"]["logprobs"]), "stories");
    }
}

#[test]
fn a_text_is_the_same_alone_in_company_in_pieces_from_cache_and_after_eviction() {
    let requests: Vec<Request> = (0..6)
        .map(|at| Request {
            n: 3,
            problem: format!("{PROBLEM} {}", "And then? ".repeat(at)),
            settings: Settings {
                temperature: 0.9,
                top_p: if at % 2 == 0 { 1.0 } else { 0.95 },
                top_k: at * 7,
                repetition_penalty: if at % 3 == 0 { 1.0 } else { 1.1 },
                ..Settings::default()
            },
            seed: at as u64 / 2,
            max_tokens: 60,
            logprobs: true,
            ..request("")
        })
        .collect();
    for isa in Isa::available() {
        for precision in [Precision::Exact, Precision::Fast] {
            let compute = |reuse, cache_bytes| Compute {
                isa: Some(isa),
                precision,
                reuse,
                cache_bytes,
                ..Compute::default()
            };
            let policy = load("models/tiny-policy", &compute(true, None));
            let alone: Vec<_> = requests
                .iter()
                .flat_map(|one| write(&policy, std::slice::from_ref(one)))
                .collect();
            let different: std::collections::HashSet<_> = alone.iter().map(|text| &text.text).collect();
            assert!(different.len() > 12, "{} texts differ", different.len());
            let mut backwards = requests.clone();
            backwards.reverse();
            let page = 32 * 1024 * 4;
            for (reuse, cache_bytes, rows) in [
                (true, None, 1000),
                (true, None, 7),
                (false, None, 33),
                (true, Some(24 * page), 50),
            ] {
                let policy = load("models/tiny-policy", &compute(reuse, cache_bytes));
                let threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
                let found = threads.install(|| policy.write(&backwards, rows, &|| false).unwrap());
                let found: Vec<_> = found.into_iter().rev().flatten().collect();
                assert_eq!(found, alone, "{isa:?} {precision:?} {reuse} {cache_bytes:?} {rows}");
            }
        }
    }
}

#[test]
fn steps_one_after_the_other_are_the_answer_and_each_reads_only_what_is_new() {
    let policy = tiny();
    let [whole]: [Generated; 1] = write(&policy, &[greedy(PROBLEM)]).try_into().unwrap();
    let before = policy.counters();
    let mut prefix = String::new();
    loop {
        let step = Request {
            step: true,
            prefix: prefix.clone(),
            ..greedy(PROBLEM)
        };
        let [step]: [Generated; 1] = write(&policy, &[step]).try_into().unwrap();
        prefix += &step.text;
        match step.ended {
            Ended::Step => prefix.push('\n'),
            Ended::Answer => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(prefix, whole.text);
    let after = policy.counters();
    // All of it was known from the whole answer; the logits were asked for again, one row a token.
    assert_eq!(after.computed, before.computed);
    assert_eq!(after.recomputed - before.recomputed, whole.ids.len() as u64);
}

#[test]
fn a_text_ends_at_the_first_of_its_stops_wherever_tokens_end() {
    let policy = tiny();
    let [whole]: [Generated; 1] = write(&policy, &[greedy(PROBLEM)]).try_into().unwrap();
    for length in [1, 2, 3, 5, 9] {
        for at in 0..whole.text.len() - length {
            let stop = &whole.text[at..at + length];
            let first = whole.text.find(stop).unwrap();
            let stopping = Request {
                stop: vec!["never seen".into(), stop.into()],
                ..greedy(PROBLEM)
            };
            let [text]: [Generated; 1] = write(&policy, &[stopping]).try_into().unwrap();
            assert_eq!(text.text, whole.text[..first], "{stop:?}");
            assert_eq!(text.ended, Ended::Stop(stop.into()));
            assert_eq!(text.ids, whole.ids[..text.ids.len()]);
        }
    }
}

#[test]
fn a_text_ends_with_its_tokens_and_with_the_context() {
    let policy = tiny();
    let short = Request {
        max_tokens: 5,
        ..greedy(PROBLEM)
    };
    let [text]: [Generated; 1] = write(&policy, &[short]).try_into().unwrap();
    assert_eq!((text.ids.len(), text.ended), (5, Ended::Length));
    let mut long = greedy(&"a pond with fish ".repeat(700));
    let tokens = policy.encode(&long).unwrap().len();
    let error = policy.begin(&long).err().unwrap();
    assert_eq!(
        (error.code(), error.data()["limit"].as_u64()),
        ("ERR_CONTEXT_OVERFLOW", Some(2048))
    );
    assert!(tokens > 2048);
    while policy.encode(&long).unwrap().len() > 2045 {
        long.problem.pop();
    }
    let left = 2048 - policy.encode(&long).unwrap().len();
    long.settings.banned = policy.facts().stop_ids.clone();
    let [text]: [Generated; 1] = write(&policy, &[long]).try_into().unwrap();
    assert_eq!((text.ids.len(), text.ended), (left, Ended::Length));
}

#[test]
fn banned_tokens_and_texts_are_not_written() {
    let policy = tiny();
    let [whole]: [Generated; 1] = write(&policy, &[greedy(PROBLEM)]).try_into().unwrap();
    let banned = Request {
        banned_texts: vec!["18".into(), "s ".into()],
        ..greedy(PROBLEM)
    };
    assert!(whole.text.contains("18") && whole.text.contains("s "));
    let [text]: [Generated; 1] = write(&policy, &[banned]).try_into().unwrap();
    assert!(
        !text.text.contains("18") && !text.text.contains("s ") && !text.text.is_empty(),
        "{}",
        text.text
    );
    let mut without = greedy(PROBLEM);
    without.settings.banned = vec![whole.ids[0]];
    let [text]: [Generated; 1] = write(&policy, &[without.clone()]).try_into().unwrap();
    assert!(!text.ids.contains(&whole.ids[0]));
    without.settings.banned = (0..512).collect();
    let error = policy.write(&[without.clone()], 100, &|| false).err().unwrap();
    assert_eq!(error.code(), "ERR_INVALID_ARGUMENT");
    without.settings.banned = vec![512];
    assert_eq!(policy.begin(&without).err().unwrap().code(), "ERR_INVALID_ARGUMENT");
}

#[test]
fn texts_of_other_seeds_problems_prefixes_and_paths_are_drawn_apart() {
    let policy = tiny();
    let base = request(PROBLEM);
    let more = |change: &dyn Fn(&mut Request)| {
        let mut other = base.clone();
        change(&mut other);
        other
    };
    let requests = [
        base.clone(),
        more(&|other| other.seed = 2),
        more(&|other| other.path = "left".into()),
        more(&|other| other.path = "right".into()),
    ];
    let texts = write(&policy, &requests);
    let different: std::collections::HashSet<_> = texts.iter().map(|text| &text.text).collect();
    assert_eq!(different.len(), texts.len());
    // Samples of one request are the beginning of those of a larger one.
    let all = write(&policy, &[more(&|other| other.n = 5)]);
    assert_eq!(all[0], texts[0]);
    assert_eq!(all[..3], write(&policy, &[more(&|other| other.n = 3)]));
}

#[test]
fn a_prm_writes_nothing_and_says_so() {
    for folder in ["models/tiny-prm", "fixtures/qwen2-mlp2", "fixtures/llama-vhead"] {
        let source = Source::new(repository().join(folder));
        let error = Policy::load(&source, &Compute::default(), &PolicyChoice::default())
            .err()
            .unwrap();
        assert_eq!(error.code(), "ERR_MODEL_UNSUPPORTED", "{folder}: {error}");
        assert!(error.to_string().contains("PRM.load"), "{error}");
    }
}

/// Qwen2.5's template over a tiny backbone: what stands before the answer, token by token.
#[test]
fn a_chat_template_puts_the_problem_and_the_prefix_begins_the_answer() {
    let policy = load("fixtures/families/rlhflow-deepseek", &Compute::default());
    assert_eq!(policy.facts().prompt, PromptKind::Chat);
    let asked = Request {
        system: Some("Be brief.".into()),
        ..request("What is 2 + 2?")
    };
    let before = policy.encode(&asked).unwrap();
    let begun = Request {
        prefix: "It is".into(),
        ..asked.clone()
    };
    let with = policy.encode(&begun).unwrap();
    assert_eq!(with[..before.len()], before);
    let prefix = policy.tokenizer().decode(&with[before.len()..]).unwrap();
    assert_eq!(prefix.trim_start(), "It is");
    let plain = PolicyChoice {
        prompt: Some(PromptKind::Plain),
        separator: None,
    };
    let source = Source::new(repository().join("fixtures/families/rlhflow-deepseek"));
    let plain = Policy::load(&source, &Compute::default(), &plain).unwrap();
    assert_ne!(plain.encode(&asked).unwrap(), before);
}

#[test]
fn candle_writes_the_same_greedy_texts() {
    let cpu = tiny();
    let candle = load("models/tiny-policy", &Compute::on(Choice::Candle));
    let requests: Vec<_> = (0..4).map(|at| greedy(&format!("{PROBLEM} {at}"))).collect();
    let texts = |policy: &Policy| {
        write(policy, &requests)
            .into_iter()
            .map(|text| text.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&cpu), texts(&candle));
}

/// Language models of every family that is read, from folders and GGUF files, with and without an adapter: each token is
/// the likeliest by the logits of the whole text computed anew on candle.
#[test]
fn every_family_and_format_writes_what_its_logits_say() {
    let families = [
        "llemma",
        "math-psa",
        "math-shepherd",
        "qwen3-reranker",
        "rlhflow-deepseek",
        "versaprm",
    ];
    let folders = families.map(|name| Source::new(repository().join("fixtures/families").join(name)));
    let files = [
        "gguf-math-shepherd",
        "gguf-rlhflow-deepseek",
        "gguf-versaprm",
        "gguf-rlhflow-q8_0",
    ];
    let files = files.map(|name| Source::new(repository().join("fixtures").join(name).join("model.gguf")));
    let adapted = folders[4]
        .clone()
        .with_head(repository().join("fixtures/lora-rlhflow-deepseek"));
    let plain = PolicyChoice {
        prompt: Some(PromptKind::Plain),
        separator: None,
    };
    let mut texts = Vec::new();
    for source in folders.iter().chain(&files).chain([&adapted]) {
        let what = format!("{source:?}");
        let policy = Policy::load(source, &Compute::default(), &plain).unwrap();
        let mut request = Request {
            max_tokens: 12,
            logprobs: true,
            ..greedy("What is 2 + 2?")
        };
        request.settings.banned = policy.facts().stop_ids.clone();
        let [text]: [Generated; 1] = write(&policy, std::slice::from_ref(&request)).try_into().unwrap();
        let checkpoint = Checkpoint::open(source).unwrap();
        let (json, path) = checkpoint.config().unwrap();
        let config = Config::parse(&json, &path).unwrap();
        let candle = Candle::new(candle_core::Device::Cpu);
        let backbone = Backbone::load(&candle, &checkpoint, &config).unwrap();
        let head = Head::language_model(&candle, &checkpoint, &config).unwrap();
        let mut ids = policy.encode(&request).unwrap();
        for (&id, &logprob) in text.ids.iter().zip(&text.logprobs) {
            let hidden = backbone.hidden(&candle, &ids, &[ids.len() - 1]).unwrap();
            let mut logits = head.logits(&candle, hidden).unwrap().remove(0);
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|&logit| f64::from(logit - most).exp()).sum();
            let expected = f64::from(logits[id as usize] - most) - sum.ln();
            assert!((logprob - expected).abs() < 2e-4, "{what}: {logprob} for {expected}");
            let chosen = logits[id as usize];
            request
                .settings
                .banned
                .iter()
                .for_each(|&id| logits[id as usize] = f32::NEG_INFINITY);
            assert!(
                logits.iter().all(|&logit| logit <= chosen + 1e-4),
                "{what}: {id} is not the likeliest"
            );
            ids.push(id);
        }
        texts.push(text.ids);
    }
    assert_ne!(texts[4], texts[10], "the adapter changes nothing");
}

proptest! {
    /// Any tokens, whole characters or not: the pieces together are the text of all tokens, cut at the first stop.
    #[test]
    fn a_writer_gives_whole_characters_and_all_of_the_text(
        ids in proptest::collection::vec(1u32..512, 0..40),
        stops in proptest::collection::vec("[ a-f0-9.é😀\n]{1,3}", 0..3),
    ) {
        let policy = shared();
        let tokenizer = policy.tokenizer();
        let whole = tokenizer.decode(&ids).unwrap();
        let mut writer = Writer::new(tokenizer, &[], stops.clone()).unwrap();
        let mut pieces = String::new();
        for &id in &ids {
            writer.push(tokenizer, id).unwrap();
            pieces += writer.fresh(false);
            prop_assert!(writer.text().starts_with(&pieces));
            if writer.stopped().is_some() {
                break;
            }
        }
        writer.finish(tokenizer).unwrap();
        pieces += writer.fresh(true);
        prop_assert_eq!(&pieces, writer.text());
        let first = stops.iter().filter_map(|stop| whole.find(stop.as_str())).min();
        prop_assert_eq!(writer.text(), &whole[..first.unwrap_or(whole.len())]);
        prop_assert_eq!(writer.stopped().is_some(), first.is_some());
    }
}

fn shared() -> &'static Policy {
    static POLICY: std::sync::OnceLock<Policy> = std::sync::OnceLock::new();
    POLICY.get_or_init(tiny)
}
