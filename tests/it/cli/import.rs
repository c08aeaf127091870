//! Cases and results of other tools: they count what those tools counted, and are evidence only about what was said.
//! `tests/fixtures/import/make.py` ran the tools and kept what they printed in `printed.json`.

use std::fmt::Write as _;
use std::io::Write as _;

use retune::registry::Version;
use serde_json::{Value, json};

use crate::support::Output;
use crate::support::endpoint::{Call, Endpoint, Reply};
use crate::support::project::Project;

const POLICY: &str = "\
version: 1
design: {errors: {max_rate: 0.05}}
criteria:
  - {id: right, metric: accuracy, kind: binary, rule: noninferior, margin: 0.2}
first_version: {against: majority, rule: superior, margin: 0.05}
";

/// Two versions in a project, and files to import for them.
struct Scene {
    project: Project,
    old: Version,
    new: Version,
}

impl Scene {
    fn new() -> Self {
        let project = Project::new();
        let (old, new) = (project.version("old"), project.version("new"));
        let scene = Self { project, old, new };
        scene.write("gate.yaml", POLICY);
        scene
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        self.project.env.write(name, text);
    }

    /// Puts fixtures into the project.
    fn take(&self, names: &[&str]) {
        for name in names {
            let from = format!(
                "{}/tests/fixtures/import/{name}",
                env!("CARGO_MANIFEST_DIR")
            );
            self.write(name, std::fs::read(from).unwrap());
        }
    }

    /// Runs retune; `~old` and `~new` are the versions.
    fn run(&self, line: &str) -> Output {
        let words = line.split_whitespace().map(|word| match word {
            "~old" => self.old.to_string(),
            "~new" => self.new.to_string(),
            word => word.to_owned(),
        });
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.project.env.run_args(&words)
    }

    /// Imports and shows what the report sums to.
    fn import(&self, line: &str) -> Value {
        let output = self.run(&format!("eval import {line} --format json"));
        assert!(matches!(output.code, Some(0 | 13)), "{output}");
        output.json()
    }

    fn gate(&self, suite: &str) -> Output {
        self.run(&format!(
            "gate check ~new --against ~old --suite {suite} --format json"
        ))
    }

    /// The counts of the one comparison: cases, improved, regressed.
    fn counts(&self, suite: &str) -> [u64; 3] {
        let gate = self.gate(suite).json();
        let numbers = &gate["comparisons"][0]["numbers"];
        ["n", "improved", "regressed"]
            .map(|name| numbers[name].as_u64().unwrap_or_else(|| panic!("{gate:#}")))
    }
}

fn printed(tool: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/import/printed.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    all[tool].clone()
}

fn right(report: &Value) -> u64 {
    let metrics = &report["metrics"];
    let share: f64 = metrics["accuracy"].as_str().unwrap().parse().unwrap();
    (share * metrics["n"].as_f64().unwrap()).round() as u64
}

fn score(report: &Value, metric: &str) -> f64 {
    let score = report["metrics"]["scores"][metric].as_str();
    score
        .unwrap_or_else(|| panic!("{report:#}"))
        .parse()
        .unwrap()
}

#[track_caller]
fn says(output: Output, code: i32, what: &[&str]) {
    assert_eq!(output.code, Some(code), "{output}");
    let said = format!("{}{}", output.stdout, output.stderr);
    for what in what {
        assert!(said.contains(what), "{what:?} is not said: {output}");
    }
}

/// The sums of `make.py`, and what its models answer.
fn sum(call: &Call) -> (u64, u64) {
    let text = call.prompt();
    let rest = text.split("What is ").nth(1).unwrap();
    let mut parts = rest.split(" + ");
    let a = parts.next().unwrap().parse().unwrap();
    let b: String = parts
        .next()
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    (a, b.parse().unwrap())
}

fn mock(call: &Call) -> Reply {
    let (a, b) = sum(call);
    let model = call.body["model"].as_str().unwrap();
    let wrong = match model {
        "mock-old" => (a + b) % 5 == 0,
        _ => (a + b) % 9 == 4,
    };
    let total = a + b + u64::from(wrong);
    let text = match (a * b) % 7 {
        1 => format!("The sum is {total}"),
        _ => total.to_string(),
    };
    Reply::said(model, &text)
}

