//! A trace and a profile → token ids, and the positions where the scores are read.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::profile::{LineBreak, MarkKind, Passes, Profile, Segment, Separator, Turn};
use crate::template::Template;
use crate::tokenizer::Tokenizer;

/// One problem and the steps of one solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub problem: String,
    /// At least one; none of them blank. An outcome model takes the whole solution as one.
    pub steps: Vec<String>,
    /// Instead of the profile's system text.
    pub system: Option<String>,
    pub overflow: Overflow,
}

/// What becomes of a trace with more tokens than the model reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    #[default]
    Refuse,
    /// The first tokens are cut, as long as no read position is among them.
    TruncateLeft,
}

/// Token ids of a trace, and for each step the position where its score is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Of all sequences, one behind the other.
    pub ids: Vec<u32>,
    /// One sequence, or one for each step.
    pub sequences: Vec<Range<usize>>,
    /// Ascending positions in `ids`; as many as steps.
    pub reads: Vec<usize>,
    /// Tokens that were cut.
    pub truncated: usize,
}

/// Turns traces of one checkpoint into prompts.
pub struct Encoder {
    profile: Profile,
    tokenizer: Tokenizer,
    template: Option<Template>,
    separator: Vec<u32>,
    /// The most tokens that the model reads.
    limit: usize,
}

/// What a prompt is made of, before it is tokenised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Neighbours are tokenised together.
    Text(String),
    Token(u32),
    Cut,
    /// A score is read so many tokens after the last one so far.
    Read(isize),
}

impl Encoder {
    /// `template` is the checkpoint's own chat template.
    pub fn new(profile: Profile, tokenizer: Tokenizer, template: Option<&str>, limit: usize) -> Result<Self> {
        let template = match &profile.chat {
            None => None,
            Some(chat) => match template.or(chat.template.as_deref()) {
                Some(text) => Some(Template::parse(text, &tokenizer)?),
                None => {
                    return Err(Error::Template {
                        message: format!(
                            "{} is prompted through the checkpoint's chat template, and it has none; \
                             add chat_template.jinja to its folder",
                            profile.name
                        ),
                    });
                }
            },
        };
        let encoder = Self {
            separator: separator_ids(&profile.separator, &tokenizer)?,
            profile,
            tokenizer,
            template,
            limit,
        };
        encoder.check_tokens()?;
        Ok(encoder)
    }

    /// The ids of the separator; none where the family has none.
    pub fn separator(&self) -> &[u32] {
        &self.separator
    }

    pub fn encode(&self, trace: &Trace) -> Result<Prompt> {
        self.check(trace)?;
        let mut prompt = Prompt {
            ids: vec![],
            sequences: vec![],
            reads: vec![],
            truncated: 0,
        };
        match self.profile.passes {
            Passes::One => self.push(&mut prompt, trace, trace.steps.len(), trace.steps.len())?,
            Passes::PerPrefix => {
                for end in 1..=trace.steps.len() {
                    self.push(&mut prompt, trace, end, 1)?;
                }
            }
        }
        Ok(prompt)
    }

    /// Adds the sequence of the first `end` steps, at which `scores` scores are read.
    fn push(&self, prompt: &mut Prompt, trace: &Trace, end: usize, scores: usize) -> Result<()> {
        let pieces = self.pieces(trace, end)?;
        let (mut ids, mut reads) = self.tokenise(pieces)?;
        if reads.len() != scores {
            return Err(Error::InvalidArgument {
                argument: "profile".into(),
                message: format!("{} reads {} scores for {scores} steps", self.profile.name, reads.len()),
            });
        }
        if ids.len() > self.limit {
            let cut = ids.len() - self.limit;
            let first = reads.first().copied().unwrap_or_default();
            if trace.overflow == Overflow::Refuse || first < cut {
                return Err(Error::ContextOverflow {
                    tokens: ids.len(),
                    limit: self.limit,
                });
            }
            ids.drain(..cut);
            reads.iter_mut().for_each(|read| *read -= cut);
            prompt.truncated += cut;
        }
        let start = prompt.ids.len();
        prompt.ids.extend(ids);
        prompt.sequences.push(start..prompt.ids.len());
        prompt.reads.extend(reads.into_iter().map(|read| start + read));
        Ok(())
    }

