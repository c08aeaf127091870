//! Judges: asked, measured against people, trusted no further than that, and never instead of another one.

use retune::registry::Version;
use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::Output;
use crate::support::endpoint::{Call, Endpoint, Reply};
use crate::support::project::Project;

const CASES: usize = 120;
const KEY: &str = "sk-test-77e1b0c4";

const SUITE: &str = "\
version: 1
name: helpful
task: generation
cases: cases.jsonl
judge: {target: judge.yaml, calibration: known.jsonl}
defaultTest: {assert: [{type: llm-rubric, value: It solves the problem., metric: helpful}]}
";

const POLICY: &str = "\
version: 1
criteria:
  - {id: help, metric: helpful.pass, kind: binary, rule: noninferior, margin: 0.1, judge: {min_kappa: 0.7}}
first_version: {against: majority, rule: superior, margin: 0.05}
";

/// Two versions whose answers to the suite were recorded, and a judge.
struct Scene {
    project: Project,
    endpoint: Endpoint,
    old: Version,
    new: Version,
}

impl Scene {
    fn new() -> Self {
        let project = Project::new();
        let (old, new) = (project.version("old"), project.version("new"));
        let endpoint = Endpoint::new(sound);
        let scene = Self {
            project,
            endpoint,
            old,
            new,
        };
        scene.write("suite.yaml", SUITE);
        scene.write("gate.yaml", POLICY);
        scene.judge("j-1", "");
        scene.write(
            "cases.jsonl",
            lines(
                CASES,
                |n| json!({"id": id(n), "prompt": format!("case {n}")}),
            ),
        );
        // The old version is bad on the first eighteen, the new one on the last eighteen.
        let output = |bad: bool| if bad { "bad" } else { "good" };
        scene.write(
            "old.jsonl",
            lines(CASES, |n| json!({"id": id(n), "output": output(n < 18)})),
        );
        scene.write(
            "new.jsonl",
            lines(
                CASES,
                |n| json!({"id": id(n), "output": output(n >= CASES - 18)}),
            ),
        );
        scene.write("known.jsonl", known(95, 90));
        scene
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        self.project.env.write(name, text);
    }

    fn judge(&self, model: &str, more: &str) {
        let text = format!(
            "version: 1\nkind: endpoint\nurl: {}\napi: chat\nmodel: {model}\nconcurrency: 16\nbackoff_ms: 1\nattempts: 2\nkey: {{env: MY_KEY}}\n{more}",
            self.endpoint.url()
        );
        self.write("judge.yaml", text);
    }

    fn run(&self, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.project
            .env
            .run_with(&words, &[("MY_KEY", KEY.to_owned())])
    }

    fn eval(&self, model: &str) -> Output {
        let version = if model == "old" { &self.old } else { &self.new };
        self.run(&format!(
            "eval suite.yaml --model {version} --target {model}.jsonl --format json"
        ))
    }

    fn gate(&self) -> Output {
        self.run(&format!(
            "gate check {} --against {} --suite suite.yaml --format json",
            self.new, self.old
        ))
    }

