//! Tensors of a checkpoint, by name, as `f32`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::mapped::Mapped;
use super::stored::are_mostly_bf16;
use super::{Checkpoint, CheckpointError};

/// The memory-mapped weights of a checkpoint.
#[derive(Debug)]
pub struct Weights {
    shards: Vec<Mapped>,
    tensors: BTreeMap<String, Entry>,
    mostly_bf16: bool,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Byte range in the shard.
    start: usize,
    end: usize,
}

/// A matrix of a checkpoint, of which rows are read as they are needed.
#[derive(Debug)]
pub struct MatrixRows<'a> {
    name: &'a str,
    dtype: Dtype,
    columns: usize,
    bytes: &'a [u8],
}

impl MatrixRows<'_> {
    /// Puts some rows into `out`, row-major `[rows × columns]`; every value must be finite.
    pub fn read(&self, rows: Range<usize>, out: &mut [f32]) -> Result<(), CheckpointError> {
        let row = self.columns * width(self.name, self.dtype)?;
        decode(
            self.name,
            self.dtype,
            &self.bytes[rows.start * row..rows.end * row],
            out,
        )
    }
}

impl Weights {
    /// Maps every shard and reads the headers; no weight is touched yet.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let mut weights = Self {
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            mostly_bf16: false,
        };
        for path in &checkpoint.shards {
            weights.add(path)?;
        }
        let stored = weights.tensors.values();
        weights.mostly_bf16 = are_mostly_bf16(stored.map(|entry| (entry.dtype, &*entry.shape)));
        Ok(weights)
    }

    /// The tensor `name` as `f32`, in row-major order. Its shape must be `shape`; every value must be finite.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        self.values(name, self.entry(name, shape)?)
    }

    /// The matrix `name`, of which nothing is read yet. Its shape must be `shape`.
    pub fn rows<'a>(
        &'a self,
        name: &'a str,
        shape: [usize; 2],
    ) -> Result<MatrixRows<'a>, CheckpointError> {
        let entry = self.entry(name, &shape)?;
        Ok(MatrixRows {
            name,
            dtype: entry.dtype,
            columns: shape[1],
            bytes: self.bytes(entry),
        })
    }

    /// Whether the tensor `name` is there, stored in bf16.
    pub fn is_bf16(&self, name: &str) -> bool {
        let entry = self.tensors.get(name);
        entry.is_some_and(|entry| entry.dtype == Dtype::BF16)
    }

    /// Whether most numbers are stored in bf16, as [`Facts`](crate::base::Facts) count them.
    pub fn are_mostly_bf16(&self) -> bool {
        self.mostly_bf16
    }

    fn entry(&self, name: &str, shape: &[usize]) -> Result<&Entry, CheckpointError> {
        let entry = self
            .tensors
            .get(name)
            .ok_or_else(|| CheckpointError::Missing(name.to_owned()))?;
        if entry.shape == shape {
            return Ok(entry);
        }
        Err(CheckpointError::Shape {
            name: name.to_owned(),
            found: entry.shape.clone(),
            expected: shape.to_vec(),
        })
    }

    fn values(&self, name: &str, entry: &Entry) -> Result<Vec<f32>, CheckpointError> {
        let bytes = self.bytes(entry);
        let mut values = vec![0.0; bytes.len() / width(name, entry.dtype)?];
        decode(name, entry.dtype, bytes, &mut values)?;
        Ok(values)
    }

    fn bytes(&self, entry: &Entry) -> &[u8] {
        &self.shards[entry.shard][entry.start..entry.end]
    }

    /// Checks what [`read`](Self::read) checks, and keeps nothing.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<(), CheckpointError> {
        let rows = shape.first().copied().unwrap_or(1);
        (0..rows).try_for_each(|row| self.read_row(name, shape, row).map(drop))
    }

    /// Row `row` of the tensor `name`, whose shape must be `shape`; every value must be finite.
    pub fn read_row(
        &self,
        name: &str,
        shape: &[usize],
        row: usize,
    ) -> Result<Vec<f32>, CheckpointError> {
        let entry = self.entry(name, shape)?;
        let bytes = (entry.end - entry.start) / shape.first().copied().unwrap_or(1).max(1);
        let start = entry.start + row * bytes;
        let row = Entry {
            start,
            end: start + bytes,
            shape: Vec::new(),
            ..*entry
        };
        self.values(name, &row)
    }

    /// Gives back the memory of what was read so far: what was read is a copy.
    pub fn forget(&self) {
        self.shards.iter().for_each(Mapped::forget);
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of the tensor `name`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| entry.shape.as_slice())
    }

    /// All tensor names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    fn add(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let map = Mapped::open(path).map_err(|source| CheckpointError::Read {
            path: path.to_owned(),
            source,
        })?;
        for (name, entry) in header(&map, path, self.shards.len())? {
            if self.tensors.insert(name.clone(), entry).is_some() {
                let path = PathBuf::from(path);
                return Err(CheckpointError::Duplicate { name, path });
            }
        }
        self.shards.push(map);
        Ok(())
    }
}

