//! Views of models, versions and aliases.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use retune::lifecycle::{self, ExportForm};
use retune::progress::{bytes, grouped};
use retune::registry::{
    Added, Alias, Chain, Event, EventId, EvidenceRecord, Protection, Readiness, Verification,
    Version, VersionManifest,
};
use serde::Serialize;

use super::table::table;
use crate::ui::{BAD, BOLD, GOOD, View, styled};

/// What `model list` shows.
#[derive(Serialize)]
pub(crate) struct Models {
    pub(crate) models: Vec<Model>,
}

/// One model of the list.
#[derive(Serialize)]
pub(crate) struct Model {
    name: String,
    versions: usize,
    newest: Option<String>,
    aliases: BTreeMap<String, String>,
}

impl Model {
    pub(crate) fn new(name: &impl ToString, versions: &[Version], aliases: &[Alias]) -> Self {
        Self {
            name: name.to_string(),
            versions: versions.len(),
            newest: versions.first().map(|version| version.label.to_string()),
            aliases: pointers(aliases),
        }
    }
}

fn pointers(aliases: &[Alias]) -> BTreeMap<String, String> {
    let pointer = |alias: &Alias| {
        let target = alias.chain.current()?.version.to_string();
        Some((alias.name.to_string(), target))
    };
    aliases.iter().filter_map(pointer).collect()
}

impl View for Models {
    const SCHEMA: &'static str = "retune.model-list/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<[String; 4]> = self
            .models
            .iter()
            .map(|model| {
                let aliases = model
                    .aliases
                    .iter()
                    .map(|(name, at)| format!("{name} → {at}"));
                [
                    model.name.clone(),
                    model.versions.to_string(),
                    model.newest.clone().unwrap_or_default(),
                    aliases.collect::<Vec<_>>().join(", "),
                ]
            })
            .collect();
        table(out, ["MODEL", "VERSIONS", "NEWEST", "ALIASES"], &rows)
    }
}

/// What `model list MODEL` shows.
#[derive(Serialize)]
pub(crate) struct Versions {
    model: String,
    versions: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    version: String,
    id: String,
    created: String,
    run: String,
    dataset: String,
    aliases: Vec<String>,
}

impl Versions {
    pub(crate) fn new(model: &impl ToString, versions: &[Version], aliases: &[Alias]) -> Self {
        let line = |version: &Version| Line {
            version: version.label.to_string(),
            id: version.id.to_string(),
            created: version.manifest.created.to_string(),
            run: version.manifest.run.id.to_string(),
            dataset: version.manifest.dataset.id.to_string(),
            aliases: held_by(version, aliases),
        };
        Self {
            model: model.to_string(),
            versions: versions.iter().map(line).collect(),
        }
    }
}

fn held_by(version: &Version, aliases: &[Alias]) -> Vec<String> {
    let here = |alias: &&Alias| {
        let target = alias.chain.current();
        target.is_some_and(|target| target.manifest == version.id)
    };
    let here = aliases.iter().filter(here);
    here.map(|alias| alias.name.to_string()).collect()
}

impl View for Versions {
    const SCHEMA: &'static str = "retune.model-versions/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<[String; 5]> = self
            .versions
            .iter()
            .map(|line| {
                [
                    line.version.clone(),
                    line.created.clone(),
                    short(&line.run),
                    short(&line.dataset),
                    line.aliases.join(", "),
                ]
            })
            .collect();
        table(
            out,
            ["VERSION", "CREATED", "RUN", "DATASET", "ALIASES"],
            &rows,
        )
    }
}

/// The 12 digits that people recognise a digest by.
fn short(digest: &str) -> String {
    digest
        .trim_start_matches("sha256:")
        .chars()
        .take(12)
        .collect()
}

/// What `model show` shows.
#[derive(Serialize)]
pub(crate) struct Shown {
    version: String,
    id: String,
    aliases: Vec<String>,
    /// Who signed that these aliases point here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    signed: BTreeMap<String, Signed>,
    evidence: Vec<String>,
    manifest: VersionManifest,
}

impl Shown {
    pub(crate) fn new(version: &Version, aliases: &[Alias], evidence: &[EvidenceRecord]) -> Self {
        Self {
            version: version.label.to_string(),
            id: version.id.to_string(),
            aliases: held_by(version, aliases),
            signed: signed(version, aliases),
            evidence: evidence
                .iter()
                .map(|record| record.id.to_string())
                .collect(),
            manifest: version.manifest.clone(),
        }
    }
}