    #[track_caller]
    fn invalid(&self, why: &str) {
        let output = self.gate();
        assert_eq!(output.code, Some(13), "{output}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(why), "{why}: {output}");
    }

    fn report(&self, eval: &Output) -> Value {
        let id = &eval.json()["report"];
        self.project.env.stored(id.as_str().unwrap())
    }
}

fn id(n: usize) -> String {
    format!("t{n:03}")
}

fn lines(count: usize, line: impl Fn(usize) -> Value) -> String {
    (0..count).map(|n| format!("{}\n", line(n))).collect()
}

/// A hundred cases that people passed and a hundred that they failed; of so many the judge says the same.
fn known(passed: usize, failed: usize) -> String {
    lines(200, |n| {
        let pass = n < 100;
        let good = if pass { n < passed } else { n - 100 >= failed };
        let output = if good { "good" } else { "bad" };
        json!({"prompt": format!("known {n}"), "output": output, "pass": pass})
    })
}

fn material(call: &Call) -> Value {
    serde_json::from_str(call.prompt()).unwrap()
}

fn verdict(call: &Call) -> Value {
    match material(call)["answer"] == "good" {
        true => json!({"reason": "It does.", "pass": true, "score": 0.9}),
        false => json!({"reason": "It does not.", "pass": false, "score": 0.2}),
    }
}

/// Passes what is good, under the name that it is asked by.
fn sound(call: &Call) -> Reply {
    Reply::said(
        call.body["model"].as_str().unwrap(),
        &verdict(call).to_string(),
    )
}

#[track_caller]
fn exits(output: Output, code: i32, why: &str) -> Output {
    assert_eq!(output.code, Some(code), "{output}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains(why), "{why}: {output}");
    output
}

// Expected limits: tests/fixtures/stats/make_agreement.py, the table [95, 5, 10, 90] at alpha 0.025.
#[test]
fn a_judge_is_measured_and_margins_shrink_by_what_it_may_miss() {
    let scene = Scene::new();
    let old = scene.eval("old").ok();
    assert_eq!(scene.endpoint.calls(), CASES + 200);
    let seen = scene.endpoint.seen();
    let asked = |what: &str| {
        let found = seen.iter().find(|call| material(call)["question"] == what);
        found.unwrap().clone()
    };
    let call = asked("case 7");
    assert_eq!(
        material(&call),
        json!({"rubric": "It solves the problem.", "question": "case 7", "answer": "bad"})
    );
    let body = &call.body;
    assert_eq!(
        (&body["model"], &body["temperature"]),
        (&json!("j-1"), &json!(0.0))
    );
    assert_eq!(body["messages"][0]["role"], "system");
    assert_eq!(call.authorization, Some(format!("Bearer {KEY}")));
    assert_eq!(
        material(&asked("known 3"))["rubric"],
        "It solves the problem."
    );

    let report = scene.report(&old);
    valid(&report);
    assert_eq!(
        report["judged"]["by"]["answered_by"],
        json!({"j-1": CASES + 200})
    );
    let agreement =
        json!({"both_pass": 95, "only_people_pass": 5, "only_judge_passes": 10, "both_fail": 90});
    assert_eq!(report["judged"]["agreement"]["helpful"], agreement);
    let case = &report["cases"][7];
    assert_eq!(
        case["measures"],
        json!({"helpful": "0.2", "helpful.pass": "0"})
    );
    assert_eq!(case["notes"], json!({"helpful": "It does not."}));
    assert_eq!(
        (&case["correct"], &report["cases"][50]["correct"]),
        (&json!(false), &json!(true))
    );
    let shown = old.json()["judged"]["agreement"]["helpful"].clone();
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    assert!((number(&shown["kappa"]) - 0.85).abs() < 1e-12, "{shown}");
    assert_eq!(
        (&shown["sensitivity"], &shown["specificity"]),
        (&json!("0.95"), &json!("0.9"))
    );

    let again = scene.eval("old").ok().json();
    assert_eq!(
        (&again["new"], scene.endpoint.calls()),
        (&json!(false), CASES + 200)
    );
    scene.eval("new").ok();
    // 18 improved and 18 regressed of 120 do not show a loss below 10 points times 0.71.
    let gate = exits(scene.gate(), 12, "these cases would pass with a margin of");
    let comparison = &gate.json()["comparisons"][0];
    let file = include_str!("../../fixtures/stats/agreement.json");
    let expected: Value = serde_json::from_str(file).unwrap();
    let row = &expected["tables"][0];
    assert_eq!(row["table"], json!([95, 5, 10, 90]));
    let factor = row["factor"].as_f64().unwrap();
    assert!(
        (number(&comparison["judge"]["factor"]) - factor).abs() < 1e-8,
        "{comparison}"
    );
    assert!((number(&comparison["numbers"]["boundary"]) + 0.1 * factor).abs() < 1e-8);
    assert_eq!(comparison["margin"], "0.1");
    let told = scene.run(&format!(
        "gate check {} --against {} --suite suite.yaml",
        scene.new, scene.old
    ));
    assert!(
        told.stdout
            .contains("judge       kappa 0.85 on 200 calibration cases"),
        "{told}"
    );

    // With a margin that allows for the judge, they do.
    scene.write("gate.yaml", POLICY.replace("margin: 0.1,", "margin: 0.15,"));
    scene.gate().ok();
    let mut files = 0;
    everything(&scene.project.env.root(), &mut |path, bytes| {
        files += 1;
        let found = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        assert!(!found, "the key is in {}", path.display());
    });
    assert!(files > 20, "{files}");
}

fn everything(dir: &std::path::Path, look: &mut impl FnMut(&std::path::Path, &[u8])) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => everything(&path, look),
            false => look(&path, &std::fs::read(&path).unwrap()),
        }
    }
}

