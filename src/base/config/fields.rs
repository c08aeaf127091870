//! The keys of `config.json`, typed.

use serde_json::{Map, Value};

use crate::base::CheckpointError;

/// A JSON object whose values are asked for by type.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(CheckpointError::Config("it is not an object".to_owned())),
            Err(error) => Err(CheckpointError::Config(error.to_string())),
        }
    }

    /// The object under `key`.
    pub(super) fn inner(&self, key: &str) -> Result<Self, CheckpointError> {
        match self.0.get(key) {
            Some(Value::Object(map)) => Ok(Self(map.clone())),
            _ => Err(fault(key, "an object")),
        }
    }

    /// The object under `key`, if there is one.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, CheckpointError> {
        self.get(key, "an object", |value| {
            value.as_object().map(|map| Self(map.clone()))
        })
    }

    /// Whether `key` is there and null.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(Value::is_null)
    }

    /// An error if `key` has another value than null or false.
    pub(super) fn refuse(&self, key: &'static str) -> Result<(), CheckpointError> {
        match self.0.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(()),
            Some(found) => Err(CheckpointError::Unsupported {
                key,
                found: found.to_string().chars().take(60).collect(),
                supported: "models without it",
            }),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, CheckpointError> {
        self.get(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.get(key, "true or false", Value::as_bool)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        self.get(key, "a number", Value::as_f64)
    }

    pub(super) fn number_or(&self, key: &str, default: f64) -> Result<f64, CheckpointError> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        self.get(key, "a positive whole number", |value| {
            let size = value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok());
            size.filter(|size| *size > 0)
        })
    }

    /// The size under `key`. A default of 0 stands for none: then the key must be there.
    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, CheckpointError> {
        match self.size(key)? {
            Some(size) => Ok(size),
            None if default > 0 => Ok(default),
            None => Err(CheckpointError::Config(format!("{key} is missing"))),
        }
    }

    pub(super) fn id(&self, key: &str) -> Result<Option<u32>, CheckpointError> {
        // Some files say -1 where there is none.
        if self.0.get(key).and_then(Value::as_i64) == Some(-1) {
            return Ok(None);
        }
        self.get(key, "a token id", id)
    }

    /// One id or a list.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>, CheckpointError> {
        let found = self.get(key, "a token id or a list of them", |value| match value {
            Value::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        });
        Ok(found?.unwrap_or_default())
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, CheckpointError> {
        self.get(key, "a list of texts", |value| {
            let texts = value
                .as_array()?
                .iter()
                .map(|item| item.as_str().map(str::to_owned));
            texts.collect()
        })
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, CheckpointError> {
        self.get(key, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    fn get<T>(
        &self,
        key: &str,
        must: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, CheckpointError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| fault(key, must)),
        }
    }
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn fault(key: &str, must: &str) -> CheckpointError {
    CheckpointError::Config(format!("{key} is not {must}"))
}
