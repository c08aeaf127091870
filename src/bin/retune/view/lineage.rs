//! Views of a version's lineage: text, JSON, and one page of HTML with a drawing.

use std::fmt::Write as _;
use std::io::{self, Write};

use retune::lifecycle::{Lineage, Node, NodeKind};
use serde::Serialize;

use super::table::table;
use crate::ui::View;

/// What `model show --lineage` shows.
#[derive(Serialize)]
pub(crate) struct Drawn {
    version: String,
    nodes: Vec<Shown>,
    /// Pairs of positions in `nodes`: the second comes from the first.
    edges: Vec<(usize, usize)>,
    #[serde(skip)]
    columns: Vec<usize>,
}

#[derive(Serialize)]
struct Shown {
    kind: &'static str,
    name: String,
    id: String,
    note: String,
}

impl Drawn {
    pub(crate) fn new(version: &impl ToString, lineage: &Lineage) -> Self {
        let shown = |node: &Node| Shown {
            kind: node.kind.word(),
            name: node.name.clone(),
            id: node.id.clone(),
            note: node.note.clone(),
        };
        Self {
            version: version.to_string(),
            nodes: lineage.nodes.iter().map(shown).collect(),
            edges: lineage.edges.clone(),
            columns: lineage.nodes.iter().map(|node| column(node.kind)).collect(),
        }
    }

    /// One page that needs nothing else: no script, no font, no network.
    pub(crate) fn page(&self) -> String {
        let places = self.places();
        let (width, height) = (5 * STEP_X, STEP_Y * (1 + self.tallest()));
        let mut drawing = String::new();
        for (from, to) in &self.edges {
            let ((x1, y1), (x2, y2)) = (places[*from], places[*to]);
            let (x1, y1, y2) = (x1 + BOX_X, y1 + BOX_Y / 2, y2 + BOX_Y / 2);
            let _ = writeln!(
                drawing,
                "<path d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\"/>",
                x1 + 20,
                x2.saturating_sub(20)
            );
        }
        for (node, (x, y)) in self.nodes.iter().zip(&places) {
            let [kind, name, id, note] = [node.kind, &node.name, &node.id, &node.note].map(escaped);
            let _ = writeln!(
                drawing,
                "<g class=\"{kind}\" transform=\"translate({x} {y})\"><title>{id}</title>\
                 <rect width=\"{BOX_X}\" height=\"{BOX_Y}\" rx=\"6\"/>\
                 <text x=\"10\" y=\"18\" class=\"kind\">{kind} {note}</text>\
                 <text x=\"10\" y=\"40\">{name}</text></g>"
            );
        }
        let title = escaped(&self.version);
        PAGE.replace("{{title}}", &title)
            .replace("{{width}}", &width.to_string())
            .replace("{{height}}", &height.to_string())
            .replace("{{drawing}}", &drawing)
    }
}

impl Drawn {
    /// Where each node's box begins.
    fn places(&self) -> Vec<(usize, usize)> {
        let mut used = [0; 5];
        let place = |column: &usize| {
            let row = used[*column];
            used[*column] += 1;
            (10 + column * STEP_X, 10 + row * STEP_Y)
        };
        self.columns.iter().map(place).collect()
    }

    /// The most boxes in one column.
    fn tallest(&self) -> usize {
        let count = |column| self.columns.iter().filter(|c| **c == column).count();
        (0..5).map(count).max().unwrap_or(0)
    }
}

const STEP_X: usize = 300;
const STEP_Y: usize = 74;
const BOX_X: usize = 260;
const BOX_Y: usize = 52;

const PAGE: &str = include_str!("../../../../templates/lineage.html");

fn column(kind: NodeKind) -> usize {
    match kind {
        NodeKind::Dataset | NodeKind::Base | NodeKind::Parent => 0,
        NodeKind::Run => 1,
        NodeKind::Version => 2,
        NodeKind::Evidence => 3,
        NodeKind::Alias => 4,
    }
}

/// Text inside HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

impl View for Drawn {
    const SCHEMA: &'static str = "retune.model-lineage/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let row = |(index, node): (usize, &Shown)| {
            let from = self.edges.iter().filter(|(_, to)| *to == index);
            let from = from.map(|(from, _)| self.nodes[*from].name.as_str());
            [
                node.kind.to_owned(),
                node.name.clone(),
                from.collect::<Vec<_>>().join(", "),
                node.note.clone(),
            ]
        };
        let rows: Vec<[String; 4]> = self.nodes.iter().enumerate().map(row).collect();
        table(out, ["WHAT", "NAME", "FROM", "NOTE"], &rows)
    }
}
