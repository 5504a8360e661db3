//! How fast attention over pages is, and what stands around it: norms, rotations, page writes.
//!
//! `cargo run --release -p surefoot-kernels --example attention [-- [isa]]`
//!
//! Each number is the best of many runs of a few milliseconds. "peak" is the share of what the same threads reach in fused
//! products from registers; only products that a row needs are counted. "read" is the share of reading 256 MiB.
#![allow(clippy::print_stdout)]

mod measure;

use std::hint::black_box;

use measure::{crew, noise, peak, read, seconds};
use surefoot_kernels::{Format, Isa, PAGE, PageShape, Pages, Serial, Span, Threads, Write, attend, rms_norm, rope};

struct Shape {
    name: &'static str,
    heads: usize,
    key_heads: usize,
    dim: usize,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "0.5B",
        heads: 14,
        key_heads: 2,
        dim: 64,
    },
    Shape {
        name: "7B",
        heads: 28,
        key_heads: 4,
        dim: 128,
    },
];

/// Sequences of `rows` rows each, behind `shared` tokens that all have in common.
struct Case {
    spans: usize,
    rows: usize,
    shared: usize,
}

const CASES: [Case; 5] = [
    Case {
        spans: 1,
        rows: 300,
        shared: 0,
    },
    Case {
        spans: 1,
        rows: 2000,
        shared: 0,
    },
    Case {
        spans: 16,
        rows: 40,
        shared: 800,
    },
    Case {
        spans: 32,
        rows: 1,
        shared: 1000,
    },
    Case {
        spans: 1,
        rows: 1,
        shared: 1000,
    },
];

fn main() {
    let isa = Isa::choose(std::env::args().nth(1).as_deref()).unwrap_or_else(|error| panic!("{error}"));
    let pair = crew(2);
    let all: [&dyn Threads; 2] = [&Serial, pair];
    let (peaks, reads) = (all.map(|threads| peak(isa, threads)), all.map(read));
    println!(
        "{}: peak {:.0} GFLOP/s on 1 thread, {:.0} on 2; read {:.1} GB/s, {:.1}",
        isa.name(),
        peaks[0],
        peaks[1],
        reads[0],
        reads[1]
    );
    println!(
        "{:>5} {:>28} {:>5} | 1 thread: GFLOP/s, peak | 2 threads",
        "model", "spans x rows behind shared", "pages"
    );
    for shape in &SHAPES {
        for case in &CASES {
            for format in [Format::F32, Format::Bf16] {
                let speeds = all.map(|threads| speed(isa, threads, format, shape, case));
                println!(
                    "{:>5} {:>28} {:>5} | {:6.1} {:5.1} % | {:6.1} {:5.1} %",
                    shape.name,
                    format!("{} x {} behind {}", case.spans, case.rows, case.shared),
                    if format == Format::F32 { "f32" } else { "bf16" },
                    speeds[0],
                    100.0 * speeds[0] / peaks[0],
                    speeds[1],
                    100.0 * speeds[1] / peaks[1]
                );
            }
        }
    }
    println!("{:>28} | 1 thread: GB/s, read | 2 threads", "read and written once");
    for (name, measure) in [
        ("norm of 512 rows", norms as Elementwise),
        ("rope of 512 rows", ropes),
        ("write of 512 rows, f32", f32s),
        ("write of 512 rows, bf16", bf16s),
    ] {
        for shape in &SHAPES {
            let speeds = all.map(|threads| measure(isa, threads, shape));
            println!(
                "{:>28} | {:6.1} {:5.1} % | {:6.1} {:5.1} %",
                format!("{name}, {}", shape.name),
                speeds[0],
                100.0 * speeds[0] / reads[0],
                speeds[1],
                100.0 * speeds[1] / reads[1]
            );
        }
    }
}