    fn pieces(&self, trace: &Trace, end: usize) -> Result<Vec<Piece>> {
        let fill = Fill {
            encoder: self,
            trace,
            end,
        };
        let mut pieces = Vec::new();
        let mut done = false;
        match (&self.profile.chat, &self.template) {
            (Some(chat), Some(template)) => {
                let mut turns = Vec::new();
                for turn in &chat.turns {
                    turns.push(fill.turn(turn, None)?);
                }
                for step in 0..end {
                    for turn in &chat.per_step {
                        turns.push(fill.turn(turn, Some(step))?);
                    }
                }
                let contents = chat.turns.iter().flat_map(|turn| &turn.content);
                done = !chat.per_step.is_empty() || contents.into_iter().any(is_steps);
                pieces = template.render(&turns, chat.generation_prompt, &self.tokenizer)?;
            }
            _ => fill.segments(&mut pieces, &self.profile.prompt, None)?,
        }
        if !done {
            fill.steps(&mut pieces)?;
        }
        fill.segments(&mut pieces, &self.profile.suffix, None)?;
        Ok(pieces)
    }

    fn tokenise(&self, pieces: Vec<Piece>) -> Result<(Vec<u32>, Vec<usize>)> {
        let mut ids = Vec::new();
        let mut reads: Vec<isize> = Vec::new();
        let mut text = String::new();
        // Byte offsets in `text`.
        let mut marks: Vec<(usize, isize)> = Vec::new();
        for piece in pieces.into_iter().chain([Piece::Cut]) {
            match piece {
                Piece::Text(more) => text.push_str(&more),
                Piece::Read(shift) if !text.is_empty() => marks.push((text.len(), shift)),
                Piece::Read(shift) => reads.push(ids.len() as isize - 1 + shift),
                Piece::Token(_) | Piece::Cut => {
                    self.flush(
                        &mut ids,
                        &mut reads,
                        &std::mem::take(&mut text),
                        &std::mem::take(&mut marks),
                    )?;
                    if let Piece::Token(id) = piece {
                        ids.push(id);
                    }
                }
            }
        }
        let within = reads.into_iter().map(|read| match usize::try_from(read) {
            Ok(read) if read < ids.len() => Ok(read),
            _ => Err(Error::Tokenizer {
                message: format!("a score would be read at token {read} of {}", ids.len()),
            }),
        });
        let reads = within.collect::<Result<_>>()?;
        Ok((ids, reads))
    }

    fn flush(&self, ids: &mut Vec<u32>, reads: &mut Vec<isize>, text: &str, marks: &[(usize, isize)]) -> Result<()> {
        let inside = marks.iter().any(|(at, _)| *at < text.len());
        if !inside {
            ids.extend(self.tokenizer.encode(text)?);
            reads.extend(marks.iter().map(|(_, shift)| ids.len() as isize - 1 + shift));
            return Ok(());
        }
        let (tokens, ranges) = self.tokenizer.encode_with_offsets(text)?;
        for &(at, shift) in marks {
            let token = ranges.partition_point(|range| range.start < at);
            let merged = token == 0 || ranges[token - 1].end > at;
            if merged {
                return Err(Error::Tokenizer {
                    message: format!(
                        "the end of step {} is tokenised together with what follows, so its score cannot be read; \
                         cut the blanks at its ends",
                        reads.len()
                    ),
                });
            }
            reads.push((ids.len() + token) as isize - 1 + shift);
        }
        ids.extend(tokens);
        Ok(())
    }

