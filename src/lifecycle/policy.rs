//! Which gate policy decides about a model: what the project file says, and nothing else.

use std::path::{Component, Path, PathBuf};

use super::workspace::Workspace;
use crate::fsio::{Context, FileError};
use crate::gate::{GateError, Policy};
use crate::name::ModelName;
use crate::pin::{PinError, Project};

/// The policy that decides about a model in this project.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectPolicy {
    /// The file it was read from.
    pub file: PathBuf,
    /// The rules.
    pub policy: Policy,
}

/// Why there is no telling which policy decides.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The project file.
    #[error(transparent)]
    Project(#[from] PinError),
    /// The policy.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The project has no policy for the model.
    #[error("the gate policy of {model}, {}, is not there", file.display())]
    Missing {
        /// The model.
        model: ModelName,
        /// Where it should be.
        file: PathBuf,
    },
    /// A pipeline that judges by other rules than the project.
    #[error(
        "{} is not the gate policy of {model}: the project says {}, which has other rules",
        given.display(),
        file.display()
    )]
    Other {
        /// The model.
        model: ModelName,
        /// What the pipeline names.
        given: PathBuf,
        /// What the project names.
        file: PathBuf,
    },
}

/// The policy that the project file names for a model; by default `gate.yaml`.
pub fn policy_of(
    workspace: &Workspace<'_>,
    model: &ModelName,
) -> Result<ProjectPolicy, PolicyError> {
    let project = Project::read(&workspace.root)?;
    let file = workspace.root.join(project.gate_file(model));
    if !file.exists() {
        let model = model.clone();
        return Err(PolicyError::Missing { model, file });
    }
    let policy = Policy::read(&file)?;
    Ok(ProjectPolicy { file, policy })
}

/// Makes `policy`, read from `file`, the project's policy for a model that has none. One that it has must be the same.
pub fn adopt_policy(
    workspace: &Workspace<'_>,
    model: &ModelName,
    file: &Path,
    policy: &Policy,
) -> Result<(), PolicyError> {
    let project = Project::read(&workspace.root)?;
    let named = project.gates.contains_key(model);
    match policy_of(workspace, model) {
        Ok(own) if own.policy.id()? == policy.id()? => Ok(()),
        Ok(own) => Err(PolicyError::Other {
            model: model.clone(),
            given: file.to_owned(),
            file: own.file,
        }),
        Err(PolicyError::Missing { .. }) if !named => {
            if workspace.act.dry_run {
                return Ok(());
            }
            let file = relative(&workspace.root, file)?;
            Ok(Project::write_gate(&workspace.root, model, &file)?)
        }
        Err(error) => Err(error),
    }
}

/// `file` as it is reached from the folder `root`, with `/` on every system.
fn relative(root: &Path, file: &Path) -> Result<PathBuf, FileError> {
    let root = root.canonicalize().doing("find", root)?;
    let file = file.canonicalize().doing("find", file)?;
    let (from, to): (Vec<Component>, Vec<Component>) =
        (root.components().collect(), file.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return Ok(file);
    }
    let up = from[common..].iter().map(|_| "..".into());
    let down = to[common..]
        .iter()
        .map(|part| part.as_os_str().to_string_lossy());
    let parts: Vec<_> = up.chain(down).collect();
    Ok(parts.join("/").into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::relative;

    #[test]
    fn a_path_is_told_from_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("project/sub")).unwrap();
        std::fs::create_dir_all(at("pipelines")).unwrap();
        for path in [
            "project/gate.yaml",
            "project/sub/gate.yaml",
            "pipelines/gate.yaml",
        ] {
            std::fs::write(at(path), "").unwrap();
        }
        let told = |path: &str| relative(&at("project"), &at(path)).unwrap();
        assert_eq!(told("project/gate.yaml").to_str(), Some("gate.yaml"));
        assert_eq!(
            told("project/sub/gate.yaml").to_str(),
            Some("sub/gate.yaml")
        );
        assert_eq!(
            told("pipelines/../pipelines/gate.yaml").to_str(),
            Some("../pipelines/gate.yaml")
        );
    }
}
