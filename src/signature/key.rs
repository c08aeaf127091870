//! Making signatures, as git does: `ssh-keygen -Y sign`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::NAMESPACE;
use super::error::SigningError;
use super::signed::Signature;
use crate::fsio::{self, Context, Pending};
use crate::process;

/// The program that signs, where nobody names another one.
const PROGRAM: &str = "ssh-keygen";

/// As long as somebody may take to find the hardware key or to remember a passphrase.
const PATIENCE: Duration = Duration::from_secs(120);

/// What somebody signs with: the file of a private or public key, or a public key whose private one an agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    program: String,
    key: Key,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    File(String),
    /// The public key, and a folder where it can lie while it is used.
    Agent(String, PathBuf),
}

impl SigningKey {
    /// What `user.signingKey` of git means: `key::` or the type of a key before a public key, else a file.
    ///
    /// `folder` is where a public key can lie while it is used; `program` stands in for `ssh-keygen`.
    pub fn new(text: &str, program: Option<String>, folder: &Path) -> Self {
        let literal = text.strip_prefix("key::");
        let is_literal = text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-");
        let key = match literal.or(is_literal.then_some(text)) {
            Some(public) => Key::Agent(public.to_owned(), folder.to_owned()),
            None => Key::File(text.to_owned()),
        };
        Self {
            program: program.unwrap_or_else(|| PROGRAM.to_owned()),
            key,
        }
    }

    /// Signs; asks the person or their hardware where the key wants it so.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SigningError> {
        match &self.key {
            Key::File(path) => self.sign_with(path, &[], message),
            Key::Agent(public, folder) => {
                let file = lay_out(public, folder)?;
                self.sign_with(&file.path().to_string_lossy(), &["-U"], message)
            }
        }
    }

    fn sign_with(
        &self,
        path: &str,
        more: &[&str],
        message: &[u8],
    ) -> Result<Signature, SigningError> {
        let key = self.name();
        let fixed = [&self.program, "-Y", "sign", "-n", NAMESPACE, "-f", path];
        let argv: Vec<String> = fixed.iter().chain(more).map(ToString::to_string).collect();
        let ended = match process::run(&argv, message, PATIENCE) {
            Ok(ended) => ended,
            Err(source) => return Err(SigningError::Program { key, source }),
        };
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            return Err(SigningError::Refused { key, said });
        }
        let text = String::from_utf8_lossy(&ended.stdout);
        Signature::parse(&text).map_err(|source| SigningError::Malformed { key, source })
    }

    /// The key as it is configured.
    fn name(&self) -> String {
        match &self.key {
            Key::File(path) => path.clone(),
            Key::Agent(public, _) => public.clone(),
        }
    }
}

/// A file with a public key, which vanishes when it is dropped.
fn lay_out(public: &str, folder: &Path) -> Result<Pending, SigningError> {
    fsio::create_dir(folder)?;
    let mut file = Pending::in_dir(folder)?;
    let path = file.path().to_owned();
    let written = writeln!(file, "{public}").and_then(|()| file.flush());
    written.doing("write", &path)?;
    Ok(file)
}
