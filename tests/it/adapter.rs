//! Adapters of PEFT read, merged and rewritten for servers (tests/fixtures/merge, made by PEFT).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune::adapter::{
    self, Adapter, AdapterConfig, AdapterTask, BaseFile, BaseReference, Merged, Pooling, Profile,
    RetuneRecord, Served, Storage, Tensors,
};
use retune::digest::Digest;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

const CASES: [&str; 9] = [
    "bert_bare",
    "gpt2",
    "gpt2_dora",
    "llama_classifier",
    "llama_dora",
    "llama_patterns",
    "llama_powers",
    "llama_rslora",
    "llama_tied_head",
];

/// PEFT merged in f64; a merged weight may differ from that by its rounding to the type that the base stores.
#[test]
fn a_merge_is_what_peft_merges() {
    for case in CASES {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("merged");
        let merged = merge(case, None, &to);
        assert!(merged.adapted > 0, "{case}");
        let found = weights(&to);
        let config = json(&to.join("config.json"));
        let mut expected = read(&root(case).join("expected.safetensors"));
        expected.retain(|name, _| name != "input_ids" && name != "logits");
        if config["tie_word_embeddings"] != Value::Bool(false) {
            // One tensor under two names.
            let tied = expected.remove("lm_head.weight");
            assert!(tied.is_none() || !found.contains_key("lm_head.weight"));
        }
        for (name, (_, wanted)) in &expected {
            let bare = name.strip_prefix("transformer.").unwrap_or(name);
            let entry = found.get(name).or_else(|| found.get(bare));
            let (dtype, values) = entry.unwrap_or_else(|| panic!("{case}: no {name}"));
            let unit = match dtype {
                Dtype::BF16 => 2f64.powi(-8),
                _ => 2f64.powi(-23),
            };
            for (value, wanted) in values.iter().zip(wanted) {
                let apart = (value - wanted).abs();
                let allowed = unit * wanted.abs() + 1e-9;
                assert!(apart <= allowed, "{case} {name}: {value} {wanted}");
            }
            assert_eq!(values.len(), wanted.len(), "{case} {name}");
        }
        keep(&to, "merged", case);
    }
}

#[test]
fn a_merge_keeps_shards_and_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for (storage, name, dtype) in [
        (None, None, Dtype::F32),
        (Some(Storage::Bf16), Some("bfloat16"), Dtype::BF16),
        (Some(Storage::F16), Some("float16"), Dtype::F16),
    ] {
        let to = dir.path().join(format!("{dtype:?}"));
        merge("llama_rslora", storage, &to);
        let index = json(&to.join("model.safetensors.index.json"));
        let base = json(&root("llama_rslora").join("base/model.safetensors.index.json"));
        assert_eq!(index["weight_map"], base["weight_map"]);
        let found = weights(&to);
        assert!(found.values().all(|(found, _)| *found == dtype));
        let size = match dtype {
            Dtype::F32 => 4,
            _ => 2,
        };
        let total: usize = found.values().map(|(_, values)| values.len() * size).sum();
        assert_eq!(index["metadata"]["total_size"], total);
        let config = json(&to.join("config.json"));
        if let Some(name) = name {
            assert_eq!(config["dtype"], name);
        }
        assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    }
    let to = dir.path().join("classifier");
    merge("llama_classifier", None, &to);
    let config = json(&to.join("config.json"));
    assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    assert_eq!(config["id2label"]["2"], "label 2");
    assert_eq!(config["label2id"]["label 1"], 1);
    assert!(!weights(&to).contains_key("lm_head.weight"));
    let record = json(&to.join("retune.json"));
    assert_eq!(record["labels"][0], "label 0");
}