#[test]
fn a_judge_that_disagrees_with_people_decides_nothing() {
    let scene = Scene::new();
    // Kappa 0.4 on the same number of cases.
    scene.write("known.jsonl", known(70, 70));
    scene.eval("old").ok();
    scene.eval("new").ok();
    scene.invalid("judge-untrusted");
    scene.invalid("with kappa 0.40 on 200 cases; the policy wants 0.7");
    // Whether people judged anything is part of the suite.
    scene.write(
        "suite.yaml",
        SUITE.replace(", calibration: known.jsonl", ""),
    );
    scene.invalid("no report");
    scene.eval("old").ok();
    scene.eval("new").ok();
    scene.invalid("nobody knows how good the judge is");
    // Numbers are shown nevertheless where nothing follows from them.
    let shown = "  - {id: other, metric: accuracy, kind: binary, rule: report}\n";
    scene.write(
        "gate.yaml",
        POLICY.replace("first_version", &format!("{shown}first_version")),
    );
    scene.invalid("nobody knows how good the judge is");
}

#[test]
fn a_verdict_that_cannot_be_read_is_an_error_of_its_case() {
    let scene = Scene::new();
    scene.endpoint.now(|call| {
        let question = material(call)["question"].clone();
        let said = match question.as_str().unwrap() {
            "case 0" => "PASS".to_owned(),
            "case 1" => format!("Sure: {}", verdict(call)),
            "case 2" => r#"{"pass": true, "score": 7}"#.to_owned(),
            "case 3" => r#"{"pass": true, "confidence": 1}"#.to_owned(),
            "known 0" => "no idea".to_owned(),
            _ => verdict(call).to_string(),
        };
        Reply::said("j-1", &said)
    });
    let output = exits(scene.eval("new"), 13, "errors");
    let report = scene.report(&output);
    assert_eq!(report["metrics"]["errors"], 4);
    for (case, why) in [
        (0, "not {pass, score, reason}"),
        (2, "outside 0 to 1"),
        (3, "unknown field"),
    ] {
        let error = report["cases"][case]["error"].as_str().unwrap();
        assert!(
            error.starts_with("grader helpful: the judge: ") && error.contains(why),
            "{error}"
        );
    }
    // People passed it; a judge that says nothing does not agree.
    let agreement = &report["judged"]["agreement"]["helpful"];
    assert_eq!(
        (
            &agreement["both_pass"],
            &agreement["only_people_pass"],
            &agreement["undecided"]
        ),
        (&json!(94), &json!(6), &json!(1))
    );
    scene.endpoint.now(sound);
    scene.eval("old").ok();
    scene.invalid("too-many-errors");
}

#[test]
fn another_judge_than_the_suites_is_never_evidence() {
    let scene = Scene::new();
    scene.eval("old").ok();
    // The endpoint switches silently.
    scene
        .endpoint
        .now(|call| Reply::said("j-1-0617", &verdict(call).to_string()));
    exits(scene.eval("new"), 13, "j-1-0617");
    scene.invalid("model-switched");
    scene.invalid("the judge: j-1 was to answer; the replies name j-1-0617");
    // And back: what the other one said is asked again.
    scene.endpoint.now(sound);
    scene.eval("new").ok();
    assert_eq!(scene.endpoint.calls(), CASES + 200);
    let gate = scene.gate();
    assert_eq!(gate.code, Some(12), "{gate}");
    // The suite's author changes the judge between the arms: it is another suite now.
    scene.judge("j-2", "");
    scene.eval("new").ok();
    scene.invalid("no report");
}

#[test]
fn missing_verdicts_are_no_report_and_only_they_are_asked_for_again() {
    let scene = Scene::new();
    scene.endpoint.now(|call| match call.number % 2 {
        0 => Reply::status(500, "broken"),
        _ => sound(call),
    });
    let text = std::fs::read_to_string(scene.project.env.path("judge.yaml")).unwrap();
    scene.write("judge.yaml", text.replace("attempts: 2", "attempts: 1"));
    let output = exits(
        scene.eval("new"),
        13,
        "verdicts of the judge are missing: HTTP 500: broken",
    );
    assert!(
        output.stderr.contains("asks only for what is missing"),
        "{output}"
    );
    scene.invalid("no report");
    let missing = CASES + 200 - scene.endpoint.calls() / 2;
    scene.endpoint.now(sound);
    scene.eval("new").ok();
    assert_eq!(scene.endpoint.calls(), missing);
    // Nobody asks where the suite's file is not known.
    scene.judge("j-3", "");
    scene.eval("new").ok();
    let line = format!("eval helpful --model {} --target old.jsonl", scene.old);
    exits(
        scene.run(&line),
        2,
        "the recorded suite does not say how to ask it",
    );
}

