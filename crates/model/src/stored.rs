//! Tensors as they lie in files: what a header says of them, checked against the file, and their numbers as f32.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, ggml_file};
use candle_core::{DType, Device};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};
use crate::json::refuse_twice;

/// Longest safetensors header read, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor in a file. Its extent lies within the file.
#[derive(Debug)]
pub struct Stored {
    pub file: PathBuf,
    pub shape: Vec<usize>,
    pub format: Format,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes.
    pub length: usize,
    /// Where the two halves of each head's rows alternate, as in llama's GGUF files: the rows of a head. Reading puts
    /// the first half before the second again.
    pub interleaved: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Safetensors(Dtype),
    /// Rows of whole blocks.
    Ggml(GgmlDType),
}

impl Format {
    /// Lower case.
    pub fn name(self) -> String {
        match self {
            Self::Safetensors(dtype) => format!("{dtype:?}").to_lowercase(),
            Self::Ggml(dtype) => format!("{dtype:?}").to_lowercase(),
        }
    }
}

impl Stored {
    /// All numbers, row by row. `name` is for errors.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let values = self.decode(name, self.bytes(0, self.length)?)?;
        let Some(head) = self.interleaved else {
            return Ok(values);
        };
        let width = values.len() / self.shape[0];
        let rows = (0..self.shape[0]).flat_map(|row| {
            let at = interleaved_row(row, head) * width;
            &values[at..at + width]
        });
        Ok(rows.copied().collect())
    }

    /// Rows of a matrix as the bits of bf16, where they are stored so.
    pub fn read_bf16(&self, rows: Range<usize>) -> Result<Option<Vec<u16>>> {
        let is_bf16 = matches!(
            self.format,
            Format::Safetensors(Dtype::BF16) | Format::Ggml(GgmlDType::BF16)
        );
        if !is_bf16 || self.interleaved.is_some() {
            return Ok(None);
        }
        let bytes_per_row = self.length / self.shape[0];
        let bytes = self.bytes((rows.start * bytes_per_row) as u64, rows.len() * bytes_per_row)?;
        Ok(Some(halves(&bytes, |bits| bits)))
    }

    /// Some rows of a matrix, one behind the other; each must be below `shape[0]`.
    pub fn read_rows(&self, name: &str, rows: &[usize]) -> Result<Vec<f32>> {
        let bytes_per_row = self.length / self.shape[0];
        let mut bytes = Vec::with_capacity(rows.len() * bytes_per_row);
        for run in runs(
            rows.iter()
                .map(|&row| self.interleaved.map_or(row, |head| interleaved_row(row, head))),
        ) {
            bytes.extend(self.bytes((run.start * bytes_per_row) as u64, run.len() * bytes_per_row)?);
        }
        self.decode(name, bytes)
    }

    fn bytes(&self, from: u64, length: usize) -> Result<Vec<u8>> {
        let read = || {
            let mut file = File::open(&self.file)?;
            file.seek(SeekFrom::Start(self.offset + from))?;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|source| Error::Io {
            path: self.file.clone(),
            source,
        })
    }

    fn decode(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<f32>> {
        match self.format {
            Format::Safetensors(Dtype::F32) | Format::Ggml(GgmlDType::F32) => Ok(bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect()),
            Format::Safetensors(Dtype::BF16) | Format::Ggml(GgmlDType::BF16) => {
                Ok(halves(&bytes, bf16::from_bits).to_f32_vec())
            }
            Format::Safetensors(Dtype::F16) | Format::Ggml(GgmlDType::F16) => {
                Ok(halves(&bytes, f16::from_bits).to_f32_vec())
            }
            Format::Safetensors(other) => Err(Error::ModelUnsupported {
                path: self.file.clone(),
                message: format!("{name} is stored as {other:?}; f32, bf16 and f16 are read"),
            }),
            Format::Ggml(dtype) => {
                let count = bytes.len() / dtype.type_size() * dtype.block_size();
                let tensor = ggml_file::qtensor_from_ggml(dtype, &bytes, vec![count], &Device::Cpu)?;
                Ok(tensor.dequantize(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec1()?)
            }
        }
    }
}

/// Where row `row` of a matrix of heads lies when the halves of each head alternate.
fn interleaved_row(row: usize, head: usize) -> usize {
    let (first, within) = (row / head * head, row % head);
    let (half, plane) = (within / (head / 2), within % (head / 2));
    first + 2 * plane + half
}

/// Neighbouring numbers as ranges.
fn runs(numbers: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

fn halves<T>(bytes: &[u8], from_bits: fn(u16) -> T) -> Vec<T> {
    bytes
        .chunks_exact(2)
        .map(|b| from_bits(u16::from_le_bytes([b[0], b[1]])))
        .collect()
}

/// The tensors of a safetensors file by name.
pub fn safetensors(path: &Path) -> Result<Vec<(String, Stored)>> {
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
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let stored = Stored {
            file: path.to_owned(),
            shape: info.shape.clone(),
            format: Format::Safetensors(info.dtype),
            offset: start + info.data_offsets.0 as u64,
            length: info.data_offsets.1 - info.data_offsets.0,
            interleaved: None,
        };
        (name, stored)
    });
    Ok(tensors.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header_of(bytes: &[u8], name: &str) -> Result<Vec<(String, Stored)>> {
        let path = std::env::temp_dir().join(format!("surefoot-{}-{name}.safetensors", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let result = safetensors(&path);
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

    #[test]
    fn rows_whose_halves_alternate_are_put_in_order() {
        let order: Vec<_> = (0..8).map(|row| interleaved_row(row, 4)).collect();
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
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
