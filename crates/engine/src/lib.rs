//! Schedules: jobs batched over models, one [`Engine::step`] at a time. It holds no clock, no thread and no callback:
//! the caller brings the time, drives the steps and hands on the events.

mod pool;
mod registry;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rayon::prelude::*;
pub use registry::load;
use surefoot_model::prm::Scored;
use surefoot_model::prompt::Prompt;
use surefoot_model::{Error, Prm, Result, Trace};

/// How long one step should take.
const STEP: Duration = Duration::from_millis(100);
/// Tokens of a first step, before a rate is measured.
const FIRST_TOKENS: usize = 512;
/// Most tokens of one step: bounds the memory of the activations.
const MOST_TOKENS: usize = 4096;

/// A loaded model, shared by the engines of all threads.
pub struct Model {
    prm: Prm,
    /// Measured, in tokens a second; 0 before the first step.
    rate: AtomicU64,
}

impl Model {
    fn new(prm: Prm) -> Self {
        Self {
            prm,
            rate: AtomicU64::new(0),
        }
    }

    pub fn prm(&self) -> &Prm {
        &self.prm
    }

    /// How many tokens make a step of about [`STEP`].
    fn tokens_per_step(&self) -> usize {
        match self.rate.load(Ordering::Relaxed) {
            0 => FIRST_TOKENS,
            rate => ((rate as f64 * STEP.as_secs_f64()) as usize).clamp(1, MOST_TOKENS),
        }
    }

    fn measured(&self, tokens: usize, time: Duration) {
        let rate = tokens as f64 / time.as_secs_f64().max(1e-6);
        self.rate.store(rate.max(1.0) as u64, Ordering::Relaxed);
    }
}

pub type JobId = u64;

/// A trace to score.
pub struct Job {
    pub model: Arc<Model>,
    pub trace: Trace,
}

/// What became of a job.
#[derive(Debug)]
pub struct Event {
    pub id: JobId,
    pub outcome: Result<Outcome>,
}

#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// One per step.
    pub scores: Vec<f32>,
    /// Tokens that the model read.
    pub tokens: usize,
    /// Tokens that were cut from the trace's beginning.
    pub truncated: usize,
}

/// A queue of jobs. One per JavaScript thread; all methods may be called while a step runs on another thread.
#[derive(Default)]
pub struct Engine {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: JobId,
    queue: VecDeque<Entry>,
    /// The flags of jobs that are being computed.
    running: Vec<(JobId, Arc<AtomicBool>)>,
}

struct Entry {
    id: JobId,
    job: Job,
    /// Known once a step has looked at the job.
    prompt: Option<Prompt>,
    cancelled: Arc<AtomicBool>,
}

impl Engine {
    /// Queues a job. Cheap: nothing is tokenised or computed here.
    pub fn submit(&self, job: Job) -> JobId {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.queue.push_back(Entry {
            id,
            job,
            prompt: None,
            cancelled: Arc::default(),
        });
        id
    }

