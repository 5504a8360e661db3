//! Matrix products against f64, and bit against bit.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use surefoot_kernels::{Epilogue, Format, Isa, Packed, Precision, Serial, Threads, Workspace, gated, linear};

/// The instruction sets of this machine; says which others are not tested.
fn available() -> Vec<Isa> {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
            eprintln!("NOT RUN: no {}", isa.name());
        }
    });
    Isa::available()
}

/// Threads that take tasks as they come.
struct Pool(usize);

impl Threads for Pool {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    return;
                }
                task(index);
            }
        };
        std::thread::scope(|scope| (0..self.0).for_each(|_| drop(scope.spawn(work))));
    }
}

/// Numbers between −1 and 1, some of them zero, some small.
fn noise(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let x = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
        match state & 15 {
            0 => 0.0,
            1 => x * 1e-3,
            _ => x,
        }
    };
    (0..length).map(|_| next()).collect()
}

fn bf16(x: f32) -> u16 {
    (x.to_bits() >> 16) as u16
}

fn widened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

fn bits(y: &[f32]) -> Vec<u32> {
    y.iter().map(|y| y.to_bits()).collect()
}

/// What a sum may be off besides, where the numbers are so small that they lose bits.
const SMALLEST: f64 = 1e-36;

/// Whether bf16 tiles multiply: in another order, with activations cut, and with denormals for zero.
fn by_tiles(isa: Isa, format: Format) -> bool {
    isa == Isa::Amx && format == Format::Bf16
}

/// How many bits of an activation's fraction count.
fn fraction(isa: Isa, format: Format) -> i32 {
    if by_tiles(isa, format) { 16 } else { 24 }
}

/// A matrix whose numbers are bf16, so that every store holds them exactly.
struct Matrix {
    outputs: usize,
    inputs: usize,
    weights: Vec<f32>,
}

impl Matrix {
    fn new(outputs: usize, inputs: usize, seed: u64) -> Self {
        let weights = noise(outputs * inputs, seed)
            .into_iter()
            .map(|x| widened(bf16(x)))
            .collect();
        Self {
            outputs,
            inputs,
            weights,
        }
    }

    /// Packed from bf16 rows, a few at a time.
    fn packed(&self, isa: Isa, format: Format) -> Packed {
        let mut packed = Packed::new(isa, Precision::Exact, format, self.outputs, self.inputs);
        let rows: Vec<u16> = self.weights.iter().map(|&x| bf16(x)).collect();
        for first in (0..self.outputs).step_by(7) {
            let end = self.outputs.min(first + 7);
            packed.fill_bf16(first, &rows[first * self.inputs..end * self.inputs]);
        }
        packed
    }

    /// x Wᵀ + bias in f64, and how far an f32 may be off, with activations of so many bits of fraction.
    fn exact(&self, x: &[f32], bias: Option<&[f32]>, rows: usize, fraction: i32) -> Vec<(f64, f64)> {
        let mut all = Vec::with_capacity(rows * self.outputs);
        for row in 0..rows {
            for output in 0..self.outputs {
                let x = &x[row * self.inputs..(row + 1) * self.inputs];
                let weights = &self.weights[output * self.inputs..(output + 1) * self.inputs];
                let mut sum = bias.map_or(0.0, |bias| f64::from(bias[output]));
                let mut size = sum.abs();
                for (&x, &weight) in x.iter().zip(weights) {
                    let product = f64::from(x) * f64::from(weight);
                    sum += product;
                    size += product.abs();
                }
                // Two roundings for each input of a block (one where products are fused), one for each block.
                let roundings = 2 * self.inputs.min(256) + self.inputs / 256 + 4;
                let off = roundings as f64 * f64::from(f32::EPSILON) / 2.0 + f64::powi(2.0, -fraction);
                all.push((sum, size * off + SMALLEST));
            }
        }
        all
    }
}

