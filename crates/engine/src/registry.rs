//! Loaded models by what they were loaded from: threads that load the same model share its weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use surefoot_model::choose::ProfileChoice;
use surefoot_model::device::Choice;
use surefoot_model::{Error, Prm, Result};

use crate::Model;

#[derive(PartialEq, Eq, Hash)]
struct Key {
    folder: PathBuf,
    /// Name, length and time of change of every file: an edited checkpoint is another model.
    files: Vec<(PathBuf, u64, Option<SystemTime>)>,
    device: Choice,
    choice: ProfileChoice,
}

type Slot = Arc<Mutex<Weak<Model>>>;

static MODELS: LazyLock<Mutex<HashMap<Key, Slot>>> = LazyLock::new(Mutex::default);

/// Loads a model, or shares the one that is loaded already. Blocks while another thread loads the same.
pub fn load(folder: &Path, device: Choice, choice: &ProfileChoice) -> Result<Arc<Model>> {
    let slot = slot(folder, device, choice)?;
    let mut shared = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = shared.upgrade() {
        return Ok(model);
    }
    let model = Arc::new(Model::new(Prm::load(folder, device, choice)?));
    *shared = Arc::downgrade(&model);
    Ok(model)
}

fn slot(folder: &Path, device: Choice, choice: &ProfileChoice) -> Result<Slot> {
    let Ok(canonical) = folder.canonicalize() else {
        return Err(Error::ModelNotFound {
            path: folder.to_owned(),
        });
    };
    let key = Key {
        files: files(&canonical),
        folder: canonical,
        device,
        choice: choice.clone(),
    };
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    models.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|model| model.strong_count() > 0));
    Ok(models.entry(key).or_default().clone())
}

fn files(folder: &Path) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let metadata = entry.path().metadata().ok()?;
            Some((entry.path(), metadata.len(), metadata.modified().ok()))
        })
        .collect();
    files.sort();
    files
}
