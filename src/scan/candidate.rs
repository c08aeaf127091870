//! What an extractor found: a model's name and how it is used.

/// A model's name in a file, before any rule looked at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where the name begins.
    pub at: Position,
    /// The name as written.
    pub text: String,
    /// How it is used.
    pub role: Role,
    /// The revision beside it.
    pub revision: Revision,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
}

/// How a model's name is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The argument of a call that downloads from the Hugging Face Hub.
    Hub,
    /// The value of a key that names a model: a provider's name, a Hub repository or something else.
    Key,
    /// A value that goes to some call or name as its model, not necessarily from the Hub.
    Model,
    /// A retune reference: the argument of `retune.load`, the value of `retune_model`.
    Retune,
    /// A `retune://` address, wherever it stands, or the value of `model_ref`.
    Address,
}

/// The revision that stands beside a model's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// None.
    Absent,
    /// None in sight, but the call passes on a `**mapping`.
    Hidden,
    /// This text.
    Text(String),
    /// An expression whose value is not in the file.
    Unknown,
}

impl Revision {
    /// Whether a revision is a full commit, which cannot move.
    pub(super) fn is_commit(text: &str) -> bool {
        text.len() == 40 && text.bytes().all(|c| c.is_ascii_hexdigit())
    }
}

impl Position {
    /// The position of byte `at` in `text`; the end for an offset beyond it.
    pub fn of(text: &str, at: usize) -> Self {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.bytes().filter(|&byte| byte == b'\n').count(),
            column: 1 + before[start..].chars().count(),
        }
    }
}
