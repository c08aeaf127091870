//! What is printed: human text and versioned JSON, each `From<&domain type>`.

pub(crate) mod base;
pub(crate) mod dataset;
pub(crate) mod deadline;
pub(crate) mod difference;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod eval_case;
pub(crate) mod eval_import;
pub(crate) mod gate;
pub(crate) mod gate_report;
pub(crate) mod hook;
pub(crate) mod init;
pub(crate) mod lineage;
pub(crate) mod migration;
pub(crate) mod model;
mod object;
pub(crate) mod pin;
pub(crate) mod pipeline;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod store;
pub(crate) mod sync;
pub(crate) mod table;
pub(crate) mod transfer;
pub(crate) mod verified;
