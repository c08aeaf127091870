use insta::assert_snapshot;

use crate::support::Env;

fn sample() -> Env {
    let env = Env::new();
    env.write(
        "serve/app.py",
        "import retune\n\nCLIENT.create(model=\"gpt-4o\")\nretune.load(\"support:production\")\n",
    );
    env.write(
        "train.yaml",
        "base_model: org/base   # retune: allow hf-unpinned -- its own repository\n",
    );
    env.write("other.yaml", "model: [\n");
    env.write("README.md", "model: gpt-4o");
    env
}

#[test]
fn findings_say_where_why_and_what_to_do() {
    assert_snapshot!(sample().run("scan"), @"
    $ retune scan
    serve/app.py:3:21: gpt-4o [floating-provider-alias]
      OpenAI moves this name to newer snapshots
      fix: name a dated snapshot, such as gpt-4o-2024-08-06
    serve/app.py:4:13: support:production [movable-reference]
      the alias `:production` can point to another version tomorrow
      fix: write support@VERSION (see `retune model show support:production`), or read the version from retune.lock
    not checked: other.yaml: not valid YAML: while parsing a node, did not find expected node content at byte 9 line 2 column 1
    2 findings in 3 files, 1 allowed by a comment, 1 not checked
    --- exit 10
    ");
}

#[test]
fn paths_choose_and_a_clean_scan_exits_with_zero() {
    let env = sample();
    assert_snapshot!(env.run("scan train.yaml README.md"), @"
    $ retune scan train.yaml README.md
    nothing found in 1 file, 1 allowed by a comment
    ");
    assert_snapshot!(env.run("scan nowhere"), @"
    $ retune scan nowhere
    --- stderr
    error: cannot find nowhere
      caused by: No such file or directory (os error 2)
    --- exit 1
    ");
    assert_snapshot!(env.run("scan .."), @"
    $ retune scan ..
    --- stderr
    error: .. is not inside [ENV]/project
    --- exit 2
    ");
    assert_snapshot!(env.run("scan --staged"), @"
    $ retune scan --staged
    --- stderr
    error: [ENV]/project is not a git repository
    --- exit 2
    ");
}

#[test]
fn the_document_for_programs() {
    assert_snapshot!(sample().run("scan serve --format json"), @r#"
    $ retune scan serve --format json
    {
      "allowed": [],
      "checked": 1,
      "findings": [
        {
          "column": 21,
          "fix": "name a dated snapshot, such as gpt-4o-2024-08-06",
          "found": "gpt-4o",
          "line": 3,
          "path": "serve/app.py",
          "rule": "floating-provider-alias",
          "why": "OpenAI moves this name to newer snapshots"
        },
        {
          "column": 13,
          "fix": "write support@VERSION (see `retune model show support:production`), or read the version from retune.lock",
          "found": "support:production",
          "line": 4,
          "path": "serve/app.py",
          "rule": "movable-reference",
          "why": "the alias `:production` can point to another version tomorrow"
        }
      ],
      "not_checked": [],
      "schema": "retune.scan/1",
      "skipped": 0
    }
    --- exit 10
    "#);
}

#[test]
fn in_a_repository_ignored_files_are_left_out() {
    let env = sample();
    env.program("git", &["init", "-q"]).ok();
    env.write(".gitignore", "serve/\n");
    env.write(
        "retune.yaml",
        "version: 1\ntenant: acme\nscan:\n  exclude: [other.yaml]\n",
    );
    assert_snapshot!(env.run("scan"), @"
    $ retune scan
    nothing found in 1 file, 1 allowed by a comment
    ");
}

#[test]
fn hooks_are_installed_shown_and_removed() {
    let env = Env::new();
    assert_snapshot!(env.run("hook install"), @"
    $ retune hook install
    --- stderr
    error: [ENV]/project is not a git repository
    --- exit 2
    ");
    env.program("git", &["init", "-q"]).ok();
    assert_snapshot!(env.run("hook install --dry-run"), @"
    $ retune hook install --dry-run
    pre-commit added [ENV]/project/.git/hooks/pre-commit
    pre-push added [ENV]/project/.git/hooks/pre-push
    dry run: nothing was written
    ");
    assert_snapshot!(env.run("hook install"), @"
    $ retune hook install
    pre-commit added [ENV]/project/.git/hooks/pre-commit
    pre-push added [ENV]/project/.git/hooks/pre-push
    ");
    assert_snapshot!(env.run("hook status"), @"
    $ retune hook status
    HOOK        STATE      PATH
    pre-commit  installed  [ENV]/project/.git/hooks/pre-commit
    pre-push    installed  [ENV]/project/.git/hooks/pre-push
    ");
    assert_snapshot!(env.run("hook uninstall"), @"
    $ retune hook uninstall
    pre-commit removed [ENV]/project/.git/hooks/pre-commit
    pre-push removed [ENV]/project/.git/hooks/pre-push
    ");
    assert_snapshot!(env.run("hook exec pre-commit"), @"$ retune hook exec pre-commit");
    assert_snapshot!(env.run("hook exec post-commit"), @r#"
    $ retune hook exec post-commit
    --- stderr
    error: invalid value 'post-commit' for '<HOOK>': "post-commit" is not a hook that retune serves: pre-commit or pre-push

    For more information, try '--help'.
    --- exit 2
    "#);
}
