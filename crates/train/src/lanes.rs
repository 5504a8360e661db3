//! Sums and largest numbers of slices, in an order that the length alone decides.

const LANES: usize = 16;

fn folded(x: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = fold(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = fold(*lane, x);
    }
    lanes.into_iter().fold(start, fold)
}

pub(crate) fn sum(x: &[f32]) -> f32 {
    folded(x, 0.0, |sum, x| sum + x)
}

/// −∞ for nothing. NaN is passed over.
pub(crate) fn largest(x: &[f32]) -> f32 {
    folded(x, f32::NEG_INFINITY, |most, x| if x > most { x } else { most })
}

pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (y_chunks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    for ((lane, x), y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += x * y;
    }
    lanes.into_iter().sum()
}

/// to += factor · x.
pub(crate) fn add(to: &mut [f32], x: &[f32], factor: f32) {
    for (to, x) in to.iter_mut().zip(x) {
        *to += factor * x;
    }
}
