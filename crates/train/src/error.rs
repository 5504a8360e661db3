//! What can go wrong while training, beside what can go wrong with a model.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] surefoot_model::Error),
    /// Nothing was changed by the update that failed.
    #[error(
        "update {update}: {what} is not finite; lower the learning rate, or look at the examples of this batch: {}",
        ids.join(", ")
    )]
    NotFinite {
        update: u64,
        what: &'static str,
        ids: Vec<String>,
    },
    #[error("{}: {message}", path.display())]
    State { path: PathBuf, message: String },
}

impl Error {
    /// The stable code, the same as in TypeScript's `SurefootErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Model(error) => error.code(),
            Self::NotFinite { .. } => "ERR_NOT_FINITE",
            Self::State { .. } => "ERR_INVALID_ARGUMENT",
        }
    }

    /// The offending values by name, as JSON.
    pub fn data(&self) -> Value {
        match self {
            Self::Model(error) => error.data(),
            Self::NotFinite { update, ids, .. } => json!({ "update": update, "ids": ids }),
            Self::State { path, .. } => json!({ "path": path }),
        }
    }

    pub(crate) fn invalid(argument: &str, message: impl Into<String>) -> Self {
        Self::Model(surefoot_model::Error::InvalidArgument {
            argument: argument.into(),
            message: message.into(),
        })
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Model(surefoot_model::Error::Io {
            path: path.to_owned(),
            source,
        })
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}
