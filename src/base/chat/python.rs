//! Values as Python writes them: `str`, `repr` and `json.dumps`.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// `str(value)`; an undefined value is nothing, as in Jinja.
pub(super) fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::String => value.to_string(),
        _ => repr(value),
    }
}

fn repr(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value.kind() {
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::Number => number(value),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            format!("[{}]", joined(items(value).iter().map(repr).collect()))
        }
        ValueKind::Map => {
            let entry = |(key, value): (Value, Value)| format!("{}: {}", repr(&key), repr(&value));
            format!(
                "{{{}}}",
                joined(entries(value).into_iter().map(entry).collect())
            )
        }
        _ => value.to_string(),
    }
}

/// How `json.dumps` is called.
pub(super) struct Json {
    pub(super) ensure_ascii: bool,
    pub(super) sort_keys: bool,
    pub(super) indent: Option<usize>,
    /// Between items.
    pub(super) item: Option<String>,
    /// Between key and value.
    pub(super) key: Option<String>,
}

impl Json {
    /// `json.dumps(value)`; `between` separates items unless the caller said what does.
    pub(super) fn dump(&self, value: &Value, between: &str) -> Result<String, Error> {
        let mut out = String::new();
        let item = self.item.as_deref().unwrap_or(between);
        self.write(value, item, 0, &mut out)?;
        Ok(out)
    }

    fn write(
        &self,
        value: &Value,
        item: &str,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => out.push_str(&self.string(value.as_str().unwrap_or_default())),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = items(value);
                self.list(['[', ']'], items.len(), item, depth, out, |index, out| {
                    self.write(&items[index], item, depth + 1, out)
                })?;
            }
            ValueKind::Map => {
                let mut entries = entries(value);
                if self.sort_keys {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.list(['{', '}'], entries.len(), item, depth, out, |index, out| {
                    let (key, value) = &entries[index];
                    out.push_str(&self.string(&text(key)));
                    out.push_str(self.key.as_deref().unwrap_or(": "));
                    self.write(value, item, depth + 1, out)
                })?;
            }
            other => {
                let what = format!("a value of type {other} cannot be written as JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, what));
            }
        }
        Ok(())
    }

    fn list(
        &self,
        [open, close]: [char; 2],
        count: usize,
        item: &str,
        depth: usize,
        out: &mut String,
        write: impl Fn(usize, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for index in 0..count {
            if index > 0 {
                out.push_str(item);
            }
            self.new_line(depth + 1, out);
            write(index, out)?;
        }
        if count > 0 {
            self.new_line(depth, out);
        }
        out.push(close);
        Ok(())
    }

    fn new_line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    }

    fn string(&self, text: &str) -> String {
        // The escapes of serde_json are those of Python's json without ensure_ascii.
        let plain = serde_json::to_string(text).unwrap_or_default();
        if !self.ensure_ascii {
            return plain;
        }
        let mut out = String::with_capacity(plain.len());
        for c in plain.chars() {
            if c.is_ascii() {
                out.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
        out
    }
}

fn items(value: &Value) -> Vec<Value> {
    value.try_iter().map(Iterator::collect).unwrap_or_default()
}

fn entries(value: &Value) -> Vec<(Value, Value)> {
    let keys = items(value).into_iter();
    keys.map(|key| {
        let found = value.get_item(&key).unwrap_or_default();
        (key, found)
    })
    .collect()
}

/// Integers as they are; floats always with a fraction or an exponent of two digits and a sign.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(float) = f64::try_from(value.clone()) else {
        return value.to_string();
    };
    let shown = format!("{float:?}");
    match shown.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => shown,
    }
}

/// Single quotes, unless the text has some and no double ones.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
