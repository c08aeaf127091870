//! Known answers from PyTorch and PEFT: `tests/fixtures/parity`, or the directory that RETUNE_PARITY_DIR names.
//!
//! `generate.py` there made them and describes them. Every case in the directory must run: one that needs a model type
//! without code here fails.
//!
//! Tolerance: the fixtures hold the distance between PyTorch's float32 run and the same run in float64 (`noise_*`). Another
//! float32 implementation sums in another order and so is as far from the truth in another direction; ten times that
//! distance covers the worst of a few hundred elements. It is never less than 1e-5, which is what the printed decimals of
//! logits and losses are read to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune::adapter::{AdapterConfig, read_tensors};
use retune::base::network::{Batch, Model, Sampling, Setup, StepOutput, Task, Trained};
use retune::base::{Checkpoint, Config, Pooling, Precision, Tokenizer};
use retune::document::Decimal;
use retune::train::{AdamW, JobSchedule, Rule, Schedule, ScheduleName, Warmup, clip};
use safetensors::SafeTensors;
use serde_json::Value;

#[test]
fn tokenizers_agree() {
    every_case(|case| {
        let expected = json(&case.join("expected.json"));
        let bytes = checkpoint(case, "config.json").tokenizer;
        let probes = expected["tokenizer"].as_array().unwrap();
        let texts: Vec<&Value> = probes.iter().filter(|p| p["pair"].is_null()).collect();
        if texts.is_empty() {
            return Err("it has no texts to encode".to_owned());
        }
        texts.iter().try_for_each(|probe| encodes(&bytes, probe))
    });
}

