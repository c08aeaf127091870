//! Where things lie inside the registry's tree. The table is in `docs/formats.md`.

use crate::digest::Digest;
use crate::name::{AliasName, BaseName, ModelName, TenantName};
use crate::reference::VersionLabel;
use crate::time::Timestamp;

pub(super) const BRANCH: &str = "main";
pub(super) const REFERENCE: &str = "refs/heads/main";
pub(super) const REGISTRY_FILE: &str = "registry.yaml";
pub(super) const ATTRIBUTES_FILE: &str = ".gitattributes";

/// Immutable files are never merged line by line, and no line ending is ever converted.
pub(super) const ATTRIBUTES: &str = "\
* -text
tenants/*/*/*/versions/* -merge
tenants/*/models/*/evidence/** -merge
tenants/*/models/*/events/** -merge
tenants/*/models/*/deprecations/** -merge
tenants/*/models/*/protections/** -merge
tenants/*/models/*/migrations/** -merge
tenants/*/models/*/aliases/* -merge
tenants/*/bases/*/retirements/** -merge
tenants/*/runs/** -merge
tenants/*/reports/** -merge
";

pub(super) const TENANTS: &str = "tenants";

pub(super) fn tenant(tenant: &TenantName) -> String {
    format!("{TENANTS}/{tenant}")
}

pub(super) fn tenant_file(name: &TenantName) -> String {
    format!("{}/tenant.yaml", tenant(name))
}

/// The folder of all names of a catalogue, such as `datasets`.
pub(super) fn names(owner: &TenantName, folder: &str) -> String {
    format!("{}/{folder}", tenant(owner))
}

/// The folder of a name's versions.
pub(super) fn versions(owner: &TenantName, folder: &str, name: &str) -> String {
    format!("{}/{name}/versions", names(owner, folder))
}

pub(super) fn runs(owner: &TenantName) -> String {
    format!("{}/runs", tenant(owner))
}

pub(super) fn run(owner: &TenantName, at: &Timestamp, id: &Digest) -> String {
    let (year, month) = at.year_month();
    format!("{}/{year}/{month}/{}.json", runs(owner), id.short())
}

/// The folder of the reports of one suite on one subject.
pub(super) fn reports(owner: &TenantName, suite: &Digest, subject: &Digest) -> String {
    let (suite, subject) = (suite.short(), subject.short());
    format!("{}/reports/{suite}/{subject}", tenant(owner))
}

pub(super) fn models(owner: &TenantName) -> String {
    names(owner, "models")
}

pub(super) fn model_versions(owner: &TenantName, model: &ModelName) -> String {
    versions(owner, "models", model.as_str())
}

/// The folder of the years of a model's events.
pub(super) fn events(owner: &TenantName, model: &ModelName) -> String {
    format!("{}/{model}/events", models(owner))
}

/// The folder of a model's alias pointers.
pub(super) fn aliases(owner: &TenantName, model: &ModelName) -> String {
    format!("{}/{model}/aliases", models(owner))
}

/// The folder of what was said about the end of one version.
pub(super) fn deprecations(
    owner: &TenantName,
    model: &ModelName,
    version: &VersionLabel,
) -> String {
    format!("{}/{model}/deprecations/{version}", models(owner))
}

/// The folder of what was said about how one migration stands.
pub(super) fn migrations(owner: &TenantName, model: &ModelName, plan: &Digest) -> String {
    format!("{}/{model}/migrations/{}", models(owner), plan.short())
}

/// The folder of what was said about who may move one alias.
pub(super) fn protections(owner: &TenantName, model: &ModelName, alias: &AliasName) -> String {
    format!("{}/{model}/protections/{alias}", models(owner))
}

/// The folder of what was said about the end of a base.
pub(super) fn retirements(owner: &TenantName, base: &BaseName) -> String {
    format!("{}/{base}/retirements", names(owner, "bases"))
}

/// The folder of the evidence about one version.
pub(super) fn evidence(owner: &TenantName, model: &ModelName, version: &VersionLabel) -> String {
    format!("{}/{model}/evidence/{version}", models(owner))
}

/// The folder of the waivers of verdicts about one version.
pub(super) fn waivers(owner: &TenantName, model: &ModelName, version: &VersionLabel) -> String {
    format!("{}/{model}/waivers/{version}", models(owner))
}

/// The folder of the decisions that were made on a suite, by what it measures.
pub(super) fn ledger(owner: &TenantName, content: &Digest) -> String {
    format!("{}/ledger/{}", tenant(owner), content.short())
}
