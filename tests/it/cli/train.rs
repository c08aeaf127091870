//! Training as the person at the terminal meets it: planned, done twice, stopped, killed, gone on with.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::support::{Env, Output};

const JOB: &str = "\
version: 1
kind: TrainJob
name: router
task: seq_cls
base: starter
dataset: tickets
pooling: mean
sequence_len: 128
lora: {r: 2, alpha: 4, target_modules: [query, value], dropout: 0.1}
micro_batch_size: 4
max_steps: 40
checkpoint: {every_steps: 2}
seed: 7
";

/// A project with the starter base and the first rows of the quickstart's data.
struct Scene {
    env: Env,
}

impl Scene {
    fn new() -> Self {
        let env = Env::new();
        env.run("init").ok();
        let starter = format!("{}/pipelines/starter-base", env!("CARGO_MANIFEST_DIR"));
        env.run(&format!("base add starter {starter}")).ok();
        env.write("job.yaml", JOB);
        let scene = Self { env };
        scene.add_rows(40);
        scene
    }

    fn add_rows(&self, rows: usize) {
        let data = format!(
            "{}/pipelines/quickstart/train.jsonl",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = fs::read_to_string(data).unwrap();
        let text: Vec<&str> = text.lines().take(rows).collect();
        self.env.write("train.jsonl", text.join("\n"));
        self.env.run("dataset add tickets --train train.jsonl").ok();
    }

    /// The folder of the only run.
    fn run(&self) -> Option<PathBuf> {
        let mut runs = fs::read_dir(self.env.path(".retune/runs")).ok()?;
        Some(runs.next()?.unwrap().path())
    }

    fn run_name(&self) -> String {
        let run = self.run().unwrap();
        run.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn adapter(&self) -> Vec<u8> {
        fs::read(
            self.run()
                .unwrap()
                .join("adapter/adapter_model.safetensors"),
        )
        .unwrap()
    }

    /// Starts training and comes back when there is something to go on from.
    fn begin(&self) -> Child {
        let mut train = self.env.command(env!("CARGO_BIN_EXE_retune"));
        let child = train
            .args(["train", "job.yaml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !self.has_checkpoint() {
            assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint");
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }

    fn has_checkpoint(&self) -> bool {
        let checkpoints = |run: PathBuf| fs::read_dir(run.join("checkpoints")).ok();
        let is_step = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        self.run().and_then(checkpoints).is_some_and(|entries| {
            let names = entries
                .filter_map(Result::ok)
                .map(|entry| entry.file_name());
            names
                .into_iter()
                .any(|name| name.to_str().is_some_and(is_step))
        })
    }

    fn kill(&self) {
        let mut child = self.begin();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            !self.run().unwrap().join("run.json").exists(),
            "it was over already"
        );
    }

    fn resume(&self) -> Output {
        self.env.run(&format!("train --resume {}", self.run_name()))
    }
}

#[test]
fn a_plan_says_what_would_be_trained_and_writes_nothing() {
    let scene = Scene::new();
    let plan = scene.env.run("train job.yaml --dry-run").ok();
    for said in ["router", "train", "tokens", "steps       40 ", "memory"] {
        assert!(plan.stdout.contains(said), "{said}: {plan}");
    }
    assert_eq!(scene.run(), None);
    assert_snapshot!(scene.env.run("run list"), @"
    $ retune run list
    no runs yet
    ");
}

#[test]
fn the_same_job_gives_the_same_bytes_and_is_trained_once() {
    let (one, two) = (Scene::new(), Scene::new());
    let first = one.env.run("train job.yaml").ok();
    two.env.run("train job.yaml").ok();
    assert_eq!(one.adapter(), two.adapter());

    let again = one.env.run("train job.yaml").ok();
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr, "", "nothing was trained");
    let name = one.run_name();
    assert_eq!(
        one.env.run(&format!("run show {name}")).ok().stdout,
        first.stdout
    );
    let listed = one.env.run("run list").ok().stdout;
    assert!(
        listed.contains(&name) && listed.contains("complete"),
        "{listed}"
    );
    let finished = one.resume();
    assert_eq!(finished.ok().stdout, first.stdout);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint_and_resume_ends_in_the_same_bytes() {
    let (calm, stopped) = (Scene::new(), Scene::new());
    calm.env.run("train job.yaml").ok();

    let child = stopped.begin();
    let pid = child.id().to_string();
    stopped.env.program("kill", &["-INT", &pid]).ok();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    let said = String::from_utf8(done.stderr).unwrap();
    let name = stopped.run_name();
    assert!(
        said.contains(&format!("retune train --resume {name}")),
        "{said}"
    );
    let listed = stopped.env.run("run list").ok().stdout;
    assert!(listed.contains("interrupted"), "{listed}");

    stopped.resume().ok();
    assert_eq!(stopped.adapter(), calm.adapter());
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let (calm, killed) = (Scene::new(), Scene::new());
    calm.env.run("train job.yaml").ok();
    killed.kill();
    killed.resume().ok();
    assert_eq!(killed.adapter(), calm.adapter());
    killed.env.run("store verify").ok();
    killed.env.run("model verify").ok();
}

#[test]
fn a_run_does_not_go_on_with_other_data_or_another_base() {
    let scene = Scene::new();
    scene.kill();
    scene.add_rows(39);
    let refused = scene.resume();
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(
        refused.stderr.contains("cannot go on: its dataset is"),
        "{refused}"
    );
    assert!(refused.stderr.contains("retune train JOB"), "{refused}");

    let scene = Scene::new();
    scene.kill();
    let starter = format!("{}/pipelines/starter-base", env!("CARGO_MANIFEST_DIR"));
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let bytes = fs::read(format!("{starter}/{file}")).unwrap();
        scene.env.write(&format!("other/{file}"), bytes);
    }
    scene.env.run("base add starter other").ok();
    let refused = scene.resume();
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(
        refused.stderr.contains("cannot go on: its base is"),
        "{refused}"
    );
}

#[test]
fn a_changed_start_document_is_an_integrity_error() {
    let scene = Scene::new();
    scene.kill();
    let path = scene.run().unwrap().join("start.json");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replace("\"seed\": 7", "\"seed\": 8");
    assert_ne!(changed, text);
    fs::write(&path, changed).unwrap();
    let refused = scene.resume();
    assert_eq!(refused.code, Some(14), "{refused}");
    assert!(
        refused.stderr.contains("the start document's digest"),
        "{refused}"
    );
}

#[test]
fn faults_name_the_job_file_and_the_way_out() {
    let scene = Scene::new();
    let faulty = JOB.replace("pooling", "poling").replace("r: 2", "rank: 2");
    scene.env.write("faulty.yaml", faulty);
    assert_snapshot!(scene.env.run("train faulty.yaml"), @"
    $ retune train faulty.yaml
    --- stderr
    error: 2 faults
      caused by: faulty.yaml:7: poling: unknown key; did you mean `pooling`?
      caused by: faulty.yaml:9: lora.rank: unknown key; retune calls it `lora.r`
    --- exit 2
    ");
    scene.env.write("long.yaml", JOB.replace("128", "500"));
    assert_snapshot!(scene.env.run("train long.yaml"), @"
    $ retune train long.yaml
    --- stderr
    error: cannot train long.yaml
      caused by: sequence_len is 500; the base reads 128 tokens at most
      hint: set sequence_len to 128 or less
    --- exit 2
    ");
    scene
        .env
        .write("unmatched.yaml", JOB.replace("query", "q_prj"));
    let output = scene.env.run("train unmatched.yaml");
    assert_eq!(output.code, Some(2), "{output}");
    assert!(
        output.stderr.contains("cannot train unmatched.yaml"),
        "{output}"
    );
    assert!(
        output.stderr.contains("\"q_prj\" matches no module"),
        "{output}"
    );
    if cfg!(not(any(feature = "cuda", feature = "wgpu"))) {
        assert_snapshot!(scene.env.run("train job.yaml --device cuda"), @"
        $ retune train job.yaml --device cuda
        --- stderr
        error: cannot train job.yaml
          caused by: this build of retune runs on cpu, not on cuda
          hint: build it with the feature: cargo install --path . --features cuda
        --- exit 2
        ");
    }
    let output = scene.env.run("train job.yaml --device gpu");
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains("write cpu, cuda, wgpu"), "{output}");
    assert_eq!(scene.run(), None);
    assert_snapshot!(scene.env.run("train --resume 12345678"), @"
    $ retune train --resume 12345678
    --- stderr
    error: cannot go on with run 12345678
      caused by: [ENV]/project/.retune/runs/12345678 is not a run
      hint: see which there are: retune run list
    --- exit 2
    ");
}
