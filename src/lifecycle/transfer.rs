//! Objects go to the store's remote and come from it: only what the project's own tenant names.

use std::collections::{BTreeMap, BTreeSet};

use super::collect::MissingObject;
use super::needs::{Needs, NeedsError, Scope};
use super::workspace::Workspace;
use crate::digest::Digest;
use crate::document::canonical::CanonicalError;
use crate::pin::PinError;
use crate::registry::RegistryError;
use crate::store::{Blob, Bucket, Reach, RemoteError, StoreError};

/// What went to the remote, or came from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transferred {
    /// Objects that the other side did not have.
    pub moved: Vec<Blob>,
    /// How many it had already.
    pub already: u64,
    /// Objects that records need and that are neither here nor there.
    pub missing: Vec<MissingObject>,
}

/// What a remote has of what it should have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteReport {
    /// Objects that it has in the right size.
    pub sound: Vec<Blob>,
    /// Objects that it has in another size, with that size.
    pub damaged: Vec<(Blob, u64)>,
    /// Objects that it does not have.
    pub missing: Vec<MissingObject>,
}

/// Why objects could not be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The remote.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The lock.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// A version's manifest.
    #[error(transparent)]
    Document(#[from] CanonicalError),
    /// The pins are what is to be fetched, and there are none.
    #[error("retune.lock pins nothing, so there is nothing to fetch")]
    NothingPinned,
}

impl From<NeedsError> for TransferError {
    fn from(error: NeedsError) -> Self {
        match error {
            NeedsError::Registry(error) => Self::Registry(error),
            NeedsError::Pin(error) => Self::Pin(error),
            NeedsError::Document(error) => Self::Document(error),
        }
    }
}

/// Sends the objects that the remote lacks. Nothing is sent when one that it has cannot be what its name says.
pub fn push(
    workspace: &Workspace<'_>,
    scope: Scope<'_>,
    bucket: impl FnOnce() -> Result<Bucket, RemoteError>,
) -> Result<Transferred, TransferError> {
    let (store, act) = (&workspace.store, &workspace.act);
    let needs = Needs::of(workspace, scope)?;
    let reach = store.reach(&needs.roots)?;
    let bucket = bucket()?;
    if act.dry_run {
        bucket.is_store()?;
    } else {
        bucket.prepare()?;
    }
    let there = bucket.sizes(&everything(&needs, &reach))?;
    let compared = compare(&needs, &reach, &there);
    if let Some((object, there)) = compared.damaged.first() {
        return Err(RemoteError::other_size(bucket.name(), object, *there).into());
    }
    let sent: Vec<Blob> = reach
        .here
        .iter()
        .filter(|object| !there.contains_key(&object.digest))
        .copied()
        .collect();
    if !act.dry_run {
        bucket.send(store, &sent, act.reporter)?;
    }
    let here: BTreeSet<Digest> = reach.here.iter().map(|object| object.digest).collect();
    Ok(Transferred {
        already: (reach.here.len() - sent.len()) as u64,
        moved: sent,
        missing: needs.missing(|digest| here.contains(digest) || there.contains_key(digest)),
    })
}

/// Fetches the objects that are not here, and what they lead to in turn.
pub fn pull(
    workspace: &Workspace<'_>,
    scope: Scope<'_>,
    bucket: impl FnOnce() -> Result<Bucket, RemoteError>,
) -> Result<Transferred, TransferError> {
    let (store, act) = (&workspace.store, &workspace.act);
    let mut needs = Needs::of(workspace, scope)?;
    if matches!(scope, Scope::Pins) && needs.must.is_empty() {
        return Err(TransferError::NothingPinned);
    }
    let bucket = bucket()?;
    bucket.expect_store()?;
    let _lease = match act.dry_run {
        true => None,
        false => Some(store.lease("store pull")?),
    };
    let mut fetched: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut asked = BTreeSet::new();
    let here = loop {
        let reach = store.reach(&needs.roots)?;
        let unknown: BTreeSet<Digest> = reach.elsewhere.difference(&asked).copied().collect();
        let there = bucket.sizes(&unknown)?;
        if there.is_empty() {
            break reach.here.len() as u64;
        }
        let objects = needs.expected(&bucket, &there)?;
        match act.dry_run {
            // What documents there lead to is found without keeping them.
            true => bucket
                .documents(&objects)?
                .iter()
                .for_each(|document| needs.roots.take(document)),
            false => bucket.receive(store, &objects, act.reporter)?,
        }
        fetched.extend(there);
        asked.extend(unknown);
    };
    let has = |digest: &Digest| store.contains(digest) || fetched.contains_key(digest);
    let missing = needs.missing(has);
    Ok(Transferred {
        already: match act.dry_run {
            true => here,
            false => here.saturating_sub(fetched.len() as u64),
        },
        moved: blobs(&fetched),
        missing,
    })
}

