//! One error type for the crate. Each variant maps to one stable code of the public API.

use std::path::PathBuf;

use serde_json::{Value, json};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{argument}: {message}")]
    InvalidArgument { argument: String, message: String },
    #[error("no model at {}; give a folder that holds config.json, tokenizer.json and safetensors, or a GGUF file", path.display())]
    ModelNotFound { path: PathBuf },
    #[error("{}: {message}", path.display())]
    ModelInvalid { path: PathBuf, message: String },
    #[error("{}: {message}", path.display())]
    ModelUnsupported { path: PathBuf, message: String },
    #[error("{}: pickled weights can run code when they are read; convert them to safetensors", path.display())]
    UnsafeFormat { path: PathBuf },
    #[error("tokenizer: {message}")]
    Tokenizer { message: String },
    #[error("chat template: {message}")]
    Template { message: String },
    #[error("{tokens} tokens, but the model reads at most {limit}; shorten the problem or its steps")]
    ContextOverflow { tokens: usize, limit: usize },
    #[error(
        "{tokens} tokens need a cache of {needed} bytes, and cacheBytes is {budget}; raise it, or shorten the trace"
    )]
    CacheBudget {
        tokens: usize,
        needed: usize,
        budget: usize,
    },
    #[error("device {device} is not available here; available: {}", available.join(", "))]
    DeviceUnavailable { device: String, available: Vec<String> },
    #[error("the model gave {value} for step {step}, not a finite number; its weights or activations overflow")]
    NotFinite { step: usize, value: f32 },
    #[error(
        "the model gave {value} as the logit of a next token, not a finite number; its weights or activations overflow"
    )]
    LogitNotFinite { value: f32 },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// The work was cancelled between two layers; its results are dropped.
    #[error("cancelled")]
    Cancelled,
    #[error("internal error, please report it: {message}")]
    Internal { message: String },
}

impl Error {
    /// The stable code, the same as in TypeScript's `SurefootErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. } => "ERR_INVALID_ARGUMENT",
            Self::ModelNotFound { .. } => "ERR_MODEL_NOT_FOUND",
            Self::ModelInvalid { .. } => "ERR_MODEL_INVALID",
            Self::ModelUnsupported { .. } => "ERR_MODEL_UNSUPPORTED",
            Self::UnsafeFormat { .. } => "ERR_UNSAFE_FORMAT",
            Self::Tokenizer { .. } => "ERR_TOKENIZER",
            Self::Template { .. } => "ERR_TEMPLATE",
            Self::ContextOverflow { .. } => "ERR_CONTEXT_OVERFLOW",
            Self::CacheBudget { .. } => "ERR_CACHE_BUDGET",
            Self::DeviceUnavailable { .. } => "ERR_DEVICE_UNAVAILABLE",
            Self::NotFinite { .. } | Self::LogitNotFinite { .. } => "ERR_NOT_FINITE",
            Self::Io { .. } => "ERR_IO",
            Self::Cancelled | Self::Internal { .. } => "ERR_INTERNAL",
        }
    }

    /// The offending values by name, as JSON.
    pub fn data(&self) -> Value {
        match self {
            Self::InvalidArgument { argument, .. } => json!({ "argument": argument }),
            Self::ModelNotFound { path }
            | Self::ModelInvalid { path, .. }
            | Self::ModelUnsupported { path, .. }
            | Self::UnsafeFormat { path }
            | Self::Io { path, .. } => json!({ "path": path }),
            Self::ContextOverflow { tokens, limit } => json!({ "tokens": tokens, "limit": limit }),
            Self::CacheBudget { tokens, needed, budget } => {
                json!({ "tokens": tokens, "needed": needed, "budget": budget })
            }
            Self::DeviceUnavailable { device, available } => {
                json!({ "device": device, "available": available })
            }
            Self::NotFinite { step, .. } => json!({ "step": step }),
            Self::LogitNotFinite { .. }
            | Self::Tokenizer { .. }
            | Self::Template { .. }
            | Self::Cancelled
            | Self::Internal { .. } => json!({}),
        }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Internal {
            message: error.to_string(),
        }
    }
}
