//! What happened, in the order in which the search took it in: for progress and traces.

use serde::{Deserialize, Serialize};

use crate::budget::{Limit, Spent};
use crate::choice::Chosen;
use crate::tree::NodeId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// `count` continuations of `node` were asked.
    Expanded { request: u32, node: NodeId, count: u32 },
    /// A continuation came.
    Sampled {
        request: u32,
        node: NodeId,
        parent: NodeId,
        policy_tokens: u32,
        ended: bool,
        cut: bool,
    },
    /// The value of a new node: the aggregate by which its strategy ranks.
    Scored { node: NodeId, value: f64 },
    /// The node is out of the running.
    Pruned { node: NodeId },
    /// OmegaPRM: the first wrong step of the rollout `node` is its own step `step`, counted from 0. `before` is the prefix that
    /// ends before it, `behind` the one that it ends, of which no rollout was right; `None`: it is the last step.
    FirstError {
        node: NodeId,
        step: u32,
        before: NodeId,
        behind: Option<NodeId>,
    },
    /// `count` continuations of `node` failed.
    Failed { request: u32, node: NodeId, count: u32 },
    /// The request brought more than its cap of a limited resource; nothing further is asked.
    Overrun { request: u32, limit: Limit },
    /// What is spent by now.
    Budget { spent: Spent },
    /// The search has ended with this.
    Chosen { chosen: Option<Chosen> },
}
