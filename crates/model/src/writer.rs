//! Tokens → text, in whole characters and up to the text that ends it.

use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// Tokens of what stands before a text that its first characters may depend on: SentencePiece writes a blank before a word
/// unless the word is the first.
const CONTEXT: usize = 4;

/// Writes the text of tokens as they come.
#[derive(Debug)]
pub struct Writer {
    /// The last tokens; the text of the first `shown` of them is written.
    ids: Vec<u32>,
    shown: usize,
    shown_text: String,
    text: String,
    stops: Vec<String>,
    stopped: Option<usize>,
    /// Bytes of the text that [`Writer::fresh`] gave out.
    given: usize,
}

impl Writer {
    /// `before`: the tokens that the text follows. `stops`: texts that end it, none of them empty.
    pub fn new(tokenizer: &Tokenizer, before: &[u32], stops: Vec<String>) -> Result<Self> {
        let ids = before[before.len().saturating_sub(CONTEXT)..].to_vec();
        Ok(Self {
            shown: ids.len(),
            shown_text: tokenizer.decode(&ids)?,
            ids,
            text: String::new(),
            stops,
            stopped: None,
            given: 0,
        })
    }

    /// The text so far, without what stopped it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which of the stops came.
    pub fn stopped(&self) -> Option<usize> {
        self.stopped
    }

    /// Adds a token. Characters that it does not finish wait for the next.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<()> {
        self.ids.push(id);
        let all = tokenizer.decode(&self.ids)?;
        let unfinished = all.ends_with(char::REPLACEMENT_CHARACTER) || !all.starts_with(&self.shown_text);
        if unfinished || all.len() == self.shown_text.len() {
            return Ok(());
        }
        self.write(&all[self.shown_text.len()..]);
        self.ids.drain(..self.shown);
        self.shown = self.ids.len();
        self.shown_text = tokenizer.decode(&self.ids)?;
        Ok(())
    }

    /// Writes what still waits: a character that was never finished is the replacement character.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        let all = tokenizer.decode(&self.ids)?;
        let shown = all.char_indices().zip(self.shown_text.chars());
        let same = shown.take_while(|((_, a), b)| a == b).last();
        let same = same.map_or(0, |((at, character), _)| at + character.len_utf8());
        self.write(&all[same..]);
        (self.shown, self.shown_text) = (self.ids.len(), all);
        Ok(())
    }

    /// Whether the text with one more token would hold one of some texts that it does not hold yet.
    pub fn would_write(&self, tokenizer: &Tokenizer, id: u32, texts: &[String]) -> Result<bool> {
        if texts.is_empty() {
            return Ok(false);
        }
        let mut ids = self.ids.clone();
        ids.push(id);
        let all = tokenizer.decode(&ids)?;
        let added = all.get(self.shown_text.len()..).unwrap_or(&all);
        Ok(texts.iter().any(|text| {
            let before = tail(&self.text, text.len() - 1);
            format!("{before}{added}").contains(text.as_str())
        }))
    }

    /// The text that was not given out yet and that no stop can take back.
    pub fn fresh(&mut self, ended: bool) -> &str {
        let held = if ended || self.stopped.is_some() {
            0
        } else {
            self.held()
        };
        let upto = (self.text.len() - held).max(self.given);
        let from = std::mem::replace(&mut self.given, upto);
        &self.text[from..upto]
    }

    /// How many bytes at the end may be the beginning of a stop.
    fn held(&self) -> usize {
        let longest = self.stops.iter().map(|stop| stop.len() - 1).max().unwrap_or(0);
        let end = tail(&self.text, longest);
        let may_begin = |part: &str| self.stops.iter().any(|stop| stop.starts_with(part));
        let starts = end.char_indices().map(|(at, _)| &end[at..]);
        starts.into_iter().find(|part| may_begin(part)).map_or(0, str::len)
    }

    fn write(&mut self, more: &str) {
        if self.stopped.is_some() {
            return;
        }
        let longest = self.stops.iter().map(|stop| stop.len() - 1).max().unwrap_or(0);
        let from = self.text.len() - tail(&self.text, longest).len();
        self.text.push_str(more);
        let found = self.stops.iter().enumerate().filter_map(|(index, stop)| {
            let at = self.text[from..].find(stop.as_str())?;
            Some((at, std::cmp::Reverse(stop.len()), index))
        });
        if let Some((at, _, index)) = found.min() {
            self.text.truncate(from + at);
            self.stopped = Some(index);
        }
    }
}

/// The last characters of a text that together have at most so many bytes.
fn tail(text: &str, bytes: usize) -> &str {
    let mut at = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    &text[at..]
}
