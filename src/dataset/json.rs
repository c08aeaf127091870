//! A JSON row as it stands, with duplicate keys refused (a plain parser silently keeps the last).

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::columns::Columns;
use super::record::Record;

/// A JSON value, as far as rows need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// A value that no row holds, by the name of its type.
    Other(&'static str),
}

impl Json {
    /// The type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads one line's object into a [`Record`].
pub(super) fn record(line: &[u8], columns: &Columns) -> Result<Record, String> {
    let mut parser = serde_json::Deserializer::from_slice(line);
    let record = RowSeed(columns)
        .deserialize(&mut parser)
        .and_then(|record| parser.end().map(|()| record));
    record.map_err(|error| say(&error))
}

/// serde_json's message, whose line is always 1.
fn say(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text
        .rfind(" at line ")
        .map_or(text.as_str(), |at| &text[..at]);
    match (error.is_data(), error.column()) {
        (true, _) => what.to_owned(),
        (false, column) => format!("not a JSON object: {what} at column {column}"),
    }
}

struct RowSeed<'a>(&'a Columns);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object per line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        while let Some(key) = map.next_key::<String>()? {
            match self.0.field(&key) {
                Some(field) if record.get(field).is_some() => {
                    return Err(A::Error::custom(format!("`{key}` stands twice in the row")));
                }
                Some(field) => record.set(field, map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                    record.extra.push(key);
                }
            }
        }
        Ok(record)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other("null"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(A::Error::custom(format!(
                    "`{key}` stands twice in an object"
                )));
            }
            entries.push((key, value));
        }
        Ok(Json::Object(entries))
    }
}
