//! Views of datasets.

use std::collections::BTreeMap;
use std::io::{self, Write};

use retune::dataset::{
    Change, DatasetManifest, Diff, Example, Kind, Lengths, Overlap, Repeats, SplitDiff, SplitName,
    SplitStats, Stats,
};
use retune::lifecycle::{AddedDataset, KnownDataset};
use retune::progress::{bytes, grouped};
use serde::Serialize;

use super::table::table;
use crate::ui::{BOLD, DOUBT, View, styled};

/// What `dataset add` did.
#[derive(Serialize)]
pub(crate) struct Added {
    #[serde(flatten)]
    dataset: Line,
    new: bool,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlaps: Option<Vec<OverlapView>>,
}

impl Added {
    pub(crate) fn new(added: &AddedDataset, dry_run: bool) -> Self {
        let views = |overlaps: &Vec<Overlap>| overlaps.iter().map(OverlapView::from).collect();
        Self {
            dataset: Line::new(&added.dataset, None),
            new: added.new,
            dry_run,
            overlaps: added.overlaps.as_ref().map(views),
        }
    }
}

impl View for Added {
    const SCHEMA: &'static str = "retune.dataset-add/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let done = match (self.new, self.dry_run) {
            (true, true) => "would add",
            (true, false) => "added",
            (false, _) => "already there:",
        };
        writeln!(out, "{done} {}", styled(BOLD, self.dataset.reference()))?;
        self.dataset.describe(out)?;
        self.dataset.split_table(out)?;
        for overlap in self.overlaps.iter().flatten() {
            overlap.warn(out, answer(&self.dataset.kind))?;
        }
        Ok(())
    }
}

/// What `dataset list` shows.
#[derive(Serialize)]
pub(crate) struct Datasets {
    pub(crate) datasets: Vec<Line>,
}

/// One version of a dataset.
#[derive(Serialize)]
pub(crate) struct Line {
    name: String,
    version: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<usize>,
    kind: String,
    rows: u64,
    bytes: u64,
    labels: Vec<String>,
    columns: BTreeMap<String, String>,
    ignored: Vec<String>,
    splits: BTreeMap<SplitName, SplitLine>,
}

#[derive(Serialize)]
struct SplitLine {
    rows: u64,
    bytes: u64,
    format: String,
    blob: String,
}

impl Line {
    /// `versions`: how many there are of the name, where the newest stands for all.
    pub(crate) fn new(known: &KnownDataset, versions: Option<usize>) -> Self {
        let manifest: &DatasetManifest = &known.manifest;
        let fields = retune::dataset::Field::ALL.into_iter();
        let columns = fields
            .map(|field| (field.to_string(), manifest.columns.name(field).to_owned()))
            .filter(|(field, column)| field != column);
        let splits = manifest.splits.iter().map(|(name, split)| {
            let line = SplitLine {
                rows: split.rows,
                bytes: split.size,
                format: split.format.to_string(),
                blob: split.blob.to_string(),
            };
            (*name, line)
        });
        Self {
            name: known.record.name.to_string(),
            version: known.record.label.to_string(),
            id: known.id.to_string(),
            versions,
            kind: manifest.kind.to_string(),
            rows: manifest.rows(),
            bytes: manifest.size(),
            labels: manifest.labels.clone(),
            columns: columns.collect(),
            ignored: manifest.ignored.clone(),
            splits: splits.collect(),
        }
    }

    fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "id    {}", self.id)?;
        let labels = match self.labels.len() {
            0 => String::new(),
            1 => ", 1 label".to_owned(),
            count => format!(", {} labels", grouped(count as u64)),
        };
        writeln!(out, "kind  {}{labels}", self.kind)?;
        if !self.columns.is_empty() {
            let columns = self.columns.iter();
            let columns: Vec<String> = columns.map(|(f, c)| format!("{f} from {c}")).collect();
            writeln!(out, "read  {}", columns.join(", "))?;
        }
        if !self.ignored.is_empty() {
            writeln!(out, "not read: {}", self.ignored.join(", "))?;
        }
        Ok(())
    }

    fn split_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let row = |(name, split): (&SplitName, &SplitLine)| {
            [
                name.to_string(),
                grouped(split.rows),
                bytes(split.bytes),
                split.format.clone(),
            ]
        };
        let rows: Vec<[String; 4]> = self.splits.iter().map(row).collect();
        table(out, ["SPLIT", "ROWS", "SIZE", "FORMAT"], &rows)
    }
}

