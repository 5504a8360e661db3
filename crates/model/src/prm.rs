//! A process reward model: a checkpoint with its profile, ready to score.

use serde::Serialize;

use crate::backbone::{Backbone, refuse_unknown};
use crate::backend::Backend;
use crate::candle::Candle;
use crate::checkpoint::{self, Checkpoint, Source};
use crate::choose::{self, ProfileChoice};
use crate::compute::{Compute, Precision};
use crate::config::Config;
use crate::cpu::Cpu;
use crate::device::{self, Opened};
use crate::error::{Error, Result};
pub use crate::forward::Iteration;
use crate::forward::{Forward, On};
use crate::head::{self, Head, HeadKind};
use crate::prefixes::{Counters, Kept, Sequence};
use crate::profile::Profile;
use crate::prompt::{Encoder, Prompt, Trace};
use crate::tokenizer::Tokenizer;

pub struct Prm {
    forward: Box<dyn Forward>,
    encoder: Encoder,
    facts: Facts,
}

/// What was recognised in a checkpoint, and from which evidence.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    pub family: &'static str,
    /// `org/name` where the path shows it.
    pub hub_id: Option<String>,
    pub architectures: Vec<String>,
    pub profile: Profile,
    /// The ids of the profile's separator.
    pub separator_ids: Vec<u32>,
    pub evidence: String,
    /// Of the backbone and the head.
    pub parameters: usize,
    /// Of the stored weights.
    pub dtype: String,
    pub device: &'static str,
    /// The instruction set of our own kernels, where they compute.
    pub isa: Option<&'static str>,
    pub precision: Precision,
    /// The longest trace, in tokens.
    pub context: usize,
}

/// A prompt's head outputs and scores, one per step.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    pub scores: Vec<f32>,
    /// As the head gave them: one to three numbers a step.
    pub logits: Vec<Vec<f32>>,
}

impl Prm {
    /// Reads a checkpoint and surefoot.json (a [`ProfileChoice`]) where its folder has one. What the caller chooses wins
    /// over surefoot.json, which wins over what is detected. An adapter's folder comes before its base's.
    pub fn load(source: &Source, compute: &Compute, choice: &ProfileChoice) -> Result<Self> {
        let device = device::open(compute.device)?;
        let source = source.resolve()?;
        let named = source.adapter().unwrap_or(&source.path);
        let hub_id = choose::hub_id(named);
        let by_caller = *choice != ProfileChoice::default();
        let (of_files, named_in) = ProfileChoice::of_source(&source)?;
        let choice = choice.over(&of_files);
        choose::refuse_known(named, hub_id.as_deref(), &choice)?;
        let checkpoint = Checkpoint::open(&source)?;
        let (config_json, config_path) = checkpoint.config()?;
        let config = Config::parse(&config_json, &config_path)?;
        let detected = head::detect(&checkpoint, &config)?;
        refuse_unknown(&checkpoint, &config, &detected.tensors)?;
        let chosen = choose::choose(detected.kind, &config, &config_json, hub_id.as_deref(), &choice);
        let chosen = match chosen {
            Err(Error::InvalidArgument { message, .. }) if !by_caller && named_in.is_some() => {
                return Err(Error::ModelInvalid {
                    path: named_in.unwrap_or_default(),
                    message,
                });
            }
            Err(error) if detected.kind == HeadKind::LmCandidates => {
                // ReasonFlux-PRM-1.5B and rStar's PPM keep their heads so.
                let pickle = checkpoint::pickle_in(&source.path);
                return Err(pickle.map_or(error, |path| Error::UnsafeFormat { path }));
            }
            chosen => chosen?,
        };
        let profile = chosen.profile;
        let tokenizer_files = checkpoint.tokenizer()?;
        let tokenizer = Tokenizer::new(&tokenizer_files, config.vocab_size)?;
        let limit = profile
            .max_length
            .map_or(config.max_positions, |length| length.min(config.max_positions));
        let name = device.name();
        let parts = Parts {
            checkpoint: &checkpoint,
            config: &config,
            kind: detected.kind,
            profile: &profile,
            tokenizer: &tokenizer,
            compute,
            limit,
        };
        let mut isa = None;
        let forward = match device {
            Opened::Cpu => {
                let cpu = Cpu::new(compute.isa, compute.precision.into())?;
                isa = Some(cpu.isa().name());
                parts.on(cpu)?
            }
            Opened::Candle(device) => parts.on(Candle::new(device))?,
        };
        let template = tokenizer_files.chat_template.as_deref();
        let encoder = Encoder::new(profile.clone(), tokenizer, template, limit)?;
        let facts = Facts {
            family: config.family.name(),
            evidence: format!("{}; {}", detected.evidence, chosen.evidence),
            parameters: checkpoint.parameters(checkpoint.names().filter(|name| *name != "lm_head.weight")),
            dtype: checkpoint.dtypes().join("+"),
            device: name,
            isa,
            precision: compute.precision,
            hub_id: hub_id.filter(|id| choose::is_of_hub(named, id)),
            context: limit,
            separator_ids: encoder.separator().to_vec(),
            architectures: config.architectures,
            profile,
        };
        Ok(Self {
            forward,
            encoder,
            facts,
        })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Token ids and read positions of a trace.
    pub fn encode(&self, trace: &Trace) -> Result<Prompt> {
        self.encoder.encode(trace)
    }

    /// What a prompt's sequences are to the cache.
    pub fn sequences(&self, prompt: &Prompt) -> Vec<Sequence> {
        let sequences = prompt.sequences.iter().map(|rows| {
            let reads = prompt.reads.iter().filter(|read| rows.contains(read));
            let reads = reads.map(|read| read - rows.start).collect();
            Sequence::new(prompt.ids[rows.clone()].to_vec(), reads)
        });
        sequences.collect()
    }

    /// Begins a forward pass; waits for the one under way.
    pub fn iteration(&self) -> Box<dyn Iteration + '_> {
        self.forward.iteration()
    }

