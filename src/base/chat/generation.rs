//! `{% generation %}` blocks: what the assistant says, marked by the template itself.
//!
//! Jinja has such a tag through an extension of transformers. Here it becomes a filter that puts a mark on either side of what
//! it is given; the marks are characters that neither template nor conversation holds, and are taken out again.

use std::ops::Range;
use std::sync::LazyLock;

use minijinja::State;
use minijinja::value::Value;
use regex::Regex;

use super::Rendered;
use crate::dataset::Message;

/// The filter that marks its input.
pub(super) const FILTER: &str = "retune_generation";

/// The variable with the two marks.
pub(super) const MARKS: &str = "retune_generation_marks";

/// The first of 32 characters that Unicode promises never to give a meaning.
const FIRST_NONCHARACTER: u32 = 0xfdd0;

static TAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").ok());

/// Whether the template has such blocks.
pub(super) fn occurs(source: &str) -> bool {
    TAG.as_ref().is_some_and(|tag| tag.is_match(source))
}

/// The template with filter blocks in their place; whitespace control stays as it is.
pub(super) fn as_filters(source: &str) -> String {
    let Some(tag) = TAG.as_ref() else {
        return source.to_owned();
    };
    let replaced = tag.replace_all(source, |found: &regex::Captures<'_>| {
        let (before, after) = (&found[1], &found[3]);
        match found.get(2) {
            Some(_) => format!("{{%{before} endfilter {after}%}}"),
            None => format!("{{%{before} filter {FILTER} {after}%}}"),
        }
    });
    replaced.into_owned()
}

/// The filter itself.
pub(super) fn mark(state: &State<'_, '_>, text: &str) -> String {
    let marks = state.lookup(MARKS).unwrap_or_default();
    let mark = |index: usize| {
        let mark = marks.get_item_by_index(index).unwrap_or_default();
        mark.as_str().unwrap_or_default().to_owned()
    };
    format!("{}{text}{}", mark(0), mark(1))
}

/// The two characters that stand before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks([char; 2]);

impl Marks {
    /// Two characters that occur in none of these texts.
    pub(super) fn absent_from(source: &str, messages: &[Message]) -> Self {
        let occurs = |c: char| {
            source.contains(c) || messages.iter().any(|message| message.content.contains(c))
        };
        let mut free = (FIRST_NONCHARACTER..FIRST_NONCHARACTER + 32)
            .filter_map(char::from_u32)
            .filter(|c| !occurs(*c));
        // Texts that hold all of these are not written by people, and lose them.
        let mut next = || free.next().unwrap_or('\u{ffff}');
        Self([next(), next()])
    }

    pub(super) fn as_value(self) -> Value {
        self.0.iter().map(|c| Value::from(c.to_string())).collect()
    }

    /// The text without marks, and where they stood.
    pub(super) fn take_out_of(self, marked: &str) -> Rendered {
        let [open, close] = self.0;
        let mut text = String::with_capacity(marked.len());
        let mut generated: Vec<Range<usize>> = Vec::new();
        let mut start = None;
        for c in marked.chars() {
            if c == open {
                start = Some(text.len());
            } else if c == close {
                generated.extend(start.take().map(|start| start..text.len()));
            } else {
                text.push(c);
            }
        }
        Rendered { text, generated }
    }
}
