//! The one integration binary: the tool as its users meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod docs;
mod registry;
mod support;
mod tidy;
