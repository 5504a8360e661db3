//! A search that is driven in here: text, models and time around a [`Search`], which sees numbers only. It does what
//! src/search/driver.ts does, with jobs of this engine in place of calls; the same models and seed give the same tree.

mod continuation;
mod entry;
mod texts;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use continuation::{Continuation, Pricing, greedy};
use entry::path_of;
pub use entry::{Entry, Progress, Told, Written};
use serde::Deserialize;
use surefoot_model::policy;
use surefoot_model::{Error, Result};
use surefoot_search::budget::Costs;
use surefoot_search::{Ask, Lookahead, NodeId, Request, Scoring, Search, Until};
use texts::Texts;

use crate::work::internal;
use crate::{CallerId, Engine, Job, JobId, Model, Outcome, Task, guarded};

/// A search to drive to its end.
pub struct Solve {
    pub search: Arc<Mutex<Search>>,
    pub policy: Arc<Model>,
    pub prm: Option<Arc<Model>>,
    pub caller: CallerId,
    pub setting: Setting,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// What all texts have in common. Its separator is that of the steps.
    pub texts: policy::Request,
    /// Requests under way at the same time, at most.
    pub concurrency: usize,
    /// Milliseconds after which nothing further is waited for.
    pub ms: Option<u64>,
    /// FLOPs of a token.
    pub costs: Costs,
    /// Milliseconds that the search has taken before.
    pub since: u64,
    /// Whether the PRM's tokens of the problem are counted already.
    pub problem_paid: bool,
    /// The text of each node that is there, with the node's parent.
    pub known: Vec<(NodeId, NodeId, String)>,
}

/// What ends a search from outside; its jobs look at it between the layers of a model.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) stop: AtomicBool,
    pub(crate) cancelled: AtomicBool,
    deadline: OnceLock<Duration>,
}

impl Signals {
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.stop.load(Ordering::Relaxed) || self.cancelled.load(Ordering::Relaxed) || self.is_late(now)
    }

    fn is_late(&self, now: Duration) -> bool {
        self.deadline.get().is_some_and(|deadline| now >= *deadline)
    }
}

/// A search under way.
pub(crate) struct Solving {
    pub(crate) id: JobId,
    pub(crate) signals: Arc<Signals>,
    solve: Solve,
    texts: Texts,
    /// Whether the PRM scores steps; an outcome model scores a solution as a whole.
    splits: bool,
    doing: BTreeMap<u32, Doing>,
    /// Requests that were handed out before, and nothing came of.
    left: VecDeque<Request>,
    jobs: HashMap<JobId, (u32, Part)>,
    pricing: Pricing,
    /// When it would have begun if it had never paused.
    started: Option<Duration>,
    /// The latest time that the search was told.
    latest: u64,
    /// Whether the search may have something to ask.
    fresh: bool,
    progress: Progress,
    ended: Option<Result<()>>,
}

/// A request on its way.
struct Doing {
    request: Request,
    started: Duration,
    /// Of the text that it goes on from.
    before: Vec<String>,
    continuations: Vec<Continuation>,
    /// Jobs that it waits for.
    open: usize,
    /// How far it is decided whether the tokens of the problem are paid with it.
    payment: Payment,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Payment {
    Unpriced,
    Due,
    Decided,
}

/// What a job is to its request.
#[derive(Clone, Copy)]
enum Part {
    Texts,
    /// So many steps were looked ahead before, from the continuation of this number.
    Ahead(usize, u32),
    Scores(usize),
}

impl Solving {
    pub(crate) fn new(id: JobId, signals: Arc<Signals>, solve: Solve) -> Self {
        let Setting { texts, known, .. } = &solve.setting;
        let separator = texts.separator.clone().unwrap_or_default();
        let splits = match solve.prm.as_ref().map(|prm| prm.prm()) {
            Some(Ok(prm)) => prm.facts().profile.split.is_some(),
            _ => true,
        };
        let mut nodes = Texts::new(separator, splits);
        for (node, parent, raw) in known {
            let text = nodes.text_of(raw, false);
            nodes.set(*node, *parent, text);
        }
        let left = lock(&solve.search).outstanding().into();
        Self {
            id,
            signals,
            texts: nodes,
            splits,
            doing: BTreeMap::new(),
            left,
            jobs: HashMap::new(),
            pricing: Pricing::new(solve.setting.problem_paid),
            started: None,
            latest: solve.setting.since,
            fresh: true,
            progress: Progress::default(),
            ended: None,
            solve,
        }
    }