    /// What the cache of prefixes did, as of the last pass.
    pub fn counters(&self) -> Counters {
        self.forward.counters()
    }

    /// Scores prompts in passes of at most `rows` rows. A prompt whose scores are not finite fails alone; any other error
    /// fails all.
    pub fn score(&self, prompts: &[&Prompt], rows: usize, cancelled: &dyn Fn() -> bool) -> Result<Vec<Result<Scored>>> {
        let mut work: Vec<Vec<Sequence>> = prompts.iter().map(|prompt| self.sequences(prompt)).collect();
        loop {
            let mut pass = self.iteration();
            let mut open: Vec<_> = work.iter_mut().flatten().filter(|one| !one.is_done()).collect();
            if open.is_empty() {
                break;
            }
            for sequence in &mut open {
                let left = rows.saturating_sub(pass.rows());
                if left > 0 {
                    pass.plan(sequence, left)?;
                }
            }
            pass.run(cancelled)?;
            for sequence in open {
                pass.collect(sequence);
            }
        }
        let results = prompts.iter().zip(&work).map(|(prompt, work)| self.read(prompt, work));
        Ok(results.collect())
    }

    /// The scores of a prompt whose sequences are done.
    pub fn read(&self, prompt: &Prompt, sequences: &[Sequence]) -> Result<Scored> {
        let outputs: Option<Vec<_>> = sequences.iter().map(Sequence::outputs).collect();
        let logits: Vec<Vec<f32>> = outputs
            .into_iter()
            .flatten()
            .flatten()
            .map(|row| row.to_vec())
            .collect();
        if logits.len() != prompt.reads.len() {
            return Err(Error::Internal {
                message: format!("{} scores for {} steps", logits.len(), prompt.reads.len()),
            });
        }
        let mut scores = Vec::with_capacity(logits.len());
        for (step, row) in logits.iter().enumerate() {
            let score = self.facts.profile.activation.score(row)?;
            if let Some(&value) = row.iter().chain([&score]).find(|value| !value.is_finite()) {
                return Err(Error::NotFinite { step, value });
            }
            scores.push(score);
        }
        Ok(Scored { scores, logits })
    }
}

/// What the weights of a model are made from.
struct Parts<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a Config,
    kind: HeadKind,
    profile: &'a Profile,
    tokenizer: &'a Tokenizer,
    compute: &'a Compute,
    /// The longest sequence.
    limit: usize,
}

impl Parts<'_> {
    fn on<B: Backend + 'static>(&self, backend: B) -> Result<Box<dyn Forward>> {
        let candidates = self.profile.candidates.as_ref();
        let head = Head::load(
            &backend,
            self.checkpoint,
            self.config,
            self.kind,
            candidates,
            self.tokenizer,
        )?;
        let backbone = Backbone::load(&backend, self.checkpoint, self.config)?;
        Ok(Box::new(On::new(
            backend,
            backbone,
            head,
            self.compute,
            self.limit,
            Kept::Outputs,
        )?))
    }
}
