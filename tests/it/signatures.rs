//! Aliases whose moves are signed, with keys of `ssh-keygen`: what counts, and that nothing else does, wherever it comes from.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use insta::assert_snapshot;
use retune::digest::Digest;
use retune::document::canonical;
use retune::registry::Version;
use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::project::Project;
use crate::support::{Env, Output};
use crate::sync::hostile::plant;
use crate::sync::{hub, production};

/// Whether `ssh-keygen` is there; without it nothing is tested, which is an error where `CI` is set.
#[allow(clippy::print_stderr)]
fn has_ssh_keygen() -> bool {
    let found = Command::new("ssh-keygen").arg("-?").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "ssh-keygen is missing"
    );
    if !found {
        eprintln!("skipped: ssh-keygen is missing");
    }
    found
}

/// Somebody with a key.
struct Person {
    name: &'static str,
    key: PathBuf,
}

impl Person {
    fn new(env: &Env, name: &'static str) -> Self {
        let dir = env.root().with_file_name("keys");
        fs::create_dir_all(&dir).unwrap();
        let key = dir.join(name);
        let path = key.to_str().unwrap();
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path];
        env.program("ssh-keygen", &args).ok();
        Self { name, key }
    }

    fn public(&self) -> String {
        let text = fs::read_to_string(self.key.with_extension("pub")).unwrap();
        text.trim().to_owned()
    }

    fn email(&self) -> String {
        format!("{}@example.org", self.name)
    }

    /// A line of `allowed_signers`.
    fn line(&self) -> String {
        format!("{} {}\n", self.email(), self.public())
    }

    fn actor(&self) -> (&'static str, String) {
        ("RETUNE_ACTOR", format!("{} <{}>", self.name, self.email()))
    }

    fn run(&self, env: &Env, args: &str) -> Output {
        let key = ("RETUNE_SIGNING_KEY", self.key.display().to_string());
        let words: Vec<&str> = args.split_whitespace().collect();
        env.run_with(&words, &[self.actor(), key])
    }

    /// The same with another key, or none.
    fn run_with(&self, env: &Env, args: &str, key: Option<&Self>) -> Output {
        let key = key.map(|of| ("RETUNE_SIGNING_KEY", of.key.display().to_string()));
        let words: Vec<&str> = args.split_whitespace().collect();
        let variables: Vec<_> = [self.actor()].into_iter().chain(key).collect();
        env.run_with(&words, &variables)
    }

    fn fingerprint(&self, env: &Env) -> String {
        let path = self.key.to_str().unwrap();
        let listed = env.program("ssh-keygen", &["-l", "-f", path]).ok().stdout;
        listed.split(' ').nth(1).unwrap().to_owned()
    }
}

/// A project with version 1 in production, whose next moves ana and ben sign.
struct Guarded {
    project: Project,
    ana: Person,
    ben: Person,
    eve: Person,
    one: Version,
}

impl Guarded {
    fn new() -> Self {
        let project = Project::new();
        let one = project.first("1");
        let person = |name| Person::new(&project.env, name);
        let (ana, ben, eve) = (person("ana"), person("ben"), person("eve"));
        project
            .env
            .write("allowed_signers", ana.line() + &ben.line());
        let protect = "model protect support:production --signers allowed_signers";
        ana.run(&project.env, protect).ok();
        Self {
            project,
            ana,
            ben,
            eve,
            one,
        }
    }

    fn env(&self) -> &Env {
        &self.project.env
    }

    /// Another version that may be promoted.
    fn judged(&self, text: &str) -> Version {
        let version = self.project.version(text);
        self.project.judge(&version, Some(&self.one), [0..1, 0..1]);
        version
    }

    fn head(&self) -> String {
        git(self.env(), &["rev-parse", "main"])
    }
}

fn registry(env: &Env) -> String {
    env.path(".retune/registry").display().to_string()
}

fn git(env: &Env, args: &[&str]) -> String {
    git_in(env, &registry(env), args)
}

