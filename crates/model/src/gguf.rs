//! The header of a GGUF file, versions 2 and 3: metadata by key, and where the tensors lie. Every count and length is
//! held against what is left of the file before anything is allocated for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;

use crate::error::{Error, Result};
use crate::stored::{Format, Stored};

/// Most dimensions of a tensor.
const MOST_DIMENSIONS: u32 = 4;
/// Where `general.alignment` names none.
const DEFAULT_ALIGNMENT: u64 = 32;
const LARGEST_ALIGNMENT: u64 = 1 << 20;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    /// An array of bytes or flags, which nothing here needs.
    Bytes,
}

#[derive(Debug)]
pub struct Gguf {
    pub path: PathBuf,
    metadata: BTreeMap<String, Value>,
    /// Under the names of the file; shapes row first, as PyTorch writes them.
    pub tensors: Vec<(String, Stored)>,
}

impl Gguf {
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut reader = Reader {
            bytes: BufReader::new(file),
            left: length,
            path,
        };
        reader.header(length)
    }

    pub fn invalid(&self, message: impl Into<String>) -> Error {
        Error::ModelInvalid {
            path: self.path.clone(),
            message: message.into(),
        }
    }

    pub fn unsupported(&self, message: impl Into<String>) -> Error {
        Error::ModelUnsupported {
            path: self.path.clone(),
            message: message.into(),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A whole number from 0.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number", |value| match value {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", |value| match value {
            Value::Float(number) => Some(*number),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Signed(number) => Some(*number as f64),
            _ => None,
        })
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub fn texts(&self, key: &str) -> Result<Option<&[String]>> {
        self.typed(key, "a list of texts", |value| match value {
            Value::Texts(texts) => Some(texts.as_slice()),
            _ => None,
        })
    }

    pub fn integers(&self, key: &str) -> Result<Option<&[i64]>> {
        self.typed(key, "a list of whole numbers", |value| match value {
            Value::Integers(numbers) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>> {
        self.typed(key, "a list of numbers", |value| match value {
            Value::Floats(numbers) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    fn typed<'a, T>(&'a self, key: &str, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.metadata.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.invalid(format!("{key} is not {kind}"))),
        }
    }
}

struct Reader<'a> {
    bytes: BufReader<File>,
    /// Bytes of the file that are not read yet.
    left: u64,
    path: &'a Path,
}

/// What the header says of a tensor.
struct Described {
    name: String,
    shape: Vec<usize>,
    dtype: GgmlDType,
    /// From the start of the data.
    offset: u64,
    /// Bytes.
    length: u64,
}

impl Reader<'_> {
    fn header(&mut self, file_length: u64) -> Result<Gguf> {
        if self.take::<4>()? != *b"GGUF" {
            return Err(self.invalid("no GGUF file: it does not begin with GGUF"));
        }
        match self.u32()? {
            2 | 3 => {}
            version if matches!(version.swap_bytes(), 1..=3) => {
                return Err(self.unsupported("a big-endian GGUF file"));
            }
            version => {
                return Err(self.unsupported(format!("GGUF version {version}; versions 2 and 3 are read")));
            }
        }
        // The least bytes of a tensor: name length, rank, one size, type, offset; of a pair: key length, type, value.
        let tensors = self.count(8 + 4 + 8 + 4 + 8, "tensors")?;
        let pairs = self.count(8 + 4 + 1, "metadata pairs")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let key = self.text()?;
            let kind = self.u32()?;
            let value = self.value(kind, &key)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(self.invalid(format!("the key {key} stands twice")));
            }
        }
        let mut described = Vec::with_capacity(tensors as usize);
        let mut names = BTreeSet::new();
        for _ in 0..tensors {
            let tensor = self.tensor()?;
            if !names.insert(tensor.name.clone()) {
                return Err(self.invalid(format!("the tensor {} stands twice", tensor.name)));
            }
            described.push(tensor);
        }
        let mut gguf = Gguf {
            path: self.path.to_owned(),
            metadata,
            tensors: Vec::new(),
        };
        if gguf.unsigned("split.count")?.unwrap_or(1) > 1 {
            return Err(self.unsupported("one of several parts; merge them with llama-gguf-split"));
        }
        let alignment = gguf.unsigned("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || alignment > LARGEST_ALIGNMENT {
            return Err(self.invalid(format!("general.alignment is {alignment}, not a power of two")));
        }
        let start = (file_length - self.left).next_multiple_of(alignment);
        gguf.tensors = self.place(described, start, alignment, file_length)?;
        Ok(gguf)
    }

    /// Holds the extents of the tensors against the file and each other.
    fn place(
        &self,
        mut described: Vec<Described>,
        start: u64,
        alignment: u64,
        file_length: u64,
    ) -> Result<Vec<(String, Stored)>> {
        described.sort_by_key(|tensor| tensor.offset);
        let mut end = 0;
        let mut before = String::new();
        let mut placed = Vec::with_capacity(described.len());
        for Described {
            name,
            shape,
            dtype,
            offset,
            length,
        } in described
        {
            if offset % alignment != 0 {
                return Err(self.invalid(format!("{name} lies at {offset}, not at a multiple of {alignment}")));
            }
            if offset < end {
                return Err(self.invalid(format!("{name} overlaps {before}")));
            }
            end = offset.saturating_add(length);
            if start.saturating_add(end) > file_length {
                return Err(self.invalid(format!(
                    "{name} ends at byte {}, the file has {file_length}: truncated",
                    start.saturating_add(end)
                )));
            }
            let Ok(length) = usize::try_from(length) else {
                return Err(self.invalid(format!("{name} has {length} bytes")));
            };
            before.clone_from(&name);
            let stored = Stored {
                file: self.path.to_owned(),
                shape,
                format: Format::Ggml(dtype),
                offset: start + offset,
                length,
                interleaved: None,
            };
            placed.push((name, stored));
        }
        Ok(placed)
    }

    fn tensor(&mut self) -> Result<Described> {
        let name = self.text()?;
        let rank = self.u32()?;
        if rank == 0 || rank > MOST_DIMENSIONS {
            return Err(self.invalid(format!("{name} has {rank} dimensions")));
        }
        let mut sizes = Vec::new();
        for _ in 0..rank {
            sizes.push(self.u64()?);
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        let Some(dtype) = dtype(kind) else {
            return Err(self.unsupported(format!(
                "{name} is stored as {}; read are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K",
                type_name(kind)
            )));
        };
        let block = dtype.block_size() as u64;
        let elements = sizes.iter().try_fold(1u64, |product, size| product.checked_mul(*size));
        let length = elements
            .filter(|elements| *elements > 0 && sizes[0] % block == 0)
            .and_then(|elements| (elements / block).checked_mul(dtype.type_size() as u64));
        let Some(length) = length else {
            return Err(self.invalid(format!("{name} has sizes {sizes:?} as {dtype:?}, blocks of {block}")));
        };
        let shape = sizes.iter().rev().map(|size| usize::try_from(*size));
        let Ok(shape) = shape.collect::<Result<Vec<_>, _>>() else {
            return Err(self.invalid(format!("{name} has sizes {sizes:?}")));
        };
        Ok(Described {
            name,
            shape,
            dtype,
            offset,
            length,
        })
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value> {
        Ok(match kind {
            UINT8 => Value::Unsigned(u64::from(self.take::<1>()?[0])),
            INT8 => Value::Signed(i64::from(i8::from_le_bytes(self.take()?))),
            UINT16 => Value::Unsigned(u64::from(u16::from_le_bytes(self.take()?))),
            INT16 => Value::Signed(i64::from(i16::from_le_bytes(self.take()?))),
            UINT32 => Value::Unsigned(u64::from(self.u32()?)),
            INT32 => Value::Signed(i64::from(i32::from_le_bytes(self.take()?))),
            FLOAT32 => Value::Float(f64::from(f32::from_le_bytes(self.take()?))),
            BOOL => match self.take::<1>()?[0] {
                0 => Value::Flag(false),
                1 => Value::Flag(true),
                other => return Err(self.invalid(format!("{key} is {other}, not true or false"))),
            },
            STRING => Value::Text(self.text()?),
            ARRAY => self.array(key)?,
            UINT64 => Value::Unsigned(self.u64()?),
            INT64 => Value::Signed(i64::from_le_bytes(self.take()?)),
            FLOAT64 => Value::Float(f64::from_le_bytes(self.take()?)),
            other => return Err(self.invalid(format!("{key} has the unknown type {other}"))),
        })
    }

    fn array(&mut self, key: &str) -> Result<Value> {
        let kind = self.u32()?;
        let width = match kind {
            UINT8 | INT8 | BOOL => 1,
            UINT16 | INT16 => 2,
            UINT32 | INT32 | FLOAT32 => 4,
            UINT64 | INT64 | FLOAT64 | STRING => 8,
            ARRAY => return Err(self.invalid(format!("{key} is a list of lists"))),
            other => return Err(self.invalid(format!("{key} has the unknown type {other}"))),
        };
        let count = self.count(width, key)?;
        Ok(match kind {
            STRING => Value::Texts((0..count).map(|_| self.text()).collect::<Result<_>>()?),
            UINT16 | INT16 | UINT32 | INT32 | UINT64 | INT64 => {
                let number = |value| match value {
                    Value::Unsigned(number) => i64::try_from(number).unwrap_or(i64::MAX),
                    Value::Signed(number) => number,
                    _ => 0,
                };
                Value::Integers(
                    (0..count)
                        .map(|_| self.value(kind, key).map(number))
                        .collect::<Result<_>>()?,
                )
            }
            FLOAT32 => Value::Floats(
                (0..count)
                    .map(|_| Ok(f32::from_le_bytes(self.take()?)))
                    .collect::<Result<_>>()?,
            ),
            FLOAT64 => Value::Floats(
                (0..count)
                    .map(|_| Ok(f64::from_le_bytes(self.take()?) as f32))
                    .collect::<Result<_>>()?,
            ),
            _ => {
                self.skip(count)?;
                Value::Bytes
            }
        })
    }

    /// How many things follow that take at least `least` bytes each.
    fn count(&mut self, least: u64, what: &str) -> Result<u64> {
        let count = self.u64()?;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.left => Ok(count),
            _ => Err(self.invalid(format!(
                "{count} {what} do not fit into the {} bytes that are left: truncated, or no GGUF file",
                self.left
            ))),
        }
    }

    fn text(&mut self) -> Result<String> {
        let length = self.count(1, "bytes of a text")?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|error| self.invalid(format!("a text is not UTF-8: {error}")))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let length = bytes.len() as u64;
        if length > self.left {
            return Err(self.invalid("the header ends early: truncated, or no GGUF file"));
        }
        self.bytes.read_exact(bytes).map_err(|source| Error::Io {
            path: self.path.to_owned(),
            source,
        })?;
        self.left -= length;
        Ok(())
    }

    /// `count` is at most what is left.
    fn skip(&mut self, count: u64) -> Result<()> {
        let skipped = i64::try_from(count).map_err(std::io::Error::other);
        skipped
            .and_then(|count| self.bytes.seek_relative(count))
            .map_err(|source| Error::Io {
                path: self.path.to_owned(),
                source,
            })?;
        self.left -= count;
        Ok(())
    }

    fn invalid(&self, message: impl Into<String>) -> Error {
        Error::ModelInvalid {
            path: self.path.to_owned(),
            message: message.into(),
        }
    }

    fn unsupported(&self, message: impl Into<String>) -> Error {
        Error::ModelUnsupported {
            path: self.path.to_owned(),
            message: message.into(),
        }
    }
}

// The types of metadata values.
const UINT8: u32 = 0;
const INT8: u32 = 1;
const UINT16: u32 = 2;
const INT16: u32 = 3;
const UINT32: u32 = 4;
const INT32: u32 = 5;
const FLOAT32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const UINT64: u32 = 10;
const INT64: u32 = 11;
const FLOAT64: u32 = 12;

/// The types of tensors that candle dequantises. Q8_1 and Q8_K hold activations only and never stand in a file.
fn dtype(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// What ggml calls a type that is not read.
fn type_name(kind: u32) -> String {
    let name = match kind {
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        other => return format!("the unknown type {other}"),
    };
    name.into()
}
