//! The Jinja environment that transformers sets up: its whitespace rules, filters and functions, and Python's habits.

use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{Environment, Error, ErrorKind};

use super::{generation, python};
use crate::time::Timestamp;

/// The source of the error that `raise_exception` makes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

/// The source of the error of `strftime_now` without a date.
#[derive(Debug, thiserror::Error)]
#[error("no date was given")]
pub(super) struct NoDate;

/// What `transformers.utils.chat_template_utils._compile_jinja_template` makes, with a stopped clock.
pub(super) fn as_transformers(date: Option<Timestamp>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_formatter(|out, _, value| {
        out.write_str(&python::text(value))?;
        Ok(())
    });
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_filter(generation::FILTER, generation::mark);
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", move |format: &str| now(date, format));
    environment
}

fn raise(message: &str) -> Result<Value, Error> {
    let raised = Raised(message.to_owned());
    Err(Error::new(ErrorKind::InvalidOperation, "raised").with_source(raised))
}

fn now(date: Option<Timestamp>, format: &str) -> Result<String, Error> {
    let date = date.ok_or_else(|| {
        Error::new(ErrorKind::InvalidOperation, "no date was given").with_source(NoDate)
    })?;
    let fault = || {
        let what = format!("{format:?} is not a date format");
        Error::new(ErrorKind::InvalidOperation, what)
    };
    date.formatted(format).ok_or_else(fault)
}

/// `json.dumps` with transformers' defaults.
fn to_json(value: &Value, positional: Rest<Value>, options: Kwargs) -> Result<Value, Error> {
    if !positional.is_empty() {
        let what = "tojson takes its options by name";
        return Err(Error::new(ErrorKind::TooManyArguments, what));
    }
    let separators: Option<Vec<String>> = options.get("separators")?;
    let indent: Option<usize> = options.get("indent")?;
    // What Python's json chooses.
    let between = if indent.is_some() { "," } else { ", " };
    let style = python::Json {
        ensure_ascii: options
            .get::<Option<bool>>("ensure_ascii")?
            .unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        item: separators.as_ref().and_then(|s| s.first().cloned()),
        key: separators.as_ref().and_then(|s| s.get(1).cloned()),
        indent,
    };
    options.assert_all_used()?;
    style.dump(value, between).map(Value::from)
}
