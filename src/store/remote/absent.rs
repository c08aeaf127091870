//! What stands for a bucket in a build that cannot reach one: nothing can be done with it, because there is none.

use std::collections::{BTreeMap, BTreeSet};

use super::error::RemoteError;
use super::place::Place;
use crate::digest::Digest;
use crate::progress::Reporter;
use crate::store::{Blob, Store};

/// A bucket. There are none in this build.
pub enum Bucket {}

impl Bucket {
    /// Says that this build cannot reach a bucket.
    pub fn open(place: &Place, _: &dyn Fn(&str) -> Option<String>) -> Result<Self, RemoteError> {
        Err(RemoteError::NotBuilt(place.to_string()))
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        match *self {}
    }

    /// Whether it is a store that this version can read.
    pub fn is_store(&self) -> Result<bool, RemoteError> {
        match *self {}
    }

    /// Fails unless it is a store that this version can read.
    pub fn expect_store(&self) -> Result<(), RemoteError> {
        match *self {}
    }

    /// Makes it a store.
    pub fn prepare(&self) -> Result<(), RemoteError> {
        match *self {}
    }

    /// Which of these objects it has, with their sizes.
    pub fn sizes(&self, _: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, u64>, RemoteError> {
        match *self {}
    }

    /// Sends objects.
    pub fn send(&self, _: &Store, _: &[Blob], _: &dyn Reporter) -> Result<(), RemoteError> {
        match *self {}
    }

    /// Fetches objects.
    pub fn receive(&self, _: &Store, _: &[Blob], _: &dyn Reporter) -> Result<(), RemoteError> {
        match *self {}
    }

    /// Those of the objects that are documents.
    pub fn documents(&self, _: &[Blob]) -> Result<Vec<Vec<u8>>, RemoteError> {
        match *self {}
    }
}