    /// Whether the tokenizer has every token that the profile names.
    fn check_tokens(&self) -> Result<()> {
        let example = Trace {
            problem: "1".into(),
            steps: vec!["1".into()],
            system: None,
            overflow: Overflow::Refuse,
        };
        match self.encode(&example) {
            Err(Error::ContextOverflow { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check(&self, trace: &Trace) -> Result<()> {
        let invalid = |argument: &str, message: String| Error::InvalidArgument {
            argument: argument.into(),
            message,
        };
        if trace.steps.is_empty() {
            return Err(invalid("steps", "a trace needs at least one step".into()));
        }
        if let Some(blank) = trace.steps.iter().position(|step| step.trim().is_empty()) {
            return Err(invalid("steps", format!("step {blank} is blank; leave it out")));
        }
        if trace.steps.len() > 1 && self.profile.reads_outcomes() {
            let message = format!("{} reads whole solutions; give it as one step", self.profile.name);
            return Err(invalid("steps", message));
        }
        if trace.system.is_some() && !self.profile.takes_system() {
            let message = format!("the prompt of {} has no system text", self.profile.name);
            return Err(invalid("system", message));
        }
        Ok(())
    }
}

/// Fills segments with the texts of a trace.
struct Fill<'a> {
    encoder: &'a Encoder,
    trace: &'a Trace,
    /// Steps of the sequence.
    end: usize,
}

impl Fill<'_> {
    fn steps(&self, pieces: &mut Vec<Piece>) -> Result<()> {
        let profile = &self.encoder.profile;
        for step in 0..self.end {
            if step > 0 {
                self.segments(pieces, &profile.between, None)?;
            }
            self.segments(pieces, &profile.step, Some(step))?;
        }
        Ok(())
    }

    fn turn<'t>(&self, turn: &'t Turn, step: Option<usize>) -> Result<(&'t str, Vec<Piece>)> {
        let mut content = Vec::new();
        self.segments(&mut content, &turn.content, step)?;
        Ok((&turn.role, content))
    }

    fn segments(&self, pieces: &mut Vec<Piece>, segments: &[Segment], step: Option<usize>) -> Result<()> {
        let tokenizer = &self.encoder.tokenizer;
        for segment in segments {
            match segment {
                Segment::Text(template) => pieces.push(Piece::Text(self.text(template, step))),
                Segment::Special(special) => pieces.push(Piece::Token(tokenizer.special(&special.token)?)),
                Segment::Mark(mark) => match mark.mark {
                    MarkKind::Bos => pieces.push(Piece::Token(self.required(tokenizer.bos()?, "bos_token")?)),
                    MarkKind::OptionalBos => pieces.extend(tokenizer.usual_bos()?.map(Piece::Token)),
                    MarkKind::Eos => pieces.push(Piece::Token(self.required(tokenizer.eos()?, "eos_token")?)),
                    MarkKind::Cut => pieces.push(Piece::Cut),
                    MarkKind::Separator => match &self.encoder.profile.separator {
                        Separator::Joint(text) => pieces.push(Piece::Text(text.clone())),
                        _ => pieces.extend(self.encoder.separator.iter().copied().map(Piece::Token)),
                    },
                    MarkKind::Steps => self.steps(pieces)?,
                    MarkKind::Read => pieces.push(Piece::Read(0)),
                    MarkKind::ReadPrevious => pieces.push(Piece::Read(-1)),
                    MarkKind::ReadNext => pieces.push(Piece::Read(1)),
                },
            }
        }
        Ok(())
    }

    fn required(&self, id: Option<u32>, name: &str) -> Result<u32> {
        id.ok_or_else(|| Error::Tokenizer {
            message: format!(
                "{} needs a {name}; tokenizer_config.json names none",
                self.encoder.profile.name
            ),
        })
    }

    fn text(&self, template: &str, step: Option<usize>) -> String {
        let profile = &self.encoder.profile;
        let problem = self.trace.problem.as_str();
        fill(template, &|name| match name {
            "problem" => Some(problem.into()),
            "system" => Some(self.trace.system.as_deref().unwrap_or(&profile.system).into()),
            "step" => Some(self.step(step?)),
            "index" => Some((step? + 1).to_string().into()),
            "opening" if step? == 0 => {
                Some(fill(&profile.opening, &|name| (name == "problem").then_some(problem.into())).into())
            }
            "opening" => Some("".into()),
            _ => None,
        })
    }

    fn step(&self, index: usize) -> Cow<'_, str> {
        let profile = &self.encoder.profile;
        let mut step = Cow::Borrowed(self.trace.steps[index].as_str());
        match profile.line_break {
            LineBreak::Blank if step.contains('\n') => step = step.replace("\r\n", " ").replace('\n', " ").into(),
            LineBreak::Single if step.contains("\n\n") => step = single_breaks(&step).into(),
            _ => {}
        }
        if profile.trim {
            step = step.trim().to_owned().into();
        }
        match &profile.numbering {
            Some(numbering) if !step.starts_with("Step") && !step.starts_with("step") => {
                let number = fill(numbering, &|name| {
                    (name == "index").then(|| (index + 1).to_string().into())
                });
                (number + &step).into()
            }
            _ => step,
        }
    }
}

