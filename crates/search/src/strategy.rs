//! The strategies, one file each, behind one trait: they name the next expansion and learn what came of it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::event::Event;
use crate::request::{Lookahead, Stem, Until};
use crate::tree::{NodeId, Tree};

mod beam;
mod dvts;
mod level;
mod mcts;
mod omega;
mod rebase;
mod refine;
mod sampling;

/// An expansion that a strategy would like next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What to go on with; where there is a stem, what the stem goes on with.
    pub(crate) node: NodeId,
    pub(crate) stem: Option<Stem>,
    pub(crate) count: u32,
    pub(crate) until: Until,
    pub(crate) lookahead: Lookahead,
    pub(crate) purpose: Purpose,
}

/// What an expansion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Grow,
    /// Of the subtree with this number.
    Subtree(u32),
    /// To have one path with an end; the search asks this, no strategy.
    Close,
}

impl Plan {
    pub(crate) fn grow(node: NodeId, count: u32, until: Until) -> Self {
        Self {
            node,
            stem: None,
            count,
            until,
            lookahead: Lookahead::None,
            purpose: Purpose::Grow,
        }
    }
}

/// All that a strategy may do. It has no text, clock, threads or randomness.
pub(crate) trait Strategy {
    /// The next expansion; `None`: not before something comes back, or, when nothing is out, never.
    fn next(&self, tree: &Tree) -> Option<Plan>;

    /// `plan`, which [`next`](Strategy::next) has just named, goes out, with the `count` that the budget allows.
    fn asked(&mut self, tree: &mut Tree, plan: &Plan, count: u32);

    /// What came of `plan`: the rows `new`, of which those that failed are void.
    fn settled(&mut self, tree: &mut Tree, plan: &Plan, new: Range<NodeId>);

    /// What it found since this was last asked, where it looks for more than an answer.
    fn take_found(&mut self) -> Vec<Event> {
        vec![]
    }

    /// Whether all the nodes it holds are below `length`, and its counts within what is set.
    fn is_sound(&self, length: u32) -> bool;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum State {
    Sampling(sampling::Sampling),
    Beam(beam::Beam),
    Dvts(dvts::Dvts),
    Rebase(rebase::Rebase),
    Mcts(mcts::Mcts),
    Refine(refine::Refine),
    Omega(omega::Omega),
}

impl State {
    pub(crate) fn new(config: &Config, tree: &mut Tree) -> Self {
        match config {
            Config::BestOfN(of) => Self::Sampling(sampling::Sampling::new(of.n)),
            Config::Majority(of) => Self::Sampling(sampling::Sampling::new(of.n)),
            Config::WeightedVote(of) => Self::Sampling(sampling::Sampling::new(of.n)),
            Config::Beam(of) => Self::Beam(beam::Beam::new(of)),
            Config::Dvts(of) => Self::Dvts(dvts::Dvts::new(of)),
            Config::Rebase(of) => Self::Rebase(rebase::Rebase::new(of)),
            Config::Mcts(of) => Self::Mcts(mcts::Mcts::new(of, tree)),
            Config::Refine(of) => Self::Refine(refine::Refine::new(of)),
            Config::Omega(of) => Self::Omega(omega::Omega::new(of)),
        }
    }
}

impl State {
    /// Whether it was made for `config`.
    pub(crate) fn is_of(&self, config: &Config) -> bool {
        match (self, config) {
            (Self::Sampling(_), Config::BestOfN(_) | Config::Majority(_) | Config::WeightedVote(_)) => true,
            (Self::Beam(of), Config::Beam(config)) => of.config == *config,
            (Self::Dvts(of), Config::Dvts(config)) => of.config == *config,
            (Self::Rebase(of), Config::Rebase(config)) => of.config == *config,
            (Self::Mcts(of), Config::Mcts(config)) => of.config == *config,
            (Self::Refine(of), Config::Refine(config)) => of.config == *config,
            (Self::Omega(of), Config::Omega(config)) => of.config == *config,
            _ => false,
        }
    }
}

/// Runs an expression on the strategy, whichever it is.
macro_rules! with {
    ($state:expr, $strategy:ident => $do:expr) => {
        match $state {
            State::Sampling($strategy) => $do,
            State::Beam($strategy) => $do,
            State::Dvts($strategy) => $do,
            State::Rebase($strategy) => $do,
            State::Mcts($strategy) => $do,
            State::Refine($strategy) => $do,
            State::Omega($strategy) => $do,
        }
    };
}

impl Strategy for State {
    fn next(&self, tree: &Tree) -> Option<Plan> {
        with!(self, strategy => strategy.next(tree))
    }

    fn asked(&mut self, tree: &mut Tree, plan: &Plan, count: u32) {
        with!(self, strategy => strategy.asked(tree, plan, count));
    }

    fn settled(&mut self, tree: &mut Tree, plan: &Plan, new: Range<NodeId>) {
        with!(self, strategy => strategy.settled(tree, plan, new));
    }

    fn take_found(&mut self) -> Vec<Event> {
        with!(self, strategy => strategy.take_found())
    }

    fn is_sound(&self, length: u32) -> bool {
        with!(self, strategy => strategy.is_sound(length))
    }
}
