#![allow(clippy::unwrap_used)]

mod records;
mod support;