fn git_in(env: &Env, dir: &str, args: &[&str]) -> String {
    let all = [&["--git-dir", dir], args].concat();
    env.program("git", &all).ok().stdout.trim().to_owned()
}

/// The newest event of production in a repository: its path and its document.
fn last_event(env: &Env, dir: &str) -> (String, Value) {
    let list = git_in(env, dir, &["ls-tree", "-r", "--name-only", "main"]);
    let events = list.lines().filter(|path| path.contains("/events/"));
    let read = |path: &str| -> Value {
        let text = git_in(env, dir, &["show", &format!("main:{path}")]);
        serde_json::from_str(&text).unwrap()
    };
    let all = events.map(|path| (path.to_owned(), read(path)));
    all.max_by_key(|(_, event)| event["seq"].as_u64()).unwrap()
}

fn encode(document: &Value) -> Vec<u8> {
    let mut map: BTreeMap<String, Value> = serde_json::from_value(document.clone()).unwrap();
    let schema = map.remove("schema").unwrap();
    canonical::encode(schema.as_str().unwrap(), &map).unwrap()
}

/// A rollback to where the alias was first, that follows the newest event; without a signature.
fn forged(env: &Env, dir: &str, by: &Person) -> Value {
    let (_, last) = last_event(env, dir);
    let id = Digest::of(&encode(&last));
    let mut event = last.clone();
    let map = event.as_object_mut().unwrap();
    for key in ["signature", "evidence", "waiver", "reason", "settles"] {
        map.remove(key);
    }
    event["kind"] = json!("rollback");
    event["seq"] = json!(last["seq"].as_u64().unwrap() + 1);
    event["prev"] = json!(id.to_string());
    event["from"] = last["to"].clone();
    event["to"] = last["from"].clone();
    event["actor"] = json!(format!("{} <{}>", by.name, by.email()));
    event
}

/// Writes an event and its pointer into a repository, as somebody who may write there can.
fn forge(env: &Env, dir: &str, event: &Value) {
    let bytes = encode(event);
    let id = Digest::of(&bytes);
    let (path, _) = last_event(env, dir);
    let (stem, _) = path.rsplit_once('-').unwrap();
    let path = format!("{stem}-{}.json", &id.hex()[..16]);
    plant(env, dir, &path, Some(("100644", &bytes)));
    let (to, seq) = (&event["to"], &event["seq"]);
    let pointer = format!(
        "# Moved by `retune model promote` and `retune model rollback`; an edit by hand is refused.\n\
         schema: retune.alias/1\nversion: {}\nmanifest: {}\nseq: {seq}\nevent: {id}\n",
        to["version"].as_str().unwrap(),
        to["manifest"].as_str().unwrap()
    );
    let path = "tenants/default/models/support/aliases/production.yaml";
    plant(env, dir, path, Some(("100644", pointer.as_bytes())));
}

/// A signature over an event, armoured, by `ssh-keygen` itself.
fn sign(env: &Env, by: &Person, namespace: &str, event: &Value) -> Value {
    let file = env.write("to-sign", encode(event));
    let (key, file) = (by.key.to_str().unwrap(), file.to_str().unwrap());
    let _ = fs::remove_file(format!("{file}.sig"));
    let args = ["-Y", "sign", "-n", namespace, "-f", key, file];
    env.program("ssh-keygen", &args).ok();
    json!(fs::read_to_string(format!("{file}.sig")).unwrap())
}

