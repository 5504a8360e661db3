//! Schedules: jobs batched over models, one [`Engine::step`] at a time. It holds no clock, no thread and no callback:
//! the caller brings the time, drives the steps and hands on the events.

mod pool;
mod registry;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use registry::load;
use surefoot_model::prefixes::Sequence;
use surefoot_model::prompt::Prompt;
use surefoot_model::{Error, Prm, Result, Trace};

/// How long one step should take, where the weights allow.
const STEP: Duration = Duration::from_millis(100);
/// Fewest rows of a full step: below, reading the weights and setting out costs more than it should.
const FEWEST_ROWS: usize = 128;
/// Fewest rows of a caller's share of a step.
const FEWEST_OF_A_CALLER: usize = 32;
/// Rows of a first step, before a rate is measured.
const FIRST_ROWS: usize = 128;
/// Most rows of one step: bounds the memory of the activations.
const MOST_ROWS: usize = 4096;
/// Most tokens that a step looks up, known or not: bounds the time of a step without rows.
const MOST_TOKENS: usize = 4 * MOST_ROWS;

/// A loaded model, shared by the engines of all threads.
pub struct Model {
    prm: Prm,
    /// Held by the engine whose pass is under way: a thread of the pool must never wait for another's.
    turn: Mutex<()>,
    /// Measured, in rows a second; 0 before the first step.
    rate: AtomicU64,
}

impl Model {
    fn new(prm: Prm) -> Self {
        Self {
            prm,
            turn: Mutex::default(),
            rate: AtomicU64::new(0),
        }
    }

    pub fn prm(&self) -> &Prm {
        &self.prm
    }

    /// How many rows make a step of about [`STEP`].
    fn rows_per_step(&self) -> usize {
        match self.rate.load(Ordering::Relaxed) {
            0 => FIRST_ROWS,
            rate => ((rate as f64 * STEP.as_secs_f64()) as usize).clamp(FEWEST_ROWS, MOST_ROWS),
        }
    }

    fn measured(&self, rows: usize, time: Duration) {
        // A step of few rows tells little about a full one.
        if rows >= FEWEST_ROWS {
            let rate = rows as f64 / time.as_secs_f64().max(1e-6);
            self.rate.store(rate.max(1.0) as u64, Ordering::Relaxed);
        }
    }
}

pub type JobId = u64;
/// Whoever submits jobs. The callers of an engine take turns, however many jobs each has.
pub type CallerId = u64;

/// A trace to score.
pub struct Job {
    pub model: Arc<Model>,
    pub caller: CallerId,
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
    /// Of the prompt, whether they were computed or known.
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
    /// Those with jobs. Whose turn it is comes first.
    callers: VecDeque<Caller>,
    /// The models of the last steps by address, the latest last.
    served: Vec<usize>,
    /// The flags of jobs in the step under way.
    running: Vec<(JobId, Arc<AtomicBool>)>,
}

struct Caller {
    id: CallerId,
    /// Oldest first.
    jobs: VecDeque<Entry>,
}

struct Entry {
    id: JobId,
    job: Job,
    /// Known once a step has looked at the job.
    work: Option<Work>,
    failure: Option<Error>,
    cancelled: Arc<AtomicBool>,
}

/// A job on its way through the model.
struct Work {
    prompt: Prompt,
    sequences: Vec<Sequence>,
}

impl State {
    fn jobs_of(&mut self, id: CallerId) -> &mut VecDeque<Entry> {
        let at = self.callers.iter().position(|caller| caller.id == id);
        let at = at.unwrap_or_else(|| {
            let jobs = VecDeque::new();
            self.callers.push_back(Caller { id, jobs });
            self.callers.len() - 1
        });
        &mut self.callers[at].jobs
    }

