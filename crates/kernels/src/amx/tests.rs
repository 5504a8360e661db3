use proptest::prelude::*;

use super::*;
use crate::Serial;

/// What the processor's manual says of TDPBF16PS: even and odd inputs are summed apart, fused, then added to each
/// other and to the sum so far; numbers below 2⁻¹²⁶ count as 0 wherever they come up.
fn tile_dot(a: &Tile, b: &Tile, c: &mut [f32], stride: usize) {
    let flush = |x: f32| if x.is_subnormal() { 0.0_f32.copysign(x) } else { x };
    let widen = |x: u16| flush(f32::from_bits(u32::from(x) << 16));
    for (m, a) in a.0.iter().enumerate() {
        for n in 0..SIDE {
            let mut sums = [0.0_f32; 2];
            for (k, b) in b.0.iter().enumerate() {
                for (odd, sum) in sums.iter_mut().enumerate() {
                    *sum = flush(widen(a[2 * k + odd]).mul_add(widen(b[2 * n + odd]), *sum));
                }
            }
            let c = &mut c[m * stride + n];
            *c = flush(flush(*c) + flush(sums[0] + sums[1]));
        }
    }
}

struct Model;

impl Multiply for Model {
    unsafe fn start() -> Self {
        Self
    }

    fn multiply(&self, a: &[Tile], b: &[Tile], both: bool, c: &mut [f32], stride: usize) {
        let parts = a.len() / b.len();
        for (a, b) in a.chunks(2 * parts).zip(b.chunks(2)) {
            for (i, a) in a.iter().enumerate().filter(|(i, _)| both || i % 2 == 0) {
                for (side, b) in b.iter().enumerate() {
                    tile_dot(a, b, &mut c[i % 2 * SIDE * stride + side * SIDE..], stride);
                }
            }
        }
    }
}

type Product = fn(&Rows, &Weights, Range<usize>, Range<usize>, &mut [f32]);

/// The model everywhere, the registers where they are.
fn products() -> Vec<Product> {
    let mut all: Vec<Product> = vec![product_by::<Model>];
    if Isa::Amx.is_available() {
        all.push(product);
    } else {
        eprintln!("NOT RUN: no amx");
    }
    all
}

fn packed(x: &[f32], inputs: usize, parts: usize) -> Rows {
    let mut rows = Rows::default();
    // What an earlier call left must not matter.
    rows.pack(&Serial, &vec![f32::NAN; x.len() + inputs], inputs, 2);
    rows.pack(&Serial, x, inputs, parts);
    rows
}

fn weights(w: &[f32], outputs: usize, inputs: usize) -> Weights {
    let mut weights = Weights::new(outputs, inputs);
    weights.fill(0, w, nearest);
    weights
}

/// rows × outputs, each pair of panels by itself, or all at once.
fn multiply(by: Product, x: &[f32], w: &Weights, parts: usize, apart: bool) -> Vec<f32> {
    let x = packed(x, w.inputs, parts);
    let mut y = vec![0.0; x.rows * w.outputs];
    let mut one = |rows: Range<usize>, panels: Range<usize>| {
        let stride = panels.len() * PANEL;
        let mut out = vec![f32::NAN; rows.len() * PANEL * stride];
        by(&x, w, rows.clone(), panels.clone(), &mut out);
        for row in rows.start * PANEL..x.rows.min(rows.end * PANEL) {
            for output in panels.start * PANEL..w.outputs.min(panels.end * PANEL) {
                y[row * w.outputs + output] = out[(row - rows.start * PANEL) * stride + output - panels.start * PANEL];
            }
        }
    };
    if apart {
        (0..x.panels()).for_each(|row| (0..w.panels()).for_each(|panel| one(row..row + 1, panel..panel + 1)));
    } else {
        one(0..x.panels(), 0..w.panels());
    }
    y
}

fn bits(y: &[f32]) -> Vec<u32> {
    y.iter().map(|y| y.to_bits()).collect()
}

fn bf16(x: f32) -> f32 {
    f32::from_bits(u32::from(nearest(x)) << 16)
}

