//! A loaded model with what its passes need to know of each other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use surefoot_model::prefixes::Counters;
use surefoot_model::prm::Iteration;
use surefoot_model::{Error, Policy, Prm, Result};

use crate::{FEWEST_ROWS, FIRST_ROWS, MOST_ROWS, STEP};

/// A loaded model, shared by the engines of all threads.
pub struct Model {
    kind: Kind,
    /// Held by the engine whose pass is under way: a thread of the pool must never wait for another's.
    pub(crate) turn: Mutex<()>,
    /// Measured, in rows a second; 0 before the first step.
    rate: AtomicU64,
}

/// What it does.
pub enum Kind {
    Prm(Box<Prm>),
    Policy(Box<Policy>),
}

impl From<Prm> for Model {
    fn from(prm: Prm) -> Self {
        Self::new(Kind::Prm(Box::new(prm)))
    }
}

impl From<Policy> for Model {
    fn from(policy: Policy) -> Self {
        Self::new(Kind::Policy(Box::new(policy)))
    }
}

impl Model {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            turn: Mutex::default(),
            rate: AtomicU64::new(0),
        }
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What scores.
    pub fn prm(&self) -> Result<&Prm> {
        match &self.kind {
            Kind::Prm(prm) => Ok(prm),
            Kind::Policy(_) => Err(other("a policy, which scores nothing; load it as a PRM")),
        }
    }

    /// What writes.
    pub fn policy(&self) -> Result<&Policy> {
        match &self.kind {
            Kind::Policy(policy) => Ok(policy),
            Kind::Prm(_) => Err(other("a PRM, which writes nothing; load it as a policy")),
        }
    }

    pub fn counters(&self) -> Counters {
        match &self.kind {
            Kind::Prm(prm) => prm.counters(),
            Kind::Policy(policy) => policy.counters(),
        }
    }

    pub(crate) fn iteration(&self) -> Box<dyn Iteration + '_> {
        match &self.kind {
            Kind::Prm(prm) => prm.iteration(),
            Kind::Policy(policy) => policy.iteration(),
        }
    }

    /// How many rows make a step of about [`STEP`].
    pub(crate) fn rows_per_step(&self) -> usize {
        match self.rate.load(Ordering::Relaxed) {
            0 => FIRST_ROWS,
            rate => ((rate as f64 * STEP.as_secs_f64()) as usize).clamp(FEWEST_ROWS, MOST_ROWS),
        }
    }

    pub(crate) fn measured(&self, rows: usize, time: Duration) {
        // A step of few rows tells little about a full one.
        if rows >= FEWEST_ROWS {
            let rate = rows as f64 / time.as_secs_f64().max(1e-6);
            self.rate.store(rate.max(1.0) as u64, Ordering::Relaxed);
        }
    }
}

fn other(what: &str) -> Error {
    Error::InvalidArgument {
        argument: "model".into(),
        message: format!("is {what}"),
    }
}
