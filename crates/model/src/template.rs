//! Chat templates: Jinja in a sandbox that bounds steps and memory. What users wrote passes through it as text and can
//! never become a special token; special tokens that the template itself writes do.

use std::io::Write;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error as JinjaError, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::checkpoint::{Checkpoint, Source};
use crate::error::{Error, Result};
use crate::profile::BOOK;
use crate::prompt::Piece;
use crate::tokenizer::{Tokenizer, TokenizerFiles};

/// Longest template, in bytes.
const LONGEST: usize = 1 << 20;
/// Work of one rendering (instructions, and one for every 64 bytes made), besides that for each message and its text.
const FUEL: u64 = 100_000;
const FUEL_PER_MESSAGE: u64 = 2_000;

pub struct Template {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

const NAME: &str = "chat";

impl Template {
    /// `text` is a template, or the name of one in profiles.json.
    pub fn parse(text: &str, tokenizer: &Tokenizer) -> Result<Self> {
        let text = BOOK.templates.get(text).map_or(text, String::as_str);
        if text.len() > LONGEST {
            return Err(Error::Template {
                message: format!("{} bytes, longer than {LONGEST}", text.len()),
            });
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(failed)?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, JinjaError> {
            Err(JinjaError::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(NAME, without_generation_tags(text))
            .map_err(failed)?;
        Ok(Self {
            environment,
            bos_token: tokenizer.bos_token().unwrap_or_default().to_owned(),
            eos_token: tokenizer.eos_token().unwrap_or_default().to_owned(),
        })
    }

    /// Renders turns, each a role and its content, into pieces.
    pub(crate) fn render(
        &self,
        turns: &[(&str, Vec<Piece>)],
        generation_prompt: bool,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<Piece>> {
        let stand_ins = StandIns::new(turns, tokenizer)?;
        let mut pieces = Vec::new();
        let contents: Vec<String> = turns
            .iter()
            .map(|(_, content)| stand_ins.hide(content, &mut pieces))
            .collect();
        let messages: Vec<Value> = turns
            .iter()
            .zip(&contents)
            .map(|((role, _), content)| context! { role => *role, content => content })
            .collect();
        let length: usize = contents.iter().map(String::len).sum();
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL + FUEL_PER_MESSAGE * turns.len() as u64 + length as u64));
        let rendered = environment
            .get_template(NAME)
            .and_then(|template| {
                template.render(context! {
                    messages,
                    tools => (),
                    documents => (),
                    add_generation_prompt => generation_prompt,
                    bos_token => self.bos_token.as_str(),
                    eos_token => self.eos_token.as_str(),
                })
            })
            .map_err(failed)?;
        stand_ins.reveal(&rendered, pieces, tokenizer)
    }
}

/// A checkpoint's chat template by itself, for servers that take a prompt as one text.
pub struct ChatTemplate {
    tokenizer: Tokenizer,
    template: Template,
}

impl ChatTemplate {
    /// From a folder with tokenizer.json, or a GGUF file; no weights are needed.
    pub fn load(path: &Path) -> Result<Self> {
        let files = match path.is_dir() {
            true => TokenizerFiles::of_folder(path)?,
            false => Checkpoint::open(&Source::new(path))?.tokenizer()?,
        };
        let tokenizer = Tokenizer::new(&files, u32::MAX as usize)?;
        let Some(text) = &files.chat_template else {
            return Err(Error::Template {
                message: format!("{} has none", path.display()),
            });
        };
        let template = Template::parse(text, &tokenizer)?;
        Ok(Self { tokenizer, template })
    }

    /// The whole prompt up to the end of `prefix`, with which the answer begins. Text that spells a special token is
    /// refused: a server would take it for one.
    pub fn render(&self, problem: &str, system: Option<&str>, prefix: &str) -> Result<String> {
        for text in [Some(problem), system, Some(prefix)].into_iter().flatten() {
            let spelled = self
                .tokenizer
                .special_tokens()
                .iter()
                .find(|(token, _)| text.contains(token.as_str()));
            if let Some((token, _)) = spelled {
                return Err(Error::Template {
                    message: format!("the text spells the special token {token}, which a server would take for one"),
                });
            }
        }
        let content = |text: &str| vec![Piece::Text(text.to_owned())];
        let system = system.map(|system| ("system", content(system)));
        let turns: Vec<_> = system.into_iter().chain([("user", content(problem))]).collect();
        let mut prompt = String::new();
        for piece in self.template.render(&turns, true, &self.tokenizer)? {
            match piece {
                Piece::Text(text) => prompt += &text,
                Piece::Token(id) => prompt += &self.tokenizer.name(id)?,
                Piece::Cut | Piece::Read(_) => {}
            }
        }
        Ok(prompt + prefix)
    }
}

/// Characters that stand in the rendered text for what is not text. They are chosen so that no text holds them.
struct StandIns<'a> {
    /// Put into user text wherever a special token could begin; taken out again afterwards.
    guard: char,
    /// `first` + i stands for piece i.
    first: u32,
    specials: &'a [(String, u32)],
}

impl<'a> StandIns<'a> {
    /// Private-use characters that come in runs this long.
    const RUN: u32 = 16_384;