#[test]
fn a_signed_move_counts_and_tells_who_signed() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let env = team.env();
    let two = team.judged("2");
    let dry = format!("model promote {two} --to production --dry-run");
    team.ana.run(env, &dry).ok();
    let key = team.ana.fingerprint(env);
    let shown = |output: Output| output.to_string().replace(&key, "SHA256:…");
    let promote = format!("model promote {two} --to production");
    assert_snapshot!(shown(team.ana.run(env, &promote)), @"
    $ retune model promote support@20261123-2f14da051d69 --to production
    support:production is now 20261123-2f14da051d69 (was 20261123-dd9f379a1d9f)
      signed by ana@example.org, SHA256:…
    ");
    let told = env.run("model log support:production").ok().stdout;
    let who = format!("ana <ana@example.org>, signed with {key}");
    assert!(told.contains(&who), "{told}");
    assert!(
        env.run("model show support:production")
            .ok()
            .stdout
            .contains(&key)
    );
    let log = env.run("model log support:production --format json").ok();
    let signed = json!({"by": "ana@example.org", "key": key});
    assert_eq!(log.json()["events"][0]["signed"], signed);
    assert_eq!(log.json()["events"][1].get("signed"), None);
    let show = env.run("model show support:production --format json").ok();
    assert_eq!(show.json()["signed"]["production"], signed);
    env.run("model verify").ok();
    // Anybody can check it without retune: the document without its signature, and ssh-keygen.
    let (_, mut event) = last_event(env, &registry(env));
    valid(&event);
    let signature = event.as_object_mut().unwrap().remove("signature").unwrap();
    let (document, armour) = (
        encode(&event),
        env.write("event.sig", signature.as_str().unwrap()),
    );
    let verify = format!(
        "ssh-keygen -Y verify -f allowed_signers -I ana@example.org -n retune-event -s {} < {}",
        armour.display(),
        env.write("event.json", document).display()
    );
    env.program("sh", &["-c", &verify]).ok();
    // The way back is signed too, by whoever of them is there.
    let back = "model rollback support:production";
    assert_eq!(team.eve.run(env, back).code, Some(1));
    team.ben.run(env, back).ok();
    assert_eq!(production(env), team.one.label.to_string());
    env.run("model verify").ok();
    env.run("status").ok();
}

