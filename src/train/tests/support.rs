//! A project of a tiny BERT and a few dozen rows.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::{self, BaseManifest, Device};
use crate::dataset::{self, DatasetManifest, Options, SplitName};
use crate::document::Source;
use crate::progress::{Event, Reporter, Silent};
use crate::store::Store;
use crate::time::Timestamp;
use crate::train::{
    Beginning, Finished, Inputs, Job, Machine, MachineClass, Outcome, TrainError, resume, start,
};

pub(super) const JOB: &str = "\
version: 1
kind: TrainJob
name: tiny
base: tiny
dataset: tickets
task: seq_cls
sequence_len: 48
micro_batch_size: 4
num_epochs: 3
seed: 11
lora: {r: 2, alpha: 4, dropout: 0.1}
optimizer: {learning_rate: 5.0e-3}
eval: {every_steps: 4, metric: loss}
checkpoint: {every_steps: 5}
";

const WORDS: [(&str, &str); 3] = [
    ("card", "the card has not arrived at my account"),
    ("refund", "roll back the transfer and return it"),
    ("speed", "tokens per second are low on this machine"),
];

pub(super) struct Project {
    dir: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) base: BaseManifest,
    pub(super) dataset: DatasetManifest,
    /// The adapter to go on from.
    pub(super) from: Option<Beginning>,
    pub(super) tool: &'static str,
    /// What the machine says that it is.
    pub(super) class: MachineClass,
    pub(super) now: Timestamp,
    /// Seconds that go by with every look at the clock.
    pub(super) tick: u64,
    /// The memory that the process says it holds.
    pub(super) held: Option<u64>,
}

impl Project {
    pub(super) fn new() -> Self {
        Self::with_data(&rows(30, 0), Some(&rows(9, 100)))
    }

    pub(super) fn with_data(train: &str, validation: Option<&str>) -> Self {
        Self::on("tests/fixtures/parity/bert/model", train, validation)
    }

    /// A project of a tiny language model.
    pub(super) fn causal(train: &str, validation: Option<&str>) -> Self {
        Self::on("tests/fixtures/parity/llama/model", train, validation)
    }

    pub(super) fn on(model: &str, train: &str, validation: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let base = base::import(&store, Path::new(model), None, &Silent)
            .unwrap()
            .manifest;
        let mut files = Vec::new();
        let mut add = |split, name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            files.push((split, path));
        };
        add(SplitName::Train, "train.jsonl", train);
        if let Some(text) = validation {
            add(SplitName::Validation, "validation.jsonl", text);
        }
        let options = Options::default();
        let (_, dataset) = dataset::import(&store, &files, &options, &Silent).unwrap();
        Self {
            dir,
            store,
            base,
            dataset,
            from: None,
            tool: "1.0.0",
            class: MachineClass::this(),
            now: Timestamp::from_unix(1_795_426_200),
            tick: 0,
            held: None,
        }
    }

    pub(super) fn runs(&self) -> PathBuf {
        self.dir.path().join("runs")
    }

    /// Calls `act` with this project's inputs.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let looks = AtomicUsize::new(0);
        let elapsed = || {
            let looks = looks.fetch_add(1, Ordering::Relaxed) as u64;
            Duration::from_secs(looks * self.tick)
        };
        let machine = Machine {
            class: self.class.clone(),
            now: &|| self.now,
            elapsed: &elapsed,
            peak_memory: &|| self.held,
        };
        act(&Inputs {
            store: &self.store,
            base: &self.base,
            dataset: &self.dataset,
            from: self.from.as_ref(),
            device: Device::Cpu,
            tenants: &[],
            runs: &self.runs(),
            tool: self.tool,
            machine: &machine,
        })
    }

    pub(super) fn start(&self, job: &Job, reporter: &dyn Reporter) -> Result<Outcome, TrainError> {
        self.with(|inputs| start(job, inputs, reporter))
    }

    pub(super) fn resume(
        &self,
        dir: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Outcome, TrainError> {
        self.with(|inputs| resume(dir, inputs, reporter))
    }

    pub(super) fn complete(&self, job: &Job) -> Finished {
        complete(self.start(job, &Silent).unwrap())
    }
}

pub(super) fn complete(outcome: Outcome) -> Finished {
    match outcome {
        Outcome::Complete(finished) => *finished,
        Outcome::Interrupted { step, .. } => panic!("interrupted at step {step}"),
    }
}

/// JSON Lines with the labels in turn.
pub(super) fn rows(count: usize, first: usize) -> String {
    let row = |index: usize| {
        let (label, text) = WORDS[index % 3];
        let words = text.split(' ').cycle().skip(index % 5).take(2 + index % 7);
        let text: Vec<&str> = words.collect();
        format!(
            "{{\"text\": \"{} {index}\", \"label\": \"{label}\"}}\n",
            text.join(" ")
        )
    };
    (first..first + count).map(row).collect()
}

pub(super) fn job(text: &str) -> Job {
    Job::parse(&Source::new(Path::new("job.yaml"), text.to_owned())).unwrap()
}

/// Asks to stop from the question number `after` on.
pub(super) struct Impatient {
    questions: AtomicUsize,
    after: usize,
}

impl Impatient {
    pub(super) fn after(after: usize) -> Self {
        Self {
            questions: AtomicUsize::new(0),
            after,
        }
    }
}

impl Reporter for Impatient {
    fn report(&self, _: &Event<'_>) {}

    fn interrupted(&self) -> bool {
        self.questions.fetch_add(1, Ordering::Relaxed) >= self.after
    }
}
