//! Columns for people.

use std::io::{self, Write};

use crate::ui::{DIM, styled};

/// Writes rows in aligned columns under a dim heading; nothing at all when there are no rows.
pub(crate) fn table<const N: usize>(
    out: &mut dyn Write,
    heading: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heading[column].len()]).max().unwrap_or(0)
    });
    writeln!(out, "{}", styled(DIM, line(heading, &widths)))?;
    for row in rows {
        writeln!(out, "{}", line(row.each_ref().map(String::as_str), &widths))?;
    }
    Ok(())
}

fn line<const N: usize>(cells: [&str; N], widths: &[usize; N]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(&format!("{cell:<width$}  "));
    }
    text.trim_end().to_owned()
}
