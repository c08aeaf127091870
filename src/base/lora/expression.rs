//! Regular expressions as Python's `re` reads them.

use fancy_regex::Regex;

use crate::base::LoraError;

/// A regular expression out of a LoRA configuration.
///
/// Look-around and back-references are there, as in Python. What the two engines read differently is refused.
#[derive(Debug)]
pub(super) struct Expression {
    key: &'static str,
    pattern: String,
    compiled: Regex,
}

/// Set operations in Rust, plain characters in Python (which warns that this will change).
const AMBIGUOUS: [&str; 4] = ["[[", "&&", "~~", "--"];

impl Expression {
    /// Python's `re.fullmatch(pattern, …)`.
    pub(super) fn full(key: &'static str, pattern: &str) -> Result<Self, LoraError> {
        Self::new(key, pattern, &format!(r"\A(?:{pattern})\z"))
    }

    /// PEFT's match of a key of `rank_pattern` or `alpha_pattern`: `re.match(rf"(.*\.)?({key})$", …)`.
    pub(super) fn pattern_key(key: &'static str, pattern: &str) -> Result<Self, LoraError> {
        Self::new(key, pattern, &format!(r"\A(.*\.)?({pattern})\z"))
    }

    /// PEFT's match of a name in `modules_to_save`: the module and everything below it.
    pub(super) fn saved(key: &'static str, pattern: &str) -> Result<Self, LoraError> {
        Self::new(key, pattern, &format!(r"\A(?:(^|.*\.){pattern}($|\..*))"))
    }

    /// PEFT's search for the number of a layer: the first that follows a name of `layers_pattern`.
    pub(super) fn layer(key: &'static str, pattern: &str) -> Result<Self, LoraError> {
        Self::new(
            key,
            pattern,
            &format!(r"\A(?:(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.)"),
        )
    }

    /// The text that was given.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(super) fn matches(&self, path: &str) -> Result<bool, LoraError> {
        self.compiled
            .is_match(path)
            .map_err(|error| self.fault(&error.to_string()))
    }

    /// The number that `(?P<idx>…)` found.
    pub(super) fn index(&self, path: &str) -> Result<Option<usize>, LoraError> {
        let found = self.compiled.captures(path);
        let found = found.map_err(|error| self.fault(&error.to_string()))?;
        let number = found.and_then(|captures| captures.name("idx")?.as_str().parse().ok());
        Ok(number)
    }

    fn new(key: &'static str, pattern: &str, whole: &str) -> Result<Self, LoraError> {
        if let Some(found) = AMBIGUOUS.iter().find(|text| pattern.contains(**text)) {
            let why = format!("{found} means one thing in Python and another here; escape it");
            return Err(fault(key, pattern, &why));
        }
        let compiled =
            Regex::new(whole).map_err(|error| fault(key, pattern, &error.to_string()))?;
        Ok(Self {
            key,
            pattern: pattern.to_owned(),
            compiled,
        })
    }

    fn fault(&self, why: &str) -> LoraError {
        fault(self.key, &self.pattern, why)
    }
}

/// Whether one of `expressions` matches.
pub(super) fn matches_any(expressions: &[Expression], path: &str) -> Result<bool, LoraError> {
    for expression in expressions {
        if expression.matches(path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fault(key: &'static str, pattern: &str, why: &str) -> LoraError {
    LoraError::Regex {
        key,
        pattern: pattern.to_owned(),
        why: why.to_owned(),
    }
}
