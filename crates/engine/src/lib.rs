//! Schedules: jobs batched over models, one [`Engine::step`] at a time. It holds no clock, no thread and no callback:
//! the caller brings the time, drives the steps and hands on the events.

mod model;
mod pool;
mod registry;
mod solve;
mod work;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use model::{Kind, Model};
pub use registry::{load, load_policy};
pub use solve::{Entry, Progress, Setting, Solve, Told, Written};
use solve::{Signals, Solving};
use surefoot_model::{Error, Result};
pub use work::{Outcome, Task};
use work::{Work, internal};

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

pub type JobId = u64;
/// Whoever submits jobs. The callers of an engine take turns, however many jobs each has.
pub type CallerId = u64;

pub struct Job {
    pub model: Arc<Model>,
    pub caller: CallerId,
    pub task: Task,
}

/// What became of a job.
#[derive(Debug)]
pub enum Event {
    /// More of the text of sample `index`, which is still being written.
    Text { id: JobId, index: usize, text: String },
    /// What a search did that is being driven.
    Progress { id: JobId, progress: Progress },
    /// The last of a job.
    Done { id: JobId, outcome: Result<Outcome> },
}

/// A queue of jobs. One per JavaScript thread; all methods may be called while a step runs on another thread.
#[derive(Default)]
pub struct Engine {
    state: Mutex<State>,
    /// The searches that are being driven. Nobody but a step looks at them.
    solving: Mutex<Vec<Solving>>,
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
    /// The searches that are not at their end.
    searches: HashMap<JobId, Arc<Signals>>,
    /// Those among them that no step has seen.
    new_searches: Vec<Solving>,
}

struct Caller {
    id: CallerId,
    /// Oldest first.
    jobs: VecDeque<Queued>,
}

struct Queued {
    id: JobId,
    job: Job,
    /// Known once a step has looked at the job.
    work: Option<Work>,
    failure: Option<Error>,
    cancelled: Arc<AtomicBool>,
    /// Of the search that it is a job of.
    signals: Option<Arc<Signals>>,
}

impl State {
    fn jobs_of(&mut self, id: CallerId) -> &mut VecDeque<Queued> {
        let at = self.callers.iter().position(|caller| caller.id == id);
        let at = at.unwrap_or_else(|| {
            let jobs = VecDeque::new();
            self.callers.push_back(Caller { id, jobs });
            self.callers.len() - 1
        });
        &mut self.callers[at].jobs
    }

    fn next_id(&mut self) -> JobId {
        self.last_id += 1;
        self.last_id
    }

    fn has_jobs(&self, model: &Arc<Model>) -> bool {
        self.callers.iter().any(|caller| caller.job_of(model).is_some())
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
        self.queue(job, None)
    }

    /// Queues a job of a search, whose outcome the search hears.
    fn submit_for(&self, signals: &Arc<Signals>, job: Job) -> JobId {
        self.queue(job, Some(signals.clone()))
    }

    fn queue(&self, job: Job, signals: Option<Arc<Signals>>) -> JobId {
        let mut state = self.lock();
        let id = state.next_id();
        state.jobs_of(job.caller).push_back(Queued {
            id,
            job,
            work: None,
            failure: None,
            cancelled: Arc::default(),
            signals,
        });
        id
    }

    /// Drives a search to its end: it has texts written and scored by jobs of its own, within the steps. Its last event is
    /// `Done`; the outcome is the search's own to tell.
    pub fn solve(&self, solve: Solve) -> JobId {
        let mut state = self.lock();
        let id = state.next_id();
        let signals: Arc<Signals> = Arc::default();
        state.searches.insert(id, signals.clone());
        state.new_searches.push(Solving::new(id, signals, solve));
        id
    }