/// GFLOP/s of attention.
fn speed(isa: Isa, threads: &dyn Threads, format: Format, shape: &Shape, case: &Case) -> f64 {
    let width = shape.key_heads * shape.dim;
    let length = case.shared + case.rows;
    let shared = (case.shared / PAGE) as u32;
    let own = length.div_ceil(PAGE) as u32 - shared;
    let table = |i: u32| {
        (0..shared)
            .chain(shared + i * own..shared + (i + 1) * own)
            .collect::<Vec<u32>>()
    };
    let tables: Vec<Vec<u32>> = (0..case.spans as u32).map(table).collect();
    let mut pages = Pages::new(
        PageShape {
            layers: 1,
            heads: shape.key_heads,
            dim: shape.dim,
        },
        format,
    );
    (0..shared + case.spans as u32 * own).for_each(|page| pages.allocate(page));
    let write = |(i, &page)| Write {
        row: i * PAGE,
        count: PAGE.min(length - i * PAGE),
        page,
        slot: 0,
    };
    let writes: Vec<Write> = tables
        .iter()
        .flat_map(|table| table.iter().enumerate().map(write))
        .collect();
    pages.write(
        isa,
        threads,
        0,
        &noise(length * width, 1),
        &noise(length * width, 2),
        &writes,
    );

    let positions: Vec<u32> = (case.shared as u32..length as u32).collect();
    let span = |(i, pages)| Span {
        first: i * case.rows,
        positions: &positions,
        pages,
    };
    let spans: Vec<Span<'_>> = tables.iter().map(Vec::as_slice).enumerate().map(span).collect();
    let q = noise(case.spans * case.rows * shape.heads * shape.dim, 3);
    let mut y = vec![0.0; q.len()];
    let time = seconds(|| {
        attend(
            isa,
            threads,
            &q,
            shape.heads,
            &pages,
            0,
            None,
            &spans,
            black_box(&mut y),
        )
    });
    let seen: usize = positions.iter().map(|&position| position as usize + 1).sum();
    1e-9 * (case.spans * seen * shape.heads * shape.dim * 4) as f64 / time
}

/// GB/s of what is read and written.
type Elementwise = fn(Isa, &dyn Threads, &Shape) -> f64;

const ROWS: usize = 512;

fn norms(isa: Isa, threads: &dyn Threads, shape: &Shape) -> f64 {
    let width = shape.heads * shape.dim;
    let (x, weight) = (noise(ROWS * width, 1), noise(width, 2));
    let mut y = vec![0.0; x.len()];
    let time = seconds(|| rms_norm(isa, threads, &x, &weight, 1e-6, black_box(&mut y)));
    8e-9 * x.len() as f64 / time
}

fn ropes(isa: Isa, threads: &dyn Threads, shape: &Shape) -> f64 {
    let width = shape.heads * shape.dim;
    // Angle 0: turning again and again must not grow.
    let (mut x, cos, sin) = (
        noise(ROWS * width, 1),
        vec![1.0; ROWS * shape.dim / 2],
        vec![0.0; ROWS * shape.dim / 2],
    );
    let time = seconds(|| rope(isa, threads, black_box(&mut x), width, &cos, &sin));
    8e-9 * (x.len() + cos.len()) as f64 / time
}

fn f32s(isa: Isa, threads: &dyn Threads, shape: &Shape) -> f64 {
    writes(isa, threads, shape, Format::F32, 4)
}

fn bf16s(isa: Isa, threads: &dyn Threads, shape: &Shape) -> f64 {
    writes(isa, threads, shape, Format::Bf16, 2)
}

fn writes(isa: Isa, threads: &dyn Threads, shape: &Shape, format: Format, bytes: usize) -> f64 {
    let mut pages = Pages::new(
        PageShape {
            layers: 1,
            heads: shape.key_heads,
            dim: shape.dim,
        },
        format,
    );
    let writes = |page: u32| Write {
        row: page as usize * PAGE,
        count: PAGE,
        page,
        slot: 0,
    };
    let writes: Vec<Write> = (0..(ROWS / PAGE) as u32)
        .inspect(|&page| pages.allocate(page))
        .map(writes)
        .collect();
    let k = noise(ROWS * shape.key_heads * shape.dim, 1);
    let time = seconds(|| pages.write(isa, threads, 0, &k, &k, black_box(&writes)));
    2e-9 * (k.len() * (4 + bytes)) as f64 / time
}
