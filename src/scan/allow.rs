//! Comments that allow a finding: `retune: allow RULE[, RULE] -- reason`.

use super::rule::Rule;

/// What a comment says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allow {
    /// The line whose findings it allows: its own, or the next one when it stands alone.
    pub(super) applies_to: usize,
    pub(super) rules: Vec<Rule>,
    pub(super) reason: String,
}

const MARK: &str = "retune: allow";

/// The comments of a file, and what is wrong with the faulty ones.
pub(super) fn comments(text: &str) -> (Vec<Allow>, Vec<String>) {
    let mut good = Vec::new();
    let mut faulty = Vec::new();
    if !text.contains(MARK) {
        return (good, faulty);
    }
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((before, after)) = line.split_once(MARK) else {
            continue;
        };
        let Some(comment) = before.rfind(['#', '/']) else {
            continue;
        };
        let alone = before[..comment].trim_matches([' ', '\t', '/']).is_empty();
        match read(after) {
            Ok((rules, reason)) => good.push(Allow {
                applies_to: if alone {
                    next_line(&lines, index)
                } else {
                    index + 1
                },
                rules,
                reason,
            }),
            Err(why) => faulty.push(format!("line {}: {why}", index + 1)),
        }
    }
    (good, faulty)
}

/// The next line that holds something else than a comment.
fn next_line(lines: &[&str], index: usize) -> usize {
    let rest = lines.iter().enumerate().skip(index + 1);
    let mut code = rest.filter(|(_, line)| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with("//")
    });
    code.next().map_or(index + 1, |(next, _)| next + 1)
}

fn read(after: &str) -> Result<(Vec<Rule>, String), String> {
    let (rules, reason) = after
        .split_once("--")
        .map(|(rules, reason)| (rules, reason.trim()))
        .filter(|(_, reason)| !reason.is_empty())
        .ok_or_else(|| format!("`{MARK}` needs a reason: `{MARK} RULE -- reason`"))?;
    let rules: Vec<Rule> = rules
        .split(',')
        .map(|rule| {
            rule.trim()
                .parse()
                .map_err(|e: super::UnknownRule| e.to_string())
        })
        .collect::<Result<_, _>>()?;
    Ok((rules, reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_allows_its_own_line_or_the_next_one() {
        let text = "x = 1  # retune: allow hf-unpinned -- a fixture\n\
                    # retune: allow hf-unpinned, floating-provider-alias -- both\n\
                    # more words\n\
                    y = 2\n";
        let (good, faulty) = comments(text);
        assert_eq!(faulty, Vec::<String>::new());
        assert_eq!(
            (good[0].applies_to, good[0].reason.as_str()),
            (1, "a fixture")
        );
        assert_eq!((good[1].applies_to, good[1].rules.len()), (4, 2));
    }

    #[test]
    fn a_comment_without_reason_or_with_an_unknown_rule_is_faulty() {
        for bad in [
            "# retune: allow hf-unpinned",
            "# retune: allow hf-unpined -- x",
            "# retune: allow -- x",
        ] {
            let (good, faulty) = comments(bad);
            assert!(good.is_empty() && faulty.len() == 1, "{bad}");
        }
        assert_eq!(comments("say('retune: allow nothing')"), (vec![], vec![]));
    }
}
