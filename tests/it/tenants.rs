//! One tenant's data, models and decisions are nobody else's: every command of the tree, for the tenant's own
//! project, another tenant's, one of a tenant that does not exist, and one whose tenant is no name.

use std::collections::BTreeSet;
use std::fs;

use crate::cli::{base::tiny_base, model, model::JOB};
use crate::support::project::Project;
use crate::support::{Env, Output};

/// What a command has to do with tenants.
enum Kind {
    /// It takes a reference to a model, written `~MODEL…`; the tenant is put for the `~`.
    Reference,
    /// It works on what the project's tenant has. Another tenant's project sees none of it, and exits so.
    Project(i32),
    /// It needs no tenant.
    Free,
}
use Kind::{Free, Project as Of, Reference};

/// Every command, with a line that works for its own tenant, and the exit code then where it is 0 or certain.
/// LABEL is a version in production, RUN a run, both of the tenant.
const COMMANDS: &[(&str, Kind, Option<i32>)] = &[
    (
        "dataset add again --train train.jsonl --dry-run",
        Of(14),
        Some(0),
    ),
    ("dataset list", Of(0), Some(0)),
    ("dataset show tickets", Of(2), Some(0)),
    ("dataset diff tickets tickets", Of(2), Some(0)),
    ("dataset verify tickets", Of(2), Some(0)),
    ("base add tiny model --dry-run", Of(0), Some(0)),
    ("base list", Of(0), None),
    ("base show tiny", Of(2), Some(0)),
    ("base retire tiny --on 2027-01-01 --dry-run", Of(2), Some(0)),
    ("base verify tiny", Of(2), Some(0)),
    ("train job.yaml --dry-run", Of(2), None),
    ("run list", Of(0), Some(0)),
    ("run show RUN", Of(14), Some(0)),
    (
        "eval suite.yaml --model ~support@LABEL --dry-run",
        Reference,
        None,
    ),
    (
        "eval import table scores.csv --name qa --model ~support@LABEL --dry-run",
        Reference,
        Some(0),
    ),
    (
        "eval add-case suite.yaml --ticket T --failed ~support@LABEL --text a --expected b --dry-run",
        Reference,
        Some(2),
    ),
    ("gate plan --cases 1500", Free, None),
    (
        "gate check ~support@LABEL --against majority --suite intents",
        Reference,
        None,
    ),
    ("gate show ~support@LABEL", Reference, Some(0)),
    (
        "gate waive ~support@LABEL --reason x --dry-run",
        Reference,
        None,
    ),
    ("gate selftest --repetitions 1", Free, None),
    (
        "model register support --run RUN --dry-run",
        Of(14),
        Some(0),
    ),
    ("model list", Of(0), Some(0)),
    ("model show ~support:production", Reference, Some(0)),
    (
        "model diff ~support:production ~support:production",
        Reference,
        None,
    ),
    ("model log ~support:production", Reference, Some(0)),
    (
        "model promote ~support@LABEL --to production --dry-run",
        Reference,
        Some(0),
    ),
    (
        "model rollback ~support:production --dry-run",
        Reference,
        Some(1),
    ),
    (
        "model protect ~support:production --two-people --dry-run",
        Reference,
        Some(0),
    ),
    (
        "model deprecate ~support@LABEL --replacement LABEL --until 2030-01-01 --dry-run",
        Reference,
        Some(2),
    ),
    ("model verify", Of(0), None),
    (
        "model export ~support@LABEL --to out --dry-run",
        Reference,
        Some(0),
    ),
    ("pin add ~support@LABEL --dry-run", Reference, Some(0)),
    ("pin update --dry-run", Free, Some(0)),
    ("pin list", Free, Some(0)),
    ("pin check", Free, Some(0)),
    ("hook install --dry-run", Free, None),
    ("hook uninstall --dry-run", Free, None),
    ("hook status", Free, None),
    ("hook exec pre-commit", Free, None),
    ("scan", Free, None),
    ("pipeline check pipeline.yaml", Free, None),
    ("pipeline plan pipeline.yaml", Of(2), None),
    ("pipeline run pipeline.yaml --dry-run", Of(2), None),
    (
        "migration plan ~support@LABEL --step production --reason x",
        Reference,
        Some(2),
    ),
    ("migration show m.yaml", Of(14), Some(0)),
    ("migration apply m.yaml --dry-run", Of(14), Some(0)),
    ("migration abort m.yaml --dry-run", Of(14), None),
    ("status", Of(0), Some(0)),
    ("sync ../nowhere.git", Free, Some(2)),
    ("store verify", Free, None),
    ("store push ~support@LABEL --dry-run", Reference, Some(2)),
    ("store pull ~support@LABEL --dry-run", Reference, Some(2)),
    ("store gc plan", Free, Some(0)),
    ("doctor", Free, None),
    ("completions bash", Free, Some(0)),
];

