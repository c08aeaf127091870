//! JUnit XML: FAIL and INCONCLUSIVE are failures, INVALID is an error, what is not tested is skipped.

use retune::gate::{Comparison, Severity, Verdict};

use super::super::gate::Judged;
use super::Page;

/// One test suite with a test case per criterion, slice and missed case of the floor, and one for the validity of the inputs.
pub(crate) fn junit(page: &Page<'_>) -> String {
    let content = &page.judged.content;
    let mut cases = vec![validity(page)];
    cases.extend(content.comparisons.iter().map(|c| comparison(page, c)));
    cases.extend(content.slices.iter().map(|slice| {
        let name = format!("{} on {}", slice.criterion, slice.slice);
        let counts = format!(
            "{} improved, {} regressed of {}",
            slice.improved, slice.regressed, slice.n
        );
        match (slice.harmed, slice.harm_p) {
            (true, _) => case("slices", &name, Some(("failure", "SLICE", &counts))),
            (false, Some(_)) => case("slices", &name, None),
            (false, None) => {
                let text = format!("too few cases to test: {counts}");
                case("slices", &name, Some(("skipped", "", &text)))
            }
        }
    }));
    cases.extend(floor(page));
    let count = |tag: &str| cases.iter().filter(|case| case.contains(tag)).count();
    let totals = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
        cases.len(),
        count("<failure"),
        count("<error")
    );
    let skipped = count("<skipped");
    let name = format!("{} against {}", page.candidate(), page.baselines());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"retune gate\" {totals}>\n  \
         <testsuite name=\"{}\" {totals} skipped=\"{skipped}\">\n{}  </testsuite>\n</testsuites>\n",
        escape(&name),
        cases.concat()
    )
}

/// One test case for each case of the floor that was missed, and one for all the others.
fn floor(page: &Page<'_>) -> Vec<String> {
    let Some(floor) = page.judged.floor() else {
        return Vec::new();
    };
    let passed = floor.cases - floor.missed.len() as u64;
    let mut cases = vec![case(
        "floor",
        &format!("{passed} cases passed at once"),
        None,
    )];
    cases.extend(page.missed.iter().map(|of| {
        let text = format!("expected {}, got {}", of.expected, of.candidate);
        let outcome = match (of.missed.fails, &page.judged.waiver) {
            (true, None) => Some(("failure", "FLOOR", text.as_str())),
            (true, Some(_)) => Some(("skipped", "", "waived")),
            (false, _) => None,
        };
        case("floor", &of.missed.id, outcome)
    }));
    cases
}

fn validity(page: &Page<'_>) -> String {
    let content = &page.judged.content;
    let because: Vec<&str> = content
        .reasons
        .iter()
        .filter(|reason| reason.code.verdict() == Some(Verdict::Invalid))
        .map(|reason| reason.text.as_str())
        .collect();
    let text = because.join("\n");
    match (content.verdict, &page.judged.waiver) {
        (Verdict::Invalid, None) => case("gate", "validity", Some(("error", "INVALID", &text))),
        _ => case("gate", "validity", None),
    }
}

fn comparison(page: &Page<'_>, comparison: &Comparison) -> String {
    let title = Judged::title(comparison);
    let against = page.judged.against(comparison);
    let name = format!("{title}: {against}");
    let numbers = &comparison.numbers;
    let text = format!(
        "{}: {} improved, {} regressed of {}; {} ({} to {}), boundary {}",
        page.judged.asks(comparison),
        numbers.improved,
        numbers.regressed,
        numbers.n,
        numbers.difference,
        numbers.lower,
        numbers.upper,
        numbers.boundary
    );
    let verdict = comparison.verdict.to_string();
    let outcome = match (comparison.verdict, comparison.severity, &page.judged.waiver) {
        (Verdict::Pass, ..) => None,
        (_, Severity::Warn | Severity::Info, _) => Some(("skipped", "", "does not decide")),
        (_, _, Some(_)) => Some(("skipped", "", "waived")),
        (Verdict::Invalid, ..) => Some(("error", verdict.as_str(), text.as_str())),
        (_, Severity::Block, None) => Some(("failure", verdict.as_str(), text.as_str())),
    };
    case("criteria", &name, outcome)
}

/// A test case and, unless it passed, a tag with a type and a text.
fn case(class: &str, name: &str, outcome: Option<(&str, &str, &str)>) -> String {
    let head = format!(
        "    <testcase classname=\"gate.{class}\" name=\"{}\"",
        escape(name)
    );
    match outcome {
        None => format!("{head}/>\n"),
        Some((tag, kind, text)) => {
            let kind = match kind {
                "" => String::new(),
                kind => format!(" type=\"{}\"", escape(kind)),
            };
            let text = escape(text);
            format!("{head}>\n      <{tag}{kind} message=\"{text}\"/>\n    </testcase>\n")
        }
    }
}

/// For text and attributes of XML 1.0, which has no place for most control characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() && c < '\u{20}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_comes_from_data_stays_text() {
        let safe = "&lt;a b=&apos;&quot;&apos;&gt; &amp;amp; ]]&gt; \u{fffd}[2J&#10;";
        assert_eq!(escape("<a b='\"'> &amp; ]]> \u{1b}[2J\n"), safe);
    }
}
