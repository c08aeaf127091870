//! The files the scanner reads, and how it tells their kinds apart.

/// Larger files are skipped and counted: nobody writes such code or configuration by hand.
pub const MAX_BYTES: usize = 1 << 20;

/// One file to check, from wherever it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The path from the root of the repository (or of the scanned folder), with `/`.
    pub path: String,
    /// The pushed reference whose tip holds these bytes; `None` for the index and the work tree.
    pub tip: Option<String>,
    /// The bytes; `None` when they are more than [`MAX_BYTES`].
    pub bytes: Option<Vec<u8>>,
}

/// How a file's structure is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `.py`, `.pyi`
    Python,
    /// `.ipynb`: Python in the code cells of a JSON document.
    Notebook,
    /// `.yaml`, `.yml`
    Yaml,
    /// `.json`, `.jsonc`
    Json,
    /// `.toml`
    Toml,
    /// `.env`, `.env.*`, `*.env`
    Env,
}

impl Kind {
    /// The kind of the file at `path`; `None` for files that are not checked.
    ///
    /// `retune.yaml` and `retune.lock` are not: an alias there is what was asked, and `pin check` compares it
    /// with what was got.
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if matches!(name, "retune.yaml" | "retune.lock") {
            return None;
        }
        if name == ".env" || name.starts_with(".env.") {
            return Some(Self::Env);
        }
        match name.rsplit_once('.')?.1 {
            "py" | "pyi" => Some(Self::Python),
            "ipynb" => Some(Self::Notebook),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" | "jsonc" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "env" => Some(Self::Env),
            _ => None,
        }
    }
}
