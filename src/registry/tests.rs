#![allow(clippy::unwrap_used, clippy::panic)]

mod damage;
mod deadlines;
mod models;
mod moves;
mod order;
mod protections;
mod race;
mod records;
mod support;
