//! A run on disk: one safetensors file with the weights that learn, both moments of each, and the rest as JSON among its
//! metadata. Files are written beside their place and moved there when they are whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use surefoot_model::stored::{Stored, safetensors};

use crate::error::{Error, Result};
use crate::optimizer::{AdamW, Named};
use crate::settings::Settings;

const KEY: &str = "surefoot-train";
const KINDS: [&str; 3] = ["weights", "first", "second"];
/// Longest header read, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Where a run is. The order of examples and every draw follow from the settings and the number of the update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    pub settings: Settings,
    /// Digest of the examples.
    pub data: String,
    pub isa: String,
    pub update: u64,
    /// The best evaluation so far: AUC, or the loss's negative.
    pub best: Option<f64>,
    pub since_best: u64,
}

pub(crate) struct Kept {
    pub(crate) state: State,
    pub(crate) weights: Vec<Vec<f32>>,
    pub(crate) moments: Vec<[Vec<f32>; 2]>,
}

pub(crate) fn write(path: &Path, state: &State, parameters: &[Named], optimizer: &AdamW) -> Result<()> {
    let mut tensors = Vec::new();
    for (named, moments) in parameters.iter().zip(&optimizer.moments) {
        for (index, kind) in KINDS.into_iter().enumerate() {
            let numbers = move || {
                Ok(match index {
                    0 => named.parameter.values().clone(),
                    _ => moments[index - 1].clone(),
                })
            };
            tensors.push(Tensor {
                name: format!("{kind}/{}", named.name),
                shape: named.parameter.shape.clone(),
                numbers: Box::new(numbers),
            });
        }
    }
    let state = serde_json::to_string(state).map_err(|error| failed(path, error.to_string()))?;
    write_tensors(path, &tensors, &[(KEY, &state)])
}

/// Refuses a checkpoint of another run: other settings, examples or tensors than `expected` and `parameters`.
pub(crate) fn read(path: &Path, expected: &State, parameters: &[Named]) -> Result<Kept> {
    let stored: BTreeMap<String, Stored> = safetensors(path)?.into_iter().collect();
    let text = metadata(path)?;
    let state: State = serde_json::from_str(&text).map_err(|error| failed(path, error.to_string()))?;
    // How long to go on may be decided anew; all else would make another run.
    let comparable = |settings: &Settings| Settings {
        patience: None,
        rows: 1,
        recompute: false,
        ..settings.clone()
    };
    if comparable(&state.settings) != comparable(&expected.settings) {
        return Err(failed(path, "it belongs to a run with other settings".into()));
    }
    if state.data != expected.data {
        return Err(failed(path, "it belongs to a run on other examples".into()));
    }
    if stored.len() != KINDS.len() * parameters.len() {
        return Err(failed(path, "it belongs to another model".into()));
    }
    let (mut weights, mut moments) = (Vec::new(), Vec::new());
    for named in parameters {
        let [weight, first, second] = KINDS.map(|kind| {
            let name = format!("{kind}/{}", named.name);
            match stored.get(&name) {
                Some(tensor) if tensor.shape == named.parameter.shape => Ok(tensor.read(&name)?),
                _ => Err(failed(
                    path,
                    format!("it belongs to another model: {name} does not fit"),
                )),
            }
        });
        weights.push(weight?);
        moments.push([first?, second?]);
    }
    Ok(Kept {
        state,
        weights,
        moments,
    })
}

fn metadata(path: &Path) -> Result<String> {
    let header = || {
        let mut file = File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let mut header = Vec::new();
        file.take(u64::from_le_bytes(length).min(LONGEST_HEADER))
            .read_to_end(&mut header)?;
        Ok(header)
    };
    let header: Vec<u8> = header().map_err(|source| Error::io(path, source))?;
    let header: Value = serde_json::from_slice(&header).map_err(|error| failed(path, error.to_string()))?;
    match header["__metadata__"][KEY].as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(failed(path, "no checkpoint of a training run".into())),
    }
}

fn failed(path: &Path, message: String) -> Error {
    Error::State {
        path: path.to_owned(),
        message,
    }
}

/// One tensor to be written; its numbers are asked for when their turn comes.
pub(crate) struct Tensor<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Box<dyn Fn() -> Result<Vec<f32>> + 'a>,
}

/// Writes a safetensors file of f32.
pub(crate) fn write_tensors(path: &Path, tensors: &[Tensor<'_>], metadata: &[(&str, &str)]) -> Result<()> {
    let metadata: Map<String, Value> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let mut header = Map::new();
    header.insert("__metadata__".into(), Value::Object(metadata));
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.shape.iter().product::<usize>() * size_of::<f32>();
        let entry = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end] });
        header.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Numbers begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    write_whole(path, |file| {
        let io = |source| Error::io(path, source);
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
        file.write_all(&header).map_err(io)?;
        for tensor in tensors {
            for number in (tensor.numbers)()? {
                file.write_all(&number.to_le_bytes()).map_err(io)?;
            }
        }
        Ok(())
    })
}

/// Writes a file beside its place, has the system put it on disk, and moves it there. Where that fails, what was there
/// before is untouched.
pub(crate) fn write_whole(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let io = |source| Error::io(path, source);
    let write = || {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&partial).map_err(io)?);
        fill(&mut file)?;
        let file = file.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)?;
        fs::rename(&partial, path).map_err(io)?;
        sync(path)
    };
    let written = write();
    if written.is_err() {
        // It is only in the way: the error says what went wrong.
        _ = fs::remove_file(&partial);
    }
    written
}

/// Has the system keep the folder's entry of a file.
#[cfg(unix)]
fn sync(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
    File::open(&folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::io(&folder, source))
}

#[cfg(not(unix))]
fn sync(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_full_disk_leaves_what_was_there() {
        let folder = std::env::temp_dir().join(format!("surefoot-train-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("checkpoint.safetensors");
        write_whole(&path, |file| Ok(file.write_all(b"whole").unwrap())).unwrap();
        let full = write_whole(&path, |file| {
            file.write_all(&vec![1; 5_000_000]).unwrap();
            Err(Error::io(&path, io::Error::from(io::ErrorKind::StorageFull)))
        });
        assert_eq!(full.unwrap_err().code(), "ERR_IO");
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