/// Ids with and without special tokens, cut off, and back to text. Pairs of texts have no use here.
fn encodes(bytes: &[u8], probe: &Value) -> Outcome {
    let tokenizer = |longest| Tokenizer::from_bytes(bytes, longest).unwrap();
    let ids = |key: &str| -> Vec<u32> {
        let list = probe[key].as_array().unwrap().iter();
        list.map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let text = probe["text"].as_str().unwrap();
    let (want, long) = (ids("ids"), tokenizer(512));
    let same = |what: &str, got: &[u32], want: &[u32]| match got == want {
        true => Ok(()),
        false => Err(format!("{what} of {text:?}: {got:?}, not {want:?}")),
    };
    same("ids", &long.encode(text).unwrap().ids, &want)?;
    let pieces: Vec<u32> = long.pieces(text).unwrap().iter().map(|p| p.id).collect();
    same("plain ids", &pieces, &ids("ids_plain"))?;
    let plain: Vec<u32> = want
        .iter()
        .copied()
        .filter(|id| !long.is_special(*id))
        .collect();
    let decoded = long.decode(&plain).unwrap();
    if decoded != probe["decoded"].as_str().unwrap() {
        return Err(format!("{text:?} comes back as {decoded:?}"));
    }
    if want.len() > 6 {
        // transformers keeps a closing special token when it truncates.
        let last = want[want.len() - 1];
        let kept = match long.is_special(last) {
            true => [&want[..5], &[last]].concat(),
            false => want[..6].to_vec(),
        };
        let cut = tokenizer(6).encode(text).unwrap();
        same("cut ids", &cut.ids, &kept)?;
        assert_eq!((cut.length, cut.truncated()), (want.len(), true));
    }
    Ok(())
}

#[test]
fn base_models_agree() {
    every_case(|case| {
        let info = json(&case.join("expected.json"));
        let expected = Tensors::read(&case.join("expected.safetensors"));
        for config in ["config.json", "config.v4.json"] {
            base_model(case, config, &info, &expected).map_err(|why| format!("{config}: {why}"))?;
        }
        Ok(())
    });
}

/// Logits, hidden states, loss and the greedy continuation without an adapter.
fn base_model(case: &Path, config: &str, info: &Value, expected: &Tensors) -> Outcome {
    let checkpoint = checkpoint(case, config);
    let batch = expected.batch(info);
    let setup = setup(&checkpoint, info, expected, Trained::Head);
    let model = Model::load(&checkpoint, &setup).map_err(|error| error.to_string())?;
    let noise = tolerance(info, "noise_logits");
    let logits = model.logits(&batch).unwrap();
    close("logits", &logits, &expected.real("logits", info), noise)?;
    for (index, hidden) in model.hidden_states(&batch).unwrap().iter().enumerate() {
        // Hidden states are as large as logits or larger, and no noise of theirs was written.
        let want = expected.real(&format!("hidden.{index}"), info);
        let size = want.iter().fold(1f32, |size, w| size.max(w.abs()));
        let what = format!("hidden.{index}");
        close(&what, hidden, &want, noise.max(1e-5 * f64::from(size)))?;
    }
    if expected.0.contains_key("mean_pooled") {
        let mean = model.embeddings(&batch, Pooling::Mean).unwrap();
        close("mean", &mean, &expected.f32("mean_pooled"), noise)?;
    }
    let losses = model.token_losses(&batch).unwrap();
    let mean = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64;
    near(
        "loss",
        mean,
        number(&info["loss"]),
        tolerance(info, "noise_loss"),
    )?;
    if info["task"] == "causal" {
        let ids = |name| -> Vec<u32> { expected.i64(name).iter().map(|id| *id as u32).collect() };
        let (prompt, want) = (ids("greedy_prompt"), ids("greedy_ids"));
        let got = model
            .generate(&[prompt], &Sampling::greedy(want.len()))
            .unwrap();
        if got[0].ids != want {
            return Err(format!("greedy ids {:?}, not {want:?}", got[0].ids));
        }
    }
    Ok(())
}

#[test]
fn adapters_agree() {
    every_variant(|variant| {
        let (model, info) = (&variant.model, &variant.info);
        let logits = model.logits(&variant.batch).unwrap();
        close(
            "logits",
            &logits,
            &variant.logits,
            tolerance(info, "noise_logits"),
        )?;
        let step = variant.mean_step(model);
        let loss = step.loss_sum / variant.labels;
        near(
            "loss",
            loss,
            number(&info["losses"][0]),
            tolerance(info, "noise_losses"),
        )?;
        let expected = variant.expected.names("grad.").len();
        if model.parameters().len() != expected {
            return Err(format!(
                "{} parameters, not {expected}",
                model.parameters().len()
            ));
        }
        for (parameter, gradient) in model.parameters().iter().zip(&step.gradients) {
            let want = variant.expected.f32(&format!("grad.{}", parameter.name));
            close(
                &parameter.name,
                gradient,
                &want,
                tolerance(info, "noise_grads"),
            )?;
        }
        Ok(())
    });
}

#[test]
fn twenty_steps_agree() {
    every_variant(|mut variant| {
        let info = &variant.info;
        let rule = Rule {
            betas: [0, 1].map(|i| number(&info["betas"][i])),
            eps: number(&info["eps"]),
            weight_decay: number(&info["weight_decay"]),
        };
        let steps = info["steps"].as_u64().unwrap();
        let schedule = Schedule::new(&job_schedule(info), steps);
        let mut weights = variant.model.weights().to_vec();
        let zeros: Vec<Vec<f32>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
        let mut adam = AdamW::new(rule, 0, zeros.clone(), zeros);
        for step in 0..=steps {
            let mut output = variant.mean_step(&variant.model);
            let at = |what: &str| format!("{what} at step {step}");
            let of = |list: &str| number(&info[list][step as usize]);
            let loss = output.loss_sum / variant.labels;
            near(
                &at("loss"),
                loss,
                of("losses"),
                tolerance(info, "noise_losses"),
            )?;
            if step == steps {
                break;
            }
            let norm = clip(&mut output.gradients, info["clip"].as_f64().unwrap_or(0.0));
            // The length of a gradient of so many elements, each as far off as the noise says.
            let elements = output.gradients.iter().map(Vec::len).sum::<usize>() as f64;
            let noise = tolerance(info, "noise_grads") * elements.sqrt();
            near(&at("gradient norm"), norm, of("grad_norms"), noise)?;
            let rate = number(&info["lr"]) * schedule.factor(step);
            near(&at("learning rate"), rate, of("lrs"), 1e-12)?;
            let rates = vec![rate; weights.len()];
            adam.step(&rates, &mut weights, &output.gradients);
            variant.model.set_weights(&weights).unwrap();
        }
        for (parameter, values) in variant.model.parameters().iter().zip(&weights) {
            let want = variant.expected.f32(&format!("after.{}", parameter.name));
            close(
                &parameter.name,
                values,
                &want,
                tolerance(info, "noise_after"),
            )?;
        }
        Ok(())
    });
}

fn job_schedule(info: &Value) -> JobSchedule {
    let warmup = info["warmup"].as_u64().unwrap_or(0);
    JobSchedule {
        name: match warmup {
            0 => ScheduleName::Constant,
            _ => ScheduleName::Linear,
        },
        warmup: Warmup::Steps(warmup),
        min_lr_ratio: Decimal::new(0.0).unwrap(),
    }
}

#[test]
fn recomputed_gradients_are_the_same() {
    every_variant(|mut variant| {
        let whole = variant.mean_step(&variant.model);
        for layers in [1, 2] {
            variant.model.set_segment(Some(layers));
            if variant.mean_step(&variant.model) != whole {
                return Err(format!("segments of {layers} layers change a bit"));
            }
        }
        Ok(())
    });
}

// A product rounds both of its factors to eight binary digits, each by up to 2⁻⁸ of itself and so by 2⁻⁸/√3 as a rule, and
// sums in float32. Errors of one product after the other add up like their squares. These models have about fifteen products
// on the way to the loss and as many on the way back, so √(2·30)·2⁻⁸/√3 ≈ 1.7 % of a gradient's length is to be expected;
// three times that is allowed. The loss moves by the gradient's share of a change of that size: these have losses of 1 to 6.
#[test]
fn bf16_stays_near_f32() {
    let (of_gradient, of_loss) = (0.05, 0.02);
    for case in cases() {
        for dir in directories(&case.join("adapters")) {
            let step = |precision| {
                let variant = Variant::held_in(&case, &dir, precision).unwrap();
                let step = variant.mean_step(&variant.model);
                (step.loss_sum / variant.labels, step.gradients.concat())
            };
            let (exact, rounded) = (step(Precision::F32), step(Precision::Bf16));
            let loss = (exact.0 - rounded.0).abs();
            let square = |x: f64| x * x;
            let pairs = exact.1.iter().zip(&rounded.1);
            let apart: f64 = pairs
                .map(|(a, b)| square(f64::from(*a) - f64::from(*b)))
                .sum();
            let whole: f64 = exact.1.iter().map(|g| square(f64::from(*g))).sum();
            let gradient = (apart / whole).sqrt();
            let what = format!("{}: loss {loss:.1e}, gradient {gradient:.4}", dir.display());
            assert!(loss <= of_loss && gradient <= of_gradient, "{what}");
            // Something was rounded.
            assert!(gradient > 1e-4, "{what}");
        }
    }
}

#[test]
fn adapters_are_swapped_on_one_base() {
    for case in cases() {
        let dirs = directories(&case.join("adapters"));
        let mut variants: Vec<Variant> = dirs
            .iter()
            .map(|dir| Variant::load(&case, dir).unwrap())
            .collect();
        let Some(mut shared) = variants.first().map(|first| first.model.clone()) else {
            panic!("{} has no adapter", case.display());
        };
        for (variant, dir) in variants.iter_mut().zip(&dirs) {
            let (config, tensors) = adapter(dir);
            shared.set_adapter(&config.spec(), &tensors).unwrap();
            let swapped = shared.logits(&variant.batch).unwrap();
            assert_eq!(
                swapped,
                variant.model.logits(&variant.batch).unwrap(),
                "{}",
                dir.display()
            );
        }
    }
}

struct Variant {
    model: Model,
    batch: Batch,
    /// Of the tokens that are not padding.
    logits: Vec<f32>,
    expected: Tensors,
    info: Value,
    /// How many labels the mean is over.
    labels: f64,
}

impl Variant {
    fn load(case: &Path, dir: &Path) -> Result<Self, String> {
        Self::held_in(case, dir, Precision::F32)
    }

    fn held_in(case: &Path, dir: &Path, precision: Precision) -> Result<Self, String> {
        let checkpoint = checkpoint(case, "config.json");
        let of_case = json(&case.join("expected.json"));
        let inputs = Tensors::read(&case.join("expected.safetensors"));
        let expected = Tensors::read(&dir.join("expected.safetensors"));
        let (config, tensors) = adapter(dir);
        let spec = config.spec();
        let setup = Setup {
            precision,
            ..setup(&checkpoint, &of_case, &inputs, Trained::Lora(&spec))
        };
        let model = Model::load_trained(&checkpoint, &setup, &tensors);
        let batch = inputs.batch(&of_case);
        let labels = batch
            .labels
            .iter()
            .filter(|label| **label != Batch::NONE)
            .count();
        Ok(Self {
            model: model.map_err(|error| error.to_string())?,
            batch,
            logits: expected.masked("logits", &inputs, &of_case),
            expected,
            info: json(&dir.join("train.json")),
            labels: labels as f64,
        })
    }

    /// Loss and gradients of the mean loss, as PyTorch's training loop has them.
    fn mean_step(&self, model: &Model) -> StepOutput {
        let scale = 1.0 / self.labels as f32;
        model.train_step(&self.batch, scale, None).unwrap()
    }
}

type Outcome = Result<(), String>;

/// Runs every case to its end and then says which ones failed.
fn every_case(check: impl Fn(&Path) -> Outcome) {
    let name = |case: &Path| case.file_name().unwrap().to_string_lossy().into_owned();
    let faults: Vec<String> = cases()
        .iter()
        .filter_map(|case| {
            check(case)
                .err()
                .map(|why| format!("{}: {why}", name(case)))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Likewise every adapter of every case; a case without any fails.
fn every_variant(check: impl Fn(Variant) -> Outcome) {
    every_case(|case| {
        let dirs = directories(&case.join("adapters"));
        if dirs.is_empty() {
            return Err("it has no adapter".to_owned());
        }
        for dir in dirs {
            Variant::load(case, &dir)
                .and_then(&check)
                .map_err(|why| format!("{}: {why}", dir.file_name().unwrap().to_string_lossy()))?;
        }
        Ok(())
    });
}

fn checkpoint(case: &Path, config: &str) -> Checkpoint {
    let mut checkpoint = Checkpoint::from_dir(&case.join("model")).unwrap();
    checkpoint.config = std::fs::read(case.join("model").join(config)).unwrap();
    checkpoint
}

fn adapter(dir: &Path) -> (AdapterConfig, retune::adapter::Tensors) {
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let config = AdapterConfig::parse(&read("adapter_config.json")).unwrap();
    (
        config,
        read_tensors(&read("adapter_model.safetensors")).unwrap(),
    )
}

fn setup<'a>(
    checkpoint: &Checkpoint,
    info: &Value,
    inputs: &Tensors,
    trained: Trained<'a>,
) -> Setup<'a> {
    let pooling = Config::parse(&checkpoint.config).map(|config| config.pooling);
    let task = match info["task"].as_str() {
        Some("causal") => Task::CausalLm,
        Some("classify") => Task::SeqCls {
            labels: inputs.shape("logits")[1],
            pooling: pooling.unwrap(),
        },
        other => panic!("no task is called {other:?}"),
    };
    Setup {
        task,
        trained,
        precision: Precision::F32,
        seed: 0,
    }
}

fn cases() -> Vec<PathBuf> {
    let root = match std::env::var_os("RETUNE_PARITY_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    let cases = directories(&root);
    assert!(!cases.is_empty(), "{} holds no case", root.display());
    cases
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// A safetensors file of expected values.
struct Tensors(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| {
            (
                name.to_owned(),
                (view.shape().to_vec(), view.data().to_vec()),
            )
        });
        Self(tensors.collect())
    }

    fn names(&self, prefix: &str) -> Vec<&String> {
        self.0
            .keys()
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    fn shape(&self, name: &str) -> &[usize] {
        &self.0[name].0
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let bytes = &self.0[name].1;
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    fn i64(&self, name: &str) -> Vec<i64> {
        let bytes = &self.0[name].1;
        bytes
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// A tensor's elements where the rows are not padding.
    fn real(&self, name: &str, info: &Value) -> Vec<f32> {
        self.masked(name, self, info)
    }

    /// The same with the mask of another file. What has one row per text has no padding.
    fn masked(&self, name: &str, inputs: &Self, info: &Value) -> Vec<f32> {
        let (values, mask) = (self.f32(name), inputs.i64("attention_mask"));
        let per_token = name.starts_with("hidden.") || info["task"] == "causal";
        if !per_token {
            return values;
        }
        let width = values.len() / mask.len();
        let rows = values
            .chunks(width)
            .zip(mask)
            .filter(|(_, real)| *real == 1);
        rows.flat_map(|(row, _)| row.iter().copied()).collect()
    }

    /// The padded rows of the fixture, packed. A language model learns at each token what comes after it.
    fn batch(&self, info: &Value) -> Batch {
        let (ids, mask, labels) = (
            self.i64("input_ids"),
            self.i64("attention_mask"),
            self.i64("labels"),
        );
        let width = self.shape("input_ids")[1];
        let real = |values: &[i64], row: usize| -> Vec<u32> {
            let range = row * width..(row + 1) * width;
            let row = values[range.clone()].iter().zip(&mask[range]);
            let kept = row.filter(|(_, real)| **real == 1);
            kept.map(|(value, _)| u32::try_from(*value).unwrap_or(Batch::NONE))
                .collect()
        };
        let rows: Vec<Vec<u32>> = (0..ids.len() / width).map(|row| real(&ids, row)).collect();
        let labels = match info["task"] == "causal" {
            true => (0..rows.len())
                .flat_map(|row| {
                    let next = real(&labels, row);
                    next.into_iter()
                        .skip(1)
                        .chain([Batch::NONE])
                        .collect::<Vec<_>>()
                })
                .collect(),
            false => labels
                .iter()
                .map(|label| u32::try_from(*label).unwrap())
                .collect(),
        };
        Batch::new(rows.iter().map(Vec::as_slice), labels)
    }
}

fn tolerance(info: &Value, noise: &str) -> f64 {
    (10.0 * number(&info[noise])).max(1e-5)
}

fn close(what: &str, got: &[f32], want: &[f32], tolerance: f64) -> Outcome {
    if got.len() != want.len() {
        return Err(format!(
            "{what} has {} elements, not {}",
            got.len(),
            want.len()
        ));
    }
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let what = format!("{what}[{at}]");
        near(&what, f64::from(*got), f64::from(*want), tolerance)?;
    }
    Ok(())
}

fn near(what: &str, got: f64, want: f64, tolerance: f64) -> Outcome {
    // A NaN is not near anything.
    let distance = (got - want).abs();
    match distance <= tolerance {
        true => Ok(()),
        false => Err(format!(
            "{what}: {got}, not {want} (distance {distance:e}, tolerance {tolerance:e})"
        )),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
