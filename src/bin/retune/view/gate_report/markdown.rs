//! Markdown for a pull-request comment or a step summary.

use retune::gate::{Change, Changed, Comparison, Severity};

use super::super::gate::{Judged, Scale, passed};
use super::Page;

/// How many cases are listed each way; a comment has little room.
const SHOWN: usize = 20;
/// How much of a text is shown.
const LONGEST: usize = 160;

/// A comment that begins with a mark by which the next one can replace it.
pub(crate) fn markdown(page: &Page<'_>) -> String {
    let content = &page.judged.content;
    let mut text = format!(
        "<!-- retune-gate -->\n## {} {}: {} against {}\n\n",
        sign(&page.word()),
        page.word(),
        escape(&page.candidate()),
        escape(&page.baselines())
    );
    if let Some(waiver) = &page.judged.waiver {
        text.push_str(&format!(
            "The verdict {} is waived by {} until {}: {}\n\n",
            content.verdict,
            escape(waiver.actor.name()),
            waiver.expires,
            escape(&waiver.reason)
        ));
    }
    for reason in &content.reasons {
        text.push_str(&format!("- {}\n", escape(&reason.text)));
    }
    if !content.reasons.is_empty() {
        text.push('\n');
    }
    text.push_str(&criteria(page));
    text.push_str(&slices(page));
    text.push_str(&floor(page));
    for (change, title) in [
        (Change::Regressed, "Regressed"),
        (Change::Improved, "Improved"),
    ] {
        text.push_str(&cases(title, &page.cases(change)));
    }
    text.push_str(&format!(
        "<sub>evidence `{}` · policy `{}` · suite `{}`</sub>\n",
        page.judged.evidence, content.policy, content.suite
    ));
    text
}

fn sign(word: &str) -> &'static str {
    match word {
        "PASS" => "✅",
        "FAIL" => "❌",
        "INVALID" => "🚫",
        _ => "⚠️",
    }
}

fn criteria(page: &Page<'_>) -> String {
    let comparisons = &page.judged.content.comparisons;
    if comparisons.is_empty() {
        return String::new();
    }
    let mut text = "| | criterion | found | interval | has to be | improved / regressed |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for comparison in comparisons {
        let numbers = &comparison.numbers;
        let scale = Scale::of(comparison);
        let optional = match comparison.severity {
            Severity::Block => "",
            Severity::Warn | Severity::Info => " (does not decide)",
        };
        text.push_str(&format!(
            "| {} | {}{optional}<br>{} | {} | {} to {} | {} | {} / {} of {} |\n",
            comparison.verdict,
            escape(&Judged::title(comparison)),
            escape(&page.judged.asks(comparison)),
            scale.long(numbers.difference.get()),
            scale.short(numbers.lower.get()),
            scale.short(numbers.upper.get()),
            wanted(comparison, scale),
            numbers.improved,
            numbers.regressed,
            numbers.n
        ));
    }
    text.push('\n');
    text
}

fn wanted(comparison: &Comparison, scale: Scale) -> String {
    let boundary = scale.long(comparison.numbers.boundary.get());
    match scale {
        Scale::Ratio => format!("below {boundary}"),
        Scale::Share => format!("{boundary} or more"),
        Scale::Points | Scale::Score => format!("above {boundary}"),
    }
}

fn slices(page: &Page<'_>) -> String {
    let slices = &page.judged.content.slices;
    if slices.is_empty() {
        return String::new();
    }
    let untested = slices.iter().filter(|slice| slice.harm_p.is_none()).count();
    let mut text = format!(
        "**Slices**: {} tested, {} harmed, {untested} too small to test.\n\n",
        slices.len() - untested,
        slices.iter().filter(|slice| slice.harmed).count()
    );
    for slice in slices.iter().filter(|slice| slice.harmed) {
        text.push_str(&format!(
            "- {}: {} improved, {} regressed of {}\n",
            escape(&slice.slice),
            slice.improved,
            slice.regressed,
            slice.n
        ));
    }
    text.push('\n');
    text
}

fn floor(page: &Page<'_>) -> String {
    let Some(floor) = page.judged.floor() else {
        return String::new();
    };
    let mut text = format!("**Floor**: {}.\n\n", passed(floor));
    let failed = page.failed();
    if failed.is_empty() {
        return text;
    }
    text.push_str("| case | text | expected | now |\n|---|---|---|---|\n");
    for case in failed.iter().take(SHOWN) {
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            escape(&case.missed.id),
            escape(&shortened(&case.text)),
            escape(&shortened(&case.expected)),
            escape(&shortened(&case.candidate))
        ));
    }
    if failed.len() > SHOWN {
        text.push_str(&format!("\nand {} more\n", failed.len() - SHOWN));
    }
    text.push('\n');
    text
}

fn cases(title: &str, cases: &[&Changed]) -> String {
    if cases.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "<details><summary>{title}: {}</summary>\n\n| case | text | expected | before | now |\n|---|---|---|---|---|\n",
        cases.len()
    );
    for case in cases.iter().take(SHOWN) {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            escape(&case.id),
            escape(&shortened(&case.text)),
            escape(&case.expected),
            escape(&case.baseline),
            escape(&case.candidate)
        ));
    }
    if cases.len() > SHOWN {
        text.push_str(&format!("\nand {} more\n", cases.len() - SHOWN));
    }
    text.push_str("\n</details>\n\n");
    text
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Text that stays text: no tags, no links, no tables, no mentions of people and no references to issues.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // An empty comment keeps code hosts from seeing a mention or a reference.
            '@' => out.push_str("@<!-- -->"),
            '#' => out.push_str("#<!-- -->"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    // Nor does an address become a link.
    out.replace("://", ":<!-- -->//")
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_comes_from_data_stays_text() {
        for (hostile, safe) in [
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("[a](b)", "\\[a\\]\\(b\\)"),
            ("a | b\nc", "a \\| b c"),
            ("@ana #1", "@<!-- -->ana #<!-- -->1"),
            ("https://x", "https:<!-- -->//x"),
            ("`x` *y* _z_", "\\`x\\` \\*y\\* \\_z\\_"),
            ("\u{1b}[2J", " \\[2J"),
        ] {
            assert_eq!(escape(hostile), safe);
        }
    }
}
