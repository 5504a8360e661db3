//! Decides: which prefix of an answer to grow next, when to stop, and which answer to give.
//!
//! Numbers only: text, clock, threads, models and randomness stay with the driver, who runs
//!
//! ```text
//! loop { match search.ask(free, now) { Requests → write and score them, then tell or fail; Wait → wait; Done → outcome } }
//! ```
//!
//! The way of the data: a [`config`] and a [`budget`] make a [`search`]; its [`strategy`] names the next expansion over the
//! one [`tree`]; the budget caps it into a [`request`]; what came of it becomes nodes, whose scores an [`aggregate`] makes
//! one number of; [`choice`] picks the answer. The same tells give the same tree, whatever order they arrive in.

pub mod aggregate;
pub mod budget;
pub mod choice;
pub mod config;
pub mod error;
pub mod event;
pub mod formulas;
mod machine;
mod path;
pub mod request;
pub mod search;
pub mod strategy;
pub mod tree;

pub use aggregate::Aggregate;
pub use budget::{Budget, Limit, Spent};
pub use choice::{Choice, Chosen, Solution};
pub use config::Config;
pub use error::{Error, Result};
pub use event::Event;
pub use request::{Caps, Child, Lookahead, Request, Scoring, Stem, Until};
pub use search::{Ask, Finish, Nothing, Outcome, Search, Snapshot};
pub use tree::{NodeId, ROOT, Tree};