impl View for Datasets {
    const SCHEMA: &'static str = "retune.dataset-list/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.datasets.is_empty() {
            return writeln!(out, "no datasets yet; add one with `retune dataset add`");
        }
        let row = |line: &Line| {
            let rows = |split| {
                let split: Option<&SplitLine> = line.splits.get(&split);
                split.map(|split| grouped(split.rows)).unwrap_or_default()
            };
            [
                line.reference(),
                line.versions.map(|n| n.to_string()).unwrap_or_default(),
                line.kind.clone(),
                match line.labels.len() {
                    0 => String::new(),
                    count => grouped(count as u64),
                },
                rows(SplitName::Train),
                rows(SplitName::Validation),
                rows(SplitName::Test),
                bytes(line.bytes),
            ]
        };
        let rows: Vec<[String; 8]> = self.datasets.iter().map(row).collect();
        let heading = [
            "DATASET",
            "VERSIONS",
            "KIND",
            "LABELS",
            "TRAIN",
            "VALIDATION",
            "TEST",
            "SIZE",
        ];
        table(out, heading, &rows)
    }
}

/// What `dataset show` shows.
#[derive(Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    dataset: Line,
    stats: BTreeMap<SplitName, StatsView>,
    unlearned: BTreeMap<SplitName, Vec<String>>,
    overlaps: Vec<OverlapView>,
    #[serde(skip)]
    print_labels: bool,
}

#[derive(Serialize)]
struct StatsView {
    labels: BTreeMap<String, u64>,
    input: LengthsView,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<LengthsView>,
    duplicates: RepeatsView,
    conflicts: RepeatsView,
    repeated_ids: u64,
}

#[derive(Serialize)]
struct LengthsView {
    characters: Points,
    words: Points,
}

#[derive(Serialize)]
struct Points {
    min: u64,
    p50: u64,
    p95: u64,
    max: u64,
}

#[derive(Serialize)]
struct RepeatsView {
    count: u64,
    examples: Vec<RepeatView>,
}

#[derive(Serialize)]
struct RepeatView {
    text: String,
    lines: Vec<u64>,
}

#[derive(Serialize)]
struct OverlapView {
    of: SplitName,
    with: SplitName,
    rows: u64,
    conflicting: u64,
    examples: Vec<OverlapExampleView>,
}

#[derive(Serialize)]
struct OverlapExampleView {
    text: String,
    line: u64,
    of_line: u64,
}

/// Up to this many labels are printed without being asked for.
const FEW_LABELS: usize = 20;

impl Shown {
    pub(crate) fn new(known: &KnownDataset, stats: &Stats, print_labels: bool) -> Self {
        let dataset = Line::new(known, None);
        let splits = stats.splits.iter();
        Self {
            print_labels: print_labels || dataset.labels.len() <= FEW_LABELS,
            dataset,
            stats: splits.map(|(name, s)| (*name, s.into())).collect(),
            unlearned: stats.unlearned.clone(),
            overlaps: stats.overlaps.iter().map(OverlapView::from).collect(),
        }
    }