/// Sixty cases of two arms; the old one is wrong on the first six, the new one on the last two.
fn table(extra: &str, cell: &str) -> String {
    let mut text = format!("id,arm,metric,score{extra}\n");
    for n in 0..60 {
        let (old, new) = (u8::from(n >= 6), u8::from(n < 58));
        for (arm, score) in [("old", old), ("new", new)] {
            writeln!(
                text,
                "q{n},{arm},exact_match,{score}{}",
                cell.replace('#', &n.to_string())
            )
            .unwrap();
            writeln!(
                text,
                "q{n},{arm},rouge,0.{score}5{}",
                cell.replace('#', &n.to_string())
            )
            .unwrap();
        }
    }
    text
}

fn asked() -> String {
    table(",input,latency_ms", ",what is #?,12.5")
}

#[test]
fn the_scores_of_a_table_are_compared() {
    let scene = Scene::new();
    scene.write("scores.csv", asked());
    let import = |arm: &str| {
        scene.import(&format!(
            "table scores.csv --arm {arm} --metric exact_match --name qa --model ~{arm}"
        ))
    };
    let (old, new) = (import("old"), import("new"));
    assert_eq!((right(&old), right(&new)), (54, 58));
    assert_eq!(old["suite"], new["suite"]);
    assert!((score(&new, "rouge") - (58.0 * 0.15 + 2.0 * 0.05) / 60.0).abs() < 1e-12);
    assert_eq!(
        import("new")["new"],
        false,
        "the same again is there already"
    );
    assert_eq!(scene.counts("qa"), [60, 6, 2]);
    says(
        scene.gate("qa"),
        0,
        &[
            "\"PASS\"",
            "answered-elsewhere",
            "table log",
            "which scored them",
        ],
    );
    let asked = scene.run("eval qa --model ~new");
    assert_eq!(asked.code, Some(0), "it is there already: {asked}");
    says(
        scene.run("eval qa --baseline majority --dataset tickets"),
        2,
        &["was asked and scored by table"],
    );
}

#[test]
fn a_table_without_texts_is_no_evidence_until_the_policy_says_so() {
    let scene = Scene::new();
    scene.write("scores.csv", table("", ""));
    for arm in ["old", "new"] {
        scene.import(&format!(
            "table scores.csv --arm {arm} --metric exact_match --name qa --model ~{arm}"
        ));
    }
    says(
        scene.gate("qa"),
        13,
        &["lineage-unknown", "60 of 60 cases have no text"],
    );
    scene.write(
        "gate.yaml",
        format!("{POLICY}contamination: {{exact: report}}\n"),
    );
    says(scene.gate("qa"), 0, &["texts-unknown"]);
}

#[test]
fn errors_count_and_what_has_no_score_is_not_measured() {
    let scene = Scene::new();
    let line = |n: usize, arm: &str, rest: &str| format!("q{n},{arm},ok,{rest},what is {n}?\n");
    let rows = |arm: &str, odd: &str| -> String {
        (0..60)
            .map(|n| line(n, arm, if n == 7 { odd } else { "1," }))
            .collect()
    };
    let file = |odd: &str| {
        let head = "id,arm,metric,score,error,input\n";
        format!("{head}{}{}", rows("old", "0,"), rows("new", odd))
    };
    let import = |arm: &str| {
        scene.run(&format!(
            "eval import table t.csv --arm {arm} --name qa --model ~{arm}"
        ))
    };
    scene.write("t.csv", file("1,timeout"));
    import("old").ok();
    says(
        import("new"),
        13,
        &["1 cases without an answer", "98.3 % right"],
    );
    // The error is no gain over a wrong answer, though its row says 1.
    assert_eq!(scene.counts("qa"), [60, 0, 0]);
    says(scene.gate("qa"), 0, &["errors-counted"]);
    let scene = Scene::new();
    scene.write("t.csv", file("nan,"));
    let import = |arm: &str| {
        scene.run(&format!(
            "eval import table t.csv --arm {arm} --name qa --model ~{arm}"
        ))
    };
    import("old").ok();
    says(import("new"), 13, &["1 cases without a score"]);
    says(
        scene.gate("qa"),
        13,
        &["unmeasured", "case q7 has no score"],
    );
}

