//! tokenizer.json → ids. Text from users is never searched for special tokens; those enter by name only.

use std::path::Path;

use serde_json::Value;

use crate::checkpoint::{read_json, read_limited};
use crate::error::{Error, Result};

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos_token: Option<String>,
    /// Rows of the embedding table: every id must be smaller.
    vocab_size: usize,
}

impl Tokenizer {
    /// Reads tokenizer.json, and the name of the BOS token from tokenizer_config.json where that file exists.
    pub fn open(folder: &Path, vocab_size: usize) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Err(Error::Tokenizer {
                message: format!(
                    "{} is missing; save the fast tokenizer beside the weights",
                    path.display()
                ),
            });
        }
        let mut inner = tokenizers::Tokenizer::from_bytes(read_limited(&path)?).map_err(|error| Error::Tokenizer {
            message: format!("{}: {error}", path.display()),
        })?;
        inner.set_encode_special_tokens(true);
        inner.with_padding(None);
        inner.with_truncation(None).map_err(failed)?;
        let words = inner.get_vocab_size(false);
        if words > vocab_size {
            return Err(Error::Tokenizer {
                message: format!("{words} tokens, but the model embeds {vocab_size}: not this model's tokenizer"),
            });
        }
        Ok(Self {
            inner,
            bos_token: bos_token(folder)?,
            vocab_size,
        })
    }

    /// The ids of plain text, with nothing added. Special tokens spelled out in it are encoded as text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(failed)?;
        let ids = encoding.get_ids();
        match ids.iter().find(|id| **id as usize >= self.vocab_size) {
            Some(id) => Err(self.beyond(*id)),
            None => Ok(ids.to_vec()),
        }
    }

    /// The id of a special token by its name.
    pub fn special(&self, token: &str) -> Result<u32> {
        let id = self.inner.token_to_id(token).ok_or_else(|| Error::Tokenizer {
            message: format!("the token {token:?} is missing, which the profile needs"),
        })?;
        if id as usize >= self.vocab_size {
            return Err(self.beyond(id));
        }
        Ok(id)
    }

    /// The id of the token that begins a sequence, where the tokenizer names one.
    pub fn bos(&self) -> Result<Option<u32>> {
        self.bos_token.as_deref().map(|token| self.special(token)).transpose()
    }

    fn beyond(&self, id: u32) -> Error {
        Error::Tokenizer {
            message: format!(
                "token id {id}, but the model embeds {}: not this model's tokenizer",
                self.vocab_size
            ),
        }
    }
}

fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenizer {
        message: error.to_string(),
    }
}

/// `bos_token` is a string or an object with `content`; null and absent mean that there is none.
fn bos_token(folder: &Path) -> Result<Option<String>> {
    let path = folder.join("tokenizer_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let config = read_json(&path)?;
    match &config["bos_token"] {
        Value::Null => Ok(None),
        Value::String(token) => Ok(Some(token.clone())),
        object => match object["content"].as_str() {
            Some(token) => Ok(Some(token.to_owned())),
            None => Err(Error::ModelInvalid {
                path,
                message: format!("bos_token is {object}, not a string"),
            }),
        },
    }
}
