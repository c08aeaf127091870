//! Canonical JSON: the documents that the machine writes.
//!
//! One value has exactly one encoding: keys sorted by bytes, two-space indent, one final line feed,
//! UTF-8, integers only (fractions are [`Decimal`](super::Decimal) strings), no `null` (absent instead).
//! Every document says what it is in `"schema": "retune.<thing>/<number>"`. Reading checks the schema and
//! that the bytes are the canonical ones, so a digest of the bytes is a digest of the value.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Documents larger than this are refused before they are parsed.
const MAX_BYTES: usize = 256 << 20;

/// Why a value cannot be written, or bytes cannot be read, as a canonical document.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The value is not a JSON object, or holds a float.
    #[error("the value cannot be written canonically: {0}")]
    Unrepresentable(&'static str),
    /// The bytes are not JSON of the expected shape.
    #[error("not a {schema} document")]
    Shape {
        /// What was expected.
        schema: String,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// Another schema, perhaps a newer one.
    #[error("the document says schema {found:?}; this version reads {expected:?}")]
    Schema {
        /// What the document says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Equal value, other bytes: edited or written by something else.
    #[error("the bytes of the {0} document are not its canonical encoding")]
    NotCanonical(String),
}

/// Encodes `value`, a struct or map, with its schema line.
pub fn encode<T: Serialize>(schema: &str, value: &T) -> Result<Vec<u8>, CanonicalError> {
    let shape = |source| CanonicalError::Shape {
        schema: schema.to_owned(),
        source,
    };
    let Value::Object(mut map) = serde_json::to_value(value).map_err(shape)? else {
        return Err(CanonicalError::Unrepresentable("it is not an object"));
    };
    map.insert("schema".into(), Value::String(schema.to_owned()));
    let sorted = normalise(Value::Object(map))?;
    let mut bytes = serde_json::to_vec_pretty(&sorted).map_err(shape)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Decodes bytes written by [`encode`] with the same schema; anything else is refused.
pub fn decode<T: DeserializeOwned>(schema: &str, bytes: &[u8]) -> Result<T, CanonicalError> {
    let shape = |source| CanonicalError::Shape {
        schema: schema.to_owned(),
        source,
    };
    if bytes.len() > MAX_BYTES {
        return Err(CanonicalError::Unrepresentable("it is too large"));
    }
    let Value::Object(map) = serde_json::from_slice(bytes).map_err(shape)? else {
        return Err(CanonicalError::Unrepresentable("it is not an object"));
    };
    let found = map
        .get("schema")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if found != schema {
        return Err(CanonicalError::Schema {
            found,
            expected: schema.to_owned(),
        });
    }
    // Large documents are held once: the value that is written again is the value that is read.
    let mut sorted = normalise(Value::Object(map))?;
    let mut again = serde_json::to_vec_pretty(&sorted).map_err(shape)?;
    again.push(b'\n');
    if again != bytes {
        return Err(CanonicalError::NotCanonical(schema.to_owned()));
    }
    drop(again);
    if let Some(map) = sorted.as_object_mut() {
        map.remove("schema");
    }
    serde_json::from_value(sorted).map_err(shape)
}

fn normalise(value: Value) -> Result<Value, CanonicalError> {
    match value {
        Value::Number(number) if !number.is_i64() && !number.is_u64() => Err(
            CanonicalError::Unrepresentable("it holds a floating-point number"),
        ),
        Value::Array(items) => items
            .into_iter()
            .map(normalise)
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let normal = entries
                .into_iter()
                .map(|(key, value)| Ok((key, normalise(value)?)));
            normal.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        other => Ok(other),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn one_value_has_one_encoding() {
        let value = BTreeMap::from([("b", 2), ("a", 1)]);
        let bytes = encode("retune.test/1", &value).unwrap();
        assert_eq!(
            bytes,
            b"{\n  \"a\": 1,\n  \"b\": 2,\n  \"schema\": \"retune.test/1\"\n}\n"
        );
        let back: BTreeMap<String, i64> = decode("retune.test/1", &bytes).unwrap();
        assert_eq!(
            back,
            BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)])
        );
    }

    #[test]
    fn other_bytes_of_the_same_value_are_refused() {
        for bad in [
            &b"{\"a\":1,\"schema\":\"retune.test/1\"}\n"[..],
            b"{\n  \"schema\": \"retune.test/1\",\n  \"a\": 1\n}\n",
            b"{\n  \"a\": 1,\n  \"a\": 1,\n  \"schema\": \"retune.test/1\"\n}\n",
            b"{\n  \"a\": 1,\n  \"schema\": \"retune.test/2\"\n}\n",
            b"{\n  \"a\": 1.5,\n  \"schema\": \"retune.test/1\"\n}\n",
            b"[]",
        ] {
            assert!(
                decode::<BTreeMap<String, i64>>("retune.test/1", bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }
}
