//! YAML → tree. Reads the parser's events, so that an alias is never expanded: nine lines of YAML can
//! mean a billion nodes.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::candidate::Position;
use super::settings::{MAX_DEPTH, Node, Text};

/// The documents of a YAML file. The error says what is wrong, with the line.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| format!("not valid YAML: {e}"))?;
        let at = Position {
            line: span.start.line(),
            column: span.start.col() + 1,
        };
        builder.take(event, at)?;
    }
    Ok(builder.documents)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    /// Scalars with an anchor, so that `*name` is read as what it stands for.
    anchors: BTreeMap<usize, Node>,
}

enum Open {
    List(Vec<Node>),
    Map {
        entries: Vec<(String, Node)>,
        key: Option<String>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), String> {
        match event {
            Event::Scalar(value, style, anchor, _) => {
                let node = scalar(&value, style, at);
                if anchor > 0 {
                    self.anchors.insert(anchor, node.clone());
                }
                self.place(node);
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().unwrap_or(Node::Other);
                self.place(node);
            }
            Event::SequenceStart(..) => self.open(Open::List(Vec::new()))?,
            Event::MappingStart(..) => self.open(Open::Map {
                entries: Vec::new(),
                key: None,
            })?,
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) {
        let node = match self.open.pop() {
            Some(Open::List(items)) => Node::List(items),
            Some(Open::Map { entries, .. }) => Node::Map(entries),
            None => return,
        };
        self.place(node);
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { entries, key }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(key_text(node)),
            },
        }
    }
}

/// A key as text; keys that are no text name no model.
fn key_text(node: Node) -> String {
    match node {
        Node::Text(text) => text.value,
        Node::List(_) | Node::Map(_) | Node::Other => String::new(),
    }
}

fn scalar(value: &str, style: ScalarStyle, at: Position) -> Node {
    let nothing = matches!(value, "" | "~" | "null" | "Null" | "NULL");
    if nothing && style == ScalarStyle::Plain {
        return Node::Other;
    }
    Node::Text(Text {
        value: value.to_owned(),
        at,
    })
}
