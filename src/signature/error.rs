//! What can be wrong with signatures, and in the way of making one.

use crate::fsio::FileError;
use crate::process::ProcessError;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The text is no signature.
    #[error("it is no signature as ssh-keygen writes them: {0}")]
    Malformed(String),
    /// It was made for something else, such as a commit of git.
    #[error("the signature is one for {0:?}, not for \"retune-event\"")]
    OtherNamespace(String),
    /// The key is nobody's.
    #[error("key {0} is no signer's")]
    Stranger(String),
    /// The key is somebody else's.
    #[error("key {key} is that of {owner}, not of {by}")]
    OtherPerson {
        /// The fingerprint of the key.
        key: String,
        /// Whose it is.
        owner: String,
        /// Who is said to have signed.
        by: String,
    },
    /// It is over something else.
    #[error("the signature by key {0} is over something else")]
    Mismatch(String),
    /// Nobody touched the hardware key.
    #[error("the hardware key {0} signed without anybody touching it")]
    Untouched(String),
}

/// Why a text is no signer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignerError(pub(super) String);

/// Why a signature could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The program did not run.
    #[error("cannot sign with {key}")]
    Program {
        /// The key, as it is configured.
        key: String,
        /// Why.
        source: ProcessError,
    },
    /// The program said no.
    #[error("cannot sign with {key}: {said}")]
    Refused {
        /// The key, as it is configured.
        key: String,
        /// What the program said.
        said: String,
    },
    /// The program wrote something else.
    #[error("cannot sign with {key}")]
    Malformed {
        /// The key, as it is configured.
        key: String,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
}