    fn length_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = Vec::new();
        for (name, stats) in &self.stats {
            let parts = [
                ("input", Some(&stats.input)),
                ("output", stats.output.as_ref()),
            ];
            for (part, lengths) in parts {
                let Some(lengths) = lengths else { continue };
                let what = if stats.output.is_some() { part } else { "text" };
                rows.push([
                    name.to_string(),
                    what.to_owned(),
                    lengths.characters.to_string(),
                    lengths.words.to_string(),
                ]);
            }
        }
        let heading = [
            "LENGTHS",
            "",
            "CHARACTERS min/p50/p95/max",
            "WORDS min/p50/p95/max",
        ];
        table(out, heading, &rows)
    }

    fn label_table(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.dataset.labels.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        if !self.print_labels {
            for (name, stats) in &self.stats {
                let fewest = stats.labels.iter().min_by_key(|(_, rows)| **rows);
                let most = stats.labels.iter().max_by_key(|(_, rows)| **rows);
                if let Some(((few, fewest), (many, most))) = fewest.zip(most) {
                    writeln!(
                        out,
                        "{name}: {} labels, from {} rows ({few}) to {} ({many})",
                        stats.labels.len(),
                        grouped(*fewest),
                        grouped(*most)
                    )?;
                }
            }
            return writeln!(out, "every label: add --labels");
        }
        let row = |label: &String| {
            let rows = |split| {
                let stats: Option<&StatsView> = self.stats.get(&split);
                stats
                    .map(|stats| grouped(stats.labels.get(label).copied().unwrap_or_default()))
                    .unwrap_or_default()
            };
            [
                label.clone(),
                rows(SplitName::Train),
                rows(SplitName::Validation),
                rows(SplitName::Test),
            ]
        };
        let rows: Vec<[String; 4]> = self.dataset.labels.iter().map(row).collect();
        table(out, ["LABEL", "TRAIN", "VALIDATION", "TEST"], &rows)
    }

    fn doubts(&self, out: &mut dyn Write) -> io::Result<()> {
        let answer = answer(&self.dataset.kind);
        for (name, stats) in &self.stats {
            let say = |count: u64, what: &str| format!("{name}: {} {what}", grouped(count));
            if stats.duplicates.count > 0 {
                let one = stats.duplicates.count == 1;
                let what = if one {
                    "row repeats an earlier one"
                } else {
                    "rows repeat earlier ones"
                };
                doubt(out, &say(stats.duplicates.count, what))?;
                stats.duplicates.list(out)?;
            }
            if stats.conflicts.count > 0 {
                let noun = if stats.conflicts.count == 1 {
                    "text stands"
                } else {
                    "texts stand"
                };
                let what = format!("{noun} there with more than one {answer}");
                doubt(out, &say(stats.conflicts.count, &what))?;
                stats.conflicts.list(out)?;
            }
            if stats.repeated_ids > 0 {
                doubt(out, &say(stats.repeated_ids, "ids are used again"))?;
            }
        }
        for (name, labels) in &self.unlearned {
            let few: Vec<&str> = labels.iter().take(5).map(String::as_str).collect();
            let more = match labels.len().saturating_sub(few.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let text = format!(
                "{name}: no train row has the label {}{more}",
                few.join(", ")
            );
            doubt(out, &text)?;
        }
        for overlap in &self.overlaps {
            overlap.warn(out, answer)?;
            overlap.list(out)?;
        }
        Ok(())
    }
}

fn answer(kind: &str) -> &'static str {
    if kind == Kind::Classification.to_string() {
        "label"
    } else {
        "answer"
    }
}

impl View for Shown {
    const SCHEMA: &'static str = "retune.dataset-show/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", styled(BOLD, self.dataset.reference()))?;
        self.dataset.describe(out)?;
        writeln!(out)?;
        self.dataset.split_table(out)?;
        writeln!(out)?;
        self.length_table(out)?;
        self.label_table(out)?;
        writeln!(out)?;
        let mut doubts = Vec::new();
        self.doubts(&mut doubts)?;
        if doubts.is_empty() {
            return writeln!(out, "no duplicates, no conflicts, no text in two splits");
        }
        out.write_all(&doubts)
    }
}

fn doubt(out: &mut dyn Write, text: &str) -> io::Result<()> {
    writeln!(out, "{} {text}", styled(DOUBT, "!"))
}

/// How many examples are printed for people; JSON has more.
const PRINTED: usize = 3;

