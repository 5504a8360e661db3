//! The tokenizer in the metadata of a GGUF file, as the tokenizer.json that it was converted from: byte-level BPE (`gpt2`)
//! and SentencePiece's BPE (`llama`).

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::tokenizer::TokenizerFiles;

/// Ways to join two tokens into a third, for each token: published vocabularies have two to three. Each costs memory.
const MERGES_PER_TOKEN: usize = 6;

/// Types of tokens, as SentencePiece numbers them.
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;
/// Most characters of a piece that is taken apart into merges. SentencePiece's own limit is 16 by default.
const LONGEST_PIECE: usize = 256;

/// Contractions, words, single digits or runs of up to three, punctuation, line ends, blanks: GPT-4's pattern and Qwen's.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|";
const OTHERS: &str = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub fn files(gguf: &Gguf) -> Result<TokenizerFiles> {
    let vocabulary = Vocabulary::of(gguf)?;
    let (json, usual_bos) = match gguf.text("tokenizer.ggml.model")? {
        Some("gpt2") => byte_level(gguf, &vocabulary)?,
        Some("llama") => (sentence_piece(gguf, &vocabulary)?, true),
        Some(other) => return Err(failed(format!("the kind {other:?}; gpt2 and llama are read"))),
        None => return Err(failed("the GGUF file has no tokenizer.ggml.model".into())),
    };
    Ok(TokenizerFiles {
        json: json.to_string().into_bytes(),
        path: gguf.path.clone(),
        bos_token: vocabulary.named(gguf, "tokenizer.ggml.bos_token_id")?,
        eos_token: vocabulary.named(gguf, "tokenizer.ggml.eos_token_id")?,
        begins_with_bos: gguf.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(usual_bos),
        chat_template: gguf.text("tokenizer.chat_template")?.map(str::to_owned),
    })
}

/// The ids that end a text, a turn or a message, where the file names them.
pub fn stop_ids(gguf: &Gguf) -> Result<Vec<u32>> {
    let keys = ["eos_token_id", "eot_token_id", "eom_token_id"];
    let ids = keys.map(|key| gguf.unsigned(&format!("tokenizer.ggml.{key}")));
    let ids = ids.into_iter().filter_map(Result::transpose);
    // 2³² − 1 stands for none.
    ids.map(|id| id.map(|id| u32::try_from(id).unwrap_or(u32::MAX)))
        .collect()
}

fn failed(message: String) -> Error {
    Error::Tokenizer { message }
}

struct Vocabulary<'a> {
    tokens: &'a [String],
    kinds: Vec<i64>,
    ids: HashMap<&'a str, usize>,
}

impl<'a> Vocabulary<'a> {
    fn of(gguf: &'a Gguf) -> Result<Self> {
        let Some(tokens) = gguf.texts("tokenizer.ggml.tokens")? else {
            return Err(failed("the GGUF file has no tokenizer.ggml.tokens".into()));
        };
        let kinds = match gguf.integers("tokenizer.ggml.token_type")? {
            Some(kinds) if kinds.len() == tokens.len() => kinds.to_vec(),
            Some(kinds) => {
                return Err(failed(format!(
                    "{} token types for {} tokens",
                    kinds.len(),
                    tokens.len()
                )));
            }
            None => vec![NORMAL; tokens.len()],
        };
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            if let Some(other) = ids.insert(token.as_str(), id) {
                return Err(failed(format!("the tokens {other} and {id} are both {token:?}")));
            }
        }
        Ok(Self { tokens, kinds, ids })
    }

    /// The token whose id stands under a key. 2³² − 1 stands for none.
    fn named(&self, gguf: &Gguf, key: &str) -> Result<Option<String>> {
        let Some(id) = gguf.unsigned(key)?.filter(|id| *id != u64::from(u32::MAX)) else {
            return Ok(None);
        };
        let token = usize::try_from(id).ok().and_then(|id| self.tokens.get(id));
        match token {
            Some(token) => Ok(Some(token.clone())),
            None => Err(failed(format!("{key} is {id}, of {} tokens", self.tokens.len()))),
        }
    }

    fn json(&self) -> Value {
        let ids = self
            .tokens
            .iter()
            .zip(0..)
            .map(|(token, id)| (token.clone(), Value::from(id)));
        Value::Object(ids.collect())
    }

    /// Control tokens never come from text; user-defined ones are found in it before anything else.
    fn added(&self) -> Value {
        let added = self.tokens.iter().zip(&self.kinds).enumerate();
        let added = added.filter(|(_, (_, kind))| matches!(**kind, CONTROL | UNKNOWN | USER_DEFINED));
        let added = added.map(|(id, (token, kind))| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind != USER_DEFINED,
            })
        });
        added.collect()
    }
}

