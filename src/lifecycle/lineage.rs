//! Where a version comes from and what rests on it: dataset, base, run, version, evidence, aliases.

use serde_json::Value;

use crate::registry::{RegistryError, Tenant, Version};

/// A thing of the lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// What people call it.
    pub name: String,
    /// Its identity.
    pub id: String,
    /// A remark, such as a verdict; may be empty.
    pub note: String,
}

/// What a thing of the lineage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// What the version was trained on.
    Dataset,
    /// The frozen model underneath.
    Base,
    /// A version that training began with.
    Parent,
    /// The training.
    Run,
    /// The version itself.
    Version,
    /// A judgement about it.
    Evidence,
    /// A pointer to it.
    Alias,
}

/// The lineage of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Everything, in the order in which it came about.
    pub nodes: Vec<Node>,
    /// Which comes from which, as positions in `nodes`.
    pub edges: Vec<(usize, usize)>,
}

/// Puts together where a version comes from and what rests on it.
pub fn lineage(tenant: &Tenant<'_>, version: &Version) -> Result<Lineage, RegistryError> {
    let manifest = &version.manifest;
    let mut lineage = Lineage {
        nodes: Vec::new(),
        edges: Vec::new(),
    };
    let dataset = tenant.datasets().by_id(&manifest.dataset.id)?;
    let called = dataset.map(|known| format!("{}@{}", known.name, known.label));
    let mut sources = vec![lineage.add(NodeKind::Dataset, called, &manifest.dataset.id)];
    let base = tenant.bases().by_id(&manifest.base.tree.digest())?;
    let called = base.map(|known| format!("{}@{}", known.name, known.label));
    sources.push(lineage.add(NodeKind::Base, called, &manifest.base.tree));
    for parent in &manifest.parents {
        let called = tenant.version(&manifest.model, parent)?.to_string();
        sources.push(lineage.add(NodeKind::Parent, Some(called), parent));
    }
    let run = lineage.add(NodeKind::Run, None, &manifest.run.id);
    sources
        .into_iter()
        .for_each(|source| lineage.edges.push((source, run)));
    let made = lineage.add(NodeKind::Version, Some(version.to_string()), &version.id);
    lineage.edges.push((run, made));
    let mut judged = Vec::new();
    for record in tenant.evidence(version)? {
        let evidence = lineage.add(NodeKind::Evidence, None, &record.id);
        lineage.nodes[evidence].note = verdict(&record.document);
        lineage.edges.push((made, evidence));
        judged.push((record.id, evidence));
    }
    for alias in tenant.aliases(&manifest.model)? {
        let Some((id, event)) = alias.chain.links.last() else {
            continue;
        };
        if event.to.manifest != version.id {
            continue;
        }
        let called = format!("{}:{}", manifest.model, alias.name);
        let pointer = lineage.add(NodeKind::Alias, Some(called), id);
        lineage.nodes[pointer].note = format!("{} {}", event.kind.word(), event.at);
        let on = judged.iter().find(|(id, _)| event.evidence == Some(*id));
        let from = on.map_or(made, |(_, evidence)| *evidence);
        lineage.edges.push((from, pointer));
    }
    Ok(lineage)
}

impl Lineage {
    fn add(&mut self, kind: NodeKind, name: Option<String>, id: &impl ToString) -> usize {
        let id = id.to_string();
        let short = || id.trim_start_matches("sha256:").chars().take(12).collect();
        self.nodes.push(Node {
            kind,
            name: name.unwrap_or_else(short),
            id,
            note: String::new(),
        });
        self.nodes.len() - 1
    }
}

impl NodeKind {
    /// `dataset`, `base`, `parent`, `run`, `version`, `evidence` or `alias`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Base => "base",
            Self::Parent => "parent",
            Self::Run => "run",
            Self::Version => "version",
            Self::Evidence => "evidence",
            Self::Alias => "alias",
        }
    }
}

fn verdict(document: &[u8]) -> String {
    let evidence = serde_json::from_slice::<Value>(document).unwrap_or_default();
    evidence["verdict"].as_str().unwrap_or_default().to_owned()
}
