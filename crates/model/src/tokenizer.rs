//! tokenizer.json → ids. Text from users is never searched for special tokens; those enter by name only.

use std::fmt;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::checkpoint::{read_json, read_limited};
use crate::error::{Error, Result};

/// Longest tokenizer.json read, in bytes: the largest published ones have 34 million, and its merges cost ten times as
/// much memory as they take there.
const LONGEST: usize = 40_000_000;

/// What a checkpoint says of its tokenizer.
pub struct TokenizerFiles {
    /// The content of tokenizer.json.
    pub json: Vec<u8>,
    /// Where it comes from, for errors.
    pub path: PathBuf,
    pub bos_token: Option<String>,
    pub eos_token: Option<String>,
    /// Whether texts begin with the BOS token unless a profile says otherwise.
    pub begins_with_bos: bool,
    pub chat_template: Option<String>,
}

impl TokenizerFiles {
    /// tokenizer.json, and from tokenizer_config.json the names of BOS and EOS where that file exists.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Err(Error::Tokenizer {
                message: format!(
                    "{} is missing; save the fast tokenizer beside the weights",
                    path.display()
                ),
            });
        }
        Ok(Self {
            json: read_limited(&path)?,
            path,
            bos_token: named_token(folder, "bos_token")?,
            eos_token: named_token(folder, "eos_token")?,
            begins_with_bos: true,
            chat_template: chat_template(folder)?,
        })
    }
}

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos_token: Option<String>,
    eos_token: Option<String>,
    begins_with_bos: bool,
    /// By name, with their ids.
    special_tokens: Vec<(String, u32)>,
    /// Rows of the embedding table: every id must be smaller.
    vocab_size: usize,
}

impl Tokenizer {
    /// `vocab_size` is how many tokens the model embeds.
    pub fn new(files: &TokenizerFiles, vocab_size: usize) -> Result<Self> {
        let mut inner = parse(&files.json).map_err(|message| Error::Tokenizer {
            message: format!("{}: {message}", files.path.display()),
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
        let added = inner.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special);
        Ok(Self {
            special_tokens: special.map(|(id, token)| (token.content.clone(), *id)).collect(),
            inner,
            bos_token: files.bos_token.clone(),
            eos_token: files.eos_token.clone(),
            begins_with_bos: files.begins_with_bos,
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

    /// [`Tokenizer::encode`], and for each token the bytes of the text that it stands for.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let encoding = self.inner.encode(text, false).map_err(failed)?;
        if let Some(id) = encoding.get_ids().iter().find(|id| **id as usize >= self.vocab_size) {
            return Err(self.beyond(*id));
        }
        let ranges = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok((encoding.get_ids().to_vec(), ranges.collect()))
    }

    /// The text of ids, special tokens left out; what is no character yet is the replacement character.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(failed)
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

    /// How a token is spelled.
    pub fn name(&self, id: u32) -> Result<String> {
        self.inner.id_to_token(id).ok_or_else(|| self.beyond(id))
    }

    /// The special tokens that tokenizer.json has texts begin with.
    pub fn added_before(&self) -> Result<Vec<u32>> {
        let added = self.inner.encode_fast("", true).map_err(failed)?;
        let text = self.inner.encode_fast("a", true).map_err(failed)?;
        let same = added.get_ids().iter().zip(text.get_ids()).take_while(|(a, b)| a == b);
        let before: Vec<u32> = same.map(|(id, _)| *id).collect();
        match before.iter().find(|id| **id as usize >= self.vocab_size) {
            Some(id) => Err(self.beyond(*id)),
            None => Ok(before),
        }
    }

    /// The id of the BOS token if texts usually begin with it.
    pub fn usual_bos(&self) -> Result<Option<u32>> {
        if self.begins_with_bos { self.bos() } else { Ok(None) }
    }

    /// The id of the token that begins a sequence, where the tokenizer names one.
    pub fn bos(&self) -> Result<Option<u32>> {
        self.bos_token.as_deref().map(|token| self.special(token)).transpose()
    }

    /// The same for the token that ends one.
    pub fn eos(&self) -> Result<Option<u32>> {
        self.eos_token.as_deref().map(|token| self.special(token)).transpose()
    }

    pub fn bos_token(&self) -> Option<&str> {
        self.bos_token.as_deref()
    }

    pub fn eos_token(&self) -> Option<&str> {
        self.eos_token.as_deref()
    }

    pub fn special_tokens(&self) -> &[(String, u32)] {
        &self.special_tokens
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

/// Merges for each token: every merge makes a token, and published vocabularies that name several ways have two to three.
const MERGES_PER_TOKEN: usize = 6;

/// How much there is in a tokenizer.json, counted without keeping any of it.
#[derive(Deserialize)]
struct Sizes {
    model: ModelSizes,
}

#[derive(Deserialize)]
struct ModelSizes {
    #[serde(default)]
    vocab: Count,
    #[serde(default)]
    merges: Count,
}

/// The entries of an array or an object.
#[derive(Default)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Count, A::Error> {
        let mut count = 0;
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Count, A::Error> {
        let mut count = 0;
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }
}

/// The library panics on some files that are no JSON and on some that are no tokenizer.
fn parse(bytes: &[u8]) -> std::result::Result<tokenizers::Tokenizer, String> {
    if bytes.len() > LONGEST {
        return Err(format!(
            "{} bytes, above {LONGEST}: no tokenizer of a language model",
            bytes.len()
        ));
    }
    let Sizes { model } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let most = (MERGES_PER_TOKEN * model.vocab.0).max(10_000);
    if model.merges.0 > most {
        return Err(format!("{} merges for {} tokens", model.merges.0, model.vocab.0));
    }
    let parsed = catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes));
    match parsed {
        Ok(parsed) => parsed.map_err(|error| error.to_string()),
        Err(_) => Err("not a tokenizer".into()),
    }
}

fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenizer {
        message: error.to_string(),
    }
}

/// A token of tokenizer_config.json is a string or an object with `content`; null and absent mean that there is none.
fn named_token(folder: &Path, name: &str) -> Result<Option<String>> {
    let path = folder.join("tokenizer_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let config = read_json(&path)?;
    match &config[name] {
        Value::Null => Ok(None),
        Value::String(token) => Ok(Some(token.clone())),
        object => match object["content"].as_str() {
            Some(token) => Ok(Some(token.to_owned())),
            None => Err(Error::ModelInvalid {
                path,
                message: format!("{name} is {object}, not a string"),
            }),
        },
    }
}

/// `eos_token_id` of generation_config.json, else of config.json: a number, several or none.
pub fn stop_ids(folder: &Path) -> Result<Vec<u32>> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let config = read_json(&path)?;
        let ids = match &config["eos_token_id"] {
            Value::Null => continue,
            Value::Array(ids) => ids.as_slice(),
            id => std::slice::from_ref(id),
        };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let all: Option<Vec<u32>> = ids.iter().map(id).collect();
        return all.ok_or_else(|| Error::ModelInvalid {
            message: format!(
                "eos_token_id is {}, not a token id or a list of them",
                config["eos_token_id"]
            ),
            path,
        });
    }
    Ok(vec![])
}

