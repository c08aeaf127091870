//! The rules: which candidates are findings, why, and what to write instead.

use std::fmt;
use std::str::FromStr;

use super::alias;
use super::candidate::{Candidate, Revision, Role};
use crate::reference::{ModelRef, ParseReferenceError};

/// A rule. Its id is stable: people write it in comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A retune reference that names an alias, or no version at all.
    MovableReference,
    /// A Hugging Face Hub repository without a commit.
    HubUnpinned,
    /// A provider's name for whatever its newest snapshot is.
    FloatingProviderAlias,
}

/// A word that is no rule's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rule: known are movable-reference, hf-unpinned and floating-provider-alias"
)]
pub struct UnknownRule(String);

/// Why a candidate is a finding, and what to do.
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) why: String,
    pub(super) fix: String,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 3] = [
        Self::MovableReference,
        Self::HubUnpinned,
        Self::FloatingProviderAlias,
    ];

    /// The id, as written in comments and JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::MovableReference => "movable-reference",
            Self::HubUnpinned => "hf-unpinned",
            Self::FloatingProviderAlias => "floating-provider-alias",
        }
    }
}

/// Judges a candidate. `is_local` says whether a path exists among what is scanned.
pub(super) fn judge(candidate: &Candidate, is_local: &dyn Fn(&str) -> bool) -> Option<Broken> {
    let text = candidate.text.as_str();
    match (text.strip_prefix("retune://"), candidate.role) {
        (Some(reference), _) => retune(reference, true),
        (None, Role::Retune) => retune(text, true),
        (None, Role::Address) => retune(text, false),
        (None, Role::Hub) => hub(candidate, is_local),
        (None, Role::Model) => provider(text),
        (None, Role::Key) => provider(text).or_else(|| key(candidate, is_local)),
    }
}

/// A retune reference; `certain` when nothing else can stand there.
fn retune(text: &str, certain: bool) -> Option<Broken> {
    let broken = |why: String| {
        let model = text.split(['@', ':']).next().unwrap_or(text);
        Some(Broken {
            rule: Rule::MovableReference,
            why,
            fix: format!(
                "write {model}@VERSION (see `retune model show {text}`), or read the version from retune.lock"
            ),
        })
    };
    if is_template(text) {
        return None;
    }
    match text.parse::<ModelRef>() {
        Ok(reference) if reference.is_movable() => broken(format!(
            "the alias `{}` can point to another version tomorrow",
            reference.selector
        )),
        Ok(_) => None,
        Err(ParseReferenceError::NoSelector(_)) if certain => {
            broken("it names no version".to_owned())
        }
        Err(error) if certain => broken(error.to_string()),
        Err(_) => None,
    }
}

fn provider(text: &str) -> Option<Broken> {
    let provider = alias::provider_of(text)?;
    Some(Broken {
        rule: Rule::FloatingProviderAlias,
        why: format!("{} moves this name to newer snapshots", provider.name),
        fix: provider.fix.to_owned(),
    })
}

/// The argument of a call that downloads: anything but a local path is a repository.
fn hub(candidate: &Candidate, is_local: &dyn Fn(&str) -> bool) -> Option<Broken> {
    let text = candidate.text.as_str();
    let repository = is_repository(text) || is_repository_name(text);
    if repository && !is_local(text) {
        unpinned(candidate)
    } else {
        None
    }
}

/// The value of a key: only what is shaped `organisation/name`, or a name that the Hub has without organisation.
fn key(candidate: &Candidate, is_local: &dyn Fn(&str) -> bool) -> Option<Broken> {
    let text = candidate.text.as_str();
    let repository = is_repository(text) && !is_folder(text) && !alias::is_hosted(text);
    let repository = repository || CANONICAL.contains(&text);
    if repository && !is_local(text) {
        unpinned(candidate)
    } else {
        None
    }
}