impl RepeatsView {
    fn list(&self, out: &mut dyn Write) -> io::Result<()> {
        for example in self.examples.iter().take(PRINTED) {
            let lines: Vec<String> = example.lines.iter().map(u64::to_string).collect();
            writeln!(
                out,
                "    lines {}: {}",
                lines.join(", "),
                shortened(&example.text)
            )?;
        }
        Ok(())
    }
}

impl OverlapView {
    fn warn(&self, out: &mut dyn Write, answer: &str) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let other = match self.conflicting {
            0 => String::new(),
            count => format!(", {} of them with another {answer}", grouped(count)),
        };
        let verb = if self.rows == 1 {
            "row stands"
        } else {
            "rows stand"
        };
        let text = format!(
            "{} {} {verb} in {} too{other}",
            grouped(self.rows),
            self.with,
            self.of
        );
        doubt(out, &text)
    }

    fn list(&self, out: &mut dyn Write) -> io::Result<()> {
        for example in self.examples.iter().take(PRINTED) {
            writeln!(
                out,
                "    {} line {}, {} line {}: {}",
                self.with,
                example.line,
                self.of,
                example.of_line,
                shortened(&example.text)
            )?;
        }
        Ok(())
    }
}

/// A text on one line, at most 72 characters of it.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 72;
    let quoted = format!("{text:?}");
    if quoted.chars().count() <= SHOWN {
        return quoted;
    }
    let mut short: String = quoted.chars().take(SHOWN - 1).collect();
    short.push('…');
    short
}

impl From<&SplitStats> for StatsView {
    fn from(stats: &SplitStats) -> Self {
        Self {
            labels: stats.labels.clone(),
            input: stats.input.into(),
            output: stats.output.map(LengthsView::from),
            duplicates: (&stats.duplicates).into(),
            conflicts: (&stats.conflicts).into(),
            repeated_ids: stats.repeated_ids,
        }
    }
}

impl From<Lengths> for LengthsView {
    fn from(lengths: Lengths) -> Self {
        let points = |d: retune::dataset::Distribution| Points {
            min: d.min,
            p50: d.p50,
            p95: d.p95,
            max: d.max,
        };
        Self {
            characters: points(lengths.characters),
            words: points(lengths.words),
        }
    }
}

impl std::fmt::Display for Points {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.min, self.p50, self.p95, self.max)
    }
}

impl From<&Repeats> for RepeatsView {
    fn from(repeats: &Repeats) -> Self {
        let examples = repeats.examples.iter().map(|(text, lines)| RepeatView {
            text: text.clone(),
            lines: lines.clone(),
        });
        Self {
            count: repeats.count,
            examples: examples.collect(),
        }
    }
}

impl From<&Overlap> for OverlapView {
    fn from(overlap: &Overlap) -> Self {
        let examples = overlap.examples.iter().map(|example| OverlapExampleView {
            text: example.text.clone(),
            line: example.line,
            of_line: example.of_line,
        });
        Self {
            of: overlap.of,
            with: overlap.with,
            rows: overlap.rows,
            conflicting: overlap.conflicting,
            examples: examples.collect(),
        }
    }
}

/// What `dataset diff` shows.
#[derive(Serialize)]
pub(crate) struct Compared {
    before: String,
    after: String,
    labels_added: Vec<String>,
    labels_removed: Vec<String>,
    splits: BTreeMap<SplitName, SplitCompared>,
}

#[derive(Serialize)]
struct SplitCompared {
    before: u64,
    after: u64,
    added: u64,
    removed: u64,
    changed: u64,
    labels: BTreeMap<String, LabelChange>,
    examples: Vec<ChangeView>,
}

#[derive(Serialize)]
struct LabelChange {
    before: u64,
    after: u64,
}

#[derive(Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
enum ChangeView {
    Added {
        line: u64,
        input: String,
        output: String,
    },
    Removed {
        line: u64,
        input: String,
        output: String,
    },
    Changed {
        before_line: u64,
        after_line: u64,
        input: String,
        before: String,
        after: String,
    },
}

