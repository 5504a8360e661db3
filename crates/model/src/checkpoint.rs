//! A checkpoint folder: config.json and safetensors, single or sharded. Files are checked when they are opened and
//! tensors are read one at a time, so a lie in a header costs an error and never an allocation beyond the file's size.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::json::refuse_twice;

/// Longest safetensors header read, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;
/// Longest JSON file read, in bytes.
const LONGEST_JSON: u64 = 256_000_000;

#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    file: PathBuf,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Bytes from the start of the file.
    offset: u64,
    length: usize,
}

impl Checkpoint {
    /// Reads the headers of all weight files of a folder.
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(if is_pickle(folder) && folder.is_file() {
                Error::UnsafeFormat {
                    path: folder.to_owned(),
                }
            } else {
                Error::ModelNotFound {
                    path: folder.to_owned(),
                }
            });
        }
        let mut tensors = BTreeMap::new();
        for file in weight_files(folder)? {
            for (name, entry) in read_header(&file)? {
                if let Some(twice) = tensors.insert(name.clone(), entry) {
                    let message = format!("{name} stands in {} too", twice.file.display());
                    return Err(Error::ModelInvalid { path: file, message });
                }
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            tensors,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| entry.shape.as_slice())
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
        let names: BTreeSet<_> = self
            .tensors
            .values()
            .map(|entry| format!("{:?}", entry.dtype).to_lowercase())
            .collect();
        names.into_iter().collect()
    }

    /// The numbers of one tensor, row by row, widened to f32.
    ///
    /// Missing, of another shape than `shape`, or not finite: `ModelInvalid`. Not f32, bf16 or f16: `ModelUnsupported`.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(Error::ModelInvalid {
                path: self.folder.clone(),
                message: format!("tensor {name} is missing"),
            });
        };
        let invalid = |message: String| Error::ModelInvalid {
            path: entry.file.clone(),
            message,
        };
        if entry.shape != shape {
            return Err(invalid(format!(
                "{name} has shape {:?}, config.json asks for {shape:?}",
                entry.shape
            )));
        }
        let bytes = entry.read().map_err(|source| Error::Io {
            path: entry.file.clone(),
            source,
        })?;
        let values: Vec<f32> = match entry.dtype {
            Dtype::F32 => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::BF16 => halves(&bytes, bf16::from_bits).to_f32_vec(),
            Dtype::F16 => halves(&bytes, f16::from_bits).to_f32_vec(),
            other => {
                return Err(Error::ModelUnsupported {
                    path: entry.file.clone(),
                    message: format!("{name} is stored as {other:?}; f32, bf16 and f16 are read"),
                });
            }
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(invalid(format!("{name} holds {} at element {at}", values[at]))),
            None => Ok(values),
        }
    }
}

impl Entry {
    fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = vec![0; self.length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn halves<T>(bytes: &[u8], from_bits: fn(u16) -> T) -> Vec<T> {
    bytes
        .chunks_exact(2)
        .map(|b| from_bits(u16::from_le_bytes([b[0], b[1]])))
        .collect()
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

fn is_pickle(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("bin" | "pt" | "pth" | "pkl" | "ckpt"))
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
    let pickle = std::fs::read_dir(folder).ok().and_then(|entries| {
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| is_pickle(path))
    });
    match pickle {
        Some(path) => Error::UnsafeFormat { path },
        None => Error::ModelInvalid {
            path: folder.to_owned(),
            message: "neither model.safetensors nor model.safetensors.index.json is here".into(),
        },
    }
}

fn read_header(path: &Path) -> Result<Vec<(String, Entry)>> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let invalid = |message: String| Error::ModelInvalid {
        path: path.to_owned(),
        message,
    };
    let mut file = File::open(path).map_err(io)?;
    let file_length = file.metadata().map_err(io)?.len();
    if file_length < 8 {
        return Err(invalid(format!("{file_length} bytes are no safetensors file")));
    }
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(io)?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > LONGEST_HEADER.min(file_length - 8) {
        return Err(invalid(format!(
            "the header claims {header_length} bytes of a file of {file_length}; truncated, or no safetensors file"
        )));
    }
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header).map_err(io)?;
    refuse_twice(&header).map_err(|error| invalid(format!("safetensors header: {error}")))?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| invalid(format!("safetensors header: {error}")))?;
    let start = 8 + header_length;
    let expected = start + metadata.data_len() as u64;
    if expected != file_length {
        return Err(invalid(format!(
            "the header describes {expected} bytes, the file has {file_length}"
        )));
    }
    let entries = metadata.tensors().into_iter().map(|(name, info)| {
        let entry = Entry {
            file: path.to_owned(),
            dtype: info.dtype,
            shape: info.shape.clone(),
            offset: start + info.data_offsets.0 as u64,
            length: info.data_offsets.1 - info.data_offsets.0,
        };
        (name, entry)
    });
    Ok(entries.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header_of(bytes: &[u8], name: &str) -> Result<Vec<(String, Entry)>> {
        let path = std::env::temp_dir().join(format!("surefoot-{}-{name}.safetensors", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let result = read_header(&path);
        std::fs::remove_file(&path).unwrap();
        result
    }

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        bytes
    }

    const SOUND: &str = r#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;

    #[test]
    fn a_sound_header_is_read() {
        let entries = header_of(&file(SOUND, 16), "sound").unwrap();
        assert_eq!(entries[0].1.shape, [2, 2]);
    }

    #[test]
    fn lies_are_refused() {
        let huge = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#;
        let apart = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
        let twice = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
        let overlap = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        for (bytes, name) in [
            (file(twice, 16), "twice"),
            (file(overlap, 16), "overlap"),
            (file(&deep, 0), "deep"),
            (file(SOUND, 15), "short"),
            (file(SOUND, 17), "long"),
            (file(huge, 16), "overflow"),
            (file(apart, 16), "hole"),
            (u64::MAX.to_le_bytes().to_vec(), "length"),
            (vec![1, 2, 3], "stub"),
            (file("{\"a\":", 0), "json"),
        ] {
            assert_eq!(
                header_of(&bytes, name).unwrap_err().code(),
                "ERR_MODEL_INVALID",
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = header_of(&bytes, "random");
        }

        #[test]
        fn no_changed_byte_makes_the_reader_panic(at in 0usize..80, value in any::<u8>()) {
            let mut bytes = file(SOUND, 16);
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(entries) = header_of(&bytes, "changed") {
                for (_, entry) in entries {
                    prop_assert!(entry.offset + entry.length as u64 <= bytes.len() as u64);
                }
            }
        }
    }
}
