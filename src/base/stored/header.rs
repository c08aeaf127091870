//! The header of a safetensors file, checked without reading the weights.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The longest name of a tensor, in bytes.
const MAX_NAME: usize = 1024;

/// The format's own limit, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// The tensors of a safetensors file, or what is wrong with it.
///
/// Checked are the header's length and first byte, duplicate names (JSON parsers keep the last one silently), shapes,
/// types and offsets, that the tensors cover the data without gap or overlap, and that the file ends with them.
/// Format: <https://huggingface.co/docs/safetensors/index#format>.
pub(super) fn read(file: &mut File) -> Result<BTreeMap<String, TensorInfo>, String> {
    let size = file
        .metadata()
        .map_err(|e| format!("cannot be read: {e}"))?
        .len();
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix)
        .map_err(|_| "shorter than the 8 bytes that a safetensors file begins with".to_owned())?;
    if &prefix == b"version " {
        return Err(
            "this is a Git LFS pointer, not the weights; run `git lfs pull` in the folder".into(),
        );
    }
    let length = u64::from_le_bytes(prefix);
    if length > MAX_HEADER {
        return Err(format!(
            "its header would be {length} bytes long; at most {MAX_HEADER} are allowed, so this is not safetensors"
        ));
    }
    if length.saturating_add(8) > size {
        return Err(format!(
            "its header should be {length} bytes long, but the file has {size}; it is cut short"
        ));
    }
    let mut header = Vec::new();
    file.take(length)
        .read_to_end(&mut header)
        .map_err(|e| format!("cannot be read: {e}"))?;
    if header.first() != Some(&b'{') {
        return Err("its header does not begin with `{`".to_owned());
    }
    refuse_duplicates(&header)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|e| format!("its header is not valid: {e}"))?;
    let expected = 8 + length + metadata.data_len() as u64;
    if expected != size {
        return Err(format!(
            "its tensors end at byte {expected}, but the file has {size} bytes"
        ));
    }
    let tensors = metadata.tensors();
    if tensors.is_empty() {
        return Err("it holds no tensors".to_owned());
    }
    Ok(tensors
        .into_iter()
        .map(|(name, info)| (name, info.clone()))
        .collect())
}

fn refuse_duplicates(header: &[u8]) -> Result<(), String> {
    let mut parser = serde_json::Deserializer::from_slice(header);
    parser
        .deserialize_map(UniqueKeys)
        .map_err(|e| format!("its header is not valid: {e}"))
}

/// Names of tensors become names of files and lines of text elsewhere.
fn is_plain(name: &str) -> bool {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains("..") && !name.contains(bad)
}

struct UniqueKeys;

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
            if !is_plain(&name) {
                let name = name.escape_debug();
                return Err(A::Error::custom(format!(
                    "tensor `{name}` has a name that is a path or holds control characters"
                )));
            }
            if let Some(twice) = seen.replace(name) {
                return Err(A::Error::custom(format!("tensor `{twice}` stands twice")));
            }
        }
        Ok(())
    }
}
