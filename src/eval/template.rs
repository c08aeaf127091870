//! `{{name}}` in prompts and demands: the part of nunjucks that only fills in.

use std::collections::BTreeMap;

/// Values by name.
pub(super) type Vars = BTreeMap<String, String>;

/// The text with every `{{name}}` filled in; an error for a name that is not there, and for any other template syntax.
pub(super) fn fill(text: &str, vars: &Vars) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        filled.push_str(plain(&rest[..at])?);
        let inside = &rest[at + 2..];
        let end = inside.find("}}").ok_or("a `{{` is not closed")?;
        let name = inside[..end].trim();
        let value = vars.get(name).ok_or_else(|| unknown(name, vars))?;
        filled.push_str(value);
        rest = &inside[end + 2..];
    }
    filled.push_str(plain(rest)?);
    Ok(filled)
}

/// Whether there is something to fill in.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn plain(text: &str) -> Result<&str, String> {
    match text.contains("{%") || text.contains("{#") {
        true => Err("only `{{name}}` is filled in; `{%` and `{#` are not understood".to_owned()),
        false => Ok(text),
    }
}

fn unknown(name: &str, vars: &Vars) -> String {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    if !name.chars().all(is_name) {
        return format!("`{{{{{name}}}}}` is more than a name; only names are filled in");
    }
    let known: Vec<&str> = vars.keys().map(String::as_str).collect();
    match crate::document::suggest(name, known.iter().copied()) {
        Some(like) => format!("there is no {name:?} to fill in; did you mean {like:?}?"),
        None => format!(
            "there is no {name:?} to fill in; there is {}",
            known.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        [("text", "a {{b}}"), ("n", "2")].map(pair).into()
    }

    #[test]
    fn names_are_filled_in_once() {
        let filled = |text: &str| fill(text, &vars());
        assert_eq!(filled("<{{text}}|{{ n }}>"), Ok("<a {{b}}|2>".to_owned()));
        assert_eq!(filled("} and { and }}"), Ok("} and { and }}".to_owned()));
        for (bad, what) in [
            ("{{txt}}", "did you mean"),
            ("{{", "not closed"),
            ("{% if n %}", "not understood"),
            ("{{ n | upper }}", "more than a name"),
        ] {
            let error = filled(bad).unwrap_or_else(|error| error);
            assert!(error.contains(what), "{bad}: {error}");
        }
    }
}
