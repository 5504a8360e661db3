//! A policy: a language model that writes answers, or the next step of one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, refuse_unknown};
use crate::backend::Backend;
use crate::candle::Candle;
use crate::checkpoint::{Checkpoint, Source, read_json};
use crate::choose;
use crate::compute::{Compute, Isa, Precision};
use crate::config::Config;
use crate::cpu::Cpu;
use crate::device::{self, Opened};
use crate::draws::{Draws, hash};
use crate::error::{Error, Result};
use crate::forward::{Forward, Iteration, On};
use crate::head::{HEADS, Head, output_layer};
use crate::prefixes::{Counters, Kept, Sequence};
use crate::prompt::{Piece, ids_of};
use crate::sampler::{Sampler, Settings, log_probability};
use crate::template::Template;
use crate::tokenizer::Tokenizer;
use crate::writer::Writer;

pub struct Policy {
    forward: Box<dyn Forward>,
    tokenizer: Tokenizer,
    template: Option<Template>,
    /// The tokens that a plain prompt begins with.
    beginning: Vec<u32>,
    /// Of the sampling.
    isa: Isa,
    /// Scratch of texts that take a token at the same time.
    samplers: Mutex<Vec<Sampler>>,
    facts: Facts,
}

/// How problems are put to a policy. What the caller chooses wins over surefoot.json in its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PolicyChoice {
    pub prompt: Option<PromptKind>,
    pub separator: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptKind {
    /// By the checkpoint's chat template: system text and problem as turns, the prefix as the beginning of the answer.
    Chat,
    /// The tokens that texts begin with, then system text, a blank line, problem, a line break, prefix; what is empty is
    /// left out with what follows it.
    Plain,
}

/// What was recognised in a checkpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    pub family: &'static str,
    pub hub_id: Option<String>,
    pub architectures: Vec<String>,
    pub parameters: usize,
    /// Of the stored weights.
    pub dtype: String,
    pub device: &'static str,
    /// The instruction set of our own kernels, where they compute.
    pub isa: Option<&'static str>,
    pub precision: Precision,
    /// The most tokens of a problem and its answer together.
    pub context: usize,
    pub vocabulary: usize,
    pub prompt: PromptKind,
    /// What ends a step.
    pub separator: String,
    /// The tokens that end an answer.
    pub stop_ids: Vec<u32>,
}

/// Texts to write.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    pub problem: String,
    pub system: Option<String>,
    /// What the answer begins with.
    #[serde(default)]
    pub prefix: String,
    /// How many.
    pub n: usize,
    /// Whether a text ends with a step.
    #[serde(default)]
    pub step: bool,
    /// Of steps; the policy's own by default.
    pub separator: Option<String>,
    /// Texts that end a text.
    #[serde(default)]
    pub stop: Vec<String>,
    pub max_tokens: usize,
    #[serde(default)]
    pub settings: Settings,
    /// Texts that are not written.
    #[serde(default)]
    pub banned_texts: Vec<String>,
    pub seed: u64,
    #[serde(default)]
    pub path: String,
    #[serde(default)]
    pub logprobs: bool,
}

/// Why a text ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The model ended its answer.
    Answer,
    /// The separator came.
    Step,
    Stop(String),
    /// No token was left, of those asked for or of the context.
    Length,
}

/// A finished text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    pub text: String,
    pub ended: Ended,
    pub prompt_tokens: usize,
    /// The written tokens, that of the end among them.
    pub ids: Vec<u32>,
    /// One a token, where they were asked for.
    pub logprobs: Vec<f64>,
}

/// A text that is being written.
pub struct Generation {
    sequence: Sequence,
    prompt_tokens: usize,
    ids: Vec<u32>,
    request: Arc<Request>,
    writer: Writer,
    draws: Draws,
    /// Tokens that occurred, where their logits are penalised.
    seen: Vec<u32>,
    known: HashSet<u32>,
    logprobs: Vec<f64>,
    ended: Option<Ended>,
}

