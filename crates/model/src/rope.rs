//! Rotary position embeddings: the frequencies of a head's planes, plain or stretched to longer contexts.

use std::f64::consts::PI;

/// How the frequencies are stretched beyond the context of the pretraining.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    None,
    /// All frequencies divided by `factor` (position interpolation, arXiv 2306.15595).
    Linear {
        factor: f64,
    },
    /// Long wavelengths divided by `factor`, short ones kept, a ramp between them (Llama 3.1).
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        /// Tokens.
        original_context: f64,
    },
    /// Interpolation by parts (YaRN, arXiv 2309.00071). `attention_factor` multiplies cos and sin.
    Yarn {
        factor: f64,
        original_context: f64,
        beta_fast: f64,
        beta_slow: f64,
        attention_factor: f64,
        /// Whether the borders of the ramp are whole numbers.
        truncate: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub theta: f64,
    pub scaling: Scaling,
}

impl Rope {
    /// Radians per position of each of the `head_dim / 2` planes, and the factor on cos and sin.
    /// As transformers' modeling_rope_utils computes them.
    pub fn frequencies(&self, head_dim: usize) -> (Vec<f32>, f32) {
        let plane = |i: usize| self.theta.powf(-((2 * i) as f64) / head_dim as f64);
        let planes = (0..head_dim / 2).map(plane);
        match self.scaling {
            Scaling::None => (planes.map(|f| f as f32).collect(), 1.0),
            Scaling::Linear { factor } => (planes.map(|f| (f / factor) as f32).collect(), 1.0),
            Scaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                let stretched = planes.map(|f| {
                    let turns = original_context * f / (2.0 * PI);
                    let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                    (f * kept + f / factor * (1.0 - kept)) as f32
                });
                (stretched.collect(), 1.0)
            }
            Scaling::Yarn {
                factor,
                original_context,
                beta_fast,
                beta_slow,
                attention_factor,
                truncate,
            } => {
                let plane_of = |turns: f64| {
                    head_dim as f64 * (original_context / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (plane_of(beta_fast), plane_of(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
                let width = if high == low { 0.001 } else { high - low };
                let stretched = planes.enumerate().map(|(i, f)| {
                    let interpolated = ((i as f64 - low) / width).clamp(0.0, 1.0);
                    (f / factor * interpolated + f * (1.0 - interpolated)) as f32
                });
                (stretched.collect(), attention_factor as f32)
            }
        }
    }
}

/// YaRN's default factor on cos and sin: 0.1 · mscale · ln(factor) + 1, and 1 without stretching.
pub fn yarn_attention_factor(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
    let scale = |mscale: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * mscale * factor.ln() + 1.0
        }
    };
    match (mscale, mscale_all_dim) {
        (Some(mscale), Some(all)) if mscale != 0.0 && all != 0.0 => scale(mscale) / scale(all),
        _ => scale(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_frequencies_fall_from_one() {
        let rope = Rope {
            theta: 10_000.0,
            scaling: Scaling::None,
        };
        let (frequencies, factor) = rope.frequencies(4);
        assert_eq!((frequencies, factor), (vec![1.0, 0.01], 1.0));
    }

    #[test]
    fn llama3_keeps_short_waves_and_stretches_long_ones() {
        let rope = Rope {
            theta: 500_000.0,
            scaling: Scaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_context: 8192.0,
            },
        };
        let plain = Rope {
            scaling: Scaling::None,
            ..rope.clone()
        };
        let ((scaled, _), (plain, _)) = (rope.frequencies(128), plain.frequencies(128));
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[63], plain[63] / 8.0);
        assert!(scaled.windows(2).all(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn yarn_without_stretching_is_plain() {
        assert_eq!(yarn_attention_factor(1.0, None, None), 1.0);
        assert_eq!(yarn_attention_factor(4.0, Some(1.0), Some(1.0)), 1.0);
    }
}