    /// The model that was served least recently of those with jobs.
    fn next_model(&mut self) -> Option<Arc<Model>> {
        let jobs = self.callers.iter().flat_map(|caller| &caller.jobs);
        let mut models: Vec<&Arc<Model>> = Vec::new();
        for model in jobs.map(|entry| &entry.job.model) {
            if !models.iter().any(|other| Arc::ptr_eq(other, model)) {
                models.push(model);
            }
        }
        let address = |model: &Arc<Model>| Arc::as_ptr(model) as usize;
        self.served
            .retain(|&served| models.iter().any(|model| address(model) == served));
        let turn = |model: &&&Arc<Model>| self.served.iter().position(|&served| served == address(model));
        let next = models.iter().min_by_key(turn).map(|&model| model.clone())?;
        self.served.retain(|&served| served != address(&next));
        self.served.push(address(&next));
        Some(next)
    }
}

impl Engine {
    /// Queues a job. Cheap: nothing is tokenised or computed here.
    pub fn submit(&self, job: Job) -> JobId {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.jobs_of(job.caller).push_back(Entry {
            id,
            job,
            work: None,
            failure: None,
            cancelled: Arc::default(),
        });
        id
    }

    /// Drops a job: no event will tell of it. Work under way stops at the next layer when nobody else waits for it.
    pub fn cancel(&self, id: JobId) {
        let mut state = self.lock();
        for caller in &mut state.callers {
            // Whoever cancels many does so from the oldest on: each is found, and taken out, at the front.
            if let Some(at) = caller.jobs.iter().position(|entry| entry.id == id) {
                caller.jobs.remove(at);
                break;
            }
        }
        state.callers.retain(|caller| !caller.jobs.is_empty());
        if let Some((_, cancelled)) = state.running.iter().find(|(running, _)| *running == id) {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Jobs that wait for a step.
    pub fn waiting(&self) -> usize {
        self.lock().callers.iter().map(|caller| caller.jobs.len()).sum()
    }

    /// Runs one iteration for the model whose turn it is: rows of its callers' jobs by turns, as many as fit into about
    /// 100 ms. A long trace takes several. Returns what is finished. `now` is any steady clock.
    pub fn step(&self, now: &(dyn Fn() -> Duration + Sync)) -> Vec<Event> {
        let Some(model) = self.lock().next_model() else {
            return vec![];
        };
        let (mut batch, mut events) = (Vec::new(), Vec::new());
        let result = {
            let _turn = model.turn.lock().unwrap_or_else(PoisonError::into_inner);
            guarded(|| pool::run(|| guarded(|| self.pass(&model, &mut batch, &mut events, now)))?)
        };
        let mut state = self.lock();
        state.running.clear();
        let mut finished = Vec::new();
        for mut entry in batch.into_iter().rev() {
            if entry.is_cancelled() {
                continue;
            }
            let outcome = match (&result, entry.failure.take()) {
                (_, Some(error)) => Some(Err(error)),
                (Err(Error::Internal { message }), None) => Some(Err(internal(message.clone()))),
                (Err(error), None) => Some(Err(internal(error.to_string()))),
                (Ok(()), None) => entry.outcome(),
            };
            match outcome {
                Some(outcome) => finished.push(Event { id: entry.id, outcome }),
                None => state.jobs_of(entry.job.caller).push_front(entry),
            }
        }
        events.extend(finished.into_iter().rev());
        events
    }

    /// Plans and computes one pass. Jobs that it has begun are in `batch`; those that cannot be tokenised become events.
    fn pass(
        &self,
        model: &Arc<Model>,
        batch: &mut Vec<Entry>,
        events: &mut Vec<Event>,
        now: &(dyn Fn() -> Duration + Sync),
    ) -> Result<()> {
        let mut pass = model.prm.iteration();
        let mut turns = self.turns(model);
        let rows = model.rows_per_step();
        let share = (rows / turns.len().max(1)).max(FEWEST_OF_A_CALLER);
        let (mut tokens, mut goes_on) = (0, true);
        while goes_on {
            goes_on = false;
            for turn in &mut turns {
                let left = rows.saturating_sub(pass.rows());
                if left == 0 || tokens >= MOST_TOKENS {
                    goes_on = false;
                    break;
                }
                let Some((entry, sequence)) = self.next_sequence(turn, model, batch, events) else {
                    continue;
                };
                let entry = &mut batch[entry];
                if let (Some(work), None) = (&mut entry.work, &entry.failure) {
                    let sequence = &mut work.sequences[sequence];
                    tokens += sequence.length();
                    entry.failure = pass.plan(sequence, share.min(left)).err();
                }
                turn.served = true;
                goes_on = true;
            }
        }
        self.rotate(&turns);
        let start = now();
        pass.run(&|| batch.iter().all(Entry::is_cancelled))?;
        model.measured(pass.rows(), now().saturating_sub(start));
        for work in batch.iter_mut().filter_map(|entry| entry.work.as_mut()) {
            work.sequences.iter_mut().for_each(|sequence| pass.collect(sequence));
        }
        Ok(())
    }

    fn turns(&self, model: &Arc<Model>) -> Vec<Turn> {
        let state = self.lock();
        let callers = state.callers.iter().filter(|caller| caller.job_of(model).is_some());
        callers.map(|caller| Turn::new(caller.id)).collect()
    }

    /// Whoever was served comes last.
    fn rotate(&self, turns: &[Turn]) {
        let mut state = self.lock();
        let served = |caller: &Caller| turns.iter().any(|turn| turn.served && turn.caller == caller.id);
        let (served, waiting): (Vec<_>, Vec<_>) = state.callers.drain(..).partition(served);
        state.callers.extend(waiting.into_iter().chain(served));
    }

    /// The next sequence of a caller that is not done: which of the batch's entries, which of its sequences.
    fn next_sequence(
        &self,
        turn: &mut Turn,
        model: &Arc<Model>,
        batch: &mut Vec<Entry>,
        events: &mut Vec<Event>,
    ) -> Option<(usize, usize)> {
        while turn.ready.is_empty() {
            let mut entry = self.take_job(turn.caller, model)?;
            let work = match entry.work.take() {
                Some(work) => Ok(work),
                None => guarded(|| Work::new(&entry.job)),
            };
            match work {
                Ok(work) => {
                    let open = work.sequences.iter().enumerate().filter(|(_, one)| !one.is_done());
                    turn.ready.extend(open.map(|(sequence, _)| (batch.len(), sequence)));
                    entry.work = Some(work);
                    batch.push(entry);
                }
                Err(error) if !entry.is_cancelled() => events.push(Event {
                    id: entry.id,
                    outcome: Err(error),
                }),
                Err(_) => {}
            }
        }
        turn.ready.pop_front()
    }

    /// The oldest job of a caller for a model. It counts as running from here on.
    fn take_job(&self, caller: CallerId, model: &Arc<Model>) -> Option<Entry> {
        let mut state = self.lock();
        let caller = state.callers.iter_mut().find(|other| other.id == caller)?;
        let entry = caller.jobs.remove(caller.job_of(model)?)?;
        state.callers.retain(|caller| !caller.jobs.is_empty());
        state.running.push((entry.id, entry.cancelled.clone()));
        Some(entry)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's part of a pass.
struct Turn {
    caller: CallerId,
    /// Sequences of the batch's entries that were not planned yet.
    ready: VecDeque<(usize, usize)>,
    served: bool,
}

impl Turn {
    fn new(caller: CallerId) -> Self {
        Self {
            caller,
            ready: VecDeque::new(),
            served: false,
        }
    }
}

impl Caller {
    /// Where its oldest job for a model stands.
    fn job_of(&self, model: &Arc<Model>) -> Option<usize> {
        self.jobs.iter().position(|entry| Arc::ptr_eq(model, &entry.job.model))
    }
}

impl Entry {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Once all of its sequences are done.
    fn outcome(&self) -> Option<Result<Outcome>> {
        let work = self.work.as_ref()?;
        if !work.sequences.iter().all(Sequence::is_done) {
            return None;
        }
        let scored = self.job.model.prm.read(&work.prompt, &work.sequences);
        Some(scored.map(|scored| Outcome {
            scores: scored.scores,
            tokens: work.prompt.ids.len(),
            truncated: work.prompt.truncated,
        }))
    }
}

impl Work {
    fn new(job: &Job) -> Result<Self> {
        let prompt = job.model.prm.encode(&job.trace)?;
        let sequences = job.model.prm.sequences(&prompt);
        Ok(Self { prompt, sequences })
    }
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