impl Policy {
    /// Reads a checkpoint, and surefoot.json (a [`PolicyChoice`]) where its folder has one.
    pub fn load(source: &Source, compute: &Compute, choice: &PolicyChoice) -> Result<Self> {
        let device = device::open(compute.device)?;
        let source = source.resolve()?;
        let checkpoint = Checkpoint::open(&source)?;
        let (config_json, config_path) = checkpoint.config()?;
        let config = Config::parse(&config_json, &config_path)?;
        refuse_prm(&checkpoint, &config)?;
        refuse_unknown(&checkpoint, &config, &[].into())?;
        let tokenizer_files = checkpoint.tokenizer()?;
        let tokenizer = Tokenizer::new(&tokenizer_files, config.vocab_size)?;
        let template = tokenizer_files.chat_template.as_deref();
        let of_files = choice_of_files(&source)?;
        let prompt = choice.prompt.or(of_files.prompt).unwrap_or(match template {
            Some(_) => PromptKind::Chat,
            None => PromptKind::Plain,
        });
        let template = match (prompt, template) {
            (PromptKind::Plain, _) => None,
            (PromptKind::Chat, Some(text)) => Some(Template::parse(text, &tokenizer)?),
            (PromptKind::Chat, None) => {
                return Err(Error::Template {
                    message:
                        "the checkpoint has no chat template; add chat_template.jinja to its folder, or choose the \
                              prompt \"plain\""
                            .into(),
                });
            }
        };
        let separator = choice.separator.clone().or(of_files.separator);
        let separator = separator.unwrap_or_else(|| "\n\n".into());
        if separator.is_empty() {
            return Err(Error::InvalidArgument {
                argument: "separator".into(),
                message: "is empty".into(),
            });
        }
        let beginning = match checkpoint.is_gguf() {
            true => tokenizer.usual_bos()?.into_iter().collect(),
            false => tokenizer.added_before()?,
        };
        let mut stop_ids = checkpoint.stop_ids()?;
        stop_ids.extend(tokenizer.eos()?);
        stop_ids.retain(|id| (*id as usize) < config.vocab_size);
        stop_ids.sort_unstable();
        stop_ids.dedup();
        let name = device.name();
        let mut isa = None;
        let forward = match device {
            Opened::Cpu => {
                let cpu = Cpu::new(compute.isa, compute.precision.into())?;
                isa = Some(cpu.isa());
                on(cpu, &checkpoint, &config, compute)?
            }
            Opened::Candle(device) => on(Candle::new(device), &checkpoint, &config, compute)?,
        };
        let named = source.adapter().unwrap_or(&source.path);
        let output = output_layer(&config);
        let unused = (config.tied_embeddings)
            .then_some("lm_head.weight")
            .filter(|name| *name != output);
        Ok(Self {
            forward,
            tokenizer,
            template,
            beginning,
            isa: isa.unwrap_or_else(|| Isa::choose(None).unwrap_or(Isa::Scalar)),
            samplers: Mutex::default(),
            facts: Facts {
                family: config.family.name(),
                hub_id: choose::hub_id(named).filter(|id| choose::is_of_hub(named, id)),
                parameters: checkpoint.parameters(checkpoint.names().filter(|name| Some(*name) != unused)),
                dtype: checkpoint.dtypes().join("+"),
                device: name,
                isa: isa.map(Isa::name),
                precision: compute.precision,
                context: config.max_positions,
                vocabulary: config.vocab_size,
                prompt,
                separator,
                stop_ids,
                architectures: config.architectures,
            },
        })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Begins a forward pass; waits for the one under way.
    pub fn iteration(&self) -> Box<dyn Iteration + '_> {
        self.forward.iteration()
    }

    /// What the cache of prefixes did, as of the last pass.
    pub fn counters(&self) -> Counters {
        self.forward.counters()
    }

    /// The token ids that the text of a request follows.
    pub fn encode(&self, request: &Request) -> Result<Vec<u32>> {
        let text = |text: &str| vec![Piece::Text(text.to_owned())];
        let mut pieces = Vec::new();
        match &self.template {
            Some(template) => {
                let system = request.system.iter().map(|system| ("system", text(system)));
                let turns: Vec<_> = system.chain([("user", text(&request.problem))]).collect();
                pieces = template.render(&turns, true, &self.tokenizer)?;
            }
            None => {
                pieces.extend(self.beginning.iter().copied().map(Piece::Token));
                for (part, after) in [
                    (request.system.as_deref().unwrap_or(""), "\n\n"),
                    (&request.problem, "\n"),
                ] {
                    if !part.is_empty() {
                        pieces.push(Piece::Text(format!("{part}{after}")));
                    }
                }
            }
        }
        pieces.push(Piece::Text(request.prefix.clone()));
        ids_of(pieces, &self.tokenizer)
    }

