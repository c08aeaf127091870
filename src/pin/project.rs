//! The project file, `retune.yaml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ask::{Ask, Asked, PinName};
use super::error::PinError;
use super::exclude::Exclude;
use crate::document::{Fault, Faults, Source};
use crate::fsio;
use crate::git::{Remote, RemoteError};
use crate::name::{AliasName, ModelName, TenantName};
use crate::reference::VersionLabel;
use crate::store::{Place, PlaceFault};

/// The project file's name.
pub const PROJECT_FILE: &str = "retune.yaml";

/// The gate policy of every model that the project file names none for, in the project's root.
pub const GATE_FILE: &str = "gate.yaml";

/// What a repository asks of retune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Whose datasets, runs and models these are.
    pub tenant: TenantName,
    /// The registry, relative to the project's root unless absolute.
    pub registry: PathBuf,
    /// The store, likewise.
    pub store: PathBuf,
    /// The clone of the registry that `retune sync` keeps this one in step with.
    pub remote: Option<Remote>,
    /// Where the store's objects are kept for others: what `retune store push` and `pull` meet.
    pub store_remote: Option<Place>,
    /// The gate policy that decides about a model, where it is not [`GATE_FILE`]: relative to the project's root.
    pub gates: BTreeMap<ModelName, PathBuf>,
    /// The pins.
    pub pins: BTreeMap<PinName, Ask>,
    /// The scanner's settings.
    pub scan: ScanSettings,
}

/// What the scanner leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanSettings {
    /// Paths.
    pub exclude: Exclude,
}

impl Project {
    /// Reads `retune.yaml` in the project's root. Every fault is reported.
    pub fn read(root: &Path) -> Result<Self, PinError> {
        Self::find(root)?.ok_or_else(|| PinError::NoProject(root.join(PROJECT_FILE)))
    }