fn unpinned(candidate: &Candidate) -> Option<Broken> {
    let why = match &candidate.revision {
        Revision::Unknown => return None,
        Revision::Text(revision) if Revision::is_commit(revision) => return None,
        Revision::Text(revision) => {
            format!("revision {revision:?} is a branch, a tag or a shortened commit and can move")
        }
        Revision::Absent => "without a revision, the newest commit on the Hub is used".to_owned(),
        Revision::Hidden => {
            "no revision is in sight; if the `**` mapping holds it, write it in the call".to_owned()
        }
    };
    let text = &candidate.text;
    Some(Broken {
        rule: Rule::HubUnpinned,
        why,
        fix: format!(
            "set revision to all 40 digits of a commit of https://huggingface.co/{text}/commits/main"
        ),
    })
}

/// `organisation/name` in the Hub's alphabet.
fn is_repository(text: &str) -> bool {
    text.split_once('/').is_some_and(|(organisation, name)| {
        is_repository_name(organisation) && is_repository_name(name)
    })
}

fn is_repository_name(text: &str) -> bool {
    let alphabet = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    (1..=96).contains(&text.len())
        && text.bytes().all(alphabet)
        && text.as_bytes()[0] != b'.'
        && !text.contains("..")
        && !has_file_ending(text)
}

/// Whether it ends like a file of weights or code, which no repository does.
fn has_file_ending(text: &str) -> bool {
    let ending = text
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending.as_str()))
}

const FILE_ENDINGS: [&str; 22] = [
    "bin",
    "ckpt",
    "gguf",
    "ggml",
    "h5",
    "joblib",
    "json",
    "keras",
    "mlmodel",
    "model",
    "npz",
    "onnx",
    "pb",
    "pkl",
    "pt",
    "pth",
    "py",
    "safetensors",
    "tar",
    "tflite",
    "yaml",
    "yml",
];

/// Whether the first part is a folder that people keep models in, not an organisation.
fn is_folder(text: &str) -> bool {
    const FOLDERS: [&str; 33] = [
        "adapter",
        "adapters",
        "artifacts",
        "assets",
        "build",
        "cache",
        "checkpoint",
        "checkpoints",
        "ckpt",
        "ckpts",
        "data",
        "dist",
        "exp",
        "experiments",
        "export",
        "exports",
        "local",
        "logs",
        "mnt",
        "model",
        "models",
        "opt",
        "out",
        "output",
        "outputs",
        "pretrained",
        "results",
        "runs",
        "saved",
        "saved_models",
        "src",
        "tmp",
        "weights",
    ];
    let first = text.split('/').next().unwrap_or(text).to_ascii_lowercase();
    FOLDERS.contains(&first.as_str())
}

/// Whether the text is filled in later: `${MODEL}`, `{{ model }}`, `<model>`.
fn is_template(text: &str) -> bool {
    text.contains(['$', '{', '<'])
}

/// Repositories of the Hub's first years, which have no organisation.
const CANONICAL: [&str; 36] = [
    "albert-base-v1",
    "albert-base-v2",
    "albert-large-v2",
    "albert-xlarge-v2",
    "albert-xxlarge-v2",
    "bert-base-cased",
    "bert-base-chinese",
    "bert-base-german-cased",
    "bert-base-multilingual-cased",
    "bert-base-multilingual-uncased",
    "bert-base-uncased",
    "bert-large-cased",
    "bert-large-uncased",
    "bert-large-uncased-whole-word-masking-finetuned-squad",
    "camembert-base",
    "distilbert-base-cased",
    "distilbert-base-cased-distilled-squad",
    "distilbert-base-multilingual-cased",
    "distilbert-base-uncased",
    "distilbert-base-uncased-finetuned-sst-2-english",
    "distilgpt2",
    "distilroberta-base",
    "gpt2",
    "gpt2-large",
    "gpt2-medium",
    "gpt2-xl",
    "openai-gpt",
    "roberta-base",
    "roberta-large",
    "t5-base",
    "t5-large",
    "t5-small",
    "xlm-roberta-base",
    "xlm-roberta-large",
    "xlnet-base-cased",
    "xlnet-large-cased",
];

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|rule| rule.id() == text)
            .ok_or_else(|| UnknownRule(text.to_owned()))
    }
}