#[test]
fn accuracy_that_mixes_a_judge_with_rules_is_no_criterion() {
    let scene = Scene::new();
    let accuracy = POLICY.replace("helpful.pass", "accuracy");
    scene.write(
        "gate.yaml",
        accuracy.replace("margin: 0.1,", "margin: 0.15,"),
    );
    scene.eval("old").ok();
    scene.eval("new").ok();
    // The judge alone says what is right: its verdicts are the accuracy.
    scene.gate().ok();
    let two = "metric: helpful}, {type: not-contains, value: damn, metric: polite}";
    scene.write("suite.yaml", SUITE.replace("metric: helpful}", two));
    scene.eval("old").ok();
    scene.eval("new").ok();
    scene.invalid("accuracy mixes the judge's verdicts with other demands");
    scene.write(
        "suite.yaml",
        SUITE.replace(
            "metric: helpful}",
            &two.replace("helpful}", "helpful, weight: 0}"),
        ),
    );
    scene.eval("old").ok();
    scene.eval("new").ok();
    // Nothing is wrong without the judge, and a suite that cannot tell arms apart is no evidence either.
    scene.invalid("saturated");
}

#[test]
fn what_is_wrong_with_a_judge_is_told_with_its_place() {
    let scene = Scene::new();
    let known = |line: &str| format!("{}{line}\n", known(95, 90));
    for (file, text, why) in [
        (
            "suite.yaml",
            SUITE.replace("judge:", "judge2:"),
            "did you mean `judge`?",
        ),
        (
            "suite.yaml",
            SUITE.replace(
                "judge: {target: judge.yaml, calibration: known.jsonl}\n",
                "",
            ),
            "the suite has to name who judges",
        ),
        (
            "suite.yaml",
            SUITE.replace("llm-rubric", "contains"),
            "no grader is of `type: llm-rubric` or `pairwise`",
        ),
        (
            "suite.yaml",
            SUITE.replace("llm-rubric", "pairwise"),
            "`pairwise` needs `against`",
        ),
        (
            "suite.yaml",
            SUITE.replace("known.jsonl}", "known.jsonl, against: old.jsonl}"),
            "no grader is of `type: pairwise`",
        ),
        (
            "known.jsonl",
            known(r#"{"prompt": "p", "output": "o", "pass": true, "other": "x"}"#),
            "`other` means nothing for helpful",
        ),
        (
            "suite.yaml",
            SUITE.replace("value: It solves the problem., ", ""),
            "say `value`: the rubric",
        ),
        (
            "judge.yaml",
            "version: 1\nkind: command\ncommand: [cat]\n".to_owned(),
            "a judge is an endpoint",
        ),
        (
            "known.jsonl",
            known(r#"{"prompt": "p", "output": "o", "pass": true, "metric": "kind"}"#),
            "known.jsonl:201: no judged metric is called",
        ),
        (
            "known.jsonl",
            known(r#"{"prompt": "p", "output": "o"}"#),
            "known.jsonl:201: missing field `pass`",
        ),
        (
            "known.jsonl",
            known(r#"{"output": "o", "pass": true}"#),
            "either `prompt` or `messages`",
        ),
        (
            "known.jsonl",
            self::known(95, 90)
                .lines()
                .take(100)
                .collect::<Vec<_>>()
                .join("\n"),
            "metric helpful has no case that people failed",
        ),
    ] {
        let scene = Scene::new();
        scene.write(file, text);
        let output = scene.eval("new");
        exits(output, 2, why);
        assert_eq!(scene.endpoint.calls(), 0);
    }
    scene.write("gate.yaml", POLICY.replace("0.7}", "1.7}"));
    exits(
        scene.gate(),
        2,
        "criteria[0].judge.min_kappa: 1.7 is not above 0 and below 1",
    );
}

const PAIRS: &str = "\
version: 1
name: better
task: generation
cases: cases.jsonl
judge: {target: judge.yaml, calibration: pairs.jsonl, against: old.jsonl}
defaultTest: {assert: [{type: pairwise, value: The more helpful one., metric: better}]}
";

/// Prefers what is good, and of equally good answers the first.
fn partial(call: &Call) -> Reply {
    let pair = material(call);
    let better = match (pair["first"] == "bad", pair["second"] == "bad") {
        (true, false) => "second",
        _ => "first",
    };
    let said = json!({"reason": "So it seems.", "better": better});
    Reply::said("j-1", &said.to_string())
}

#[test]
fn pairs_are_shown_in_both_orders_and_a_preferred_place_is_a_tie() {
    let scene = Scene::new();
    scene.endpoint.now(partial);
    scene.write("suite.yaml", PAIRS);
    let policy = "metric: better, kind: graded, range: [0, 1]";
    scene.write(
        "gate.yaml",
        POLICY.replace("metric: helpful.pass, kind: binary", policy),
    );
    // People preferred the good ones; of two good ones they preferred the second, which the judge cannot tell.
    let pairs = lines(200, |n| {
        let (output, other) = match (n % 2 == 0, n < 8) {
            (true, false) => ("good", "bad"),
            (false, false) => ("bad", "good"),
            (_, true) => ("good", "fine"),
        };
        json!({"prompt": format!("known {n}"), "output": output, "other": other, "pass": n % 2 == 0})
    });
    scene.write("pairs.jsonl", pairs);
    let new = scene.eval("new").ok();
    // Of the new version's answers 36 are other ones than the old version's.
    assert_eq!(scene.endpoint.calls(), 2 * (36 + 200));
    let report = scene.report(&new);
    valid(&report);
    let of = |case: usize| {
        (
            &report["cases"][case]["measures"]["better"],
            &report["cases"][case]["measures"]["better.pass"],
        )
    };
    assert_eq!(of(0), (&json!("1"), &json!("1")));
    assert_eq!(of(50), (&json!("0.5"), &json!("1")));
    assert_eq!(of(CASES - 1), (&json!("0"), &json!("0")));
    let agreement = json!({"both_pass": 96, "only_people_pass": 4, "only_judge_passes": 4, "both_fail": 96, "undecided": 8});
    assert_eq!(report["judged"]["agreement"]["better"], agreement);
    // The old version against itself: only the calibration is asked again.
    scene.endpoint.now(partial);
    let old = scene.report(&scene.eval("old").ok());
    assert_eq!(scene.endpoint.calls(), 400);
    assert_eq!(old["metrics"]["scores"]["better"], "0.5");
    let gate = scene.gate();
    let comparison = &gate.json()["comparisons"][0];
    assert_eq!(
        (
            &comparison["numbers"]["improved"],
            &comparison["numbers"]["regressed"]
        ),
        (&json!(18), &json!(18))
    );
    assert_eq!(comparison["judge"]["kappa"], "0.92");
    scene.write(
        "gate.yaml",
        POLICY
            .replace("metric: helpful.pass", "metric: better.pass")
            .replace("rule: noninferior, margin: 0.1", "rule: absolute, min: 0.5"),
    );
    scene.invalid("a comparison says nothing about a share");
    // An answer that was not recorded is a fault of the suite, not a win.
    scene.write("old.jsonl", "{\"id\": \"t000\", \"output\": \"good\"}\n");
    exits(scene.eval("new"), 2, "no output of case");
}

// A floor has the suite's judge, asked again for what it fails, and nothing that it could be compared with.
#[test]
fn a_floor_is_judged_too() {
    let scene = Scene::new();
    let suite = SUITE.replace(
        "cases: cases.jsonl",
        "splits: {gate: cases.jsonl, floor: incidents.jsonl}",
    );
    scene.write("suite.yaml", &suite);
    scene.write(
        "gate.yaml",
        format!("{POLICY}floor: {{confirm: {{repeats: 3, fail_if: 2}}}}\n"),
    );
    let incident = |id: &str| {
        let source = json!({"source": format!("incident:{id}"), "sampled": false});
        json!({"id": id, "prompt": format!("incident {id}"), "retune": source})
    };
    scene.write(
        "incidents.jsonl",
        format!("{}\n{}\n", incident("I-1"), incident("I-2")),
    );
    for (model, incidents) in [("old", ["good", "good"]), ("new", ["good", "bad"])] {
        let path = scene.project.env.path(&format!("{model}.jsonl"));
        let said = ["I-1", "I-2"].into_iter().zip(incidents);
        let said = said.map(|(id, output)| format!("{}\n", json!({"id": id, "output": output})));
        let answers = std::fs::read_to_string(path).unwrap() + &said.collect::<String>();
        scene.write(&format!("{model}.jsonl"), answers);
    }
    for model in ["old", "new"] {
        scene.eval(model).ok();
    }
    let gate = scene.gate();
    assert_eq!(gate.code, Some(11), "{gate}");
    let evidence = gate.json();
    let missed = json!([{"id": "I-2", "fails": true}]);
    assert_eq!(evidence["floor"]["missed"], missed, "{gate}");
    let asked = scene.endpoint.seen();
    let about = |words: &str| {
        let about = |call: &&Call| call.prompt().contains(words);
        asked.iter().filter(about).count()
    };
    assert_eq!((about("incident I-1"), about("incident I-2")), (2, 2));
    scene.write(
        "suite.yaml",
        suite
            .replace("type: llm-rubric", "type: pairwise")
            .replace("judge.yaml,", "judge.yaml, against: old.jsonl,"),
    );
    exits(scene.eval("old"), 2, "only the split `gate` is compared");
}
