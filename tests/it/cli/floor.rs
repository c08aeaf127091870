//! Floors: an incident becomes a case that every version has to pass.

use std::path::PathBuf;

use insta::assert_snapshot;
use retune::registry::Version;
use serde_json::{Value, json};

use crate::support::Output;
use crate::support::project::Project;

const SUITE: &str = "\
version: 1
name: answers
task: generation
generate: {max_tokens: 8}
";

const SPLITS: &str = "splits: {gate: cases.jsonl, floor: incidents.jsonl}\n";

const POLICY: &str = "\
version: 1
criteria:
  - {id: right, metric: accuracy, kind: binary, rule: noninferior, margin: 0.05}
first_version: {against: majority, rule: superior, margin: 0.05}
";

/// Answers `yes`, but to some. What is unsteady is answered with `no` the first and the second time.
const ANSWERS: &str = r#"
asked=$(cat)
case "$asked" in
  *'"prompt":"WRONG"'*) say=no ;;
  *'"prompt":"unsteady"'*) echo x >> asked; say=yes; [ "$(wc -l < asked)" -gt 2 ] || say=no ;;
  *'"prompt":"always wrong'*) say=no ;;
  *) say=yes ;;
esac
echo "{\"output\": \"$say\"}"
"#;

/// A suite of `say N`, of which `yes` is the right answer, and two versions that programs serve.
pub(crate) struct Scene {
    project: Project,
    old: Version,
    new: Version,
}

impl Scene {
    /// The old version is wrong on `say 1`, the new one on `say 2`.
    pub(crate) fn new() -> Self {
        let project = Project::new();
        let (old, new) = (project.version("old"), project.version("new"));
        let env = &project.env;
        let case = |n| json!({"id": format!("t{n:03}"), "prompt": format!("say {n}"), "target": "yes", "metadata": {"topic": format!("topic {}", n / 10)}});
        let rows: String = (0..160).map(|n| format!("{}\n", case(n))).collect();
        env.write("cases.jsonl", rows);
        env.write("suite.yaml", format!("{SUITE}{SPLITS}"));
        env.write("gate.yaml", format!("{POLICY}floor: {{}}\n"));
        for (name, wrong) in [("old", "say 1"), ("new", "say 2")] {
            env.write(&format!("{name}.sh"), ANSWERS.replace("WRONG", wrong));
            let target =
                format!("version: 1\nkind: command\ncommand: [sh, {name}.sh]\nconcurrency: 1\n");
            env.write(&format!("{name}.yaml"), target);
        }
        Self { project, old, new }
    }

    /// The page of a candidate that is worse in one slice and fails an incident with a long text, and where it stands.
    pub(crate) fn page(&self) -> PathBuf {
        let slices = "slices: {by: [metadata.topic]}\n";
        self.write("gate.yaml", format!("{POLICY}floor: {{}}\n{slices}"));
        // Everything from `say 10` to `say 19`.
        self.write("new.sh", ANSWERS.replace("WRONG", "say 1'[0-9]'"));
        self.add("INC-88", "unsteady", &[]).ok();
        let long = format!("always wrong {}", "back".repeat(100));
        self.add("INC-90", &long, &[]).ok();
        self.add("INC-91", "pay back", &[]).ok();
        self.eval("old", "").ok();
        std::fs::remove_file(self.project.env.path("asked")).unwrap();
        self.eval("new", "").ok();
        let gate = self.gate("--suite suite.yaml --report html --output page.html");
        assert_eq!(gate.code, Some(11), "{gate}");
        let page = self.project.env.path("page.html");
        // Left for people to look at.
        let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gate-floor.html");
        std::fs::copy(&page, kept).unwrap();
        page
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        self.project.env.write(name, text);
    }

    fn run(&self, line: &str) -> Output {
        self.project.env.run(line)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.project.env.path(name)).unwrap()
    }

    /// Adds an incident that the old version failed on.
    fn add(&self, ticket: &str, text: &str, rest: &[&str]) -> Output {
        let failed = self.old.to_string();
        let head = ["eval", "add-case", "suite.yaml", "--failed", &failed];
        let what = ["--ticket", ticket, "--text", text, "--expected", "yes"];
        self.project
            .env
            .run_args(&[&head[..], &what, rest].concat())
    }

    fn eval(&self, name: &str, rest: &str) -> Output {
        let version = if name == "old" { &self.old } else { &self.new };
        self.run(&format!(
            "eval suite.yaml --model {version} --target {name}.yaml {rest}"
        ))
    }

    fn gate(&self, rest: &str) -> Output {
        let (new, old) = (&self.new, &self.old);
        self.run(&format!("gate check {new} --against {old} {rest}"))
    }
}

