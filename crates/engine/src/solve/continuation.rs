//! One continuation of a request: its text, what was looked ahead, and its scores with their price.

use surefoot_model::policy::{self, Ended, Generated};
use surefoot_model::prompt::Prompt;
use surefoot_model::sampler::Settings;
use surefoot_model::{Error, Overflow, Prm, Result, Trace};
use surefoot_search::budget::Costs;
use surefoot_search::{Child, Lookahead, Request, Scoring};

use super::entry::Written;
use super::is_about_trace;
use super::texts::{Text, Texts, hash_of};

pub(super) struct Continuation {
    generated: Generated,
    text: Text,
    ahead: Option<Ahead>,
    prompt: Option<Prompt>,
    /// Tokens that the PRM has to compute for it, those of the problem left out.
    own_tokens: u32,
    prm_tokens: Option<u32>,
    problem_tokens: Option<u32>,
    scores: Vec<f32>,
    ahead_scores: Vec<f32>,
    /// Why it has no scores.
    pub(super) failure: Option<Error>,
}

/// What follows a continuation by greedy steps.
struct Ahead {
    tokens: u32,
    raw: String,
    steps: Vec<String>,
    is_open: bool,
}

impl Continuation {
    pub(super) fn new(texts: &Texts, generated: Generated, lookahead: Lookahead) -> Self {
        let goes_on = generated.ended == Ended::Step;
        Self {
            text: texts.text_of(&generated.text, goes_on),
            ahead: (lookahead != Lookahead::None).then(|| Ahead {
                tokens: 0,
                raw: String::new(),
                steps: vec![],
                is_open: goes_on,
            }),
            generated,
            prompt: None,
            own_tokens: 0,
            prm_tokens: None,
            problem_tokens: None,
            scores: vec![],
            ahead_scores: vec![],
            failure: None,
        }
    }

    /// As it was written, with what was looked ahead.
    pub(super) fn raw(&self) -> String {
        let ahead = self.ahead.as_ref().map_or("", |ahead| &ahead.raw);
        format!("{}{ahead}", self.text.raw)
    }

    pub(super) fn ahead_tokens(&self) -> u32 {
        self.ahead.as_ref().map_or(0, |ahead| ahead.tokens)
    }

    /// Whether its answer goes on after what was looked ahead.
    pub(super) fn is_open(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.is_open)
    }

    /// Takes what follows.
    pub(super) fn goes_on(&mut self, texts: &Texts, next: &Generated) {
        let Some(ahead) = &mut self.ahead else { return };
        ahead.is_open = next.ended == Ended::Step;
        let more = texts.text_of(&next.text, ahead.is_open);
        ahead.tokens += next.ids.len() as u32;
        ahead.raw.push_str(&more.raw);
        ahead.steps.extend(more.steps);
    }

    /// Takes the scores of its steps and of those looked ahead.
    pub(super) fn scored(&mut self, scores: &[f32], wanted: Scoring) {
        let (own, beyond) = scores.split_at(self.text.steps.len().min(scores.len()));
        let kept = |scores: &[f32]| match wanted {
            Scoring::Last => scores.last().copied().into_iter().collect(),
            _ => scores.to_vec(),
        };
        self.scores = kept(own);
        self.ahead_scores = kept(beyond);
    }

    /// As the search is told, and its text; or why it is not.
    pub(super) fn written(self, request: &Request, index: usize) -> Result<(Written, Text)> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let Generated {
            ended,
            prompt_tokens,
            ids,
            logprobs,
            ..
        } = self.generated;
        let is_first = request.id == 0 && index == 0;
        let child = Child {
            policy_tokens: ids.len() as u32,
            ahead_tokens: self.ahead.map_or(0, |ahead| ahead.tokens),
            prefill_tokens: if is_first { prompt_tokens as u32 } else { 0 },
            prm_tokens: self.prm_tokens.unwrap_or(0),
            steps: self.text.steps.len() as u32,
            scores: self.scores,
            ahead: self.ahead_scores,
            log_prior: request.priors.then(|| mean(&logprobs)),
            ended: matches!(ended, Ended::Answer | Ended::Stop(_)),
            cut: ended == Ended::Length,
            text: Some(hash_of(&self.text.raw)),
            ..Child::default()
        };
        let written = Written {
            raw: self.text.raw.clone(),
            child,
            problem_tokens: self.problem_tokens,
        };
        Ok((written, self.text))
    }

    fn steps(&self) -> impl Iterator<Item = &String> {
        let ahead = self.ahead.iter().flat_map(|ahead| &ahead.steps);
        self.text.steps.iter().chain(ahead)
    }
}