#[test]
fn faults_of_a_table_are_told_at_once() {
    let scene = Scene::new();
    scene.write(
        "t.csv",
        "id,arm,metric,score,repeat\na,x,ok,1,0\na,x,ok,1,0\nb,x,ok,one,0\n,x,ok,1,0\nc,x,ok,1,-1\nd,x,ok,1\n",
    );
    let output = scene.run("eval import table t.csv --name qa");
    says(output, 2, &["t.csv:7: 4 cells; the header has 5"]);
    scene.write(
        "t.csv",
        "id,arm,metric,score,repeat\na,x,ok,1,0\na,x,ok,1,0\nb,x,ok,one,0\nc,x,ok,1,-1\n",
    );
    let output = scene.run("eval import table t.csv --name qa");
    says(
        output,
        2,
        &[
            "t.csv:3: ok of this answer is there already",
            "t.csv:4: `score`: \"one\" is no number",
            "t.csv:5: `repeat`: \"-1\" is no number from 0",
        ],
    );
    scene.write(
        "t.csv",
        "id,arm,metric,score,repeat\na,x,ok,1,0\na,x,ok,1,1\nb,x,ok,1,0\n",
    );
    says(
        scene.run("eval import table t.csv --name qa"),
        2,
        &["t.csv:4: case \"b\" has 1 of 2 answers"],
    );
    scene.write("t.csv", "id,arm,metrik,score\n");
    says(
        scene.run("eval import table t.csv --name qa"),
        2,
        &["did you mean `metric`?"],
    );
    scene.write("scores.csv", asked());
    says(
        scene.run("eval import table scores.csv --name qa"),
        2,
        &["which arm? say --arm, one of new, old"],
    );
    says(
        scene.run("eval import table scores.csv --name qa --arm neww"),
        2,
        &["did you mean \"new\"?"],
    );
    let unchosen = scene.run("eval import table scores.csv --name qa --arm new");
    says(
        unchosen,
        2,
        &[
            "which metric says whether a case is right?",
            "exact_match, rouge",
        ],
    );
    says(
        scene.run("eval import table scores.csv --arm new --metric rouge"),
        2,
        &["say --name NAME"],
    );
    says(
        scene.run("eval import table scores.csv --arm new --out x"),
        2,
        &["--metric"],
    );
    says(
        scene.run("eval import table scores.csv --arm new --metric rouge --filter x"),
        2,
        &["--filter means nothing here"],
    );
    says(
        scene.run("eval import table nowhere.csv"),
        2,
        &["nowhere.csv: cannot open"],
    );
}

#[test]
fn a_name_in_a_log_is_no_version() {
    let scene = Scene::new();
    scene.write("scores.csv", asked());
    let import = "table scores.csv --arm new --metric exact_match --name qa";
    let named = scene.import(import);
    assert_eq!(named["subject"], json!({"kind": "named", "model": "new"}));
    scene.import(&format!("{import} --subject {}", scene.new));
    scene.import("table scores.csv --arm old --metric exact_match --name qa --model ~old");
    says(scene.gate("qa"), 13, &["there is no report of"]);
    // The same answers for both versions say nothing about either.
    scene.import("table scores.csv --arm old --metric exact_match --name qa --model ~new");
    says(
        scene.gate("qa"),
        13,
        &["wrong-baseline", "the same answers in the same log"],
    );
    let dry = scene
        .run("eval import table scores.csv --arm new --metric exact_match --name other --dry-run");
    says(dry, 0, &["would be recorded"]);
    says(scene.run("eval other --model ~new"), 2, &["other"]);
}