#[test]
fn a_merge_that_cannot_be_stored_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("merged");
    let mut adapter = adapter("llama_rslora");
    let factor = adapter.tensors.values_mut().next().unwrap();
    factor.1[0] = 1e20;
    let base = base("llama_rslora");
    let error = adapter::merge(&base, &adapter, Some(Storage::F16), &to)
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("too large for the storage type"),
        "{error}"
    );
    let mean = adapter_with("bert_bare", Pooling::Mean);
    let base = self::base("bert_bare");
    let error = adapter::merge(&base, &mean, None, &to).err().unwrap();
    assert!(
        error.to_string().contains("mean of the hidden states"),
        "{error}"
    );
    let error = adapter::merge(&base, &adapter, None, &to).err().unwrap();
    assert!(
        error.to_string().contains("no module model.layers.0"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// What a server gets computes the same, bit by bit in `s·B·A`, and says so in the terms that every server reads.
#[test]
fn a_profile_changes_the_words_and_not_the_numbers() {
    for case in ["llama_powers", "llama_rslora"] {
        for profile in [Profile::Vllm, Profile::Sglang, Profile::Gguf] {
            let adapter = adapter(case);
            let served = profile.fit(&adapter, &base(case)).unwrap();
            let lora = &served.adapter.config.lora;
            assert_eq!(lora.r, 8, "{case}");
            assert!(
                !lora.use_rslora && lora.rank_pattern.is_empty() && lora.alpha_pattern.is_empty()
            );
            assert!(lora.layers_to_transform.is_empty());
            let before = products(&adapter);
            let after = products(&served.adapter);
            for (path, product) in &after {
                let wanted = before
                    .get(path)
                    .cloned()
                    .unwrap_or(vec![0.0; product.len()]);
                assert_eq!(product, &wanted, "{case} {path}");
            }
            assert!(before.keys().all(|path| after.contains_key(path)));
            assert!(!served.changes.is_empty());
            let dir = tempfile::tempdir().unwrap();
            let to = dir.path().join("served");
            served.write_dir(&to).unwrap();
            keep(&to, "served", &format!("{case}-{}", profile.name()));
        }
    }
    let peft = Profile::Peft.fit(&adapter("llama_patterns"), &base("llama_patterns"));
    assert_eq!(peft.unwrap().adapter, adapter("llama_patterns"));
}

#[test]
fn what_a_server_would_misread_is_refused_with_the_reason() {
    for (case, profile, says) in [
        (
            "llama_dora",
            Profile::Vllm,
            "it uses DoRA; export the merged model",
        ),
        (
            "llama_dora",
            Profile::Gguf,
            "gguf cannot serve this adapter",
        ),
        ("llama_patterns", Profile::Sglang, "would round the factors"),
        (
            "llama_tied_head",
            Profile::Vllm,
            "it holds lm_head.weight whole",
        ),
        ("llama_classifier", Profile::Sglang, "head of a classifier"),
        ("bert_bare", Profile::Vllm, "BertForSequenceClassification"),
        ("gpt2", Profile::Vllm, "no LoRA for GPT-2"),
    ] {
        let error = profile.fit(&adapter(case), &base(case)).unwrap_err();
        assert!(error.to_string().contains(says), "{case}: {error}");
    }
    let served: Served = Profile::Vllm
        .fit(&adapter("llama_classifier"), &base("llama_classifier"))
        .unwrap();
    assert_eq!(
        served.adapter.config.lora.modules_to_save,
        ["classifier", "score"]
    );
    assert!(
        served
            .adapter
            .tensors
            .contains_key("base_model.model.score.weight")
    );
}

/// PEFT warns and goes on with the base; here nothing is loaded.
#[test]
fn an_adapter_that_is_not_whole_is_not_imported() {
    let case = "llama_dora";
    let base = base(case);
    let good = adapter::import(&root(case).join("adapter"), &base).unwrap();
    let a = "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight";
    let module = "base_model.model.model.layers.1.mlp.up_proj";
    let magnitude = format!("{module}.lora_magnitude_vector");
    let import = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = good.tensors.clone();
        change(&mut tensors);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &good.config, &tensors);
        adapter::import(dir.path(), &base).map_err(|error| error.to_string())
    };
    let refused = |says: &str, change: &dyn Fn(&mut Tensors)| {
        let error = import(change).unwrap_err();
        assert!(error.contains(says), "{error}");
    };
    assert_eq!(import(&|_| {}).unwrap(), good);
    refused("is there without", &|t| drop(t.remove(a)));
    refused("has no factors for it", &|t| {
        t.retain(|name, _| !name.starts_with(module))
    });
    refused("is missing, and use_dora is true", &|t| {
        drop(t.remove(&magnitude))
    });
    refused("not [12]", &|t| {
        drop(t.insert(magnitude.clone(), (vec![2], vec![1.0; 2])))
    });
    refused("not finite", &|t| {
        t.get_mut(a).unwrap().1[0] = f32::INFINITY
    });
    refused("of no module that the configuration adapts", &|t| {
        t.insert(
            "base_model.model.lm_head.weight".to_owned(),
            (vec![1], vec![1.0]),
        );
    });
    refused("does not begin with base_model.model.", &|t| {
        let bare = std::mem::take(t).into_iter();
        t.extend(bare.map(|(name, tensor)| (name.replace("base_model.model.", ""), tensor)));
    });
    refused("the base has 12 and 8", &|t| {
        t.insert(a.to_owned(), (vec![2, 9], vec![1.0; 18]));
    });
    // The adapter's name inside the names is PEFT's own spelling of a live model.
    let named = import(&|t| {
        let entries = std::mem::take(t).into_iter().map(|(name, tensor)| {
            let name = name.replace(".weight", ".default.weight");
            (
                name.replace("magnitude_vector", "magnitude_vector.default"),
                tensor,
            )
        });
        t.extend(entries);
    });
    assert_eq!(named.unwrap().tensors, good.tensors);
}

