//! A table of scores, one line for each answer and metric: CSV or JSONL.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::file::{self, File};
use super::results::{Log, Results, Row};
use super::{Choice, absent, listed};
use crate::document::{Decimal, Fault, Faults, suggest};
use crate::eval::suite::Case;

/// What a line may say; the first four it has to.
const COLUMNS: [&str; 12] = [
    "id",
    "arm",
    "metric",
    "score",
    "cluster",
    "repeat",
    "latency_ms",
    "cost_usd",
    "error",
    "input",
    "expected",
    "output",
];
const REQUIRED: usize = 4;

/// One line: what it says under each column, blank where it says nothing.
type Line = BTreeMap<&'static str, String>;

/// Reads the answers of one arm.
pub(super) fn read(files: &[File], choice: &Choice) -> Result<Results, Faults> {
    let file = super::only(files)?;
    let lines = match file.ending().as_str() {
        "csv" => csv(file)?,
        "jsonl" | "json" => jsonl(file)?,
        _ if file.bytes.trim_ascii_start().starts_with(b"{") => jsonl(file)?,
        _ => csv(file)?,
    };
    let mut faults = Vec::new();
    for (number, line) in &lines {
        let missing = COLUMNS[..REQUIRED - 1]
            .iter()
            .find(|column| of(line, column).is_none());
        faults.extend(missing.map(|column| file.at(*number, format!("`{column}` is empty"))));
    }
    file::check(faults)?;
    let arm = arm(file, &lines, choice.arm.as_deref())?;
    let own = lines
        .iter()
        .filter(|(_, line)| of(line, "arm") == Some(&arm));
    let rows = rows(file, own)?;
    let log = Log {
        tool: "table",
        model: Some(arm),
        files: vec![file.digest()],
        ..Log::default()
    };
    Results::new(file, log, rows, choice)
}

/// What a column says on a line.
fn of<'l>(line: &'l Line, column: &str) -> Option<&'l str> {
    line.get(column)
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
}

/// The arm that was asked for, or the only one.
fn arm(file: &File, lines: &[(usize, Line)], asked: Option<&str>) -> Result<String, Faults> {
    let arms: BTreeSet<&str> = lines
        .iter()
        .filter_map(|(_, line)| of(line, "arm"))
        .collect();
    let list: Vec<&str> = arms.iter().copied().collect();
    let why = match (asked, &list[..]) {
        (Some(asked), _) if arms.contains(asked) => return Ok(asked.to_owned()),
        (None, [only]) => return Ok((*only).to_owned()),
        (Some(asked), _) => absent("arm", asked, &arms),
        (None, []) => "there is no line in it".to_owned(),
        (None, _) => format!("which arm? say --arm, one of {}", listed(&arms)),
    };
    Err(file.whole(why).into())
}

/// The lines about one answer, put together.
fn rows<'l>(
    file: &File,
    lines: impl Iterator<Item = &'l (usize, Line)>,
) -> Result<Vec<Row>, Faults> {
    let mut faults = Vec::new();
    let mut met: BTreeMap<(String, u32), Row> = BTreeMap::new();
    for (number, line) in lines {
        let row = match row(file, *number, line) {
            Ok(row) => row,
            Err(why) => {
                faults.push(file.at(*number, why));
                continue;
            }
        };
        match met.get_mut(&(row.case.id.clone(), row.repeat)) {
            Some(known) => faults.extend(merge(known, row)),
            None => drop(met.insert((row.case.id.clone(), row.repeat), row)),
        }
    }
    file::check(faults)?;
    Ok(met.into_values().collect())
}

/// Takes another line about the same answer; a fault where both say something, and not the same.
fn merge(known: &mut Row, row: Row) -> Option<Fault> {
    let said = (&known.case, &known.output, &known.error);
    if said != (&row.case, &row.output, &row.error) {
        let text = "another line about this answer says something else under cluster, input, expected, output or error";
        return Some(row.fault(text));
    }
    for (name, value) in &row.measures {
        let before = known.measures.insert(name.clone(), *value);
        let measured = crate::eval::report::MEASURED.contains(&name.as_str());
        match before {
            Some(before) if measured && before == *value => {}
            Some(_) => return Some(row.fault(format!("{name} of this answer is there already"))),
            None => {}
        }
    }
    None
}

