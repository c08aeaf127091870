//! What the network promises beyond known answers: the same bits whatever runs beside, and files that give the model back.

use std::path::{Path, PathBuf};

use retune::adapter::{Adapter, AdapterConfig, BaseReference, RetuneRecord};
use retune::base::network::{Batch, Classifier, DropoutKey, StepOutput};
use retune::base::{Checkpoint, LoraSpec, Pooling, TargetModules};
use retune::digest::Digest;

const KEY: DropoutKey = DropoutKey { seed: 3, step: 1 };

#[test]
fn threads_do_not_change_a_bit() {
    let classifier = classifier(Pooling::Mean, &lora(TargetModules::AllLinear, 0.1));
    let batch = batch();
    let run = |threads: usize| -> StepOutput {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| classifier.train_step(&batch, 1.0, Some(KEY)).unwrap())
    };
    let one = run(1);
    assert!(one.gradients.iter().flatten().any(|g| *g != 0.0));
    for threads in [2, 5] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}

#[test]
fn rows_do_not_see_each_other() {
    let classifier = classifier(Pooling::Mean, &lora(TargetModules::AllLinear, 0.0));
    let batch = batch();
    let together = classifier.logits(&batch).unwrap();
    let embedded = classifier.embeddings(&batch).unwrap();
    for row in 0..batch.rows() {
        let ids = &batch.ids[batch.offsets[row]..batch.offsets[row + 1]];
        let alone = Batch::new([ids], vec![]);
        assert_eq!(
            classifier.logits(&alone).unwrap(),
            together[row * 5..][..5],
            "row {row}"
        );
        assert_eq!(
            classifier.embeddings(&alone).unwrap(),
            embedded[row * 32..][..32],
            "row {row}"
        );
    }
}

#[test]
fn dropout_is_a_function_of_its_key() {
    let classifier = classifier(Pooling::Mean, &lora(TargetModules::AllLinear, 0.3));
    let step = |key| classifier.train_step(&batch(), 1.0, key).unwrap();
    assert_eq!(step(Some(KEY)), step(Some(KEY)));
    assert_ne!(
        step(Some(KEY)).gradients,
        step(Some(DropoutKey { step: 2, ..KEY })).gradients
    );
    assert_ne!(step(Some(KEY)).gradients, step(None).gradients);
}

#[test]
fn fresh_weights_depend_on_seed_and_name_only() {
    let all = classifier(Pooling::Mean, &lora(TargetModules::AllLinear, 0.0));
    let some = classifier(Pooling::Mean, &lora(suffixes(&["query", "value"]), 0.0));
    let names: Vec<&str> = some.parameters().iter().map(|p| p.name.as_str()).collect();
    let module = "base_model.model.bert.encoder.layer.0.attention.self";
    assert_eq!(names[0], format!("{module}.query.lora_A.weight"));
    assert_eq!(names[3], format!("{module}.value.lora_B.weight"));
    assert_eq!(
        names[names.len() - 2..],
        [
            "base_model.model.classifier.weight",
            "base_model.model.classifier.bias"
        ]
    );
    for (parameter, values) in some.parameters().iter().zip(some.weights()) {
        let at = all
            .parameters()
            .iter()
            .position(|p| p == parameter)
            .unwrap();
        assert_eq!(&all.weights()[at], values, "{}", parameter.name);
        // PEFT begins as the base model: B is zero, A is not.
        let zero = values.iter().all(|v| *v == 0.0);
        assert_eq!(
            zero,
            parameter.name.ends_with("lora_B.weight") || parameter.name.ends_with("bias")
        );
    }
    // Mean pooling does not use the pooler, so there is nothing to adapt there.
    let pooled = |c: &Classifier| c.parameters().iter().any(|p| p.name.contains("pooler"));
    assert!(!pooled(&all));
    assert!(pooled(&classifier(
        Pooling::Cls,
        &lora(TargetModules::AllLinear, 0.0)
    )));
}

#[test]
fn an_adapter_directory_gives_the_model_back() {
    let spec = lora(TargetModules::AllLinear, 0.05);
    let trained = moved(classifier(Pooling::Mean, &spec));
    let adapter = adapter(&trained, &spec);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adapter");
    adapter.write_dir(&path).unwrap();

    let read = Adapter::read_dir(&path).unwrap();
    adapter.compare(&read).unwrap();
    assert_eq!(adapter.id().unwrap(), read.id().unwrap());
    let again = Classifier::load_adapter(&checkpoint(), &read).unwrap();
    assert_eq!(again.weights(), trained.weights());
    assert_eq!(
        again.logits(&batch()).unwrap(),
        trained.logits(&batch()).unwrap()
    );
    let card = std::fs::read_to_string(path.join("README.md")).unwrap();
    assert!(
        card.contains("mean of all tokens") && card.contains("0. card_arrival\n1. top_up"),
        "{card}"
    );

    let name = adapter.tensors.keys().next().unwrap().clone();
    let mut other = adapter.clone();
    other.tensors.get_mut(&name).unwrap().1[0] += 1e-6;
    assert!(
        adapter
            .compare(&other)
            .unwrap_err()
            .to_string()
            .contains(&name)
    );
    assert_ne!(adapter.id().unwrap(), other.id().unwrap());
}

