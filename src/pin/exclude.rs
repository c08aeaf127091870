//! Paths that the scanner leaves out.

use regex::RegexSet;

/// Patterns for paths: `*` and `?` within a name, `**` across folders, `fixtures/` or `fixtures` for a folder
/// and everything in it. A pattern without `/` in the middle matches at any depth.
#[derive(Debug, Clone, Default)]
pub struct Exclude {
    patterns: Vec<String>,
    set: RegexSet,
}

impl Exclude {
    /// Reads patterns. The error says which one is wrong, and why.
    pub fn new(patterns: &[String]) -> Result<Self, (usize, String)> {
        let mut expressions = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            expressions.push(expression(pattern).map_err(|why| (index, why))?);
        }
        let set = RegexSet::new(&expressions).map_err(|e| (0, e.to_string()))?;
        Ok(Self {
            patterns: patterns.to_vec(),
            set,
        })
    }

    /// Whether a path, with `/`, from the root of the repository, is left out.
    pub fn matches(&self, path: &str) -> bool {
        self.set.is_match(path)
    }
}

impl PartialEq for Exclude {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Exclude {}

fn expression(pattern: &str) -> Result<String, String> {
    let body = pattern.trim_end_matches('/');
    if body.is_empty() {
        return Err("the pattern is empty".to_owned());
    }
    if body.contains(['[', ']', '{', '}', '!', '\\']) {
        return Err("use only *, ** and ? as wildcards".to_owned());
    }
    let anchored = body.contains('/');
    let mut out = String::from(if anchored { "^" } else { "(?:^|/)" });
    let mut rest = body.trim_start_matches('/');
    while let Some(c) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("**/") {
            out.push_str("(?:.*/)?");
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix("**") {
            out.push_str(".*");
            rest = tail;
        } else {
            match c {
                '*' => out.push_str("[^/]*"),
                '?' => out.push_str("[^/]"),
                other => out.push_str(&regex::escape(&other.to_string())),
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out.push_str("(?:/.*)?$");
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("tests/fixtures/", "tests/fixtures/a/b.py", true),
            ("tests/fixtures", "tests/fixtures.py", false),
            ("tests/fixtures", "x/tests/fixtures/a.py", false),
            ("fixtures", "x/fixtures/a.py", true),
            ("*.ipynb", "a/b.ipynb", true),
            ("docs/*.py", "docs/a.py", true),
            ("docs/*.py", "docs/a/b.py", false),
            ("docs/**/*.py", "docs/a/b/c.py", true),
            ("docs/**/*.py", "docs/c.py", true),
            ("/a.py", "b/a.py", false),
            ("a?.py", "ab.py", true),
            ("a.py", "axpy", false),
        ] {
            let exclude = Exclude::new(&[pattern.to_owned()]).unwrap();
            assert_eq!(exclude.matches(path), expected, "{pattern} {path}");
        }
        for bad in ["", "/", "[ab]", "!a"] {
            assert!(
                Exclude::new(&["ok".to_owned(), bad.to_owned()])
                    .is_err_and(|(index, _)| index == 1),
                "{bad}"
            );
        }
        assert!(!Exclude::default().matches("a"));
    }
}
