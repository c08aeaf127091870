use std::fs;

use super::support::{Impatient, JOB, Project, complete, job, rows};
use crate::base::Device;
use crate::fsio::Lock;
use crate::progress::Silent;
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::train::{
    End, Finished, Job, MachineClass, Outcome, RunDir, RunRecord, RunStart, RunState, Stop,
    TrainError, find_run, plan, runs,
};

/// The lines of the metrics without how long each took.
fn metrics(finished: &Finished) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(finished.dir.metrics()).unwrap();
    let lines = text.lines().map(|line| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("seconds").unwrap();
        value
    });
    lines.collect()
}

fn adapter(finished: &Finished) -> Vec<u8> {
    fs::read(finished.dir.adapter().join("adapter_model.safetensors")).unwrap()
}

#[test]
fn a_run_learns_and_leaves_everything_behind() {
    let project = Project::new();
    let finished = project.complete(&job(&JOB.replace("num_epochs: 3", "num_epochs: 12")));
    let lines = metrics(&finished);
    let steps: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "step")
        .collect();
    assert_eq!(steps.len(), 12 * 8);
    let losses = |part: &[&serde_json::Value]| {
        part.iter()
            .map(|line| line["loss"].as_f64().unwrap())
            .sum::<f64>()
            / part.len() as f64
    };
    assert!(losses(&steps[88..]) < 0.7 * losses(&steps[..8]));

    let record = &finished.record;
    assert_eq!(record.end, End::Completed);
    assert_eq!((record.totals.steps, record.totals.epochs), (96, 12));
    assert_eq!(record.totals.examples, 12 * 30);
    assert_eq!(record.totals.tokens, 12 * record.train.tokens);
    let best = record.best.unwrap();
    assert_eq!(record.adapter_step, best.step);
    let evaluations = lines.iter().filter(|line| line["event"] == "evaluation");
    let least = evaluations
        .map(|line| line["loss"].as_f64().unwrap())
        .fold(f64::MAX, f64::min);
    assert_eq!(best.scores.loss.get(), least);

    // Everything is in the store under its digest.
    let stored = RunRecord::decode(&project.store.read(&finished.document).unwrap()).unwrap();
    assert_eq!(stored, *record);
    let start = project.store.read(&finished.run.digest()).unwrap();
    assert_eq!(
        RunStart::decode(&start).unwrap().id().unwrap(),
        finished.run
    );
    let tree = project.store.read_tree(&record.adapter).unwrap();
    assert_eq!(tree.entries(), record.files);
    for entry in tree.entries() {
        let bytes = project.store.read(&entry.sha256).unwrap();
        assert_eq!(
            *bytes,
            fs::read(finished.dir.adapter().join(&entry.path)).unwrap()
        );
    }
}

#[test]
fn the_same_job_gives_the_same_bytes_at_another_time() {
    let mut project = Project::new();
    let job = job(JOB);
    let first = project.complete(&job);
    project.now = Timestamp::from_unix(1_900_000_000);
    let second = project.complete(&job);
    assert_ne!(first.run, second.run);
    assert_eq!(first.record.adapter, second.record.adapter);
    assert_eq!(adapter(&first), adapter(&second));
    assert_eq!(metrics(&first), metrics(&second));
    let other = project.complete(&Job { seed: 12, ..job });
    assert_ne!(first.record.adapter, other.record.adapter);
}

// One question per split, step and batch of an evaluation: 9 steps and 3 evaluations are reached by 14.
#[test]
fn wherever_a_run_is_interrupted_the_adapter_is_the_same() {
    let project = Project::new();
    let job = job(&JOB
        .replace("num_epochs: 3", "max_steps: 9")
        .replace("every_steps: 5", "every_steps: 3"));
    let whole = project.complete(&job);
    let mut interruptions = 0;
    for after in 0..14 {
        let mut project = Project::new();
        project.now = Timestamp::from_unix(after as i64);
        let mut outcome = project.start(&job, &Impatient::after(after)).unwrap();
        while let Outcome::Interrupted { dir, .. } = outcome {
            interruptions += 1;
            // Lines that were written after the checkpoint, and a checkpoint that was not finished.
            let mut lines = fs::read_to_string(dir.metrics()).unwrap();
            lines.push_str("{\"event\": \"st");
            fs::write(dir.metrics(), lines).unwrap();
            fs::create_dir_all(dir.checkpoints().join(".tmp-x/y")).unwrap();
            outcome = project
                .resume(dir.path(), &Impatient::after(after / 2 + 1))
                .unwrap();
        }
        let finished = complete(outcome);
        assert_eq!(
            finished.record.adapter, whole.record.adapter,
            "after {after}"
        );
        assert_eq!(adapter(&finished), adapter(&whole));
        assert_eq!(metrics(&finished), metrics(&whole), "after {after}");
        assert!(!finished.dir.checkpoints().join(".tmp-x").exists());
        let same = RunRecord {
            run: whole.record.run,
            finished_at: whole.record.finished_at,
            ..finished.record
        };
        assert_eq!(same, whole.record);
    }
    assert!(interruptions > 14, "{interruptions}");
}

