//! The git hooks: installing them beside what is there, and taking them out again.

mod install;

#[cfg(test)]
mod tests;

pub use install::{Change, Hook, HookError, HookStatus, Hooks, Installed, State};
