//! One module per noun, one file per verb.

pub(crate) mod completions;
pub(crate) mod store;
