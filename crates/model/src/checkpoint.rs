//! What a model is loaded from: a folder of config.json and safetensors, single or sharded, or a GGUF file, and on top of
//! it a head of its own or a LoRA adapter. Files are checked when they are opened and tensors are read one at a time, so
//! a lie in a header costs an error and never an allocation beyond the file's size.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::adapter::{self, Adapter};
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::stored::{Stored, safetensors};
use crate::tokenizer::TokenizerFiles;
use crate::{gguf_config, gguf_tokenizer};

/// Longest JSON file read, in bytes.
const LONGEST_JSON: u64 = 256_000_000;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// A folder or a GGUF file; or the folder of a LoRA adapter that names its base by path.
    pub path: PathBuf,
    /// A safetensors file with the head's tensors, or the folder of a LoRA adapter.
    pub head: Option<PathBuf>,
}

impl Source {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            head: None,
        }
    }

    #[must_use]
    pub fn with_head(mut self, head: impl Into<PathBuf>) -> Self {
        self.head = Some(head.into());
        self
    }

    /// With absolute paths, and the folder of an adapter alone taken apart into the base that it names and itself.
    pub fn resolve(&self) -> Result<Self> {
        let path = canonical(&self.path)?;
        match &self.head {
            Some(head) => Ok(Self {
                path,
                head: Some(canonical(head)?),
            }),
            None if adapter::is_adapter(&path) && !has_weights(&path) => Ok(Self {
                path: canonical(&adapter::base(&path)?)?,
                head: Some(path),
            }),
            None => Ok(Self { path, head: None }),
        }
    }

    /// The folder of the adapter, where there is one.
    pub fn adapter(&self) -> Option<&Path> {
        self.head.as_deref().filter(|head| adapter::is_adapter(head))
    }
}

/// The absolute path of a folder or file. A link that is the file itself stays: the hub's cache keeps the names of files
/// in such links only.
fn canonical(path: &Path) -> Result<PathBuf> {
    let missing = || Error::ModelNotFound { path: path.to_owned() };
    match (path.is_file(), path.parent(), path.file_name()) {
        (true, Some(folder), Some(name)) => {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            Ok(folder.canonicalize().map_err(|_| missing())?.join(name))
        }
        _ => path.canonicalize().map_err(|_| missing()),
    }
}

#[derive(Debug)]
pub struct Checkpoint {
    /// Resolved.
    source: Source,
    tensors: BTreeMap<String, Stored>,
    /// The header of a GGUF file.
    gguf: Option<Gguf>,
    adapter: Option<Adapter>,
}

impl Checkpoint {
    /// Reads the headers of all weight files of a source.
    pub fn open(source: &Source) -> Result<Self> {
        let source = source.resolve()?;
        let path = source.path.as_path();
        let mut tensors = BTreeMap::new();
        let mut gguf = None;
        if path.is_dir() {
            for file in weight_files(path)? {
                add(&mut tensors, &file, safetensors(&file)?)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
        {
            let mut file = Gguf::open(path)?;
            add(&mut tensors, path, gguf_config::take_weights(&mut file)?)?;
            gguf = Some(file);
        } else {
            return Err(if is_pickle(path) {
                Error::UnsafeFormat { path: path.to_owned() }
            } else {
                Error::ModelNotFound { path: path.to_owned() }
            });
        }
        let mut adapter = None;
        match (source.adapter(), &source.head) {
            (Some(folder), _) => {
                let (opened, replaced) =
                    Adapter::open(folder, |name| tensors.get(name).map(|base| base.shape.clone()))?;
                tensors.extend(replaced);
                adapter = Some(opened);
            }
            (None, Some(head)) => add(&mut tensors, head, head_tensors(head)?)?,
            (None, None) => {}
        }
        Ok(Self {
            source,
            tensors,
            gguf,
            adapter,
        })
    }

    /// The folder or the GGUF file of the backbone.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// How many numbers the named tensors hold together.
    pub fn parameters<'a>(&self, names: impl Iterator<Item = &'a str>) -> usize {
        names
            .filter_map(|name| self.shape(name))
            .map(|shape| shape.iter().product::<usize>())
            .sum()
    }

    /// The types of the stored numbers, lower case, sorted.
    pub fn dtypes(&self) -> Vec<String> {
        let names: BTreeSet<_> = self.tensors.values().map(|tensor| tensor.format.name()).collect();
        names.into_iter().collect()
    }

    /// config.json, or what the metadata of a GGUF file say in its words; and the file it stands in, for errors.
    pub fn config(&self) -> Result<(Value, PathBuf)> {
        match &self.gguf {
            Some(gguf) => Ok((gguf_config::config(gguf, &self.tensors)?, gguf.path.clone())),
            None => {
                let path = self.source.path.join("config.json");
                Ok((read_json(&path)?, path))
            }
        }
    }

    /// The tokenizer and its chat template. An adapter's folder may bring its own.
    pub fn tokenizer(&self) -> Result<TokenizerFiles> {
        let own = self
            .source
            .adapter()
            .filter(|folder| folder.join("tokenizer.json").is_file());
        match (own, &self.gguf) {
            (Some(folder), _) => TokenizerFiles::of_folder(folder),
            (None, Some(gguf)) => gguf_tokenizer::files(gguf),
            (None, None) => TokenizerFiles::of_folder(&self.source.path),
        }
    }

    /// The numbers of one tensor, row by row, widened to f32, with what an adapter adds.
    ///
    /// Missing, of another shape than `shape`, or not finite: `ModelInvalid`. Of a type that is not read:
    /// `ModelUnsupported`.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let stored = self.stored(name, shape)?;
        let mut values = stored.read(name)?;
        if let Some(update) = self.adapter.as_ref().and_then(|adapter| adapter.update(name)) {
            update.add_to(&mut values, None)?;
        }
        finite(values, stored, name)
    }

