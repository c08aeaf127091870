//! What the documents promise: the command-line page is the binary's own help, links lead somewhere.

use std::fs;
use std::path::Path;

use crate::support::Env;

const CLI_PAGE: &str = "docs/cli.md";

/// `UPDATE_DOCS=1 cargo test docs` rewrites the page.
#[test]
fn the_command_line_page_is_the_help() {
    let mut page = "# The command line\n\nGenerated from `retune --help` by `UPDATE_DOCS=1 cargo test docs`; a test keeps it true.\n".to_owned();
    describe(&Env::new(), &[], &mut page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(CLI_PAGE, &page).unwrap();
    }
    let found = fs::read_to_string(CLI_PAGE).unwrap_or_default();
    assert!(
        found == page,
        "{CLI_PAGE} is out of date: run UPDATE_DOCS=1 cargo test docs"
    );
}

fn describe(env: &Env, path: &[&str], page: &mut String) {
    let help = env.run_args(&[path, &["--help"]].concat()).ok().stdout;
    let title = [&["retune"], path].concat().join(" ");
    // The options that every command has are shown once.
    let body = match path {
        [] => help.as_str(),
        _ => &help[..help.find("\nGlobal options:").unwrap_or(help.len())],
    };
    let examples = match path {
        [] => "",
        _ => help.find("\nExample").map_or("", |at| &help[at..]),
    };
    let level = "#".repeat(path.len() + 2);
    page.push_str(&format!(
        "\n{level} {title}\n```text\n{}\n",
        body.trim_end()
    ));
    if !examples.is_empty() {
        page.push_str(&format!("{}\n", examples.trim_end()));
    }
    page.push_str("```\n");
    for sub in subcommands(&help) {
        describe(env, &[path, &[&sub]].concat(), page);
    }
}

pub(crate) fn subcommands(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    rest.lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// Every attack of the table names a test, and the test exists.
#[test]
fn every_attack_has_its_test() {
    let page = fs::read_to_string("docs/security.md").unwrap();
    let (_, table) = page.split_once("## Attacks").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert!(rows.len() > 20, "the table was not found");
    for row in rows {
        let cell = row
            .trim_end_matches([' ', '|'])
            .rsplit(" | ")
            .next()
            .unwrap();
        let words: Vec<&str> = cell.split('`').collect();
        let [_, file, _, test, _] = words[..] else {
            panic!("no test is named: {row}");
        };
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let named = text.split("#[test]").skip(1).any(|rest| {
            let code = rest.lines().find(|line| line.contains("fn "));
            code.is_some_and(|line| line.contains(&format!("fn {test}()")))
        });
        assert!(named, "{file} has no test {test}");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let dir = Path::new(&page).parent().unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap();
            let outside = path.is_empty() || path.contains("://");
            if !outside && !dir.join(path).exists() {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "links that lead nowhere:\n{}",
        broken.join("\n")
    );
}

#[test]
fn no_page_names_a_machine() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for word in ["/root/", "/home/", "/tmp/"] {
            assert!(!text.contains(word), "{page} holds {word}");
        }
    }
}

fn pages() -> Vec<String> {
    let tracked = std::process::Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.md",
        ])
        .output()
        .unwrap();
    let list = String::from_utf8(tracked.stdout).unwrap();
    let pages: Vec<String> = list
        .lines()
        .filter(|p| Path::new(p).exists())
        .map(str::to_owned)
        .collect();
    assert!(pages.iter().any(|page| page.starts_with("docs/")), "{list}");
    pages
}
