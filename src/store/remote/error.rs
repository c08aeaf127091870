//! What can go wrong with a remote of the store.

use crate::digest::Digest;
use crate::store::{Blob, StoreError};

/// An operation on a remote that failed. Nothing in it tells a secret.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The local store refused, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The project names no place.
    #[error("retune.yaml names no `store_remote`")]
    NotConfigured,
    /// This build has no way to reach a bucket.
    #[error("cannot reach {0}: this build of retune was made without the feature s3")]
    NotBuilt(String),
    /// The environment holds no credentials.
    #[error("cannot reach {0}: the environment holds no credentials for it")]
    NoCredentials(String),
    /// What the environment says cannot be used.
    #[error("cannot reach {remote}: {variable}: {why}")]
    Setting {
        /// The remote.
        remote: String,
        /// The variable, or what it is about.
        variable: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The server cannot be reached, or refuses.
    #[error("cannot {action} {remote}: {why}")]
    Request {
        /// What was being done, such as `list the objects of`.
        action: &'static str,
        /// The remote.
        remote: String,
        /// What the server, or the network, said.
        why: String,
    },
    /// The credentials do not let this be done.
    #[error("cannot {action} {remote}: access is denied: {why}")]
    Denied {
        /// What was being done.
        action: &'static str,
        /// The remote.
        remote: String,
        /// What the server said.
        why: String,
    },
    /// The server does not honour `If-None-Match`.
    #[error(
        "{0} is on a server that overwrites what is there although it was asked not to (If-None-Match): two who push at \
         once could destroy each other's objects"
    )]
    Overwrites(String),
    /// Nobody has pushed to it.
    #[error("{0} holds no store: nothing was ever pushed to it")]
    NoStore(String),
    /// An object there cannot be what its name says.
    #[error("object {digest} of {remote} is damaged: it has {there} bytes, not {size}")]
    Size {
        /// The object.
        digest: Digest,
        /// The remote.
        remote: String,
        /// How many bytes it has there.
        there: u64,
        /// How many it has.
        size: u64,
    },
    /// The bytes there do not hash to their name.
    #[error(
        "object {digest} of {remote} is damaged: its bytes hash to {found}; nothing of it was kept"
    )]
    Damaged {
        /// The object.
        digest: Digest,
        /// The remote.
        remote: String,
        /// What they hash to.
        found: Digest,
    },
    /// Somebody asked for the work to stop.
    #[error("interrupted; what is through stays, and the same command goes on from there")]
    Interrupted,
}

impl RemoteError {
    /// An object that has another size in a remote than it has.
    pub fn other_size(remote: &str, object: &Blob, there: u64) -> Self {
        Self::Size {
            digest: object.digest,
            remote: remote.to_owned(),
            there,
            size: object.size,
        }
    }

    /// Whether stored bytes are missing or changed.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) => error.is_integrity(),
            Self::Size { .. } | Self::Damaged { .. } => true,
            _ => false,
        }
    }

    /// Whether something has to be configured, or built, otherwise.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NotConfigured
                | Self::NotBuilt(_)
                | Self::NoCredentials(_)
                | Self::Setting { .. }
                | Self::Overwrites(_)
        )
    }
}
