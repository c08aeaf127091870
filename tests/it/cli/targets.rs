//! Evaluating what is outside: endpoints, programs and recorded outputs, sound and at fault.

use std::path::Path;
use std::time::Duration;

use retune::registry::Version;
use serde_json::{Value, json};

use crate::support::Output;
use crate::support::endpoint::{Call, Endpoint, Reply};
use crate::support::project::Project;

const CASES: usize = 160;
const KEY: &str = "sk-test-5f2c9e1d7a";

const SUITE: &str = "\
version: 1
name: answers
task: generation
cases: cases.jsonl
generate: {max_tokens: 8}
";

const POLICY: &str = "\
version: 1
criteria:
  - {id: right, metric: accuracy, kind: binary, rule: noninferior, margin: 0.02}
first_version: {against: majority, rule: superior, margin: 0.05}
";

const SPEED: &str = "  - {id: p95, metric: latency_ms, kind: quantile, q: 0.95, rule: report}
  - {id: cost, metric: cost_usd, kind: mean, rule: noninferior, ratio: 1.05}
first_version:";

/// A suite of `say N`, of which `yes` is the right answer, and two versions that an endpoint serves.
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
        scene.write("suite.yaml", SUITE);
        scene.write("gate.yaml", POLICY);
        scene.cases(CASES);
        scene
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        self.project.env.write(name, text);
    }

    fn cases(&self, count: usize) {
        let case =
            |n| json!({"id": format!("t{n:03}"), "prompt": format!("say {n}"), "target": "yes"});
        let rows: String = (0..count).map(|n| format!("{}\n", case(n))).collect();
        self.write("cases.jsonl", rows);
    }

    /// `old.yaml` and `new.yaml`: the same endpoint, asked for the model of that name.
    fn targets(&self, endpoint: &Endpoint, more: &str) {
        for model in ["old", "new"] {
            let text = format!(
                "version: 1\nkind: endpoint\nurl: {}\napi: chat\nmodel: {model}\nconcurrency: 16\nbackoff_ms: 1\nattempts: 2\n{more}",
                endpoint.url()
            );
            self.write(&format!("{model}.yaml"), text);
        }
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
            "eval suite.yaml --model {version} --target {model}.yaml --format json"
        ))
    }

    fn gate(&self) -> Output {
        self.run(&format!(
            "gate check {} --against {} --suite suite.yaml --format json",
            self.new, self.old
        ))
    }

    /// Both arms are as they are: the gate has to be INVALID, and has to say why.
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

    fn journal(&self) -> std::path::PathBuf {
        let dir = self.project.env.path(".retune/evals");
        let found = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut found = found.filter(|path| path.extension().is_some_and(|end| end == "journal"));
        found.next().unwrap()
    }
}

fn number(call: &Call) -> usize {
    call.prompt().trim_start_matches("say ").parse().unwrap()
}

fn model(call: &Call) -> String {
    call.body["model"].as_str().unwrap().to_owned()
}

/// Right everywhere, but for the old model on the first ten.
fn sound(call: &Call) -> Reply {
    let wrong = model(call) == "old" && number(call) < 10;
    Reply::said(&model(call), if wrong { "no" } else { "yes" })
}

#[track_caller]
fn exits(output: Output, code: i32, why: &str) -> Output {
    assert_eq!(output.code, Some(code), "{output}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains(why), "{why}: {output}");
    output
}

#[test]
fn versions_behind_an_endpoint_are_measured_and_gated() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|call| match number(call) {
        // An endpoint that repeats the key does not get it into any file.
        7 => Reply::said(&model(call), call.authorization.as_deref().unwrap()),
        // Long enough for others to come meanwhile.
        _ => Reply {
            after: Duration::from_millis(40),
            ..sound(call)
        },
    });
    let prices =
        "key: {env: MY_KEY}\nprices: {prompt_usd_per_million: 2, output_usd_per_million: 10}\n";
    scene.targets(&endpoint, prices);
    scene.write("gate.yaml", POLICY.replace("first_version:", SPEED));
    let old = scene.eval("old").ok();
    let calls = endpoint.calls();
    assert_eq!(calls, CASES);
    assert!(endpoint.most_at_once() > 1);
    let first = &endpoint.seen()[0];
    assert_eq!(first.path, "/v1/chat/completions");
    assert_eq!(first.authorization, Some(format!("Bearer {KEY}")));
    let report = scene.report(&old);
    assert_eq!(report["served"]["answered_by"], json!({"old": CASES}));
    let case = &report["cases"][20];
    assert_eq!(case["measures"]["prompt_tokens"], "10");
    // 10 tokens at 2 dollars and 2 at 10, for a million each.
    assert_eq!(case["measures"]["cost_usd"], "0.00004");
    let latency: f64 = case["measures"]["latency_ms"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(latency > 0.0);
    assert_eq!(report["cases"][7]["predicted"], "Bearer [key]");

    let again = scene.eval("old").ok().json();
    assert_eq!(
        (again["new"].as_bool(), endpoint.calls()),
        (Some(false), calls)
    );
    let new = scene.eval("new").ok();
    let gate = scene.gate().ok();
    assert!(gate.stdout.contains("answered-elsewhere"), "{gate}");
    for output in [&old, &new, &gate] {
        assert!(!output.to_string().contains(KEY), "{output}");
    }
    let mut files = 0;
    everything(&scene.project.env.root(), &mut |path, bytes| {
        files += 1;
        let found = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        assert!(!found, "the key is in {}", path.display());
    });
    assert!(files > 20, "{files}");
    let unset = scene.project.env.run("eval suite.yaml --target new.yaml");
    exits(unset, 2, "MY_KEY");
}

