//! What the examples measure with.

use std::hint::black_box;
use std::time::{Duration, Instant};

use surefoot_kernels::{Crew, Isa, Threads};

/// Numbers between -1 and 1 that look random.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..length).map(|_| next()).collect()
}

/// Seconds that one call takes: the best of runs of a few milliseconds over half a second, so that what others do on
/// the machine counts little.
pub(crate) fn seconds(mut call: impl FnMut()) -> f64 {
    let mut run = |calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed()
    };
    let once = run(2) / 2;
    let calls = Duration::from_millis(3).div_duration_f64(once).ceil() as u32;
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < Duration::from_millis(500) {
        best = best.min(run(calls).as_secs_f64() / f64::from(calls));
    }
    best
}

/// The best of some short runs, each on all threads.
fn best(threads: &dyn Threads, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let time = || {
        let start = Instant::now();
        threads.run(threads.count(), work);
        start.elapsed().as_secs_f64()
    };
    (0..20).map(|_| time()).fold(f64::INFINITY, f64::min)
}

/// GFLOP/s of fused products from registers.
pub(crate) fn peak(isa: Isa, threads: &dyn Threads) -> f64 {
    const ROUNDS: usize = 1 << 20;
    let lanes = match isa {
        Isa::Scalar => 4,
        Isa::Avx2 => 8,
        Isa::Avx512 | Isa::Amx => 16,
    };
    let time = best(threads, &|_| {
        match isa {
            Isa::Scalar => peaks::scalar(ROUNDS),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Isa::choose` saw that the instruction set is available.
            Isa::Avx2 => unsafe { peaks::avx2(ROUNDS) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 | Isa::Amx => unsafe { peaks::avx512(ROUNDS) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!(),
        }
    });
    2e-9 * (ROUNDS * peaks::SUMS * lanes * threads.count()) as f64 / time
}

/// Twelve sums at a time: as many as hide the latency of a fused product.
mod peaks {
    use std::hint::black_box;

    pub(super) const SUMS: usize = 12;

    pub(super) fn scalar(rounds: usize) {
        let (mut sums, x) = ([[0.0_f32; 4]; SUMS], black_box([1.5_f32; 4]));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = std::array::from_fn(|i| x[i] * x[i] + sum[i]);
            }
            // The products must not be taken out of the loop.
            sums = black_box(sums);
        }
    }

    #[cfg(target_arch = "x86_64")]
    macro_rules! fused {
        ($name:ident, $features:literal, $set:ident, $fma:ident) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: usize) {
                use std::arch::x86_64::*;
                let x = $set(black_box(0.5));
                let mut sums = [$set(black_box(1.0)); SUMS];
                for _ in 0..rounds {
                    for sum in &mut sums {
                        *sum = $fma(*sum, x, x);
                    }
                }
                black_box(sums);
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    fused!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps);
    #[cfg(target_arch = "x86_64")]
    fused!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps);
}

/// GB/s of reading.
pub(crate) fn read(threads: &dyn Threads) -> f64 {
    const LENGTH: usize = (256 << 20) / 8;
    let values = vec![1_u64; LENGTH];
    let share = LENGTH / threads.count();
    let time = best(threads, &|index| {
        let sum = values[index * share..(index + 1) * share]
            .as_chunks::<32>()
            .0
            .iter()
            .fold([0_u64; 32], |sums, chunk| {
                std::array::from_fn(|i| sums[i].wrapping_add(chunk[i]))
            });
        black_box(sum);
    });
    1e-9 * (share * threads.count() * 8) as f64 / time
}

/// Threads that stay awake, as in the passes of a model. They end with the program.
pub(crate) fn crew(size: usize) -> &'static Crew {
    let crew: &Crew = Box::leak(Box::default());
    crew.gather(size);
    for _ in 1..size {
        std::thread::spawn(|| crew.help());
    }
    crew
}
