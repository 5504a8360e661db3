//! Converts between JavaScript and the engine, and decides nothing. Errors cross as data, so that TypeScript can raise
//! its own class; work crosses as `AsyncTask`, never as a thread-safe function.

pub mod search;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use napi::bindgen_prelude::{AsyncTask, Env, Result as NapiResult, Task};
use napi_derive::napi;
use serde::de::DeserializeOwned;
use surefoot_engine::{Event, Job, Kind, Outcome, Solve, Task as Work, guarded};
use surefoot_model::compute::Compute;
use surefoot_model::policy::{Ended, Generated};
use surefoot_model::prefixes;
use surefoot_model::{Error, Overflow, Result, Source, Trace, template};

/// An error as data.
#[napi(object)]
pub struct Failure {
    pub code: String,
    pub message: String,
    /// JSON object.
    pub data: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: error.code().into(),
            message: error.to_string(),
            data: error.data().to_string(),
        }
    }
}

/// A loaded model; the weights live until the last handle is disposed and the last job is done.
#[napi]
pub struct Model {
    shared: Option<Arc<surefoot_engine::Model>>,
    facts: String,
}

#[napi]
impl Model {
    /// What was recognised in the checkpoint, as JSON.
    #[napi(getter)]
    pub fn facts(&self) -> String {
        self.facts.clone()
    }

    /// What the cache of prefixes did and holds.
    #[napi]
    pub fn counters(&self) -> Option<Counters> {
        self.shared.as_ref().map(|model| model.counters().into())
    }

    /// The token ids of a PRM's trace.
    #[napi]
    pub fn encode(&self, problem: String, steps: Vec<String>, system: Option<String>) -> Encoded {
        let encoded = guarded(|| {
            let overflow = Overflow::Refuse;
            self.shared()?.prm()?.encode(&Trace {
                problem,
                steps,
                system,
                overflow,
            })
        });
        match encoded {
            Ok(prompt) => Encoded {
                ids: Some(prompt.ids),
                failure: None,
            },
            Err(error) => Encoded {
                ids: None,
                failure: Some(error.into()),
            },
        }
    }

    #[napi]
    pub fn dispose(&mut self) {
        self.shared = None;
    }
}

impl Model {
    fn shared(&self) -> Result<Arc<surefoot_engine::Model>> {
        self.shared.clone().ok_or_else(disposed)
    }
}

fn disposed() -> Error {
    Error::InvalidArgument {
        argument: "model".into(),
        message: "is disposed".into(),
    }
}

/// Token ids or a failure.
#[napi(object)]
pub struct Encoded {
    pub ids: Option<Vec<u32>>,
    pub failure: Option<Failure>,
}

/// Tokens and bytes.
#[napi(object)]
pub struct Counters {
    pub hits: f64,
    pub computed: f64,
    pub recomputed: f64,
    pub bytes: f64,
    pub peak_bytes: f64,
    pub budget: f64,
}

impl From<prefixes::Counters> for Counters {
    fn from(counters: prefixes::Counters) -> Self {
        Self {
            hits: counters.hits as f64,
            computed: counters.computed as f64,
            recomputed: counters.recomputed as f64,
            bytes: counters.bytes as f64,
            peak_bytes: counters.peak_bytes as f64,
            budget: counters.budget as f64,
        }
    }
}

/// Either a model or a failure.
#[napi(object, object_from_js = false)]
pub struct Loaded {
    pub model: Option<Model>,
    pub failure: Option<Failure>,
}

pub struct Load {
    source: Source,
    device: String,
    /// As JSON: how a PRM is read, or how problems are put to a policy.
    choice: String,
    policy: bool,
    compute: String,
}

impl Task for Load {
    type Output = Result<Arc<surefoot_engine::Model>>;
    type JsValue = Loaded;

    fn compute(&mut self) -> NapiResult<Self::Output> {
        Ok(guarded(|| {
            let compute = Compute {
                device: self.device.parse()?,
                ..parse("compute", &self.compute)?
            };
            match self.policy {
                true => surefoot_engine::load_policy(&self.source, &compute, &parse("options", &self.choice)?),
                false => surefoot_engine::load(&self.source, &compute, &parse("profile", &self.choice)?),
            }
        }))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> NapiResult<Loaded> {
        Ok(match output {
            Ok(model) => Loaded {
                model: Some(Model {
                    facts: match model.kind() {
                        Kind::Prm(prm) => serde_json::to_string(prm.facts()),
                        Kind::Policy(policy) => serde_json::to_string(policy.facts()),
                    }
                    .unwrap_or_default(),
                    shared: Some(model),
                }),
                failure: None,
            },
            Err(error) => Loaded {
                model: None,
                failure: Some(error.into()),
            },
        })
    }
}

fn parse<T: DeserializeOwned>(argument: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::InvalidArgument {
        argument: argument.into(),
        message: error.to_string(),
    })
}