#[test]
fn results_of_promptfoo_are_what_it_printed() {
    let scene = Scene::new();
    scene.take(&["promptfoo-results.json"]);
    let counts = &printed("promptfoo")["counts"];
    for arm in ["old", "new"] {
        let report = scene.import(&format!(
            "promptfoo promptfoo-results.json --arm mock-{arm} --model ~{arm}"
        ));
        let own = &counts[format!("mock-{arm}")];
        assert_eq!(json!(right(&report)), own["passed"]);
        assert_eq!(report["metrics"]["errors"], own["errors"]);
        assert_eq!(report["metrics"]["n"], 40);
    }
    assert_eq!(counts["mock-old"]["errors"], 1, "an error is no fail");
    let [n, improved, regressed] = scene.counts("sums");
    let difference = |arm: &str| counts[arm]["passed"].as_i64().unwrap();
    // Where the old one has an error it counts as right, and the new one, which is right there, as wrong.
    let net = (difference("mock-new") - 1) - (difference("mock-old") + 1);
    assert_eq!((n, improved as i64 - regressed as i64), (40, net));
    says(scene.gate("sums"), 0, &["errors-counted", "promptfoo 0."]);
    let text = std::fs::read_to_string(scene.project.env.path("promptfoo-results.json")).unwrap();
    scene.write(
        "cut.json",
        text.replacen("\"success\":true", "\"success\":false", 1),
    );
    says(
        scene.run("eval import promptfoo cut.json --arm mock-old"),
        2,
        &["results.prompts[0].metrics: it counted"],
    );
    says(
        scene.run("eval import promptfoo cut.json"),
        2,
        &["whose answers? say --arm, one of mock-new, mock-old"],
    );
}

#[test]
fn results_of_lm_eval_are_what_it_printed() {
    let scene = Scene::new();
    let accuracy = &printed("lm-eval")["accuracy"];
    for filter in ["strict", "flexible"] {
        for arm in ["old", "new"] {
            let dir = format!("lm-eval/mock-{arm}");
            let samples = format!("{dir}/samples_sums_2026-11-28T19-00-00.jsonl");
            scene.take(&[
                samples.as_str(),
                &format!("{dir}/results_2026-11-28T19-00-00.json"),
            ]);
            let report = scene.import(&format!(
                "lm-eval {samples} --filter {filter} --name sums-{filter} --model ~{arm}"
            ));
            let own = accuracy[format!("mock-{arm}")][filter].as_f64().unwrap();
            assert!(
                (score(&report, "exact_match") - own).abs() < 5e-5,
                "{report:#} {own}"
            );
            assert_eq!(right(&report), (own * 40.0).round() as u64);
            let served = &report["served"]["target"];
            assert_eq!(served["model"], format!("mock-{arm}"));
            assert_eq!(served["version"], printed("lm-eval")["version"]);
        }
        assert_eq!(scene.counts(&format!("sums-{filter}"))[0], 40);
        scene.gate(&format!("sums-{filter}")).ok();
    }
    assert_ne!(
        accuracy["mock-new"]["strict"],
        accuracy["mock-new"]["flexible"]
    );
    let samples = "lm-eval/mock-new/samples_sums_2026-11-28T19-00-00.jsonl";
    says(
        scene.run(&format!("eval import lm-eval {samples}")),
        2,
        &["which answers count? say --filter, one of flexible, strict"],
    );
}

#[test]
fn logs_of_inspect_are_what_it_printed() {
    let scene = Scene::new();
    let accuracy = &printed("inspect")["accuracy"];
    for metric in ["match", "includes"] {
        let mut suites = std::collections::BTreeSet::new();
        // One run is kept as one document, too.
        for (arm, form) in [("old", "eval"), ("new", "json"), ("new", "eval")] {
            let log = format!("inspect-mock-{arm}.{form}");
            scene.take(&[log.as_str()]);
            let report = scene.import(&format!(
                "inspect {log} --metric {metric} --name {metric} --model ~{arm}"
            ));
            // Inspect leaves errors out of its mean; here they are in every denominator.
            let own = &accuracy[format!("mock-{arm}")];
            let scored = own["scored"][metric].as_f64().unwrap();
            let expected = own["accuracy"][metric].as_f64().unwrap() * scored / 32.0;
            let found = score(&report, metric);
            assert!((found - expected).abs() < 1e-9, "{report:#} {expected}");
            assert_eq!(report["metrics"]["n"], 64, "two epochs of 32 cases");
            suites.insert(report["suite"].as_str().unwrap().to_owned());
        }
        assert_eq!(suites.len(), 1, "{suites:?}");
    }
    scene.write(
        "gate.yaml",
        POLICY.replace("design: {", "design: {repeats: 2, "),
    );
    for metric in ["match", "includes"] {
        assert_eq!(scene.counts(metric)[0], 64);
    }
    let text = std::fs::read_to_string(scene.project.env.path("inspect-mock-new.json")).unwrap();
    scene.write(
        "late.json",
        text.replacen("\"status\": \"success\"", "\"status\": \"cancelled\"", 1),
    );
    says(
        scene.run("eval import inspect late.json --metric match"),
        2,
        &["the run's status is \"cancelled\""],
    );
}