    /// Ends a search with what it was told by now.
    pub fn stop(&self, id: JobId) {
        if let Some(signals) = self.lock().searches.get(&id) {
            signals.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Drops a job: no event will tell of it. Work under way stops at the next layer when nobody else waits for it.
    pub fn cancel(&self, id: JobId) {
        let mut state = self.lock();
        if let Some(signals) = state.searches.remove(&id) {
            signals.cancelled.store(true, Ordering::Relaxed);
        }
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

    /// Jobs and searches that wait for a step.
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        let jobs = state.callers.iter().flat_map(|caller| &caller.jobs);
        state.searches.len() + jobs.filter(|entry| entry.signals.is_none()).count()
    }

    /// Works for the model whose turn it is: rows of its callers' jobs by turns, in one pass of about 100 ms or in several
    /// shorter ones, until something is finished. A long trace takes several steps. Searches go on after every pass, with
    /// the other model where this one has nothing more to do for them. Returns what is finished, and what was written
    /// meanwhile. `now` is a steady clock, the same at every step.
    pub fn step(&self, now: &(dyn Fn() -> Duration + Sync)) -> Vec<Event> {
        let mut solving = self.solving.lock().unwrap_or_else(PoisonError::into_inner);
        solving.append(&mut self.lock().new_searches);
        let mut events = Vec::new();
        self.search(&mut solving, vec![], &mut events, now());
        let mut begun = None;
        while events.is_empty() && !solving.iter().any(Solving::has_ended) {
            let Some(model) = self.lock().next_model() else { break };
            let over = self.turn(&model, &mut solving, &mut events, (now, &mut begun));
            self.tell(&model, &mut events);
            if over {
                break;
            }
        }
        for one in solving.iter_mut() {
            let id = one.id;
            events.extend(one.report().map(|progress| Event::Progress { id, progress }));
        }
        let mut state = self.lock();
        for one in solving.extract_if(.., |one| one.has_ended()) {
            if state.searches.remove(&one.id).is_some() {
                let (id, outcome) = (one.id, one.outcome().map(|()| Outcome::Solved));
                events.push(Event::Done { id, outcome });
            }
        }
        events
    }

    /// A model's turn. Returns whether it was the step's last.
    fn turn(
        &self,
        model: &Arc<Model>,
        solving: &mut [Solving],
        events: &mut Vec<Event>,
        (now, begun): (&(dyn Fn() -> Duration + Sync), &mut Option<Duration>),
    ) -> bool {
        loop {
            let (mut batch, mut settled) = (Vec::new(), Vec::new());
            let result = {
                let _turn = model.turn.lock().unwrap_or_else(PoisonError::into_inner);
                guarded(|| pool::run(|| guarded(|| self.pass(model, &mut batch, &mut settled, (now, &mut *begun))))?)
            };
            let idle = batch.is_empty();
            self.settle(batch, &result, &mut settled, now());
            let quiet = settled.is_empty();
            self.search(solving, settled, events, now());
            let over = begun.is_some_and(|begun| now().saturating_sub(begun) >= STEP);
            if over || !events.is_empty() || solving.iter().any(Solving::has_ended) {
                return true;
            }
            if !self.lock().has_jobs(model) {
                return false;
            }
            if idle && quiet {
                return true;
            }
        }
    }

    /// Hands the searches what is theirs of `settled`, the rest to `events`, and lets them go on.
    fn search(&self, solving: &mut [Solving], settled: Vec<Event>, events: &mut Vec<Event>, now: Duration) {
        for event in settled {
            match event {
                Event::Done { id, outcome } => match solving.iter_mut().find(|one| one.owns(id)) {
                    Some(one) => one.work(self, |one| one.hear(self, id, outcome, now)),
                    None => events.push(Event::Done { id, outcome }),
                },
                other => events.push(other),
            }
        }
        for one in solving.iter_mut() {
            one.work(self, |one| one.go_on(self, now));
        }
    }

    /// Makes events of the entries of a pass that are done, and queues the others again.
    fn settle(&self, batch: Vec<Queued>, result: &Result<()>, events: &mut Vec<Event>, now: Duration) {
        let mut state = self.lock();
        state.running.clear();
        let mut finished = Vec::new();
        for mut entry in batch.into_iter().rev() {
            if entry.is_cancelled(now) {
                continue;
            }
            let outcome = match (result, entry.failure.take()) {
                (_, Some(error)) => Some(Err(error)),
                (Err(Error::Internal { message }), None) => Some(Err(internal(message.clone()))),
                (Err(error), None) => Some(Err(internal(error.to_string()))),
                (Ok(()), None) => entry.work.as_ref().and_then(|work| work.outcome(&entry.job.model)),
            };
            match outcome {
                Some(outcome) => {
                    finished.push(Event::Done { id: entry.id, outcome });
                    let texts = entry.texts();
                    finished.extend(texts.into_iter().rev());
                }
                None => state.jobs_of(entry.job.caller).push_front(entry),
            }
        }
        events.extend(finished.into_iter().rev());
    }

    /// What the waiting jobs of a model have written.
    fn tell(&self, model: &Arc<Model>, events: &mut Vec<Event>) {
        let mut state = self.lock();
        let entries = state.callers.iter_mut().flat_map(|caller| &mut caller.jobs);
        for entry in entries.filter(|entry| Arc::ptr_eq(&entry.job.model, model)) {
            events.extend(entry.texts());
        }
    }

    /// Plans and computes one pass, and notes when the first of a step began. Jobs that it has begun are in `batch`; those
    /// that cannot be tokenised become events.
    fn pass(
        &self,
        model: &Arc<Model>,
        batch: &mut Vec<Queued>,
        events: &mut Vec<Event>,
        (now, begun): (&(dyn Fn() -> Duration + Sync), &mut Option<Duration>),
    ) -> Result<()> {
        let mut pass = model.iteration();
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
                    match work.plan(sequence, &mut *pass, share.min(left)) {
                        Ok(looked_at) => tokens += looked_at,
                        Err(error) => entry.failure = Some(error),
                    }
                }
                turn.served = true;
                goes_on = true;
            }
        }
        self.rotate(&turns);
        let start = now();
        begun.get_or_insert(start);
        pass.run(&|| {
            let now = now();
            batch.iter().all(|entry| entry.is_cancelled(now))
        })?;
        model.measured(pass.rows(), now().saturating_sub(start));
        for work in batch.iter_mut().filter_map(|entry| entry.work.as_mut()) {
            work.collect(&mut *pass);
        }
        drop(pass);
        for entry in batch.iter_mut().filter(|entry| entry.failure.is_none()) {
            let work = entry.work.as_mut();
            entry.failure = work.and_then(|work| guarded(|| work.advance(model)).err());
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
        batch: &mut Vec<Queued>,
        events: &mut Vec<Event>,
    ) -> Option<(usize, usize)> {
        while turn.ready.is_empty() {
            let mut entry = self.take_job(turn.caller, model)?;
            let work = match entry.work.take() {
                Some(work) => Ok(work),
                None => guarded(|| Work::new(&entry.job.model, &entry.job.task)),
            };
            match work {
                Ok(work) => {
                    let open = work.open().into_iter();
                    turn.ready.extend(open.map(|sequence| (batch.len(), sequence)));
                    entry.work = Some(work);
                    batch.push(entry);
                }
                Err(error) if !entry.cancelled.load(Ordering::Relaxed) => events.push(Event::Done {
                    id: entry.id,
                    outcome: Err(error),
                }),
                Err(_) => {}
            }
        }
        turn.ready.pop_front()
    }

    /// The oldest job of a caller for a model. It counts as running from here on.
    fn take_job(&self, caller: CallerId, model: &Arc<Model>) -> Option<Queued> {
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

impl Queued {
    fn is_cancelled(&self, now: Duration) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.signals.as_ref().is_some_and(|signals| signals.is_over(now))
    }

    /// What was written since the last call, where somebody listens.
    fn texts(&mut self) -> Vec<Event> {
        match (&self.job.task, &mut self.work) {
            (Task::Generate { streams: true, .. }, Some(work)) => {
                let fresh = work.fresh().into_iter();
                let id = self.id;
                fresh.map(|(index, text)| Event::Text { id, index, text }).collect()
            }
            _ => vec![],
        }
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