impl Compared {
    pub(crate) fn new(before: &KnownDataset, after: &KnownDataset, diff: &Diff) -> Self {
        let reference =
            |known: &KnownDataset| format!("{}@{}", known.record.name, known.record.label);
        let splits = diff.splits.iter();
        Self {
            before: reference(before),
            after: reference(after),
            labels_added: diff.labels_added.clone(),
            labels_removed: diff.labels_removed.clone(),
            splits: splits.map(|(name, split)| (*name, split.into())).collect(),
        }
    }

    fn is_same(&self) -> bool {
        self.splits
            .values()
            .all(|split| (split.added, split.removed, split.changed) == (0, 0, 0))
    }
}

impl From<&SplitDiff> for SplitCompared {
    fn from(diff: &SplitDiff) -> Self {
        let labels = diff.labels.iter().map(|(label, (before, after))| {
            let change = LabelChange {
                before: *before,
                after: *after,
            };
            (label.clone(), change)
        });
        Self {
            before: diff.before,
            after: diff.after,
            added: diff.added,
            removed: diff.removed,
            changed: diff.changed,
            labels: labels.collect(),
            examples: diff.examples.iter().map(ChangeView::from).collect(),
        }
    }
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        let text = |example: &Example| example.input().into_owned();
        match change {
            Change::Added { line, example } => Self::Added {
                line: *line,
                input: text(example),
                output: example.output().to_owned(),
            },
            Change::Removed { line, example } => Self::Removed {
                line: *line,
                input: text(example),
                output: example.output().to_owned(),
            },
            Change::Changed {
                before_line,
                before,
                after_line,
                after,
            } => Self::Changed {
                before_line: *before_line,
                after_line: *after_line,
                input: text(before),
                before: before.output().to_owned(),
                after: after.output().to_owned(),
            },
        }
    }
}

impl View for Compared {
    const SCHEMA: &'static str = "retune.dataset-diff/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} → {}", self.before, styled(BOLD, &self.after))?;
        if self.is_same() {
            return writeln!(out, "the same rows");
        }
        let row = |(name, split): (&SplitName, &SplitCompared)| {
            [
                name.to_string(),
                grouped(split.before),
                grouped(split.after),
                grouped(split.added),
                grouped(split.removed),
                grouped(split.changed),
            ]
        };
        let rows: Vec<[String; 6]> = self.splits.iter().map(row).collect();
        let heading = ["SPLIT", "BEFORE", "AFTER", "ADDED", "REMOVED", "CHANGED"];
        table(out, heading, &rows)?;
        let labels = [("new", &self.labels_added), ("gone", &self.labels_removed)];
        for (what, labels) in labels.into_iter().filter(|(_, labels)| !labels.is_empty()) {
            writeln!(out, "{what} labels: {}", labels.join(", "))?;
        }
        for (name, split) in &self.splits {
            split.list(out, *name)?;
        }
        Ok(())
    }
}

impl SplitCompared {
    fn list(&self, out: &mut dyn Write, name: SplitName) -> io::Result<()> {
        if self.examples.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", styled(BOLD, name))?;
        for example in &self.examples {
            writeln!(out, "{}", example.line())?;
        }
        let shown = self.examples.len() as u64;
        match self.added + self.removed + self.changed - shown {
            0 => Ok(()),
            more => writeln!(out, "  and {} more", grouped(more)),
        }
    }
}

impl ChangeView {
    fn line(&self) -> String {
        match self {
            Self::Added { input, output, .. } => {
                format!("+ {} {}", shortened(input), shortened(output))
            }
            Self::Removed { input, output, .. } => {
                format!("- {} {}", shortened(input), shortened(output))
            }
            Self::Changed {
                input,
                before,
                after,
                ..
            } => {
                let (before, after) = (shortened(before), shortened(after));
                format!("~ {} {before} → {after}", shortened(input))
            }
        }
    }
}
