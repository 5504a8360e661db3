//! A search as JavaScript drives it: JSON in, JSON out, for it is numbers only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi_derive::napi;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use surefoot_search::tree::Group;
use surefoot_search::{Budget, Child, Config, NodeId, Tree};

use crate::Failure;

#[napi]
pub struct Search {
    /// Shared with the engine while it drives the search.
    pub(crate) inner: Arc<Mutex<surefoot_search::Search>>,
}

/// A JSON text or a failure.
#[napi(object)]
pub struct Answered {
    pub value: Option<String>,
    pub failure: Option<Failure>,
}

/// A search or a failure.
#[napi(object, object_from_js = false)]
pub struct NewSearch {
    pub search: Option<Search>,
    pub failure: Option<Failure>,
}

/// The search of a strategy under a budget, both as JSON.
#[napi(catch_unwind)]
pub fn new_search(strategy: String, budget: String) -> NewSearch {
    let made = read::<Config>("strategy", &strategy).and_then(|config| {
        let budget = read::<Budget>("budget", &budget)?;
        surefoot_search::Search::new(config, budget).map_err(failure)
    });
    match made {
        Ok(mut search) => {
            search.trace(true);
            NewSearch {
                search: Some(Search {
                    inner: Arc::new(Mutex::new(search)),
                }),
                failure: None,
            }
        }
        Err(failure) => NewSearch {
            search: None,
            failure: Some(failure),
        },
    }
}

impl Search {
    fn inner(&self) -> MutexGuard<'_, surefoot_search::Search> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[napi]
impl Search {
    #[napi(catch_unwind)]
    pub fn ask(&self, max: u32, now: f64) -> Answered {
        answered(Ok(self.inner().ask(max as usize, now as u64)))
    }

    /// Returns the first of the nodes that the continuations are.
    #[napi(catch_unwind)]
    pub fn tell(&self, request: u32, children: String) -> Answered {
        let told = read::<Vec<Child>>("children", &children)
            .and_then(|children| self.inner().tell(request, &children).map_err(failure));
        answered(told.map(|nodes| nodes.start))
    }

    #[napi(catch_unwind)]
    pub fn fail(&self, request: u32) -> Answered {
        let failed = self.inner().fail(request).map_err(failure);
        answered(failed.map(|()| true))
    }

    #[napi(catch_unwind)]
    pub fn group(&self, groups: String) -> Answered {
        let grouped = read::<Vec<(NodeId, Option<u32>)>>("groups", &groups)
            .and_then(|groups| self.inner().group(&groups).map_err(failure));
        answered(grouped.map(|()| true))
    }

    #[napi(catch_unwind)]
    pub fn abort(&self) {
        self.inner().abort();
    }

    /// `null` in JSON where there is nothing.
    #[napi(catch_unwind)]
    pub fn best(&self) -> Answered {
        answered(Ok(self.inner().best()))
    }

    #[napi(catch_unwind)]
    pub fn events(&self) -> Answered {
        answered(Ok(self.inner().take_events()))
    }

    /// Whether a node is there by now.
    #[napi(catch_unwind)]
    pub fn has(&self, node: u32) -> bool {
        self.inner().tree().has(node)
    }

    #[napi(catch_unwind)]
    pub fn nodes(&self) -> Answered {
        let search = self.inner();
        let (tree, by) = (search.tree(), search.aggregate());
        let rows: Vec<Value> = tree.nodes().map(|node| row(tree, node, tree.score(node, by))).collect();
        answered(Ok(rows))
    }
}

fn row(tree: &Tree, node: NodeId, score: Option<f64>) -> Value {
    let group = match tree.group(node) {
        Group::Of(group) => Some(group),
        Group::Unknown | Group::NoAnswer => None,
    };
    json!({
        "node": node,
        "parent": tree.parent(node),
        "depth": tree.depth(node),
        "tokens": tree.tokens(node),
        "scores": tree.scores(node),
        "score": score,
        "value": tree.value(node),
        "visits": tree.visits(node),
        "group": group,
        "finished": tree.is_finished(node),
        "pruned": tree.is_pruned(node),
    })
}

fn read<T: DeserializeOwned>(argument: &str, json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure {
        code: "ERR_INVALID_ARGUMENT".into(),
        message: format!("{argument}: {error}"),
        data: json!({ "argument": argument }).to_string(),
    })
}

fn failure(error: surefoot_search::Error) -> Failure {
    use surefoot_search::Error::{Config, Unbounded};
    let (code, data) = match &error {
        Config { field, .. } => ("ERR_INVALID_ARGUMENT", json!({ "argument": field })),
        Unbounded => ("ERR_INVALID_ARGUMENT", json!({ "argument": "budget" })),
        other => ("ERR_SEARCH", json!({ "kind": other.kind() })),
    };
    Failure {
        code: code.into(),
        message: error.to_string(),
        data: data.to_string(),
    }
}

fn answered<T: Serialize>(result: Result<T, Failure>) -> Answered {
    match result {
        Ok(value) => Answered {
            value: serde_json::to_string(&value).ok(),
            failure: None,
        },
        Err(failure) => Answered {
            value: None,
            failure: Some(failure),
        },
    }
}
