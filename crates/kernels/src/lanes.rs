//! Vectors of f32, one type for each instruction set. Kernels are written once over [`Lanes`] and compiled for each by
//! [`dispatch!`], so that what one instruction set's tests show holds for the shape of all.

/// A vector of [`Lanes::N`] numbers.
///
/// # Safety
/// All functions need the instruction set of the type, those with pointers N valid elements (any alignment).
pub(crate) trait Lanes: Copy {
    const N: usize;
    /// How many vectors of sums a kernel keeps in registers beside its operands.
    const SUMS: usize;

    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// self · b + c.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    unsafe fn div(self, b: Self) -> Self;
    /// The larger of each two; b where one is NaN.
    unsafe fn max(self, b: Self) -> Self;
    /// The smaller of each two; b where one is NaN.
    unsafe fn min(self, b: Self) -> Self;
    /// The nearest whole numbers, ties to even; |x| < 2³¹.
    unsafe fn round(self) -> Self;
    /// self · 2ⁿ for whole n with −126 ≤ n ≤ 127.
    unsafe fn scale(self, n: Self) -> Self;
    /// 2N bf16 numbers, packed so that element i of the first result lies at 2i and that of the second at 2i + 1.
    unsafe fn widen(from: *const u16) -> [Self; 2];
}

/// Asks that the cache line of an address, valid or not, comes as near as the second cache.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a prefetch never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Plain loops over N numbers.
#[derive(Clone, Copy)]
pub(crate) struct Plain<const N: usize>([f32; N]);

impl<const N: usize> Plain<N> {
    #[inline(always)]
    fn zip(self, b: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], b.0[i])))
    }
}

impl<const N: usize> Lanes for Plain<N> {
    const N: usize = N;
    // Sixteen lanes stand for AVX-512 in tests; an ARM processor has twice the vector registers of SSE2.
    const SUMS: usize = if N == 16 {
        24
    } else if cfg!(target_arch = "aarch64") {
        12
    } else {
        4
    };

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Self(unsafe { from.cast::<[f32; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { to.cast::<[f32; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        // Without the instruction, a fused product is a slow call.
        let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        Self(std::array::from_fn(|i| {
            if fused {
                self.0[i].mul_add(b.0[i], c.0[i])
            } else {
                self.0[i] * b.0[i] + c.0[i]
            }
        }))
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        self.zip(b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        self.zip(b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        self.zip(b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, b: Self) -> Self {
        self.zip(b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        self.zip(b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        self.zip(b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // Adding and taking away 1.5 · 2²³ rounds to even; |x| < 2²² is enough for what calls it.
        const MAGIC: f32 = 12_582_912.0;
        Self(std::array::from_fn(|i| (self.0[i] + MAGIC) - MAGIC))
    }
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        self.zip(n, |x, n| x * f32::from_bits(((n as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn widen(from: *const u16) -> [Self; 2] {
        // SAFETY: promised by the caller.
        let pairs = unsafe { from.cast::<[u32; N]>().read_unaligned() }.map(u32::from_le);
        [
            Self(std::array::from_fn(|i| f32::from_bits(pairs[i] << 16))),
            Self(std::array::from_fn(|i| f32::from_bits(pairs[i] & 0xffff_0000))),
        ]
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// `lanes!(type, N, sums, round, scale, widen, then the operations in the order of `ops`)`.
    macro_rules! lanes {
        ($type:ty, $n:literal, $sums:literal, $round:ident, $scale:ident, $widen:ident,
            $set:ident, $load:ident, $store:ident, $fma:ident, $($name:ident $op:ident),*) => {
            // The intrinsics need the instruction set, the pointers their elements: the trait's promise.
            impl Lanes for $type {
                const N: usize = $n;
                const SUMS: usize = $sums;

                #[inline(always)]
                unsafe fn splat(x: f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $set(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: as above.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn fma(self, b: Self, c: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $fma(self, b, c) }
                }
                $(
                    #[inline(always)]
                    unsafe fn $name(self, b: Self) -> Self {
                        // SAFETY: as above.
                        unsafe { $op(self, b) }
                    }
                )*
                #[inline(always)]
                unsafe fn round(self) -> Self {
                    // SAFETY: as above.
                    unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self) }
                }
                #[inline(always)]
                unsafe fn scale(self, n: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $scale(self, n) }
                }
                #[inline(always)]
                unsafe fn widen(from: *const u16) -> [Self; 2] {
                    // SAFETY: as above.
                    unsafe { $widen(from) }
                }
            }
        };
    }

    lanes!(
        __m256, 8, 12, _mm256_round_ps, scale_256, widen_256,
        _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, add _mm256_add_ps, sub _mm256_sub_ps,
        mul _mm256_mul_ps, div _mm256_div_ps, max _mm256_max_ps, min _mm256_min_ps
    );

    lanes!(
        __m512, 16, 24, _mm512_roundscale_ps, scale_512, widen_512,
        _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, add _mm512_add_ps, sub _mm512_sub_ps,
        mul _mm512_mul_ps, div _mm512_div_ps, max _mm512_max_ps, min _mm512_min_ps
    );

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn scale_256(x: __m256, n: __m256) -> __m256 {
        let exponent = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
        _mm256_mul_ps(x, _mm256_castsi256_ps(exponent))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn scale_512(x: __m512, n: __m512) -> __m512 {
        let exponent = _mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)));
        _mm512_mul_ps(x, _mm512_castsi512_ps(exponent))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn widen_256(from: *const u16) -> [__m256; 2] {
        // SAFETY: 16 valid elements, by the caller.
        let both = unsafe { _mm256_loadu_si256(from.cast()) };
        let odd = _mm256_and_si256(both, _mm256_set1_epi32(0xffff_0000_u32 as i32));
        [
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)),
            _mm256_castsi256_ps(odd),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn widen_512(from: *const u16) -> [__m512; 2] {
        // SAFETY: 32 valid elements, by the caller.
        let both = unsafe { _mm512_loadu_si512(from.cast()) };
        let odd = _mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000_u32 as i32));
        [
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)),
            _mm512_castsi512_ps(odd),
        ]
    }
}

/// Compiles a generic `unsafe fn body<L: Lanes>(arguments)` for every instruction set and calls the one of `$isa`.
///
/// `dispatch!(isa, body(a: A, b: B) -> R)` expands to an expression of type R.
///
/// The body must be `#[inline(always)]`, take every closure and helper it calls inline too, and have no other need than
/// the instruction set and valid pointers, which the macro's user vouches for.
macro_rules! dispatch {
    ($isa:expr, $body:ident($($name:ident: $type:ty),* $(,)?) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2($($name: $type),*) $(-> $result)? {
            // SAFETY: the caller has the instruction set and vouches for the arguments.
            unsafe { $body::<std::arch::x86_64::__m256>($($name),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        unsafe fn avx512($($name: $type),*) $(-> $result)? {
            // SAFETY: as above.
            unsafe { $body::<std::arch::x86_64::__m512>($($name),*) }
        }
        unsafe fn scalar($($name: $type),*) $(-> $result)? {
            // SAFETY: as above.
            unsafe { $body::<$crate::lanes::Plain<8>>($($name),*) }
        }
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx512 | $crate::Isa::Amx => avx512($($name),*),
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx2 => avx2($($name),*),
            _ => scalar($($name),*),
        }
    }};
}
pub(crate) use dispatch;
