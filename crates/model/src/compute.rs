//! How a model is to compute.

use serde::{Deserialize, Serialize};
use surefoot_kernels as kernels;
pub use surefoot_kernels::Isa;

use crate::batch::PAGE;
use crate::device::Choice;

/// What the default budget of a cache is at least, in bytes.
const USUAL_CACHE: usize = 512 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As f32 computes, up to the order of sums.
    #[default]
    Exact,
    /// bf16 where the processor multiplies it, and for keys and values.
    Fast,
}

impl From<Precision> for kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Exact => Self::Exact,
            Precision::Fast => Self::Fast,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Compute {
    #[serde(skip)]
    pub device: Choice,
    pub precision: Precision,
    /// Of our own kernels; by default the widest that is here, or what `SUREFOOT_ISA` names.
    #[serde(skip)]
    pub isa: Option<Isa>,
    /// The most bytes of keys and values that are held.
    pub cache_bytes: Option<usize>,
    /// Whether sequences share what they have in common, also with those of earlier calls.
    pub reuse: bool,
}

impl Default for Compute {
    fn default() -> Self {
        Self {
            device: Choice::Auto,
            precision: Precision::Exact,
            isa: None,
            cache_bytes: None,
            reuse: true,
        }
    }
}

impl Compute {
    pub fn on(device: Choice) -> Self {
        Self {
            device,
            ..Self::default()
        }
    }

    /// The budget of a cache in bytes: what was asked for, or enough for a sequence of `longest` tokens.
    pub(crate) fn budget(&self, bytes_per_page: usize, longest: usize) -> usize {
        let enough = longest.div_ceil(PAGE).saturating_mul(bytes_per_page);
        self.cache_bytes.unwrap_or_else(|| enough.max(USUAL_CACHE))
    }
}
