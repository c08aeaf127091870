//! Signers: whose key is whose.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};

use super::NAMESPACE;
use super::error::SignerError;
use crate::document::{Fault, Faults, Source};

/// The least bits of an RSA key.
const RSA_BITS: usize = 2048;

/// Somebody's mail address and a public key of theirs: `ana@example.org ssh-ed25519 AAAA…`, a line of OpenSSH's
/// `allowed_signers`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    email: String,
    key: PublicKey,
}

/// Reads a file in the format of OpenSSH's `allowed_signers`: addresses, perhaps `namespaces="retune-event"`, a key.
///
/// What ssh-keygen would take and cannot hold here is a fault: patterns of addresses, certificates, times.
pub fn read_signers(path: &Path) -> Result<BTreeSet<Signer>, Faults> {
    let source = Source::read(path)?;
    let fault = |line: Option<usize>, message: String| Fault {
        file: path.to_owned(),
        line,
        key: String::new(),
        message,
    };
    let mut signers = BTreeSet::new();
    let mut faults = Vec::new();
    for (index, line) in source.text().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match signers_of(line) {
            Ok(found) => signers.extend(found),
            Err(SignerError(why)) => faults.push(fault(Some(index + 1), why)),
        }
    }
    if signers.is_empty() && faults.is_empty() {
        faults.push(fault(
            None,
            "it names no signer; a line is MAIL KEY-TYPE KEY, such as `ana@example.org ssh-ed25519 AAAA…`".to_owned(),
        ));
    }
    Faults::check(faults).map(|()| signers)
}

/// The signers of a line: one key of one or more addresses.
fn signers_of(line: &str) -> Result<Vec<Signer>, SignerError> {
    let (emails, rest) = word(line);
    let (next, after) = word(rest);
    let key = match is_key_type(next) {
        true => rest,
        false => {
            check_options(next)?;
            after
        }
    };
    let (kind, rest) = word(key);
    let (blob, _comment) = word(rest);
    let emails = emails.trim_matches('"').split(',');
    emails.map(|email| Signer::new(email, kind, blob)).collect()
}

/// The first word of a text, quoted blanks included, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && c.is_whitespace()
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_start())
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|start| word.starts_with(start))
}

/// Insists that options only say what holds here anyway.
fn check_options(options: &str) -> Result<(), SignerError> {
    let Some((name, list)) = options.split_once('=') else {
        return Err(SignerError(format!(
            "expected MAIL KEY-TYPE KEY, such as `ana@example.org ssh-ed25519 AAAA…`; found {options:?} in the place of the key"
        )));
    };
    if !name.eq_ignore_ascii_case("namespaces") || list.matches('"').count() != 2 {
        return Err(SignerError(format!(
            "{name} does not hold here: keys count until the protection is changed; take the option out"
        )));
    }
    if list
        .trim_matches('"')
        .split(',')
        .any(|name| name == NAMESPACE)
    {
        return Ok(());
    }
    Err(SignerError(format!(
        "the key is for namespaces {list}, not for {NAMESPACE:?}; add it there"
    )))
}

impl Signer {
    fn new(email: &str, kind: &str, blob: &str) -> Result<Self, SignerError> {
        if email.is_empty() || email.contains(['*', '?', '!', '"']) {
            return Err(SignerError(format!(
                "{email:?} is no mail address; patterns are not taken: name every signer"
            )));
        }
        let text = format!("{kind} {blob}");
        let key = PublicKey::from_openssh(&text)
            .map_err(|error| SignerError(format!("the key of {email} cannot be read: {error}")))?;
        check_strength(email, key.key_data())?;
        Ok(Self {
            email: email.to_owned(),
            key,
        })
    }

    /// The mail address, as git has it.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// What people recognise the key by: `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(super) fn key(&self) -> &PublicKey {
        &self.key
    }
}

fn check_strength(email: &str, key: &KeyData) -> Result<(), SignerError> {
    match key {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(key) if bits(key.n.as_positive_bytes()) >= RSA_BITS => Ok(()),
        KeyData::Rsa(_) => Err(SignerError(format!(
            "the key of {email} is RSA of less than {RSA_BITS} bits; make another: ssh-keygen -t ed25519"
        ))),
        _ => Err(SignerError(format!(
            "the key of {email} is of a kind that is not taken; make another: ssh-keygen -t ed25519"
        ))),
    }
}

fn bits(number: Option<&[u8]>) -> usize {
    let number = number.unwrap_or_default();
    let first = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len() * 8 - first as usize
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.to_openssh().map_err(|_| fmt::Error)?;
        write!(f, "{} {}", self.email, key.trim_end())
    }
}

impl FromStr for Signer {
    type Err = SignerError;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(' ').collect();
        let [email, kind, blob] = parts[..] else {
            return Err(SignerError(format!("{text:?} is not MAIL KEY-TYPE KEY")));
        };
        Self::new(email, kind, blob)
    }
}

impl Serialize for Signer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