#[test]
fn without_a_signature_that_counts_nothing_is_written() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let env = team.env();
    let two = team.judged("2");
    let before = team.head();
    let promote = format!("model promote {two} --to production");
    assert_snapshot!(team.ana.run_with(env, &promote, None), @"
    $ retune model promote support@20261123-2f14da051d69 --to production
    --- stderr
    error: support:production is protected
      caused by: support:production takes a signature; there is no key to sign with as ana <ana@example.org>
      hint: name a key: git config gpg.format ssh; git config user.signingKey ~/.ssh/id_ed25519.pub
      hint: or for one command: RETUNE_SIGNING_KEY=FILE
    --- exit 1
    ");
    assert_snapshot!(team.eve.run(env, &promote), @"
    $ retune model promote support@20261123-2f14da051d69 --to production
    --- stderr
    error: support:production is protected
      caused by: support:production takes a signature of ana@example.org or ben@example.org; eve <eve@example.org> is no signer
      hint: signers say who signs: retune model protect support:production --signers FILE
    --- exit 1
    ");
    let other = team.ana.run_with(env, &promote, Some(&team.eve));
    assert_eq!(other.code, Some(1), "{other}");
    assert!(other.stderr.contains("is no signer's"), "{other}");
    let other = team.ana.run_with(env, &promote, Some(&team.ben));
    assert_eq!(other.code, Some(1), "{other}");
    assert!(
        other
            .stderr
            .contains("is that of ben@example.org, not of ana@example.org"),
        "{other}"
    );
    let words: Vec<&str> = promote.split_whitespace().collect();
    let absent = ("RETUNE_SIGNING_KEY", "/nowhere/key".to_owned());
    let absent = env.run_with(&words, &[team.ana.actor(), absent]);
    assert_eq!(absent.code, Some(1), "{absent}");
    assert!(absent.stderr.contains("/nowhere/key"), "{absent}");
    assert_eq!(team.head(), before);
    // What git signs with is found, and a key that only an agent has.
    env.program("git", &["init", "-q"]).ok();
    let key = team.ana.key.to_str().unwrap();
    env.program("git", &["config", "user.signingKey", key]).ok();
    let unset = team.ana.run_with(env, &promote, None);
    assert_eq!(unset.code, Some(1), "{unset}");
    env.program("git", &["config", "gpg.format", "ssh"]).ok();
    team.ana
        .run_with(env, &format!("{promote} --dry-run"), None)
        .ok();
    let script = format!(
        "ssh-add -q {key} && rm {key} && RETUNE_SIGNING_KEY='key::{}' {} {promote}",
        team.ana.public(),
        env!("CARGO_BIN_EXE_retune"),
    );
    env.program("ssh-agent", &["sh", "-c", &script]).ok();
    assert_eq!(production(env), two.label.to_string());
    env.run("model verify").ok();
}

/// What somebody can write into the registry who may write there, and how it is told.
#[test]
fn what_was_forged_is_found_and_not_served_until_a_signer_settles_it() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let (env, dir) = (team.env(), registry(team.env()));
    let two = team.judged("2");
    let promote = format!("model promote {two} --to production");
    team.ana.run(env, &promote).ok();
    let sound = git(env, &["rev-parse", "main"]);
    let (_, last) = last_event(env, &dir);
    let event = forged(env, &dir, &team.ana);
    let with = |signature: Value| {
        let mut event = event.clone();
        event["signature"] = signature;
        event
    };
    let mut edited = with(sign(env, &team.ana, "retune-event", &event));
    edited["reason"] = json!("edited later");
    let eve = forged(env, &dir, &team.eve);
    let mut stranger = eve.clone();
    stranger["signature"] = sign(env, &team.eve, "retune-event", &eve);
    for (event, why) in [
        (event.clone(), "it is not signed"),
        (edited, "is over something else"),
        (with(last["signature"].clone()), "is over something else"),
        (
            with(sign(env, &team.ana, "git", &event)),
            "is one for \"git\"",
        ),
        (
            with(sign(env, &team.eve, "retune-event", &event)),
            "is no signer's",
        ),
        (
            with(sign(env, &team.ben, "retune-event", &event)),
            "is that of ben@example.org",
        ),
        (stranger, "is no signer's"),
    ] {
        forge(env, &dir, &event);
        for command in [
            "model show support:production",
            "model log support:production",
            "model verify --records-only",
        ] {
            let found = env.run(command);
            assert_eq!(found.code, Some(14), "{found}");
            let told = format!("{}{}", found.stdout, found.stderr);
            assert!(told.contains(why), "{why}: {found}");
        }
        assert_eq!(env.run("status").code, Some(14));
        assert_eq!(team.ana.run(env, &promote).code, Some(14));
        // What everybody agreed on is what is listed.
        let list = env.run("model list --format json").ok().json();
        assert_eq!(
            list["models"][0]["aliases"]["production"],
            json!(two.label.to_string())
        );
        git(env, &["update-ref", "refs/heads/main", &sound]);
    }
    forge(env, &dir, &event);
    let back = "model rollback support:production";
    assert_eq!(team.eve.run(env, back).code, Some(1));
    team.ben.run(env, back).ok();
    assert_eq!(production(env), two.label.to_string());
    env.run("model verify").ok();
    // A properly signed event from outside counts, so that it was the signature that was missed.
    let event = forged(env, &dir, &team.ana);
    let mut signed = event.clone();
    signed["to"] =
        json!({"version": team.one.label.to_string(), "manifest": team.one.id.to_string()});
    signed["signature"] = sign(env, &team.ana, "retune-event", &signed);
    forge(env, &dir, &signed);
    env.run("model verify --records-only").ok();
    assert_eq!(production(env), team.one.label.to_string());
}

