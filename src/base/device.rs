//! On what a model runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The processor, or a graphics card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor, with kernels of our own.
    #[default]
    Cpu,
    /// A card that CUDA sees, the first one without a number; needs the feature `cuda`.
    Cuda(Option<usize>),
    /// A card that Vulkan, Metal or DirectX sees, the best one without a number; needs the feature `wgpu`.
    Wgpu(Option<usize>),
}

impl Device {
    /// The kinds that this build has code for, with commas.
    pub const BUILT: &str = match (cfg!(feature = "cuda"), cfg!(feature = "wgpu")) {
        (false, false) => "cpu",
        (true, false) => "cpu, cuda",
        (false, true) => "cpu, wgpu",
        (true, true) => "cpu, cuda, wgpu",
    };

    /// Whether it is the processor.
    pub fn is_cpu(&self) -> bool {
        *self == Self::Cpu
    }
}

/// `cpu`, `cuda`, `wgpu:1`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, number) = match self {
            Self::Cpu => ("cpu", &None),
            Self::Cuda(number) => ("cuda", number),
            Self::Wgpu(number) => ("wgpu", number),
        };
        f.write_str(kind)?;
        number.map_or(Ok(()), |number| write!(f, ":{number}"))
    }
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a device: write cpu, cuda, wgpu, or one of the latter with a number, such as cuda:1"
)]
pub struct ParseDeviceError(String);

impl FromStr for Device {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || ParseDeviceError(text.to_owned());
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, Some(number.parse().map_err(|_| fault())?)),
            None => (text, None),
        };
        match (kind, number) {
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", number) => Ok(Self::Cuda(number)),
            ("wgpu", number) => Ok(Self::Wgpu(number)),
            _ => Err(fault()),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_written_as_they_are_read() {
        for (text, device) in [
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(None)),
            ("cuda:0", Device::Cuda(Some(0))),
            ("wgpu:2", Device::Wgpu(Some(2))),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
        }
        for text in ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "CUDA"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }
}
