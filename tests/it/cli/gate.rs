//! Evaluating and judging, as the person at the terminal meets it.

use insta::assert_snapshot;
use retune::dataset::{self, Options, SplitName};
use retune::eval::{Answer, Report, Suite};
use retune::lifecycle;
use retune::progress::Silent;
use retune::registry::{ReportEntry, Version};

use crate::support::Output;
use crate::support::project::Project;

const POLICY: &str = "\
version: 1
criteria:
  - {id: accuracy, metric: accuracy, kind: binary, rule: noninferior, margin: 0.02}
first_version: {against: majority, rule: superior, margin: 0.05}
";

/// 300 cases, half of them `refund`; the training split is `refund` three times out of four.
struct Scene {
    project: Project,
}

impl Scene {
    fn new() -> Self {
        let project = Project::new();
        let env = &project.env;
        let label = |index| if index % 2 == 0 { "refund" } else { "where" };
        let case = |index| {
            format!(
                "{{\"id\":\"t{index:03}\",\"text\":\"case {index}\",\"label\":\"{}\"}}\n",
                label(index)
            )
        };
        env.write("cases.jsonl", (0..300).map(case).collect::<String>());
        env.write(
            "suite.yaml",
            "version: 1\nname: intents\ntask: classification\ncases: cases.jsonl\n",
        );
        env.write("gate.yaml", POLICY);
        Self { project }
    }

    /// A version trained on rows like `word 1`, registered.
    fn version(&self, text: &str, word: &str) -> Version {
        let project = &self.project;
        let row = |index| {
            let label = if index % 4 == 0 { "where" } else { "refund" };
            format!("{{\"text\":\"{word} {index}\",\"label\":\"{label}\"}}\n")
        };
        let path = project
            .env
            .write("train.jsonl", (0..40).map(row).collect::<String>());
        let files = [(SplitName::Train, path)];
        let options = Options::default();
        let (_, manifest) = dataset::import(&project.store, &files, &options, &Silent).unwrap();
        project.version_on(text, &manifest.encode().unwrap())
    }

    /// Records a report in which the version has exactly these cases wrong.
    fn report(&self, version: &Version, wrong: impl Fn(usize) -> bool) {
        let suite = Suite::read(&self.project.env.path("suite.yaml")).unwrap();
        let answer = |(index, case): (usize, &retune::eval::Case)| {
            let other = if case.label == "refund" {
                "where"
            } else {
                "refund"
            };
            Answer::Label(if wrong(index) { other } else { &case.label }.to_owned())
        };
        let answers = suite.cases().iter().enumerate().map(answer).collect();
        let labels = vec!["refund".to_owned(), "where".to_owned()];
        let subject = lifecycle::subject_of(version);
        let report = Report::new(&suite, subject, labels, answers).unwrap();
        let entry = ReportEntry {
            report: report.store(&self.project.store).unwrap().digest(),
            suite: suite.store(&self.project.store).unwrap().digest(),
            subject: report.subject.digest().unwrap(),
        };
        let tenant = self.project.tenant();
        tenant.reports().add(&entry, &self.project.act()).unwrap();
    }

    fn check(&self, version: &Version, rest: &str) -> Output {
        let candidate = format!("gate check {version} --suite suite.yaml");
        self.project.env.run(&format!("{candidate} {rest}"))
    }
}