#[test]
fn only_signers_change_a_protection_with_signers() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let (env, dir) = (team.env(), registry(team.env()));
    let before = team.head();
    for args in [
        "--no-signers",
        "--allow eve@example.org",
        "--signers eve_signers",
    ] {
        env.write("eve_signers", team.eve.line());
        let args = format!("model protect support:production {args}");
        for output in [
            team.eve.run(env, &args),
            team.ana.run_with(env, &args, None),
            team.ana.run_with(env, &args, Some(&team.eve)),
        ] {
            assert_eq!(output.code, Some(1), "{output}");
        }
    }
    assert_eq!(team.head(), before);
    // Written past the tool, it changes nothing, and is told until a signer says what counts.
    let list = git(env, &["ls-tree", "-r", "--name-only", "main"]);
    let path = list.lines().find(|path| path.contains("/protections/"));
    let path = path.unwrap();
    let known: Value = serde_json::from_str(&git(env, &["show", &format!("main:{path}")])).unwrap();
    valid(&known);
    let mut lifted = known.clone();
    for key in ["signers", "signature", "prev", "after"] {
        lifted.as_object_mut().unwrap().remove(key);
    }
    let bytes = encode(&lifted);
    let (stem, _) = path.rsplit_once('-').unwrap();
    let forged = format!("{stem}-{}.json", &Digest::of(&bytes).hex()[..16]);
    plant(env, &dir, &forged, Some(("100644", &bytes)));
    let verify = env.run("model verify --records-only");
    assert_eq!(verify.code, Some(14), "{verify}");
    assert!(verify.stdout.contains("it is not signed"), "{verify}");
    assert_eq!(env.run("model show support:production").code, Some(14));
    let two = team.judged("2");
    let promote = format!("model promote {two} --to production");
    assert_ne!(team.eve.run(env, &promote).code, Some(0));
    assert_ne!(env.run(&promote).code, Some(0));
    let again = "model protect support:production --two-people";
    team.ben.run(env, again).ok();
    env.run("model verify").ok();
    // The signers stay who they were, and change when a signer says so.
    let unsigned = team.ana.run_with(env, &promote, None);
    assert_eq!(unsigned.code, Some(1), "{unsigned}");
    team.ben.run(env, &promote).ok();
    team.ben
        .run(env, "model protect support:production --no-signers")
        .ok();
    env.run("model rollback support:production").ok();
    env.run("model verify").ok();
}