fn everything(dir: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => everything(&path, look),
            false => look(&path, &std::fs::read(&path).unwrap()),
        }
    }
}

#[test]
fn a_storm_of_429_is_waited_out_or_leaves_no_report() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|_| Reply {
        headers: vec!["retry-after: 0".to_owned()],
        ..Reply::status(429, "slow down")
    });
    scene.targets(&endpoint, "");
    exits(scene.eval("old"), 13, "HTTP 429: slow down");
    // Two attempts each, and not all the cases in vain.
    assert!(endpoint.calls() < CASES, "{}", endpoint.calls());
    scene.invalid("no report");
    // It passes: fewer at once, and everything is answered in the end.
    endpoint.now(|call| match call.number < 12 {
        true => Reply::status(429, "slow down"),
        false => sound(call),
    });
    scene.targets(&endpoint, "");
    let text = std::fs::read_to_string(scene.project.env.path("old.yaml")).unwrap();
    scene.write("old.yaml", text.replace("attempts: 2", "attempts: 12"));
    let report = scene.report(&scene.eval("old").ok());
    assert_eq!(report["metrics"]["errors"], 0);
    let tried: Vec<&Value> = report["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["measures"]["attempts"])
        .collect();
    assert!(tried.iter().any(|attempts| **attempts != "1"), "{tried:?}");
}

#[test]
fn a_wish_for_a_long_wait_is_not_waited_for() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|_| Reply {
        headers: vec!["retry-after: 3600".to_owned()],
        ..Reply::status(503, "maintenance")
    });
    scene.targets(&endpoint, "longest_wait_s: 1\n");
    exits(scene.eval("old"), 13, "longer wait than `longest_wait_s`");
}

#[test]
fn calls_that_take_too_long_leave_no_report() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|call| Reply {
        after: Duration::from_millis(400),
        ..sound(call)
    });
    scene.targets(&endpoint, "timeout_s: 0.02\n");
    exits(scene.eval("new"), 13, "timeout");
    scene.invalid("no report");
}

#[test]
fn half_the_calls_fail_and_only_those_are_made_again() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|call| match number(call).is_multiple_of(2) {
        true => Reply::status(500, "broken"),
        false => sound(call),
    });
    scene.targets(&endpoint, "");
    let output = exits(scene.eval("new"), 13, "HTTP 500: broken (attempt 2)");
    assert_eq!(output.json()["unanswered"], CASES / 2);
    scene.invalid("no report");
    // Torn in its last line, as a power cut leaves it; that answer is asked for again.
    let journal = scene.journal();
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 9]).unwrap();
    endpoint.now(sound);
    scene.eval("new").ok();
    assert_eq!(endpoint.calls(), CASES / 2 + 1);
    assert!(!journal.exists(), "the report has taken its place");
    scene.eval("old").ok();
    scene.gate().ok();
}

#[test]
fn half_the_calls_are_refused_for_good() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|call| match number(call).is_multiple_of(2) {
        true => Reply::status(400, "filtered"),
        false => sound(call),
    });
    scene.targets(&endpoint, "");
    let output = scene.eval("new");
    assert_eq!(output.code, Some(13), "{output}");
    // Nothing is asked twice that would be refused twice.
    assert_eq!(endpoint.calls(), CASES);
    let report = scene.report(&output);
    assert_eq!(report["metrics"]["errors"], CASES / 2);
    assert_eq!(report["cases"][0]["error"], "HTTP 400: filtered");
    endpoint.now(sound);
    scene.eval("old").ok();
    scene.invalid("too-many-errors");
}

