//! `.env` files → tree: `[export] KEY=value`, quotes, comments.

use super::candidate::Position;
use super::settings::{Node, Text};

/// The assignments of the file. Lines that are none are left alone, as the programs that read such files do.
pub(super) fn parse(text: &str) -> Node {
    let entries = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| assignment(index + 1, line));
    Node::Map(entries.collect())
}

fn assignment(number: usize, line: &str) -> Option<(String, Node)> {
    let trimmed = line.trim_start();
    if trimmed.starts_with('#') {
        return None;
    }
    let (name, rest) = trimmed.split_once('=')?;
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let value = rest.trim_start();
    let column = 1 + line[..line.len() - value.len()].chars().count();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let text = match quote {
        Some(quote) => value[1..].split(quote).next().unwrap_or_default(),
        None => value.split(" #").next().unwrap_or_default().trim_end(),
    };
    let text = Text {
        value: text.to_owned(),
        at: Position {
            line: number,
            column,
        },
    };
    let node = if text.value.is_empty() {
        Node::Other
    } else {
        Node::Text(text)
    };
    Some((name.to_owned(), node))
}
