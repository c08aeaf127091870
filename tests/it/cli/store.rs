use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use insta::assert_snapshot;

use crate::support::Env;
use crate::support::project::Project;

#[test]
fn verify_names_what_changed_what_is_missing_and_what_does_not_belong() {
    let project = Project::new();
    let version = project.version("1");
    project.store.put_bytes(b"nobody names this").unwrap();
    assert_snapshot!(project.env.run("store verify"), @"
    $ retune store verify
    store sound: 7 objects, 527 B; 1 of them named by nobody
    ");
    let manifest = &version.manifest;
    let object = project.store.path_of(&manifest.adapter.files[0].sha256);
    fs::remove_file(&object).unwrap();
    fs::write(&object, b"2").unwrap();
    fs::remove_file(project.store.path_of(&manifest.base.files[0].sha256)).unwrap();
    fs::write(object.with_file_name("notes.txt"), b"hi").unwrap();
    assert_snapshot!(project.env.run("store verify"), @"
    $ retune store verify
    damaged [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b: hashes to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
    damaged [ENV]/project/.retune/store/objects/sha256/6b/notes.txt: the name is not a digest
    missing sha256:9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c: named by [ENV]/project/.retune/registry: tenants/default/models/support/versions/20261123-dd9f379a1d9f.json
    store 2 damaged, 1 missing: 5 objects, 519 B
    --- exit 14
    ");
}

#[test]
fn every_flipped_byte_is_found() {
    let project = Project::new();
    let bytes = b"every byte counts";
    let blob = project.store.put_bytes(bytes).unwrap();
    let path = project.store.path_of(&blob.digest);
    for index in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[index] ^= 1 << (index % 8);
        fs::remove_file(&path).unwrap();
        fs::write(&path, flipped).unwrap();
        let output = project.env.run("store verify --format json");
        assert_eq!(output.code, Some(14), "{output}");
        let fault = output.json()["faults"][0]["path"].to_string();
        assert!(fault.contains(&blob.digest.hex()[2..]), "{output}");
    }
}

#[test]
fn without_a_store_it_says_what_to_do() {
    let env = Env::new();
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    --- stderr
    error: [ENV]/project has no retune.yaml
      hint: run `retune init` first
    --- exit 2
    ");
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_build_without_buckets_says_so_and_does_the_rest() {
    let env = Env::new();
    env.run("init").ok();
    let remote = "version: 1\ntenant: default\nstore_remote: {url: s3://models/team}\n";
    env.write("retune.yaml", remote);
    env.run("store verify").ok();
    assert_snapshot!(env.run("store push"), @"
    $ retune store push
    --- stderr
    error: cannot reach s3://models/team: this build of retune was made without the feature s3
      hint: build it with the default features: cargo install --path .
    --- exit 2
    ");
}

/// Makes every object of a store nine days old.
fn age(store: &Path) {
    let then = SystemTime::now() - Duration::from_secs(9 * 24 * 3600);
    for shard in fs::read_dir(store.join("objects/sha256")).unwrap() {
        for object in fs::read_dir(shard.unwrap().path()).unwrap() {
            let file = File::open(object.unwrap().path()).unwrap();
            file.set_modified(then).unwrap();
        }
    }
}

#[test]
fn garbage_goes_into_the_trash_and_everything_recorded_stays() {
    let project = Project::new();
    let one = project.first("1");
    project.store.put_bytes(b"nobody names this").unwrap();
    assert_eq!(
        project.env.run("store gc plan --format json").json()["garbage"],
        serde_json::json!([])
    );
    age(project.store.root());
    assert_snapshot!(project.env.run("store gc plan"), @"
    $ retune store gc plan
    10 documents name 22 digests: 13 objects stay, 80.1 kB; 0 more are young
      sha256:3b8a66dd4d6fc69ca66fc6da60f697fbfaa1a7d813efc54944bd2f06f157e156 (17 B)
    a sweep would move 1 objects, 17 B, and remove 0 temporary files
    ");
    assert_snapshot!(project.env.run("store gc sweep"), @"
    $ retune store gc sweep
    10 documents name 22 digests: 13 objects stay, 80.1 kB; 0 more are young
      sha256:3b8a66dd4d6fc69ca66fc6da60f697fbfaa1a7d813efc54944bd2f06f157e156 (17 B)
    moved 1 objects, 17 B into trash/20261123T093000Z-27de5cf57506; removed 0 temporary files
    ");
    assert_snapshot!(project.env.run("store gc purge"), @"
    $ retune store gc purge
    removed 0 objects, 0 B; 1 wait in the trash; put 0 back
    ");
    assert_snapshot!(project.env.run("store verify"), @"
    $ retune store verify
    store sound: 13 objects, 80.1 kB
    ");
    // What production rests on is still there, down to the evidence.
    project.env.run("model verify").ok();
    project
        .env
        .run(&format!("model promote {one} --to canary"))
        .ok();
}

#[test]
fn a_shared_store_keeps_what_any_project_names() {
    let project = Project::new();
    let other = "version: 1\ntenant: default\nregistry: registry\nstore: ../.retune/store\n";
    let rows = "{\"text\": \"a\", \"label\": \"x\"}\n";
    project.env.write("other/rows.jsonl", rows);
    project.env.run("init --project other").ok();
    fs::rename(
        project.env.path("other/.retune/registry"),
        project.env.path("other/registry"),
    )
    .unwrap();
    fs::remove_dir_all(project.env.path("other/.retune")).unwrap();
    project.env.write("other/retune.yaml", other);
    project
        .env
        .run("dataset add tickets --train other/rows.jsonl --project other")
        .ok();
    age(project.store.root());
    let plan = project.env.run("store gc plan --format json").ok().json();
    assert_eq!(plan["garbage"], serde_json::json!([]), "{plan}");
    // A project whose registry cannot be read may name anything.
    fs::rename(
        project.env.path("other/registry"),
        project.env.path("other/gone"),
    )
    .unwrap();
    let member = project.env.run("store gc sweep").stderr;
    let member = member
        .split("projects/")
        .nth(1)
        .unwrap()
        .split(".json")
        .next()
        .unwrap()
        .to_owned();
    let output = project
        .env
        .run("store gc sweep")
        .to_string()
        .replace(&member, "[MEMBER]");
    assert_snapshot!(output, @"
    $ retune store gc sweep
    --- stderr
    error: cannot read what the project [ENV]/project/other needs; nothing was collected
      caused by: [ENV]/project/other/registry is not a git repository
      hint: mount or repair it, and try again
      hint: if the project is gone for good, and nobody needs its models: remove [ENV]/project/.retune/store/projects/[MEMBER].json
    --- exit 2
    ");
    // Forgotten by hand, its data is garbage.
    let members = project.store.root().join("projects");
    fs::remove_file(members.join(format!("{member}.json"))).unwrap();
    let plan = project.env.run("store gc plan --format json").ok().json();
    assert_eq!(plan["garbage"].as_array().unwrap().len(), 2, "{plan}");
}
