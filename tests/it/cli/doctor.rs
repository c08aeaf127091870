use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use insta::assert_snapshot;

use crate::support::Env;
use crate::support::project::Project;

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600 + 61);
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(then)
        .unwrap();
}

#[test]
fn what_killed_processes_left_is_named_and_mended() {
    let project = Project::new();
    let version = project.first("1");
    assert_snapshot!(project.env.run("doctor"), @"
    $ retune doctor
    nothing is wrong
    ");
    for (path, days) in [
        (".retune/registry/refs/heads/main.lock", 0),
        (".retune/store/tmp/.tmp-half", 2),
        (".retune/store/leases/at-work-x", 8),
    ] {
        age(&project.env.write(path, "half"), days);
    }
    let object = project
        .store
        .path_of(&version.manifest.adapter.files[0].sha256);
    let mut permissions = fs::metadata(&object).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    fs::set_permissions(&object, permissions).unwrap();
    assert_snapshot!(project.env.run("doctor"), @"
    $ retune doctor
    stale-lock [ENV]/project/.retune/registry/refs/heads/main.lock
      mend: retune doctor --fix
    half-written [ENV]/project/.retune/store/tmp/.tmp-half
      mend: retune doctor --fix
    dead-lease [ENV]/project/.retune/store/leases/at-work-x
      mend: retune doctor --fix
    writable-object [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
      mend: retune doctor --fix
    --- exit 1
    ");
    assert_snapshot!(project.env.run("doctor --fix"), @"
    $ retune doctor --fix
    mended stale-lock [ENV]/project/.retune/registry/refs/heads/main.lock
    mended half-written [ENV]/project/.retune/store/tmp/.tmp-half
    mended dead-lease [ENV]/project/.retune/store/leases/at-work-x
    mended writable-object [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
    ");
    assert_snapshot!(project.env.run("doctor"), @"
    $ retune doctor
    nothing is wrong
    ");
}

#[test]
fn what_is_lost_is_named_and_not_mended() {
    let project = Project::new();
    let version = project.first("1");
    fs::remove_file(
        project
            .store
            .path_of(&version.manifest.base.files[0].sha256),
    )
    .unwrap();
    assert_snapshot!(project.env.run("doctor --fix"), @"
    $ retune doctor --fix
    missing-object sha256:9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c: named by [ENV]/project/.retune/registry: tenants/default/models/support/versions/20261123-dd9f379a1d9f.json
      mend: fetch it from the bucket that retune.yaml names (retune store pull --all), or add the same file again (dataset add, base add, train)
    --- exit 14
    ");
}

#[test]
fn a_project_of_the_store_that_is_gone_is_named() {
    let project = Project::new();
    let member = "{\n  \"registry\": \"/nowhere/registry\",\n  \"root\": \"/nowhere\",\n  \"schema\": \"retune.store-member/1\"\n}\n";
    project
        .env
        .write(".retune/store/projects/0123456789ab.json", member);
    assert_snapshot!(project.env.run("doctor"), @"
    $ retune doctor
    lost-member [ENV]/project/.retune/store/projects/0123456789ab.json: /nowhere/registry is not a git repository
      mend: mount or repair that project; if it is gone for good, remove its file in the store's projects/
    --- exit 1
    ");
}

#[test]
fn a_repository_that_only_git_reads_needs_no_cure() {
    let env = Env::new();
    env.program("git", &["init", "-q", "--object-format=sha256"])
        .ok();
    env.run("init").ok();
    assert_snapshot!(env.run("doctor"), @"
    $ retune doctor
    foreign-format [ENV]/project: git repository [ENV]/project uses sha256 object names, which cannot be read here
      mend: nothing has to be done: hooks and scan use the git program here, which must be installed
    ");
}
