//! The store's objects in a bucket of a real server, and of servers that do not behave.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use retune::digest::Digest;
use serde_json::{Value, json};

use crate::support::endpoint::{Endpoint, Reply};
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::{Env, Output};
use crate::sync::hub;

const KEY: &str = "AKIAOFTHETEST7";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";
const TOKEN: &str = "FwoGZXIvYXdzEBYaDtoken";

fn credentials() -> [(&'static str, String); 3] {
    [
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_SESSION_TOKEN", TOKEN.to_owned()),
    ]
}

/// Runs `retune` with credentials, and insists that it tells none of them.
#[track_caller]
fn run(env: &Env, line: &str) -> Output {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = env.run_with(&words, &credentials());
    for secret in [KEY, SECRET, TOKEN] {
        assert!(!output.to_string().contains(secret), "{output}");
    }
    output
}

/// Names a bucket in the project file.
fn remote(env: &Env, endpoint: &str, bucket: &str) {
    let path = env.path("retune.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (own, _) = text.split_once("\nstore_remote:").unwrap_or((&text, ""));
    let remote = format!("url: s3://{bucket}/team\n  endpoint: {endpoint}");
    std::fs::write(&path, format!("{own}\nstore_remote:\n  {remote}\n")).unwrap();
}

/// A project of the same tenant with the same decisions and an empty store.
fn newcomer(project: &Project) -> Project {
    let hub = hub(project).display().to_string();
    project.env.run(&format!("sync {hub}")).ok();
    let other = Project::new();
    other.env.run(&format!("sync {hub}")).ok();
    other
}

fn team(bucket: &str) -> Option<(Arc<Moto>, Project)> {
    let moto = Moto::start()?;
    moto.bucket(bucket);
    let project = Project::new();
    remote(&project.env, &moto.url(), bucket);
    Some((moto, project))
}

/// The key of an object in the bucket.
fn key(bucket: &str, digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{bucket}/team/objects/sha256/{}/{}", &hex[..2], &hex[2..])
}

#[test]
fn a_bucket_carries_versions_into_empty_stores() {
    let Some((moto, ana)) = team("carries") else {
        return;
    };
    let version = ana.first("1");
    ana.store.put_bytes(b"nobody names this").unwrap();
    assert_snapshot!(run(&ana.env, "store push --dry-run"), @"
    $ retune store push --dry-run
    would push 13 objects, 80.1 kB to s3://carries/team; 0 were there already
    ");
    assert_eq!(moto.keys("carries"), [""; 0]);
    assert_snapshot!(run(&ana.env, "store push"), @"
    $ retune store push
    pushed 13 objects, 80.1 kB to s3://carries/team; 0 were there already
    ");
    assert_snapshot!(run(&ana.env, "store push"), @"
    $ retune store push
    pushed 0 objects, 0 B to s3://carries/team; 13 were there already
    ");
    assert_snapshot!(run(&ana.env, "store verify --remote"), @"
    $ retune store verify --remote
    s3://carries/team sound: 13 objects, 80.1 kB
    ");
    let keys = moto.keys("carries");
    assert_eq!(keys[0], "team/format");
    assert_eq!(moto.get("carries/team/format"), b"retune-store 1\n");
    let unnamed = Digest::of(b"nobody names this").hex();
    assert!(!keys.iter().any(|key| key.ends_with(&unnamed[2..])));

    let ben = newcomer(&ana);
    let export = "model export support:production --to out";
    assert_eq!(run(&ben.env, export).code, Some(14));
    remote(&ben.env, &moto.url(), "carries");
    assert_snapshot!(run(&ben.env, export), @"
    $ retune model export support:production --to out
    --- stderr
    error: the files of support@20261123-dd9f379a1d9f are not all in the store, unchanged
      caused by: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b is not in the store [ENV]/project/.retune/store
      hint: what is not here may be in s3://carries/team: retune store pull --all, or with the names of what you need
    --- exit 14
    ");
    assert_snapshot!(run(&ben.env, "store pull"), @"
    $ retune store pull
    --- stderr
    error: retune.lock pins nothing, so there is nothing to fetch
      hint: say what you need: retune store pull MODEL:ALIAS, or --all
    --- exit 2
    ");
    let would = run(
        &ben.env,
        "store pull support:production --dry-run --format json",
    )
    .ok();
    assert!(
        !ben.store
            .contains(&version.manifest.adapter.files[0].sha256)
    );
    let did = run(&ben.env, "store pull support:production --format json").ok();
    assert_eq!(would.json()["moved"], did.json()["moved"]);
    assert_snapshot!(run(&ben.env, "store pull support:production"), @"
    $ retune store pull support:production
    pulled 0 objects, 0 B from s3://carries/team; 13 were here already
    ");
    run(&ben.env, export).ok();
    run(&ben.env, "model promote support:production --to canary").ok();
    run(&ben.env, "store verify").ok();
    run(&ben.env, "model verify").ok();
}

#[test]
fn pins_bring_what_is_served_and_no_data() {
    let Some((moto, ana)) = team("served") else {
        return;
    };
    let version = ana.first("1");
    run(&ana.env, "store push support:production").ok();
    let server = newcomer(&ana);
    remote(&server.env, &moto.url(), "served");
    server.env.run(&format!("pin add {version}")).ok();
    assert_snapshot!(run(&server.env, "store pull"), @"
    $ retune store pull
    pulled 4 objects, 194 B from s3://served/team; 0 were here already
    ");
    let manifest = &version.manifest;
    for file in manifest.adapter.files.iter().chain(&manifest.base.files) {
        assert!(server.store.contains(&file.sha256));
    }
    assert_eq!(server.store.verify().unwrap().sound, 4);
    run(&server.env, "model export support:production --to out").ok();
}

#[test]
fn what_changed_in_a_bucket_is_named_and_leaves_nothing() {
    let Some((moto, ana)) = team("changed") else {
        return;
    };
    let version = ana.first("1");
    run(&ana.env, "store push").ok();
    let ben = newcomer(&ana);
    remote(&ben.env, &moto.url(), "changed");
    let adapter = version.manifest.adapter.files[0].sha256;
    let at = key("changed", &adapter);

    moto.put(&at, b"2");
    assert_snapshot!(run(&ben.env, "store pull support:production"), @"
    $ retune store pull support:production
    --- stderr
    error: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b of s3://changed/team is damaged: its bytes hash to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35; nothing of it was kept
      hint: somebody changed the bucket past retune: remove the object there, and push it from where it is sound
    --- exit 14
    ");
    assert!(!ben.store.contains(&adapter) && !ben.store.contains(&Digest::of(b"2")));
    let tmp = ben.env.path(".retune/store/tmp");
    assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);

    moto.put(&at, b"longer");
    for line in [
        "store pull support:production",
        "store push support:production",
    ] {
        let env = if line.contains("push") {
            &ana.env
        } else {
            &ben.env
        };
        let refused = run(env, line);
        assert_eq!(refused.code, Some(14), "{refused}");
        assert!(
            refused.stderr.contains("it has 6 bytes, not 1"),
            "{refused}"
        );
        assert!(refused.stderr.contains(&adapter.hex()), "{refused}");
    }
    assert_snapshot!(run(&ana.env, "store verify --remote"), @"
    $ retune store verify --remote
    damaged sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b: it has 6 bytes, not 1
    s3://changed/team 1 damaged, 0 missing: 12 objects, 80.1 kB
    --- exit 14
    ");
    assert_eq!(moto.get(&at), b"longer");

    moto.delete(&at);
    let ben = newcomer(&ana);
    remote(&ben.env, &moto.url(), "changed");
    assert_snapshot!(run(&ben.env, "store pull --all"), @"
    $ retune store pull --all
    missing sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b: neither here nor there; named by tenants/default/models/support/versions/20261123-dd9f379a1d9f.json
    pulled 12 objects, 80.1 kB from s3://changed/team; 0 were here already
    --- stderr
    hint: whoever has these files sends them from their project: retune store push
    --- exit 14
    ");
    assert_snapshot!(run(&ben.env, "store push"), @"
    $ retune store push
    missing sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b: neither here nor there; named by tenants/default/models/support/versions/20261123-dd9f379a1d9f.json
    pushed 0 objects, 0 B to s3://changed/team; 12 were there already
    --- exit 14
    ");
    assert_snapshot!(run(&ana.env, "store verify --remote"), @"
    $ retune store verify --remote
    missing sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b: named by tenants/default/models/support/versions/20261123-dd9f379a1d9f.json
    s3://changed/team 0 damaged, 1 missing: 12 objects, 80.1 kB
    --- exit 14
    ");
    assert_snapshot!(run(&ana.env, "store push"), @"
    $ retune store push
    pushed 1 objects, 1 B to s3://changed/team; 12 were there already
    ");
    run(&ben.env, "store pull --all").ok();
    run(&ben.env, "model verify").ok();
}

/// Passes bytes on to a server until there were enough of them; then nothing moves any more.
struct Strait {
    port: u16,
    left: Arc<AtomicI64>,
}

impl Strait {
    fn new(to: u16, bytes: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicI64::new(bytes));
        let shared = Arc::clone(&left);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                thread::spawn(move || pass(client, server, &shared));
                thread::spawn(move || pass(back, forth, &AtomicI64::new(i64::MAX)));
            }
        });
        Self { port, left }
    }

    fn is_closed(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: &AtomicI64) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
    {
        if left.fetch_sub(count as i64, Ordering::SeqCst) < count as i64 {
            thread::sleep(Duration::from_secs(3600));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

#[test]
fn a_push_that_is_killed_goes_on() {
    let Some((moto, ana)) = team("killed") else {
        return;
    };
    ana.first("1");
    // More than two parts.
    let rows: String = (0..170_000)
        .map(|n| format!("{{\"text\": \"a row with some text in it, number {n:06} of a great many of them, all alike in length and different\"}}\n"))
        .collect();
    ana.env.write("large.jsonl", rows);
    ana.env.run("dataset add large --train large.jsonl").ok();
    let strait = Strait::new(moto.port(), 14 << 20);
    remote(
        &ana.env,
        &format!("http://127.0.0.1:{}", strait.port),
        "killed",
    );
    let mut push = ana.env.command(env!("CARGO_BIN_EXE_retune"));
    let push = push.args(["store", "push"]).envs(credentials());
    let mut push = push.stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !strait.is_closed() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "too little was sent"
        );
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(300));
    push.kill().unwrap();
    push.wait().unwrap();
    let before: BTreeSet<String> = moto.keys("killed").into_iter().collect();
    assert_eq!(moto.unfinished("killed"), 1);

    remote(&ana.env, &moto.url(), "killed");
    let again = run(&ana.env, "store push --format json").ok().json();
    let sent = again["moved"].as_array().unwrap();
    assert!(!sent.is_empty(), "{again}");
    for object in sent {
        let digest: Digest = object["digest"].as_str().unwrap().parse().unwrap();
        let key = key("killed", &digest);
        assert!(
            !before.contains(key.strip_prefix("killed/").unwrap()),
            "{key} was sent twice"
        );
    }
    run(&ana.env, "store verify --remote").ok();
    let ben = newcomer(&ana);
    remote(&ben.env, &moto.url(), "killed");
    run(&ben.env, "store pull large").ok();
    run(&ben.env, "dataset verify large").ok();
}

/// What a server says that refuses, with what it should not repeat.
fn forbidden(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>The key {KEY} is not known, nor {SECRET}</Message>\
         <AWSAccessKeyId>{KEY}</AWSAccessKeyId><StringToSign>{TOKEN}</StringToSign></Error>"
    )
}

const NO_SUCH_KEY: &str = "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>";

#[test]
fn a_server_that_overwrites_is_refused() {
    let project = Project::new();
    project.version("1");
    let server = Endpoint::new(|call| match call.number {
        0 => Reply::status(404, NO_SUCH_KEY),
        // Whatever is put, however often: done.
        _ => Reply {
            headers: vec!["etag: \"x\"".to_owned()],
            ..Reply::status(200, "")
        },
    });
    remote(&project.env, &server.url(), "models");
    assert_snapshot!(run(&project.env, "store push"), @"
    $ retune store push
    --- stderr
    error: s3://models/team is on a server that overwrites what is there although it was asked not to (If-None-Match): two who push at once could destroy each other's objects
      hint: use a server that honours conditional writes, such as AWS S3, or a newer version of this one
    --- exit 2
    ");
    let paths: Vec<String> = server.seen().into_iter().map(|call| call.path).collect();
    let format = "/v1/models/team/format";
    assert_eq!(paths[..3], [format; 3], "{paths:?}");
    assert!(
        !paths.iter().any(|path| path.contains("objects/")),
        "{paths:?}"
    );
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_told_without_secrets() {
    let project = Project::new();
    project.version("1");
    let env = &project.env;
    let server = Endpoint::new(|_| Reply::status(403, forbidden("InvalidAccessKeyId")));
    remote(env, &server.url(), "models");
    assert_snapshot!(run(env, "store push").to_string().replace(&server.url(), "[SERVER]"), @"
    $ retune store push
    --- stderr
    error: cannot read the format of s3://models/team at [SERVER]: access is denied: InvalidAccessKeyId: The key […] is not known, nor […]
      hint: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and at what they may do: s3:ListBucket, s3:GetObject and, to push, s3:PutObject and s3:AbortMultipartUpload
    --- exit 1
    ");
    let failed = run(env, "store pull --all --format json");
    assert_eq!(failed.code, Some(1), "{failed}");
    let error: Value = serde_json::from_str(&failed.stderr).unwrap();
    assert_eq!(
        (&error["kind"], &error["exit"]),
        (&json!("failed"), &json!(1))
    );

    server.now(|_| Reply::status(404, "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"));
    assert_snapshot!(run(env, "store push").to_string().replace(&server.url(), "[SERVER]"), @"
    $ retune store push
    --- stderr
    error: cannot read the format of s3://models/team at [SERVER]: NoSuchBucket: The specified bucket does not exist
      hint: look at `store_remote` in retune.yaml: url, endpoint and region; trying again may help
    --- exit 1
    ");
    server.now(|_| Reply::status(404, NO_SUCH_KEY));
    assert_snapshot!(run(env, "store pull --all"), @"
    $ retune store pull --all
    --- stderr
    error: s3://models/team holds no store: nothing was ever pushed to it
      hint: look at its url in retune.yaml, or push first, where the objects are: retune store push
    --- exit 1
    ");
    for format in ["retune-store 2\n", &"x".repeat(1 << 20)] {
        let format = format.to_owned();
        server.now(move |_| Reply {
            headers: vec![
                "etag: \"x\"".to_owned(),
                "last-modified: Mon, 23 Nov 2026 09:30:00 GMT".to_owned(),
            ],
            ..Reply::status(200, format.clone())
        });
        for line in ["store push", "store pull --all", "store verify --remote"] {
            let refused = run(env, line);
            assert_eq!(refused.code, Some(14), "{refused}");
            let told = refused
                .stderr
                .contains("is not a store that this version can read");
            assert!(told && refused.stderr.len() < 500, "{refused}");
        }
    }

    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nowhere = format!("http://127.0.0.1:{port}");
    remote(env, &nowhere, "models");
    assert_snapshot!(run(env, "store push").to_string().replace(&nowhere, "[SERVER]"), @"
    $ retune store push
    --- stderr
    error: cannot read the format of s3://models/team at [SERVER]: Connection refused (os error 111)
      hint: look at `store_remote` in retune.yaml: url, endpoint and region; trying again may help
    --- exit 1
    ");
}

#[test]
fn what_is_configured_is_checked_before_anything_is_sent() {
    let env = Env::new();
    env.run("init").ok();
    assert_snapshot!(run(&env, "store push"), @"
    $ retune store push
    --- stderr
    error: retune.yaml names no `store_remote`
      hint: write into it: store_remote: {url: s3://BUCKET/PREFIX}; without an `endpoint`, it is on AWS
    --- exit 2
    ");
    assert_snapshot!(run(&env, "store pull"), @"
    $ retune store pull
    --- stderr
    error: retune.lock pins nothing, so there is nothing to fetch
      hint: say what you need: retune store pull MODEL:ALIAS, or --all
    --- exit 2
    ");
    remote(&env, "http://127.0.0.1:9", "models");
    assert_snapshot!(env.run("store push"), @"
    $ retune store push
    --- stderr
    error: cannot reach s3://models/team: the environment holds no credentials for it
      hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; on a machine of AWS that has a role, set AWS_METADATA_ENDPOINT=http://169.254.169.254
    --- exit 2
    ");
    let half = [("AWS_ACCESS_KEY_ID", KEY.to_owned())];
    let output = env.run_with(&["store", "push"], &half);
    assert_eq!(output.code, Some(2), "{output}");
    assert!(!output.stderr.contains(KEY), "{output}");
    for (yaml, why) in [
        ("url: s3://ana:hunter2@models/x", "store_remote.url"),
        (
            "url: s3://models/x, endpoint: \"https://ana:hunter2@example.org\"",
            "store_remote.endpoint",
        ),
        (
            "url: s3://models/x, endpoint: \"http://s3.example.org\"",
            "allow_http: true",
        ),
        (
            "url: s3://models/x, secret_access_key: hunter2",
            "unknown key",
        ),
    ] {
        env.write(
            "retune.yaml",
            format!("version: 1\ntenant: default\nstore_remote: {{{yaml}}}\n"),
        );
        let output = run(&env, "store push");
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains(why), "{output}");
        assert!(!output.stderr.contains("hunter2"), "{output}");
    }
}

#[test]
fn a_tenant_exchanges_its_own_objects_only() {
    let Some((moto, ana)) = team("tenants") else {
        return;
    };
    let version = ana.first("1");
    let env = &ana.env;
    env.run("init --tenant globex").ok();
    let other =
        "version: 1\ntenant: globex\nregistry: ../.retune/registry\nstore: ../.retune/store\n";
    env.write("other/retune.yaml", other);
    remote_of(env, "other", &moto.url(), "tenants");
    env.write("globex.jsonl", "{\"text\": \"theirs\", \"label\": \"x\"}\n");
    env.run("dataset add theirs --train globex.jsonl --project other")
        .ok();
    run(env, "store push --project other").ok();
    let theirs = moto.keys("tenants");
    let ours = version.manifest.adapter.files[0].sha256.hex();
    assert!(theirs.len() > 1, "{theirs:?}");
    assert!(
        !theirs.iter().any(|key| key.ends_with(&ours[2..])),
        "{theirs:?}"
    );
    run(env, "store push").ok();
    let refused = run(
        env,
        &format!("store pull default/{version} --project other"),
    );
    assert_eq!(refused.code, Some(14), "{refused}");
    assert!(
        refused.stderr.contains("belongs to tenant default"),
        "{refused}"
    );
    let pulled = run(env, "store pull --all --project other --format json")
        .ok()
        .json();
    assert_eq!(pulled["moved"], json!([]));
}

fn remote_of(env: &Env, dir: &str, endpoint: &str, bucket: &str) {
    let path = Path::new(dir).join("retune.yaml");
    let text = std::fs::read_to_string(env.path(path.to_str().unwrap())).unwrap();
    let remote = format!("store_remote: {{url: s3://{bucket}/team, endpoint: \"{endpoint}\"}}\n");
    env.write(path.to_str().unwrap(), format!("{text}{remote}"));
}