#[test]
fn passes_of_one_step_are_one_mean() {
    let project = Project::new();
    let text = JOB
        .replace("dropout: 0.1", "dropout: 0")
        .replace("seed: 11", "seed: 11\ngroup_by_length: false");
    let whole = project.complete(&job(
        &text.replace("micro_batch_size: 4", "micro_batch_size: 8")
    ));
    let parts = text.replace(
        "micro_batch_size: 4",
        "micro_batch_size: 2\ngradient_accumulation_steps: 4",
    );
    let parts = project.complete(&job(&parts));
    let steps = |finished: &Finished, key: &str| -> Vec<f64> {
        let lines = metrics(finished);
        let steps = lines.iter().filter(|line| line["event"] == "step");
        steps.map(|line| line[key].as_f64().unwrap()).collect()
    };
    assert_eq!(steps(&whole, "rows"), steps(&parts, "rows"));
    // 30 rows: the last step of each epoch has 6.
    assert_eq!(steps(&whole, "rows")[..4], [8.0, 8.0, 8.0, 6.0]);
    for key in ["loss", "grad_norm"] {
        for (a, b) in steps(&whole, key).iter().zip(&steps(&parts, key)) {
            // Sums of f32 in another order, over a dozen steps.
            assert!((a - b).abs() < 1e-4 * a, "{key}: {a} and {b}");
        }
    }
}

#[test]
fn training_stops_when_nothing_gets_better() {
    let project = Project::new();
    // Steps this small do not change f32 values, so no evaluation after the first is better.
    let text = JOB.replace("5.0e-3", "1.0e-30").replace(
        "metric: loss",
        "metric: accuracy, early_stopping_patience: 2",
    );
    let finished = project.complete(&job(&text));
    assert_eq!(finished.record.end, End::StoppedEarly);
    assert_eq!(finished.record.totals.steps, 12);
    assert_eq!(finished.record.adapter_step, 4);
}

#[test]
fn the_last_weights_are_kept_on_request() {
    // One validation row that contradicts the training rows: learning them makes it worse.
    let wrong = rows(1, 0).replace("card\"}", "refund\"}");
    let project = Project::with_data(&rows(30, 0), Some(&wrong));
    let text = JOB.replace("num_epochs: 3", "num_epochs: 12\nmax_leaked_fraction: 1");
    let best = project.complete(&job(&text));
    let last = project.complete(&job(
        &text.replace("metric: loss", "metric: loss, load_best: false")
    ));
    assert_eq!(last.record.adapter_step, 96);
    assert!(best.record.adapter_step < 96);
    assert_eq!(metrics(&best), metrics(&last));
    assert_ne!(best.record.adapter, last.record.adapter);
}

#[test]
fn the_watchdog_gives_up() {
    let project = Project::new();
    let text = format!("{JOB}watchdog: {{max_loss: 0.001, patience: 3}}\n");
    let error = project.start(&job(&text), &Silent).unwrap_err();
    assert!(
        matches!(error, TrainError::Diverged { step: 3, .. }),
        "{error}"
    );
}

