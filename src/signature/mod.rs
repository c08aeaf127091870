//! Signatures of decisions: made by `ssh-keygen`, as git makes its own, and checked here. Home of `ssh_key`.
//!
//! The format is SSHSIG, in a namespace of our own, so that no signature of a commit or a file is one of a decision.
//! Agents, passphrases and hardware keys are `ssh-keygen`'s; checking needs no program.

mod error;
mod key;
mod signed;
mod signer;

#[cfg(test)]
mod tests;

pub use error::{SignatureError, SignerError, SigningError};
pub use key::SigningKey;
pub use signed::Signature;
pub use signer::{Signer, read_signers};

/// What signatures are for.
pub const NAMESPACE: &str = "retune-event";
