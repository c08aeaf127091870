//! What the network promises beyond known answers: the same bits whatever runs beside, and files that give the model back.

use std::path::{Path, PathBuf};

use retune::adapter::{Adapter, AdapterConfig, AdapterTask, BaseReference, RetuneRecord};
use retune::base::network::{
    Batch, DropoutKey, End, Model, Sampling, Setup, StepOutput, Task, Trained,
};
use retune::base::{Checkpoint, Config, LoraSpec, Pooling, Precision, TargetModules};
use retune::digest::Digest;
use safetensors::SafeTensors;

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
    let embedded = classifier.embeddings(&batch, Pooling::Mean).unwrap();
    for row in 0..batch.rows() {
        let ids = &batch.ids[batch.offsets[row]..batch.offsets[row + 1]];
        let alone = Batch::new([ids], vec![]);
        assert_eq!(
            classifier.logits(&alone).unwrap(),
            together[row * 5..][..5],
            "row {row}"
        );
        assert_eq!(
            classifier.embeddings(&alone, Pooling::Mean).unwrap(),
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
fn dropout_that_drops_nothing_changes_nothing_of_dora() {
    // Weights and masks take another way through the layer with dropout; at this probability every mask is all ones.
    let dora = |dropout| LoraSpec {
        use_dora: true,
        ..lora(TargetModules::AllLinear, dropout)
    };
    let plain = moved(classifier(Pooling::Cls, &dora(0.0)));
    let mut masked = classifier(Pooling::Cls, &dora(1e-12));
    masked.set_weights(plain.weights()).unwrap();
    let (want, got) = (
        plain.train_step(&batch(), 0.1, None).unwrap(),
        masked.train_step(&batch(), 0.1, Some(KEY)).unwrap(),
    );
    assert!((want.loss_sum - got.loss_sum).abs() < 1e-4);
    let parameters = plain.parameters().iter();
    for ((parameter, want), got) in parameters.zip(&want.gradients).zip(&got.gradients) {
        // Both are f32 with the same few hundred terms in another order.
        let size = want.iter().fold(0f32, |size, w| size.max(w.abs()));
        let far = want.iter().zip(got).map(|(w, g)| (w - g).abs());
        let far = far.fold(0f32, f32::max);
        assert!(
            far <= 2e-5 * size.max(0.1),
            "{}: {far} of {size}",
            parameter.name
        );
    }
    let dropped = classifier(Pooling::Cls, &dora(0.3));
    let step = |key| dropped.train_step(&batch(), 1.0, key).unwrap();
    assert_eq!(step(Some(KEY)), step(Some(KEY)));
    assert_ne!(step(Some(KEY)), step(None));
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
        // PEFT begins as the base model: B is zero, A is not. The head is the checkpoint's, which is not zero.
        let zero = values.iter().all(|v| *v == 0.0);
        assert_eq!(zero, parameter.name.ends_with("lora_B.weight"));
    }
    // A head of another size than the checkpoint's is fresh.
    let task = Task::SeqCls {
        labels: 7,
        pooling: Pooling::Mean,
    };
    let fresh = |seed| {
        let setup = Setup {
            task,
            seed,
            ..plain(Trained::Head)
        };
        let model = Model::load(&checkpoint(), &setup).unwrap();
        model.weights().to_vec()
    };
    assert!(fresh(1)[1].iter().all(|bias| *bias == 0.0));
    assert_eq!(fresh(1), fresh(1));
    assert_ne!(fresh(1)[0], fresh(2)[0]);
    // Mean pooling does not use the pooler, so there is nothing to adapt there.
    let pooled = |c: &Model| c.parameters().iter().any(|p| p.name.contains("pooler"));
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
    let again = Model::load_adapter(&checkpoint(), &read).unwrap();
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
    let good = adapter(&moved(classifier(Pooling::Mean, &spec)), &spec);
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
    rank.config.lora.r = 4;
    assert!(written(&rank).contains("rank 4"), "{}", written(&rank));
    let mut missing = good.clone();
    missing
        .tensors
        .retain(|name, _| !name.contains("layer.1.attention.self.key"));
    let error = Model::load_adapter(&checkpoint(), &missing)
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

// Made by tests/fixtures/full/make.py. Tolerance as in parity.rs: ten times the distance between PyTorch's f32 and f64
// gradients, at least 1e-5.
#[test]
fn every_weight_has_the_gradient_of_torch() {
    let files = std::fs::read_dir(fixture("full"))
        .unwrap()
        .map(|f| f.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    let mut seen = 0;
    for path in files {
        let case = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        let expected = SafeTensors::deserialize(&bytes).unwrap();
        let numbers = |name: &str| -> Vec<f32> {
            let bytes = expected.tensor(name).unwrap().data().chunks(4);
            bytes
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect()
        };
        let tolerance = (10.0 * numbers("noise")[0]).max(1e-5);
        let (mut model, batch) = whole(&case);
        let labels = batch.labels.iter().filter(|label| **label != Batch::NONE);
        let scale = 1.0 / labels.count() as f32;
        let step = model.train_step(&batch, scale, None).unwrap();
        assert_eq!(model.parameters().len() + 1, expected.len(), "{case}");
        for (parameter, gradient) in model.parameters().iter().zip(&step.gradients) {
            let name = format!("grad.{}", parameter.name);
            let shape = expected.tensor(&name).unwrap().shape().to_vec();
            assert_eq!(shape, parameter.shape, "{case} {name}");
            for (got, want) in gradient.iter().zip(numbers(&name)) {
                let distance = (got - want).abs();
                assert!(
                    distance <= tolerance,
                    "{case} {}: {got}, not {want}",
                    parameter.name
                );
            }
        }
        // A tied embedding gets its two parts from two segments, summed in another order.
        model.set_segment(Some(1));
        let again = model.train_step(&batch, scale, None).unwrap();
        assert_eq!(again, step, "{case}");
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn generation_repeats_and_rows_do_not_matter_to_each_other() {
    let model = causal("qwen3");
    let prompts = vec![vec![5, 9, 200], vec![7], vec![1, 2, 3, 4, 5, 6, 7, 8]];
    let sampled = Sampling {
        temperature: 0.8,
        top_k: Some(40),
        top_p: Some(0.9),
        seed: 3,
        ..Sampling::greedy(12)
    };
    for sampling in [Sampling::greedy(12), sampled.clone()] {
        let all = model.generate(&prompts, &sampling).unwrap();
        assert_eq!(model.generate(&prompts, &sampling).unwrap(), all);
        assert_eq!(model.generate(&prompts[..1], &sampling).unwrap(), all[..1]);
        assert!(
            all.iter()
                .all(|row| row.ids.len() == 12 && row.end == End::Length)
        );
        let stop = all[0].ids[3..5].to_vec();
        let stopped = Sampling {
            stop: vec![stop.clone()],
            ..sampling
        };
        let first = &model.generate(&prompts, &stopped).unwrap()[0];
        assert!(first.ids.ends_with(&stop) && first.end == End::Stopped);
        assert!(all[0].ids.starts_with(&first.ids));
    }
    let other = Sampling {
        seed: 4,
        ..sampled.clone()
    };
    assert_ne!(
        model.generate(&prompts, &other).unwrap(),
        model.generate(&prompts, &sampled).unwrap()
    );
    let asked = model
        .generate_while(&prompts, &sampled, |_, ids| ids.len() < 4)
        .unwrap();
    assert!(
        asked
            .iter()
            .all(|row| row.ids.len() == 4 && row.end == End::Asked)
    );
    let refused = model.generate(
        &prompts,
        &Sampling {
            top_p: Some(0.0),
            ..sampled
        },
    );
    assert!(refused.unwrap_err().to_string().contains("top_p"));
}

#[test]
fn the_memory_gives_what_the_whole_sequence_gives() {
    // A window shorter than the text, softcaps, two ropes, learned positions, layers without rotation: one case each.
    for case in ["mistral", "gemma2", "gemma3", "gpt2", "llama3_rope"] {
        let model = causal(case);
        let mut ids = vec![3, 17, 40];
        let found = model
            .generate(&[ids.clone()], &Sampling::greedy(20))
            .unwrap();
        for id in &found[0].ids {
            let batch = Batch::new([&ids[..]], Vec::new());
            let logits = model.logits(&batch).unwrap();
            let width = model.config().vocab_size;
            let last = &logits[logits.len() - width..];
            let best = last[*id as usize];
            // Sums in another order: the chosen token is the best one, or as good as the best one to 1e-4 of a logit.
            assert!(last.iter().all(|other| *other <= best + 1e-4), "{case}");
            ids.push(*id);
        }
    }
}

#[test]
fn a_language_model_learns_each_text_alone() {
    let model = causal("gemma3");
    let texts: [&[u32]; 3] = [&[5, 6, 7, 8, 9, 10, 11], &[40], &[90, 91, 92]];
    let targets = |text: &[u32]| {
        let next = text[1..].iter().copied();
        next.chain([Batch::NONE]).collect::<Vec<u32>>()
    };
    let labels = texts.iter().flat_map(|text| targets(text)).collect();
    let packed = model.token_losses(&Batch::new(texts, labels)).unwrap();
    let alone = [0, 2].map(|i| {
        let batch = Batch::new([texts[i]], targets(texts[i]));
        model.token_losses(&batch).unwrap()
    });
    assert_eq!(packed, alone.concat());
    let error = |labels: Vec<u32>| {
        let batch = Batch::new([texts[2]], labels);
        model.train_step(&batch, 1.0, None).unwrap_err().to_string()
    };
    assert!(error(vec![Batch::NONE; 3]).contains("no token has a label"));
    assert!(error(vec![1, 2]).contains("2 labels for 3 tokens"));
    assert!(error(vec![1, 9999, 2]).contains("label 9999"));
}

#[test]
fn a_model_says_what_it_is_not_for() {
    let refused = |case: &str, task| {
        let setup = Setup {
            task,
            ..plain(Trained::Head)
        };
        Model::load(&parity(case), &setup).unwrap_err().to_string()
    };
    assert!(refused("bert", Task::CausalLm).contains("encoder"));
    let mean = Task::SeqCls {
        labels: 2,
        pooling: Pooling::Mean,
    };
    assert!(refused("llama", mean).contains("last pooling"));
    let last = Task::SeqCls {
        labels: 2,
        pooling: Pooling::Last,
    };
    assert!(refused("bert", last).contains("cls or mean pooling"));
}

fn causal(case: &str) -> Model {
    Model::load(&parity(case), &plain(Trained::Head)).unwrap()
}

fn plain(trained: Trained<'_>) -> Setup<'_> {
    Setup {
        task: Task::CausalLm,
        trained,
        precision: Precision::F32,
        seed: 0,
    }
}

/// A model of which everything is trained, and the batch of its case.
fn whole(case: &str) -> (Model, Batch) {
    let inputs = std::fs::read(fixture("parity").join(case).join("expected.safetensors")).unwrap();
    let inputs = SafeTensors::deserialize(&inputs).unwrap();
    let list = |name: &str| -> Vec<i64> {
        let bytes = inputs.tensor(name).unwrap().data().to_vec();
        bytes
            .chunks(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    let (ids, mask, labels) = (list("input_ids"), list("attention_mask"), list("labels"));
    let width = inputs.tensor("input_ids").unwrap().shape()[1];
    let classifies = labels.len() < ids.len();
    let row = |values: &[i64], row: usize| -> Vec<u32> {
        let range = row * width..(row + 1) * width;
        let real = values[range.clone()]
            .iter()
            .zip(&mask[range])
            .filter(|(_, m)| **m == 1);
        real.map(|(v, _)| u32::try_from(*v).unwrap_or(Batch::NONE))
            .collect()
    };
    let count = ids.len() / width;
    let rows: Vec<Vec<u32>> = (0..count).map(|r| row(&ids, r)).collect();
    let labels = match classifies {
        true => labels.iter().map(|label| *label as u32).collect(),
        false => (0..count)
            .flat_map(|r| {
                row(&labels, r)
                    .into_iter()
                    .skip(1)
                    .chain([Batch::NONE])
                    .collect::<Vec<_>>()
            })
            .collect(),
    };
    let checkpoint = parity(case);
    let config = Config::parse(&checkpoint.config).unwrap();
    let task = match classifies {
        true => Task::SeqCls {
            labels: inputs.tensor("logits").unwrap().shape()[1],
            pooling: config.pooling,
        },
        false => Task::CausalLm,
    };
    let setup = Setup {
        task,
        ..plain(Trained::Everything)
    };
    let model = Model::load(&checkpoint, &setup).unwrap();
    (model, Batch::new(rows.iter().map(Vec::as_slice), labels))
}

fn parity(case: &str) -> Checkpoint {
    Checkpoint::from_dir(&fixture("parity").join(case).join("model")).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The classifier with every weight moved, as after training: `B` and the bias are no longer zero.
fn moved(mut classifier: Model) -> Model {
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

fn adapter(classifier: &Model, spec: &LoraSpec) -> Adapter {
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
        config: AdapterConfig::new(
            spec,
            AdapterTask::SeqCls,
            &modules,
            Some("tiny/bert".to_owned()),
            None,
        ),
        tensors: classifier.tensors(),
        chat_template: None,
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
            chat_template: None,
            dataset: None,
            run: None,
        },
    }
}

fn classifier(pooling: Pooling, lora: &LoraSpec) -> Model {
    let setup = Setup {
        task: Task::SeqCls { labels: 5, pooling },
        trained: Trained::Lora(lora),
        precision: Precision::F32,
        seed: 11,
    };
    Model::load(&checkpoint(), &setup).unwrap()
}

fn lora(target_modules: TargetModules, dropout: f64) -> LoraSpec {
    LoraSpec {
        dropout,
        ..LoraSpec::new(6, 12.0, target_modules)
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