    /// Drops a job: no event will tell of it. Work under way stops at the next layer when nobody else waits for it.
    pub fn cancel(&self, id: JobId) {
        let mut state = self.lock();
        state.queue.retain(|entry| entry.id != id);
        if let Some((_, cancelled)) = state.running.iter().find(|(running, _)| *running == id) {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Jobs that wait for a step.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Runs one iteration: the oldest job and those after it that share its model, as many as fit into about 100 ms.
    /// Returns what is finished; nothing when no job waits. `now` is any steady clock.
    pub fn step(&self, now: &dyn Fn() -> Duration) -> Vec<Event> {
        let mut events = Vec::new();
        let batch = self.take_batch(&mut events);
        let Some(first) = batch.first() else {
            return events;
        };
        let model = first.job.model.clone();
        let prompts: Vec<&Prompt> = batch.iter().filter_map(|entry| entry.prompt.as_ref()).collect();
        let tokens = prompts.iter().map(|prompt| prompt.ids.len()).sum();
        let start = now();
        let results = score(&model.prm, &prompts, &|| batch.iter().all(Entry::is_cancelled));
        if results.is_ok() {
            model.measured(tokens, now().saturating_sub(start));
        }
        self.lock().running.clear();
        let outcomes: Vec<Result<Outcome>> = match results {
            Ok(results) => results
                .into_iter()
                .zip(&prompts)
                .map(|(scored, prompt)| {
                    let Scored { scores, .. } = scored?;
                    Ok(Outcome {
                        scores,
                        tokens: prompt.ids.len(),
                        truncated: prompt.truncated,
                    })
                })
                .collect(),
            Err(error) => batch.iter().map(|_| Err(internal(error.to_string()))).collect(),
        };
        let finished = batch.iter().zip(outcomes).filter(|(entry, _)| !entry.is_cancelled());
        events.extend(finished.map(|(entry, outcome)| Event { id: entry.id, outcome }));
        events
    }

    /// Takes the jobs of the next iteration and tokenises them; those that cannot be tokenised become events.
    fn take_batch(&self, events: &mut Vec<Event>) -> Vec<Entry> {
        let mut batch: Vec<Entry> = Vec::new();
        let mut tokens = 0;
        while let Some(mut entry) = self.take_job(batch.first().map(|first| &first.job.model)) {
            let prompt = match entry.prompt.take() {
                Some(prompt) => Ok(prompt),
                None => encode(&entry.job),
            };
            match prompt {
                Err(error) => {
                    if !entry.is_cancelled() {
                        events.push(Event {
                            id: entry.id,
                            outcome: Err(error),
                        });
                    }
                }
                Ok(prompt) => {
                    let length = prompt.ids.len();
                    entry.prompt = Some(prompt);
                    if !batch.is_empty() && tokens + length > entry.job.model.tokens_per_step() {
                        self.put_back(entry);
                        break;
                    }
                    tokens += length;
                    batch.push(entry);
                }
            }
        }
        batch
    }

    /// The oldest job, or the oldest of one model. It counts as running from here on.
    fn take_job(&self, model: Option<&Arc<Model>>) -> Option<Entry> {
        let mut state = self.lock();
        let at = state
            .queue
            .iter()
            .position(|entry| model.is_none_or(|model| Arc::ptr_eq(model, &entry.job.model)))?;
        let entry = state.queue.remove(at)?;
        state.running.push((entry.id, entry.cancelled.clone()));
        Some(entry)
    }

    fn put_back(&self, entry: Entry) {
        let mut state = self.lock();
        state.running.retain(|(id, _)| *id != entry.id);
        if !entry.is_cancelled() {
            state.queue.push_front(entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

fn encode(job: &Job) -> Result<Prompt> {
    guarded(|| job.model.prm.encode(&job.trace))
}

fn score(prm: &Prm, prompts: &[&Prompt], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Vec<Result<Scored>>> {
    guarded(|| {
        pool::run(|| {
            let shares = shares(prompts, rayon::current_num_threads());
            let results = shares.par_iter().map(|share| prm.score(share, &|| cancelled()));
            Ok(results.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        })?
    })
}

/// Cuts prompts into at most `parts` runs of about as many tokens each: a small model keeps one core busy, not two.
fn shares<'a, 'b>(prompts: &'a [&'b Prompt], parts: usize) -> Vec<&'a [&'b Prompt]> {
    let tokens: usize = prompts.iter().map(|prompt| prompt.ids.len()).sum();
    let mut before = 0;
    let share_of = |prompt: &&Prompt| {
        let share = before * parts / tokens.max(1);
        before += prompt.ids.len();
        share
    };
    let numbers: Vec<usize> = prompts.iter().map(share_of).collect();
    let mut rest = prompts;
    let mut shares = Vec::new();
    for same in numbers.chunk_by(|a, b| a == b) {
        let (share, others) = rest.split_at(same.len());
        shares.push(share);
        rest = others;
    }
    shares
}

/// A panic in here is a bug, and becomes an error: it never reaches the host.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(internal(text.unwrap_or_else(|| "panic".into())))
    })
}

fn internal(message: String) -> Error {
    Error::Internal { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_order_and_balance_tokens() {
        let prompt = |length: usize| Prompt {
            ids: vec![0; length],
            sequences: vec![],
            reads: vec![length - 1],
            truncated: 0,
        };
        let prompts = [prompt(10), prompt(10), prompt(30), prompt(1), prompt(9)];
        let all: Vec<&Prompt> = prompts.iter().collect();
        let lengths = |parts| shares(&all, parts).iter().map(|share| share.len()).collect::<Vec<_>>();
        assert_eq!(lengths(1), [5]);
        assert_eq!(lengths(2), [3, 2]);
        assert_eq!(shares(&all, 2).concat(), all);
        assert_eq!(lengths(60).iter().sum::<usize>(), 5);
        assert!(shares(&[], 2).is_empty());
    }
}