#[test]
fn a_directory_that_contradicts_itself_is_refused() {
    let spec = lora(TargetModules::AllLinear, 0.0);
    let good = adapter(&classifier(Pooling::Mean, &spec), &spec);
    let dir = tempfile::tempdir().unwrap();
    let written = |adapter: &Adapter| {
        adapter
            .write_dir(&dir.path().join("bad"))
            .unwrap_err()
            .to_string()
    };

    let mut fewer = good.clone();
    fewer.record.labels.pop();
    assert!(
        written(&fewer).contains("names 4 labels"),
        "{}",
        written(&fewer)
    );
    let mut rank = good.clone();
    rank.config.r = 4;
    assert!(written(&rank).contains("rank 4"), "{}", written(&rank));
    let mut missing = good.clone();
    missing
        .tensors
        .retain(|name, _| !name.contains("layer.1.attention.self.key"));
    let error = Classifier::load_adapter(&checkpoint(), &missing)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("layer.1.attention.self.key.lora_A.weight is missing"),
        "{error}"
    );
    assert!(!dir.path().join("bad").exists());
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let classifier = classifier(Pooling::Mean, &lora(TargetModules::AllLinear, 0.0));
    let long = vec![2; 49];
    for (rows, labels, says) in [
        (vec![&[2, 3][..], &[]], vec![0, 1], "row 1 is empty"),
        (vec![&[2, 240]], vec![0], "token id 240"),
        (
            vec![&long],
            vec![0],
            "row 0 has 49 tokens; the model's longest is 48",
        ),
        (vec![&[2, 3]], vec![5], "label 5 of 5"),
        (vec![&[2, 3]], vec![], "0 labels for 1 rows"),
        (vec![], vec![], "no rows"),
    ] {
        let error = classifier
            .train_step(&Batch::new(rows, labels), 1.0, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// The classifier with every weight moved, as after training: `B` and the bias are no longer zero.
fn moved(mut classifier: Classifier) -> Classifier {
    let step = classifier.train_step(&batch(), 1.0, None).unwrap();
    let mut weights = classifier.weights().to_vec();
    for (weights, gradients) in weights.iter_mut().zip(&step.gradients) {
        weights
            .iter_mut()
            .zip(gradients)
            .for_each(|(w, g)| *w -= 0.1 * g);
    }
    classifier.set_weights(&weights).unwrap();
    classifier
}

fn adapter(classifier: &Classifier, spec: &LoraSpec) -> Adapter {
    let modules: Vec<String> = classifier
        .parameters()
        .iter()
        .filter_map(|parameter| {
            let name = parameter.name.strip_prefix("base_model.model.")?;
            Some(name.strip_suffix(".lora_A.weight")?.to_owned())
        })
        .collect();
    let labels = [
        "card_arrival",
        "top_up",
        "lost_card",
        "exchange_rate",
        "refund",
    ];
    Adapter {
        config: AdapterConfig::new(spec, &modules, Some("tiny/bert".to_owned()), None),
        tensors: classifier.tensors(),
        record: RetuneRecord {
            labels: labels.map(str::to_owned).to_vec(),
            pooling: Pooling::Mean,
            max_length: 48,
            base: BaseReference {
                tree: Digest::of(b"base"),
                source: None,
                revision: None,
            },
            tokenizer: Digest::of(b"tokenizer"),
            dataset: None,
            run: None,
        },
    }
}

fn classifier(pooling: Pooling, lora: &LoraSpec) -> Classifier {
    Classifier::load(&checkpoint(), pooling, 5, Some(lora), 11).unwrap()
}

fn lora(target_modules: TargetModules, dropout: f64) -> LoraSpec {
    LoraSpec {
        r: 6,
        alpha: 12.0,
        dropout,
        target_modules,
        exclude_modules: None,
        use_rslora: false,
    }
}

fn suffixes(names: &[&str]) -> TargetModules {
    TargetModules::Suffixes(names.iter().map(ToString::to_string).collect())
}

fn checkpoint() -> Checkpoint {
    Checkpoint::from_dir(&root().join("model")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/bert")
}

/// Rows of 1 to 48 tokens, enough to spread over tasks.
fn batch() -> Batch {
    let rows: Vec<Vec<u32>> = [1usize, 48, 17, 5, 30, 12, 2]
        .iter()
        .enumerate()
        .map(|(row, length)| {
            (0..*length)
                .map(|at| (at * 37 + row * 11) as u32 % 240)
                .collect()
        })
        .collect();
    Batch::new(rows.iter().map(Vec::as_slice), vec![0, 1, 2, 3, 4, 0, 1])
}