#[test]
fn nobody_answers() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(sound);
    scene.targets(&endpoint, "");
    drop(endpoint);
    exits(scene.eval("new"), 13, "160");
    scene.invalid("no report");
}

#[test]
fn a_damaged_journal_is_an_integrity_error() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|call| match number(call) {
        0 => Reply::status(500, "broken"),
        _ => sound(call),
    });
    scene.targets(&endpoint, "");
    exits(scene.eval("new"), 13, "HTTP 500");
    let journal = scene.journal();
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replacen("\"yes\"", "\"no\"", 1)).unwrap();
    endpoint.now(sound);
    exits(scene.eval("new"), 14, "it was changed after it was written");
    assert_eq!(endpoint.calls(), 0);
}

#[test]
fn limits_stop_the_asking_and_the_next_command_goes_on() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(sound);
    for (limit, why) in [
        ("requests: 50", "the limit of 50 requests"),
        ("tokens: 600", "the limit of tokens"),
        ("cost_usd: 0.002", "the limit of cost"),
    ] {
        let prices = "prices: {prompt_usd_per_million: 2, output_usd_per_million: 10}";
        scene.targets(&endpoint, &format!("{prices}\nlimits: {{{limit}}}\n"));
        endpoint.now(sound);
        exits(scene.eval("new"), 13, why);
        // 50 calls of 12 tokens and 0.00004 dollars; those under way at that moment still end.
        let calls = endpoint.calls();
        assert!((50..50 + 16).contains(&calls), "{limit}: {calls}");
        std::fs::remove_file(scene.journal()).unwrap();
    }
    scene.targets(&endpoint, "limits: {requests: 90}\n");
    exits(scene.eval("new"), 13, "the limit of 90 requests");
    scene.eval("new").ok();
}

#[test]
fn another_model_answers() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(|call| match (model(call).as_str(), number(call)) {
        ("new", 90..) => Reply::said("new-2", "yes"),
        _ => sound(call),
    });
    scene.targets(&endpoint, "");
    scene.eval("old").ok();
    let output = scene.eval("new");
    assert_eq!(output.code, Some(13), "{output}");
    let report = scene.report(&output);
    assert_eq!(
        report["served"]["answered_by"],
        json!({"new": 90, "new-2": 70})
    );
    scene.invalid("model-switched");
    // The right one is back: it is asked again, and its report is the one that counts.
    endpoint.now(sound);
    scene.eval("new").ok();
    assert_eq!(endpoint.calls(), CASES);
    scene.gate().ok();
}

#[test]
fn every_score_is_the_same() {
    for (answer, why) in [("yes", "saturated"), ("no", "nothing-right")] {
        let scene = Scene::new();
        let endpoint = Endpoint::new(move |call| Reply::said(&model(call), answer));
        scene.targets(&endpoint, "");
        scene.eval("old").ok();
        scene.eval("new").ok();
        scene.invalid(why);
    }
}

#[test]
fn a_suite_without_cases_is_none() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(sound);
    scene.targets(&endpoint, "");
    scene.write("cases.jsonl", "");
    exits(scene.eval("new"), 2, "there is no case");
    assert_eq!(endpoint.calls(), 0);
}

#[test]
fn a_grader_that_crashes_leaves_no_evidence() {
    let scene = Scene::new();
    scene.cases(8);
    let grader = "defaultTest: {assert: [{type: command, command: [\"false\"], metric: judged}]}\n";
    scene.write("suite.yaml", format!("{SUITE}{grader}"));
    scene.write("gate.yaml", POLICY.replace("0.02", "0.5"));
    let endpoint = Endpoint::new(sound);
    scene.targets(&endpoint, "");
    for model in ["old", "new"] {
        let output = scene.eval(model);
        assert_eq!(output.code, Some(13), "{output}");
        let report = scene.report(&output);
        let error = report["cases"][0]["error"].as_str().unwrap();
        assert!(error.starts_with("grader judged: it ended with"), "{error}");
    }
    scene.invalid("too-many-errors");
}

#[test]
fn another_suite_has_no_reports_and_other_outputs() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(sound);
    scene.targets(&endpoint, "");
    scene.eval("old").ok();
    scene.eval("new").ok();
    scene.gate().ok();
    // A grader that says something else is another suite, and nothing is known of it.
    let grader = "defaultTest: {assert: [{type: icontains, metric: exact_match}]}\n";
    scene.write("suite.yaml", format!("{SUITE}{grader}"));
    scene.invalid("no report");
}

