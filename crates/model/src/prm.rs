//! A process reward model: a checkpoint with its profile, ready to score.

use serde::Serialize;

use crate::backbone::{Backbone, Batch, refuse_unknown};
use crate::backend::Backend;
use crate::candle::Candle;
use crate::checkpoint::{self, Checkpoint, Source};
use crate::choose::{self, ProfileChoice};
use crate::config::Config;
use crate::device::{self, Choice};
use crate::error::{Error, Result};
use crate::head::{self, Head, HeadKind};
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

/// The backbone and the head, whatever the backend.
trait Forward: Send + Sync {
    fn logits(&self, batch: &Batch, reads: &[usize], cancelled: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>>;
}

struct On<B: Backend> {
    backend: B,
    backbone: Backbone<B>,
    head: Head<B>,
}

impl<B: Backend> Forward for On<B> {
    fn logits(&self, batch: &Batch, reads: &[usize], cancelled: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>> {
        let hidden = self.backbone.forward(&self.backend, batch, reads, cancelled)?;
        self.head.logits(&self.backend, hidden)
    }
}

impl Prm {
    /// Reads a checkpoint and surefoot.json (a [`ProfileChoice`]) where its folder has one. What the caller chooses wins
    /// over surefoot.json, which wins over what is detected. An adapter's folder comes before its base's.
    pub fn load(source: &Source, device: Choice, choice: &ProfileChoice) -> Result<Self> {
        let device = device::open(device)?;
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
        let name = device::name(&device);
        let backend = Candle::new(device);
        let forward = On {
            head: Head::load(
                &backend,
                &checkpoint,
                &config,
                detected.kind,
                profile.candidates.as_ref(),
                &tokenizer,
            )?,
            backbone: Backbone::load(&backend, &checkpoint, &config)?,
            backend,
        };
        let limit = profile
            .max_length
            .map_or(config.max_positions, |length| length.min(config.max_positions));
        let template = tokenizer_files.chat_template.as_deref();
        let encoder = Encoder::new(profile.clone(), tokenizer, template, limit)?;
        let facts = Facts {
            family: config.family.name(),
            evidence: format!("{}; {}", detected.evidence, chosen.evidence),
            parameters: checkpoint.parameters(checkpoint.names().filter(|name| *name != "lm_head.weight")),
            dtype: checkpoint.dtypes().join("+"),
            device: name,
            hub_id: hub_id.filter(|id| choose::is_of_hub(named, id)),
            context: limit,
            separator_ids: encoder.separator().to_vec(),
            architectures: config.architectures,
            profile,
        };
        Ok(Self {
            forward: Box::new(forward),
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

    /// Scores prompts together. A prompt whose scores are not finite fails alone; any other error fails all.
    pub fn score(&self, prompts: &[&Prompt], cancelled: &dyn Fn() -> bool) -> Result<Vec<Result<Scored>>> {
        let sequences = prompts
            .iter()
            .flat_map(|prompt| prompt.sequences.iter().map(|rows| &prompt.ids[rows.clone()]));
        let batch = Batch::new(sequences);
        let mut reads = Vec::new();
        let mut start = 0;
        for prompt in prompts {
            reads.extend(prompt.reads.iter().map(|read| start + read));
            start += prompt.ids.len();
        }
        let mut rows = self.forward.logits(&batch, &reads, cancelled)?.into_iter();
        let results = prompts.iter().map(|prompt| {
            let logits: Vec<_> = rows.by_ref().take(prompt.reads.len()).collect();
            self.read(prompt, logits)
        });
        Ok(results.collect())
    }

    fn read(&self, prompt: &Prompt, logits: Vec<Vec<f32>>) -> Result<Scored> {
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