/// The chat template of a folder: chat_template.jinja, else that of tokenizer_config.json (the one named `default`
/// where there are several).
fn chat_template(folder: &Path) -> Result<Option<String>> {
    let path = folder.join("chat_template.jinja");
    if path.is_file() {
        let text = String::from_utf8(read_limited(&path)?);
        return text.map(Some).map_err(|error| Error::ModelInvalid {
            path,
            message: error.to_string(),
        });
    }
    let path = folder.join("tokenizer_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let config = read_json(&path)?;
    match &config["chat_template"] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Array(named) => {
            let default = named.iter().find(|template| template["name"] == "default");
            Ok(default
                .and_then(|template| template["template"].as_str())
                .map(str::to_owned))
        }
        other => Err(Error::ModelInvalid {
            path,
            message: format!("chat_template is {other}, not a text"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by examples/fuzz.rs: tokenizers 0.23 unwraps the decoder's parse error.
    #[test]
    fn a_torn_decoder_is_an_error_and_no_panic() {
        let torn =
            br#"{"version":"1.0","decoder":{"type":"ByteLevel" "x":1},"model":{"type":"BPE","vocab":{},"merges":[]}}"#;
        assert!(parse(torn).unwrap_err().contains("expected"));
        assert!(parse(b"{}").is_err());
    }

    #[test]
    fn more_merges_than_its_tokens_can_have_are_refused_before_they_are_kept() {
        let merges = vec![r#"["a","b"]"#; 100_000].join(",");
        let text = format!(r#"{{"model":{{"type":"BPE","vocab":{{"a":0,"b":1,"ab":2}},"merges":[{merges}]}}}}"#);
        assert_eq!(parse(text.as_bytes()).unwrap_err(), "100000 merges for 3 tokens");
        let long = vec![b' '; LONGEST + 1];
        assert!(parse(&long).unwrap_err().contains("above"));
    }
}
