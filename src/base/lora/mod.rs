//! Which modules get low-rank factors, how large, and with which scale: PEFT's `LoraConfig`, rule by rule.

mod expression;
mod layers;
mod selection;
mod spec;

pub use spec::{AdaptedModule, ExcludeModules, Init, LoraSpec, TargetModules};