/// What a crash, a diverged run or a save of nothing leaves behind is not an adapter, and is not written as one.
#[test]
fn an_empty_or_diverged_adapter_is_neither_written_nor_read() {
    let good = adapter("llama_rslora");
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("adapter");
    let refused = |says: &str, change: &dyn Fn(&mut Adapter)| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = bad.write_dir(&to).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    };
    let last = good.tensors.keys().next_back().unwrap();
    refused("lora_B of the adapter is zero", &|bad| {
        let b = bad
            .tensors
            .iter_mut()
            .filter(|(name, _)| name.contains("lora_B"));
        b.for_each(|(_, (_, values))| values.fill(0.0));
    });
    refused("not finite", &|bad| {
        bad.tensors.get_mut(last).unwrap().1[0] = f32::NAN
    });
    refused("is empty", &|bad| {
        bad.tensors.get_mut(last).unwrap().1.clear()
    });
    refused("as many values as its shape", &|bad| {
        bad.tensors.get_mut(last).unwrap().1.truncate(1);
    });
    refused("does not fit", &|bad| bad.tensors.clear());
    good.write_dir(&to).unwrap();
    assert_eq!(Adapter::read_dir(&to).unwrap(), good);
    let model = to.join("adapter_model.safetensors");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    assert!(Adapter::read_dir(&to).is_err());
}

/// The wrong base is told by its shapes.
#[test]
fn an_adapter_of_another_base_is_not_imported() {
    let error = adapter::import(&root("gpt2").join("adapter"), &base("llama_rslora")).unwrap_err();
    assert!(
        error.to_string().contains("has no module transformer.h.0"),
        "{error}"
    );
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("adapter_model.bin"), b"").unwrap();
    let error = adapter::import(empty.path(), &base("gpt2")).unwrap_err();
    assert!(error.to_string().contains("which can hold code"), "{error}");
}