    /// Some rows of a matrix, as [`Checkpoint::read`] gives them; only those rows are read. Each is below `shape[0]`.
    pub fn read_rows(&self, name: &str, shape: &[usize], rows: &[usize]) -> Result<Vec<f32>> {
        let stored = self.stored(name, shape)?;
        let mut values = stored.read_rows(name, rows)?;
        if let Some(update) = self.adapter.as_ref().and_then(|adapter| adapter.update(name)) {
            update.add_to(&mut values, Some(rows))?;
        }
        finite(values, stored, name)
    }

    fn stored(&self, name: &str, shape: &[usize]) -> Result<&Stored> {
        let Some(stored) = self.tensors.get(name) else {
            return Err(Error::ModelInvalid {
                path: self.source.path.clone(),
                message: format!("tensor {name} is missing"),
            });
        };
        if stored.shape != shape {
            return Err(Error::ModelInvalid {
                path: stored.file.clone(),
                message: format!("{name} has shape {:?}, the config asks for {shape:?}", stored.shape),
            });
        }
        Ok(stored)
    }
}

fn finite(values: Vec<f32>, stored: &Stored, name: &str) -> Result<Vec<f32>> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::ModelInvalid {
            path: stored.file.clone(),
            message: format!("{name} holds {} at element {at}", values[at]),
        }),
        None => Ok(values),
    }
}

fn add(tensors: &mut BTreeMap<String, Stored>, file: &Path, more: Vec<(String, Stored)>) -> Result<()> {
    for (name, stored) in more {
        match tensors.entry(name) {
            Entry::Vacant(place) => {
                place.insert(stored);
            }
            Entry::Occupied(twice) => {
                return Err(Error::ModelInvalid {
                    path: file.to_owned(),
                    message: format!("{} stands in {} too", twice.key(), twice.get().file.display()),
                });
            }
        }
    }
    Ok(())
}

/// The tensors of a separate head.
fn head_tensors(head: &Path) -> Result<Vec<(String, Stored)>> {
    if is_pickle(head) {
        return Err(Error::UnsafeFormat { path: head.to_owned() });
    }
    if !head.is_file() {
        return Err(Error::ModelInvalid {
            path: head.to_owned(),
            message: "a head is a safetensors file, or a folder with adapter_config.json".into(),
        });
    }
    safetensors(head)
}

/// A JSON file of a checkpoint; a missing one is `ModelInvalid`.
pub fn read_json(path: &Path) -> Result<Value> {
    let invalid = |message: String| Error::ModelInvalid {
        path: path.to_owned(),
        message,
    };
    let bytes = match read_limited(path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(invalid("the file is missing".into()));
        }
        other => other?,
    };
    serde_json::from_slice(&bytes).map_err(|error| invalid(format!("not JSON: {error}")))
}

/// The bytes of a file of at most [`LONGEST_JSON`].
pub fn read_limited(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_JSON + 1).read_to_end(&mut bytes))
        .map_err(io)?;
    if bytes.len() as u64 > LONGEST_JSON {
        return Err(Error::ModelInvalid {
            path: path.to_owned(),
            message: format!("longer than {LONGEST_JSON} bytes"),
        });
    }
    Ok(bytes)
}

pub fn is_pickle(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("bin" | "pt" | "pth" | "pkl" | "ckpt"))
}

/// A pickled file of a folder.
pub fn pickle_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().find(|path| is_pickle(path))
}

fn has_weights(folder: &Path) -> bool {
    folder.join("model.safetensors").is_file() || folder.join("model.safetensors.index.json").is_file()
}

/// `model.safetensors`, else the shards of `model.safetensors.index.json`.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        return Err(no_weights(folder));
    }
    let invalid = |message: String| Error::ModelInvalid {
        path: index.clone(),
        message,
    };
    let json = read_json(&index)?;
    let Some(map) = json["weight_map"].as_object().filter(|map| !map.is_empty()) else {
        return Err(invalid("no weight_map".into()));
    };
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        let name = file.as_str().unwrap_or_default();
        if !name.ends_with(".safetensors") || name.contains(['/', '\\', ':']) {
            return Err(invalid(format!(
                "{tensor} lies in {file}, not in a safetensors file of this folder"
            )));
        }
        files.insert(folder.join(name));
    }
    match files.iter().find(|file| !file.is_file()) {
        Some(missing) => Err(invalid(format!("the shard {} is missing", missing.display()))),
        None => Ok(files.into_iter().collect()),
    }
}

fn no_weights(folder: &Path) -> Error {
    match pickle_in(folder) {
        Some(path) => Error::UnsafeFormat { path },
        None => Error::ModelInvalid {
            path: folder.to_owned(),
            message:
                "neither model.safetensors nor model.safetensors.index.json is here; name a GGUF file by its own path"
                    .into(),
        },
    }
}
