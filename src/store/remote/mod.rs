//! Where the objects of a store are kept for others: a bucket of a server that speaks S3.
//!
//! The local store stays the only place that anything is read from; bytes travel by push and pull. Home of
//! `object_store` and `tokio`: nothing outside of this folder is asynchronous. Without the feature `s3` a place
//! can be named, and opening it says that this build cannot.

#[cfg(not(feature = "s3"))]
mod absent;
#[cfg(feature = "s3")]
mod bucket;
#[cfg(feature = "s3")]
mod connection;
mod error;
mod place;
#[cfg(feature = "s3")]
mod receive;
#[cfg(feature = "s3")]
mod send;

#[cfg(not(feature = "s3"))]
pub use absent::Bucket;
#[cfg(feature = "s3")]
pub use bucket::Bucket;
pub use error::RemoteError;
pub use place::{Place, PlaceFault};