    /// What has happened since the last call.
    pub(crate) fn report(&mut self) -> Option<Progress> {
        let mut progress = std::mem::take(&mut self.progress);
        progress.events = lock(&self.solve.search).take_events();
        (!progress.is_empty()).then_some(progress)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// What ended it.
    pub(crate) fn outcome(self) -> Result<()> {
        self.ended.unwrap_or(Ok(()))
    }

    /// A panic in `work` ends this search alone.
    pub(crate) fn work(&mut self, engine: &Engine, work: impl FnOnce(&mut Self) -> Result<()>) {
        if self.has_ended() {
            return;
        }
        if let Err(error) = guarded(|| work(self)) {
            self.end(engine, Err(error));
        }
    }

    /// Whether the job is one of its own.
    pub(crate) fn owns(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// Asks the search as long as it has something, and queues what that takes.
    pub(crate) fn go_on(&mut self, engine: &Engine, now: Duration) -> Result<()> {
        if self.signals.cancelled.load(Ordering::Relaxed) {
            self.end(engine, Ok(()));
            return Ok(());
        }
        let Setting {
            concurrency, ms, since, ..
        } = self.solve.setting;
        let before = Duration::from_millis(since);
        let started = *self.started.get_or_insert(now);
        if let Some(ms) = ms {
            self.signals
                .deadline
                .get_or_init(|| started + Duration::from_millis(ms).saturating_sub(before));
        }
        if self.signals.stop.swap(false, Ordering::Relaxed) {
            self.progress.entries.push(Entry::Stop);
            self.left.clear();
            lock(&self.solve.search).abort();
            self.fresh = true;
        }
        self.fresh |= self.signals.is_late(now);
        self.latest = self.latest.max((now - started + before).as_millis() as u64);
        while std::mem::take(&mut self.fresh) {
            while self.doing.len() < concurrency {
                let Some(request) = self.left.pop_front() else { break };
                self.begin(engine, request, now);
            }
            let max = concurrency.saturating_sub(self.doing.len() + self.left.len());
            let ask = lock(&self.solve.search).ask(max, self.latest);
            let requests = match ask {
                Ask::Requests(requests) => requests,
                Ask::Wait => vec![],
                Ask::Done(_) => {
                    self.asked(max, vec![]);
                    self.end(engine, Ok(()));
                    return Ok(());
                }
            };
            self.fresh = !requests.is_empty();
            self.asked(max, requests.clone());
            for request in requests {
                self.begin(engine, request, now);
            }
        }
        match self.doing.is_empty() && self.left.is_empty() {
            true => Err(internal("the search waits for nothing".into())),
            false => Ok(()),
        }
    }

    fn asked(&mut self, max: usize, requests: Vec<Request>) {
        let now = self.latest;
        self.progress.entries.push(Entry::Ask { max, now, requests });
    }

    fn begin(&mut self, engine: &Engine, request: Request, now: Duration) {
        if let Some(stem) = request.stem.filter(|_| !self.texts.has(request.node)) {
            self.texts.cut(request.node, stem);
        }
        let doing = Doing {
            request,
            started: now,
            before: self.texts.steps(request.node),
            continuations: vec![],
            open: 1,
            payment: Payment::Unpriced,
        };
        self.doing.insert(request.id, doing);
        let texts = policy::Request {
            prefix: self.texts.prefix(request.node),
            n: request.count as usize,
            step: request.until == Until::Step,
            max_tokens: request.caps.policy_tokens as usize,
            path: path_of(&request),
            logprobs: request.priors,
            ..self.solve.setting.texts.clone()
        };
        self.write(engine, request.id, Part::Texts, texts);
    }

    fn write(&mut self, engine: &Engine, id: u32, part: Part, request: policy::Request) {
        let task = Task::Generate {
            request,
            streams: false,
        };
        let model = self.solve.policy.clone();
        self.submit(engine, id, part, model, task);
    }

    fn submit(&mut self, engine: &Engine, id: u32, part: Part, model: Arc<Model>, task: Task) {
        let caller = self.solve.caller;
        let job = engine.submit_for(&self.signals, Job { model, caller, task });
        self.jobs.insert(job, (id, part));
    }

    /// Takes what came of one of its jobs.
    pub(crate) fn hear(&mut self, engine: &Engine, job: JobId, outcome: Result<Outcome>, now: Duration) -> Result<()> {
        let Some((id, part)) = self.jobs.remove(&job) else {
            return Ok(());
        };
        let taken = self.take(engine, id, part, outcome).and_then(|()| self.price(id));
        taken.or_else(|error| self.fail(engine, id, error, now))?;
        self.pay(engine)?;
        self.tell_done(engine, now)
    }

    fn take(&mut self, engine: &Engine, id: u32, part: Part, outcome: Result<Outcome>) -> Result<()> {
        let doing = self
            .doing
            .get_mut(&id)
            .ok_or_else(|| internal("a job without a request".into()))?;
        doing.open -= 1;
        match (part, outcome) {
            (Part::Texts, Ok(Outcome::Generated(texts))) => {
                let lookahead = doing.request.lookahead;
                doing.continuations = texts
                    .into_iter()
                    .map(|one| Continuation::new(&self.texts, one, lookahead))
                    .collect();
                for index in 0..doing.continuations.len() {
                    self.look_ahead(engine, id, index, 0);
                }
                Ok(())
            }
            (Part::Ahead(index, step), Ok(Outcome::Generated(texts))) => {
                for next in texts {
                    doing.continuations[index].goes_on(&self.texts, &next);
                }
                self.look_ahead(engine, id, index, step + 1);
                Ok(())
            }
            (Part::Scores(index), Ok(Outcome::Scored { scores, .. })) => {
                let before = if self.splits { doing.before.len() } else { 0 };
                doing.continuations[index].scored(scores.get(before..).unwrap_or_default(), doing.request.score);
                Ok(())
            }
            (Part::Scores(index), Err(error)) if is_about_trace(&error) => {
                doing.continuations[index].failure = Some(error);
                Ok(())
            }
            (_, Err(error)) => Err(error),
            (_, Ok(_)) => Err(internal("a job gave something else than was asked".into())),
        }
    }

    /// Has the next greedy step written that follows a continuation, if there is one to look at.
    fn look_ahead(&mut self, engine: &Engine, id: u32, index: usize, step: u32) {
        let Some(doing) = self.doing.get_mut(&id) else { return };
        let request = doing.request;
        let (most, until) = match request.lookahead {
            Lookahead::None => return,
            Lookahead::Answer => (1, Until::Answer),
            Lookahead::Steps(steps) => (steps, Until::Step),
        };
        let continuation = &doing.continuations[index];
        let left = request.caps.ahead_tokens.saturating_sub(continuation.ahead_tokens());
        if !continuation.is_open() || step == most || left == 0 {
            return;
        }
        doing.open += 1;
        let prefix = self.texts.prefix(request.node) + &continuation.raw();
        let common = self.solve.setting.texts.clone();
        let texts = policy::Request {
            step: until == Until::Step,
            max_tokens: left as usize,
            path: format!("{} ahead {step}", path_of(&request)),
            ..greedy(common, prefix)
        };
        self.write(engine, id, Part::Ahead(index, step), texts);
    }

    /// Once all texts of a request are there: finds out what its scores cost.
    fn price(&mut self, id: u32) -> Result<()> {
        let Some(doing) = self.doing.get_mut(&id) else {
            return Ok(());
        };
        if doing.open > 0 || doing.payment != Payment::Unpriced {
            return Ok(());
        }
        match &self.solve.prm {
            Some(prm) if doing.request.score != Scoring::None => {
                let about = &self.solve.setting.texts;
                self.pricing
                    .price(prm.prm()?, about, &doing.before, &mut doing.continuations)?;
                doing.payment = Payment::Due;
            }
            _ => doing.payment = Payment::Decided,
        }
        Ok(())
    }

    /// Has everything scored that fits its cap. Who pays for the problem is the first in the order of asking.
    fn pay(&mut self, engine: &Engine) -> Result<()> {
        let ids: Vec<u32> = self.doing.keys().copied().collect();
        for id in ids {
            let Some(doing) = self.doing.get_mut(&id) else { continue };
            match doing.payment {
                Payment::Decided => continue,
                Payment::Unpriced if self.pricing.is_problem_paid() => continue,
                Payment::Unpriced => break,
                Payment::Due => doing.payment = Payment::Decided,
            }
            let costs = self.solve.setting.costs;
            let prompts = self.pricing.pay(&doing.request, costs, &mut doing.continuations);
            doing.open = prompts.len();
            let prm = self.solve.prm.clone();
            for (index, prompt) in prompts {
                let prm = prm.clone().ok_or_else(|| internal("scores without a PRM".into()))?;
                self.submit(engine, id, Part::Scores(index), prm, Task::Prompt(prompt));
            }
        }
        Ok(())
    }

    /// Tells the search what came of the requests that wait for nothing more.
    fn tell_done(&mut self, engine: &Engine, now: Duration) -> Result<()> {
        let done = |doing: &Doing| doing.open == 0 && doing.payment == Payment::Decided;
        let ids: Vec<u32> = self
            .doing
            .iter()
            .filter(|(_, doing)| done(doing))
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            self.tell(engine, id, None, now)?;
        }
        Ok(())
    }

    /// One failed request costs its path, not the search.
    fn fail(&mut self, engine: &Engine, id: u32, error: Error, now: Duration) -> Result<()> {
        match is_about_one(&error) {
            true => self.tell(engine, id, Some(error), now),
            false => Err(error),
        }
    }

    fn tell(&mut self, engine: &Engine, id: u32, failure: Option<Error>, now: Duration) -> Result<()> {
        let Some(mut doing) = self.doing.remove(&id) else {
            return Ok(());
        };
        self.fresh = true;
        let request = doing.request;
        let own: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, (of, _))| *of == id)
            .map(|(&job, _)| job)
            .collect();
        for job in own {
            engine.cancel(job);
            self.jobs.remove(&job);
        }
        let mut told = Told {
            request: id,
            first: None,
            children: vec![],
            failure,
            ms: now.saturating_sub(doing.started).as_millis() as u64,
        };
        let continuations = match &told.failure {
            Some(_) => vec![],
            None => std::mem::take(&mut doing.continuations),
        };
        let mut texts = Vec::new();
        for (index, continuation) in continuations.into_iter().enumerate() {
            match continuation.written(&request, index) {
                Ok((written, text)) => {
                    told.children.push(written);
                    texts.push(text);
                }
                Err(error) => told.failure = Some(error),
            }
        }
        let refused = |error: surefoot_search::Error| internal(format!("request {id}: {error}"));
        if told.children.is_empty() {
            lock(&self.solve.search).fail(id).map_err(refused)?;
            self.progress.entries.push(Entry::Fail(told));
            return Ok(());
        }
        let children: Vec<_> = told.children.iter().map(|written| written.child.clone()).collect();
        let nodes = lock(&self.solve.search).tell(id, &children).map_err(refused)?;
        told.first = Some(nodes.start);
        for (node, text) in nodes.zip(texts) {
            self.texts.set(node, request.node, text);
        }
        self.progress.entries.push(Entry::Tell(told));
        Ok(())
    }

    fn end(&mut self, engine: &Engine, result: Result<()>) {
        for (job, _) in self.jobs.drain() {
            engine.cancel(job);
        }
        self.doing.clear();
        self.ended.get_or_insert(result);
    }
}

fn lock(search: &Mutex<Search>) -> MutexGuard<'_, Search> {
    search.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an error is that of one request, which costs its path and not the search.
fn is_about_one(error: &Error) -> bool {
    let codes = [
        "ERR_CONTEXT_OVERFLOW",
        "ERR_CACHE_BUDGET",
        "ERR_NOT_FINITE",
        "ERR_TEMPLATE",
    ];
    codes.contains(&error.code())
}

/// Whether another trace may fare better.
fn is_about_trace(error: &Error) -> bool {
    ["ERR_CONTEXT_OVERFLOW", "ERR_NOT_FINITE", "ERR_INVALID_ARGUMENT"].contains(&error.code())
}
