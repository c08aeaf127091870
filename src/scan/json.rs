//! JSON → tree with positions. Comments and final commas are tolerated, as editors write them.
//!
//! YAML's reader would do for most files, but not for tabs, `\/` and surrogate pairs.

use super::candidate::Position;
use super::settings::{MAX_DEPTH, Node, Text};

/// The one document of a JSON file. The error says what is wrong, with the line.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut reader = Reader {
        text,
        at: 0,
        here: (0, Position { line: 1, column: 1 }),
    };
    let node = reader.value(0)?;
    reader.blank();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.wrong("expected the end of the file")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// The last offset whose position was asked for, so that lines are counted once.
    here: (usize, Position),
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.blank();
        match self.peek() {
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => {
                let at = self.position();
                let value = self.string()?;
                Ok(Node::Text(Text { value, at }))
            }
            Some(c) if c.is_ascii_alphanumeric() || c == b'-' => {
                self.skip_word();
                Ok(Node::Other)
            }
            _ => Err(self.wrong("expected a value")),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node, String> {
        let mut entries = Vec::new();
        self.at += 1;
        loop {
            self.blank();
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Node::Map(entries));
                }
                Some(b'"') => {
                    let key = self.string()?;
                    self.blank();
                    if self.peek() != Some(b':') {
                        return Err(self.wrong("expected ':'"));
                    }
                    self.at += 1;
                    entries.push((key, self.value(depth + 1)?));
                    self.comma(b'}')?;
                }
                _ => return Err(self.wrong("expected a key or '}'")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, String> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.blank();
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Node::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.comma(b']')?;
        }
    }

    /// A comma, or the end of the list or map in sight.
    fn comma(&mut self, end: u8) -> Result<(), String> {
        self.blank();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(())
            }
            Some(c) if c == end => Ok(()),
            _ => Err(self.wrong("expected ','")),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(b'\n') | None => return Err(self.wrong("the string does not end")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let literal = self.text.get(start..self.at).unwrap_or_default();
        if literal.contains('\\') {
            serde_json::from_str(literal).map_err(|_| self.wrong("the string is not valid"))
        } else {
            Ok(literal[1..literal.len() - 1].to_owned())
        }
    }

    fn skip_word(&mut self) {
        let more = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'+' | b'.');
        while self.peek().is_some_and(more) {
            self.at += 1;
        }
    }

    /// Blanks and comments.
    fn blank(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(0xEF) if self.at == 0 => self.at = '\u{feff}'.len_utf8(),
                Some(b'/') => match self.text.as_bytes().get(self.at + 1) {
                    Some(b'/') => self.skip_to("\n"),
                    Some(b'*') => self.skip_to("*/"),
                    _ => return,
                },
                _ => return,
            }
        }
    }

    fn skip_to(&mut self, end: &str) {
        let rest = &self.text[self.at..];
        self.at += rest.find(end).map_or(rest.len(), |found| found + end.len());
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn position(&mut self) -> Position {
        let (from, mut place) = self.here;
        for c in self.text.get(from..self.at).unwrap_or_default().chars() {
            place.column += 1;
            if c == '\n' {
                place.line += 1;
                place.column = 1;
            }
        }
        self.here = (self.at, place);
        place
    }

    fn wrong(&self, what: &str) -> String {
        let line = Position::of(self.text, self.at).line;
        format!("not valid JSON: line {line}: {what}")
    }
}