/// GPT-2's kind, with the pattern that `tokenizer.ggml.pre` names. And whether texts usually begin with BOS.
fn byte_level(gguf: &Gguf, vocabulary: &Vocabulary<'_>) -> Result<(Value, bool)> {
    let Some(merges) = gguf.texts("tokenizer.ggml.merges")? else {
        return Err(failed("the GGUF file has no tokenizer.ggml.merges".into()));
    };
    let split = |pattern: &str| json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
    let bytes = |split: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": split });
    let llama3 = [split(&format!("{WORDS}\\p{{N}}{{1,3}}{OTHERS}")), bytes(false)];
    let (pieces, normalizer, whole_words) = match gguf.text("tokenizer.ggml.pre")? {
        Some("qwen2" | "deepseek-r1-qwen") => (
            json!([split(&format!("{WORDS}\\p{{N}}{OTHERS}")), bytes(false)]),
            json!({ "type": "NFC" }),
            false,
        ),
        Some("llama-bpe" | "llama3" | "llama-v3") => (json!(llama3), Value::Null, true),
        Some("smollm") => (
            json!([{ "type": "Digits", "individual_digits": true }, bytes(true)]),
            Value::Null,
            false,
        ),
        Some("gpt-2" | "default") => (json!([bytes(true)]), Value::Null, false),
        Some(other) => {
            return Err(failed(format!(
                "tokenizer.ggml.pre {other:?}; qwen2, llama-bpe, smollm and gpt-2 are read"
            )));
        }
        None => {
            return Err(failed(
                "the GGUF file has no tokenizer.ggml.pre, which says how text is cut; convert the model again".into(),
            ));
        }
    };
    let json = json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": normalizer,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": pieces },
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        "model": { "type": "BPE", "vocab": vocabulary.json(), "merges": merges, "ignore_merges": whole_words },
    });
    Ok((json, whole_words))
}

/// SentencePiece's BPE joins the neighbours whose piece scores highest: a merge for each way to cut a piece in two, best
/// score first.
fn sentence_piece(gguf: &Gguf, vocabulary: &Vocabulary<'_>) -> Result<Value> {
    let tokens = vocabulary.tokens;
    let scores = match gguf.floats("tokenizer.ggml.scores")? {
        Some(scores) if scores.len() == tokens.len() => scores,
        Some(scores) => return Err(failed(format!("{} scores for {} tokens", scores.len(), tokens.len()))),
        None => return Err(failed("the GGUF file has no tokenizer.ggml.scores".into())),
    };
    let joinable = |id: usize| !matches!(vocabulary.kinds[id], CONTROL | UNKNOWN | BYTE);
    let most = (MERGES_PER_TOKEN * tokens.len()).max(10_000);
    let mut merges = Vec::new();
    for (id, token) in tokens.iter().enumerate().filter(|(id, _)| joinable(*id)) {
        if token.chars().count() > LONGEST_PIECE {
            return Err(failed(format!("token {id} has more than {LONGEST_PIECE} characters")));
        }
        let cuts = token.char_indices().skip(1).filter_map(|(at, _)| {
            let (left, right) = token.split_at(at);
            let (left, right) = (*vocabulary.ids.get(left)?, *vocabulary.ids.get(right)?);
            (joinable(left) && joinable(right)).then_some((id, left, right))
        });
        merges.extend(cuts);
        if merges.len() > most {
            return Err(failed(format!(
                "more than {most} ways to join its {} tokens",
                tokens.len()
            )));
        }
    }
    let length = |id: usize| tokens[id].chars().count();
    merges.sort_by(|(a, left_a, right_a), (b, left_b, right_b)| {
        scores[*b]
            .total_cmp(&scores[*a])
            .then_with(|| length(*left_b).cmp(&length(*left_a)))
            .then_with(|| length(*right_b).cmp(&length(*right_a)))
    });
    let merges: Vec<_> = merges
        .iter()
        .map(|(_, left, right)| [&tokens[*left], &tokens[*right]])
        .collect();
    let mut normalizers = vec![json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" })];
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if gguf.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let unknown = vocabulary.kinds.iter().position(|kind| *kind == UNKNOWN);
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "vocab": vocabulary.json(), "merges": merges, "fuse_unk": true,
            "byte_fallback": vocabulary.kinds.contains(&BYTE), "unk_token": unknown.map(|id| &tokens[id]),
        },
    }))
}
