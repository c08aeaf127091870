//! The machine that trains: what it is, and what only the caller can ask it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{Compute, Job};
use crate::base::{Device, Facts};
use crate::time::Timestamp;

/// How the instructions are called whose sums run in another order than everybody else's.
const TILES: &str = "amx";

/// Clock and meters; the library reads none itself.
pub struct Machine<'a> {
    /// What it is.
    pub class: MachineClass,
    /// The time now.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Time since some fixed moment; never goes back.
    pub elapsed: &'a dyn Fn() -> Duration,
    /// The most memory that this process has held, in bytes, where the system tells.
    pub peak_memory: &'a dyn Fn() -> Option<u64>,
}

/// What a run's speed and, in other programs, its bits depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineClass {
    /// Such as `x86_64`.
    pub arch: String,
    /// The widest instructions used, such as `avx512`; `amx` where weights in bf16 are multiplied on tiles.
    pub cpu: String,
    /// Such as `linux`.
    pub os: String,
}

impl MachineClass {
    /// The machine that this code runs on.
    pub fn this() -> Self {
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            cpu: vectors().to_owned(),
            os: std::env::consts::OS.to_owned(),
        }
    }
}

impl MachineClass {
    /// The arithmetic that a job gets here and not on every processor: products on tiles have bits of their own. Those of
    /// weights that are held in bf16 go there.
    pub fn arithmetic(&self, job: &Job, base: &Facts, device: Device) -> Option<String> {
        let narrow = job.compute == Compute::Bf16 || base.is_bf16();
        (self.cpu == TILES && narrow && device.is_cpu()).then(|| TILES.to_owned())
    }
}

/// `cpu x86_64 avx512 linux`.
impl std::fmt::Display for MachineClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cpu {} {} {}", self.arch, self.cpu, self.os)
    }
}

/// Builds that do not train have no use for tiles.
#[cfg(target_arch = "x86_64")]
fn has_tiles() -> bool {
    #[cfg(feature = "train")]
    return crate::base::network::has_tiles();
    #[cfg(not(feature = "train"))]
    return false;
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if has_tiles() {
        TILES
    } else if is_x86_feature_detected!("avx512f") {
        "avx512"
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        "avx2"
    } else {
        "sse2"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    "baseline"
}
