//! The lock, `retune.lock`: which version each pin got.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ask::{Ask, Asked, PinName};
use super::error::PinError;
use crate::digest::Digest;
use crate::document::{Source, to_yaml};
use crate::fsio;
use crate::name::{AliasName, ModelName, TenantName};
use crate::reference::{ModelRef, Selector, VersionLabel};

/// The lock's name.
pub const LOCK_FILE: &str = "retune.lock";
const SCHEMA: &str = "retune.lock/1";
const HEADER: &str = "# Written by `retune pin`. Commit it; do not edit it.\n";

/// Which version each pin got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// By pin.
    pub pins: BTreeMap<PinName, Pin>,
}

/// What a pin asked for and what it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What `retune.yaml` asked for when the version was chosen.
    pub ask: Ask,
    /// What it got.
    pub got: Resolved,
}

/// One version of a model, down to its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The full label.
    pub version: VersionLabel,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The registry it was found in, as the project file writes it.
    pub registry: String,
    /// The base that the adapter goes on.
    pub base: LockedBase,
    /// The files of the adapter, sorted by path.
    pub files: Vec<LockedFile>,
}

/// The base of a locked version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    /// Where it came from, such as a repository of the Hugging Face Hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The commit there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The identity of its files.
    pub tree: Digest,
}

/// A file of a locked version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// The path inside the adapter's folder.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Digest,
}

/// The lock as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockFile {
    /// There is none.
    Missing,
    /// A lock.
    Lock(Lock),
    /// A merge left conflict markers. Pins that both sides have in common are kept.
    Conflict(Lock),
}

impl Pin {
    /// The fixed reference to what it got: `acme/support@20261123-3f9a1c2b7d10`.
    pub fn reference(&self) -> ModelRef {
        ModelRef {
            tenant: Some(self.ask.tenant.clone()),
            model: self.ask.model.clone(),
            selector: Selector::Version(self.got.version.clone()),
        }
    }
}

impl LockFile {
    /// Reads `retune.lock` in the project's root.
    pub fn read(root: &Path) -> Result<Self, PinError> {
        let path = Self::path(root);
        if !path.exists() {
            return Ok(Self::Missing);
        }
        Self::parse(fsio::read(&path)?, &path)
    }

    /// Reads the bytes of a lock; errors name `path`.
    pub fn parse(bytes: Vec<u8>, path: &Path) -> Result<Self, PinError> {
        let text = String::from_utf8(bytes).map_err(|_| PinError::Lock {
            path: path.to_owned(),
            why: "it is not UTF-8".to_owned(),
        })?;
        if text.lines().any(|line| line.starts_with("<<<<<<< ")) {
            return Ok(Self::Conflict(in_common(&text, path)));
        }
        Lock::decode(&text, path).map(Self::Lock)
    }

    /// The lock's path.
    pub fn path(root: &Path) -> PathBuf {
        root.join(LOCK_FILE)
    }

    /// The pins that are certain.
    pub fn into_lock(self) -> Lock {
        match self {
            Self::Missing => Lock::default(),
            Self::Lock(lock) | Self::Conflict(lock) => lock,
        }
    }
}

impl Lock {
    /// Replaces `retune.lock` in the project's root, unless it holds these bytes already.
    pub fn write(&self, root: &Path) -> Result<(), PinError> {
        let path = LockFile::path(root);
        let text = self.encode().map_err(|why| PinError::Lock {
            path: path.clone(),
            why,
        })?;
        if path.exists() && fsio::read(&path)? == text.as_bytes() {
            return Ok(());
        }
        Ok(fsio::write_atomic(&path, text.as_bytes())?)
    }

    /// The one text of this lock. A pin is a block of its own, so that git merges changes of different pins.
    pub fn encode(&self) -> Result<String, String> {
        let wire = Wire {
            schema: SCHEMA.to_owned(),
            pins: self
                .pins
                .iter()
                .map(|(name, pin)| (name.clone(), pin.into()))
                .collect(),
        };
        to_yaml(&wire)
            .map(|yaml| format!("{HEADER}{yaml}"))
            .map_err(|e| e.to_string())
    }