#[test]
fn what_was_kept_has_no_latency() {
    let scene = Scene::new();
    scene.write("gate.yaml", POLICY.replace("first_version:", SPEED));
    let endpoint = Endpoint::new(sound);
    let prices = "cache: true\nprices: {prompt_usd_per_million: 2, output_usd_per_million: 10}\n";
    scene.targets(&endpoint, prices);
    scene.eval("old").ok();
    scene.eval("new").ok();
    scene.gate().ok();
    let calls = endpoint.calls();
    // The same questions under another name: answered from what was kept.
    scene.write(
        "suite.yaml",
        SUITE.replace("name: answers", "name: renamed"),
    );
    let output = scene.eval("new").ok();
    scene.eval("old").ok();
    assert_eq!(endpoint.calls(), calls);
    let report = scene.report(&output);
    assert_eq!(report["served"]["cached"], CASES);
    assert!(report["cases"][0]["measures"].get("latency_ms").is_none());
    assert_eq!(report["cases"][0]["measures"]["cost_usd"], "0.00004");
    scene.invalid("latency_ms was not measured");
    // Other parameters are another question.
    scene.write(
        "suite.yaml",
        SUITE.replace("max_tokens: 8", "max_tokens: 9"),
    );
    scene.eval("new").ok();
    assert_eq!(endpoint.calls(), calls + CASES);
}

fn outputs(ids: impl IntoIterator<Item = usize>, suffix: &str) -> String {
    let line = |n| {
        json!({"id": format!("t{n:03}{suffix}"), "output": "yes", "latency_ms": 1.5}).to_string()
    };
    ids.into_iter().map(|n| format!("{}\n", line(n))).collect()
}

#[test]
fn recorded_outputs_have_to_be_those_of_the_suite() {
    let scene = Scene::new();
    let eval = |text: String| {
        scene.write("outputs.jsonl", text);
        let line = format!(
            "eval suite.yaml --model {} --target outputs.jsonl --format json",
            scene.new
        );
        scene.run(&line)
    };
    let doubled = format!("{}{}", outputs(0..CASES, ""), outputs([3], ""));
    exits(
        eval(doubled),
        2,
        "outputs.jsonl:161: an output of case \\\"t003\\\" is already on line 4",
    );
    exits(
        eval(outputs(1..CASES, "")),
        2,
        "no output of case \\\"t000\\\"",
    );
    // Of another suite.
    let foreign = exits(
        eval(outputs(0..CASES, "x")),
        2,
        "suite answers has no case \\\"t000x\\\"",
    );
    assert!(foreign.stderr.contains("more faults"), "{foreign}");
    exits(
        eval("{\"id\":\"t000\"}\n".to_owned()),
        2,
        "either `output` or `error`",
    );
    let output = eval(outputs(0..CASES, "")).ok();
    let report = scene.report(&output);
    assert_eq!(report["cases"][5]["measures"]["latency_ms"], "1.5");
    assert_eq!(report["served"]["target"]["kind"], "outputs");
}

#[test]
fn a_program_answers_and_is_not_told_what_is_right() {
    let scene = Scene::new();
    scene.cases(4);
    let program = scene.project.env.write(
        "answer.sh",
        "#!/bin/sh\nin=$(cat)\ncase $in in *target*|*yes*) exit 3;; esac\necho '{\"output\": \"yes\", \"cost_usd\": 0.5}'\n",
    );
    let target = |argv: &str, more: &str| {
        scene.write(
            "program.yaml",
            format!("version: 1\nkind: command\ncommand: {argv}\n{more}"),
        );
        scene.run("eval suite.yaml --target program.yaml --format json")
    };
    let shown = format!("[sh, {}]", program.display());
    let output = target(&shown, "").ok();
    assert_eq!(output.json()["metrics"]["accuracy"], "1");
    assert_eq!(output.json()["subject"]["kind"], "target");
    assert_eq!(
        scene.report(&output)["cases"][0]["measures"]["cost_usd"],
        "0.5"
    );
    exits(target("[\"false\"]", ""), 13, "the program ended with");
    exits(
        target("[sleep, \"5\"]", "timeout_s: 0.05\n"),
        13,
        "was killed",
    );
    exits(target("[echo, nonsense]", ""), 13, "is not {output, …}");
    exits(target("[/nowhere/program]", ""), 13, "cannot start");
}