    /// Like [`read`](Self::read); `None` when there is no such file.
    pub fn find(root: &Path) -> Result<Option<Self>, PinError> {
        let path = root.join(PROJECT_FILE);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Self::parse(&Source::read(&path)?)?))
    }

    /// Reads the bytes of a project file that does not come from the disk.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Faults> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Self::parse(&Source::new(Path::new(PROJECT_FILE), text))
    }

    /// Reads the text of a project file.
    pub fn parse(source: &Source) -> Result<Self, Faults> {
        let raw: RawProject = source.parse()?;
        let mut faults = Vec::new();
        if raw.version != 1 {
            let message = format!(
                "{} is not a version this tool reads; it reads 1",
                raw.version
            );
            faults.push(source.fault("version", message));
        }
        let pins = pins(source, raw.pins, &raw.tenant, &mut faults);
        let exclude = Exclude::new(&raw.scan.exclude).unwrap_or_else(|(index, why)| {
            faults.push(source.fault(&format!("scan.exclude[{index}]"), why));
            Exclude::default()
        });
        let remote = raw.remote.and_then(|text| match text.parse() {
            Ok(remote) => Some(remote),
            Err(error) => {
                let error: RemoteError = error;
                faults.push(source.fault("remote", error.to_string()));
                None
            }
        });
        let store_remote = raw.store_remote.and_then(|raw| match raw.place() {
            Ok(place) => Some(place),
            Err(fault) => {
                let key = format!("store_remote.{}", fault.part);
                faults.push(source.fault(&key, fault.why));
                None
            }
        });
        Faults::check(faults)?;
        Ok(Self {
            remote,
            store_remote,
            tenant: raw.tenant,
            registry: raw.registry,
            store: raw.store,
            gates: raw.gates,
            pins,
            scan: ScanSettings { exclude },
        })
    }

    /// The file whose policy decides about a model, relative to the project's root unless absolute.
    pub fn gate_file(&self, model: &ModelName) -> &Path {
        self.gates
            .get(model)
            .map_or(Path::new(GATE_FILE), PathBuf::as_path)
    }

    /// Adds a pin to the project file, or changes what it asks, and leaves every other line as it is.
    pub fn write_pin(root: &Path, name: &PinName, ask: &Ask) -> Result<(), PinError> {
        let path = root.join(PROJECT_FILE);
        let source = Source::read(&path)?;
        let before = Self::parse(&source)?;
        let mut wanted = before.clone();
        wanted.pins.insert(name.clone(), ask.clone());
        if wanted == before {
            return Ok(());
        }
        let block = block(name, ask, &before.tenant);
        wanted.write(&source, "pins", name, &block)
    }

    /// Names the policy file that decides about a model, likewise. The model must not have one yet.
    pub fn write_gate(root: &Path, model: &ModelName, file: &Path) -> Result<(), PinError> {
        let source = Source::read(&root.join(PROJECT_FILE))?;
        let mut wanted = Self::parse(&source)?;
        wanted.gates.insert(model.clone(), file.to_owned());
        let block = format!(
            "  {}: {}\n",
            quoted(model.as_str()),
            quoted(&file.to_string_lossy())
        );
        wanted.write(&source, "gates", model, &block)
    }

    /// Puts a block into a section of the project file, provided that it then reads as this project.
    fn write(
        &self,
        source: &Source,
        section: &str,
        name: &ModelName,
        block: &str,
    ) -> Result<(), PinError> {
        let text = with_block(source.text(), section, name, block);
        let edited = Source::new(source.path(), text);
        if Self::parse(&edited).ok().as_ref() != Some(self) {
            return Err(PinError::Layout {
                path: source.path().to_owned(),
                block: format!("{section}:\n{block}"),
            });
        }
        Ok(fsio::write_atomic(source.path(), edited.text().as_bytes())?)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProject {
    version: u64,
    tenant: TenantName,
    #[serde(default = "default_registry")]
    registry: PathBuf,
    #[serde(default = "default_store")]
    store: PathBuf,
    remote: Option<String>,
    store_remote: Option<RawPlace>,
    #[serde(default)]
    gates: BTreeMap<ModelName, PathBuf>,
    #[serde(default)]
    pins: BTreeMap<PinName, RawPin>,
    #[serde(default)]
    scan: RawScan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlace {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    #[serde(default)]
    allow_http: bool,
}

impl RawPlace {
    fn place(&self) -> Result<Place, PlaceFault> {
        let (endpoint, region) = (self.endpoint.as_deref(), self.region.as_deref());
        Place::new(&self.url, endpoint, region, self.allow_http)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPin {
    model: String,
    alias: Option<AliasName>,
    version: Option<VersionLabel>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScan {
    #[serde(default)]
    exclude: Vec<String>,
}

fn default_registry() -> PathBuf {
    PathBuf::from(".retune/registry")
}

fn default_store() -> PathBuf {
    PathBuf::from(".retune/store")
}

fn pins(
    source: &Source,
    raw: BTreeMap<PinName, RawPin>,
    tenant: &TenantName,
    faults: &mut Vec<Fault>,
) -> BTreeMap<PinName, Ask> {
    let mut pins = BTreeMap::new();
    for (name, pin) in raw {
        let key = format!("pins.{name}");
        match ask(pin, tenant) {
            Ok(ask) => {
                pins.insert(name, ask);
            }
            Err((part, why)) => faults.push(source.fault(&format!("{key}{part}"), why)),
        }
    }
    pins
}

/// The error is the key below the pin, with its dot, and what is wrong.
fn ask(raw: RawPin, tenant: &TenantName) -> Result<Ask, (&'static str, String)> {
    let model = |e: crate::name::ParseNameError| (".model", e.to_string());
    let (owner, name) = match raw.model.split_once('/') {
        Some((owner, name)) => (owner.parse::<TenantName>().map_err(model)?, name),
        None => (tenant.clone(), raw.model.as_str()),
    };
    let name = name.parse::<ModelName>().map_err(model)?;
    let asked = match (raw.alias, raw.version) {
        (Some(alias), None) => Asked::Alias(alias),
        (None, Some(version)) => Asked::Version(version),
        (Some(_), Some(_)) => return Err(("", "give `alias` or `version`, not both".to_owned())),
        (None, None) => {
            return Err((
                "",
                "give the `alias` to follow, or one `version`".to_owned(),
            ));
        }
    };
    Ok(Ask {
        tenant: owner,
        model: name,
        asked,
    })
}

/// A pin as the lines below `pins:`.
fn block(name: &PinName, ask: &Ask, tenant: &TenantName) -> String {
    let model = if ask.tenant == *tenant {
        ask.model.to_string()
    } else {
        format!("{}/{}", ask.tenant, ask.model)
    };
    let (key, value) = match &ask.asked {
        Asked::Alias(alias) => ("alias", alias.to_string()),
        Asked::Version(version) => ("version", version.to_string()),
    };
    format!(
        "  {}:\n    model: {}\n    {key}: {}\n",
        quoted(name.as_str()),
        quoted(&model),
        quoted(&value)
    )
}

/// Quotes what YAML would read as a number or a word of its own.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !matches!(
            text,
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
        );
    if plain {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

/// `text` with the block of this name replaced or added in a section. The caller checks the result.
fn with_block(text: &str, section: &str, name: &ModelName, block: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let title = format!("{section}:");
    let Some(pins) = lines.iter().position(|line| line.trim_end() == title) else {
        let gap = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return format!("{text}{gap}{title}\n{block}");
    };
    let is_inside =
        |line: &&str| line.starts_with(' ') || line.trim().is_empty() || line.starts_with('#');
    let end = lines
        .iter()
        .skip(pins + 1)
        .position(|line| !is_inside(line))
        .map_or(lines.len(), |n| pins + 1 + n);
    let head = |line: &str| {
        line.strip_prefix("  ")
            .map(str::trim_end)
            .is_some_and(|key| key == format!("{name}:") || key == format!("\"{name}\":"))
    };
    let at = lines[pins + 1..end]
        .iter()
        .position(|line| head(line))
        .map(|n| pins + 1 + n);
    let (start, stop) = match at {
        Some(start) => {
            let length = lines[start + 1..end]
                .iter()
                .take_while(|line| line.starts_with("    "))
                .count();
            (start, start + 1 + length)
        }
        None => {
            let last = lines[pins..end]
                .iter()
                .rposition(|line| line.starts_with(' ') || line.starts_with(&title));
            let stop = pins + last.map_or(1, |n| n + 1);
            (stop, stop)
        }
    };
    lines.splice(start..stop, block.lines());
    lines.join("\n") + "\n"
}