impl View for Shown {
    const SCHEMA: &'static str = "retune.model-show/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let manifest = &self.manifest;
        let title = format!("{}/{}@{}", manifest.tenant, manifest.model, self.version);
        writeln!(out, "{}", styled(BOLD, title))?;
        let mut line = |name: &str, value: &str| writeln!(out, "  {name:<10} {value}");
        line("id", &self.id)?;
        if !self.aliases.is_empty() {
            line("aliases", &self.aliases.join(", "))?;
        }
        for (alias, Signed { by, key }) in &self.signed {
            line("", &format!("{alias} signed by {by}, {key}"))?;
        }
        line("created", &manifest.created.to_string())?;
        let size =
            |files: &[retune::store::TreeEntry]| bytes(files.iter().map(|file| file.size).sum());
        let adapter = &manifest.adapter;
        let what = match adapter.format.as_str() {
            "peft" => "adapter",
            _ => "model",
        };
        line(
            what,
            &format!("{} ({})", adapter.tree, size(&adapter.files)),
        )?;
        for file in &adapter.files {
            line("", &format!("{} ({})", file.path, bytes(file.size)))?;
        }
        let base = &manifest.base;
        line("base", &format!("{} ({})", base.tree, size(&base.files)))?;
        if let Some(source) = &base.source {
            let revision = base.revision.iter().map(|commit| format!(" at {commit}"));
            line("", &format!("{source}{}", revision.collect::<String>()))?;
        }
        line("dataset", &manifest.dataset.id.to_string())?;
        match manifest.dataset.tenants.as_deref() {
            Some([]) => line("", "of no tenant in particular")?,
            Some(tenants) => {
                let names: Vec<String> = tenants.iter().map(ToString::to_string).collect();
                line("", &format!("of tenant {}", names.join(", ")))?;
            }
            None => {}
        }
        for (split, digest) in &manifest.dataset.splits {
            line("", &format!("{split} {digest}"))?;
        }
        let run = &manifest.run;
        line("run", &run.id.to_string())?;
        line("", &format!("seed {}, retune {}", run.seed, run.tool))?;
        if let Some(licence) = &manifest.licence {
            line("licence", licence)?;
        }
        if self.evidence.is_empty() {
            line("evidence", "none")?;
        }
        for (index, id) in self.evidence.iter().enumerate() {
            line(if index == 0 { "evidence" } else { "" }, id)?;
        }
        Ok(())
    }
}

/// Who signed a move.
#[derive(Serialize)]
pub(crate) struct Signed {
    /// The mail address, which is a principal among the signers.
    by: String,
    /// The fingerprint of the key.
    key: String,
}

impl Signed {
    fn of(event: &Event) -> Option<Self> {
        let signature = event.signature.as_ref()?;
        Some(Self {
            by: event.actor.email().to_owned(),
            key: signature.fingerprint(),
        })
    }
}

/// The last moves of the aliases that point to a version, where they are signed.
fn signed(version: &Version, aliases: &[Alias]) -> BTreeMap<String, Signed> {
    let last = |alias: &Alias| {
        let (_, event) = alias.chain.links.last()?;
        let here = event.to.manifest == version.id;
        let signed = Signed::of(event).filter(|_| here)?;
        Some((alias.name.to_string(), signed))
    };
    aliases.iter().filter_map(last).collect()
}

/// What `model log` shows: the moves of an alias, the newest first.
#[derive(Serialize)]
pub(crate) struct Log {
    model: String,
    alias: String,
    events: Vec<Move>,
}

/// One move of an alias.
#[derive(Serialize)]
pub(crate) struct Move {
    event: String,
    seq: u64,
    kind: &'static str,
    from: Option<String>,
    to: String,
    at: String,
    actor: String,
    evidence: Option<String>,
    waiver: Option<String>,
    reason: Option<String>,
    /// Absent where it is not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<Signed>,
}

impl Log {
    /// All of a chain, or only the move that was in force at a time.
    pub(crate) fn new(model: &impl ToString, alias: &impl ToString, events: Vec<Move>) -> Self {
        Self {
            model: model.to_string(),
            alias: alias.to_string(),
            events,
        }
    }

    pub(crate) fn moves(chain: &Chain) -> Vec<Move> {
        let newest_first = chain.links.iter().rev();
        newest_first
            .map(|(id, event)| Move::new(id, event))
            .collect()
    }
}

impl Move {
    pub(crate) fn new(id: &EventId, event: &Event) -> Self {
        Self {
            event: id.to_string(),
            seq: event.seq,
            kind: event.kind.word(),
            from: event.from.as_ref().map(|from| from.version.to_string()),
            to: event.to.version.to_string(),
            at: event.at.to_string(),
            actor: event.actor.to_string(),
            evidence: event.evidence.map(|id| id.to_string()),
            waiver: event.waiver.map(|id| id.to_string()),
            reason: event.reason.clone(),
            signed: Signed::of(event),
        }
    }