/// Loads a PRM from a folder or a GGUF file. `profile` is a JSON object of choices; `head` a safetensors file with the
/// head, or the folder of a LoRA adapter; `compute` a JSON object of `precision`, `cacheBytes` and `reuse`.
#[napi(ts_return_type = "Promise<Loaded>")]
pub fn load_model(
    path: String,
    device: String,
    profile: String,
    head: Option<String>,
    compute: String,
) -> AsyncTask<Load> {
    AsyncTask::new(Load {
        source: Source {
            path: path.into(),
            head: head.map(PathBuf::from),
        },
        device,
        choice: profile,
        policy: false,
        compute,
    })
}

/// Loads a policy likewise. `choice` is a JSON object of `prompt` and `separator`; `adapter` the folder of a LoRA adapter.
#[napi(ts_return_type = "Promise<Loaded>")]
pub fn load_policy(
    path: String,
    device: String,
    choice: String,
    adapter: Option<String>,
    compute: String,
) -> AsyncTask<Load> {
    AsyncTask::new(Load {
        source: Source {
            path: path.into(),
            head: adapter.map(PathBuf::from),
        },
        device,
        choice,
        policy: true,
        compute,
    })
}

/// Renders a checkpoint's chat template into text.
#[napi]
pub struct ChatTemplate {
    inner: Arc<template::ChatTemplate>,
}

#[napi]
impl ChatTemplate {
    /// The prompt up to the end of the prefix, or a failure.
    #[napi]
    pub fn render(&self, problem: String, system: Option<String>, prefix: String) -> Rendered {
        match guarded(|| self.inner.render(&problem, system.as_deref(), &prefix)) {
            Ok(text) => Rendered {
                text: Some(text),
                failure: None,
            },
            Err(error) => Rendered {
                text: None,
                failure: Some(error.into()),
            },
        }
    }
}

/// A text or a failure.
#[napi(object)]
pub struct Rendered {
    pub text: Option<String>,
    pub failure: Option<Failure>,
}

/// A template or a failure.
#[napi(object, object_from_js = false)]
pub struct LoadedTemplate {
    pub template: Option<ChatTemplate>,
    pub failure: Option<Failure>,
}

pub struct LoadTemplate {
    path: PathBuf,
}

impl Task for LoadTemplate {
    type Output = Result<Arc<template::ChatTemplate>>;
    type JsValue = LoadedTemplate;

    fn compute(&mut self) -> NapiResult<Self::Output> {
        Ok(guarded(|| template::ChatTemplate::load(&self.path).map(Arc::new)))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> NapiResult<LoadedTemplate> {
        Ok(match output {
            Ok(inner) => LoadedTemplate {
                template: Some(ChatTemplate { inner }),
                failure: None,
            },
            Err(error) => LoadedTemplate {
                template: None,
                failure: Some(error.into()),
            },
        })
    }
}

/// Loads the chat template of a folder or a GGUF file.
#[napi(ts_return_type = "Promise<LoadedTemplate>")]
pub fn load_template(path: String) -> AsyncTask<LoadTemplate> {
    AsyncTask::new(LoadTemplate { path: path.into() })
}

/// What became of a job: scores and tokens, texts, or a failure; nothing of these where a search has ended. Or only more of
/// a text, or of a search: then `fresh` or `progress` stands alone.
#[napi(object)]
#[derive(Default)]
pub struct Done {
    pub id: f64,
    pub scores: Option<Vec<f64>>,
    pub tokens: Option<u32>,
    pub truncated: Option<u32>,
    pub texts: Option<Vec<Text>>,
    pub failure: Option<Failure>,
    pub fresh: Option<Fresh>,
    /// JSON: what the driver did (`entries`) and what happened in the search (`events`).
    pub progress: Option<String>,
}

/// More of text `index`.
#[napi(object)]
pub struct Fresh {
    pub index: u32,
    pub text: String,
}

/// A finished text.
#[napi(object)]
pub struct Text {
    pub text: String,
    /// `answer`, `step`, `stop` or `length`.
    pub ended: String,
    pub stop: Option<String>,
    pub prompt_tokens: u32,
    pub ids: Vec<u32>,
    pub logprobs: Vec<f64>,
}

impl From<Generated> for Text {
    fn from(generated: Generated) -> Self {
        let (ended, stop) = match generated.ended {
            Ended::Answer => ("answer", None),
            Ended::Step => ("step", None),
            Ended::Stop(stop) => ("stop", Some(stop)),
            Ended::Length => ("length", None),
        };
        Self {
            text: generated.text,
            ended: ended.into(),
            stop,
            prompt_tokens: generated.prompt_tokens as u32,
            ids: generated.ids,
            logprobs: generated.logprobs,
        }
    }
}

impl From<Event> for Done {
    fn from(event: Event) -> Self {
        let (id, outcome) = match event {
            Event::Text { id, index, text } => {
                let index = index as u32;
                return Self {
                    id: id as f64,
                    fresh: Some(Fresh { index, text }),
                    ..Self::default()
                };
            }
            Event::Progress { id, progress } => {
                return Self {
                    id: id as f64,
                    progress: serde_json::to_string(&progress).ok(),
                    ..Self::default()
                };
            }
            Event::Done { id, outcome } => (id as f64, outcome),
        };
        match outcome {
            Ok(Outcome::Scored {
                scores,
                tokens,
                truncated,
            }) => Self {
                id,
                scores: Some(scores.into_iter().map(f64::from).collect()),
                tokens: Some(tokens as u32),
                truncated: Some(truncated as u32),
                ..Self::default()
            },
            Ok(Outcome::Generated(texts)) => Self {
                id,
                texts: Some(texts.into_iter().map(Text::from).collect()),
                ..Self::default()
            },
            Ok(Outcome::Solved) => Self { id, ..Self::default() },
            Err(error) => Self {
                id,
                failure: Some(error.into()),
                ..Self::default()
            },
        }
    }
}

/// The id of a job, or why there is none.
#[napi(object)]
pub struct Submitted {
    pub id: Option<f64>,
    pub failure: Option<Failure>,
}

impl From<Result<u64>> for Submitted {
    fn from(id: Result<u64>) -> Self {
        match id {
            Ok(id) => Self {
                id: Some(id as f64),
                failure: None,
            },
            Err(error) => Self {
                id: None,
                failure: Some(error.into()),
            },
        }
    }
}

/// The queue of one JavaScript thread.
#[napi]
pub struct Engine {
    shared: Arc<surefoot_engine::Engine>,
}

#[napi]
impl Engine {
    #[napi(constructor)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Queues a trace. Callers take turns. `truncate`: a trace that is too long loses its first tokens.
    #[napi(catch_unwind)]
    pub fn submit(
        &self,
        model: &Model,
        caller: f64,
        problem: String,
        steps: Vec<String>,
        system: Option<String>,
        truncate: bool,
    ) -> Submitted {
        let trace = Trace {
            problem,
            steps,
            system,
            overflow: if truncate {
                Overflow::TruncateLeft
            } else {
                Overflow::Refuse
            },
        };
        self.queue(model, caller, Ok(Work::Score(trace)))
    }

