//! How fast the matrix products are, beside what the registers and the memory of this machine allow.
//!
//! `cargo run --release -p surefoot-kernels --example gemm [-- [isa] [KxN,...] [rows,...]]`
//!
//! Each number is the best of many runs of a few milliseconds. "peak" is the share of what the same threads reach in fused
//! products from registers, "read" the share of what they reach reading 256 MiB.

#![allow(clippy::print_stdout)]

use std::hint::black_box;

use surefoot_kernels::{Epilogue, Format, Isa, Packed, Precision, Serial, Threads, Workspace, linear};

mod measure;
use measure::{crew, noise, peak, read, seconds};

const SHAPES: &str = "896x896,896x128,896x4864,4864x896,1536x8960,8960x1536,3584x18944";
const ROWS: &str = "1,2,4,8,16,32,64,128,256,512";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, otherwise: &str| arguments.get(at).cloned().unwrap_or(otherwise.to_owned());
    let isa = Isa::choose(Some(&argument(0, ""))).unwrap_or_else(|error| panic!("{error}"));
    let number = |text: &str| text.parse::<usize>().unwrap_or_else(|error| panic!("{text}: {error}"));
    let shapes: Vec<(usize, usize)> = argument(1, SHAPES)
        .split(',')
        .map(|shape| shape.split_once('x').unwrap_or_else(|| panic!("{shape} is no KxN")))
        .map(|(inputs, outputs)| (number(inputs), number(outputs)))
        .collect();
    let rows: Vec<usize> = argument(2, ROWS).split(',').map(number).collect();

    let pair = crew(2);
    let all: [&dyn Threads; 2] = [&Serial, pair];
    let peaks = all.map(|threads| peak(isa, threads));
    let reads = all.map(read);
    println!(
        "{}: peak {:.0} GFLOP/s on 1 thread, {:.0} on 2; read {:.1} GB/s, {:.1}",
        isa.name(),
        peaks[0],
        peaks[1],
        reads[0],
        reads[1]
    );

    println!(
        "{:>11} {:>4} {:>6} | 1 thread: GFLOP/s, peak, read | 2 threads",
        "K x N", "rows", "weight"
    );
    for (inputs, outputs) in shapes {
        for format in [Format::Bf16, Format::F32] {
            // Enough matrices that their weights come from memory, as those of a model's layers do.
            let size = inputs * outputs * if format == Format::F32 { 4 } else { 2 };
            let weights: Vec<Packed> = (0..(96 << 20) / size + 1)
                .map(|seed| weight(isa, format, outputs, inputs, seed))
                .collect();
            for &rows in &rows {
                let x = noise(rows * inputs, 7);
                let mut y = vec![0.0; rows * outputs];
                let mut workspace = Workspace::default();
                let mut next = 0;
                let cells = all.iter().zip(peaks).zip(reads).map(|((&threads, peak), read)| {
                    let time = seconds(|| {
                        next = (next + 1) % weights.len();
                        linear(
                            threads,
                            &mut workspace,
                            &x,
                            &weights[next],
                            None,
                            Epilogue::None,
                            &mut y,
                        );
                        black_box(&mut y);
                    });
                    let speed = 2e-9 * (rows * inputs * outputs) as f64 / time;
                    let bytes = 1e-9 * size as f64 / time;
                    format!(
                        "{speed:7.1} {:5.1} % {:5.1} %",
                        100.0 * speed / peak,
                        100.0 * bytes / read
                    )
                });
                let cells: Vec<String> = cells.collect();
                println!(
                    "{:>11} {rows:>4} {:>6} | {} | {}",
                    format!("{inputs} x {outputs}"),
                    if format == Format::F32 { "f32" } else { "bf16" },
                    cells[0],
                    cells[1]
                );
            }
        }
    }
}

fn weight(isa: Isa, format: Format, outputs: usize, inputs: usize, seed: usize) -> Packed {
    let mut packed = Packed::new(isa, Precision::Exact, format, outputs, inputs);
    packed.fill_f32(0, &noise(outputs * inputs, seed as u64 + 1));
    packed
}
