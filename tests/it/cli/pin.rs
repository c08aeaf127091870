use std::fs;

use insta::assert_snapshot;

use crate::support::project::Project;

#[test]
fn a_version_is_pinned_checked_and_listed() {
    let project = Project::new();
    let version = project.version("one");
    assert_snapshot!(project.env.run("pin check"), @"
    $ retune pin check
    0 pins: in order
    ");
    assert_snapshot!(project.env.run(&format!("pin add {version} --dry-run")), @"
    $ retune pin add support@20261123-d4bee2f0a230 --dry-run
    support pinned to default/support@20261123-d4bee2f0a230
    dry run: nothing was written
    ");
    assert_snapshot!(project.env.run(&format!("pin add {version}")), @"
    $ retune pin add support@20261123-d4bee2f0a230
    support pinned to default/support@20261123-d4bee2f0a230
    ");
    assert_snapshot!(project.env.run(&format!("pin add {version}")), @"
    $ retune pin add support@20261123-d4bee2f0a230
    support stays at default/support@20261123-d4bee2f0a230
    ");
    assert_snapshot!(project.env.run("pin list"), @"
    $ retune pin list
    PIN      ASKED                                  LOCKED
    support  default/support@20261123-d4bee2f0a230  20261123-d4bee2f0a230
    ");
    assert_snapshot!(project.env.run("pin check --locked"), @"
    $ retune pin check --locked
    1 pin: in order
    ");
    assert_snapshot!(project.env.run("pin check --format json"), @r#"
    $ retune pin check --format json
    {
      "damaged": false,
      "pins": 1,
      "problems": [],
      "schema": "retune.pin-check/1"
    }
    "#);
    let read = |name: &str| fs::read_to_string(project.env.path(name)).unwrap();
    assert_snapshot!(read("retune.yaml"), @r#"
    # What this repository asks of retune. Commit it; .retune/ stays out of git.
    version: 1
    # Whose datasets, runs and models these are.
    tenant: default

    # Where the registry and the store are; these are the defaults.
    # registry: .retune/registry
    # store: .retune/store

    # The clone of the registry that `retune sync` keeps this one in step with: a directory, ssh:// or https://.
    # remote: ssh://git@example.org/team/registry.git

    # The bucket that `retune store push` and `retune store pull` exchange the store's objects with. Credentials come from
    # the environment (AWS_ACCESS_KEY_ID, …), never from this file.
    # store_remote:
    #   url: s3://team-models/retune
    #   endpoint: https://s3.example.org   # AWS, if not given
    #   region: eu-central-1

    # Which gate policy decides about a model, where it is not gate.yaml.
    # gates:
    #   support: gates/support.yaml

    # Versions that this repository uses. `retune pin update` writes what they are into retune.lock.
    # pins:
    #   support: {model: support, alias: production}

    # What `retune scan` leaves out.
    # scan:
    #   exclude: [vendor/**]
    pins:
      support:
        model: support
        version: "20261123-d4bee2f0a230"
    "#);
    assert_snapshot!(read("retune.lock"), @"
    # Written by `retune pin`. Commit it; do not edit it.
    schema: retune.lock/1
    pins:
      support:
        asked:
          model: default/support
          version: 20261123-d4bee2f0a230
        locked:
          version: 20261123-d4bee2f0a230
          manifest: sha256:d4bee2f0a230992687b5e762e92ac6b9db7bc8c650b3c9f68ecde8045435e4ba
          registry: .retune/registry
          base:
            source: sentence-transformers/all-MiniLM-L6-v2
            tree: sha256:ec311b938f298aa11b172ffc6051c8d9db01b49a25219568d1ab443574e59dc2
          files:
          - path: weights.bin
            size: 3
            sha256: sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed
    ");
}

#[test]
fn what_can_move_is_not_pinned() {
    let project = Project::new();
    project.version("one");
    assert_snapshot!(project.env.run("pin add support:production"), @"
    $ retune pin add support:production
    --- stderr
    error: support:production can point to another version tomorrow; a pin names one version
    --- exit 2
    ");
    assert_snapshot!(project.env.run("pin add support@20261101-77ab"), @"
    $ retune pin add support@20261101-77ab
    --- stderr
    error: there is no version support@20261101-77ab (there is 20261123-d4bee2f0a230)
    --- exit 2
    ");
    assert_snapshot!(project.env.run("pin update other"), @"
    $ retune pin update other
    --- stderr
    error: there is no pin other; there is none
    --- exit 2
    ");
}

#[test]
fn a_stale_a_missing_and_an_edited_lock_are_told_apart() {
    let project = Project::new();
    let (one, two) = (project.version("one"), project.version("two"));
    project.env.run(&format!("pin add {one}")).ok();
    let lock = fs::read_to_string(project.env.path("retune.lock")).unwrap();

    let asked = fs::read_to_string(project.env.path("retune.yaml")).unwrap();
    let asks_two = asked.replace(one.label.as_str(), two.label.as_str());
    project.env.write("retune.yaml", &asks_two);
    assert_snapshot!(project.env.run("pin check --frozen"), @"
    $ retune pin check --frozen
    support: retune.yaml asks for default/support@20261123-90f825a8f4af, the lock was made for default/support@20261123-d4bee2f0a230
    1 pin: 1 wrong
    choose the versions anew: retune pin update (look first: retune pin update --dry-run)
    --- exit 10
    ");
    assert_snapshot!(project.env.run("pin update"), @"
    $ retune pin update
    support pinned to default/support@20261123-90f825a8f4af; before 20261123-d4bee2f0a230
    ");
    project.env.run("pin check").ok();

    let other_bytes = lock.replace(
        &format!("manifest: {}", one.id),
        &format!("manifest: {}", two.id),
    );
    project.env.write("retune.yaml", &asked);
    project.env.write("retune.lock", other_bytes);
    project.env.run("pin check --frozen").ok();
    assert_snapshot!(project.env.run("pin check"), @"
    $ retune pin check
    support: version 20261123-d4bee2f0a230 in the registry is not the one that was locked
    1 pin: 1 wrong
    lock or registry was changed: compare retune.lock with its last commit, run retune model verify
    --- exit 14
    ");

    project
        .env
        .write("retune.lock", format!("{lock}# a remark\n"));
    assert_snapshot!(project.env.run("pin check"), @"
    $ retune pin check
    --- stderr
    error: [ENV]/project/retune.lock is not a lock that this version can read: it was edited by hand
      hint: take it from the last commit, or delete it, and run `retune pin update`
    --- exit 2
    ");
    fs::remove_file(project.env.path("retune.lock")).unwrap();
    assert_snapshot!(project.env.run("pin check"), @"
    $ retune pin check
    there is no retune.lock: nothing is pinned
    1 pin: 1 wrong
    choose the versions anew: retune pin update (look first: retune pin update --dry-run)
    --- exit 10
    ");
}

#[test]
fn a_lock_in_conflict_is_chosen_anew() {
    let project = Project::new();
    let (one, two) = (project.version("one"), project.version("two"));
    project.env.run(&format!("pin add {two}")).ok();
    let theirs = fs::read_to_string(project.env.path("retune.lock")).unwrap();
    project.env.run(&format!("pin add {one}")).ok();
    let ours = fs::read_to_string(project.env.path("retune.lock")).unwrap();
    let start = ours.find("    asked:").unwrap();
    let text = format!(
        "{}<<<<<<< HEAD\n{}=======\n{}>>>>>>> theirs\n",
        &ours[..start],
        &ours[start..],
        &theirs[start..]
    );
    project.env.write("retune.lock", text);
    assert_snapshot!(project.env.run("pin check"), @"
    $ retune pin check
    retune.lock holds the conflict markers of a merge
    1 pin: 1 wrong
    choose the versions anew: retune pin update (look first: retune pin update --dry-run)
    --- exit 10
    ");
    assert_snapshot!(project.env.run(&format!("pin add {one}")), @"
    $ retune pin add support@20261123-d4bee2f0a230
    --- stderr
    error: [ENV]/project/retune.lock holds the conflict markers of a merge
      hint: choose the versions anew: retune pin update
    --- exit 10
    ");
    assert_snapshot!(project.env.run("pin update"), @"
    $ retune pin update
    support pinned to default/support@20261123-d4bee2f0a230
    ");
    assert_eq!(
        fs::read_to_string(project.env.path("retune.lock")).unwrap(),
        ours
    );
}

#[test]
fn an_alias_is_followed_only_when_asked() {
    let project = Project::new();
    let one = project.first("1");
    assert_snapshot!(project.env.run("pin add support:production"), @"
    $ retune pin add support:production
    --- stderr
    error: support:production can point to another version tomorrow; a pin names one version
      hint: pin what it is now: retune pin add support@20261123-dd9f379a1d9f --alias production
    --- exit 2
    ");
    assert_snapshot!(project.env.run(&format!("pin add {one} --alias canary")), @"
    $ retune pin add support@20261123-dd9f379a1d9f --alias canary
    --- stderr
    error: there is no alias support:canary (there is production)
    --- exit 2
    ");
    assert_snapshot!(project.env.run(&format!("pin add {one} --alias production")), @"
    $ retune pin add support@20261123-dd9f379a1d9f --alias production
    support pinned to default/support@20261123-dd9f379a1d9f
    ");

    let two = project.version("2");
    project.judge(&two, Some(&one), [0..1, 0..1]);
    project
        .env
        .run(&format!("model promote {two} --to production"))
        .ok();
    project.env.run("pin check").ok();
    assert_snapshot!(project.env.run("pin check --locked"), @"
    $ retune pin check --locked
    support: locked to 20261123-dd9f379a1d9f, the alias points to 20261123-2f14da051d69 now
    1 pin: 1 wrong
    choose the versions anew: retune pin update (look first: retune pin update --dry-run)
    --- exit 10
    ");
    assert_snapshot!(project.env.run("pin update --dry-run"), @"
    $ retune pin update --dry-run
    support pinned to default/support@20261123-2f14da051d69; before 20261123-dd9f379a1d9f
    dry run: nothing was written
    ");
    project.env.run("pin update support").ok();
    assert_snapshot!(project.env.run("pin list"), @"
    $ retune pin list
    PIN      ASKED                       LOCKED
    support  default/support:production  20261123-2f14da051d69
    ");
    project.env.run("pin check --locked").ok();
}
