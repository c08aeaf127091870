//! One module per noun, one file per verb.

pub(crate) mod base;
pub(crate) mod completions;
pub(crate) mod dataset;
pub(crate) mod day;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod gate;
pub(crate) mod hook;
pub(crate) mod init;
pub(crate) mod migration;
pub(crate) mod model;
pub(crate) mod pin;
pub(crate) mod pipeline;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod sync;
pub(crate) mod train;
mod wanted;
