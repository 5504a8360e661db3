//! How much is computed, counted: products, rows and pages, never time.

use std::path::Path;
use std::sync::Arc;

use surefoot_kernels::Precision;
use surefoot_model::backbone::Backbone;
use surefoot_model::backend::Backend;
use surefoot_model::batch::Batch;
use surefoot_model::checkpoint::Checkpoint;
use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::Compute;
use surefoot_model::config::Config;
use surefoot_model::cpu::Cpu;
use surefoot_model::head::Head;
use surefoot_model::prefixes::{Kept, Prefixes, Sequence};
use surefoot_model::{Overflow, Prm, Source, Trace};

mod recorded;
use recorded::Recorded;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

struct Model {
    backend: Recorded,
    backbone: Backbone<Recorded>,
    config: Config,
}

fn model() -> Model {
    let checkpoint = Checkpoint::open(&Source::new(fixture("qwen2-mlp2"))).unwrap();
    let (json, path) = checkpoint.config().unwrap();
    let config = Config::parse(&json, &path).unwrap();
    let backend = Recorded::new(Cpu::new(None, Precision::Exact).unwrap());
    Model {
        backbone: Backbone::load(&backend, &checkpoint, &config).unwrap(),
        backend,
        config,
    }
}

/// Calls and rows by kind of operation, and operations of the products.
fn counts(backend: &Recorded) -> (Vec<(&'static str, usize, usize)>, usize) {
    let spent = backend.spent.lock().unwrap();
    let kinds = ["attention", "gated", "linear", "norm", "rope"];
    let of = |kind: &str| {
        spent
            .iter()
            .filter(move |(name, _)| name.split(' ').next() == Some(kind))
            .map(|(_, one)| *one)
            .collect::<Vec<_>>()
    };
    let counted = kinds.map(|kind| {
        let all = of(kind);
        (
            kind,
            all.iter().map(|one| one.calls).sum(),
            all.iter().map(|one| one.rows).sum(),
        )
    });
    let products = of("linear").iter().chain(&of("gated")).map(|one| one.flop).sum();
    (counted.to_vec(), products)
}

#[test]
fn a_pass_of_many_sequences_is_one_product_for_each_weight() {
    let Model {
        backend,
        backbone,
        config,
    } = model();
    let sequences: [&[u32]; 3] = [&[1, 2, 3, 4, 5], &[6, 7], &[8, 9, 10]];
    let (mut batch, changes) = Batch::of(sequences);
    batch.reads = vec![4, 9];
    let mut pages = backend.pages(backbone.page_shape());
    backend.change(&mut pages, &changes).unwrap();
    backbone.forward(&backend, &batch, &mut pages, &|| false).unwrap();
    let (counted, products) = counts(&backend);
    let (layers, rows) = (config.layers, 10);
    assert_eq!(
        counted,
        [
            ("attention", layers, layers * rows),
            ("gated", layers, layers * rows),
            ("linear", 5 * layers, 5 * layers * rows),
            // The last one only where a score is read.
            ("norm", 2 * layers + 1, 2 * layers * rows + 2),
            ("rope", 2 * layers, 2 * layers * rows),
        ]
    );
    let (hidden, query, key) = (
        config.hidden_size,
        config.heads * config.head_dim,
        config.kv_heads * config.head_dim,
    );
    let weights = layers * (2 * hidden * query + 2 * hidden * key + 3 * hidden * config.intermediate_size);
    assert_eq!(products, 2 * rows * weights);
    assert_eq!(pages.allocated(), 3);
}

/// A search: a prompt, paths that part after it, a step more for each path at a time.
#[test]
fn a_search_computes_each_distinct_token_once_and_holds_each_once() {
    let Model { backend, backbone, .. } = model();
    let (prompt, paths, depth, step) = (50, 4, 6, 9);
    let shape = backbone.page_shape();
    let bytes_per_page = backend.bytes_per_page(shape);
    let mut prefixes = Prefixes::new(1 << 30, bytes_per_page, true, Kept::Outputs).unwrap();
    let mut pages = backend.pages(shape);
    for level in 1..=depth {
        prefixes.begin();
        let mut batch = Batch::default();
        for path in 0..paths {
            let ids = (0..prompt).chain((0..level * step).map(|at| 100 + path * 60 + at % 60));
            let last = (prompt + level * step - 1) as usize;
            let mut sequence = Sequence::new(ids.collect(), vec![last]);
            prefixes.plan(&mut sequence, 1000, &mut batch).unwrap();
        }
        backend.change(&mut pages, &prefixes.changes()).unwrap();
        backbone.forward(&backend, &batch, &mut pages, &|| false).unwrap();
        let output = Arc::new(vec![0.0]);
        prefixes.commit(&vec![output; batch.reads.len()]);
    }
    let distinct = (prompt + paths * depth * step) as usize;
    let counters = prefixes.counters();
    assert_eq!((counters.computed, counters.recomputed), (distinct as u64, 0));
    assert_eq!(backend.spent.lock().unwrap()["attention"].rows, shape.layers * distinct);
    // One page of the prompt is shared; its tail and what follows each path has for itself.
    let of_a_path = ((prompt + depth * step) as usize).div_ceil(32) - 1;
    assert_eq!(pages.allocated(), 1 + paths as usize * of_a_path);
    assert_eq!(counters.bytes, pages.allocated() * bytes_per_page);
    assert_eq!(counters.peak_bytes, counters.bytes);
}

#[test]
fn a_trace_that_is_scored_again_costs_nothing_and_a_longer_one_its_end() {
    let prm = Prm::load(
        &Source::new(fixture("qwen2-mlp2")),
        &Compute::default(),
        &ProfileChoice::default(),
    )
    .unwrap();
    let prompt = |steps: usize| {
        let trace = Trace {
            problem: "How many apples?".into(),
            steps: (0..steps).map(|step| format!("There are {step} more.")).collect(),
            system: None,
            overflow: Overflow::Refuse,
        };
        prm.encode(&trace).unwrap()
    };
    let read = |steps: usize| prompt(steps).reads.last().unwrap() + 1;
    let mut computed = vec![];
    for steps in [3, 3, 4, 2] {
        prm.score(&[&prompt(steps)], 512, &|| false).unwrap();
        computed.push(prm.counters().computed as usize);
    }
    assert_eq!(computed, [read(3), read(3), read(4), read(4)]);
    assert_eq!(prm.counters().hits as usize, read(3) + read(3) + read(2));
}

/// Texts that go on from one prompt: the prompt once, then a row a text, and the output layer for the last row of each only.
#[test]
fn a_text_costs_its_own_tokens_and_the_output_layer_one_row_a_token() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-policy");
    let checkpoint = Checkpoint::open(&Source::new(path)).unwrap();
    let (json, path) = checkpoint.config().unwrap();
    let config = Config::parse(&json, &path).unwrap();
    let backend = Recorded::new(Cpu::new(None, Precision::Exact).unwrap());
    let backbone = Backbone::load(&backend, &checkpoint, &config).unwrap();
    let head = Head::language_model(&backend, &checkpoint, &config).unwrap();
    let (prompt, texts, tokens) = (50, 8, 10);
    let mut prefixes = Prefixes::new(
        1 << 30,
        backend.bytes_per_page(backbone.page_shape()),
        true,
        Kept::Nothing,
    )
    .unwrap();
    let mut pages = backend.pages(backbone.page_shape());
    let mut growing: Vec<_> = (0..texts).map(|_| Sequence::growing((1..=prompt).collect())).collect();
    for token in 0..tokens {
        prefixes.begin();
        let mut batch = Batch::default();
        for sequence in &mut growing {
            prefixes.plan(sequence, 1000, &mut batch).unwrap();
        }
        backend.change(&mut pages, &prefixes.changes()).unwrap();
        let hidden = backbone.forward(&backend, &batch, &mut pages, &|| false).unwrap();
        let logits: Vec<_> = head
            .logits(&backend, hidden)
            .unwrap()
            .into_iter()
            .map(Arc::new)
            .collect();
        prefixes.commit(&logits);
        for (text, sequence) in growing.iter_mut().enumerate() {
            prefixes.collect(sequence, &logits);
            sequence.grow(100 + 10 * text as u32 + token);
        }
    }
    let rows = (prompt + texts * (tokens - 1)) as usize;
    let spent = backend.spent.lock().unwrap();
    assert_eq!(spent["attention"].rows, config.layers * rows);
    let output = &spent[&format!("linear {} to {}", config.hidden_size, config.vocab_size)];
    // The first token of all texts comes from one row.
    assert_eq!(
        (output.calls, output.rows),
        (tokens as usize, 1 + (texts * (tokens - 1)) as usize)
    );
    let counters = prefixes.counters();
    assert_eq!((counters.computed, counters.recomputed), (rows as u64, 0));
    // One page of the prompt is shared; its tail and what follows each text has for itself.
    assert_eq!(pages.allocated(), 1 + texts as usize);
}
