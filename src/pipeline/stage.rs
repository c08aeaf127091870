//! The stages, in order.

use std::fmt;

use serde::Serialize;

/// A part of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The data becomes a dataset version.
    Dataset,
    /// The checkpoint folder becomes a base.
    Base,
    /// A run trains an adapter.
    Train,
    /// The adapter and what it is compared with answer the suite.
    Evaluate,
    /// The adapter becomes a version of the model.
    Register,
    /// The version is judged.
    Gate,
    /// The alias moves to it.
    Promote,
    /// The project pins it.
    Pin,
}

impl Stage {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Base => "base",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Register => "register",
            Self::Gate => "gate",
            Self::Promote => "promote",
            Self::Pin => "pin",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a stage has something to do, or did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It did its work now.
    Done,
    /// Its result was there already.
    Unchanged,
    /// It has work to do.
    Pending,
    /// It stopped the pipeline.
    Stopped,
}

/// What is known of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which stage.
    pub stage: Stage,
    /// Whether it did something.
    pub state: State,
    /// Its result, or what it would do.
    pub what: String,
}