#[test]
fn an_endpoint_that_cannot_be_asked_is_not() {
    let scene = Scene::new();
    let endpoint = Endpoint::new(sound);
    scene.targets(&endpoint, "");
    scene.write(
        "suite.yaml",
        SUITE
            .replace("task: generation", "task: classification")
            .replace("generate: {max_tokens: 8}\n", ""),
    );
    scene.write("cases.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\n");
    exits(scene.eval("new"), 2, "an endpoint needs a prompt");
    scene.write("suite.yaml", SUITE);
    scene.write(
        "cases.jsonl",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"target\":\"x\"}\n",
    );
    let text = std::fs::read_to_string(scene.project.env.path("new.yaml")).unwrap();
    scene.write("new.yaml", text.replace("api: chat", "api: completions"));
    exits(scene.eval("new"), 2, "the suite has conversations");
    assert_eq!(endpoint.calls(), 0);
}

#[test]
fn strategies_are_compared_on_one_suite() {
    let scene = Scene::new();
    scene.cases(6);
    let env = &scene.project.env;
    let rows = |n| json!({"prompt": format!("ask {n}"), "completion": "yes"});
    let train: String = (0..9).map(|n| format!("{}\n", rows(n))).collect();
    env.write("shots.jsonl", train);
    env.run("dataset add shots --train shots.jsonl").ok();
    env.write("docs/a.md", "say 3 means yes\n\nnothing else matters");
    // Right only for those who were shown or told.
    let endpoint = Endpoint::new(|call| {
        let asked = call.body["messages"].to_string();
        let knows = asked.contains(" yes");
        Reply::said(&model(call), if knows { "yes" } else { "no" })
    });
    scene.targets(&endpoint, "");
    let accuracy = |strategy: &str| {
        let line = "eval suite.yaml --target new.yaml --format json";
        if strategy.is_empty() {
            return scene.run(line).ok().json()["metrics"]["accuracy"].clone();
        }
        scene.write("strategy.yaml", format!("version: 1\n{strategy}\n"));
        let output = scene.run(&format!("{line} --strategy strategy.yaml")).ok();
        let again = scene.run(&format!("{line} --strategy strategy.yaml")).ok();
        assert_eq!(again.json()["new"], false);
        let subject = &output.json()["subject"];
        assert_eq!(
            (&subject["kind"], &subject["by"]["kind"]),
            (&json!("prompted"), &json!("target"))
        );
        output.json()["metrics"]["accuracy"].clone()
    };
    assert_eq!(accuracy(""), "0");
    endpoint.now(|call| {
        let asked = call.body["messages"].to_string();
        let knows = asked.contains(" yes");
        Reply::said(&model(call), if knows { "yes" } else { "no" })
    });
    assert_eq!(accuracy("examples: {dataset: shots, k: 2, seed: 3}"), "1");
    let seen = endpoint.seen();
    let prompt = seen[0].prompt();
    let parts: Vec<&str> = prompt.split("\n\n").collect();
    assert_eq!(parts.len(), 3, "{prompt}");
    assert!(
        parts[..2]
            .iter()
            .all(|shot| shot.starts_with("ask ") && shot.ends_with(" yes"))
    );
    assert!(parts[2].starts_with("say "), "{prompt}");
    assert_eq!(accuracy("instruction: say yes"), "1");
    // One passage has a word of every question in it.
    assert_eq!(accuracy("documents: {folder: docs, k: 1}"), "1");
    let line = "eval suite.yaml --target new.yaml --strategy strategy.yaml";
    scene.write(
        "strategy.yaml",
        "version: 1\nexamples: {dataset: shots, k: 10}\n",
    );
    exits(scene.run(line), 2, "the training split has 9");
    scene.write(
        "strategy.yaml",
        "version: 1\nexamples: {dataset: nothing, k: 1}\n",
    );
    assert_ne!(scene.run(line).code, Some(0));
    scene.write(
        "strategy.yaml",
        "version: 1\ndocuments: {folder: nowhere, k: 0}\n",
    );
    let faulty = exits(scene.run(line), 2, "documents.k: 1 to 100");
    assert!(faulty.to_string().contains("documents.folder"), "{faulty}");
    scene.write("outputs.jsonl", outputs(0..6, ""));
    let line = "eval suite.yaml --target outputs.jsonl --strategy strategy.yaml";
    exits(
        scene.run(line),
        2,
        "recorded outputs were asked for already",
    );
}
