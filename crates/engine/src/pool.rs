//! The one compute pool of the process. Everything heavy runs in it, whichever thread asked.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};
use surefoot_model::{Error, Result, lower_priority};

/// Runs `work` in the pool: `SUREFOOT_THREADS` threads, else one per core.
pub(crate) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    static POOL: OnceLock<std::result::Result<ThreadPool, String>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let threads = std::env::var("SUREFOOT_THREADS")
            .ok()
            .and_then(|text| text.parse().ok());
        ThreadPoolBuilder::new()
            .num_threads(threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)))
            .thread_name(|index| format!("surefoot-{index}"))
            // The event loop comes first.
            .start_handler(|_| _ = lower_priority())
            .build()
            .map_err(|error| error.to_string())
    });
    match pool {
        Ok(pool) => Ok(pool.install(work)),
        Err(message) => Err(Error::Internal {
            message: format!("no compute pool: {message}"),
        }),
    }
}
