//! TOML → tree with positions.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::candidate::Position;
use super::settings::{Node, Text};

/// The one document of a TOML file. The error says what is wrong.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let table = DeTable::parse(text).map_err(|e| {
        let line = e
            .span()
            .map_or(1, |span| Position::of(text, span.start).line);
        format!("not valid TOML: line {line}: {}", e.message())
    })?;
    Ok(map(table.get_ref(), text))
}

fn map(table: &DeTable<'_>, source: &str) -> Node {
    let entries = table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), node(value, source)));
    Node::Map(entries.collect())
}

fn node(value: &Spanned<DeValue<'_>>, source: &str) -> Node {
    match value.get_ref() {
        DeValue::String(text) => Node::Text(Text {
            value: text.to_string(),
            at: Position::of(source, value.span().start),
        }),
        DeValue::Array(items) => Node::List(items.iter().map(|item| node(item, source)).collect()),
        DeValue::Table(table) => map(table, source),
        _ => Node::Other,
    }
}