    /// Reads a lock; other bytes than [`encode`](Self::encode) writes are refused.
    pub fn decode(text: &str, path: &Path) -> Result<Self, PinError> {
        let refuse = |why: String| PinError::Lock {
            path: path.to_owned(),
            why,
        };
        let wire: Wire = Source::new(path, text.to_owned())
            .parse()
            .map_err(|e| refuse(e.to_string()))?;
        if wire.schema != SCHEMA {
            return Err(refuse(format!(
                "it says schema {:?}; this version reads {SCHEMA:?}",
                wire.schema
            )));
        }
        let pins = wire
            .pins
            .into_iter()
            .map(|(name, pin)| match Pin::try_from(pin) {
                Ok(pin) => Ok((name, pin)),
                Err(why) => Err(refuse(format!("pins.{name}: {why}"))),
            });
        let lock = Self {
            pins: pins.collect::<Result<_, _>>()?,
        };
        match lock.encode() {
            Ok(again) if again == text => Ok(lock),
            _ => Err(refuse("it was edited by hand".to_owned())),
        }
    }
}

/// The pins that both sides of a merge conflict have, with the same content.
fn in_common(text: &str, path: &Path) -> Lock {
    let side = |ours: bool| Lock::decode(&one_side(text, ours), path).unwrap_or_default();
    let (ours, theirs) = (side(true), side(false));
    let pins = ours
        .pins
        .into_iter()
        .filter(|(name, pin)| theirs.pins.get(name) == Some(pin));
    Lock {
        pins: pins.collect(),
    }
}

/// The text as one side of the merge has it.
fn one_side(text: &str, ours: bool) -> String {
    enum Part {
        Both,
        Ours,
        Base,
        Theirs,
    }
    let mut part = Part::Both;
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        part = match line.get(..7).unwrap_or_default() {
            "<<<<<<<" => Part::Ours,
            "|||||||" => Part::Base,
            "=======" => Part::Theirs,
            ">>>>>>>" => Part::Both,
            _ => {
                if matches!(
                    (&part, ours),
                    (Part::Both, _) | (Part::Ours, true) | (Part::Theirs, false)
                ) {
                    out.push_str(line);
                }
                continue;
            }
        };
    }
    out
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: String,
    pins: BTreeMap<PinName, WirePin>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePin {
    asked: WireAsk,
    locked: Resolved,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireAsk {
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alias: Option<AliasName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<VersionLabel>,
}

impl From<&Pin> for WirePin {
    fn from(pin: &Pin) -> Self {
        let (alias, version) = match &pin.ask.asked {
            Asked::Alias(alias) => (Some(alias.clone()), None),
            Asked::Version(version) => (None, Some(version.clone())),
        };
        Self {
            asked: WireAsk {
                model: format!("{}/{}", pin.ask.tenant, pin.ask.model),
                alias,
                version,
            },
            locked: pin.got.clone(),
        }
    }
}

impl TryFrom<WirePin> for Pin {
    type Error = String;

    fn try_from(wire: WirePin) -> Result<Self, String> {
        let (tenant, model) = wire
            .asked
            .model
            .split_once('/')
            .ok_or("the model has no tenant")?;
        let asked = match (wire.asked.alias, wire.asked.version) {
            (Some(alias), None) => Asked::Alias(alias),
            (None, Some(version)) => Asked::Version(version),
            _ => return Err("it asks for an alias and a version, or for neither".to_owned()),
        };
        Ok(Self {
            ask: Ask {
                tenant: tenant.parse::<TenantName>().map_err(|e| e.to_string())?,
                model: model.parse::<ModelName>().map_err(|e| e.to_string())?,
                asked,
            },
            got: wire.locked,
        })
    }
}