/// Every adapter of the known-answer cases, here and in the shared folder, is read, fits its base and is written back as
/// PEFT wrote it.
#[test]
fn known_adapters_are_read_and_written_byte_by_byte() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut roots = vec![here.join("tests/fixtures/parity")];
    roots.extend(std::env::var_os("RETUNE_PARITY_DIR").map(PathBuf::from));
    let shared = here.parent().unwrap().join("shared/parity");
    if shared.is_dir() {
        roots.push(shared);
    }
    let mut found = 0;
    for case in roots.iter().flat_map(|root| directories(root)) {
        for dir in directories(&case.join("adapters")) {
            let imported = adapter::import(&dir, &files(&case.join("model")))
                .unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            let config = std::fs::read(dir.join("adapter_config.json")).unwrap();
            assert!(
                imported.config.to_bytes().unwrap() == config,
                "{}",
                dir.display()
            );
            let model = std::fs::read(dir.join("adapter_model.safetensors")).unwrap();
            let written = adapter::write_tensors(&imported.tensors).unwrap();
            assert!(written == model, "{}", dir.display());
            found += 1;
        }
    }
    assert!(found >= 2, "{found} adapters were found");
}

/// Base and adapter, and the merged model, against the logits that PEFT computed in f64. Both sides are two f32 layers; the
/// bf16 base is merged into bf16, whose rounding moves logits of size one by a few hundredths.
#[cfg(feature = "train")]
#[test]
fn base_and_adapter_and_the_merged_model_answer_as_peft() {
    use retune::base::network::{Batch, Model, Setup, Task, Trained};
    use retune::base::{Checkpoint, Precision};
    for case in CASES {
        let adapter = adapter(case);
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("merged");
        merge(case, None, &to);
        let heads = adapter.parts().unwrap().whole;
        let heads = heads
            .into_iter()
            .filter(|_| !adapter.record.labels.is_empty());
        let heads: Tensors = heads
            .map(|(name, (shape, values))| {
                (
                    format!("base_model.model.{name}"),
                    (shape.to_vec(), values.to_vec()),
                )
            })
            .collect();
        let base = Checkpoint::from_dir(&root(case).join("base")).unwrap();
        let merged = Checkpoint::from_dir(&to).unwrap();
        let task = match adapter.config.task {
            Some(AdapterTask::SeqCls) => Task::SeqCls {
                labels: adapter.record.labels.len(),
                pooling: adapter.record.pooling,
            },
            _ => Task::CausalLm,
        };
        let setup = Setup {
            task,
            trained: Trained::Head,
            precision: Precision::F32,
            seed: 0,
        };
        let whole = Model::load_trained(&merged, &setup, &heads).unwrap();
        let expected = read(&root(case).join("expected.safetensors"));
        let ids: Vec<u32> = expected["input_ids"]
            .1
            .iter()
            .map(|id| *id as u32)
            .collect();
        let batch = Batch::new(ids.chunks_exact(ids.len() / 2), Vec::new());
        let wanted = &expected["logits"].1;
        let rounded = case == "llama_dora";
        close(
            case,
            &whole.logits(&batch).unwrap(),
            wanted,
            if rounded { 5e-2 } else { 1e-5 },
        );
        match Model::load_adapter(&base, &adapter) {
            Ok(apart) => close(case, &apart.logits(&batch).unwrap(), wanted, 1e-5),
            // The network has no code for one of two tied embeddings; merged they are two.
            Err(error) => assert_eq!(case, "llama_tied_head", "{error}"),
        }
    }
}

#[cfg(feature = "train")]
fn close(case: &str, found: &[f32], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len(), "{case}");
    for (found, wanted) in found.iter().zip(wanted) {
        let apart = (f64::from(*found) - wanted).abs();
        assert!(apart < tolerance, "{case}: {found} {wanted}");
    }
}

/// `s·B·A` of every module, in f64.
fn products(adapter: &Adapter) -> BTreeMap<String, Vec<f64>> {
    let parts = adapter.parts().unwrap();
    let product = |factors: &adapter::Factors<'_>| {
        let mut out = Vec::new();
        for b in factors.b.chunks_exact(factors.r) {
            for input in 0..factors.inputs {
                let terms = b.iter().enumerate().map(|(rank, b)| {
                    f64::from(*b) * f64::from(factors.a[rank * factors.inputs + input])
                });
                out.push(factors.scale * terms.sum::<f64>());
            }
        }
        out
    };
    let entries = parts.adapted.iter();
    entries
        .map(|(path, factors)| ((*path).to_owned(), product(factors)))
        .collect()
}

