//! How numbers are stored: f32, f16 or bf16.

use half::{bf16, f16};
use safetensors::Dtype;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
}

impl Storage {
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// The values, exactly.
    pub(super) fn widen(self, bytes: &[u8]) -> Vec<f32> {
        let halves = bytes.as_chunks::<2>().0;
        match self {
            Self::F32 => {
                let words = bytes.as_chunks::<4>().0;
                words.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            Self::F16 => halves
                .iter()
                .map(|b| f16::from_le_bytes(*b).to_f32())
                .collect(),
            Self::Bf16 => halves
                .iter()
                .map(|b| bf16::from_le_bytes(*b).to_f32())
                .collect(),
        }
    }

    /// The bytes of `values`, each rounded to the nearest, ties to even. A value that the type cannot hold is an error.
    pub(super) fn narrow(self, values: &[f32]) -> Result<Vec<u8>, &'static str> {
        if !values.iter().all(|value| value.is_finite()) {
            return Err("holds a value that is not finite");
        }
        let too_large = |value: &f32| match self {
            Self::F32 => false,
            Self::F16 => f16::from_f32(*value).is_infinite(),
            Self::Bf16 => bf16::from_f32(*value).is_infinite(),
        };
        if values.iter().any(too_large) {
            return Err("holds a value that is too large for the storage type");
        }
        let values = values.iter();
        Ok(match self {
            Self::F32 => values.flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
            Self::Bf16 => values
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
        })
    }

    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// As `config.json` spells it.
    pub(super) fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }
}
