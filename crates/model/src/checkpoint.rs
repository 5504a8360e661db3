//! What a model is loaded from: a folder of config.json and safetensors, single or sharded, or a GGUF file, and on top of
//! it a head of its own or a LoRA adapter. Files are checked when they are opened and tensors are read one at a time, so
//! a lie in a header costs an error and never an allocation beyond the file's size.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::adapter::{self, Adapter};
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::stored::{Stored, safetensors};
use crate::tokenizer::{self, TokenizerFiles};
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

    pub fn is_gguf(&self) -> bool {
        self.gguf.is_some()
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

    /// Ids that end an answer, besides the tokenizer's EOS.
    pub fn stop_ids(&self) -> Result<Vec<u32>> {
        match &self.gguf {
            Some(gguf) => gguf_tokenizer::stop_ids(gguf),
            None => tokenizer::stop_ids(&self.source.path),
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
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(not_finite(stored, name, values[at], at)),
            None => Ok(values),
        }
    }

    /// Some rows of a matrix, as [`Checkpoint::read`] gives them; only those rows are read. Each is below `shape[0]`.
    pub fn read_rows(&self, name: &str, shape: &[usize], rows: &[usize]) -> Result<Vec<f32>> {
        let stored = self.stored(name, shape)?;
        let mut values = stored.read_rows(name, rows)?;
        if let Some(update) = self.adapter.as_ref().and_then(|adapter| adapter.update(name)) {
            update.add_to(&mut values, Some(rows))?;
        }
        let width = values.len() / rows.len().max(1);
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(not_finite(
                stored,
                name,
                values[at],
                rows[at / width] * width + at % width,
            )),
            None => Ok(values),
        }
    }

    /// A matrix of outputs × inputs, to be read some rows at a time.
    pub fn matrix<'a>(&'a self, name: &'a str, outputs: usize, inputs: usize) -> Result<Rows<'a>> {
        self.stored(name, &[outputs, inputs])?;
        Ok(Rows {
            outputs,
            inputs,
            widened: false,
            lies: Lies::Stored(self, name),
        })
    }

    fn bf16_rows(&self, name: &str, shape: [usize; 2], rows: Range<usize>) -> Result<Option<Vec<u16>>> {
        let stored = self.stored(name, &shape)?;
        if self
            .adapter
            .as_ref()
            .is_some_and(|adapter| adapter.update(name).is_some())
        {
            return Ok(None);
        }
        let bits = stored.read_bf16(rows.clone())?;
        let infinite = bits.iter().flatten().position(|bits| bits & 0x7f80 == 0x7f80);
        match (&bits, infinite) {
            (Some(bits), Some(at)) => {
                let value = f32::from_bits(u32::from(bits[at]) << 16);
                Err(not_finite(stored, name, value, rows.start * shape[1] + at))
            }
            _ => Ok(bits),
        }
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

/// A matrix that is read some rows at a time, so that no second copy of it is ever in memory.
pub struct Rows<'a> {
    outputs: usize,
    inputs: usize,
    /// Whether bf16 is read as f32.
    widened: bool,
    lies: Lies<'a>,
}

enum Lies<'a> {
    Stored(&'a Checkpoint, &'a str),
    Memory(Vec<f32>),
}

/// Rows, one behind the other.
pub enum Numbers {
    F32(Vec<f32>),
    /// Bits of bf16.
    Bf16(Vec<u16>),
}

impl Rows<'_> {
    /// A matrix that is in memory already.
    pub fn of(values: Vec<f32>, outputs: usize, inputs: usize) -> Self {
        Self {
            outputs,
            inputs,
            widened: false,
            lies: Lies::Memory(values),
        }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Both with the same kind of numbers: f32 where only one has bf16.
    pub fn alike(mut pair: [Self; 2]) -> Result<[Self; 2]> {
        let widened = pair[0].is_bf16()? != pair[1].is_bf16()?;
        pair.iter_mut().for_each(|rows| rows.widened |= widened);
        Ok(pair)
    }

    /// Whether [`Rows::read`] gives bf16: what is stored so and not changed by an adapter.
    pub fn is_bf16(&self) -> Result<bool> {
        match &self.lies {
            Lies::Stored(checkpoint, name) if !self.widened => {
                let none = checkpoint.bf16_rows(name, [self.outputs, self.inputs], 0..0)?;
                Ok(none.is_some())
            }
            _ => Ok(false),
        }
    }

    /// Some rows, all finite.
    pub fn read(&self, rows: Range<usize>) -> Result<Numbers> {
        match &self.lies {
            Lies::Memory(values) => Ok(Numbers::F32(
                values[rows.start * self.inputs..rows.end * self.inputs].to_vec(),
            )),
            Lies::Stored(checkpoint, name) => {
                let shape = [self.outputs, self.inputs];
                if !self.widened
                    && let Some(bits) = checkpoint.bf16_rows(name, shape, rows.clone())?
                {
                    return Ok(Numbers::Bf16(bits));
                }
                let rows: Vec<usize> = rows.collect();
                Ok(Numbers::F32(checkpoint.read_rows(name, &shape, &rows)?))
            }
        }
    }
}

fn not_finite(stored: &Stored, name: &str, value: f32, at: usize) -> Error {
    Error::ModelInvalid {
        path: stored.file.clone(),
        message: format!("{name} holds {value} at element {at}"),
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