#[test]
fn a_plan_says_what_so_many_cases_can_decide() {
    let scene = Scene::new();
    assert_snapshot!(scene.project.env.run("gate plan --cases 300"), @"
    $ retune gate plan --cases 300
    300 cases, where the arms differ on 10 % of them

      accuracy: less than 2 points worse than the version before
        equally good       passes 27.9 %; 80 % from 1,565 cases on
        equally good       fails 5.0 %
        a margin worse     passes 4.8 %
        smallest margin    4.68 points for 80 %

      first-version: more than 5 points better than majority
        no better          passes 0.0 %
        exactly at margin  passes 5.5 %
        smallest true gain 8.9 points for 80 %
    ");
    assert_snapshot!(scene.project.env.run("gate plan --cases 100"), @"
    $ retune gate plan --cases 100
    100 cases, where the arms differ on 10 % of them

      accuracy: less than 2 points worse than the version before
        cannot be met: it needs at least 149 cases

      first-version: more than 5 points better than majority
        no better          passes 0.1 %
        exactly at margin  passes 5.6 %
        smallest true gain 11.19 points for 80 %
    --- exit 2
    ");
    let json = scene
        .project
        .env
        .run("gate plan --suite suite.yaml --format json")
        .ok()
        .json();
    assert_eq!(json["schema"], "retune.gate-plan/1");
    assert_eq!(json["cases"], 300);
    // reference/gate.md: 1565 cases for 80 % at margin 2, discordance 10 %.
    assert_eq!(json["criteria"][0]["needed_cases"], 1565);
}

#[test]
fn a_plan_can_take_the_discordance_from_earlier_decisions() {
    let scene = Scene::new();
    let env = &scene.project.env;
    let auto = POLICY.replace("criteria:", "design: {discordance: auto}\ncriteria:");
    env.write("gate.yaml", auto);
    let plan = || {
        env.run("gate plan --suite suite.yaml --format json")
            .ok()
            .json()
    };
    assert_eq!(plan()["discordance"], 0.1);
    assert!(plan().get("decisions").is_none());
    let old = scene.version("old", "row");
    scene.report(&old, |index| index < 30);
    // 6 and 30 of 300 cases differ.
    for (name, wrong) in [("a", 27..33), ("b", 15..45)] {
        let version = scene.version(name, "row");
        scene.report(&version, |index| {
            wrong.contains(&index) != (index < 30 && name == "a")
        });
        scene.check(&version, &format!("--against {old}"));
    }
    let plan = plan();
    assert_eq!(plan["decisions"], 2);
    assert_eq!(plan["discordance"], 36.0 / 600.0);
    let told = env.run("gate plan --suite suite.yaml").ok().stdout;
    assert!(
        told.starts_with(
            "300 cases, where the arms differ on 6 % of them, as in the last 2 decisions\n"
        ),
        "{told}"
    );
}

#[test]
fn a_first_version_is_judged_against_what_needs_no_training() {
    let scene = Scene::new();
    let version = scene.version("one", "row");
    let env = &scene.project.env;
    assert_snapshot!(scene.check(&version, "--against majority"), @"
    $ retune gate check support@20261123-5b1c22f0aaec --suite suite.yaml --against majority
    --- stderr
    error: cannot judge support@20261123-5b1c22f0aaec
      caused by: there is no report of support@20261123-5b1c22f0aaec, the adapter 95d51f1bc925 on base ec311b938f29, on suite sha256:af4f2ce135660f3b72631a315613d1dd687398bb4e57aa559fbe479f066a5a84
      hint: run `retune eval suite.yaml --model support@20261123-5b1c22f0aaec`
    --- exit 13
    ");
    scene.report(&version, |index| index < 30);
    assert_snapshot!(scene.check(&version, "--against majority"), @"
    $ retune gate check support@20261123-5b1c22f0aaec --suite suite.yaml --against majority
    --- stderr
    error: cannot judge support@20261123-5b1c22f0aaec
      caused by: there is no report of majority, the majority label of dataset d22d642ab82e, on suite sha256:af4f2ce135660f3b72631a315613d1dd687398bb4e57aa559fbe479f066a5a84
      hint: run `retune eval suite.yaml --model support@20261123-5b1c22f0aaec --baseline majority`
    --- exit 13
    ");
    let eval = format!("eval suite.yaml --model {version} --baseline majority");
    assert_snapshot!(env.run(&format!("{eval} --dry-run")), @"
    $ retune eval suite.yaml --model support@20261123-5b1c22f0aaec --baseline majority --dry-run
    would evaluate the majority label of dataset d22d642ab82e
      suite     intents, 300 cases
    ");
    assert_snapshot!(env.run(&eval), @"
    $ retune eval suite.yaml --model support@20261123-5b1c22f0aaec --baseline majority
    accuracy 50.0 %, macro F1 0.333
      subject   majority label of dataset d22d642ab82e
      suite     intents, 300 cases
      weakest   where: F1 0.000 of 150 cases
                refund: F1 0.667 of 150 cases
      report    sha256:6097a32e25b924580a58876a89f13a26de46cdbf326990388d367c1066324396
    ");
    let again = env.run(&format!("{eval} --format json")).ok().json();
    assert_eq!(again["new"], false);
    assert_eq!(again["metrics"]["accuracy"], "0.5");
    assert_snapshot!(scene.check(&version, "--against majority"), @"
    $ retune gate check support@20261123-5b1c22f0aaec --suite suite.yaml --against majority
    PASS  support@20261123-5b1c22f0aaec against majority

      PASS  first-version: more than 5 points better than majority
        accuracy    50.0 % → 90.0 %
        difference  +40.0 points, 90 % interval +34.4 to +45.4
        cases       135 improved, 15 regressed, 150 the same

      suite     sha256:af4f2ce135660f3b72631a315613d1dd687398bb4e57aa559fbe479f066a5a84
      policy    sha256:490766a8f8eae6e1896e134d2629f5a3596ed1c022c1c05c526e61c8f3166362
      evidence  sha256:d136629936ebfdf5428f1d71bdcafed0b4d5969ba6fcbdf85c67526748427323
    ");
    assert_snapshot!(env.run(&format!("gate show {version}")), @"
    $ retune gate show support@20261123-5b1c22f0aaec
    PASS  support@20261123-5b1c22f0aaec against majority

      PASS  first-version: more than 5 points better than majority
        accuracy    50.0 % → 90.0 %
        difference  +40.0 points, 90 % interval +34.4 to +45.4
        cases       135 improved, 15 regressed, 150 the same

      suite     sha256:af4f2ce135660f3b72631a315613d1dd687398bb4e57aa559fbe479f066a5a84
      policy    sha256:490766a8f8eae6e1896e134d2629f5a3596ed1c022c1c05c526e61c8f3166362
      evidence  sha256:d136629936ebfdf5428f1d71bdcafed0b4d5969ba6fcbdf85c67526748427323 (judged again: it agrees)
    ");
    assert_snapshot!(scene.check(&version, "--against :production"), @"
    $ retune gate check support@20261123-5b1c22f0aaec --suite suite.yaml --against :production
    --- stderr
    error: there is no alias support:production
      hint: a first version is judged --against each baseline that the policy names under `first_version`
    --- exit 2
    ");
}

#[test]
fn the_exit_code_is_the_verdict() {
    let scene = Scene::new();
    let old = scene.version("old", "row");
    scene.report(&old, |index| index < 30);
    let against = format!("--against {old}");
    for (name, wrong, code, verdict) in [
        ("same", (0, 30), 0, "PASS"),
        ("mixed", (15, 45), 12, "INCONCLUSIVE"),
        ("worse", (0, 60), 11, "FAIL"),
    ] {
        let version = scene.version(name, "row");
        scene.report(&version, |index| (wrong.0..wrong.1).contains(&index));
        let output = scene.check(&version, &format!("{against} --format json"));
        assert_eq!(output.code, Some(code), "{output}");
        assert_eq!(output.json()["verdict"], verdict);
        assert_eq!(output.json()["schema"], "retune.gate-verdict/1");
    }
    // Trained on the suite's own texts.
    let leaked = scene.version("leaked", "case");
    scene.report(&leaked, |_| false);
    assert_snapshot!(scene.check(&leaked, &against), @"
    $ retune gate check support@20261123-ae0a28bc4bb8 --suite suite.yaml --against support@20261123-3d57e6ef93c1
    INVALID  support@20261123-ae0a28bc4bb8 against support@20261123-3d57e6ef93c1

      because 40 of 300 cases are in the candidate's training data: t000, t001, t002 and 37 more

      suite     sha256:af4f2ce135660f3b72631a315613d1dd687398bb4e57aa559fbe479f066a5a84
      policy    sha256:490766a8f8eae6e1896e134d2629f5a3596ed1c022c1c05c526e61c8f3166362
      evidence  sha256:7c09acec57015fa346eacbdf2f1ff9ecaa5f70f64a4eabb37b0c2838a0cd4944
    --- exit 13
    ");
}

#[test]
fn inconclusive_is_excused_only_where_the_policy_allows_it() {
    let scene = Scene::new();
    let (old, new) = (scene.version("old", "row"), scene.version("new", "row"));
    scene.report(&old, |index| index < 30);
    scene.report(&new, |index| (15..45).contains(&index));
    let rest = format!("--against {old} --inconclusive pass");
    assert_snapshot!(scene.check(&new, &rest), @"
    $ retune gate check support@20261123-820c2fff3527 --suite suite.yaml --against support@20261123-3d57e6ef93c1 --inconclusive pass
    --- stderr
    error: --inconclusive=pass is not allowed by the policy
      hint: a policy allows it with `on_inconclusive: warn`
    --- exit 2
    ");
    let lenient = format!("{POLICY}on_inconclusive: warn\n");
    scene.project.env.write("gate.yaml", lenient);
    let output = scene.check(&new, &rest).ok();
    assert!(output.stdout.starts_with("INCONCLUSIVE"), "{output}");
    assert_eq!(
        scene.check(&new, &format!("--against {old}")).code,
        Some(12)
    );
}

#[test]
fn a_dry_run_judges_and_records_nothing() {
    let scene = Scene::new();
    let (old, new) = (scene.version("old", "row"), scene.version("new", "row"));
    scene.report(&old, |index| index < 30);
    scene.report(&new, |index| index < 30);
    scene
        .check(&new, &format!("--against {old} --dry-run"))
        .ok();
    let show = scene.project.env.run(&format!("gate show {new}"));
    assert_eq!(show.code, Some(13), "{show}");
}

#[test]
fn faulty_files_are_usage_errors_with_every_fault() {
    let scene = Scene::new();
    let version = scene.version("one", "row");
    scene.project.env.write(
        "gate.yaml",
        POLICY
            .replace(", margin: 0.02", "")
            .replace("version: 1", "version: 3"),
    );
    assert_snapshot!(scene.check(&version, "--against majority"), @"
    $ retune gate check support@20261123-5b1c22f0aaec --suite suite.yaml --against majority
    --- stderr
    error: the gate policy is not valid
      caused by: 2 faults
      caused by: [ENV]/project/gate.yaml:1: version: this version of retune reads version 1
      caused by: [ENV]/project/gate.yaml:3: criteria[0].margin: missing: say how much may be lost, or has to be gained; 0.02 is two points
    --- exit 2
    ");
    scene.project.env.write("gate.yaml", POLICY);
    scene.project.env.write(
        "cases.jsonl",
        "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"a\",\"label\":\"x\"}\n{\"txt\":\"a\"}\n",
    );
    assert_snapshot!(scene.project.env.run("eval suite.yaml --baseline majority --dataset tickets"), @r#"
    $ retune eval suite.yaml --baseline majority --dataset tickets
    --- stderr
    error: the suite is not valid
      caused by: 2 faults
      caused by: cases.jsonl:2: the case "4bfeadc70325" is already on line 1
      caused by: cases.jsonl:3: unknown field `txt`, expected one of `id`, `vars`, `target`, `text`, `label`, `metadata`, `description`, `retune`
    --- exit 2
    "#);
    // Too few cases for the margin is known before anything is judged.
    scene
        .project
        .env
        .write("cases.jsonl", "{\"text\":\"a\",\"label\":\"refund\"}\n");
    let (old, new) = (scene.version("old", "row"), scene.version("new", "row"));
    scene.report(&old, |_| false);
    scene.report(&new, |_| false);
    assert_snapshot!(scene.check(&new, &format!("--against {old}")), @"
    $ retune gate check support@20261123-820c2fff3527 --suite suite.yaml --against support@20261123-3d57e6ef93c1
    --- stderr
    error: the suite is too small for this policy, no outcome could pass: criterion accuracy needs at least 149 cases; cases there are: 1
      hint: see what a policy can decide: retune gate plan --cases N
    --- exit 2
    ");
}

const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)> & \\\"quotes\\\" | pipe `tick` @someone #1 <!-- ";

/// Two versions, of which the second has a quarter of the `refund` cases wrong that the first has right.
fn slice_scene() -> (Scene, Version, Version) {
    let scene = Scene::new();
    let env = &scene.project.env;
    let case = |index: usize| {
        let label = if index.is_multiple_of(2) {
            "refund"
        } else {
            "where"
        };
        let text = if index == 0 { HOSTILE } else { "case" };
        format!(
            "{{\"id\":\"t{index:03}\",\"text\":\"{text} {index}\",\"label\":\"{label}\",\"metadata\":{{\"locale\":\"l{}\"}}}}\n",
            index % 3
        )
    };
    env.write("cases.jsonl", (0..300).map(case).collect::<String>());
    env.write(
        "gate.yaml",
        format!("{POLICY}slices: {{by: [label, metadata.locale]}}\noverrides: {{allow: [fail], approvers: 1, expires: 14d}}\n"),
    );
    let (old, new) = (scene.version("old", "row"), scene.version("new", "row"));
    scene.report(&old, |index| index == 1);
    scene.report(&new, |index| index.is_multiple_of(8));
    (scene, old, new)
}

#[test]
fn a_harmed_slice_is_told_and_reported_in_every_format() {
    let (scene, old, new) = slice_scene();
    let against = format!("--against {old}");
    assert_snapshot!(scene.check(&new, &against), @"
    $ retune gate check support@20261123-820c2fff3527 --suite suite.yaml --against support@20261123-3d57e6ef93c1
    FAIL  support@20261123-820c2fff3527 against support@20261123-3d57e6ef93c1

      FAIL  accuracy: less than 2 points worse than support@20261123-3d57e6ef93c1
        accuracy    99.7 % → 87.3 %
        difference  −12.3 points, 90 % interval −15.9 to −9.4
        cases       1 improved, 38 regressed, 261 the same

      slices      5 tested, 4 harmed, 0 too small to test

      because criterion accuracy against the adapter 49373e2740c5 on base ec311b938f29: 1 improved, 38 regressed of 300: worse (p = 0)
      because slice label=refund of criterion accuracy: 0 improved, 38 regressed of 150: worse (p = 0 after Holm's correction)
      because slice metadata.locale=l0 of criterion accuracy: 0 improved, 13 regressed of 100: worse (p = 0.000244141 after Holm's correction)
      because slice metadata.locale=l1 of criterion accuracy: 1 improved, 12 regressed of 100: worse (p = 0.001831055 after Holm's correction)
      because slice metadata.locale=l2 of criterion accuracy: 0 improved, 13 regressed of 100: worse (p = 0.000244141 after Holm's correction)
      note 5 of 5 slices have too few cases to show a drop of 10.0 points, which takes 201; 0 of them too few to be tested at all

      suite     sha256:406fbc3f189dfac0cda7568e9d3d4e8adf0261b84175f44e8df7e597762a5262
      policy    sha256:a38045b0ee891f8d72ec78c39303be22dd13e66ed108d49b29dc49227d20d09f
      evidence  sha256:8b4e86c5c8055b3f1cc86f08db2818298e7d571cd6edd194bcd06d30442cfd8f
    --- exit 11
    ");
    let report = |kind: &str| {
        let output = format!("out.{kind}");
        let line = format!("gate show {new} --suite suite.yaml --report {kind} --output {output}");
        scene.project.env.run(&line).ok();
        let text = std::fs::read_to_string(scene.project.env.path(&output)).unwrap();
        // Left for people to look at, in browsers and with the formats' own checkers.
        let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gate.{kind}"));
        std::fs::write(kept, &text).unwrap();
        text
    };
    let json: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(json["schema"], "retune.gate-verdict/1");
    assert_eq!(json["slices"].as_array().unwrap().len(), 5);

    let sarif: serde_json::Value = serde_json::from_str(&report("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let cases: Vec<_> = results
        .iter()
        .filter(|result| result["ruleId"] == "gate/regressed-case")
        .collect();
    assert_eq!(cases.len(), 38);
    let place = &cases[1]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "cases.jsonl");
    assert_eq!(place["region"]["startLine"], 9, "t008 is on line 9");

    let junit = report("junit");
    assert!(junit.contains("<failure type=\"SLICE\""), "{junit}");
    assert!(junit.contains("tests=\"7\" failures=\"5\""), "{junit}");

    let html = report("html");
    assert!(
        !html.contains("<img") && !html.contains("</script>"),
        "data is text"
    );
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"));
    for word in ["http:", "https:", "url(", "<script", "@import"] {
        assert!(
            !html.contains(word),
            "{word}: the page needs nothing from elsewhere"
        );
    }
    for part in [
        "<svg",
        "label=refund",
        "prefers-color-scheme: dark",
        "harmed",
    ] {
        assert!(html.contains(part), "{part}");
    }

    let markdown = report("markdown");
    assert!(
        markdown.starts_with("<!-- retune-gate -->\n## ❌ FAIL"),
        "{markdown}"
    );
    assert!(!markdown.contains("<img") && !markdown.contains("@someone"));
    assert!(markdown.contains("\\`tick\\`") && markdown.contains("\\| pipe"));
}

#[test]
fn a_waiver_names_people_and_lets_the_alias_move() {
    let (scene, old, new) = slice_scene();
    let env = &scene.project.env;
    scene.check(&old, "--against majority");
    env.run(&format!(
        "eval suite.yaml --model {old} --baseline majority"
    ))
    .ok();
    scene.check(&old, "--against majority").ok();
    env.run(&format!("model promote {old} --to production"))
        .ok();
    assert_eq!(scene.check(&new, "--against :production").code, Some(11));
    let promote = format!("model promote {new} --to production");
    assert_eq!(env.run(&promote).code, Some(11));
    let waive = |rest: &[&str]| {
        let reference = new.to_string();
        let head = [
            "gate",
            "waive",
            &reference,
            "--reason",
            "ships with a label fix",
        ];
        env.run_args(&[&head[..], rest].concat())
    };
    assert_eq!(waive(&[]).code, Some(2), "an approver is missing");
    assert_eq!(
        waive(&["--approver", "Ana <ana@example.org>"]).code,
        Some(2),
        "not oneself"
    );
    let ben = ["--approver", "Ben <ben@example.org>"];
    waive(&[&ben[..], &["--dry-run"]].concat()).ok();
    assert_eq!(env.run(&promote).code, Some(11), "a dry run waives nothing");
    assert_snapshot!(waive(&ben), @"
    $ retune gate waive support@20261123-820c2fff3527 --reason ships with a label fix --approver Ben <ben@example.org>
    WAIVED  FAIL of support@20261123-820c2fff3527
      by        Ana <ana@example.org>
      approved  Ben <ben@example.org>
      because   ships with a label fix
      until     2026-12-07T09:30:00Z
      evidence  sha256:8b4e86c5c8055b3f1cc86f08db2818298e7d571cd6edd194bcd06d30442cfd8f
    ");
    let output = scene.check(&new, "--against :production").ok();
    assert!(output.stdout.starts_with("WAIVED FAIL"), "{output}");
    let json = scene
        .check(&new, "--against :production --format json")
        .ok()
        .json();
    assert_eq!(
        (&json["verdict"], &json["waiver"]["verdict"]),
        (&"FAIL".into(), &"FAIL".into())
    );
    let moved = env.run(&promote).ok().stdout;
    assert!(moved.contains("WAIVED"), "{moved}");
    let log = env.run("model log support:production").ok().stdout;
    assert!(log.contains("promote, waived"), "{log}");
}

#[test]
fn decisions_on_a_suite_are_counted_whatever_it_is_called() {
    let scene = Scene::new();
    let env = &scene.project.env;
    let shared = |decisions: u32| {
        let design =
            format!("design: {{reuse: {{spend: 0.05, decisions: {decisions}}}}}\ncriteria:");
        env.write(
            "gate.yaml",
            POLICY.replace("criteria:", &design).replace("0.02", "0.1"),
        )
    };
    shared(2);
    let old = scene.version("old", "row");
    scene.report(&old, |index| index < 30);
    let against = format!("--against {old} --format json");
    let versions: Vec<Version> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let version = scene.version(name, "row");
            scene.report(&version, |index| index < 29);
            version
        })
        .collect();
    let free = scene.check(&versions[0], &format!("{against} --dry-run"));
    assert_eq!(free.code, Some(2), "{free}");
    let first = scene.check(&versions[0], &against).ok().json();
    assert_eq!(first["decision"], 1);
    let again = scene.check(&versions[0], &against).ok().json();
    assert_eq!(
        again["evidence"], first["evidence"],
        "the same question is the same decision"
    );
    // A new name measures the same.
    env.write(
        "suite.yaml",
        "version: 1\nname: renamed\ntask: classification\ncases: cases.jsonl\n",
    );
    scene.report(&old, |index| index < 30);
    scene.report(&versions[1], |index| index < 29);
    scene.report(&versions[2], |index| index < 29);
    assert_eq!(
        scene.check(&versions[1], &against).ok().json()["decision"],
        2
    );
    let spent = scene.check(&versions[2], &against);
    assert_eq!(spent.code, Some(13), "{spent}");
    assert_eq!(spent.json()["reasons"][0]["code"], "budget-spent");
    // The suite is sealed: counts, no cases.
    let line = format!("gate show {} --report html --output gate.html", versions[0]);
    env.run(&line).ok();
    let html = std::fs::read_to_string(env.path("gate.html")).unwrap();
    assert!(html.contains("sealed") && !html.contains("<article"));
}

#[test]
fn the_promises_are_kept() {
    let scene = Scene::new();
    let output = scene
        .project
        .env
        .run("gate selftest --repetitions 200 --format json")
        .ok()
        .json();
    assert_eq!(output["kept"], true);
    assert_eq!(output["promises"].as_array().unwrap().len(), 12);
}

#[test]
fn a_flipped_byte_of_anything_behind_a_verdict_is_an_integrity_error() {
    let (scene, old, new) = slice_scene();
    let json = scene
        .check(&new, &format!("--against {old} --format json"))
        .json();
    for digest in [
        &json["evidence"],
        &json["policy"],
        &json["suite"],
        &json["candidate"]["report"],
        &json["baselines"][0]["report"],
    ] {
        let digest = digest.as_str().unwrap().parse().unwrap();
        let path = scene.project.store.path_of(&digest);
        let sound = std::fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let output = scene.project.env.run(&format!("gate show {new}"));
        assert_eq!(output.code, Some(14), "{output}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, sound).unwrap();
    }
    scene.project.env.run(&format!("gate show {new}")).ok();
}
