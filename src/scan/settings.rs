//! Structured text as a tree with positions, and the candidates in it.

use super::candidate::{Candidate, Position, Revision, Role};
use super::key;

/// How deep settings may nest; deeper ones are not checked.
pub(super) const MAX_DEPTH: usize = 128;

/// A value in a settings file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(Text),
    List(Vec<Node>),
    /// Keys in the order of the file.
    Map(Vec<(String, Node)>),
    /// A number, a truth value, nothing.
    Other,
}

/// A string and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) at: Position,
}

/// The candidates in a tree.
pub(super) fn candidates(node: &Node, out: &mut Vec<Candidate>) {
    match node {
        Node::Map(entries) => entries
            .iter()
            .for_each(|(key, value)| entry(key, value, entries, out)),
        Node::List(items) => items.iter().for_each(|item| candidates(item, out)),
        Node::Text(text) if text.value.starts_with("retune://") => {
            out.push(candidate(text, Role::Address, Revision::Absent));
        }
        Node::Text(_) | Node::Other => {}
    }
}

fn entry(key: &str, value: &Node, siblings: &[(String, Node)], out: &mut Vec<Candidate>) {
    let Some(role) = key::role(key) else {
        return candidates(value, out);
    };
    let revision = || revision(key, siblings);
    match value {
        Node::Text(text) => out.push(candidate(text, role, revision())),
        Node::List(items) => {
            for item in items {
                match item {
                    Node::Text(text) => out.push(candidate(text, role, revision())),
                    Node::Map(entries) if role == Role::Model => provider(entries, out),
                    other => candidates(other, out),
                }
            }
        }
        other => candidates(other, out),
    }
}

/// An entry of promptfoo's `providers` written as a mapping: its `id` is the name.
fn provider(entries: &[(String, Node)], out: &mut Vec<Candidate>) {
    for (key, value) in entries {
        match value {
            Node::Text(text) if key == "id" => {
                out.push(candidate(text, Role::Model, Revision::Absent));
            }
            _ => entry(key, value, entries, out),
        }
    }
}

/// The first key beside `key` that pins it.
fn revision(key: &str, siblings: &[(String, Node)]) -> Revision {
    for wanted in key::revision_keys(key) {
        let found = siblings
            .iter()
            .find(|(name, _)| key::normal(name) == wanted);
        match found.map(|(_, value)| value) {
            Some(Node::Text(text)) => return of_text(&text.value),
            Some(Node::Map(_) | Node::List(_)) => return Revision::Unknown,
            Some(Node::Other) | None => {}
        }
    }
    Revision::Absent
}

/// A revision written as text; a placeholder is filled in later.
pub(super) fn of_text(text: &str) -> Revision {
    if text.contains(['$', '{', '<']) {
        Revision::Unknown
    } else {
        Revision::Text(text.to_owned())
    }
}

fn candidate(text: &Text, role: Role, revision: Revision) -> Candidate {
    Candidate {
        at: text.at,
        text: text.value.clone(),
        role,
        revision,
    }
}