    /// The texts of a request, none of them begun.
    pub fn begin(&self, request: &Request) -> Result<Vec<Generation>> {
        let invalid = |argument: &str, message: &str| Error::InvalidArgument {
            argument: argument.into(),
            message: message.into(),
        };
        request.settings.check(self.facts.vocabulary)?;
        if request.n == 0 || request.max_tokens == 0 {
            return Err(invalid("n", "n and maxTokens must be at least 1"));
        }
        if request.stop.iter().chain(&request.separator).any(String::is_empty) {
            return Err(invalid("stop", "a text that ends a text is empty"));
        }
        if request.banned_texts.iter().any(String::is_empty) {
            return Err(invalid("bans", "a text is empty"));
        }
        let ids = self.encode(request)?;
        if ids.is_empty() {
            return Err(invalid("problem", "is empty, and the model begins no text by itself"));
        }
        if ids.len() >= self.facts.context {
            return Err(Error::ContextOverflow {
                tokens: ids.len() + 1,
                limit: self.facts.context,
            });
        }
        let request = Arc::new(request.clone());
        (0..request.n as u64)
            .map(|index| self.generation(&request, &ids, index))
            .collect()
    }

    /// Writes the texts of requests, in passes of at most `rows` rows.
    pub fn write(
        &self,
        requests: &[Request],
        rows: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Vec<Generated>>> {
        let mut work: Vec<Vec<Generation>> = requests.iter().map(|one| self.begin(one)).collect::<Result<_>>()?;
        loop {
            let mut pass = self.iteration();
            let mut open: Vec<_> = work.iter_mut().flatten().filter(|text| !text.is_done()).collect();
            if open.is_empty() {
                break;
            }
            for text in &mut open {
                let left = rows.saturating_sub(pass.rows());
                if left > 0 {
                    pass.plan(text.sequence_mut(), left)?;
                }
            }
            pass.run(cancelled)?;
            open.iter_mut().for_each(|text| pass.collect(text.sequence_mut()));
            drop(pass);
            open.into_iter().try_for_each(|text| self.advance(text))?;
        }
        let texts = work
            .iter()
            .map(|texts| texts.iter().filter_map(Generation::generated).collect());
        Ok(texts.collect())
    }

    fn generation(&self, request: &Arc<Request>, ids: &[u32], index: u64) -> Result<Generation> {
        let system = request.system.as_deref().unwrap_or("");
        let problem = hash(&[system.as_bytes(), request.problem.as_bytes()]);
        let path = hash(&[request.prefix.as_bytes(), request.path.as_bytes(), &index.to_le_bytes()]);
        let separator = request.separator.as_ref().unwrap_or(&self.facts.separator);
        let separator = request.step.then(|| separator.clone());
        let stops = separator.into_iter().chain(request.stop.iter().cloned()).collect();
        let mut generation = Generation {
            sequence: Sequence::growing(ids.to_vec()),
            prompt_tokens: ids.len(),
            ids: vec![],
            writer: Writer::new(&self.tokenizer, ids, stops)?,
            draws: Draws::new(request.seed, problem, path),
            request: request.clone(),
            seen: vec![],
            known: HashSet::new(),
            logprobs: vec![],
            ended: None,
        };
        ids.iter().for_each(|&id| generation.saw(id));
        Ok(generation)
    }

    /// Takes the next token of a text whose last logits are known; without them nothing happens.
    pub fn advance(&self, generation: &mut Generation) -> Result<()> {
        let Some(logits) = generation
            .sequence
            .output()
            .cloned()
            .filter(|_| generation.ended.is_none())
        else {
            return Ok(());
        };
        if let Some(&value) = logits.iter().find(|logit| !logit.is_finite()) {
            return Err(Error::LogitNotFinite { value });
        }
        let spare = self.samplers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut sampler = spare.unwrap_or_default();
        let next = self.next(&mut sampler, generation, &logits);
        self.samplers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sampler);
        generation.take(self, next?, &logits)
    }

    fn next(&self, sampler: &mut Sampler, generation: &Generation, logits: &[f32]) -> Result<u32> {
        let Generation {
            request, writer, draws, ..
        } = generation;
        let mut failure = None;
        let refused = |id| {
            let writes = writer.would_write(&self.tokenizer, id, &request.banned_texts);
            writes.unwrap_or_else(|error| {
                failure = Some(error);
                false
            })
        };
        let token = (draws, generation.ids.len() as u32);
        let next = sampler.next(self.isa, logits, &request.settings, &generation.seen, token, refused);
        match (failure, next) {
            (Some(error), _) => Err(error),
            (None, Some(id)) => Ok(id),
            (None, None) => Err(Error::InvalidArgument {
                argument: "bans".into(),
                message: "no token is left to be written".into(),
            }),
        }
    }
}

