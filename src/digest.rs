//! SHA-256 digests: the identity of everything the tool stores.
//!
//! A [`Digest`] comes into being in two ways only: by hashing bytes, or by parsing 64 hexadecimal
//! digits. Ids of domain objects are newtypes over it, made with [`typed_id!`](crate::typed_id).
//! This module is the home of `sha2`, which uses the CPU's SHA instructions where it has them.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes, written `sha256:<64 hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a digest: expected sha256:<64 hexadecimal digits>")]
pub struct ParseDigestError(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of everything `reader` yields, and how many bytes that was. Streams; memory stays constant.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::new();
        let size = io::copy(&mut reader, &mut hasher)?;
        Ok((hasher.finish(), size))
    }

    /// Parses 64 lower-case hexadecimal digits, without the `sha256:` prefix.
    pub fn from_hex(hex: &str) -> Result<Self, ParseDigestError> {
        let fault = || ParseDigestError(hex.to_owned());
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(fault());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])
                .zip(nibble(pair[1]))
                .map(|(h, l)| h << 4 | l)
                .ok_or_else(fault)?;
        }
        Ok(Self(bytes))
    }

    /// The 64 hexadecimal digits, without the prefix.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first 12 hexadecimal digits: for file names and for people, never for identity.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text
            .strip_prefix("sha256:")
            .ok_or_else(|| ParseDigestError(text.to_owned()))?;
        Self::from_hex(hex).map_err(|_| ParseDigestError(text.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes bytes as they stream by; an [`io::Write`] sink.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self(Sha256::new())
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Declares an id type: a newtype over [`Digest`] that parses, prints and serialises like one.
///
/// ```
/// retune::typed_id!(
///     /// Identifies a soup.
///     SoupId
/// );
/// let id = SoupId::from(retune::digest::Digest::of(b"leek"));
/// assert_eq!(id.to_string().parse::<SoupId>(), Ok(id));
/// ```
#[macro_export]
macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name($crate::digest::Digest);

        impl $name {
            /// The digest underneath.
            pub fn digest(&self) -> $crate::digest::Digest {
                self.0
            }

            /// The first 12 hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl From<$crate::digest::Digest> for $name {
            fn from(digest: $crate::digest::Digest) -> Self {
                Self(digest)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::digest::ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4 example values.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn known_answer() {
        assert_eq!(Digest::of(b"abc").hex(), ABC);
        assert_eq!(
            Digest::of_reader(&b"abc"[..]).map_err(|e| e.kind()),
            Ok((Digest::of(b"abc"), 3))
        );
    }

    #[test]
    fn parses_what_it_prints_and_nothing_else() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in [
            "",
            ABC,
            "sha256:",
            "sha1:ba78",
            &format!("sha256:{}", ABC.to_uppercase()),
            &format!("sha256:{ABC}0"),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
