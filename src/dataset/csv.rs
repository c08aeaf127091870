//! CSV as in RFC 4180: a header line, commas, fields in `"` that may hold line breaks. Home of the crate `csv`.

use std::io::Read;

use ::csv::{ByteRecord, ReaderBuilder};

use super::columns::{Columns, Field};
use super::input::{Input, Whole};
use super::json::Json;
use super::record::Record;
use super::rows::Trouble;

/// The records of a CSV file.
pub(super) struct CsvRecords<R> {
    reader: ::csv::Reader<Input<R>>,
    /// Which field each column holds; set by the header.
    header: Option<Vec<Result<Field, String>>>,
    record: ByteRecord,
    /// Where the row read last begins.
    line: u64,
    ended: bool,
}

impl<R: Read> CsvRecords<R> {
    pub(super) fn new(input: Input<R>) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(1 << 16)
            .from_reader(input);
        Self {
            reader,
            header: None,
            record: ByteRecord::new(),
            line: 0,
            ended: false,
        }
    }

    /// The next record and its line, or `None` at the end.
    pub(super) fn next(&mut self, columns: &Columns) -> Option<Result<(u64, Record), Trouble>> {
        if self.header.is_none() {
            match self.read_header(columns)? {
                Ok(header) => self.header = Some(header),
                Err(trouble) => return Some(Err(trouble)),
            }
        }
        let read = self.read()?;
        Some(read.and_then(|()| self.record()))
    }

    pub(super) fn offset(&self) -> u64 {
        self.reader.get_ref().offset()
    }

    pub(super) fn finish(self) -> Whole {
        self.reader.into_inner().finish()
    }

    /// Reads the next row into `record`.
    fn read(&mut self) -> Option<Result<(), Trouble>> {
        let read = self.reader.read_byte_record(&mut self.record);
        self.reader.get_mut().row_done();
        match read {
            Ok(true) => {
                self.line = self.first_line();
                Some(Ok(()))
            }
            Ok(false) => self.end(),
            Err(error) => Some(Err(match error.into_kind() {
                ::csv::ErrorKind::Io(error) => Trouble::of_io(error, self.line + 1),
                other => Trouble::File {
                    line: Some(self.line + 1),
                    message: format!("not CSV: {other:?}"),
                },
            })),
        }
    }

    /// The line on which the row just read begins.
    ///
    /// The parser's own answer is too low after a blank line and where lines end in `\r\n`: it leaves the `\n` to
    /// the next row. So this counts back from where the parser stands.
    fn first_line(&self) -> u64 {
        let position = self.reader.position();
        let input = self.reader.get_ref();
        let ahead = input.handed_out().saturating_sub(position.byte());
        // A quote left open at the end of the file takes the last `\n` into the row.
        let open = ahead == 0 && !input.quotes().is_multiple_of(2);
        let ended = u64::from(!open && input.byte_before(ahead) == Some(b'\n'));
        let within = self
            .record
            .as_slice()
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        position
            .line()
            .saturating_sub(ended)
            .saturating_sub(within as u64)
    }

    /// The end of the file is a fault when a quote is still open: the parser closes it silently.
    fn end(&mut self) -> Option<Result<(), Trouble>> {
        let open = !self.ended && !self.reader.get_ref().quotes().is_multiple_of(2);
        self.ended = true;
        open.then(|| {
            Err(Trouble::File {
                line: None,
                message: format!(
                    "the number of quotes is odd, so one is never closed; the last row read begins on line {}",
                    self.line
                ),
            })
        })
    }

    fn read_header(
        &mut self,
        columns: &Columns,
    ) -> Option<Result<Vec<Result<Field, String>>, Trouble>> {
        if let Err(trouble) = self.read()? {
            return Some(Err(trouble));
        }
        let mut header: Vec<Result<Field, String>> = Vec::new();
        for field in &self.record {
            let name = String::from_utf8_lossy(field).trim().to_owned();
            let column = columns.field(&name).ok_or(name);
            if header.contains(&column) {
                let name = column.map_or_else(|name| name, |field| columns.name(field).to_owned());
                return Some(Err(self.bad_header(format!("column `{name}` stands twice"))));
            }
            header.push(column);
        }
        if !header.iter().any(Result::is_ok) {
            let names: Vec<String> = header.into_iter().filter_map(Result::err).collect();
            return Some(Err(self.bad_header(format!(
                "the first line names no known column, only {}; it must be a header such as text,label; \
                 name other columns with --text, --label, --prompt and --completion",
                names.join(", ")
            ))));
        }
        Some(Ok(header))
    }

    fn bad_header(&self, message: String) -> Trouble {
        Trouble::File {
            line: Some(self.line),
            message,
        }
    }

    fn record(&self) -> Result<(u64, Record), Trouble> {
        let row = |message: String| Trouble::row(self.line, message);
        let header = self.header.as_deref().unwrap_or_default();
        if self.record.len() != header.len() {
            return Err(row(format!(
                "{} where the header names {}; put a text that holds a comma in quotes",
                match self.record.len() {
                    1 => "1 field".to_owned(),
                    count => format!("{count} fields"),
                },
                header.len()
            )));
        }
        let mut record = Record::default();
        for (column, value) in header.iter().zip(&self.record) {
            match column {
                Ok(field) => {
                    let text = std::str::from_utf8(value).map_err(|e| row(e.to_string()))?;
                    record.set(*field, Json::Text(text.to_owned()));
                }
                Err(name) => record.extra.push(name.clone()),
            }
        }
        Ok((self.line, record))
    }
}