/// Compares what the remote has with what it should have, by names and sizes.
pub fn inspect_remote(
    workspace: &Workspace<'_>,
    bucket: impl FnOnce() -> Result<Bucket, RemoteError>,
) -> Result<RemoteReport, TransferError> {
    let needs = Needs::of(workspace, Scope::Tenant)?;
    let reach = workspace.store.reach(&needs.roots)?;
    let bucket = bucket()?;
    bucket.expect_store()?;
    let there = bucket.sizes(&everything(&needs, &reach))?;
    let mut report = compare(&needs, &reach, &there);
    let here = reach
        .here
        .iter()
        .filter(|object| !there.contains_key(&object.digest));
    let only_here = here.map(|object| MissingObject {
        digest: object.digest,
        named_by: match needs.must.get(&object.digest) {
            Some((_, what)) => what.clone(),
            None => "the store here".to_owned(),
        },
    });
    let mut missing: BTreeSet<MissingObject> = only_here.collect();
    missing.extend(needs.missing(|digest| there.contains_key(digest)));
    report.missing = missing.into_iter().collect();
    Ok(report)
}

impl Needs {
    /// What must be there, and is not.
    fn missing(&self, has: impl Fn(&Digest) -> bool) -> Vec<MissingObject> {
        let absent = self.must.iter().filter(|(digest, _)| !has(digest));
        absent
            .map(|(digest, (_, what))| MissingObject {
                digest: *digest,
                named_by: what.clone(),
            })
            .collect()
    }

    /// Objects of a remote, unless one has another size than records say: it need not be fetched to know.
    fn expected(
        &self,
        bucket: &Bucket,
        there: &BTreeMap<Digest, u64>,
    ) -> Result<Vec<Blob>, RemoteError> {
        let objects = blobs(there);
        for object in &objects {
            let told = self.must.get(&object.digest).and_then(|(size, _)| *size);
            if let Some(size) = told.filter(|size| *size != object.size) {
                let right = Blob { size, ..*object };
                return Err(RemoteError::other_size(bucket.name(), &right, object.size));
            }
        }
        Ok(objects)
    }
}

/// The digests that a remote may have something to say about.
fn everything(needs: &Needs, reach: &Reach) -> BTreeSet<Digest> {
    let here = reach.here.iter().map(|object| object.digest);
    here.chain(needs.must.keys().copied()).collect()
}

/// What is there, by its size: the one it has here, else the one that records tell.
fn compare(needs: &Needs, reach: &Reach, there: &BTreeMap<Digest, u64>) -> RemoteReport {
    let mut sizes: BTreeMap<Digest, Option<u64>> = BTreeMap::new();
    sizes.extend(
        needs
            .must
            .iter()
            .map(|(digest, (size, _))| (*digest, *size)),
    );
    sizes.extend(
        reach
            .here
            .iter()
            .map(|object| (object.digest, Some(object.size))),
    );
    let mut report = RemoteReport::default();
    for (digest, found) in there {
        let size = sizes.get(digest).copied().flatten().unwrap_or(*found);
        let object = Blob {
            digest: *digest,
            size,
        };
        match size == *found {
            true => report.sound.push(object),
            false => report.damaged.push((object, *found)),
        }
    }
    report
}

fn blobs(sizes: &BTreeMap<Digest, u64>) -> Vec<Blob> {
    sizes
        .iter()
        .map(|(digest, size)| Blob {
            digest: *digest,
            size: *size,
        })
        .collect()
}