#[test]
fn logs_of_openai_evals_are_what_it_printed() {
    let scene = Scene::new();
    let accuracy = &printed("openai-evals")["accuracy"];
    for arm in ["old", "new"] {
        let log = format!("openai-evals-mock-{arm}.jsonl");
        scene.take(&[log.as_str()]);
        let report = scene.import(&format!("openai-evals {log} --model ~{arm} --name sums"));
        let own = accuracy[format!("mock-{arm}")].as_f64().unwrap();
        assert!(
            (score(&report, "match") - own).abs() < 1e-9,
            "{report:#} {own}"
        );
    }
    assert_eq!(scene.counts("sums")[0], 40);
    let text =
        std::fs::read_to_string(scene.project.env.path("openai-evals-mock-new.jsonl")).unwrap();
    let cut: String = text
        .lines()
        .filter(|line| !line.contains("final_report"))
        .map(|line| format!("{line}\n"))
        .collect();
    scene.write("cut.jsonl", cut);
    says(
        scene.run("eval import openai-evals cut.jsonl"),
        2,
        &["only a run that ended is evidence"],
    );
    let (short, _) = text.trim_end().rsplit_once('\n').unwrap();
    scene.write("short.jsonl", short);
    says(
        scene.run("eval import openai-evals short.jsonl"),
        2,
        &["it counted an accuracy of 0.8; the events come to"],
    );
}

/// The same cases, asked and graded here, are right as often as there.
#[test]
fn imported_cases_are_asked_and_graded_as_there() {
    let scene = Scene::new();
    scene.take(&[
        "promptfooconfig.yaml",
        "promptfoo-tests.csv",
        "openai-evals-cases.jsonl",
    ]);
    let said = scene
        .run("eval import promptfoo promptfooconfig.yaml --out suites/sums")
        .ok();
    assert!(
        said.stdout
            .contains("wrote suites/sums/suite.yaml and cases.jsonl: suite sums, 40 cases"),
        "{said}"
    );
    scene
        .run("eval import openai-evals openai-evals-cases.jsonl --name arithmetic")
        .ok();
    let endpoint = Endpoint::new(mock);
    let asked = |suite: &str, model: &str| {
        let target = format!(
            "version: 1\nkind: endpoint\nurl: {}\napi: chat\nmodel: {model}\n",
            endpoint.url()
        );
        scene.write("target.yaml", target);
        right(
            &scene
                .run(&format!(
                    "eval {suite}/suite.yaml --target target.yaml --format json"
                ))
                .ok()
                .json(),
        )
    };
    assert_eq!(
        json!(asked("suites/sums", "mock-new")),
        printed("promptfoo")["counts"]["mock-new"]["passed"]
    );
    for model in ["mock-old", "mock-new"] {
        let own = printed("openai-evals")["accuracy"][model].as_f64().unwrap();
        assert_eq!(asked("arithmetic", model), (own * 40.0).round() as u64);
    }
    let again = scene.run("eval import promptfoo promptfooconfig.yaml --out suites/sums");
    says(
        again,
        2,
        &["suites/sums: there is something in this folder already"],
    );
    let tests = scene.run("eval import promptfoo promptfoo-tests.csv --name sums");
    says(tests, 2, &["what are the vars filled into? say --prompt"]);
    let words = [
        "eval",
        "import",
        "promptfoo",
        "promptfoo-tests.csv",
        "--name",
        "csv",
        "--prompt",
        "{{a}} + {{b}} =",
    ];
    says(
        scene
            .project
            .env
            .run_args(&[&words[..], &["--dry-run"]].concat()),
        0,
        &["would write csv/suite.yaml"],
    );
    assert!(!scene.project.env.path("csv").exists());
}

