//! What a driver did, as a journal keeps it: the same lines as src/search/driver.ts writes.

use serde::{Serialize, Serializer};
use surefoot_model::Error;
use surefoot_search::{Child, Event, NodeId, Request};

/// What has happened since the last report.
#[derive(Debug, Default, Serialize)]
pub struct Progress {
    pub entries: Vec<Entry>,
    pub events: Vec<Event>,
}

impl Progress {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.events.is_empty()
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Entry {
    Ask {
        max: usize,
        /// In milliseconds.
        now: u64,
        requests: Vec<Request>,
    },
    Tell(Told),
    Fail(Told),
    Stop,
}

/// Names the draws of a request.
pub(crate) fn path_of(request: &Request) -> String {
    format!("{:016x}", request.path)
}

/// What came of a request.
#[derive(Debug, Serialize)]
pub struct Told {
    pub request: u32,
    /// The first of the nodes that the continuations are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<NodeId>,
    pub children: Vec<Written>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "failure")]
    pub failure: Option<Error>,
    /// Milliseconds that it took.
    pub ms: u64,
}

/// A continuation as it was written.
#[derive(Debug, Serialize)]
pub struct Written {
    pub raw: String,
    #[serde(flatten)]
    pub child: Child,
    /// Of its PRM tokens: those of the problem.
    #[serde(rename = "problemTokens", skip_serializing_if = "Option::is_none")]
    pub problem_tokens: Option<u32>,
}

#[allow(clippy::ref_option)]
fn failure<S: Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Failure<'a> {
        code: &'a str,
        message: String,
    }
    let failure = error.as_ref().map(|error| Failure {
        code: error.code(),
        message: error.to_string(),
    });
    failure.serialize(serializer)
}
