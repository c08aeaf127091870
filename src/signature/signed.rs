//! A signature, and whether it counts.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, LineEnding, SshSig};

use super::NAMESPACE;
use super::error::SignatureError;
use super::signer::Signer;

/// The flag of a hardware key that says that somebody touched it (PROTOCOL.u2f).
const TOUCHED: u8 = 1;

/// What hardware keys write behind the signature: a byte of flags and a counter.
const TRAILER: usize = 5;

/// An armoured SSH signature, as `ssh-keygen -Y sign` writes it. That it is well formed is all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    text: String,
    parsed: SshSig,
}

impl Signature {
    /// Reads an armoured signature.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let parsed = SshSig::from_pem(text);
        let parsed = parsed.map_err(|error| SignatureError::Malformed(error.to_string()))?;
        let signature = Self {
            text: text.to_owned(),
            parsed,
        };
        match signature.is_plain() {
            true => Ok(signature),
            false => Err(SignatureError::Malformed(
                "its spelling is another".to_owned(),
            )),
        }
    }

    /// Whether it is spelled in the one way, so that nobody can make two documents of one signed decision. (What
    /// `ssh_key` writes of a hardware key's ECDSA signature is not what it reads, so of those it is not known.)
    fn is_plain(&self) -> bool {
        if matches!(self.parsed.public_key(), KeyData::SkEcdsaSha2NistP256(_)) {
            return self.parsed.version() == SshSig::VERSION;
        }
        let again = self.parsed.to_pem(LineEnding::LF);
        self.parsed.version() == SshSig::VERSION && again.is_ok_and(|again| again == self.text)
    }

    /// What people recognise the key by that is said to have made it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        let key = self.parsed.public_key();
        key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Insists that the person with the mail address `by`, who is one of the signers, made it over `message` and for
    /// this purpose.
    pub fn check(
        &self,
        message: &[u8],
        by: &str,
        signers: &BTreeSet<Signer>,
    ) -> Result<(), SignatureError> {
        let namespace = self.parsed.namespace();
        if namespace != NAMESPACE {
            return Err(SignatureError::OtherNamespace(namespace.to_owned()));
        }
        let key = self.fingerprint();
        let made_it = |signer: &&Signer| signer.key().key_data() == self.parsed.public_key();
        let owners: Vec<&Signer> = signers.iter().filter(made_it).collect();
        let Some(signer) = owners.iter().find(|owner| owner.email() == by) else {
            return Err(match owners.first() {
                None => SignatureError::Stranger(key),
                Some(owner) => SignatureError::OtherPerson {
                    key,
                    owner: owner.email().to_owned(),
                    by: by.to_owned(),
                },
            });
        };
        if signer
            .key()
            .verify(NAMESPACE, message, &self.parsed)
            .is_err()
        {
            return Err(SignatureError::Mismatch(key));
        }
        match self.is_touched() {
            true => Ok(()),
            false => Err(SignatureError::Untouched(key)),
        }
    }

    /// Whether somebody was there: keys that are no hardware do not tell.
    fn is_touched(&self) -> bool {
        match self.parsed.public_key() {
            KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => {
                let bytes = self.parsed.signature_bytes();
                let flags = bytes.len().checked_sub(TRAILER).map(|at| bytes[at]);
                flags.is_some_and(|flags| flags & TOUCHED != 0)
            }
            _ => true,
        }
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
