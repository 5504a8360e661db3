//! Loaded models by what they were loaded from: threads that load the same model share its weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use surefoot_model::choose::ProfileChoice;
use surefoot_model::compute::Compute;
use surefoot_model::policy::PolicyChoice;
use surefoot_model::{Policy, Prm, Result, Source};

use crate::{Model, pool};

#[derive(PartialEq, Eq, Hash)]
struct Key {
    /// Resolved.
    source: Source,
    /// Name, length and time of change of every file: an edited checkpoint is another model.
    files: Vec<(PathBuf, u64, Option<SystemTime>)>,
    compute: Compute,
    choice: Choice,
}

/// What a checkpoint is read as.
#[derive(PartialEq, Eq, Hash)]
enum Choice {
    Prm(ProfileChoice),
    Policy(PolicyChoice),
}

type Slot = Arc<Mutex<Weak<Model>>>;

static MODELS: LazyLock<Mutex<HashMap<Key, Slot>>> = LazyLock::new(Mutex::default);

/// Loads a PRM, or shares the one that is loaded already. Blocks while another thread loads the same.
pub fn load(source: &Source, compute: &Compute, choice: &ProfileChoice) -> Result<Arc<Model>> {
    share(source, compute, Choice::Prm(choice.clone()), || {
        Ok(Prm::load(source, compute, choice)?.into())
    })
}

/// The same for a policy.
pub fn load_policy(source: &Source, compute: &Compute, choice: &PolicyChoice) -> Result<Arc<Model>> {
    share(source, compute, Choice::Policy(choice.clone()), || {
        Ok(Policy::load(source, compute, choice)?.into())
    })
}

fn share(
    source: &Source,
    compute: &Compute,
    choice: Choice,
    load: impl FnOnce() -> Result<Model> + Send,
) -> Result<Arc<Model>> {
    let slot = slot(source, compute, choice)?;
    let mut shared = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = shared.upgrade() {
        return Ok(model);
    }
    let model = Arc::new(pool::run(load)??);
    *shared = Arc::downgrade(&model);
    Ok(model)
}

fn slot(source: &Source, compute: &Compute, choice: Choice) -> Result<Slot> {
    let source = source.resolve()?;
    let paths = [Some(&source.path), source.head.as_ref()];
    let key = Key {
        files: paths.into_iter().flatten().flat_map(|path| files(path)).collect(),
        source,
        compute: *compute,
        choice,
    };
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    models.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|model| model.strong_count() > 0));
    Ok(models.entry(key).or_default().clone())
}

/// Of a folder its files, of a file itself.
fn files(path: &Path) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let mut paths = vec![path.to_owned()];
    if let Ok(entries) = std::fs::read_dir(path) {
        paths = entries.flatten().map(|entry| entry.path()).collect();
    }
    let files = paths.into_iter().filter_map(|path| {
        let metadata = path.metadata().ok()?;
        Some((path, metadata.len(), metadata.modified().ok()))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}