/// Makes tenants instead of working for one; see its own test.
const INIT: &str = "init";

struct Scene {
    project: Project,
    label: String,
    run: String,
    /// Digits that stand in the names of the tenant's documents, and nowhere else.
    secrets: BTreeSet<String>,
}

impl Scene {
    /// The tenant `default` with all there can be, and projects of other tenants on the same registry and store.
    fn new() -> Self {
        let project = Project::new();
        let run = model::run(&project).hex();
        let version = project.first("1");
        let env = &project.env;
        env.run("init --tenant globex").ok();
        env.write("job.yaml", JOB);
        env.write("suite.yaml", SUITE);
        env.write("cases.jsonl", CASES);
        env.write("scores.csv", "id,arm,metric,score\na,new,ok,1\n");
        env.write("pipeline.yaml", "version: 1\n");
        // What `first` learned from; the data of the run, too, belongs to the tenant.
        assert!(env.path("train.jsonl").exists());
        tiny_base(env);
        let two = project.version("2");
        project.judge(&two, Some(&version), [0..1, 0..1]);
        env.run(&format!(
            "migration plan {two} --step production --reason x --out m.yaml"
        ))
        .ok();
        for (dir, tenant) in [
            ("other", "globex"),
            ("missing", "nobody"),
            ("malformed", "../default"),
        ] {
            let text = format!(
                "version: 1\ntenant: {tenant}\nregistry: ../.retune/registry\nstore: ../.retune/store\n"
            );
            env.write(&format!("{dir}/retune.yaml"), text);
            env.write(
                &format!("{dir}/gate.yaml"),
                fs::read(env.path("gate.yaml")).unwrap(),
            );
        }
        let label = version.label.to_string();
        let mut scene = Self {
            project,
            label,
            run,
            secrets: BTreeSet::new(),
        };
        scene.secrets = scene.documents();
        scene
    }

    fn env(&self) -> &Env {
        &self.project.env
    }

    /// The digits in the names of all documents of the tenant.
    fn documents(&self) -> BTreeSet<String> {
        let list = self.git(&["ls-tree", "-r", "--name-only", "main:tenants/default"]);
        // A base is named by the files that the asker has too.
        let own = list.lines().filter(|path| !path.starts_with("bases/"));
        let list: String = own.map(|path| format!("{path}\n")).collect();
        let digits = list.split(|c: char| !c.is_ascii_hexdigit());
        let found: BTreeSet<String> = digits
            .filter(|word| word.len() >= 12)
            .map(|word| word[..12].to_owned())
            .collect();
        assert!(found.len() > 5, "{list}");
        found
    }

    fn git(&self, args: &[&str]) -> String {
        let dir = self.env().path(".retune/registry");
        let mut all = vec!["--git-dir", dir.to_str().unwrap()];
        all.extend(args);
        self.env().program("git", &all).ok().stdout
    }

    fn line(&self, command: &str, tenant: &str, project: &str) -> String {
        let line = command
            .replace('~', tenant)
            .replace("LABEL", &self.label)
            .replace("RUN", &self.run);
        format!("{line}{project}")
    }

