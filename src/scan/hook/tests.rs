#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use super::*;

const PROGRAM: &str = "/opt/retune/bin/retune";

fn changes(done: Vec<Installed>) -> Vec<Change> {
    done.into_iter().map(|done| done.change).collect()
}

#[test]
fn installing_twice_changes_nothing_and_uninstalling_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = Hooks::in_dir(&dir.path().join("hooks"));
    let program = Path::new(PROGRAM);
    assert_eq!(
        changes(hooks.install(program, true).unwrap()),
        [Change::Added; 2]
    );
    assert!(
        !dir.path().join("hooks").exists(),
        "a dry run writes nothing"
    );
    assert_eq!(
        changes(hooks.install(program, false).unwrap()),
        [Change::Added; 2]
    );
    assert_eq!(
        changes(hooks.install(program, false).unwrap()),
        [Change::Unchanged; 2]
    );
    let script = fs::read_to_string(dir.path().join("hooks/pre-push")).unwrap();
    assert!(script.contains("retune='/opt/retune/bin/retune'") && !script.contains("@RETUNE@"));
    assert_eq!(
        hooks.status(Path::new("/elsewhere/retune")).unwrap()[0].state,
        State::Outdated
    );
    assert_eq!(
        changes(
            hooks
                .install(Path::new("/elsewhere/retune"), false)
                .unwrap()
        ),
        [Change::Updated; 2]
    );
    assert_eq!(
        changes(hooks.uninstall(program, false).unwrap()),
        [Change::Removed; 2]
    );
    assert_eq!(fs::read_dir(dir.path().join("hooks")).unwrap().count(), 0);
}

#[test]
fn a_hook_of_somebody_else_is_kept_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = Hooks::in_dir(dir.path());
    let (hook, chained) = (
        dir.path().join("pre-commit"),
        dir.path().join("pre-commit.retune-chained"),
    );
    fs::write(&hook, "#!/bin/sh\necho mine\n").unwrap();
    assert_eq!(
        hooks.status(Path::new(PROGRAM)).unwrap()[0].state,
        State::Foreign
    );
    assert_eq!(
        changes(hooks.uninstall(Path::new(PROGRAM), false).unwrap()),
        [Change::Unchanged; 2]
    );
    let done = changes(hooks.install(Path::new(PROGRAM), false).unwrap());
    assert_eq!(done, [Change::Chained, Change::Added]);
    assert_eq!(
        fs::read_to_string(&chained).unwrap(),
        "#!/bin/sh\necho mine\n"
    );
    fs::write(&hook, "another tool wrote over ours").unwrap();
    assert!(matches!(
        hooks.install(Path::new(PROGRAM), false),
        Err(HookError::TwoForeign { .. })
    ));
    fs::copy(&chained, &hook).unwrap();
    hooks.install(Path::new(PROGRAM), false).unwrap();
    let done = changes(hooks.uninstall(Path::new(PROGRAM), false).unwrap());
    assert_eq!(done, [Change::Restored, Change::Removed]);
    assert_eq!(fs::read_to_string(&hook).unwrap(), "#!/bin/sh\necho mine\n");
    assert!(!chained.exists());
}

#[test]
fn a_path_that_would_break_the_script_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["/a'b/retune", "/a$(x)/retune", "/a\nb"] {
        let refused = Hooks::in_dir(dir.path()).install(Path::new(bad), false);
        assert!(matches!(refused, Err(HookError::Program(_))), "{bad}");
    }
}