#[test]
fn who_sets_up_signers_is_one_and_a_bad_file_is_told_with_its_lines() {
    if !has_ssh_keygen() {
        return;
    }
    let project = Project::new();
    project.first("1");
    let env = &project.env;
    let (ana, ben) = (Person::new(env, "ana"), Person::new(env, "ben"));
    env.write("allowed_signers", ben.line());
    let protect = "model protect support:production --signers allowed_signers";
    let outside = ana.run(env, protect);
    assert_eq!(outside.code, Some(1), "{outside}");
    env.write(
        "allowed_signers",
        "# nobody\n*@example.org ssh-ed25519 AAAA\nana\n",
    );
    assert_snapshot!(ana.run(env, protect), @r#"
    $ retune model protect support:production --signers allowed_signers
    --- stderr
    error: 2 faults
      caused by: allowed_signers:2: "*@example.org" is no mail address; patterns are not taken: name every signer
      caused by: allowed_signers:3: expected MAIL KEY-TYPE KEY, such as `ana@example.org ssh-ed25519 AAAA…`; found "" in the place of the key
    --- exit 2
    "#);
    env.write("allowed_signers", ben.line() + &ana.line());
    let key = ana.fingerprint(env);
    let other = ben.fingerprint(env);
    let shown = ana.run(env, protect).ok().to_string();
    let shown = shown
        .replace(&key, "SHA256:ANA")
        .replace(&other, "SHA256:BEN");
    assert_snapshot!(shown, @"
    $ retune model protect support:production --signers allowed_signers
    support:production can be moved by its signers
      signed by ana@example.org, SHA256:ANA
             or ben@example.org, SHA256:BEN
    ");
    let again = ana.run(env, protect).ok();
    assert!(again.stdout.contains("as before"), "{again}");
}

/// A clone of the guarded registry that another person works in.
fn clone_of(team: &Guarded, name: &str, hub: &str) -> Project {
    let clone = team.project.colleague(name);
    clone.env.run(&format!("sync {hub}")).ok();
    clone
}

#[test]
fn a_remote_with_a_move_that_is_not_signed_is_refused() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let env = team.env();
    let hub = hub(&team.project).display().to_string();
    let two = team.judged("2");
    team.ana
        .run(env, &format!("model promote {two} --to production"))
        .ok();
    env.run(&format!("sync {hub}")).ok();
    let event = forged(env, &hub, &team.ana);
    forge(env, &hub, &event);
    let before = team.head();
    let fresh = team.project.colleague("Cy");
    for env in [env, &fresh.env] {
        let refused = env.run(&format!("sync {hub} --give-way"));
        assert_eq!(refused.code, Some(14), "{refused}");
        assert!(refused.stderr.contains("it is not signed"), "{refused}");
    }
    assert_eq!(team.head(), before);
    assert_eq!(production(env), two.label.to_string());
    // Nor does a clone hand such a move on.
    git_in(env, &hub, &["update-ref", "refs/heads/main", &before]);
    forge(env, &registry(env), &event);
    let refused = env.run(&format!("sync {hub}"));
    assert_eq!(refused.code, Some(14), "{refused}");
    assert_eq!(git_in(env, &hub, &["rev-parse", "main"]), before);
}

/// Whoever may push can take a remote back to before the protection; clones that know it do not forget it.
#[test]
fn a_remote_that_forgot_the_protection_does_not_lift_it() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let env = team.env();
    let hub = hub(&team.project).display().to_string();
    env.run(&format!("sync {hub}")).ok();
    let protections = git_in(env, &hub, &["ls-tree", "-r", "--name-only", "main"]);
    let path = protections
        .lines()
        .find(|path| path.contains("/protections/"))
        .unwrap();
    let tip = git_in(env, &hub, &["rev-parse", "main"]);
    plant(env, &hub, path, None);
    let removed = env.run(&format!("sync {hub} --give-way"));
    assert_eq!(removed.code, Some(14), "{removed}");
    assert!(removed.stderr.contains("was removed"), "{removed}");
    // Back to before the protection, and an event that nobody has to sign there.
    git_in(
        env,
        &hub,
        &["update-ref", "refs/heads/main", &format!("{tip}~1")],
    );
    let (_, first) = last_event(env, &hub);
    let two = team.judged("2");
    let mut event = forged(env, &hub, &team.eve);
    event["kind"] = json!("promote");
    event["evidence"] = first["evidence"].clone();
    event["to"] = json!({"version": two.label.to_string(), "manifest": two.id.to_string()});
    let eves = team.project.colleague("Eve");
    eves.env.run(&format!("sync {hub}")).ok();
    let before = team.head();
    // The version is there too, so that nothing but the signature is missing.
    plant_since(env, &tip, env, &hub);
    forge(env, &hub, &event);
    eves.env.run(&format!("sync {hub}")).ok();
    for args in ["", " --give-way"] {
        let held = env.run(&format!("sync {hub}{args}"));
        assert_eq!(held.code, Some(15), "{held}");
        assert!(
            held.stderr.contains("gives way to nothing") && held.stderr.contains("by eve"),
            "{held}"
        );
    }
    assert_eq!(team.head(), before);
    assert_eq!(production(env), team.one.label.to_string());
}

/// Nor does a protection of somebody else's, put before the one that clones know.
#[test]
fn a_remote_with_another_protection_before_ours_is_refused() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let env = team.env();
    let hub = hub(&team.project).display().to_string();
    let sync = format!("sync {hub}");
    env.run(&sync).ok();
    let tip = git_in(env, &hub, &["rev-parse", "main"]);
    let start = format!("{tip}~1");
    git_in(env, &hub, &["update-ref", "refs/heads/main", &start]);
    let eves = clone_of(&team, "Eve", &hub);
    eves.env.write("eve_signers", team.eve.line());
    let protect = "model protect support:production --signers eve_signers";
    team.eve.run(&eves.env, protect).ok();
    eves.env.run(&sync).ok();
    // First eve's, then ours, then another one of eve's that follows hers, and a move that she signed.
    plant_since(env, &start, env, &hub);
    let since = git(&eves.env, &["rev-parse", "main"]);
    let again = format!("{protect} --allow eve@example.org");
    team.eve.run(&eves.env, &again).ok();
    let two = eves.version("2");
    eves.judge(&two, Some(&team.one), [0..1, 0..1]);
    let promote = format!("model promote {two} --to production");
    team.eve.run(&eves.env, &promote).ok();
    plant_since(&eves.env, &since, env, &hub);
    let before = team.head();
    let fresh = team.project.colleague("Cy");
    for env in [env, &fresh.env] {
        let refused = env.run(&format!("{sync} --give-way"));
        assert_eq!(refused.code, Some(14), "{refused}");
        assert!(refused.stderr.contains("follow the same one"), "{refused}");
    }
    assert_eq!(team.head(), before);
    assert_eq!(production(env), team.one.label.to_string());
}

