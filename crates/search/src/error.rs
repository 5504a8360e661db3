//! One error type for the crate. After an error the search is as it was before the call.

use crate::request::Scoring;
use crate::tree::NodeId;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{field}: {message}")]
    Config { field: &'static str, message: String },
    #[error("nothing ends this search; give it simulations, or a budget of generations, tokens, FLOPs or milliseconds")]
    Unbounded,
    #[error("request {request} was never asked")]
    UnknownRequest { request: u32 },
    #[error("request {request} was told or failed before")]
    ToldTwice { request: u32 },
    #[error("the search has ended; what comes of request {request} is not needed any more")]
    Ended { request: u32 },
    #[error("request {request} asked for {asked} continuations and was told {told}; tell 1 to {asked}, or fail it")]
    WrongChildren { request: u32, asked: u32, told: usize },
    #[error("continuation {child} of request {request} has {told} scores for {steps} steps, where {asked:?} was asked")]
    WrongScores {
        request: u32,
        child: usize,
        asked: Scoring,
        steps: u32,
        told: usize,
    },
    #[error("continuation {child} of request {request} has the {what} {value}, not a finite number")]
    NotFinite {
        request: u32,
        child: usize,
        what: &'static str,
        value: f32,
    },
    #[error("continuation {child} of request {request} has no log-probability, and the strategy weighs by it")]
    PriorMissing { request: u32, child: usize },
    #[error("continuation {child} of request {request} is told neither right nor wrong, and the strategy labels by it")]
    VerdictMissing { request: u32, child: usize },
    #[error(
        "continuation {child} of request {request} has {told} hashes of prefixes for {steps} steps; tell all or none"
    )]
    WrongPrefixes {
        request: u32,
        child: usize,
        steps: u32,
        told: usize,
    },
    #[error("continuation {child} of request {request} looked ahead, which was not asked")]
    Unasked { request: u32, child: usize },
    #[error("there is no node {node}")]
    UnknownNode { node: NodeId },
    #[error("node {node} is not the end of a solution, so it has no answer")]
    NotFinished { node: NodeId },
    #[error("this snapshot cannot be gone on with: {message}")]
    Snapshot { message: &'static str },
}

impl Error {
    /// The stable kind, by which a caller tells errors apart.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } => "config",
            Self::Unbounded => "unbounded",
            Self::UnknownRequest { .. } => "unknownRequest",
            Self::ToldTwice { .. } => "toldTwice",
            Self::Ended { .. } => "ended",
            Self::WrongChildren { .. } => "wrongChildren",
            Self::WrongScores { .. } => "wrongScores",
            Self::NotFinite { .. } => "notFinite",
            Self::PriorMissing { .. } => "priorMissing",
            Self::VerdictMissing { .. } => "verdictMissing",
            Self::WrongPrefixes { .. } => "wrongPrefixes",
            Self::Unasked { .. } => "unasked",
            Self::UnknownNode { .. } => "unknownNode",
            Self::NotFinished { .. } => "notFinished",
            Self::Snapshot { .. } => "snapshot",
        }
    }
}