fn merge(case: &str, storage: Option<Storage>, to: &Path) -> Merged {
    let pending = adapter::merge(&base(case), &adapter(case), storage, to).unwrap();
    assert!(!to.exists());
    pending.commit(to).unwrap()
}

fn adapter(case: &str) -> Adapter {
    match case {
        "llama_classifier" => adapter_with(case, Pooling::Last),
        _ => adapter_with(case, Pooling::Cls),
    }
}

fn adapter_with(case: &str, pooling: Pooling) -> Adapter {
    let imported = adapter::import(&root(case).join("adapter"), &base(case)).unwrap();
    let labels = match imported.config.task {
        Some(AdapterTask::SeqCls) => (0..3).map(|index| format!("label {index}")).collect(),
        _ => Vec::new(),
    };
    Adapter {
        config: imported.config,
        tensors: imported.tensors,
        record: RetuneRecord {
            labels,
            pooling,
            max_length: 32,
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
        chat_template: None,
    }
}

fn write(dir: &Path, config: &AdapterConfig, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (shape, values))| {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        (name.clone(), (shape.clone(), bytes))
    });
    let views: Vec<_> = views.collect();
    let views = views.iter().map(|(name, (shape, bytes))| {
        let view = safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    std::fs::write(dir.join("adapter_model.safetensors"), bytes).unwrap();
    std::fs::write(dir.join("adapter_config.json"), config.to_bytes().unwrap()).unwrap();
}

/// All tensors of a checkpoint.
fn weights(dir: &Path) -> BTreeMap<String, (Dtype, Vec<f64>)> {
    let shards = files(dir)
        .into_iter()
        .filter(|file| file.path.ends_with(".safetensors"));
    shards.flat_map(|shard| read(&shard.at)).collect()
}

fn read(path: &Path) -> BTreeMap<String, (Dtype, Vec<f64>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let entries = file.iter().map(|(name, view)| {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F64 => data
                .as_chunks()
                .0
                .iter()
                .map(|b| f64::from_le_bytes(*b))
                .collect(),
            Dtype::F32 => data
                .as_chunks()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b).into())
                .collect(),
            Dtype::I64 => data
                .as_chunks()
                .0
                .iter()
                .map(|b| i64::from_le_bytes(*b) as f64)
                .collect(),
            Dtype::BF16 => halves(data, half::bf16::to_f64, half::bf16::from_bits),
            Dtype::F16 => halves(data, half::f16::to_f64, half::f16::from_bits),
            other => panic!("{name} is {other:?}"),
        };
        (name.to_owned(), (view.dtype(), values))
    });
    entries.collect()
}

fn halves<H>(data: &[u8], number: fn(H) -> f64, of: fn(u16) -> H) -> Vec<f64> {
    let bits = data.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b));
    bits.map(|bits| number(of(bits))).collect()
}

/// For tests/peft/check_exports.py, which has PEFT and transformers load what was written.
fn keep(dir: &Path, kind: &str, case: &str) {
    if let Some(root) = std::env::var_os("RETUNE_KEEP_EXPORTS") {
        let to = Path::new(&root).join(kind).join(case);
        std::fs::create_dir_all(&to).unwrap();
        for file in files(dir) {
            std::fs::copy(&file.at, to.join(&file.path)).unwrap();
        }
    }
}

fn root(case: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/merge");
    fixtures.join(case)
}

fn base(case: &str) -> Vec<BaseFile> {
    files(&root(case).join("base"))
}

fn files(dir: &Path) -> Vec<BaseFile> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        BaseFile {
            path: entry.file_name().into_string().unwrap(),
            at: entry.path(),
        }
    };
    let mut files: Vec<BaseFile> = entries.map(file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = files(dir).into_iter().map(|file| file.at).collect();
    found.retain(|path| path.is_dir());
    found
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
