//! Products on AMX tiles as a caller sees them. What the tiles compute is tested on every machine beside the code, by a
//! model of them; here they are the processor's.

mod common;

use common::{Crew, Random};
use proptest::prelude::*;
use surefoot_kernels::{Epilogue, Format, Isa, Packed, Precision, Serial, Threads, Workspace, gated, linear};

/// Says so where there are no tiles.
fn tiles() -> bool {
    let available = Isa::Amx.is_available();
    if !available {
        eprintln!("NOT RUN: no amx");
    }
    available
}

#[derive(Debug)]
struct Case {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x: Vec<f32>,
    /// Those of the gate, and those that it opens to.
    weights: [Vec<u16>; 2],
}

impl Case {
    fn new(rows: usize, inputs: usize, outputs: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut weights = || {
            let numbers = random.numbers(outputs * inputs);
            numbers.into_iter().map(|x| (x.to_bits() >> 16) as u16).collect()
        };
        let weights = [weights(), weights()];
        let x = random.numbers(rows * inputs);
        Self {
            rows,
            inputs,
            outputs,
            x,
            weights,
        }
    }

    fn packed(&self, isa: Isa, precision: Precision, which: usize) -> Packed {
        let mut packed = Packed::new(isa, precision, Format::Bf16, self.outputs, self.inputs);
        packed.fill_bf16(0, &self.weights[which]);
        packed
    }

    /// x Wᵀ, and silu(x Wᵀ) · (x Uᵀ), for some of the rows.
    fn run(
        &self,
        isa: Isa,
        precision: Precision,
        threads: &dyn Threads,
        rows: std::ops::Range<usize>,
    ) -> [Vec<f32>; 2] {
        let [gate, up] = [0, 1].map(|which| self.packed(isa, precision, which));
        let x = &self.x[rows.start * self.inputs..rows.end * self.inputs];
        let [mut y, mut z] = [0, 1].map(|_| vec![f32::NAN; rows.len() * self.outputs]);
        let mut workspace = Workspace::default();
        linear(threads, &mut workspace, x, &gate, None, Epilogue::None, &mut y);
        gated(threads, &mut workspace, x, &gate, &up, None, None, &mut z);
        [y, z]
    }

    /// The sum of products and that of their magnitudes, in f64.
    fn exact(&self, row: usize, output: usize) -> (f64, f64) {
        let x = &self.x[row * self.inputs..][..self.inputs];
        let weights = &self.weights[0][output * self.inputs..][..self.inputs];
        x.iter().zip(weights).fold((0.0, 0.0), |(sum, size), (&x, &weight)| {
            let product = f64::from(x) * f64::from(f32::from_bits(u32::from(weight) << 16));
            (sum + product, size + product.abs())
        })
    }
}

fn case() -> impl Strategy<Value = Case> {
    let size = || prop::sample::select(vec![1_usize, 15, 16, 17, 31, 32, 33, 61, 97, 131]);
    let inputs = prop_oneof![4 => size(), 1 => Just(1031_usize)];
    (size(), inputs, size(), any::<u64>())
        .prop_map(|(rows, inputs, outputs, seed)| Case::new(rows, inputs, outputs, seed))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.min(32),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn exact_is_within_a_hundred_thousandth_and_fast_within_a_bf16(case in case()) {
        if !tiles() {
            return Ok(());
        }
        for (precision, bound) in [(Precision::Exact, 1e-5), (Precision::Fast, 1.0 / 256.0 + 1e-5)] {
            let [y, _] = case.run(Isa::Amx, precision, &Crew::new(2), 0..case.rows);
            for (i, &y) in y.iter().enumerate() {
                let (sum, size) = case.exact(i / case.outputs, i % case.outputs);
                prop_assert!((f64::from(y) - sum).abs() <= bound * size, "{y} for {sum}, {precision:?}");
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_in_a_batch_and_on_any_threads(case in case(), cut in 0.0..1.0_f64) {
        if !tiles() {
            return Ok(());
        }
        let bits = |[y, z]: [Vec<f32>; 2]| [y, z].map(|y| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>());
        let cut = (cut * case.rows as f64) as usize;
        for precision in [Precision::Exact, Precision::Fast] {
            let whole = bits(case.run(Isa::Amx, precision, &Serial, 0..case.rows));
            prop_assert_eq!(&bits(case.run(Isa::Amx, precision, &Crew::new(3), 0..case.rows)), &whole);
            for rows in [0..cut, cut..case.rows, cut..cut + 1] {
                let part = bits(case.run(Isa::Amx, precision, &Crew::new(2), rows.clone()));
                for (part, whole) in part.iter().zip(&whole) {
                    prop_assert_eq!(part, &whole[rows.start * case.outputs..rows.end * case.outputs]);
                }
            }
        }
    }
}

#[test]
fn f32_weights_are_multiplied_as_without_tiles() {
    if !tiles() {
        return;
    }
    let mut random = Random(5);
    let (weights, x) = (random.numbers(70 * 300), random.numbers(35 * 300));
    let [on, off] = [Isa::Amx, Isa::Avx512].map(|isa| {
        let mut packed = Packed::new(isa, Precision::Fast, Format::F32, 70, 300);
        packed.fill_f32(0, &weights);
        let mut y = vec![f32::NAN; 35 * 70];
        linear(
            &Serial,
            &mut Workspace::default(),
            &x,
            &packed,
            None,
            Epilogue::None,
            &mut y,
        );
        y
    });
    assert_eq!(on, off);
}

#[test]
fn tiles_are_released_so_that_a_thread_may_go_on_with_other_work() {
    if !tiles() {
        return;
    }
    let case = Case::new(40, 100, 40, 3);
    let first = case.run(Isa::Amx, Precision::Exact, &Serial, 0..40);
    let between = case.run(Isa::Avx512, Precision::Exact, &Serial, 0..40);
    assert_eq!(case.run(Isa::Amx, Precision::Exact, &Serial, 0..40), first);
    assert_eq!(case.run(Isa::Avx512, Precision::Exact, &Serial, 0..40), between);
}