impl Generation {
    /// What the next token needs.
    pub fn sequence_mut(&mut self) -> &mut Sequence {
        &mut self.sequence
    }

    pub fn is_done(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether the next token can be taken.
    pub fn has_logits(&self) -> bool {
        self.ended.is_none() && self.sequence.output().is_some()
    }

    /// The text that was not given out yet, in whole characters, as far as no stop can take it back.
    pub fn fresh(&mut self) -> &str {
        self.writer.fresh(self.ended.is_some())
    }

    /// The text, once it is finished.
    pub fn generated(&self) -> Option<Generated> {
        Some(Generated {
            text: self.writer.text().to_owned(),
            ended: self.ended.clone()?,
            prompt_tokens: self.prompt_tokens,
            ids: self.ids.clone(),
            logprobs: self.logprobs.clone(),
        })
    }

    fn take(&mut self, policy: &Policy, id: u32, logits: &[f32]) -> Result<()> {
        if self.request.logprobs {
            self.logprobs.push(log_probability(policy.isa, logits, id));
        }
        self.ids.push(id);
        self.saw(id);
        if policy.facts.stop_ids.contains(&id) {
            self.writer.finish(&policy.tokenizer)?;
            // What waited for its end may hold a stop, which then came first.
            self.ended = Some(self.stop().unwrap_or(Ended::Answer));
            return Ok(());
        }
        self.writer.push(&policy.tokenizer, id)?;
        self.ended = self.stop();
        let full = self.prompt_tokens + self.ids.len() >= policy.facts.context;
        if self.ended.is_none() && (full || self.ids.len() >= self.request.max_tokens) {
            self.writer.finish(&policy.tokenizer)?;
            self.ended = Some(self.stop().unwrap_or(Ended::Length));
        }
        if self.ended.is_none() {
            self.sequence.grow(id);
        }
        Ok(())
    }

    fn stop(&self) -> Option<Ended> {
        let stop = self.writer.stopped()?;
        Some(match (self.request.step, stop) {
            (true, 0) => Ended::Step,
            (step, stop) => Ended::Stop(self.request.stop[stop - usize::from(step)].clone()),
        })
    }

    fn saw(&mut self, id: u32) {
        if self.request.settings.repetition_penalty != 1.0 && self.known.insert(id) {
            self.seen.push(id);
        }
    }
}

/// A score head stands where the output layer should.
fn refuse_prm(checkpoint: &Checkpoint, config: &Config) -> Result<()> {
    let mut heads = HEADS.into_iter().map(|(marker, _)| marker);
    let head = heads.find(|name| checkpoint.shape(name).is_some());
    let output = output_layer(config);
    let message = match head {
        Some(head) => format!("it has the head {head}: a reward model, which scores and does not write; use PRM.load"),
        None if checkpoint.shape(output).is_none() => {
            format!("it has no output layer ({output}): nothing to write with")
        }
        None => return Ok(()),
    };
    Err(Error::ModelUnsupported {
        path: checkpoint.path().to_owned(),
        message,
    })
}

fn choice_of_files(source: &Source) -> Result<PolicyChoice> {
    let own = match source.path.is_file() {
        true => source.path.parent().unwrap_or(&source.path),
        false => &source.path,
    };
    let mut choice = PolicyChoice::default();
    for folder in source.adapter().into_iter().chain([own]) {
        let path = folder.join("surefoot.json");
        if !path.is_file() {
            continue;
        }
        let read: PolicyChoice = serde_json::from_value(read_json(&path)?).map_err(|error| Error::ModelInvalid {
            message: format!("{error}; a policy's surefoot.json may hold prompt and separator"),
            path,
        })?;
        choice = PolicyChoice {
            prompt: choice.prompt.or(read.prompt),
            separator: choice.separator.or(read.separator),
        };
    }
    Ok(choice)
}

fn on<B: Backend + 'static>(
    backend: B,
    checkpoint: &Checkpoint,
    config: &Config,
    compute: &Compute,
) -> Result<Box<dyn Forward>> {
    let head = Head::language_model(&backend, checkpoint, config)?;
    let backbone = Backbone::load(&backend, checkpoint, config)?;
    let longest = config.max_positions;
    Ok(Box::new(On::new(
        backend,
        backbone,
        head,
        compute,
        longest,
        Kept::Nothing,
    )?))
}
