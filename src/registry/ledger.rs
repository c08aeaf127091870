//! The ledger: every decision that was made on a suite, and the alpha it spent.

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::evidence;
use super::layout;
use super::record::checked;
use super::tenant::Tenant;
use super::transaction::{Step, Transaction};
use super::version::Version;
use super::view::{View, damaged, decode};
use crate::digest::Digest;
use crate::document::{Decimal, canonical};

const SCHEMA: &str = "retune.decision/1";

/// One decision on a suite. The suite is named by its content, so that a new name is no new budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// What the suite measures, without its name.
    pub content: Digest,
    /// The number of the decision, from 1.
    pub decision: u32,
    /// The alpha of the decision.
    pub alpha: Decimal,
    /// What was asked: policy, reports and look. The same question again is the same decision.
    pub question: Digest,
    /// The evidence that answers it.
    pub evidence: Digest,
    /// The verdict.
    pub verdict: String,
}

/// What came of recording a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is in the ledger now, with its evidence.
    New,
    /// It was there already.
    Known,
    /// Somebody else made the decision of this number meanwhile: judge again as a later one.
    Taken,
}

impl Tenant<'_> {
    /// The decisions on a suite so far, in their order.
    pub fn ledger(&self, content: &Digest) -> Result<Vec<Spent>, RegistryError> {
        self.ledger_at(&self.view()?, content)
    }

    /// Records a decision and its evidence about a version, in one commit.
    pub fn decide(
        &self,
        version: &Version,
        evidence: &[u8],
        spent: &Spent,
        act: &Act<'_>,
    ) -> Result<Entered, RegistryError> {
        let id = checked("evidence", evidence::SCHEMA, evidence)?;
        let entry = canonical::encode(SCHEMA, spent);
        let entry = entry.map_err(|source| RegistryError::Refused {
            what: "decision",
            source,
        })?;
        let model = &version.manifest.model;
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.version_at(view, model, &version.id)?;
            let ledger = self.ledger_at(view, &spent.content)?;
            let path = self.evidence_path(version, &id);
            let known = view.read(&path)?.is_some_and(|known| known == evidence);
            let entered = ledger.contains(spent);
            if known && entered {
                return Ok(Step::Nothing(Entered::Known));
            }
            if !entered && spent.decision as usize != ledger.len() + 1 {
                return Ok(Step::Nothing(Entered::Taken));
            }
            let (label, tenant) = (&version.label, &self.name);
            let subject = format!("record evidence about {model}@{label} ({tenant})");
            let mut transaction = Transaction::new(subject).trailer("Retune-Evidence", id);
            if !known {
                transaction = transaction.add(view, path, evidence.to_vec())?;
            }
            if !entered {
                let dir = layout::ledger(&self.name, &spent.content);
                let name = format!("{:06}-{}", spent.decision, &Digest::of(&entry).hex()[..16]);
                transaction = transaction.add(view, format!("{dir}/{name}.json"), entry.clone())?;
            }
            Ok(Step::Write(transaction, Entered::New))
        })
    }

    fn ledger_at(&self, view: &View<'_>, content: &Digest) -> Result<Vec<Spent>, RegistryError> {
        let dir = layout::ledger(&self.name, content);
        let mut decisions: Vec<Spent> = Vec::new();
        for file in view.documents(&dir)? {
            let bytes = view.load(&file)?;
            let spent: Spent = decode(SCHEMA, &file.path, &bytes)?;
            let name = format!("{:06}-{}", spent.decision, &Digest::of(&bytes).hex()[..16]);
            if file.stem != name || spent.decision as usize != decisions.len() + 1 {
                return Err(damaged(
                    &file.path,
                    "it is not the next decision of its ledger",
                ));
            }
            // The folder holds only the first digits of the content's digest.
            if spent.content == *content {
                decisions.push(spent);
            }
        }
        Ok(decisions)
    }
}
