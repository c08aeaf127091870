//! Folders in, manifests and checkpoints out.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::digest::Digest;
use crate::progress::Silent;
use crate::store::{Store, StoreError, Tree, TreeEntry};

const CONFIG: &str = r#"{"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 2,
    "num_hidden_layers": 1, "vocab_size": 3}"#;
const TOKENIZER: &str = r#"{"version": "1.0", "model": {"type": "WordPiece"}}"#;

/// A safetensors file from its header and the number of data bytes.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

fn weights() -> Vec<u8> {
    safetensors(
        r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
            "h":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]},
            "ids":{"dtype":"I64","shape":[1,2],"data_offsets":[28,44]}}"#,
        44,
    )
}

struct Desk {
    dir: tempfile::TempDir,
    store: Store,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        fs::create_dir(dir.path().join("base")).unwrap();
        Self { dir, store }
    }

    /// A folder with one whole checkpoint in it.
    fn whole() -> Self {
        let desk = Self::new();
        desk.write("config.json", CONFIG);
        desk.write("tokenizer.json", TOKENIZER);
        desk.write("model.safetensors", weights());
        desk
    }

    /// A folder with a checkpoint in two shards.
    fn sharded(index: &str) -> Self {
        let desk = Self::whole();
        fs::remove_file(desk.folder().join("model.safetensors")).unwrap();
        let shard = |name: &str| {
            let header =
                format!(r#"{{"{name}":{{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}}}"#);
            safetensors(&header, 4)
        };
        desk.write("model-00001-of-00002.safetensors", shard("a"));
        desk.write("model-00002-of-00002.safetensors", shard("b"));
        desk.write("model.safetensors.index.json", index);
        desk
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn import(&self) -> Result<Imported, BaseError> {
        import(&self.store, &self.folder(), None, &Silent)
    }

    /// What is wrong, without the folder; nothing is stored.
    fn fault(&self) -> String {
        let error = self.import().unwrap_err();
        assert_eq!(self.store.verify().unwrap().sound, 0);
        assert!(inspect(&self.folder(), None, &Silent).is_err());
        let dir = self.folder().display().to_string();
        error.to_string().replace(&dir, "base")
    }
}

const INDEX: &str = r#"{"metadata": {"total_size": 8}, "weight_map": {
    "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;

#[test]
fn a_folder_goes_in_and_a_checkpoint_comes_out() {
    let desk = Desk::whole();
    desk.write("1_Pooling/config.json", "{}");
    desk.write("vocab.txt", "a\n");
    for other in [
        "onnx/model.onnx",
        "pytorch_model.bin",
        ".gitattributes",
        "mod",
    ] {
        desk.write(other, "x");
    }
    let imported = desk.import().unwrap();
    assert_eq!(imported, inspect(&desk.folder(), None, &Silent).unwrap());
    let manifest = imported.manifest;
    assert_eq!(
        imported.ignored,
        [".gitattributes", "mod", "onnx/", "pytorch_model.bin"]
    );
    let paths: Vec<&str> = manifest.files.iter().map(|entry| &*entry.path).collect();
    assert_eq!(
        paths,
        [
            "1_Pooling/config.json",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "vocab.txt"
        ]
    );
    let expected = Facts {
        model_type: "bert".into(),
        architecture: Some("BertModel".into()),
        parameters: 6 + 2,
        dtype: "F32".into(),
        hidden_size: 2,
        layers: 1,
        vocab: 3,
    };
    assert_eq!(manifest.model, expected);

    let bytes = desk
        .store
        .read(&Digest::of(&manifest.encode().unwrap()))
        .unwrap();
    assert_eq!(BaseManifest::decode(&bytes).unwrap(), manifest);
    let checkpoint = open(&desk.store, &manifest).unwrap();
    assert_eq!(checkpoint.config, CONFIG.as_bytes());
    assert_eq!(checkpoint.tokenizer, TOKENIZER.as_bytes());
    assert_eq!(fs::read(&checkpoint.shards[0]).unwrap(), weights());
    let report = verify(&desk.store, &manifest, &Silent).unwrap();
    assert_eq!((report.files, report.bytes), (5, manifest.size()));
}

#[test]
fn the_identity_is_the_tree_of_the_files_wherever_they_come_from() {
    let desk = Desk::whole();
    let source = Source::new("a/b", &"0".repeat(40)).unwrap();
    let named = import(&desk.store, &desk.folder(), Some(source), &Silent).unwrap();
    let plain = desk.import().unwrap();
    assert_eq!(named.manifest.id(), plain.manifest.id());
    let entry = |path: &str, bytes: &[u8]| TreeEntry {
        path: path.into(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    let tree = Tree::new(vec![
        entry("config.json", CONFIG.as_bytes()),
        entry("model.safetensors", &weights()),
        entry("tokenizer.json", TOKENIZER.as_bytes()),
    ]);
    assert_eq!(plain.manifest.id().digest(), tree.unwrap().id().digest());
}

#[test]
fn shards_are_those_of_the_index() {
    let desk = Desk::sharded(INDEX);
    let manifest = desk.import().unwrap().manifest;
    assert_eq!(
        (manifest.model.parameters, &*manifest.model.dtype),
        (4, "F16")
    );
    assert_eq!(open(&desk.store, &manifest).unwrap().shards.len(), 2);
    verify(&desk.store, &manifest, &Silent).unwrap();

    fs::remove_file(desk.folder().join("model-00002-of-00002.safetensors")).unwrap();
    desk.write("model-00003-of-00003.safetensors", "x");
    let desk_again = Desk {
        store: Store::create(&desk.dir.path().join("empty")).unwrap(),
        ..desk
    };
    assert_eq!(
        desk_again.fault(),
        "model-00002-of-00002.safetensors: the index names it, but it is missing; download it\n\
         model-00003-of-00003.safetensors: it looks like a shard, but the index does not name it; is the index another download's?"
    );
}

#[test]
fn an_index_must_agree_with_its_shards() {
    for (index, fault) in [
        (
            INDEX.replace("\"a\":", "\"c\":"),
            "model-00001-of-00002.safetensors: the index says it holds tensor `c`, but it does not",
        ),
        (
            INDEX.replace(
                "\"weight_map\": {",
                "\"weight_map\": {\"c\": \"model-00001-of-00002.safetensors\",",
            ),
            "model-00001-of-00002.safetensors: the index says it holds tensor `c`, but it does not",
        ),
        (
            INDEX.replace("model-00002", "../model-00002"),
            "model.safetensors.index.json: it names \"../model-00002-of-00002.safetensors\", which is not a safetensors file beside it",
        ),
        (
            "{\"weight_map\": {}}".into(),
            "model.safetensors.index.json: it names no shards",
        ),
        (
            "{}".into(),
            "model.safetensors.index.json: not an index: missing field `weight_map` at line 1 column 2",
        ),
    ] {
        assert_eq!(Desk::sharded(&index).fault(), fault);
    }
    let desk = Desk::sharded(INDEX);
    desk.write("model.safetensors", weights());
    assert!(desk.fault().contains("holds both"));
}

#[test]
fn folders_that_are_no_checkpoint_are_told_apart() {
    for (file, fault) in [
        ("adapter_config.json", "it holds a PEFT adapter, not a base"),
        ("pytorch_model.bin", "download model.safetensors instead"),
        (
            "notes.txt",
            "it holds neither model.safetensors nor model.safetensors.index.json",
        ),
    ] {
        let desk = Desk::new();
        desk.write(file, "{}");
        assert!(desk.fault().contains(fault), "{file}");
    }
    let desk = Desk::new();
    desk.write("model.safetensors", weights());
    assert_eq!(
        desk.fault(),
        "config.json: it is missing\ntokenizer.json: it is missing"
    );
    fs::create_dir(desk.folder().join("config.json")).unwrap();
    desk.write("tokenizer.json", TOKENIZER);
    assert_eq!(desk.fault(), "config.json: it is not a regular file");
}

#[test]
fn a_configuration_says_what_the_model_is() {
    for (config, fault) in [
        (
            "{",
            "not JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("[]", "not a JSON object"),
        (
            "{}",
            "model_type is missing; is this the configuration of a model?",
        ),
        (r#"{"model_type": "bert"}"#, "hidden_size is missing"),
        (
            r#"{"model_type": "bert", "hidden_size": 0}"#,
            "hidden_size is not a positive whole number",
        ),
        (
            r#"{"model_type": "bert", "hidden_size": "8"}"#,
            "hidden_size is not a positive whole number",
        ),
    ] {
        let desk = Desk::whole();
        desk.write("config.json", config);
        assert_eq!(desk.fault(), format!("config.json: {fault}"));
    }
    let desk = Desk::whole();
    desk.write(
        "config.json",
        r#"{"model_type": "gpt2", "n_embd": 2, "n_layer": 5, "vocab_size": 3}"#,
    );
    assert_eq!(desk.import().unwrap().manifest.model.layers, 5);
    desk.write(
        "config.json",
        r#"{"model_type": "gemma3", "text_config": {"hidden_size": 7, "num_hidden_layers": 1, "vocab_size": 3}}"#,
    );
    assert_eq!(desk.import().unwrap().manifest.model.hidden_size, 7);
}

#[test]
fn weights_are_whole_and_name_every_tensor_once() {
    let one = |entry: &str| format!("{{\"w\":{entry}}}");
    let good = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let end = 8 + one(good).len() + 8;
    let says =
        |size: usize| format!("its tensors end at byte {end}, but the file has {size} bytes");
    let (short, long) = (says(end - 1), says(end + 1));
    for (bytes, fault) in [
        (
            b"abc".to_vec(),
            "shorter than the 8 bytes that a safetensors file begins with",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "this is a Git LFS pointer, not the weights; run `git lfs pull` in the folder",
        ),
        (
            vec![0xff; 16],
            "its header would be 18446744073709551615 bytes long",
        ),
        (
            100_000_001_u64.to_le_bytes().to_vec(),
            "its header would be 100000001 bytes long",
        ),
        (safetensors(&one(good), 8)[..20].to_vec(), "it is cut short"),
        (
            safetensors(&format!(" {}", one(good)), 8),
            "its header does not begin with `{`",
        ),
        (safetensors(&one(good), 7), &*short),
        (safetensors(&one(good), 9), &*long),
        (
            safetensors(&format!("{{\"w\":{good},\"w\":{good}}}"), 8),
            "tensor `w` stands twice",
        ),
        (
            safetensors(
                &one(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#),
                8,
            ),
            "invalid shape, data type, or offset for tensor",
        ),
        (
            safetensors(
                &format!(
                    "{{\"w\":{good},\"v\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}}}"
                ),
                12,
            ),
            "invalid offset for tensor `v`",
        ),
        (
            safetensors(
                &one(r#"{"dtype":"X32","shape":[2],"data_offsets":[0,8]}"#),
                8,
            ),
            "X32",
        ),
        (safetensors("{}", 0), "it holds no tensors"),
        (
            safetensors(
                &one(r#"{"dtype":"I64","shape":[1],"data_offsets":[0,8]}"#),
                8,
            ),
            "no tensor holds floating-point numbers",
        ),
    ] {
        let desk = Desk::whole();
        desk.write("model.safetensors", &bytes);
        let found = desk.fault();
        assert!(found.contains(fault), "{found:?} does not say {fault:?}");
    }
}

#[test]
fn tensor_names_are_plain() {
    for name in [
        "../w",
        "a/b",
        "a\\\\b",
        "w\\u0000",
        "w\\u001b[2J",
        "",
        "a..b",
        &"n".repeat(1025),
    ] {
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#);
        let desk = Desk::whole();
        desk.write("model.safetensors", safetensors(&header, 8));
        let found = desk.fault();
        assert!(
            found.contains("has a name that is a path"),
            "{name}: {found}"
        );
        assert!(!found.contains('\u{1b}'), "{found}");
    }
}

#[test]
fn shapes_that_overflow_are_refused() {
    let huge = u64::MAX / 2;
    for shape in [
        format!("[{huge},{huge}]"),
        format!("[{huge}]"),
        "[-1]".to_owned(),
    ] {
        let header = format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,8]}}}}"#);
        let desk = Desk::whole();
        desk.write("model.safetensors", safetensors(&header, 8));
        assert!(desk.fault().contains("its header is not valid"));
    }
}

#[test]
fn absurd_sizes_and_depths_are_refused() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    for (name, text, fault) in [
        (
            "config.json",
            format!("{{\"x\": {}}}", deep(100_000)),
            "recursion limit",
        ),
        (
            "tokenizer.json",
            format!("{{\"model\": {}}}", deep(100_000)),
            "lie inside each other",
        ),
        (
            "config.json",
            format!("{{{}}}", " ".repeat(4 << 20)),
            "bytes is more than the",
        ),
    ] {
        let desk = Desk::whole();
        desk.write(name, text);
        let found = desk.fault();
        assert!(found.contains(fault), "{name}: {found}");
    }
    // The file is sparse: nothing of it is read.
    let desk = Desk::whole();
    let file = fs::File::create(desk.folder().join("tokenizer.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(desk.fault().contains("bytes is more than the"));
}

#[test]
fn a_tokenizer_is_one() {
    let desk = Desk::whole();
    desk.write("tokenizer.json", "{}");
    assert!(
        desk.fault()
            .starts_with("tokenizer.json: not a tokenizer: missing field `model`")
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_to_regular_files_only() {
    use std::os::unix::fs::symlink;
    let desk = Desk::whole();
    let plain = desk.import().unwrap().manifest;
    // As the Hugging Face cache keeps snapshots.
    let blob = desk.dir.path().join("blobs/53aa");
    fs::create_dir(blob.parent().unwrap()).unwrap();
    let path = desk.folder().join("model.safetensors");
    fs::rename(&path, &blob).unwrap();
    symlink("../blobs/53aa", &path).unwrap();
    assert_eq!(desk.import().unwrap().manifest, plain);

    symlink(
        desk.dir.path().join("store"),
        desk.folder().join("1_Pooling"),
    )
    .unwrap();
    symlink("nowhere", desk.folder().join("broken")).unwrap();
    assert_eq!(desk.import().unwrap().ignored, ["1_Pooling", "broken"]);

    fs::remove_file(&blob).unwrap();
    let error = desk.import().unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    fs::create_dir(&blob).unwrap();
    let error = desk.import().unwrap_err().to_string();
    assert_eq!(error, "model.safetensors: it is not a regular file");
}

#[test]
fn damage_and_false_records_are_found() {
    let desk = Desk::whole();
    let manifest = desk.import().unwrap().manifest;
    let mut lie = manifest.clone();
    lie.model.parameters += 1;
    assert!(
        verify(&desk.store, &lie, &Silent)
            .unwrap_err()
            .is_integrity()
    );
    let mut moved = manifest.clone();
    moved.files[0].path = "config2.json".into();
    assert!(
        BaseManifest::decode(&moved.encode().unwrap())
            .unwrap_err()
            .is_integrity()
    );

    let entry = manifest.file("tokenizer.json").unwrap();
    let path = desk.store.path_of(&entry.sha256);
    fs::remove_file(&path).unwrap();
    fs::write(&path, TOKENIZER.replace("1.0", "1.1")).unwrap();
    for error in [
        open(&desk.store, &manifest).map(drop).unwrap_err(),
        verify(&desk.store, &manifest, &Silent)
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(matches!(
            error,
            BaseError::Store(StoreError::Damaged { .. })
        ));
    }
}

/// Rewrites the configuration between the check and the storing.
struct Meddler(PathBuf);

impl crate::progress::Reporter for Meddler {
    fn report(&self, event: &crate::progress::Event<'_>) {
        if matches!(event, crate::progress::Event::Started { .. }) {
            fs::write(
                &self.0,
                CONFIG.replace("\"hidden_size\": 2", "\"hidden_size\": 4"),
            )
            .unwrap();
        }
    }
}

#[test]
fn a_folder_that_changes_while_it_is_read_is_refused() {
    let desk = Desk::whole();
    let meddler = Meddler(desk.folder().join("config.json"));
    let found = import(&desk.store, &desk.folder(), None, &meddler);
    assert!(matches!(found, Err(BaseError::Changed(_))), "{found:?}");
}