    /// Queues texts to write, as a JSON object says. `streams`: whether their text is told while it is being written.
    #[napi(catch_unwind)]
    pub fn submit_texts(&self, model: &Model, caller: f64, request: String, streams: bool) -> Submitted {
        let request = parse("request", &request);
        self.queue(
            model,
            caller,
            request.map(|request| Work::Generate { request, streams }),
        )
    }

    /// Drives a search with native models to its end, as a JSON object says; `prm`: of what scores, if anything does.
    #[napi(catch_unwind)]
    pub fn solve(
        &self,
        search: &search::Search,
        policy: &Model,
        prm: Option<&Model>,
        caller: f64,
        setting: String,
    ) -> Submitted {
        let solve = parse("setting", &setting).and_then(|setting| {
            Ok(Solve {
                search: search.inner.clone(),
                policy: policy.shared()?,
                prm: prm.map(Model::shared).transpose()?,
                caller: caller as u64,
                setting,
            })
        });
        solve.map(|solve| self.shared.solve(solve)).into()
    }

    /// Ends a search with what is there.
    #[napi(catch_unwind)]
    pub fn stop(&self, id: f64) {
        self.shared.stop(id as u64);
    }

    fn queue(&self, model: &Model, caller: f64, task: Result<Work>) -> Submitted {
        let job = model.shared().and_then(|model| {
            Ok(Job {
                model,
                caller: caller as u64,
                task: task?,
            })
        });
        job.map(|job| self.shared.submit(job)).into()
    }

    #[napi(catch_unwind)]
    pub fn cancel(&self, id: f64) {
        self.shared.cancel(id as u64);
    }

    /// Runs one iteration off the JavaScript thread.
    #[napi(ts_return_type = "Promise<Array<Done>>")]
    pub fn step(&self) -> AsyncTask<Step> {
        AsyncTask::new(Step {
            engine: self.shared.clone(),
        })
    }
}

pub struct Step {
    engine: Arc<surefoot_engine::Engine>,
}

impl Task for Step {
    type Output = Vec<Event>;
    type JsValue = Vec<Done>;

    fn compute(&mut self) -> NapiResult<Self::Output> {
        static START: OnceLock<Instant> = OnceLock::new();
        let start = START.get_or_init(Instant::now);
        Ok(self.engine.step(&|| start.elapsed()))
    }

    fn resolve(&mut self, _: Env, events: Self::Output) -> NapiResult<Vec<Done>> {
        Ok(events.into_iter().map(Done::from).collect())
    }
}