    fn new(turns: &[(&str, Vec<Piece>)], tokenizer: &'a Tokenizer) -> Result<Self> {
        let pieces: usize = turns.iter().map(|(_, content)| content.len()).sum();
        let runs = (0xF_0000..0x10_C000)
            .step_by(Self::RUN as usize)
            .filter(|start| start % 0x1_0000 < 0xC000);
        let texts = || {
            turns
                .iter()
                .flat_map(|(_, content)| content)
                .filter_map(|piece| match piece {
                    Piece::Text(text) => Some(text.as_str()),
                    _ => None,
                })
        };
        let free = |start: &u32| {
            let run = *start..*start + Self::RUN;
            !texts().any(|text| text.chars().any(|character| run.contains(&(character as u32))))
        };
        let start = runs.into_iter().find(free).filter(|_| pieces < Self::RUN as usize - 1);
        match start.and_then(|start| Some((char::from_u32(start)?, start + 1))) {
            Some((guard, first)) => Ok(Self {
                guard,
                first,
                specials: tokenizer.special_tokens(),
            }),
            None => Err(Error::Template {
                message: format!("{pieces} pieces or texts full of private-use characters cannot be rendered"),
            }),
        }
    }

    fn hide(&self, content: &[Piece], hidden: &mut Vec<Piece>) -> String {
        let mut text = String::new();
        for piece in content {
            match piece {
                Piece::Text(plain) => self.guarded(plain, &mut text),
                other => {
                    text.extend(char::from_u32(self.first + hidden.len() as u32));
                    hidden.push(other.clone());
                }
            }
        }
        text
    }

    /// Adds a text in which no special token is left in one piece.
    fn guarded(&self, plain: &str, text: &mut String) {
        let begins = |character: char| self.specials.iter().any(|(token, _)| token.starts_with(character));
        let holds = self.specials.iter().any(|(token, _)| plain.contains(token.as_str()));
        if !holds {
            text.push_str(plain);
            return;
        }
        for character in plain.chars() {
            text.push(character);
            if begins(character) {
                text.push(self.guard);
            }
        }
    }

    fn reveal(&self, rendered: &str, hidden: Vec<Piece>, tokenizer: &Tokenizer) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut revealed = 0;
        let mut rest = rendered;
        while let Some(character) = rest.chars().next() {
            let index = (character as u32).wrapping_sub(self.first) as usize;
            let special = self
                .specials
                .iter()
                .filter(|(token, _)| token.chars().count() > 1 && rest.starts_with(token.as_str()))
                .max_by_key(|(token, _)| token.len());
            if let Some((token, _)) = special {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Token(tokenizer.special(token)?));
                rest = &rest[token.len()..];
                continue;
            }
            match hidden.get(index) {
                Some(piece) if index == revealed => {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(piece.clone());
                    revealed += 1;
                }
                Some(_) => return Err(torn()),
                None if character == self.guard => {}
                None => text.push(character),
            }
            rest = &rest[character.len_utf8()..];
        }
        if revealed != hidden.len() {
            return Err(torn());
        }
        pieces.push(Piece::Text(text));
        Ok(pieces)
    }
}

fn torn() -> Error {
    Error::Template {
        message: "it leaves out, repeats or reorders what stands in the turns; a PRM's prompt must hold it all".into(),
    }
}

/// As transformers has it: what Python's json.dumps writes, nothing escaped for HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<String, JinjaError> {
    let indent: Option<usize> = options.get("indent")?;
    // Python would escape what is not ASCII; transformers says not to.
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let indent = indent.map(|width| " ".repeat(width.min(16)));
    let mut bytes = Vec::new();
    let written = match &indent {
        Some(indent) => {
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
    };
    let failed = |message: String| JinjaError::new(ErrorKind::InvalidOperation, message);
    written.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

/// One line with a blank after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// transformers marks what the assistant wrote with a tag of its own, `generation`, which prints what is inside it.
fn without_generation_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        plain.push_str(before);
        let Some(end) = tag.find("%}") else {
            plain.push_str(tag);
            return plain;
        };
        let inside = &tag[2..end];
        let name = inside.trim_matches(|character: char| character.is_whitespace() || "+-".contains(character));
        plain.push_str("{%");
        plain.push_str(&match name {
            "generation" => inside.replacen("generation", "if true", 1),
            "endgeneration" => inside.replacen("endgeneration", "endif", 1),
            _ => inside.to_owned(),
        });
        plain.push_str("%}");
        rest = &tag[end + 2..];
    }
    plain + rest
}

fn failed(error: JinjaError) -> Error {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let limit = if error.kind() == ErrorKind::OutOfFuel {
        "more work than a chat template may do; "
    } else {
        ""
    };
    let mut message = format!("{line}{limit}{error}");
    message.truncate(message.char_indices().nth(500).map_or(message.len(), |(at, _)| at));
    Error::Template { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, value: Value) -> String {
        let mut environment = Environment::new();
        environment.add_filter("tojson", to_json);
        environment.render_str(template, context! { value }).unwrap()
    }

    #[test]
    fn json_is_written_as_python_does() {
        let value = || context! { a => vec![Value::from(1), Value::from("é<")], b => context! {} };
        assert_eq!(
            rendered("{{ value | tojson }}", value()),
            r#"{"a": [1, "é<"], "b": {}}"#
        );
        let indented = "{\n    \"a\": [\n        1,\n        \"é<\"\n    ],\n    \"b\": {}\n}";
        assert_eq!(rendered("{{ value | tojson(indent=4) }}", value()), indented);
    }

    #[test]
    fn the_tags_around_what_the_assistant_wrote_print_what_is_inside() {
        let text = "a {%- generation -%} {{ value }}{% endgeneration %} {% if true %}generation{% endif %}{%";
        let plain = "a {%- if true -%} {{ value }}{% endif %} {% if true %}generation{% endif %}{%";
        assert_eq!(without_generation_tags(text), plain);
    }
}