/// Puts what came into a registry since a commit into a repository, a commit for each file.
fn plant_since(from: &Env, since: &str, env: &Env, dir: &str) {
    for path in git(from, &["diff", "--name-only", since, "main"]).lines() {
        let args = [
            "--git-dir",
            &registry(from),
            "show",
            &format!("main:{path}"),
        ];
        let bytes = from.program("git", &args).ok().stdout;
        plant(env, dir, path, Some(("100644", bytes.as_bytes())));
    }
}

#[test]
fn clones_racing_on_a_signed_alias_keep_every_signature() {
    if !has_ssh_keygen() {
        return;
    }
    let team = Guarded::new();
    let env = team.env();
    let hub = hub(&team.project).display().to_string();
    let sync = format!("sync {hub}");
    env.run(&sync).ok();
    let bens = clone_of(&team, "Ben", &hub);
    let two = team.judged("2");
    let three = bens.version("3");
    bens.judge(&three, Some(&team.one), [0..1, 0..1]);
    let promote = |version: &Version| format!("model promote {version} --to production");
    team.ana.run(env, &promote(&two)).ok();
    team.ben.run(&bens.env, &promote(&three)).ok();
    env.run(&sync).ok();
    assert_eq!(bens.env.run(&sync).code, Some(15));
    bens.env.run(&format!("{sync} --give-way")).ok();
    assert_eq!(production(&bens.env), two.label.to_string());
    bens.judge(&three, Some(&two), [0..1, 0..1]);
    team.ben.run(&bens.env, &promote(&three)).ok();
    // Something else was decided there meanwhile: the signed move is decided once more on top of it.
    team.project.version("4");
    env.run(&sync).ok();
    bens.env.run(&sync).ok();
    env.run(&sync).ok();
    for env in [env, &bens.env] {
        assert_eq!(production(env), three.label.to_string());
        env.run("model verify").ok();
        let log = env.run("model log support:production --format json").ok();
        let signed = &log.json()["events"][0]["signed"]["key"];
        assert_eq!(signed, &json!(team.ben.fingerprint(env)));
    }
}

/// Where one clone protects an alias that another one moves, the move gives way, however old it is.
#[test]
fn an_unsigned_move_gives_way_to_a_protection_there() {
    if !has_ssh_keygen() {
        return;
    }
    let project = Project::new();
    let env = &project.env;
    let one = project.first("1");
    let hub = hub(&project).display().to_string();
    let sync = format!("sync {hub}");
    env.run(&sync).ok();
    let bens = project.colleague("Ben");
    bens.env.run(&sync).ok();
    let ana = Person::new(env, "ana");
    env.write("allowed_signers", ana.line());
    ana.run(
        env,
        "model protect support:production --signers allowed_signers",
    )
    .ok();
    env.run(&sync).ok();
    let two = bens.version("2");
    bens.judge(&two, Some(&one), [0..1, 0..1]);
    bens.env
        .run(&format!("model promote {two} --to production"))
        .ok();
    let told = bens.env.run(&sync);
    assert_eq!(told.code, Some(15), "{told}");
    assert!(
        told.stderr.contains("it takes a signature that this lacks"),
        "{told}"
    );
    bens.env.run(&format!("{sync} --give-way")).ok();
    assert_eq!(production(&bens.env), one.label.to_string());
    bens.env.run(&format!("model show {two}")).ok();
    bens.env.run("model verify").ok();
}