/// Latencies are in the reports, so that their digests differ each time.
fn without_digests(output: &Output) -> String {
    let text = output.to_string();
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| format!("{told}sha256:…{}", &part[64..]))
}

#[test]
fn an_incident_becomes_a_case_with_where_it_comes_from() {
    let scene = Scene::new();
    scene.write("suite.yaml", format!("{SUITE}cases: cases.jsonl\n"));
    assert_snapshot!(scene.add("INC-88", "pay back", &[]), @"
    $ retune eval add-case suite.yaml --failed support@20261123-3f66fa0d34f6 --ticket INC-88 --text pay back --expected yes
    --- stderr
    error: the suite suite.yaml has no floor
      hint: say where its cases are to be, in place of `cases`: `splits: {gate: cases.jsonl, floor: incidents.jsonl}`
    --- exit 2
    ");
    scene.write("suite.yaml", format!("{SUITE}{SPLITS}"));
    assert_snapshot!(scene.add("INC-88", "pay back", &["--dry-run"]), @r#"
    $ retune eval add-case suite.yaml --failed support@20261123-3f66fa0d34f6 --ticket INC-88 --text pay back --expected yes --dry-run
    would add INC-88 at incidents.jsonl:1
      asks      "pay back"
      expects   "yes"
      source    incident:INC-88
      failed    support@20261123-3f66fa0d34f6
      by        Ana <ana@example.org>
    "#);
    assert!(!scene.project.env.path("incidents.jsonl").exists());
    assert_snapshot!(scene.add("INC-88", "pay back", &[]), @r#"
    $ retune eval add-case suite.yaml --failed support@20261123-3f66fa0d34f6 --ticket INC-88 --text pay back --expected yes
    added INC-88 at incidents.jsonl:1
      asks      "pay back"
      expects   "yes"
      source    incident:INC-88
      failed    support@20261123-3f66fa0d34f6
      by        Ana <ana@example.org>
    "#);
    let first = scene.read("incidents.jsonl");
    let row: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        row,
        json!({
            "id": "INC-88",
            "prompt": "pay back",
            "completion": "yes",
            "retune": {
                "source": "incident:INC-88",
                "added": "2026-11-23",
                "added_by": "Ana <ana@example.org>",
                "sampled": false,
                "first_fail": scene.old.to_string(),
            },
        })
    );
    // Neither the id nor the question is there twice, in either part of the suite.
    assert_snapshot!(scene.add("INC-88", "pay later", &[]), @r#"
    $ retune eval add-case suite.yaml --failed support@20261123-3f66fa0d34f6 --ticket INC-88 --text pay later --expected yes
    --- stderr
    error: the case cannot be added
      caused by: incidents.jsonl:1: the case "INC-88" is here already: give another --id
    --- exit 2
    "#);
    assert_snapshot!(scene.add("INC-89", "pay back", &[]), @r#"
    $ retune eval add-case suite.yaml --failed support@20261123-3f66fa0d34f6 --ticket INC-89 --text pay back --expected yes
    --- stderr
    error: the case cannot be added
      caused by: incidents.jsonl:1: the case "INC-88" asks the same already
    --- exit 2
    "#);
    assert_snapshot!(scene.add("INC-90", "pay later", &["--id", "t007"]), @r#"
    $ retune eval add-case suite.yaml --failed support@20261123-3f66fa0d34f6 --ticket INC-90 --text pay later --expected yes --id t007
    --- stderr
    error: the case cannot be added
      caused by: cases.jsonl:8: the case "t007" is here already: give another --id
    --- exit 2
    "#);
    assert_eq!(scene.read("incidents.jsonl"), first, "nothing was written");
    // A file without a last line feed gets one before the new line.
    scene.write("incidents.jsonl", first.trim_end());
    scene.write("case.json", r#"{"messages": [{"role": "user", "content": "hello"}], "target": "yes", "metadata": {"locale": "de"}}"#);
    let failed = scene.old.to_string();
    let line = format!(
        "eval add-case suite.yaml --ticket INC-91 --failed {failed} --license internal --row case.json --format json"
    );
    let added = scene.run(&line).ok().json();
    assert_eq!(added["schema"], "retune.eval-case/1");
    assert_eq!(
        (&added["id"], &added["line"]),
        (&json!("INC-91"), &json!(2))
    );
    assert_eq!(scene.read("incidents.jsonl").lines().count(), 2);
    assert!(
        scene
            .read("incidents.jsonl")
            .contains("\"license\":\"internal\"")
    );
    scene.write(
        "case.json",
        r#"{"prompt": "x", "completion": "y", "retune": {"sampled": true}}"#,
    );
    let refused = scene.run(&line);
    assert_eq!(refused.code, Some(2), "{refused}");
}

#[test]
fn cases_stand_where_they_were_chosen_for() {
    let scene = Scene::new();
    scene.add("INC-88", "pay back", &[]).ok();
    let incident = scene.read("incidents.jsonl");
    let cases = scene.read("cases.jsonl");
    scene.write("cases.jsonl", format!("{cases}{incident}"));
    let sampled = r#"{"prompt": "a", "completion": "b", "retune": {"sampled": true}}"#;
    let unknown = r#"{"prompt": "c", "completion": "d", "retune": {"smapled": true}}"#;
    let movable = r#"{"prompt": "e", "completion": "f", "retune": {"first_fail": "support:production", "added": "2026-13-01"}}"#;
    scene.write(
        "incidents.jsonl",
        format!("{incident}{sampled}\n{unknown}\n{movable}\n"),
    );
    assert_snapshot!(scene.eval("old", ""), @r#"
    $ retune eval suite.yaml --model support@20261123-3f66fa0d34f6 --target old.yaml
    --- stderr
    error: the suite is not valid
      caused by: 4 faults
      caused by: cases.jsonl:161: the case was not sampled (`retune.sampled`, `retune.source`): cases that are chosen because something failed on them bias the comparison; put it into the split `floor`
      caused by: incidents.jsonl:2: `retune.sampled` is true: a sampled case belongs in the split `gate`
      caused by: incidents.jsonl:3: `retune`: unknown field `smapled`, expected one of `source`, `added`, `added_by`, `sampled`, `first_fail`, `license`
      caused by: incidents.jsonl:4: `retune.added`: "2026-13-01" is not a day such as 2026-11-23
    --- exit 2
    "#);
    // The same id may not stand in both parts.
    let moved = incident.replace("\"sampled\":false", "\"sampled\":true");
    let moved = moved.replace("pay back", "pay later");
    scene.write("cases.jsonl", format!("{cases}{moved}"));
    scene.write("incidents.jsonl", &incident);
    assert_snapshot!(scene.eval("old", ""), @r#"
    $ retune eval suite.yaml --model support@20261123-3f66fa0d34f6 --target old.yaml
    --- stderr
    error: the suite is not valid
      caused by: incidents.jsonl:1: the case "INC-88" is already at cases.jsonl:161
    --- exit 2
    "#);
}

#[test]
fn a_version_that_fails_an_incident_again_does_not_pass() {
    let scene = Scene::new();
    scene.add("INC-88", "pay back", &[]).ok();
    scene.add("INC-89", "unsteady", &[]).ok();
    scene.eval("old", "").ok();
    std::fs::remove_file(scene.project.env.path("asked")).unwrap();
    assert_snapshot!(without_digests(&scene.eval("new", "")), @r#"
    $ retune eval suite.yaml --model support@20261123-3fd30ed30b0c --target new.yaml
    99.4 % right
      subject   adapter e50607c6ba8e on base ec311b938f29
      suite     answers, 160 cases
      answers   from the program sh new.sh
      exact_match 0.994
      wrong     t002: "no" instead of "yes"
      report    sha256:…
      floor     1 of 2 cases missed
                INC-89: "no" instead of "yes"
                asked again: 2 of 3 answers right
                report sha256:…
    "#);
    // Missed once, and once of three times when asked again: fewer than two.
    assert_snapshot!(without_digests(&scene.gate("--suite suite.yaml")), @r#"
    $ retune gate check support@20261123-3fd30ed30b0c --against support@20261123-3f66fa0d34f6 --suite suite.yaml
    PASS  support@20261123-3fd30ed30b0c against support@20261123-3f66fa0d34f6

      PASS  right: less than 5 points worse than support@20261123-3f66fa0d34f6
        accuracy    99.4 % → 99.4 %
        difference  0.0 points, 90 % interval −2.2 to +2.2
        cases       1 improved, 1 regressed, 158 the same

      floor       2 cases, 0 failed, 1 passed only when asked again

      note the candidate's answers came from the program sh new.sh
      note the baseline's answers came from the program sh old.sh
      note 1 of 2 cases of the floor passed only when asked again: INC-89 ("no" instead of "yes"; wrong 1 of 3 times when asked again)

      suite     sha256:…
      policy    sha256:…
      evidence  sha256:…
    "#);
    // The suite's newest floor is known by its name, too.
    scene.gate("--suite answers").ok();

    scene.add("INC-90", "always wrong", &[]).ok();
    let missing = scene.gate("--suite suite.yaml");
    assert_eq!(missing.code, Some(13), "{missing}");
    let json = scene.eval("new", "--format json").ok().json();
    assert_eq!(json["new"], false, "only the floor is new");
    assert_eq!(json["floor"]["missed"], json!(["INC-90"]));
    assert_eq!(json["floor"]["again"]["metrics"]["n"], 3);
    let failed = scene.gate("--suite suite.yaml");
    assert_eq!(failed.code, Some(11), "{failed}");
    let told = "because 1 of 3 cases of the floor not passed: INC-90 (\"no\" instead of \"yes\"; wrong 3 of 3 times when asked again)";
    assert!(failed.stdout.contains(told), "{failed}");
    assert!(
        failed.stdout.contains("  floor       3 cases, 1 failed\n"),
        "{failed}"
    );
    let report = |kind: &str| {
        let line = format!(
            "gate show {} --suite suite.yaml --report {kind} --output out.{kind}",
            scene.new
        );
        scene.run(&line).ok();
        scene.read(&format!("out.{kind}"))
    };
    let json: Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(
        json["floor"]["missed"],
        json!([{"id": "INC-90", "asked": 3, "wrong": 3, "fails": true}])
    );
    let sarif: Value = serde_json::from_str(&report("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let failed: Vec<&Value> = results
        .iter()
        .filter(|of| of["ruleId"] == "gate/floor-case")
        .collect();
    assert_eq!(failed.len(), 1);
    let place = &failed[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "incidents.jsonl");
    assert_eq!(place["region"]["startLine"], 3);
    let junit = report("junit");
    assert!(
        junit.contains("name=\"INC-90\">\n      <failure type=\"FLOOR\""),
        "{junit}"
    );
    assert!(
        junit.contains("name=\"2 cases passed at once\"/>"),
        "{junit}"
    );
    let markdown = report("markdown");
    assert!(
        markdown.contains("**Floor**: 3 cases, 1 failed."),
        "{markdown}"
    );
    assert!(
        markdown.contains("| INC-90 | always wrong | yes | no |"),
        "{markdown}"
    );
    let html = report("html");
    assert!(html.contains("always wrong") && html.contains("3 of 3 answers wrong"));
    // Promotion asks the same.
    let promote = scene.run(&format!("model promote {} --to production", scene.new));
    assert_ne!(promote.code, Some(0), "{promote}");
    // What is asked again is told by digest, and checked like everything else.
    for part in ["suite", "report", "again"] {
        let digest = json["floor"][part].as_str().unwrap().parse().unwrap();
        let path = scene.project.store.path_of(&digest);
        let sound = std::fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let output = scene.run(&format!("gate show {}", scene.new));
        assert_eq!(output.code, Some(14), "{part}: {output}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, sound).unwrap();
    }
}

#[test]
fn a_policy_and_a_suite_have_a_floor_both_or_neither() {
    let scene = Scene::new();
    scene.add("INC-88", "pay back", &[]).ok();
    scene.eval("old", "").ok();
    scene.eval("new", "").ok();
    scene.write("gate.yaml", POLICY);
    assert_snapshot!(scene.gate("--suite suite.yaml"), @"
    $ retune gate check support@20261123-3fd30ed30b0c --against support@20261123-3f66fa0d34f6 --suite suite.yaml
    --- stderr
    error: the suite has a floor (cases: 1), and the policy has no `floor`
      hint: add `floor: {}` to the policy, so that nothing is promoted without it
    --- exit 2
    ");
    scene.write("gate.yaml", format!("{POLICY}floor: {{}}\n"));
    scene.write("suite.yaml", format!("{SUITE}cases: cases.jsonl\n"));
    assert_snapshot!(scene.gate("--suite suite.yaml"), @"
    $ retune gate check support@20261123-3fd30ed30b0c --against support@20261123-3f66fa0d34f6 --suite suite.yaml
    --- stderr
    error: the policy has a `floor`, and the suite has none
      hint: name its file in the suite, `splits: {gate: FILE, floor: FILE}`, and add a case: retune eval add-case
    --- exit 2
    ");
}

#[test]
fn recorded_outputs_of_a_suite_and_its_floor_stand_in_one_file() {
    let scene = Scene::new();
    scene.add("INC-88", "pay back", &[]).ok();
    let output = |id: String| format!("{}\n", json!({"id": id, "output": "yes"}));
    let rows: String = (0..160).map(|n| output(format!("t{n:03}"))).collect();
    let line = format!(
        "eval suite.yaml --model {} --target outputs.jsonl --format json",
        scene.new
    );
    scene.write(
        "outputs.jsonl",
        format!("{rows}{}", output("INC-88".to_owned())),
    );
    let json = scene.run(&line).ok().json();
    assert_eq!(json["floor"]["missed"], json!([]));
    scene.write(
        "outputs.jsonl",
        format!("{rows}{}", output("INC-99".to_owned())),
    );
    let refused = scene.run(&line);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("INC-99"), "{refused}");
}

#[test]
fn cases_to_look_at_are_told_in_full_and_never_compared() {
    let scene = Scene::new();
    scene.write("gate.yaml", POLICY);
    scene.write("suite.yaml", format!("{SUITE}cases: cases.jsonl\n"));
    let none = scene.eval("new", "--split dev");
    assert_eq!(none.code, Some(2), "{none}");
    assert!(
        none.to_string()
            .contains("`splits: {gate: FILE, dev: FILE}`"),
        "{none}"
    );
    let splits = "splits: {gate: cases.jsonl, dev: dev.jsonl}\n";
    scene.write("suite.yaml", format!("{SUITE}{splits}"));
    let case =
        |id: &str, text: &str| format!("{}\n", json!({"id": id, "prompt": text, "target": "yes"}));
    scene.write("dev.jsonl", case("t001", "again"));
    let twice = scene.eval("new", "--split dev");
    assert_eq!(twice.code, Some(2), "{twice}");
    assert!(
        twice
            .to_string()
            .contains("dev.jsonl:1: the case \"t001\" is already at"),
        "{twice}"
    );
    let wrong = (1..=5).map(|n| case(&format!("d{n}"), &format!("always wrong {n}")));
    let cases = wrong.chain([case("d6", "fine")]).collect::<String>();
    scene.write("dev.jsonl", cases);
    let told = scene.eval("new", "--split dev").ok();
    assert!(
        told.to_string().contains("d5: \"no\" instead of \"yes\""),
        "{told}"
    );
    let json = scene.eval("new", "--split dev --format json").ok().json();
    assert_eq!(json["suite_name"], "answers.dev");
    let missed = json["missed"].as_array().unwrap();
    assert_eq!(missed.len(), 5);
    assert_eq!(missed[4]["id"], "d5");
    scene.eval("old", "--split dev").ok();
    let refused = scene.gate("--suite answers.dev");
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("answers.dev is a part of a suite that is not compared"),
        "{refused}"
    );
    // The comparison knows nothing of them.
    scene.eval("old", "").ok();
    scene.eval("new", "").ok();
    let judged = scene.gate("--suite suite.yaml --format json");
    assert_eq!(
        judged.json()["comparisons"][0]["numbers"]["n"],
        160,
        "{judged}"
    );
}