    /// Who did it, and what they signed with.
    fn who(&self) -> String {
        match &self.signed {
            Some(Signed { key, .. }) => format!("{}, signed with {key}", self.actor),
            None => self.actor.clone(),
        }
    }

    fn what(&self) -> String {
        match self.waiver {
            Some(_) => format!("{}, waived", self.kind),
            None => self.kind.to_owned(),
        }
    }
}

impl View for Log {
    const SCHEMA: &'static str = "retune.model-log/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<[String; 6]> = self
            .events
            .iter()
            .map(|event| {
                [
                    event.at.clone(),
                    event.what(),
                    event.to.clone(),
                    event.from.clone().unwrap_or_else(|| "-".to_owned()),
                    event.who(),
                    event.reason.clone().unwrap_or_default(),
                ]
            })
            .collect();
        table(out, ["AT", "WHAT", "TO", "FROM", "BY", "WHY"], &rows)
    }
}

/// What `model promote` and `model rollback` did.
#[derive(Serialize)]
pub(crate) struct Moved {
    pub(crate) model: String,
    pub(crate) alias: String,
    pub(crate) dry_run: bool,
    /// Absent when the alias pointed there already.
    pub(crate) event: Option<Move>,
    pub(crate) version: String,
}

impl View for Moved {
    const SCHEMA: &'static str = "retune.model-move/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let alias = styled(BOLD, format!("{}:{}", self.model, self.alias));
        let verb = if self.dry_run { "would be" } else { "is now" };
        match &self.event {
            None => writeln!(out, "{alias} is {} already", self.version),
            Some(event) => {
                let was = event.from.as_deref().unwrap_or("nothing");
                writeln!(out, "{alias} {verb} {} (was {was})", self.version)?;
                if let Some(Signed { by, key }) = &event.signed {
                    writeln!(out, "  signed by {by}, {key}")?;
                }
                match event.waiver {
                    Some(_) => writeln!(out, "  WAIVED: its gate does not say PASS"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What `model protect` did.
#[derive(Serialize)]
pub(crate) struct Protected {
    model: String,
    alias: String,
    allow: Vec<String>,
    two_people: bool,
    /// Those of whom one signs every move.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signers: Vec<Signed>,
    new: bool,
    dry_run: bool,
}

impl Protected {
    pub(crate) fn new(added: &Added<Protection>, dry_run: bool) -> Self {
        let record = &added.record;
        Self {
            model: record.model.to_string(),
            alias: record.alias.to_string(),
            allow: record.allow.iter().cloned().collect(),
            two_people: record.two_people,
            signers: record
                .signers
                .iter()
                .map(|signer| Signed {
                    by: signer.email().to_owned(),
                    key: signer.fingerprint(),
                })
                .collect(),
            new: added.new,
            dry_run,
        }
    }
}

impl View for Protected {
    const SCHEMA: &'static str = "retune.model-protect/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let alias = styled(BOLD, format!("{}:{}", self.model, self.alias));
        let verb = match (self.new, self.dry_run) {
            (false, _) => "can be moved, as before,",
            (true, true) => "could be moved",
            (true, false) => "can be moved",
        };
        let who = match self.allow.as_slice() {
            [] if !self.signers.is_empty() => "its signers".to_owned(),
            [] => "everybody".to_owned(),
            some => some.join(", "),
        };
        let two = match self.two_people {
            true => "; promoting takes somebody else than who registered",
            false => "",
        };
        writeln!(out, "{alias} {verb} by {who}{two}")?;
        for (index, Signed { by, key }) in self.signers.iter().enumerate() {
            let word = if index == 0 { "signed by" } else { "       or" };
            writeln!(out, "  {word} {by}, {key}")?;
        }
        Ok(())
    }
}

/// What `model verify --rollback` found.
#[derive(Serialize)]
pub(crate) struct Ready {
    aliases: Vec<ReadyLine>,
}

#[derive(Serialize)]
struct ReadyLine {
    model: String,
    alias: String,
    /// Absent when the alias was nowhere before.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    faults: Vec<String>,
}

impl Ready {
    pub(crate) fn new(found: &[Readiness]) -> Self {
        let line = |ready: &Readiness| ReadyLine {
            model: ready.model.to_string(),
            alias: ready.alias.to_string(),
            to: ready.to.as_ref().map(ToString::to_string),
            faults: ready.faults.clone(),
        };
        Self {
            aliases: found.iter().map(line).collect(),
        }
    }
}

impl View for Ready {
    const SCHEMA: &'static str = "retune.model-rollback-readiness/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for line in &self.aliases {
            let alias = format!("{}:{}", line.model, line.alias);
            match (&line.to, line.faults.as_slice()) {
                (None, _) => writeln!(out, "{alias}: nothing to go back to")?,
                (Some(to), []) => {
                    writeln!(out, "{alias}: {} to go back to {to}", styled(GOOD, "ready"))?
                }
                (Some(to), faults) => {
                    let bad = styled(BAD, "cannot go back");
                    writeln!(out, "{alias}: {bad} to {to}: {}", faults.join("; "))?;
                }
            }
        }
        Ok(())
    }
}

/// What `model register` did.
#[derive(Serialize)]
pub(crate) struct Registered {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) id: String,
    pub(crate) new: bool,
    pub(crate) dry_run: bool,
}

impl View for Registered {
    const SCHEMA: &'static str = "retune.model-register/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let version = styled(BOLD, format!("{}@{}", self.model, self.version));
        match (self.new, self.dry_run) {
            (false, _) => writeln!(out, "{version} is registered already"),
            (true, true) => writeln!(out, "would register {version}"),
            (true, false) => writeln!(out, "registered {version}"),
        }
    }
}