/// The ids of pieces among which no score is read.
pub(crate) fn ids_of(pieces: Vec<Piece>, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    let mut text = String::new();
    for piece in pieces.into_iter().chain([Piece::Cut]) {
        match piece {
            Piece::Text(more) => text.push_str(&more),
            Piece::Token(_) | Piece::Cut | Piece::Read(_) => {
                ids.extend(tokenizer.encode(&std::mem::take(&mut text))?);
                if let Piece::Token(id) = piece {
                    ids.push(id);
                }
            }
        }
    }
    Ok(ids)
}

fn is_steps(segment: &Segment) -> bool {
    matches!(segment, Segment::Mark(mark) if mark.mark == MarkKind::Steps)
}

fn separator_ids(separator: &Separator, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let (text, ids) = match separator {
        Separator::None => return Ok(vec![]),
        Separator::Special(token) => (token, vec![tokenizer.special(token)?]),
        Separator::Text(text) | Separator::Joint(text) => (text, tokenizer.encode(text)?),
        Separator::LastTokenOf(text) => (
            text,
            tokenizer.encode(text)?.into_iter().next_back().into_iter().collect(),
        ),
    };
    if ids.is_empty() {
        return Err(Error::Tokenizer {
            message: format!("the separator {text:?} has no token"),
        });
    }
    Ok(ids)
}

/// Fills the placeholders of a template in one pass: a placeholder inside the filled text stays as it is.
fn fill<'a>(template: &str, value: &dyn Fn(&str) -> Option<Cow<'a, str>>) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let named = rest.find('}').and_then(|end| Some((value(&rest[1..end])?, end + 1)));
        let (value, length) = named.unwrap_or(("{".into(), 1));
        text.push_str(&value);
        rest = &rest[length..];
    }
    text.push_str(rest);
    text
}

fn single_breaks(step: &str) -> String {
    let mut text = String::with_capacity(step.len());
    for character in step.chars() {
        if character != '\n' || !text.ends_with('\n') {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_in_user_text_are_left_alone() {
        let value = |name: &str| match name {
            "problem" => Some("{system}".into()),
            "system" => Some("{problem}".into()),
            _ => None,
        };
        assert_eq!(fill("a {problem} b {system}", &value), "a {system} b {problem}");
        assert_eq!(fill("{x} { {", &value), "{x} { {");
    }

    #[test]
    fn line_breaks_in_a_row_become_one() {
        assert_eq!(single_breaks("a\n\n\nb\nc\n\n"), "a\nb\nc\n");
    }
}
