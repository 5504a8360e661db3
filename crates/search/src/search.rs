//! The door: ask, tell, and what came of it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::budget::{Budget, Limit, Spent};
use crate::choice::{self, Chosen, Solution};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::machine::Machine;
use crate::request::{Child, Lookahead, Request, Scoring};
use crate::tree::{MOST_GROUPS, NodeId, Tree};

/// What the search wants next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "camelCase")]
pub enum Ask {
    Requests(Vec<Request>),
    /// Nothing before something is told, or `max` was 0.
    Wait,
    Done(Outcome),
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Finish {
    /// The strategy was done.
    Complete,
    Budget,
    Aborted,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Nothing {
    /// Each continuation failed.
    Failed,
    /// None came before the search ended.
    Unasked,
}

/// What came of a search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub finish: Finish,
    /// The limit that ended it, for `Finish::Budget`.
    pub limit: Option<Limit>,
    pub chosen: Option<Chosen>,
    /// Where nothing is chosen: why.
    pub nothing: Option<Nothing>,
    pub spent: Spent,
}

/// A search of one problem. See the crate for how it is driven.
#[derive(Clone, Debug, PartialEq)]
pub struct Search(Machine);

/// A search at rest, in any of serde's self-describing formats that keeps an f64 to the last bit: `serde_json` does with its
/// feature `float_roundtrip`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    search: Machine,
}

const VERSION: u32 = 1;

impl Search {
    /// # Errors
    /// `Config` for a setting that is out of its range; `Unbounded` where neither strategy nor budget ends.
    pub fn new(config: Config, budget: Budget) -> Result<Self> {
        config.check()?;
        budget.check()?;
        if !config.ends() && !budget.ends() {
            return Err(Error::Unbounded);
        }
        Ok(Self(Machine::new(config, budget)))
    }

    /// Up to `max` requests that nobody was handed before. `now`: milliseconds on a clock of the driver's, which starts the
    /// time of the budget at the first call. After the end it is `Done` for good.
    pub fn ask(&mut self, max: usize, now: u64) -> Ask {
        self.0.tick(now);
        if let Some(outcome) = self.outcome() {
            return Ask::Done(outcome);
        }
        let fresh = (self.0.planned - self.0.handed) as usize;
        let count = fresh.min(max);
        if count == 0 {
            return Ask::Wait;
        }
        let old = self.0.out.len() - fresh;
        self.0.handed += count as u32;
        Ask::Requests(self.0.out.range(old..old + count).map(|out| out.request).collect())
    }

    /// What came of a request, in any order among requests: its continuations in order, as many as were asked, or fewer where
    /// the last of them failed. Returns the nodes that they are.
    ///
    /// # Errors
    /// Without any effect: `UnknownRequest`, `ToldTwice`, `Ended`, `WrongChildren`, `WrongScores`, `NotFinite`,
    /// `PriorMissing`, `VerdictMissing`, `WrongPrefixes`, `Unasked`.
    pub fn tell(&mut self, request: u32, children: &[Child]) -> Result<Range<NodeId>> {
        let place = self.place(request)?;
        let graded = self.0.common.graded;
        let out = &mut self.0.out[place];
        check(&out.request, graded, children)?;
        let nodes = out.first..out.first + children.len() as u32;
        if place == 0 {
            self.0.tell_oldest(children);
        } else {
            out.told = Some(children.to_vec());
        }
        Ok(nodes)
    }

    /// Nothing came of a request.
    ///
    /// # Errors
    /// Without any effect: `UnknownRequest`, `ToldTwice`, `Ended`.
    pub fn fail(&mut self, request: u32) -> Result<()> {
        match self.place(request)? {
            0 => self.0.tell_oldest(&[]),
            place => self.0.out[place].told = Some(vec![]),
        }
        Ok(())
    }

    fn place(&self, request: u32) -> Result<usize> {
        if request >= self.0.handed {
            return Err(Error::UnknownRequest { request });
        }
        if self.0.end.is_some() {
            return Err(Error::Ended { request });
        }
        let untold = |&place: &usize| self.0.out[place].told.is_none();
        self.0.place(request).filter(untold).ok_or(Error::ToldTwice { request })
    }

    /// Says which solutions give equal answers, by a number for each answer; `None`: it gives none. At any time, and again
    /// where an answer turns out to equal another.
    ///
    /// # Errors
    /// Without any effect: `UnknownNode`, `NotFinished`, `Config` for a number above 2³² − 4.
    pub fn group(&mut self, groups: &[(NodeId, Option<u32>)]) -> Result<()> {
        for &(node, group) in groups {
            if !self.0.tree.has(node) {
                return Err(Error::UnknownNode { node });
            }
            if !self.0.tree.is_finished(node) {
                return Err(Error::NotFinished { node });
            }
            if group.is_some_and(|group| group > MOST_GROUPS) {
                let message = format!("must be at most {MOST_GROUPS}");
                return Err(Error::Config {
                    field: "group",
                    message,
                });
            }
        }
        for &(node, group) in groups {
            self.0.tree.set_group(node, group);
        }
        Ok(())
    }