    /// Runs a command that must not reach the tenant, and gives what it said.
    #[track_caller]
    fn shut_out(&self, line: &str) -> Output {
        let before = self.git(&["rev-parse", "main:tenants/default"]);
        let output = self.env().run(line);
        let said = format!("{}{}", output.stdout, output.stderr);
        let told = |secret: &&String| said.contains(*secret) && !line.contains(*secret);
        let leaked: Vec<&String> = self.secrets.iter().filter(told).collect();
        assert!(leaked.is_empty(), "it tells {leaked:?}:\n{output}");
        let after = self.git(&["rev-parse", "main:tenants/default"]);
        assert_eq!(before, after, "it writes to another tenant:\n{output}");
        output
    }
}

#[test]
fn every_command_keeps_to_its_tenant() {
    let scene = Scene::new();
    let mut tree = leaves(scene.env(), &[]);
    tree.retain(|leaf| leaf != INIT);
    let mut wrong = Vec::new();
    for leaf in &tree {
        let row = |(line, ..): &&(&str, Kind, Option<i32>)| {
            line.strip_prefix(leaf.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let found = COMMANDS.iter().find(row);
        let (command, kind, own) =
            found.unwrap_or_else(|| panic!("`retune {leaf}` has no row in the matrix of tenants"));
        match kind {
            Reference => references(&scene, command),
            Of(code) => projects(&scene, command, *code),
            Free => free(&scene, command),
        }
        for tenant in ["", "default/"] {
            let output = scene.env().run(&scene.line(command, tenant, ""));
            let answered = output.code.is_some() && (output.code == *own || own.is_none());
            if !answered || output.stderr.contains("belongs to tenant") {
                wrong.push(output.to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "for its own tenant:\n{}", wrong.concat());
    assert_eq!(tree.len(), COMMANDS.len(), "a row is about no command");
}

/// A reference to another tenant is refused, whoever the project is for.
fn references(scene: &Scene, command: &str) {
    let foreign = scene.shut_out(&scene.line(command, "default/", " --project other"));
    assert_eq!(foreign.code, Some(14), "{foreign}");
    assert!(
        foreign.stderr.contains("belongs to tenant default"),
        "{foreign}"
    );
    let unnamed = scene.shut_out(&scene.line(command, "", " --project other"));
    assert_eq!(unnamed.code, Some(2), "{unnamed}");
    let outwards = scene.env().run(&scene.line(command, "globex/", ""));
    assert_eq!(outwards.code, Some(14), "{outwards}");
    for (tenant, project, why) in [
        ("nobody/", "", "has no tenant nobody"),
        ("", " --project missing", "has no tenant nobody"),
        ("../", "", "is not a"),
        ("Default/", "", "is not a tenant name"),
        ("a/b/", "", "is not a"),
        ("", " --project malformed", "is not a tenant name"),
    ] {
        let output = scene.shut_out(&scene.line(command, tenant, project));
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains(why), "{output}");
    }
}

fn projects(scene: &Scene, command: &str, code: i32) {
    let other = scene.shut_out(&scene.line(command, "", " --project other"));
    assert_eq!(other.code, Some(code), "{other}");
    for project in [" --project missing", " --project malformed"] {
        let output = scene.shut_out(&scene.line(command, "", project));
        // A file of another tenant is told to be so before it is found that this one does not exist.
        let refused = output.code == Some(2) || (code == 14 && output.code == Some(14));
        assert!(refused, "{output}");
    }
}

fn free(scene: &Scene, command: &str) {
    for project in ["other", "missing", "malformed"] {
        scene.shut_out(&scene.line(command, "", &format!(" --project {project}")));
    }
}

/// The paths of all commands that have no commands below them, and of `eval`, which does something itself.
fn leaves(env: &Env, path: &[&str]) -> Vec<String> {
    let help = env.run_args(&[path, &["--help"]].concat()).ok().stdout;
    let below = crate::docs::subcommands(&help);
    if below.is_empty() {
        return vec![path.join(" ")];
    }
    // A command that does something itself, beside the verbs below it, says so in a first line of usage.
    let usage = help.split("Usage:").nth(1).unwrap_or_default();
    let own = usage
        .lines()
        .next()
        .is_some_and(|line| !line.contains("<COMMAND>"));
    let all = below
        .iter()
        .map(|sub| leaves(env, &[path, &[sub]].concat()));
    let own = own.then(|| vec![path.join(" ")]);
    own.into_iter().chain(all).flatten().collect()
}

/// `init` makes a tenant, of any name that is one.
#[test]
fn a_tenant_is_made_by_init_and_has_a_plain_name() {
    let env = Env::new();
    env.run("init --tenant acme").ok();
    for bad in [
        "../acme",
        "Acme",
        "a/b",
        "head",
        "com1",
        "acme.lock",
        "a..b",
        "-x",
        "é",
    ] {
        let output = env.run_args(&["init", &format!("--tenant={bad}")]);
        assert_eq!(output.code, Some(2), "{output}");
    }
    let registry = env.path(".retune/registry");
    let list = env.program(
        "git",
        &[
            "--git-dir",
            registry.to_str().unwrap(),
            "ls-tree",
            "--name-only",
            "main:tenants",
        ],
    );
    assert_eq!(list.ok().stdout, "acme\n");
}

/// Rows are a tenant's, whatever file or name they come under, unless both say that they are nobody's.
#[test]
fn what_one_tenant_recorded_no_other_one_records() {
    let env = Env::new();
    env.run("init --tenant acme").ok();
    env.run("init --tenant globex").ok();
    for tenant in ["acme", "globex"] {
        let text = format!(
            "version: 1\ntenant: {tenant}\nregistry: ../.retune/registry\nstore: ../.retune/store\n"
        );
        env.write(&format!("{tenant}/retune.yaml"), text);
    }
    let rows = "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": \"y\"}\n";
    for name in ["a.jsonl", "b.jsonl", "c.jsonl"] {
        env.write(name, rows);
    }
    env.write("c.jsonl", format!("{rows}{rows}"));
    let add = |tenant: &str, rest: &str| env.run(&format!("dataset add {rest} --project {tenant}"));
    add("acme", "tickets --train a.jsonl").ok();
    for stolen in [
        "mine --train b.jsonl",
        "mine --train b.jsonl --shared",
        "mine --train c.jsonl --test b.jsonl",
        "mine --train b.jsonl --dry-run",
    ] {
        let refused = add("globex", stolen);
        assert_eq!(refused.code, Some(14), "{refused}");
        assert!(
            refused.stderr.contains("belongs to tenant acme"),
            "{refused}"
        );
    }
    add("globex", "common --train c.jsonl --shared").ok();
    add("acme", "common --train c.jsonl --shared").ok();
    assert_eq!(add("acme", "mine --train c.jsonl").code, Some(14));
}

/// A run that began under one tenant is nothing for another, even where the project changes hands.
#[test]
fn a_run_stays_with_the_tenant_of_its_data() {
    let scene = Scene::new();
    let env = scene.env();
    let yaml = fs::read_to_string(env.path("retune.yaml")).unwrap();
    env.write(
        "retune.yaml",
        yaml.replace("tenant: default", "tenant: globex"),
    );
    let register = format!("model register support --run {}", scene.run);
    let refused = scene.shut_out(&register);
    assert_eq!(refused.code, Some(14), "{refused}");
    assert!(
        refused.stderr.contains("belongs to tenant default"),
        "{refused}"
    );
    // Nor by its bare digest, from the store that both share.
    let tenant = scene.project.tenant();
    let tickets = "tickets".parse().unwrap();
    let id = tenant.datasets().newest(&tickets).unwrap().id;
    env.run("base add tiny model").ok();
    env.write(
        "job.yaml",
        JOB.replace("dataset: tickets", &format!("dataset: \"{id}\"")),
    );
    let refused = env.run("train job.yaml --dry-run");
    assert_eq!(refused.code, Some(14), "{refused}");
}

const SUITE: &str = "\
version: 1
name: intents
task: classification
cases: cases.jsonl
";

const CASES: &str = "{\"id\": \"a\", \"text\": \"hello\", \"label\": \"yes\"}\n";