/// The sum of products, and that of their magnitudes.
fn exact(x: &[f32], w: &[f32]) -> (f64, f64) {
    let products = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(bf16(w)));
    products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()))
}

fn size() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1_usize, 2, 15, 16, 17, 31, 32, 33, 37, 61, 64, 67])
}

/// x, weights, outputs, inputs.
fn shape() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, usize, usize)> {
    // The second has more than one block of steps.
    let sizes = prop_oneof![
        (size(), size(), size()),
        (1_usize..=3, Just(BLOCK * STEP + 5), 1_usize..=17)
    ];
    (sizes, 1_u64..).prop_map(|((rows, inputs, outputs), seed)| {
        let mut state = seed;
        let mut number = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 22) as f32 - 2.0
        };
        let x = (0..rows * inputs).map(|_| number()).collect();
        let w = (0..outputs * inputs).map(|_| number()).collect();
        (x, w, outputs, inputs)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.min(24),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn products_are_as_near_as_their_parts_allow((x, w, outputs, inputs) in shape()) {
        let weights = weights(&w, outputs, inputs);
        for by in products() {
            for (parts, bound) in [(1, 1.0 / 256.0 + 1e-5), (2, 1e-5)] {
                let y = multiply(by, &x, &weights, parts, false);
                for (i, &y) in y.iter().enumerate() {
                    let (row, output) = (i / outputs, i % outputs);
                    let (sum, size) = exact(&x[row * inputs..][..inputs], &w[output * inputs..][..inputs]);
                    prop_assert!((f64::from(y) - sum).abs() <= bound * size, "{y} for {sum}, {parts} parts");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others((x, w, outputs, inputs) in shape(), parts in 1_usize..=2) {
        let weights = weights(&w, outputs, inputs);
        for by in products() {
            let y = multiply(by, &x, &weights, parts, false);
            prop_assert_eq!(bits(&multiply(by, &x, &weights, parts, true)), bits(&y));
            for (row, y) in y.chunks(outputs).enumerate() {
                let alone = multiply(by, &x[row * inputs..][..inputs], &weights, parts, true);
                prop_assert_eq!(bits(&alone), bits(y), "row {}", row);
            }
        }
    }

    #[test]
    fn the_registers_compute_what_the_model_does((x, w, outputs, inputs) in shape(), parts in 1_usize..=2) {
        let Some(&by) = products().get(1) else { return Ok(()) };
        let weights = weights(&w, outputs, inputs);
        let (ours, theirs) = (multiply(product_by::<Model>, &x, &weights, parts, false), multiply(by, &x, &weights, parts, false));
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            let (_, size) = exact(&x[i / outputs * inputs..][..inputs], &w[i % outputs * inputs..][..inputs]);
            prop_assert!(f64::from(a - b).abs() <= 1e-6 * size, "{a} by the model, {b} by the registers");
        }
        // Whole numbers leave nothing to round.
        let whole = |x: &f32| (x * 8.0).round();
        let x: Vec<f32> = x.iter().map(whole).collect();
        let weights = self::weights(&w.iter().map(whole).collect::<Vec<_>>(), outputs, inputs);
        prop_assert_eq!(
            multiply(product_by::<Model>, &x, &weights, parts, false),
            multiply(by, &x, &weights, parts, false)
        );
    }

    #[test]
    fn weights_filled_in_pieces_are_those_filled_at_once((_, w, outputs, inputs) in shape(), cut in 0.0..1.0_f64) {
        let cut = (cut * outputs as f64) as usize;
        let (first, second) = w.split_at(cut * inputs);
        let mut pieces = Weights::new(outputs, inputs);
        pieces.fill(cut, second, nearest);
        pieces.fill(0, first, nearest);
        let whole = weights(&w, outputs, inputs);
        prop_assert!(pieces.tiles.iter().zip(&whole.tiles).all(|(a, b)| a.0 == b.0));
        let filled = whole.tiles.iter().flat_map(|tile| tile.0.as_flattened()).filter(|&&w| w != 0).count();
        prop_assert_eq!(filled, w.iter().filter(|&&w| nearest(w) != 0).count());
        prop_assert_eq!(whole.bytes(), outputs.next_multiple_of(32) * inputs.next_multiple_of(32) * 2);
    }

    #[test]
    fn the_nearest_bf16_is_the_nearer_of_two_and_even_between(bits: u32) {
        let x = f32::from_bits(bits);
        let (below, value) = ((bits >> 16) as u16, |x: u16| f64::from(f32::from_bits(u32::from(x) << 16)));
        if x.is_nan() {
            prop_assert!(value(nearest(x)).is_nan());
        } else if x.is_infinite() || value(below + 1).is_infinite() {
            prop_assert_eq!(nearest(x), below);
        } else {
            let (down, up) = ((f64::from(x) - value(below)).abs(), (value(below + 1) - f64::from(x)).abs());
            let up = up < down || (up == down && below % 2 == 1);
            prop_assert_eq!(nearest(x), below + u16::from(up));
        }
    }
}

#[test]
fn nothing_times_nothing_is_zeroes() {
    for by in products() {
        assert!(multiply(by, &[], &Weights::new(5, 3), 2, false).is_empty());
        assert!(multiply(by, &[1.0; 3], &Weights::new(0, 3), 2, false).is_empty());
        let mut out = vec![f32::NAN; PANEL * PANEL];
        by(&packed(&[], 0, 2), &Weights::new(5, 0), 0..1, 0..1, &mut out);
        assert!(out.iter().all(|&x| x == 0.0));
    }
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    let (rows, inputs, outputs) = (33, 40, 18);
    let w: Vec<f32> = (0..outputs * inputs).map(|i| 1.0 + (i % 7) as f32).collect();
    let weights = weights(&w, outputs, inputs);
    for by in products() {
        for parts in 1..=2 {
            let plain = multiply(by, &vec![1.0; rows * inputs], &weights, parts, false);
            for bad in [f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY, f32::NEG_INFINITY] {
                for row in [0, 15, 16, 31, 32] {
                    let mut x = vec![1.0; rows * inputs];
                    x[row * inputs + 39] = bad;
                    let y = multiply(by, &x, &weights, parts, false);
                    for (i, (&y, &plain)) in y.iter().zip(&plain).enumerate() {
                        let expected = if i / outputs == row { bad } else { plain };
                        assert!(y == expected || y.is_nan() && expected.is_nan(), "{y} for {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_largest_numbers_stay_finite_and_right() {
    let w = weights(&[0.25, 0.25], 1, 2);
    for by in products() {
        for (x, bound) in [(f32::MAX, 1e-5), (f32::from_bits(0x7f7f_8000), 1e-5), (-f32::MAX, 1e-5)] {
            for (parts, bound) in [(1, 1.0 / 256.0), (2, bound)] {
                let y = multiply(by, &[x, x], &w, parts, false)[0];
                let expected = f64::from(x) * 0.5;
                assert!(
                    (f64::from(y) - expected).abs() <= bound * expected.abs(),
                    "{y} for {expected}"
                );
            }
        }
    }
}

#[test]
fn numbers_below_the_normal_ones_count_as_zero() {
    let small = f32::MIN_POSITIVE;
    for by in products() {
        let one = |x: f32, w: f32| multiply(by, &[x], &weights(&[w], 1, 1), 2, false)[0];
        assert_eq!(one(small, 2.0), 2.0 * small);
        assert_eq!(one(small * 0.5, 2.0_f32.powi(100)), 0.0, "a small activation");
        assert_eq!(one(2.0_f32.powi(100), small * 0.5), 0.0, "a small weight");
        assert_eq!(one(small, 0.5), 0.0, "a small sum");
        let x = small * (1.0 + 1.0 / 1024.0);
        assert_eq!(one(x, 2.0_f32.powi(100)), small * 2.0_f32.powi(100), "a small rest");
        let x = x * 2.0_f32.powi(20);
        assert_eq!(
            one(x, 2.0_f32.powi(100)),
            x * 2.0_f32.powi(100),
            "a rest that is large enough"
        );
    }
}