#[test]
fn what_changed_is_refused_on_resume() {
    let mut project = Project::new();
    let outcome = project.start(&job(JOB), &Impatient::after(8)).unwrap();
    let Outcome::Interrupted { dir, run, .. } = outcome else {
        panic!("not interrupted")
    };
    project.tool = "1.0.1";
    let error = project.resume(dir.path(), &Silent).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tool version is 1.0.0, now it is 1.0.1"),
        "{error}"
    );
    project.tool = "1.0.0";
    let other = Project::with_data(&rows(33, 0), None);
    let dataset = std::mem::replace(&mut project.dataset, other.dataset.clone());
    let error = project.resume(dir.path(), &Silent).unwrap_err();
    assert!(error.to_string().contains("its dataset is"), "{error}");
    assert!(error.is_usage());
    project.dataset = dataset;

    let lock = Lock::exclusive(&dir.path().join("lock")).unwrap();
    assert!(matches!(project.resume(dir.path(), &Silent), Err(TrainError::Busy(id)) if id == run));
    let state = runs(&project.runs()).unwrap().remove(0).state;
    assert!(matches!(state, RunState::Running(Some(progress)) if progress.steps == 24));
    drop(lock);

    let start = fs::read_to_string(dir.path().join("start.json")).unwrap();
    fs::write(
        dir.path().join("start.json"),
        start.replace("\"seed\": 11", "\"seed\": 12"),
    )
    .unwrap();
    let error = project.resume(dir.path(), &Silent).unwrap_err();
    assert!(error.is_integrity(), "{error}");
    fs::write(dir.path().join("start.json"), start).unwrap();
    let finished = complete(project.resume(dir.path(), &Silent).unwrap());
    assert!(matches!(
        project.resume(finished.dir.path(), &Silent),
        Err(TrainError::Complete(_))
    ));
}

#[test]
fn a_killed_process_can_leave_the_adapter_but_no_record() {
    let project = Project::new();
    let finished = project.complete(&job(JOB));
    fs::remove_file(finished.dir.path().join("run.json")).unwrap();
    let again = complete(project.resume(finished.dir.path(), &Silent).unwrap());
    assert_eq!(again.record, finished.record);
    fs::remove_file(finished.dir.path().join("run.json")).unwrap();
    let card = finished.dir.adapter().join("README.md");
    fs::write(&card, "changed").unwrap();
    let error = project.resume(finished.dir.path(), &Silent).unwrap_err();
    assert!(error.is_integrity(), "{error}");
}

// Weights in bf16 are summed in another order on tiles: a run that began without them must not go on with them.
#[test]
fn a_run_goes_on_where_its_products_have_the_same_bits() {
    let class = |cpu: &str| MachineClass {
        cpu: cpu.to_owned(),
        ..MachineClass::this()
    };
    let begun_on = |cpu: &str, job: &Job| {
        let mut project = Project::new();
        project.class = class(cpu);
        let Outcome::Interrupted { run, .. } = project.start(job, &Impatient::after(8)).unwrap()
        else {
            panic!("not interrupted")
        };
        let dir = RunDir::of(&project.runs(), run);
        (project, dir)
    };
    let (f32, bf16) = (
        job(JOB),
        job(&format!("{JOB}precision: {{compute: bf16}}\n")),
    );
    for (from, to) in [("amx", "avx512"), ("avx2", "amx")] {
        let (mut project, dir) = begun_on(from, &bf16);
        project.class = class(to);
        let error = project.resume(dir.path(), &Silent).unwrap_err();
        assert!(
            matches!(&error, TrainError::Changed { what, .. } if *what == "processor"),
            "{error}"
        );
        project.class = class(from);
        complete(project.resume(dir.path(), &Silent).unwrap());
        let (mut project, dir) = begun_on(from, &f32);
        project.class = class(to);
        complete(project.resume(dir.path(), &Silent).unwrap());
    }
    let mut facts = Project::new().base.model;
    let amx = class("amx");
    assert_eq!(amx.arithmetic(&f32, &facts, Device::Cpu), None);
    facts.dtype = "BF16".to_owned();
    assert_eq!(
        amx.arithmetic(&f32, &facts, Device::Cpu).as_deref(),
        Some("amx")
    );
    assert_eq!(class("avx512").arithmetic(&f32, &facts, Device::Cpu), None);
}

