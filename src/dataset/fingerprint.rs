//! Texts as 128-bit keys, exactly and with differences of no meaning taken out.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::rows::Row;
use crate::digest::Hasher;

/// The first half of a SHA-256: 16 bytes where a text would need more.
///
/// Among ten million texts, the chance that any two share a key is about 10⁻²⁵.
pub(super) type Key = u128;

/// The key of texts, told apart even where their concatenations are equal.
pub(super) fn key(parts: &[&str]) -> Key {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finish();
    let half = digest.as_bytes().first_chunk().copied();
    Key::from_le_bytes(half.unwrap_or_default())
}

/// One row in 32 bytes, to be sorted and compared with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Print {
    pub(super) input: Key,
    /// Half a key: answers are told apart only where the inputs are equal.
    pub(super) output: u64,
    pub(super) line: u64,
}

impl Print {
    pub(super) fn of(row: &Row) -> Self {
        let example = &row.example;
        Self {
            input: key(&[&example.kind().to_string(), &example.input()]),
            output: key(&[example.output()]) as u64,
            line: row.line,
        }
    }
}

/// A text without the differences that do not make it another question: Unicode compatibility forms (NFKC), case,
/// punctuation and blanks.
///
/// Case is folded by lower, upper and lower case in turn, which tells the same characters apart as Unicode's full case
/// folding does (`ß`, `ẞ` and `SS` are one), except that `ı` and `i` are one here too. Apostrophes vanish; other punctuation and every run of blanks
/// become one blank. Signs with a meaning stay (`+ * / = < > % $ # & @ ^ | ~`, letters and digits of any script,
/// emoji), and so does a hyphen before a digit: `-5` is not `5`. A text of punctuation alone keeps it.
pub fn normalise(text: &str) -> String {
    let folded: String = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.nfkc().flat_map(fold).nfkc().collect()
    };
    let mut out = String::with_capacity(folded.len());
    let mut characters = folded.chars().peekable();
    while let Some(character) = characters.next() {
        match role(character, characters.peek().copied()) {
            Part::Kept => out.push(character),
            Part::Dropped => {}
            Part::Blank if out.is_empty() || out.ends_with(' ') => {}
            Part::Blank => out.push(' '),
        }
    }
    out.truncate(out.trim_end().len());
    if out.is_empty() {
        let words: Vec<&str> = folded.split_whitespace().collect();
        return words.join(" ");
    }
    out
}

fn fold(character: char) -> impl Iterator<Item = char> {
    character
        .to_lowercase()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

enum Part {
    Kept,
    Blank,
    Dropped,
}

fn role(character: char, next: Option<char>) -> Part {
    match character {
        '\'' | '\u{2018}' | '\u{2019}' | '\u{2bc}' | '`' => Part::Dropped,
        '-' | '\u{2010}'..='\u{2015}' if next.is_some_and(char::is_numeric) => Part::Kept,
        '+' | '*' | '/' | '=' | '<' | '>' | '%' | '$' | '#' | '&' | '@' | '^' | '|' | '~' => {
            Part::Kept
        }
        c if c.is_alphanumeric() || is_combining_mark(c) => Part::Kept,
        c if c.is_whitespace() || c.is_control() || is_punctuation(c) => Part::Blank,
        _ => Part::Kept,
    }
}

/// ASCII punctuation and the blocks that hold nothing but punctuation and invisible marks.
fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(
            character,
            '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}'
                | '\u{2000}'..='\u{206f}'
                | '\u{2e00}'..='\u{2e7f}'
                | '\u{3000}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}'
                | '\u{60c}' | '\u{61b}' | '\u{61f}' | '\u{6d4}' | '\u{964}' | '\u{965}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_no_meaning_vanish() {
        for (text, expected) in [
            (
                "  I am STILL waiting,\non my card?!",
                "i am still waiting on my card",
            ),
            (
                "I can\u{2019}t / I can't / I cant",
                "i cant / i cant / i cant",
            ),
            ("ﬁne ＡＢＣ １２", "fine abc 12"),
            (
                "Straße STRASSE strasse STRAẞE",
                "strasse strasse strasse strasse",
            ),
            ("ΟΔΥΣΣΕΥΣ Ὀδυσσεύς", "οδυσσευσ ὀδυσσεύσ"),
            ("e\u{301} \u{c9}", "é é"),
            ("check-in and e‑mail", "check in and e mail"),
            ("是的。 好，吗？", "是的 好 吗"),
            ("", ""),
        ] {
            assert_eq!(normalise(text), expected, "{text:?}");
        }
    }

    #[test]
    fn differences_with_a_meaning_stay() {
        for (a, b) in [
            ("3+4", "3-4"),
            ("what is -5", "what is 5"),
            ("C++", "C#"),
            ("1.5", "15"),
            ("5 %", "5 $"),
            ("?", "!"),
            ("👍", "👎"),
            ("ก่", "ก้"),
        ] {
            assert_ne!(normalise(a), normalise(b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn normalising_twice_changes_nothing_more() {
        for text in ["ẞ ΐ ŉ ǰ ﬃ İI ı", "…", "a -- 5", "x\u{0}y", "\u{200d}z"] {
            let once = normalise(text);
            assert_eq!(normalise(&once), once, "{text:?}");
        }
    }

    #[test]
    fn keys_tell_parts_apart() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
    }
}
