//! Functions of one vector, and the ends of slices that do not fill one.

use crate::lanes::Lanes;

/// eˣ within 2 units in the last place. Below e⁻¹⁰⁴ it is 0 by way of the denormals, above e^88.72 infinite; NaN stays.
///
/// # Safety
/// Needs the instruction set of `L`.
#[inline(always)]
pub(crate) unsafe fn exp<L: Lanes>(x: L) -> L {
    // SAFETY: promised by the caller.
    unsafe {
        let c = |x: f32| L::splat(x);
        // A NaN is the second operand of both, so it passes.
        let x = c(89.0).min(c(-104.0).max(x));
        let n = x.mul(c(std::f32::consts::LOG2_E)).round();
        // x − n · ln 2 in two parts, the first of nine bits.
        let r = n.fma(c(2.121_944_4e-4), n.fma(c(-355.0 / 512.0), x));
        // The polynomial of degree 6 with the least largest relative error, 3.1e-9, that begins with 1 + r.
        let p = c(0.001_381_459_9);
        let p = p.fma(r, c(0.008_368_717));
        let p = p.fma(r, c(0.041_668_39));
        let p = p.fma(r, c(0.166_665_21));
        let p = p.fma(r, c(0.499_999_94));
        let p = p.fma(r.mul(r), r).add(c(1.0));
        // Two factors: 2ⁿ itself may be too large or too small for an f32.
        let half = n.mul(c(0.5)).round();
        p.scale(half).scale(n.sub(half))
    }
}

/// x / (1 + e⁻ˣ); for −∞ NaN, as the formula says.
///
/// # Safety
/// Needs the instruction set of `L`.
#[inline(always)]
pub(crate) unsafe fn silu<L: Lanes>(x: L) -> L {
    // SAFETY: promised by the caller.
    unsafe { x.div(L::splat(1.0).add(exp(L::splat(0.0).sub(x)))) }
}

/// The upper half of the numbers joined with the lower half, until one is left.
///
/// # Safety
/// Needs the instruction set of `L`.
#[inline(always)]
unsafe fn fold<L: Lanes>(x: L, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut all = [0.0; WIDEST];
    // SAFETY: promised by the caller; the array holds N.
    unsafe { x.store(all.as_mut_ptr()) };
    let mut half = L::N / 2;
    while half > 0 {
        for i in 0..half {
            all[i] = join(all[i], all[half + i]);
        }
        half /= 2;
    }
    all[0]
}

/// The sum of the numbers.
///
/// # Safety
/// Needs the instruction set of `L`.
#[inline(always)]
pub(crate) unsafe fn sum<L: Lanes>(x: L) -> f32 {
    // SAFETY: promised by the caller.
    unsafe { fold(x, |a, b| a + b) }
}

/// The largest number; of NaN and numbers any.
///
/// # Safety
/// Needs the instruction set of `L`.
#[inline(always)]
pub(crate) unsafe fn largest<L: Lanes>(x: L) -> f32 {
    // SAFETY: promised by the caller.
    unsafe { fold(x, |a, b| if a > b { a } else { b }) }
}

/// As many numbers as the widest vector holds.
const WIDEST: usize = 16;

/// The first `count` ≤ N elements, and zeros.
///
/// # Safety
/// Needs the instruction set of `L` and `count` valid elements.
#[inline(always)]
pub(crate) unsafe fn load_first<L: Lanes>(from: *const f32, count: usize) -> L {
    let mut buffer = [0.0; WIDEST];
    // SAFETY: promised by the caller; the buffer holds N.
    unsafe {
        std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), count);
        L::load(buffer.as_ptr())
    }
}