    /// Ends the search with what was told by now.
    pub fn abort(&mut self) {
        self.0.finish(Finish::Aborted, None);
    }

    /// What would be the answer if the search ended now.
    #[must_use]
    pub fn best(&self) -> Option<Chosen> {
        self.0.best()
    }

    /// `None` until the end.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let end = self.0.end?;
        let chosen = self.best();
        let spent = self.0.ledger.spent;
        let failed = spent.generations > 0 && spent.failures == spent.generations;
        let why = if failed { Nothing::Failed } else { Nothing::Unasked };
        Some(Outcome {
            finish: end.finish,
            limit: end.limit,
            chosen,
            nothing: chosen.is_none().then_some(why),
            spent,
        })
    }

    /// The paths that have their end, in the order in which they were asked.
    #[must_use]
    pub fn solutions(&self) -> Vec<Solution> {
        choice::solutions(&self.0.tree, self.0.common.aggregate)
    }

    /// The requests that the driver was handed and has not told: those to send again after [`restore`](Search::restore).
    #[must_use]
    pub fn outstanding(&self) -> Vec<Request> {
        let out = self.0.out.iter().filter(|out| out.told.is_none());
        out.map(|out| out.request)
            .filter(|request| request.id < self.0.handed)
            .collect()
    }

    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.0.tree
    }

    #[must_use]
    pub fn spent(&self) -> Spent {
        self.0.ledger.spent
    }

    #[must_use]
    pub fn config(&self) -> &Config {
        self.0.config()
    }

    /// Step scores → score of a solution.
    #[must_use]
    pub fn aggregate(&self) -> Aggregate {
        self.0.common.aggregate
    }

    /// Whether events are kept for [`take_events`](Search::take_events); at first they are not.
    pub fn trace(&mut self, on: bool) {
        self.0.traced = on;
    }

    /// What has happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.0.events)
    }

    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: VERSION,
            search: self.0.clone(),
        }
    }

    /// Goes on exactly as the search would have.
    ///
    /// # Errors
    /// `Snapshot` where it is of another version, or does not hold together.
    pub fn restore(snapshot: Snapshot) -> Result<Self> {
        let Snapshot { version, search } = snapshot;
        if version != VERSION {
            let message = "it is of another version";
            return Err(Error::Snapshot { message });
        }
        search.config().check()?;
        if !search.is_sound() {
            let message = "it does not hold together";
            return Err(Error::Snapshot { message });
        }
        Ok(Self(search))
    }
}

/// Whether `children` answer what `request` asks.
fn check(request: &Request, graded: bool, children: &[Child]) -> Result<()> {
    let id = request.id;
    if children.is_empty() || children.len() > request.count as usize {
        return Err(Error::WrongChildren {
            request: id,
            asked: request.count,
            told: children.len(),
        });
    }
    for (child, told) in children.iter().enumerate() {
        let due = match request.score {
            Scoring::None => 0,
            Scoring::Last => told.steps.min(1) as usize,
            Scoring::All => told.steps as usize,
        };
        // Where the PRM has a cap, scores may be left out.
        let left_out = told.scores.is_empty() && request.caps.prm_tokens.is_some();
        if told.scores.len() != due && !left_out {
            return Err(Error::WrongScores {
                request: id,
                child,
                asked: request.score,
                steps: told.steps,
                told: told.scores.len(),
            });
        }
        let looked = !told.ahead.is_empty() || told.rollout.is_some() || told.ahead_tokens > 0;
        if looked && request.lookahead == Lookahead::None {
            return Err(Error::Unasked { request: id, child });
        }
        if request.priors && told.log_prior.is_none() {
            return Err(Error::PriorMissing { request: id, child });
        }
        if graded && told.correct.is_none() {
            return Err(Error::VerdictMissing { request: id, child });
        }
        if !told.prefixes.is_empty() && told.prefixes.len() != told.steps as usize {
            return Err(Error::WrongPrefixes {
                request: id,
                child,
                steps: told.steps,
                told: told.prefixes.len(),
            });
        }
        let scores = told.scores.iter().map(|&score| ("score", score));
        let ahead = told.ahead.iter().map(|&score| ("score", score));
        let rollout = told.rollout.iter().map(|&value| ("rollout value", value));
        let prior = told.log_prior.iter().map(|&value| ("log-probability", value));
        let mut numbers = scores.chain(ahead).chain(rollout).chain(prior);
        if let Some((what, value)) = numbers.find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFinite {
                request: id,
                child,
                what,
                value,
            });
        }
    }
    Ok(())
}
