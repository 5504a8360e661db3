//! A trace and a profile → token ids, and the positions where the scores are read.

use crate::error::{Error, Result};
use crate::profile::{LineBreak, Profile, Segment, Separator};
use crate::tokenizer::Tokenizer;

/// One problem and the steps of one solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub problem: String,
    /// At least one; none of them blank.
    pub steps: Vec<String>,
    /// Instead of the profile's system text.
    pub system: Option<String>,
}

/// Token ids of a trace, and for each step the position where its score is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub ids: Vec<u32>,
    /// Ascending; as many as steps.
    pub reads: Vec<usize>,
}

/// `limit` is the most tokens that the model reads.
pub fn encode(trace: &Trace, profile: &Profile, tokenizer: &Tokenizer, limit: usize) -> Result<Prompt> {
    check(trace, profile)?;
    let separator = separator_ids(&profile.separator, tokenizer)?;
    let mut ids = Vec::new();
    push_segments(&mut ids, &profile.prompt, trace, profile, tokenizer)?;
    let mut reads = Vec::with_capacity(trace.steps.len());
    for step in &trace.steps {
        let step = match profile.line_break {
            LineBreak::Keep => step.as_str().into(),
            LineBreak::Blank => blank_line_breaks(step),
        };
        ids.extend(tokenizer.encode(&step)?);
        ids.extend(&separator);
        reads.push(ids.len() - 1);
    }
    push_segments(&mut ids, &profile.suffix, trace, profile, tokenizer)?;
    if ids.len() > limit {
        return Err(Error::ContextOverflow {
            tokens: ids.len(),
            limit,
        });
    }
    Ok(Prompt { ids, reads })
}

/// Whether the tokenizer has every token that the profile names.
pub fn check_tokens(profile: &Profile, tokenizer: &Tokenizer) -> Result<()> {
    separator_ids(&profile.separator, tokenizer)?;
    let nothing = Trace {
        problem: String::new(),
        steps: vec![],
        system: None,
    };
    for segments in [&profile.prompt, &profile.suffix] {
        push_segments(&mut Vec::new(), segments, &nothing, profile, tokenizer)?;
    }
    Ok(())
}

fn check(trace: &Trace, profile: &Profile) -> Result<()> {
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
    if trace.system.is_some() && !profile.takes_system() {
        return Err(invalid(
            "system",
            format!("the prompt of {} has no system text", profile.name),
        ));
    }
    Ok(())
}

fn separator_ids(separator: &Separator, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let (text, ids) = match separator {
        Separator::Special(token) => (token, vec![tokenizer.special(token)?]),
        Separator::Text(text) => (text, tokenizer.encode(text)?),
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

fn push_segments(
    ids: &mut Vec<u32>,
    segments: &[Segment],
    trace: &Trace,
    profile: &Profile,
    tokenizer: &Tokenizer,
) -> Result<()> {
    for segment in segments {
        match segment {
            Segment::Special(token) => ids.push(tokenizer.special(token)?),
            Segment::Bos { optional } => match tokenizer.bos()? {
                Some(id) => ids.push(id),
                None if *optional => {}
                None => {
                    return Err(Error::Tokenizer {
                        message: format!("{} needs a bos_token; tokenizer_config.json names none", profile.name),
                    });
                }
            },
            Segment::Text(template) => {
                let system = trace.system.as_deref().unwrap_or(&profile.system);
                ids.extend(tokenizer.encode(&fill(template, &trace.problem, system))?);
            }
        }
    }
    Ok(())
}

/// Fills the placeholders of a template in one pass: a placeholder inside the filled text stays as it is.
fn fill(template: &str, problem: &str, system: &str) -> String {
    let mut text = String::with_capacity(template.len() + problem.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (value, length) = if rest.starts_with("{problem}") {
            (problem, "{problem}".len())
        } else if rest.starts_with("{system}") {
            (system, "{system}".len())
        } else {
            ("{", 1)
        };
        text.push_str(value);
        rest = &rest[length..];
    }
    text.push_str(rest);
    text
}

fn blank_line_breaks(step: &str) -> std::borrow::Cow<'_, str> {
    if step.contains('\n') {
        step.replace("\r\n", " ").replace('\n', " ").into()
    } else {
        step.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_in_user_text_are_left_alone() {
        assert_eq!(
            fill("a {problem} b {system}", "{system}", "{problem}"),
            "a {system} b {problem}"
        );
        assert_eq!(fill("{x} {", "p", "s"), "{x} {");
    }
}
