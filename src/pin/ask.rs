//! What a pin asks for.

use std::fmt;

use crate::name::{AliasName, ModelName, TenantName};
use crate::reference::{ModelRef, Selector, VersionLabel};

/// A pin's name in `retune.yaml`: by custom, the model's.
pub type PinName = ModelName;

/// What a pin asks for: a model, and how to choose its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whose model.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// Which version.
    pub asked: Asked,
}

/// How a pin's version is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Whatever the alias points to when `pin update` runs.
    Alias(AliasName),
    /// This version, always.
    Version(VersionLabel),
}

impl Ask {
    /// The reference to resolve for `pin update`.
    pub fn reference(&self) -> ModelRef {
        ModelRef {
            tenant: Some(self.tenant.clone()),
            model: self.model.clone(),
            selector: match &self.asked {
                Asked::Alias(alias) => Selector::Alias(alias.clone()),
                Asked::Version(label) => Selector::Version(label.clone()),
            },
        }
    }
}

/// As a reference: `acme/support:production`.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reference(), f)
    }
}