/// What `model verify` found.
#[derive(Serialize)]
pub(crate) struct Verified {
    tenant: String,
    records: u64,
    runs: u64,
    versions: u64,
    evidence: u64,
    events: u64,
    aliases: u64,
    objects: u64,
    faults: Vec<Fault>,
}

#[derive(Serialize)]
struct Fault {
    what: String,
    problem: String,
}

impl Verified {
    pub(crate) fn new(tenant: &impl ToString, found: &Verification) -> Self {
        let fault = |fault: &retune::registry::RegistryFault| Fault {
            what: fault.what.clone(),
            problem: fault.why.clone(),
        };
        Self {
            tenant: tenant.to_string(),
            records: found.records,
            runs: found.runs,
            versions: found.versions,
            evidence: found.evidence,
            events: found.events,
            aliases: found.aliases,
            objects: found.objects,
            faults: found.faults.iter().map(fault).collect(),
        }
    }
}

impl View for Verified {
    const SCHEMA: &'static str = "retune.model-verify/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for fault in &self.faults {
            writeln!(
                out,
                "{} {}: {}",
                styled(BAD, "damaged"),
                fault.what,
                fault.problem
            )?;
        }
        let verdict = match self.faults.len() {
            0 => styled(GOOD, "sound"),
            count => styled(BAD, format!("{count} damaged")),
        };
        writeln!(
            out,
            "registry of {} {verdict}: {} versions, {} moves of {} aliases, {} pieces of evidence, {} records, {} runs; {} stored files re-read",
            self.tenant,
            grouped(self.versions),
            grouped(self.events),
            grouped(self.aliases),
            grouped(self.evidence),
            grouped(self.records),
            grouped(self.runs),
            grouped(self.objects),
        )
    }
}

/// What was written, and for whom.
#[derive(Debug, Serialize)]
pub(crate) struct Exported {
    version: String,
    id: String,
    directory: String,
    /// `merged`, or the server.
    form: &'static str,
    files: usize,
    bytes: u64,
    changes: Vec<String>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Drifted>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Drifted {
    texts: usize,
    largest_logit: f64,
    largest_difference: f64,
}

impl Exported {
    pub(crate) fn new(
        version: &Version,
        exported: &lifecycle::Exported,
        directory: &Path,
        form: ExportForm,
        dry_run: bool,
    ) -> Self {
        Self {
            version: version.to_string(),
            id: version.id.to_string(),
            directory: directory.display().to_string(),
            form: match form {
                ExportForm::Adapter(profile) => profile.name(),
                ExportForm::Merged(_) => "merged",
            },
            files: exported.files,
            bytes: exported.bytes,
            changes: exported.changes.clone(),
            notes: exported.notes.clone(),
            drift: exported.drift.map(|drift| Drifted {
                texts: drift.texts,
                largest_logit: drift.largest,
                largest_difference: drift.logits,
            }),
            dry_run,
        }
    }
}

impl View for Exported {
    const SCHEMA: &'static str = "retune.model-export/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: {} in {} file{}, {} {}",
            styled(BOLD, &self.version),
            bytes(self.bytes),
            self.files,
            if self.files == 1 { "" } else { "s" },
            if self.dry_run { "would go to" } else { "to" },
            self.directory
        )?;
        for change in &self.changes {
            writeln!(out, "  {change}")?;
        }
        if let Some(drift) = &self.drift {
            writeln!(
                out,
                "  largest difference of a logit {:.1e} on {} texts (largest logit {:.1})",
                drift.largest_difference, drift.texts, drift.largest_logit
            )?;
        } else if self.form == "merged" {
            writeln!(out, "  not compared: this build runs no models")?;
        }
        for note in &self.notes {
            writeln!(out, "  note: {note}")?;
        }
        Ok(())
    }
}