#[test]
fn runs_are_listed_and_found_by_what_they_were_asked() {
    let mut project = Project::new();
    let job = job(JOB);
    assert_eq!(runs(&project.runs()).unwrap(), []);
    let Outcome::Interrupted { run: stopped, .. } =
        project.start(&job, &Impatient::after(8)).unwrap()
    else {
        panic!("not interrupted")
    };
    let dataset = project.dataset.id().unwrap();
    let fingerprint = |tool| {
        job.fingerprint(dataset, project.base.id(), None, Device::Cpu, None, tool)
            .unwrap()
    };
    let (same, other) = (fingerprint("1.0.0"), fingerprint("1.0.1"));
    let found = find_run(&project.runs(), &same).unwrap().unwrap();
    assert_eq!(found.id, stopped);
    assert!(matches!(found.state, RunState::Interrupted(Some(progress)) if progress.step > 0));
    project.now = Timestamp::from_unix(1_700_000_000);
    let finished = project.complete(&job);
    let found = find_run(&project.runs(), &same).unwrap().unwrap();
    assert_eq!(
        found.id, finished.run,
        "a complete run comes before a newer one"
    );
    assert!(matches!(found.state, RunState::Complete(record) if *record == finished.record));
    assert_eq!(find_run(&project.runs(), &other).unwrap(), None);
    let ids: Vec<_> = runs(&project.runs())
        .unwrap()
        .iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(ids, [stopped, finished.run]);
    let again = project.start(&job, &Silent).unwrap_err();
    assert!(
        matches!(again, TrainError::Exists { run, .. } if run == finished.run),
        "{again}"
    );
    assert!(RunDir::open(&project.runs()).is_err());
}

#[test]
fn faults_of_the_data_are_found_before_there_is_a_run() {
    let long = format!(
        "{{\"text\": \"{}\", \"label\": \"card\"}}\n",
        "card ".repeat(60)
    );
    let bad = |train: &str, validation: Option<&str>, text: &str| {
        let project = Project::with_data(train, validation);
        let error = project.start(&job(text), &Silent).unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert_eq!(runs(&project.runs()).unwrap(), []);
        error.to_string()
    };
    let no_eval = JOB.replace("eval: {every_steps: 4, metric: loss}\n", "");
    let train = rows(30, 0);
    let new = "{\"text\": \"x\", \"label\": \"other\"}\n".to_owned();
    assert_eq!(
        bad(&train, Some(&(rows(3, 0) + &new)), JOB),
        "line 4 of the validation split has the label \"other\", which no training row has"
    );
    assert!(bad(&train, None, JOB).contains("has no validation split"));
    assert!(bad(&new.repeat(2), None, &no_eval).contains("1 different labels"));
    let overlong = bad(&(train.clone() + &long), None, &no_eval);
    assert!(
        overlong.starts_with(
            "1 rows of the train split are longer than sequence_len 48 (lines 31; the longest has"
        ),
        "{overlong}"
    );
    let drop = no_eval.replace("sequence_len: 48", "sequence_len: 48\non_overlong: drop");
    assert!(bad(&(train.clone() + &long), None, &drop).contains("1 of 31 rows"));
    let too_long = no_eval.replace("sequence_len: 48", "sequence_len: 49");
    assert!(bad(&train, None, &too_long).contains("48 tokens at most"));
    let target = no_eval.replace("r: 2", "r: 2, target_modules: [q_proj]");
    assert!(bad(&train, None, &target).contains("q_proj"));
}

#[test]
fn long_rows_are_dropped_or_cut_as_asked() {
    let long = format!(
        "{{\"text\": \"{}\", \"label\": \"card\"}}\n",
        "card ".repeat(60)
    );
    let train = rows(30, 0) + &long;
    let project = Project::with_data(&train, None);
    let no_eval = JOB.replace("eval: {every_steps: 4, metric: loss}\n", "");
    let plan = |policy: &str| {
        let text = no_eval.replace("sequence_len: 48", &format!("sequence_len: 48\n{policy}"));
        project
            .with(|inputs| plan(&job(&text), inputs, &Silent))
            .unwrap()
    };
    let dropped = plan("on_overlong: drop\nmax_dropped_fraction: 0.1");
    assert_eq!(
        (
            dropped.train.rows,
            dropped.train.kept,
            dropped.train.dropped
        ),
        (31, 30, 1)
    );
    let cut = plan("on_overlong: truncate_right");
    assert_eq!((cut.train.kept, cut.train.truncated), (31, 1));
    assert_eq!(cut.train.tokens, dropped.train.tokens + 48);
    assert_eq!(cut.train.longest, dropped.train.longest);
    assert!(cut.train.longest > 60);
    assert!(
        cut.train.unknown > 0,
        "digits are not in the tiny vocabulary"
    );
    assert_eq!((cut.steps_per_epoch, cut.steps), (8, 24));
    // Two layers of query, key, value, attention output, two of the feed-forward, and the pooler: A and B of rank 2; the
    // head of three labels.
    let pair = |inputs: u64, outputs: u64| 2 * (inputs + outputs);
    let layer = 4 * pair(32, 32) + pair(32, 56) + pair(56, 32);
    let pooler = (cut.adapted_modules - 12) * pair(32, 32);
    assert_eq!(cut.trainable_parameters, 2 * layer + pooler + 3 * 32 + 3);
}