fn row(file: &File, number: usize, line: &Line) -> Result<Row, String> {
    let text = |column: &str| of(line, column).map(str::to_owned);
    let measure = |column: &str| -> Result<Option<Decimal>, String> {
        let Some(text) = of(line, column) else {
            return Ok(None);
        };
        let number: f64 = text
            .parse()
            .map_err(|_| format!("`{column}`: {text:?} is no number"))?;
        // What is no finite number is no score.
        Ok(Decimal::new(number).ok())
    };
    let metric = file::metric(of(line, "metric").unwrap_or_default());
    let mut measures = BTreeMap::new();
    measures.extend(measure("score")?.map(|score| (metric, score)));
    for column in crate::eval::report::MEASURED {
        measures.extend(measure(column)?.map(|value| (column.to_owned(), value)));
    }
    let repeat = of(line, "repeat").unwrap_or("0");
    let repeat = repeat
        .parse()
        .map_err(|_| format!("`repeat`: {repeat:?} is no number from 0"))?;
    let cluster = text("cluster").map(|cluster| ("cluster".to_owned(), cluster));
    Ok(Row {
        place: file.at(number, ""),
        case: Case {
            id: text("id").unwrap_or_default(),
            label: line.get("expected").cloned().unwrap_or_default(),
            text: line.get("input").cloned().unwrap_or_default(),
            metadata: cluster.into_iter().collect(),
            ..Case::default()
        },
        repeat,
        output: line.get("output").cloned(),
        error: text("error"),
        measures,
        terms: Value::Null,
    })
}

fn jsonl(file: &File) -> Result<Vec<(usize, Line)>, Faults> {
    let mut faults = Vec::new();
    let mut lines = Vec::new();
    for (number, row) in file.rows::<Map<String, Value>>()? {
        let mut line = Line::new();
        for (key, value) in &row {
            match (column(key), file::scalar(value), value.is_null()) {
                (Ok(_), None, true) => {}
                (Ok(column), Some(text), _) => drop(line.insert(column, text)),
                (Ok(column), None, false) => {
                    faults.push(file.at(number, format!("`{column}` is neither text nor number")));
                }
                (Err(why), ..) => faults.push(file.at(number, why)),
            }
        }
        lines.push((number, line));
    }
    file::check(faults)?;
    Ok(lines)
}

fn csv(file: &File) -> Result<Vec<(usize, Line)>, Faults> {
    let mut lines = Vec::new();
    let mut faults = Vec::new();
    let (header, records) = super::file::csv(file)?;
    let columns = header.iter().map(|name| column(name));
    let columns: Vec<&'static str> = match columns.collect::<Result<Vec<_>, String>>() {
        Ok(columns) => columns,
        Err(why) => return Err(file.at(1, why).into()),
    };
    let missing = COLUMNS[..REQUIRED]
        .iter()
        .filter(|column| !columns.contains(column));
    faults.extend(missing.map(|column| file.at(1, format!("there is no column `{column}`"))));
    file::check(faults)?;
    for (number, record) in records {
        let cells = columns.iter().copied().zip(record);
        lines.push((number, cells.filter(|(_, text)| !text.is_empty()).collect()));
    }
    Ok(lines)
}

fn column(name: &str) -> Result<&'static str, String> {
    let known = COLUMNS.into_iter().find(|column| *column == name.trim());
    known.ok_or_else(|| match suggest(name, COLUMNS) {
        Some(like) => format!("there is no column {name:?}; did you mean `{like}`?"),
        None => format!("there is no column {name:?}, only {}", COLUMNS.join(", ")),
    })
}
