use insta::assert_snapshot;

use crate::support::Env;

#[test]
fn init_creates_what_is_missing_and_keeps_the_rest() {
    let env = Env::new();
    assert_snapshot!(env.run("init --tenant acme --dry-run"), @"
    $ retune init --tenant acme --dry-run
    would add .retune/registry
    would add .retune/store
    would add retune.yaml
    tenant acme
    ");
    assert!(!env.path(".retune").exists() && !env.path("retune.yaml").exists());
    assert_snapshot!(env.run("init --tenant acme"), @"
    $ retune init --tenant acme
    added .retune/registry
    added .retune/store
    added retune.yaml
    tenant acme
    ");
    assert!(
        std::fs::read_to_string(env.path("retune.yaml"))
            .unwrap()
            .contains("tenant: acme")
    );
    assert_snapshot!(env.run("init --tenant acme"), @"
    $ retune init --tenant acme
    kept .retune/registry
    kept .retune/store
    kept retune.yaml
    tenant acme
    ");
}

#[test]
fn in_a_git_work_tree_the_state_stays_out_of_git() {
    let env = Env::new();
    env.program("git", &["init", "-q"]).ok();
    env.write(".gitignore", "*.log");
    assert_snapshot!(env.run("init"), @"
    $ retune init
    added .retune/registry
    added .retune/store
    added retune.yaml
    added /.retune/ in .gitignore
    tenant default
    ");
    assert_eq!(
        std::fs::read_to_string(env.path(".gitignore")).unwrap(),
        "*.log\n/.retune/\n"
    );
    assert_snapshot!(env.program("git", &["status", "--short"]), @"
    $ git status --short
    ?? .gitignore
    ?? retune.yaml
    ");
    assert_snapshot!(env.run("init --format json"), @r#"
    $ retune init --format json
    {
      "dry_run": false,
      "parts": [
        {
          "new": false,
          "path": ".retune/registry"
        },
        {
          "new": false,
          "path": ".retune/store"
        },
        {
          "new": false,
          "path": "retune.yaml"
        },
        {
          "new": false,
          "path": ".gitignore"
        }
      ],
      "root": "[ENV]/project",
      "schema": "retune.init/1",
      "tenant": "default"
    }
    "#);
}

#[test]
fn a_git_repository_where_the_registry_belongs_is_refused() {
    let env = Env::new();
    env.program("git", &["init", "-q", "--bare", ".retune/registry"])
        .ok();
    assert_snapshot!(env.run("init"), @"
    $ retune init
    --- stderr
    error: [ENV]/project/.retune/registry is not a registry that this version can read: it has no refs/heads/main
    --- exit 2
    ");
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let env = Env::new();
    env.run("init").ok();
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut command = env.command(env!("CARGO_BIN_EXE_retune"));
    command.arg("status").stdout(full.unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("error: the answer could not be written: "),
        "{said}"
    );
}