fn close(y: &[f32], exact: &[(f64, f64)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(y.len(), exact.len());
    for (i, (&y, &(exact, off))) in y.iter().zip(exact).enumerate() {
        prop_assert!(
            (f64::from(y) - exact).abs() <= off,
            "element {}: {} instead of {} ± {}",
            i,
            y,
            exact,
            off
        );
    }
    Ok(())
}

/// Few rows, a tile and a bit, more than one part of the rows.
fn rows() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..34_usize, 2 => 34..80_usize, 1 => prop::sample::select(vec![240_usize, 241, 487])]
}

/// Around the multiples of a block of 256, and below.
fn inputs() -> impl Strategy<Value = usize> {
    let edges = vec![0_usize, 1, 2, 31, 32, 33, 127, 255, 256, 257, 511, 512, 513, 769];
    prop_oneof![prop::sample::select(edges), 1..300_usize]
}

fn outputs() -> impl Strategy<Value = usize> {
    let edges = vec![0_usize, 1, 15, 16, 17, 31, 32, 33, 47, 64, 65, 97, 127];
    prop_oneof![prop::sample::select(edges), 1..140_usize]
}

fn format() -> impl Strategy<Value = Format> {
    prop::sample::select(vec![Format::F32, Format::Bf16])
}

fn cases(most: u32) -> ProptestConfig {
    // Under valgrind the environment asks for fewer.
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(most).min(most),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn a_product_with_bias_and_epilogue_is_that_of_f64(
        rows in rows(), inputs in inputs(), outputs in outputs(), format in format(), seed: u64,
        with_bias: bool, epilogue in 0..3_usize,
    ) {
        let matrix = Matrix::new(outputs, inputs, seed);
        let x = noise(rows * inputs, seed ^ 1);
        let bias = noise(outputs, seed ^ 2);
        let residual = noise(rows * outputs, seed ^ 3);
        let bias = with_bias.then_some(&*bias);
        for isa in available() {
            let mut exact = matrix.exact(&x, bias, rows, fraction(isa, format));
            for ((sum, off), residual) in exact.iter_mut().zip(&residual) {
                match epilogue {
                    1 => {
                        *sum += f64::from(*residual);
                        *off += f64::from(f32::EPSILON) * (sum.abs() + *off);
                    }
                    2 => *sum = sum.max(0.0),
                    _ => {}
                }
            }
            let mut y = vec![f32::NAN; rows * outputs];
            let epilogue = [Epilogue::None, Epilogue::Add(&residual), Epilogue::Relu][epilogue];
            linear(&Pool(2), &mut Workspace::default(), &x, &matrix.packed(isa, format), bias, epilogue, &mut y);
            close(&y, &exact)?;
        }
    }

    #[test]
    fn a_gated_product_is_that_of_f64(
        rows in rows(), inputs in inputs(), outputs in outputs(), format in format(), seed: u64, with_bias: bool,
    ) {
        let (gate, up) = (Matrix::new(outputs, inputs, seed), Matrix::new(outputs, inputs, seed ^ 9));
        let x = noise(rows * inputs, seed ^ 1);
        let biases = [noise(outputs, seed ^ 2), noise(outputs, seed ^ 3)];
        let [gate_bias, up_bias] = [0, 1].map(|i| with_bias.then_some(&*biases[i]));
        for isa in available() {
            let gates = gate.exact(&x, gate_bias, rows, fraction(isa, format));
            let ups = up.exact(&x, up_bias, rows, fraction(isa, format));
            let exact: Vec<_> = gates.iter().zip(&ups).map(|(&(gate, gate_off), &(up, up_off))| {
                let silu = gate / (1.0 + (-gate).exp());
                // The slope of silu is at most 1.1.
                let off = 1.1 * gate_off * (up.abs() + up_off) + silu.abs() * up_off;
                (silu * up, off + (silu * up).abs() * 1e-6 + SMALLEST)
            }).collect();
            let mut y = vec![f32::NAN; rows * outputs];
            let (gate, up) = (gate.packed(isa, format), up.packed(isa, format));
            gated(&Pool(2), &mut Workspace::default(), &x, &gate, &up, gate_bias, up_bias, &mut y);
            close(&y, &exact)?;
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_any_batch_on_any_threads(
        rows in rows(), inputs in inputs(), outputs in outputs(), format in format(), seed: u64, cut in 0.0..1.0_f64,
    ) {
        let (gate, up) = (Matrix::new(outputs, inputs, seed), Matrix::new(outputs, inputs, seed ^ 9));
        // An odd offset: no slice of the caller's needs to be aligned.
        let (shift, length) = (seed as usize % 3, rows * outputs);
        let x = noise(shift + rows * inputs, seed ^ 1);
        let residual = noise(shift + length, seed ^ 2);
        let (x, residual) = (&x[shift..], &residual[shift..]);
        let bias = noise(outputs, seed ^ 3);
        let cut = (cut * rows as f64) as usize;
        for isa in available() {
            let (gate, up) = (gate.packed(isa, format), up.packed(isa, format));
            let mut workspace = Workspace::default();
            let mut both = |threads: &dyn Threads, range: std::ops::Range<usize>| {
                let x = &x[range.start * inputs..range.end * inputs];
                let residual = &residual[range.start * outputs..range.end * outputs];
                let mut y = vec![f32::NAN; shift + range.len() * outputs];
                linear(threads, &mut workspace, x, &gate, Some(&bias), Epilogue::Add(residual), &mut y[shift..]);
                let mut z = vec![f32::NAN; shift + range.len() * outputs];
                gated(threads, &mut workspace, x, &gate, &up, Some(&bias), None, &mut z[shift..]);
                [bits(&y[shift..]), bits(&z[shift..])]
            };
            let whole = both(&Serial, 0..rows);
            for count in [2, 3, 5] {
                prop_assert_eq!(&both(&Pool(count), 0..rows), &whole, "{} threads", count);
            }
            let halves = [both(&Serial, 0..cut), both(&Pool(2), cut..rows)];
            for product in 0..2 {
                prop_assert_eq!(&[&*halves[0][product], &*halves[1][product]].concat(), &whole[product]);
            }
            for row in [0, cut, rows / 2, rows.saturating_sub(1)].into_iter().filter(|&row| row < rows) {
                let alone = both(&Serial, row..row + 1);
                for product in 0..2 {
                    prop_assert_eq!(&alone[product][..], &whole[product][row * outputs..(row + 1) * outputs]);
                }
            }
        }
    }

    #[test]
    fn weights_are_kept_as_they_were_given_in_any_pieces(
        inputs in 1..70_usize, outputs in outputs(), seed: u64, step in 1..50_usize, backwards: bool,
    ) {
        let weights = noise(outputs * inputs, seed);
        let mut unit = vec![0.0; inputs * inputs];
        (0..inputs).for_each(|i| unit[i * inputs + i] = 1.0);
        for isa in available() {
            let mut packed = Packed::new(isa, Precision::Exact, Format::F32, outputs, inputs);
            let mut firsts: Vec<usize> = (0..outputs).step_by(step).collect();
            if backwards {
                firsts.reverse();
            }
            for first in firsts {
                packed.fill_f32(first, &weights[first * inputs..outputs.min(first + step) * inputs]);
            }
            let mut y = vec![f32::NAN; inputs * outputs];
            linear(&Serial, &mut Workspace::default(), &unit, &packed, None, Epilogue::None, &mut y);
            for output in 0..outputs {
                for input in 0..inputs {
                    prop_assert_eq!(y[input * outputs + output], weights[output * inputs + input]);
                }
            }
        }
    }
}

#[test]
fn one_isa_gives_one_result_for_both_formats() {
    let matrix = Matrix::new(100, 600, 5);
    let x = noise(37 * 600, 6);
    for isa in available() {
        let [f32, bf16] = [Format::F32, Format::Bf16].map(|format| {
            let mut y = vec![f32::NAN; 37 * 100];
            let packed = matrix.packed(isa, format);
            linear(
                &Serial,
                &mut Workspace::default(),
                &x,
                &packed,
                None,
                Epilogue::None,
                &mut y,
            );
            bits(&y)
        });
        if !by_tiles(isa, Format::Bf16) {
            assert_eq!(f32, bf16);
        }
    }
}

#[test]
fn f32_weights_are_rounded_to_the_nearest_bf16_ties_to_even() {
    // One bit below, at and above the middle of two bf16 numbers, for an even and an odd one; and the ends.
    let given = [
        0x3f80_7fff,
        0x3f80_8000,
        0x3f80_8001,
        0x3f81_7fff,
        0x3f81_8000,
        0x7f7f_7fff,
        0x7f7f_8000,
        0x8000_8001,
    ];
    let stored = [0x3f80, 0x3f80, 0x3f81, 0x3f81, 0x3f82, 0x7f7f, 0x7f80, 0x8001];
    for isa in available() {
        let mut packed = Packed::new(isa, Precision::Exact, Format::Bf16, given.len(), 1);
        packed.fill_f32(0, &given.map(f32::from_bits));
        let mut y = [f32::NAN; 8];
        linear(
            &Serial,
            &mut Workspace::default(),
            &[1.0],
            &packed,
            None,
            Epilogue::None,
            &mut y,
        );
        // To tiles a denormal is zero, and infinity, times a second part that is zero, no number.
        let count = if by_tiles(isa, Format::Bf16) { 6 } else { 8 };
        assert_eq!(bits(&y[..count]), stored.map(|x| x << 16)[..count], "{}", isa.name());
        packed.fill_f32(3, &[f32::from_bits(0x7f80_0001)]);
        linear(
            &Serial,
            &mut Workspace::default(),
            &[1.0],
            &packed,
            None,
            Epilogue::None,
            &mut y,
        );
        assert!(y[3].is_nan(), "a NaN whose bits are all low stays one");
    }
}

#[test]
fn a_nan_or_an_infinity_touches_its_own_row_only() {
    let (rows, inputs, outputs) = (31, 300, 45);
    let (gate, up) = (Matrix::new(outputs, inputs, 1), Matrix::new(outputs, inputs, 2));
    let x = noise(rows * inputs, 3);
    for (isa, format) in available()
        .into_iter()
        .flat_map(|isa| [(isa, Format::F32), (isa, Format::Bf16)])
    {
        let (gate, up) = (gate.packed(isa, format), up.packed(isa, format));
        let run = |x: &[f32]| {
            let mut results = [0, 1, 2].map(|_| vec![0.0; rows * outputs]);
            let mut workspace = Workspace::default();
            linear(&Serial, &mut workspace, x, &gate, None, Epilogue::None, &mut results[0]);
            linear(&Serial, &mut workspace, x, &gate, None, Epilogue::Relu, &mut results[1]);
            gated(&Serial, &mut workspace, x, &gate, &up, None, None, &mut results[2]);
            results
        };
        let clean = run(&x);
        for bad in [f32::NAN, f32::INFINITY] {
            for row in [0, 5, 30] {
                let mut x = x.clone();
                x[row * inputs + 280] = bad;
                for (product, (clean, y)) in clean.iter().zip(run(&x)).enumerate() {
                    for (i, (clean, y)) in clean.iter().zip(&y).enumerate() {
                        if i / outputs != row {
                            assert_eq!(clean.to_bits(), y.to_bits());
                        } else if bad.is_nan() {
                            assert!(y.is_nan(), "{} product {product}: {y}", isa.name());
                        } else if product == 0 {
                            assert!(!y.is_finite(), "{}: {y}", isa.name());
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn denormal_activations_are_not_flushed() {
    let small = f32::from_bits(3);
    for (isa, format) in available()
        .into_iter()
        .flat_map(|isa| [(isa, Format::F32), (isa, Format::Bf16)])
    {
        if by_tiles(isa, format) {
            continue;
        }
        let mut packed = Packed::new(isa, Precision::Exact, format, 17, 5);
        packed.fill_f32(0, &[1.0; 17 * 5]);
        let mut y = [0.0; 2 * 17];
        linear(
            &Serial,
            &mut Workspace::default(),
            &[small; 10],
            &packed,
            None,
            Epilogue::None,
            &mut y,
        );
        assert_eq!(bits(&y), [15; 2 * 17], "{}", isa.name());
    }
}

#[test]
fn without_inputs_there_is_the_bias_and_without_rows_nothing() {
    for isa in available() {
        let packed = Packed::new(isa, Precision::Exact, Format::Bf16, 3, 0);
        assert_eq!((packed.outputs(), packed.inputs(), packed.bytes()), (3, 0, 0));
        let mut y = [f32::NAN; 6];
        let mut workspace = Workspace::default();
        linear(
            &Pool(2),
            &mut workspace,
            &[],
            &packed,
            Some(&[-1.0, 0.5, 2.0]),
            Epilogue::Relu,
            &mut y,
        );
        assert_eq!(y, [0.0, 0.5, 2.0, 0.0, 0.5, 2.0]);
        let packed = Packed::new(isa, Precision::Exact, Format::F32, 3, 4);
        linear(&Pool(2), &mut workspace, &[], &packed, None, Epilogue::None, &mut []);
        let packed = Packed::new(isa, Precision::Exact, Format::F32, 0, 4);
        linear(
            &Pool(2),
            &mut workspace,
            &[1.0; 8],
            &packed,
            None,
            Epilogue::None,
            &mut [],
        );
    }
}

#[test]
fn bf16_weights_take_two_bytes_each() {
    for isa in available() {
        let bytes = |format| Packed::new(isa, Precision::Exact, format, 896, 4864).bytes();
        assert_eq!(bytes(Format::Bf16), 2 * 896 * 4864);
        assert_eq!(bytes(Format::F32), 4 * 896 * 4864);
    }
}

/// Calls with a matrix of 4 outputs × 3 inputs and two rows.
fn call(x: usize, bias: usize, residual: usize, y: usize) {
    let packed = Packed::new(Isa::Scalar, Precision::Exact, Format::F32, 4, 3);
    let numbers = [0.0; 16];
    let epilogue = Epilogue::Add(&numbers[..residual]);
    linear(
        &Serial,
        &mut Workspace::default(),
        &numbers[..x],
        &packed,
        Some(&numbers[..bias]),
        epilogue,
        &mut [0.0; 16][..y],
    );
}

#[test]
#[should_panic = "x must be 2 rows × 3 inputs"]
fn an_x_of_another_length_is_refused() {
    call(7, 4, 8, 8);
}

#[test]
#[should_panic = "x has rows and y has none"]
fn a_y_without_rows_is_refused() {
    call(6, 4, 0, 0);
}

#[test]
#[should_panic = "y must be rows × 4 outputs"]
fn a_y_with_part_of_a_row_is_refused() {
    call(6, 4, 7, 7);
}

#[test]
#[should_panic = "a bias must have one number for each output"]
fn a_bias_of_another_length_is_refused() {
    call(6, 3, 8, 8);
}

#[test]
#[should_panic = "the residual must have the shape of y"]
fn a_residual_of_another_length_is_refused() {
    call(6, 4, 7, 8);
}

#[test]
#[should_panic = "rows 3 to 5 of a matrix of 4"]
fn rows_beyond_the_matrix_are_refused() {
    Packed::new(Isa::Scalar, Precision::Exact, Format::F32, 4, 3).fill_f32(3, &[0.0; 6]);
}

#[test]
#[should_panic = "4 weights are not whole rows of 3"]
fn part_of_a_row_is_refused() {
    Packed::new(Isa::Scalar, Precision::Exact, Format::F32, 4, 3).fill_bf16(0, &[0; 4]);
}

#[test]
#[should_panic = "gate and up must be packed alike"]
fn a_gate_of_another_shape_is_refused() {
    let [gate, up] = [4, 5].map(|outputs| Packed::new(Isa::Scalar, Precision::Exact, Format::F32, outputs, 3));
    gated(
        &Serial,
        &mut Workspace::default(),
        &[0.0; 3],
        &gate,
        &up,
        None,
        None,
        &mut [0.0; 4],
    );
}