/// Writes the first `count` ≤ N elements.
///
/// # Safety
/// Needs the instruction set of `L` and `count` valid elements.
#[inline(always)]
pub(crate) unsafe fn store_first<L: Lanes>(x: L, to: *mut f32, count: usize) {
    let mut buffer = [0.0; WIDEST];
    // SAFETY: promised by the caller; the buffer holds N.
    unsafe {
        x.store(buffer.as_mut_ptr());
        std::ptr::copy_nonoverlapping(buffer.as_ptr(), to, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::lanes::{Plain, dispatch};

    #[inline(always)]
    unsafe fn exps<L: Lanes>(x: &mut [f32]) {
        for x in x.chunks_mut(L::N) {
            // SAFETY: the chunk's own length.
            unsafe { store_first(exp(load_first::<L>(x.as_ptr(), x.len())), x.as_mut_ptr(), x.len()) }
        }
    }

    #[inline(always)]
    unsafe fn silus<L: Lanes>(x: &mut [f32]) {
        for x in x.chunks_mut(L::N) {
            // SAFETY: the chunk's own length.
            unsafe { store_first(silu(load_first::<L>(x.as_ptr(), x.len())), x.as_mut_ptr(), x.len()) }
        }
    }

    /// f(x) by every instruction set there is, and by sixteen plain lanes.
    fn all(x: &[f32], f: impl Fn(Option<Isa>, &mut [f32]), check: impl Fn(f32, f32, &str)) {
        for isa in Isa::available().into_iter().map(Some).chain([None]) {
            let mut y = x.to_vec();
            f(isa, &mut y);
            let name = isa.map_or("sixteen plain lanes", Isa::name);
            x.iter().zip(&y).for_each(|(&x, &y)| check(x, y, name));
        }
    }

    fn exp_all(x: &[f32], check: impl Fn(f32, f32, &str)) {
        // SAFETY: the instruction set is available.
        let f = |isa: Option<Isa>, x: &mut [f32]| match isa {
            // SAFETY: only available instruction sets are asked for.
            Some(isa) => unsafe { dispatch!(isa, exps(x: &mut [f32])) },
            // SAFETY: plain lanes need nothing.
            None => unsafe { exps::<Plain<16>>(x) },
        };
        all(x, f, check);
    }

    fn silu_all(x: &[f32], check: impl Fn(f32, f32, &str)) {
        // SAFETY: the instruction set is available.
        let f = |isa: Option<Isa>, x: &mut [f32]| match isa {
            // SAFETY: only available instruction sets are asked for.
            Some(isa) => unsafe { dispatch!(isa, silus(x: &mut [f32])) },
            // SAFETY: plain lanes need nothing.
            None => unsafe { silus::<Plain<16>>(x) },
        };
        all(x, f, check);
    }

    /// Every 1021st number of all 2³², and what lies around the ends.
    fn numbers() -> Vec<f32> {
        let all = (0..u32::MAX / 1021).map(|i| f32::from_bits(i * 1021));
        let near = (0..200_000).map(|i| -110.0 + i as f32 * 0.001);
        all.chain(near).collect()
    }

    /// The distance between two neighbours of f32 at `x`.
    fn unit(x: f64) -> f64 {
        f64::powi(2.0, (x.abs().log2().floor() as i32 - 23).clamp(-149, 104))
    }

    #[test]
    fn the_exponential_is_within_two_units_of_the_last_place() {
        exp_all(&numbers(), |x, y, isa| {
            let exact = f64::from(x).exp();
            if x.is_nan() {
                assert!(y.is_nan(), "{isa}: e^{x:e} is {y:e}");
            } else if exact > f64::from(f32::MAX) {
                // The last numbers before infinity may round to it.
                assert!(y.is_infinite() || x < 88.7229, "{isa}: e^{x:e} is {y:e}");
            } else {
                let error = (f64::from(y) - exact).abs() / unit(exact);
                assert!(error <= 2.0, "{isa}: e^{x:e} is {y:e}, off by {error} units");
            }
        });
    }

    #[test]
    fn the_exponential_is_exact_where_it_must_be() {
        exp_all(&[f32::NEG_INFINITY, f32::MIN, -104.0], |_, y, isa| {
            assert_eq!(y, 0.0, "{isa}")
        });
        exp_all(&[f32::INFINITY, f32::MAX, 89.0], |_, y, isa| {
            assert_eq!(y, f32::INFINITY, "{isa}")
        });
        exp_all(&[0.0, -0.0, 1e-40, -1e-40], |_, y, isa| assert_eq!(y, 1.0, "{isa}"));
        exp_all(&[f32::NAN, -f32::NAN], |_, y, isa| assert!(y.is_nan(), "{isa}"));
    }

    #[test]
    fn silu_is_within_four_units_of_the_last_place() {
        silu_all(&numbers(), |x, y, isa| {
            let exact = f64::from(x) / (1.0 + (-f64::from(x)).exp());
            if x.is_nan() || x == f32::NEG_INFINITY {
                assert!(y.is_nan(), "{isa}: silu({x:e}) is {y:e}");
            } else if x < -88.0 {
                // The denominator is infinite before the result is 0.
                assert!((f64::from(y) - exact).abs() < 1e-36, "{isa}: silu({x:e}) is {y:e}");
            } else if x == f32::INFINITY {
                assert_eq!(y, x, "{isa}");
            } else {
                let error = (f64::from(y) - exact).abs() / unit(exact);
                assert!(
                    error <= 4.0 || x == 0.0,
                    "{isa}: silu({x:e}) is {y:e}, off by {error} units"
                );
            }
        });
    }
}
