//! Reading and writing our own files. Home of `serde_yaml`.
//!
//! Files that people write are YAML: unknown keys, wrong types and missing values are all reported at
//! once, each with file, line and key ([`Source`], [`Faults`]). Files that the machine writes are
//! canonical JSON with a schema line and exactly one valid encoding ([`canonical`]).

pub mod canonical;
mod decimal;
mod fault;
mod yaml;

pub use decimal::Decimal;
pub use fault::{Fault, Faults, suggest};
pub use yaml::{Source, to_yaml, yaml_value};