#[test]
fn what_cannot_be_taken_over_is_named_with_its_place() {
    let scene = Scene::new();
    scene.write(
        "promptfooconfig.yaml",
        "\
prompts: ['Say {{x}}']
providers: [openai:gpt-4.1]
nunjucksFilters: {shout: shout.js}
tests:
  - vars: {x: one}
    assert:
      - {type: equals, value: one}
      - {type: javascript, value: output.length < 9}
      - {type: python, value: len(output)}
  - vars: {x: [one, two]}
    options: {transform: output.trim()}
    assert: [{type: contians, value: one}]
  - vars: {y: one}
    assert: [{type: equals, value: one}]
",
    );
    says(
        scene.run("eval import promptfoo promptfooconfig.yaml --name x"),
        2,
        &[
            "promptfooconfig.yaml:3: nunjucksFilters: cannot be taken over",
            "promptfooconfig.yaml:5: tests[0]: `assert[1]`: `type: javascript` is not supported",
            "promptfooconfig.yaml:5: tests[0]: `assert[2]`: `type: python` is not supported",
            "tests[1]: `vars.x` is a list, which makes several tests of one",
            "tests[1]: `options.transform` cannot be taken over",
            "tests[1]: `assert[0]`: `type: contians` is not supported; did you mean `contains`?",
        ],
    );
    scene.write("tests.yaml", "- vars: {x: one}\n  assert: [{type: equals, value: one}]\n- vars: {y: one}\n  assert: [{type: equals, value: one}]\n");
    let words = [
        "eval",
        "import",
        "promptfoo",
        "tests.yaml",
        "--name",
        "x",
        "--prompt",
        "Say {{x}}",
    ];
    says(
        scene.project.env.run_args(&words),
        2,
        &["tests.yaml:3: [1]: there is no \"x\" to fill in"],
    );
    scene.write(
        "tests.csv",
        "x,__expected,__expected2,__prefix,_metric,__threshold\n\
         one,javascript: output > 1,,,,\n\
         two,\"contains-any(3): a, b\",levenshtein: two,say,,0.5\n\
         three,file://check.py,,,m,high\n",
    );
    let words = [
        "eval",
        "import",
        "promptfoo",
        "tests.csv",
        "--name",
        "x",
        "--prompt",
        "Say {{x}}",
    ];
    says(
        scene.project.env.run_args(&words),
        2,
        &[
            "tests.csv:3: `__expected2`: how many characters may change? say `levenshtein(5): …`",
            "tests.csv:3: the column `__prefix` cannot be taken over",
            "tests.csv:2: `assert[0]`: `type: javascript` is not supported",
            "did you mean `__metric`?",
            "tests.csv:4: `__expected`: the program check.py cannot be taken over",
            "tests.csv:4: `__threshold`: \"high\" is no number",
        ],
    );
    assert!(!scene.project.env.path("x").exists());
    scene.write("cases.jsonl", "{\"input\": \"a\", \"ideal\": \"b\"}\n{\"input\": 3, \"ideal\": \"b\"}\n{\"input\": \"a\", \"ideal\": [], \"x\": 1}\n");
    says(
        scene.run("eval import openai-evals cases.jsonl --name x"),
        2,
        &[
            "cases.jsonl:2: `input` is neither",
            "cases.jsonl:3: `x` cannot be taken over",
        ],
    );
}

#[test]
fn a_log_that_unpacks_without_end_is_refused() {
    let scene = Scene::new();
    let mut packed = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let how =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Zstd);
    packed.start_file("header.json", how).unwrap();
    packed
        .write_all(br#"{"status": "success", "eval": {"task": "t", "model": "m"}}"#)
        .unwrap();
    packed.start_file("samples/1_epoch_1.json", how).unwrap();
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..257 {
        packed.write_all(&blanks).unwrap();
    }
    scene.write("bomb.eval", packed.finish().unwrap().into_inner());
    says(
        scene.run("eval import inspect bomb.eval"),
        2,
        &["samples/1_epoch_1.json: more than the 268435456 bytes allowed"],
    );
}
