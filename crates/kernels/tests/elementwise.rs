//! Norms and rotations beside f64, over odd lengths, unaligned slices and odd numbers.

mod common;

use common::{Crew, Random, isas};
use surefoot_kernels::{Isa, Serial, Threads, exponentials, rms_norm, rope};

const WIDTHS: [usize; 12] = [1, 2, 7, 8, 9, 15, 16, 31, 64, 97, 128, 896];

fn norm(isa: Isa, threads: &dyn Threads, x: &[f32], weight: &[f32]) -> Vec<f32> {
    // One before and one behind, so that rows are not aligned and nothing else may be written.
    let mut y = vec![7.0; x.len() + 2];
    let end = x.len() + 1;
    rms_norm(isa, threads, x, weight, 1e-6, &mut y[1..end]);
    assert_eq!((y[0], y[end]), (7.0, 7.0));
    y[1..end].to_vec()
}

fn turned(isa: Isa, threads: &dyn Threads, x: &[f32], columns: usize, cos: &[f32], sin: &[f32]) -> Vec<f32> {
    let mut y = vec![7.0; x.len() + 2];
    let end = x.len() + 1;
    y[1..end].copy_from_slice(x);
    rope(isa, threads, &mut y[1..end], columns, cos, sin);
    assert_eq!((y[0], y[end]), (7.0, 7.0));
    y[1..end].to_vec()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_norm_is_near_f64() {
    let mut random = Random(1);
    for isa in isas() {
        for width in WIDTHS {
            // From where eps decides to where it does not matter.
            for size in [1e-40, 1e-20, 1e-3, 1.0, 1e4, 1e17] {
                let x: Vec<f32> = random.numbers(3 * width).iter().map(|x| x * size).collect();
                let weight = random.numbers(width);
                for (x, y) in x.chunks(width).zip(norm(isa, &Serial, &x, &weight).chunks(width)) {
                    let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
                    let root = (squares / width as f64 + f64::from(1e-6_f32)).sqrt();
                    for ((&x, &y), &weight) in x.iter().zip(y).zip(&weight) {
                        let exact = f64::from(x) / root * f64::from(weight);
                        let bound = 1e-6 * exact.abs() + 1e-44;
                        // The product before the weight may be a denormal, too.
                        let bound = bound + 1.5e-45 * f64::from(weight.abs());
                        assert!(
                            (f64::from(y) - exact).abs() <= bound,
                            "{isa:?}, {width}: {y:e} for {exact:e}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn rows_of_a_norm_know_nothing_of_each_other() {
    let mut random = Random(2);
    for isa in isas() {
        for width in WIDTHS {
            let rows = 9;
            let mut x = random.numbers(rows * width);
            let weight = random.numbers(width);
            let clean = norm(isa, &Serial, &x, &weight);
            for (row, &bad) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX]
                .iter()
                .enumerate()
            {
                x[2 * row * width + random.below(width)] = bad;
            }
            let y = norm(isa, &Serial, &x, &weight);
            for row in 0..rows {
                let at = row * width..(row + 1) * width;
                if row % 2 == 0 && row < 8 {
                    // A NaN takes the row; infinite squares leave 0, and NaN where ∞ meets it.
                    let good = |&y: &f32| {
                        if row == 0 {
                            y.is_nan()
                        } else {
                            y == 0.0 || row < 6 && y.is_nan()
                        }
                    };
                    assert!(
                        y[at.clone()].iter().all(good),
                        "{isa:?}, {width}, row {row}: {:?}",
                        &y[at]
                    );
                } else {
                    assert_eq!(bits(&y[at.clone()]), bits(&clean[at.clone()]));
                    assert_eq!(bits(&norm(isa, &Serial, &x[at.clone()], &weight)), bits(&y[at]));
                }
            }
        }
    }
}

#[test]
fn a_rotation_is_near_f64() {
    let mut random = Random(3);
    for isa in isas() {
        for half in [1, 3, 4, 7, 8, 9, 16, 32, 40, 48, 64] {
            for size in [1e-40_f32, 1.0, 1e30] {
                let (rows, heads) = (5, 3);
                let columns = heads * 2 * half;
                let x: Vec<f32> = random.numbers(rows * columns).iter().map(|x| x * size).collect();
                let angles: Vec<f32> = random.numbers(rows * half).iter().map(|x| x * 50.0).collect();
                let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|x| (x.cos(), x.sin())).unzip();
                let y = turned(isa, &Serial, &x, columns, &cos, &sin);
                for i in 0..x.len() {
                    let (row, at) = (i / columns, i % (2 * half));
                    let angle = row * half + at % half;
                    let other = if at < half { -x[i + half] } else { x[i - half] };
                    let [x, cos, other, sin] = [x[i], cos[angle], other, sin[angle]].map(f64::from);
                    let bound = 1.2e-7 * ((x * cos).abs() + (other * sin).abs()) + 3e-45;
                    let exact = x * cos + other * sin;
                    assert!(
                        (f64::from(y[i]) - exact).abs() <= bound,
                        "{isa:?}, {half}: {:e} for {exact:e}",
                        y[i]
                    );
                }
            }
        }
    }
}

#[test]
fn pairs_of_a_rotation_know_nothing_of_each_other() {
    let mut random = Random(4);
    for isa in isas() {
        for half in [1, 3, 8, 9, 32, 64] {
            let (rows, columns) = (7, 4 * half);
            let (x, cos, sin) = (
                random.numbers(rows * columns),
                random.numbers(rows * half),
                random.numbers(rows * half),
            );
            let clean = turned(isa, &Serial, &x, columns, &cos, &sin);
            let mut spoilt = x.clone();
            let (row, head, at) = (random.below(rows), random.below(2), random.below(half));
            let bad = row * columns + head * 2 * half + at;
            spoilt[bad] = f32::NAN;
            let y = turned(isa, &Serial, &spoilt, columns, &cos, &sin);
            for i in 0..x.len() {
                assert_eq!(y[i].is_nan(), i == bad || i == bad + half);
                assert!(y[i].is_nan() || y[i].to_bits() == clean[i].to_bits());
            }
            let at = row * columns..(row + 1) * columns;
            let angles = row * half..(row + 1) * half;
            let alone = turned(
                isa,
                &Serial,
                &x[at.clone()],
                columns,
                &cos[angles.clone()],
                &sin[angles],
            );
            assert_eq!(bits(&alone), bits(&clean[at]));
        }
    }
}

#[test]
fn threads_change_nothing_where_they_share_the_work() {
    let mut random = Random(5);
    for isa in isas() {
        let (rows, half) = (301, 32);
        let columns = 6 * half;
        let x = random.numbers(rows * columns);
        let weight = random.numbers(columns);
        let (cos, sin) = (random.numbers(rows * half), random.numbers(rows * half));
        let alone = [
            norm(isa, &Serial, &x, &weight),
            turned(isa, &Serial, &x, columns, &cos, &sin),
        ];
        for count in [2, 3, 8] {
            let crew = Crew::new(count);
            let shared = [
                norm(isa, &crew, &x, &weight),
                turned(isa, &crew, &x, columns, &cos, &sin),
            ];
            assert!(crew.tasks() >= 4, "{} tasks", crew.tasks());
            for (alone, shared) in alone.iter().zip(&shared) {
                assert_eq!(bits(alone), bits(shared));
            }
        }
    }
}

#[test]
fn nothing_is_nothing() {
    for isa in isas() {
        rms_norm(isa, &Serial, &[], &[1.0], 0.0, &mut []);
        rope(isa, &Serial, &mut [], 8, &[], &[]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |call: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err();
    let norm = |x: &[f32], weight: &[f32], y: usize| rms_norm(Isa::Scalar, &Serial, x, weight, 0.0, &mut vec![0.0; y]);
    assert!(refused(&|| norm(&[0.0; 5], &[1.0; 2], 5)));
    assert!(refused(&|| norm(&[0.0; 4], &[1.0; 2], 2)));
    assert!(refused(&|| norm(&[], &[], 0)));
    let rope = |x: usize, columns: usize, cos: &[f32], sin: &[f32]| {
        rope(Isa::Scalar, &Serial, &mut vec![0.0; x], columns, cos, sin);
    };
    assert!(!refused(&|| rope(16, 8, &[0.0; 4], &[0.0; 4])));
    assert!(refused(&|| rope(15, 8, &[0.0; 4], &[0.0; 4])));
    assert!(refused(&|| rope(16, 8, &[0.0; 4], &[0.0; 2])));
    assert!(refused(&|| rope(16, 8, &[0.0; 3], &[0.0; 3])));
    assert!(refused(&|| rope(16, 8, &[0.0; 6], &[0.0; 6])));
    assert!(refused(&|| rope(16, 8, &[], &[])));
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        assert!(refused(&|| rms_norm(isa, &Serial, &[1.0], &[1.0], 0.0, &mut [0.0])));
    }
}

#[test]
fn weights_of_a_softmax_are_near_f64_and_write_nothing_else() {
    let mut random = Random(5);
    for isa in isas() {
        for length in [0, 1, 7, 8, 9, 31, 97, 1000] {
            let mut x: Vec<f32> = random.numbers(length).iter().map(|x| 20.0 * x).collect();
            if length > 8 {
                x[3] = f32::NEG_INFINITY;
            }
            let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for scale in [0.0, 0.5, 1.0, 3.0, f32::MAX] {
                let mut y = vec![7.0; length + 2];
                exponentials(isa, &x, most, scale, &mut y[1..=length]);
                assert_eq!((y[0], y[length + 1]), (7.0, 7.0));
                for (&x, &y) in x.iter().zip(&y[1..]) {
                    let argument = (x - most) * scale;
                    if argument.is_nan() {
                        // -∞ · 0.
                        assert!(y.is_nan());
                        continue;
                    }
                    let exact = f64::from(argument).exp();
                    assert!(
                        (f64::from(y) - exact).abs() <= 3e-7 * exact + 1e-44,
                        "{isa:?}: {y:e} for {exact:e}"
                    );
                }
                if length > 0 && scale > 0.0 {
                    assert_eq!(y[1..=length].iter().copied().fold(0.0, f32::max), 1.0);
                }
            }
        }
    }
}
