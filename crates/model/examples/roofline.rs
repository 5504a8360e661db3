//! Where the time of a forward pass goes, by operation.
//!
//!     cargo run --release --example roofline -- FOLDER [ROWS] [PASSES]
//!
//! FOLDER holds a checkpoint, ROWS is how many tokens a pass has (256), in sequences of 120 to 400. Prints the median
//! pass: time, share and GFLOP/s of each operation, and tokens a second.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use surefoot_model::backbone::Backbone;
use surefoot_model::backend::Backend;
use surefoot_model::batch::Batch;
use surefoot_model::checkpoint::Checkpoint;
use surefoot_model::config::Config;
use surefoot_model::cpu::Cpu;
use surefoot_model::{Result, Source};

#[path = "../tests/recorded/mod.rs"]
mod recorded;
use recorded::{Recorded, Spent};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().expect("a folder");
    let number = |at: usize, default| {
        arguments
            .get(at)
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (rows, passes) = (number(1, 256), number(2, 5));
    let checkpoint = Checkpoint::open(&Source::new(folder))?;
    let (json, path) = checkpoint.config()?;
    let config = Config::parse(&json, &path)?;
    let backend = Recorded::new(Cpu::new(None, surefoot_kernels::Precision::Exact)?);
    let start = Instant::now();
    let backbone = Backbone::load(&backend, &checkpoint, &config)?;
    println!(
        "{}, loaded in {:.1} s",
        backend.inner.isa().name(),
        start.elapsed().as_secs_f64()
    );

    let mut lengths = vec![];
    let mut left = rows;
    for length in [260, 120, 400, 180, 340].into_iter().cycle() {
        lengths.push(length.min(left));
        left -= length.min(left);
        if left == 0 {
            break;
        }
    }
    let sequences: Vec<Vec<u32>> = lengths
        .iter()
        .enumerate()
        .map(|(index, &length)| {
            (0..length)
                .map(|at| (at * 7919 + index * 104_729) as u32 % config.vocab_size as u32)
                .collect()
        })
        .collect();
    let (mut batch, changes) = Batch::of(sequences.iter().map(Vec::as_slice));
    batch.reads = vec![rows - 1];
    let mut measured = vec![];
    for _ in 0..=passes {
        backend.spent.lock().unwrap().clear();
        let mut pages = backend.pages(backbone.page_shape());
        backend.change(&mut pages, &changes)?;
        let start = Instant::now();
        backbone.forward(&backend, &batch, &mut pages, &|| false)?;
        measured.push((start.elapsed().as_secs_f64(), backend.spent.lock().unwrap().clone()));
    }
    // The first pass warms up.
    measured.remove(0);
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (whole, spent) = &measured[measured.len() / 2];
    println!("| operation | calls | ms | share | GFLOP/s |\n| --- | --- | --- | --- | --- |");
    let mut rest = *whole;
    let mut spent: Vec<_> = spent.iter().collect();
    spent.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    for (
        name,
        Spent {
            calls, flop, seconds, ..
        },
    ) in spent
    {
        rest -= seconds;
        let rate = if *flop > 0 {
            format!("{:.1}", *flop as f64 / seconds / 1e9)
        } else {
            String::new()
        };
        println!(
            "| {name} | {calls} | {:.1} | {:.1} % | {rate} |",
            seconds * 1e3,
            100.0 * seconds / whole
        );
    }
    println!(
        "| between them | | {:.1} | {:.1} % | |",
        rest * 1e3,
        100.0 * rest / whole
    );
    println!(
        "{rows} rows in {:.1} ms: {:.1} tokens/s",
        whole * 1e3,
        rows as f64 / whole
    );
    Ok(())
}