/// Bytes of one number.
fn width(name: &str, dtype: Dtype) -> Result<usize, CheckpointError> {
    match dtype {
        Dtype::F32 => Ok(4),
        Dtype::BF16 | Dtype::F16 => Ok(2),
        other => Err(CheckpointError::Type {
            name: name.to_owned(),
            dtype: format!("{other:?}"),
        }),
    }
}

/// Numbers as `f32`, of which each must be finite.
fn decode(name: &str, dtype: Dtype, bytes: &[u8], out: &mut [f32]) -> Result<(), CheckpointError> {
    let halves = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        Dtype::BF16 => out.iter_mut().zip(halves()).for_each(|(out, b)| {
            *out = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
        }),
        Dtype::F16 => out
            .iter_mut()
            .zip(halves())
            .for_each(|(out, b)| *out = from_f16(u16::from_le_bytes(*b))),
        _ => out
            .iter_mut()
            .zip(bytes.as_chunks::<4>().0)
            .for_each(|(out, b)| *out = f32::from_le_bytes(*b)),
    }
    match out.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(CheckpointError::NotFinite(name.to_owned())),
    }
}

fn header(map: &[u8], path: &Path, shard: usize) -> Result<Vec<(String, Entry)>, CheckpointError> {
    let (length, metadata) =
        SafeTensors::read_metadata(map).map_err(|error| CheckpointError::Shard {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
    // The data begins after the eight bytes of the header's length and the header.
    let base = 8 + length;
    let entries = metadata.tensors().into_iter().map(|(name, info)| {
        let entry = Entry {
            shard,
            dtype: info.dtype,
            shape: info.shape.clone(),
            start: base + info.data_offsets.0,
            end: base + info.data_offsets.1,
        };
        (name, entry)
    });
    Ok(entries.collect())
}

/// IEEE 754 binary16 to binary32, exactly.
fn from_f16(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half & 0x3ff);
    let magnitude = match exponent {
        // Zero and subnormals: fraction × 2⁻²⁴, exact in f32.
        0 => (fraction as f32 * (-24f32).exp2()).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 127 - 15) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn shard(dir: &Path, file: &str, tensors: &[(&str, Dtype, &[usize], &[u8])]) -> PathBuf {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (
                *name,
                TensorView::new(*dtype, shape.to_vec(), data).unwrap(),
            )
        });
        let path = dir.join(file);
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    }

    fn checkpoint(shards: Vec<PathBuf>) -> Checkpoint {
        Checkpoint {
            config: Vec::new(),
            tokenizer: Vec::new(),
            tokenizer_config: None,
            chat_template: None,
            shards,
        }
    }

    #[test]
    fn halves_are_exact() {
        // Values from the IEEE 754 binary16 tables.
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
        ] {
            assert_eq!(from_f16(bits), value, "{bits:#06x}");
        }
        assert!(from_f16(0x7c01).is_nan());
        assert_eq!(from_f16(0xfc00), f32::NEG_INFINITY);
    }

    #[test]
    fn reads_across_shards_and_types() {
        let dir = tempfile::tempdir().unwrap();
        let f32s: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let a = shard(
            dir.path(),
            "a.safetensors",
            &[("x", Dtype::F32, &[2], &f32s)],
        );
        let b = shard(
            dir.path(),
            "b.safetensors",
            &[
                ("y", Dtype::BF16, &[1, 2], &[0xc0, 0x3f, 0x00, 0xc0]),
                ("z", Dtype::F16, &[1], &[0x00, 0x3e]),
                ("n", Dtype::F32, &[1], &f32::NAN.to_le_bytes()),
                ("i", Dtype::I64, &[1], &[0; 8]),
            ],
        );
        let weights = Weights::open(&checkpoint(vec![a.clone(), b])).unwrap();
        assert_eq!(weights.read("x", &[2]).unwrap(), [1.5, -2.0]);
        assert_eq!(weights.read("y", &[1, 2]).unwrap(), [1.5, -2.0]);
        assert_eq!(weights.read("z", &[1]).unwrap(), [1.5]);
        let mut row = [0.0; 2];
        let rows = weights.rows("y", [1, 2]).unwrap();
        rows.read(0..1, &mut row).unwrap();
        assert_eq!(row, [1.5, -2.0]);
        for (name, shape, says) in [
            ("x", &[1, 2][..], "has shape [2]"),
            ("w", &[1], "no tensor w"),
            ("n", &[1], "not finite"),
            ("i", &[1], "stored as I64"),
        ] {
            let error = weights.read(name, shape).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let twice = Weights::open(&checkpoint(vec![a.clone(), a])).unwrap_err();
        assert!(twice.to_string().contains("in two shards"), "{twice}");
    }

    #[test]
    fn refuses_a_damaged_shard() {
        let dir = tempfile::tempdir().unwrap();
        let path = shard(
            dir.path(),
            "a.safetensors",
            &[("x", Dtype::F32, &[1], &[0; 4])],
        );
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = Weights::open(&checkpoint(vec![path])).unwrap_err();
        assert!(
            error.to_string().contains("not a safetensors file"),
            "{error}"
        );
    }
}
