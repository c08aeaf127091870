//! Jupyter notebooks → candidates: the Python of each code cell, with positions in the notebook's file.

use super::allow::{self, Allow};
use super::candidate::{Candidate, Position};
use super::settings::{Node, Text};
use super::{json, python};

/// What the cells hold: candidates, comments that allow findings, faults.
pub(super) type Cells = (Vec<Candidate>, Vec<Allow>, Vec<String>);

/// Reads every code cell. The error says what is wrong with the notebook itself.
pub(super) fn candidates(text: &str) -> Result<Cells, String> {
    let notebook = json::parse(text)?;
    let Some(Node::List(cells)) = field(&notebook, "cells") else {
        return Err("not a notebook: there are no cells".to_owned());
    };
    // One module: a name set in one cell is used in the next.
    let mut module = String::new();
    let mut origin = Vec::new();
    for line in cells.iter().filter(|cell| is_code(cell)).flat_map(source) {
        for piece in line.value.split_inclusive('\n') {
            let code = piece.trim_start();
            // Magics and shell lines are no Python.
            if code.starts_with(['%', '!']) {
                module.push_str(&piece[..piece.len() - code.len()]);
                module.push_str("pass");
            } else {
                module.push_str(piece.trim_end_matches('\n'));
            }
            module.push('\n');
            origin.push(line.at);
        }
    }
    let (mut candidates, broken) = python::candidates(&module)?;
    let (mut allows, faulty) = allow::comments(&module);
    let place = |line: usize| origin.get(line.saturating_sub(1)).copied();
    for candidate in &mut candidates {
        if let Some(start) = place(candidate.at.line) {
            candidate.at = Position {
                line: start.line,
                column: start.column + candidate.at.column,
            };
        }
    }
    for allow in &mut allows {
        if let Some(start) = place(allow.applies_to) {
            allow.applies_to = start.line;
        }
    }
    let broken = broken.and_then(place).map(|at| {
        format!(
            "line {}: not valid Python; what the parser could read was checked",
            at.line
        )
    });
    Ok((
        candidates,
        allows,
        faulty.into_iter().chain(broken).collect(),
    ))
}

fn is_code(cell: &Node) -> bool {
    matches!(field(cell, "cell_type"), Some(Node::Text(kind)) if kind.value == "code")
}

/// The lines of a cell; one text per line of the file. None when a magic gives the cell to another language.
fn source(cell: &Node) -> Vec<&Text> {
    let lines = lines(cell);
    let first = lines.first().map_or("", |text| text.value.trim_start());
    let is_other = first.starts_with("%%")
        && !["%%time", "%%capture"]
            .iter()
            .any(|magic| first.starts_with(magic));
    if is_other { Vec::new() } else { lines }
}

fn lines(cell: &Node) -> Vec<&Text> {
    match field(cell, "source") {
        Some(Node::Text(text)) => vec![text],
        Some(Node::List(lines)) => lines
            .iter()
            .filter_map(|line| match line {
                Node::Text(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match node {
        Node::Map(entries) => entries
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value),
        _ => None,
    }
}
