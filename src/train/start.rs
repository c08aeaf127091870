//! What a run was asked to do: written before the first step, and the run's identity.

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::from::FromAdapter;
use super::job::Job;
use super::machine::MachineClass;
use super::streams::Streams;
use crate::base::{BaseId, Device};
use crate::dataset::DatasetId;
use crate::digest::Digest;
use crate::document::canonical;
use crate::name::TenantName;
use crate::store::TreeId;
use crate::time::Timestamp;

crate::typed_id!(
    /// Identifies a run: the digest of its start document.
    RunId
);

const SCHEMA: &str = "retune.run-start/1";
const FINGERPRINT: &str = "retune.run-fingerprint/1";

/// What a run was asked to do, of what, where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStart {
    /// The whole job, defaults included.
    pub job: Job,
    /// The digest of its canonical form.
    pub job_digest: Digest,
    /// The examples.
    pub dataset: DatasetId,
    /// Whose the examples are; none: nobody's in particular. Runs of before this was recorded lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<TenantName>>,
    /// The frozen model.
    pub base: BaseId,
    /// The adapter that it goes on from, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<FromAdapter>,
    /// What the model is trained on.
    #[serde(default, skip_serializing_if = "Device::is_cpu")]
    pub device: Device,
    /// The version of this tool.
    pub tool: String,
    /// The machine on which the run began.
    pub machine: MachineClass,
    /// How products are summed, where that machine has a way of its own: `amx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<String>,
    /// The seeds derived from the job's.
    pub streams: Streams,
    /// When the run began.
    pub started_at: Timestamp,
}

/// What the result of a run depends on.
#[derive(Serialize)]
struct Fingerprint<'a> {
    job: Digest,
    dataset: DatasetId,
    base: BaseId,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<TreeId>,
    #[serde(skip_serializing_if = "Device::is_cpu")]
    device: Device,
    #[serde(skip_serializing_if = "Option::is_none")]
    arithmetic: Option<&'a str>,
    tool: &'a str,
}

impl Job {
    /// Two runs with one fingerprint give the same adapter: the digest of job, dataset, base, the adapter that it goes on from, device,
    /// the machine's arithmetic where it is one of its own, and tool version.
    pub fn fingerprint(
        &self,
        dataset: DatasetId,
        base: BaseId,
        from: Option<TreeId>,
        device: Device,
        arithmetic: Option<&str>,
        tool: &str,
    ) -> Result<Digest, TrainError> {
        let parts = Fingerprint {
            job: self.digest()?,
            dataset,
            base,
            from,
            device,
            arithmetic,
            tool,
        };
        Ok(Digest::of(&canonical::encode(FINGERPRINT, &parts)?))
    }
}

impl RunStart {
    /// The canonical bytes.
    pub fn encode(&self) -> Result<Vec<u8>, TrainError> {
        Ok(canonical::encode(SCHEMA, self)?)
    }

    /// Reads what [`encode`](Self::encode) wrote; the job must have the digest that is written beside it.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrainError> {
        let start: Self = canonical::decode(SCHEMA, bytes)?;
        if start.job.digest()? != start.job_digest || Streams::of(start.job.seed) != start.streams {
            return Err(TrainError::Contradiction(
                "the start document's digest or streams are not its job's".to_owned(),
            ));
        }
        Ok(start)
    }

    /// The run's identity.
    pub fn id(&self) -> Result<RunId, TrainError> {
        Ok(Digest::of(&self.encode()?).into())
    }

    /// See [`Job::fingerprint`].
    pub fn fingerprint(&self) -> Result<Digest, TrainError> {
        let from = self.from.map(|from| from.adapter);
        self.job.fingerprint(
            self.dataset,
            self.base,
            from,
            self.device,
            self.arithmetic.as_deref(),
            &self.tool,
        )
    }
}
