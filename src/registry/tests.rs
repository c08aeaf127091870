#![allow(clippy::unwrap_used, clippy::panic)]

mod damage;
mod models;
mod moves;
mod race;
mod records;
mod support;