#[test]
fn a_store_that_lost_the_data_is_named() {
    let project = Project::new();
    let blob = project.dataset.splits.values().next().unwrap().blob;
    fs::remove_file(project.store.path_of(&blob)).unwrap();
    let error = project.start(&job(JOB), &Silent).unwrap_err();
    assert!(error.is_integrity(), "{error}");
    let _: fn(StoreError) -> TrainError = TrainError::from;
}

#[test]
fn a_share_of_the_rows_is_held_out_by_what_they_ask() {
    // Every row twice: both are on one side.
    let project = Project::with_data(&rows(30, 0).repeat(2), None);
    let text = format!("{JOB}val_set_size: 0.2\n");
    let planned = |text: &str| {
        project
            .with(|inputs| plan(&job(text), inputs, &Silent))
            .unwrap()
    };
    let first = planned(&text);
    let held = first.validation.unwrap();
    // Of 20 rows of each of three labels, 4.
    assert_eq!((first.train.rows, held.rows), (48, 12));
    assert_eq!((first.train.repeated, held.repeated), (24, 6));
    assert_eq!(held.leaked, 0);
    assert_eq!(planned(&text), first);
    let other = planned(&text.replace("seed: 11", "seed: 12"));
    assert_ne!(other.validation.unwrap().tokens, held.tokens);
    let finished = project.complete(&job(&text));
    assert_eq!(finished.record.best.unwrap().scores.rows, 12);

    let refused = |project: &Project, text: &str| {
        let error = project.start(&job(text), &Silent).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    let split = refused(&Project::new(), &text);
    assert!(split.contains("leave `val_set_size` out"), "{split}");
    let none = refused(
        &project,
        &text.replace("val_set_size: 0.2", "val_set_size: 0.001"),
    );
    assert!(none.contains("write a larger share"), "{none}");
}

#[test]
fn repeated_and_leaked_rows_are_counted_and_refused_above_a_limit() {
    // Case and punctuation make no other question. The second row is repeated by the third and contradicted by the fourth.
    let train = "\
{\"text\": \"the card is lost\", \"label\": \"card\"}
{\"text\": \"top up\", \"label\": \"speed\"}
{\"text\": \"Top up!\", \"label\": \"speed\"}
{\"text\": \"top-up\", \"label\": \"card\"}
";
    let validation = "\
{\"text\": \"The card is lost.\", \"label\": \"card\"}
{\"text\": \"how fast\", \"label\": \"speed\"}
";
    let project = Project::with_data(train, Some(validation));
    let with = |more: &str| job(&format!("{JOB}{more}\n"));
    let refused = |more: &str| {
        let error = project.start(&with(more), &Silent).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    let leak = "1 of 2 rows of the validation split ask what training rows ask (lines 1), more than max_leaked_fraction allows";
    assert!(refused("").contains(leak), "{}", refused(""));
    assert!(refused("max_leaked_fraction: 0.4").contains(leak));
    let twice = refused("max_leaked_fraction: 0.5\nmax_duplicate_fraction: 0.2");
    assert!(
        twice.contains(
            "1 of 4 rows of the train split ask and answer what an earlier row does (lines 3)"
        ),
        "{twice}"
    );
    let finished = project.complete(&with(
        "max_leaked_fraction: 0.5\nmax_duplicate_fraction: 0.25",
    ));
    let (train, validation) = (finished.record.train, finished.record.validation.unwrap());
    assert_eq!((train.repeated, train.conflicting, train.leaked), (1, 1, 0));
    assert_eq!((validation.repeated, validation.leaked), (0, 1));
}

#[test]
fn a_rank_above_the_width_of_a_module_is_refused_by_name() {
    let refused = |lora: &str| {
        let text = JOB.replace("{r: 2, alpha: 4, dropout: 0.1}", lora);
        let error = Project::new().start(&job(&text), &Silent).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    let why = refused("{r: 4096}");
    assert!(
        why.contains(
            "the rank 4096 is more than bert.encoder.layer.0.attention.self.query can hold"
        ),
        "{why}"
    );
    let why = refused("{r: 2, rank_pattern: {'1.output.dense': 65}}");
    assert!(
        why.contains("bert.encoder.layer.1.output.dense can hold"),
        "{why}"
    );
}

#[test]
fn a_run_that_is_out_of_time_goes_on_when_asked() {
    let undisturbed = Project::new();
    let whole = undisturbed.complete(&job(JOB));
    let mut project = Project::new();
    project.tick = 1;
    let text = format!("{JOB}limits: {{max_seconds: 20}}\n");
    let limited = job(&text);
    let mut outcome = project.start(&limited, &Silent).unwrap();
    let mut sessions = 1;
    while let Outcome::Interrupted { dir, why, .. } = outcome {
        assert_eq!(why, Stop::OutOfTime);
        outcome = project.resume(dir.path(), &Silent).unwrap();
        sessions += 1;
    }
    assert!(sessions > 2, "{sessions}");
    assert_eq!(adapter(&complete(outcome)), adapter(&whole));
}

#[test]
fn too_much_memory_ends_a_run_before_or_with_a_checkpoint() {
    let mut project = Project::new();
    let small = format!("{JOB}limits: {{max_memory: 1KiB}}\n");
    let error = project.start(&job(&small), &Silent).unwrap_err();
    assert!(error.is_usage(), "{error}");
    assert!(
        error.to_string().contains("limits.max_memory is 1.0 kB"),
        "{error}"
    );
    assert_eq!(runs(&project.runs()).unwrap(), []);

    let large = job(&format!("{JOB}limits: {{max_memory: 1GiB}}\n"));
    project.held = Some(2 << 30);
    let error = project.start(&large, &Silent).unwrap_err();
    assert!(
        matches!(error, TrainError::OutOfMemory { step: 0, .. }),
        "{error}"
    );
    project.held = Some(1 << 30);
    let run = runs(&project.runs()).unwrap().remove(0);
    assert!(matches!(run.state, RunState::Interrupted(Some(_))));
    complete(project.resume(run.dir.path(), &Silent).unwrap());
}

// PEFT's create_loraplus_optimizer: B and tensors of one dimension get the larger rate. AdamW's first step is the rate in the
// direction of the gradient's sign, so it shows the rate; B begins at zero.
#[test]
fn loraplus_multiplies_the_rate_of_b() {
    let project = Project::with_data(&rows(30, 0), None);
    let text = JOB
        .replace("eval: {every_steps: 4, metric: loss}\n", "")
        .replace("num_epochs: 3", "max_steps: 1")
        + "lr_scheduler: {name: constant, warmup_steps: 0}\n";
    let plus = text.replace(
        "learning_rate: 5.0e-3",
        "learning_rate: 5.0e-3, loraplus_lr_ratio: 16",
    );
    let trained =
        |text: &str| crate::adapter::read_tensors(&adapter(&project.complete(&job(text))));
    let (plain, plus) = (trained(&text).unwrap(), trained(&plus).unwrap());
    let (mut equal, mut larger) = (0, 0);
    for (name, (shape, values)) in &plain {
        let (_, more) = &plus[name];
        if name.contains("lora_B") || shape.len() == 1 {
            for (a, b) in values.iter().zip(more) {
                // Two roundings of each value.
                assert!(
                    (16.0 * a - b).abs() <= 1e-6 * b.abs(),
                    "{name}: {a} and {b}"
                );
                larger += usize::from(*a != 0.0);
            }
        } else {
            assert_eq!(values, more, "{name}");
            equal += 1;
        }
    }
    assert!(equal > 0 && larger > 100, "{equal} {larger}");
}

#[test]
fn one_thread_gives_the_bytes_of_two() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        pool.install(|| adapter(&Project::new().complete(&job(JOB))))
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn a_plan_shows_modules_and_the_first_rows() {
    let project = Project::new();
    let plan = project
        .with(|inputs| plan(&job(JOB), inputs, &Silent))
        .unwrap();
    let query = plan
        .modules
        .iter()
        .find(|m| m.path.ends_with("0.attention.self.query"));
    let query = query.unwrap();
    assert_eq!((query.inputs, query.outputs, query.r), (32, 32, 2));
    assert_eq!(plan.modules.len() as u64, plan.adapted_modules);
    assert_eq!(plan.samples.len(), 2);
    let sample = &plan.samples[0];
    assert_eq!((sample.line, sample.label.as_deref()), (1, Some("card")));
    let text: String = sample.parts.iter().map(|part| part.text.as_str()).collect();
    assert!(text.contains("[CLS]") && text.contains("the"), "{text}");
    assert_eq!(plan.train.learned, None);
}