/// What a greedy continuation of `prefix` is asked for.
pub(super) fn greedy(common: policy::Request, prefix: String) -> policy::Request {
    policy::Request {
        prefix,
        n: 1,
        settings: Settings {
            temperature: 0.0,
            ..common.settings
        },
        ..common
    }
}

/// What scores cost: the tokens that a trace's parent does not begin with, and those of the problem once a search. They are
/// known before scoring, for the trace is tokenised first.
pub(super) struct Pricing {
    /// Those of the problem alone.
    problem: Option<Vec<u32>>,
    is_problem_paid: bool,
}

impl Pricing {
    pub(super) fn new(is_problem_paid: bool) -> Self {
        Self {
            problem: None,
            is_problem_paid,
        }
    }

    pub(super) fn is_problem_paid(&self) -> bool {
        self.is_problem_paid
    }

    /// Tokenises the traces of continuations.
    pub(super) fn price(
        &mut self,
        prm: &Prm,
        about: &policy::Request,
        before: &[String],
        continuations: &mut [Continuation],
    ) -> Result<()> {
        let is_outcome = prm.facts().profile.split.is_none();
        let encode = |steps: Vec<String>| {
            prm.encode(&Trace {
                problem: about.problem.clone(),
                steps: match is_outcome {
                    true => vec![steps.join("\n\n")],
                    false => steps,
                },
                system: about.system.clone(),
                overflow: Overflow::Refuse,
            })
        };
        if self.problem.is_none() {
            let (mut a, b) = (encode(vec!["0".into()])?.ids, encode(vec!["a".into()])?.ids);
            a.truncate(common(&a, &b));
            self.problem = Some(a);
        }
        let parent = match (before, &self.problem) {
            ([], Some(problem)) => problem.clone(),
            _ => encode(before.to_vec())?.ids,
        };
        for continuation in continuations.iter_mut().filter(|one| !one.text.steps.is_empty()) {
            match encode(before.iter().chain(continuation.steps()).cloned().collect()) {
                Ok(prompt) => {
                    continuation.own_tokens = (prompt.ids.len() - common(&prompt.ids, &parent)) as u32;
                    continuation.prompt = Some(prompt);
                }
                Err(error) if is_about_trace(&error) => continuation.failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The prompts of the continuations, by their numbers, that are scored within the caps of their request.
    pub(super) fn pay(
        &mut self,
        request: &Request,
        costs: Costs,
        continuations: &mut [Continuation],
    ) -> Vec<(usize, Prompt)> {
        let caps = request.caps;
        let mut left = caps.prm_tokens.unwrap_or(u64::MAX);
        if let Some(flops) = caps.flops {
            left = left.min(affordable(request.id, flops, costs, continuations));
        }
        let mut scored = Vec::new();
        for (index, continuation) in continuations.iter_mut().enumerate() {
            let Some(prompt) = continuation.prompt.take() else {
                continue;
            };
            let problem = match self.is_problem_paid {
                true => 0,
                false => self.problem.as_ref().map_or(0, Vec::len) as u32,
            };
            let tokens = continuation.own_tokens + problem;
            if u64::from(tokens) > left {
                continue;
            }
            left -= u64::from(tokens);
            self.is_problem_paid = true;
            continuation.prm_tokens = Some(tokens);
            continuation.problem_tokens = Some(problem).filter(|&tokens| tokens > 0);
            scored.push((index, prompt));
        }
        scored
    }
}

/// Tokens that the PRM may compute of what the policy has left of a request's FLOPs.
fn affordable(request: u32, flops: f64, costs: Costs, continuations: &[Continuation]) -> u64 {
    let sampled = |one: &Continuation| one.generated.ids.len() + one.ahead_tokens() as usize;
    let read = continuations
        .first()
        .filter(|_| request == 0)
        .map_or(0, |one| one.generated.prompt_tokens);
    let written = continuations.iter().map(sampled).sum::<usize>() + read;
    ((flops - written as f64 * costs.policy) / costs.prm).max(0.0) as u64
}

/// How many ids both begin with.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn mean(logprobs: &[f64]) -> f32 {
    if logprobs.is_empty() {
        return 0.0;
    }
    let sum: f64 = logprobs.iter().sum();
    (sum / logprobs.len() as f64) as f32
}
