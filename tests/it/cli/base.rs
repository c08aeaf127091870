use insta::assert_snapshot;

use crate::support::Env;

const CONFIG: &str = r#"{"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 2, "num_hidden_layers": 1, "vocab_size": 3}"#;

/// A safetensors file of one 2×3 tensor of f32.
fn weights(name: &str) -> Vec<u8> {
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}}}"#);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 24]);
    bytes
}

fn project() -> Env {
    let env = Env::new();
    env.run("init").ok();
    tiny_base(&env);
    env.write("model/pytorch_model.bin", "pickle");
    env
}

/// Writes a whole checkpoint, a very small one, to `model`.
pub(crate) fn tiny_base(env: &Env) {
    env.write("model/config.json", CONFIG);
    env.write("model/tokenizer.json", r#"{"model": {}}"#);
    env.write("model/model.safetensors", weights("w"));
}

#[test]
fn add_is_idempotent_and_says_what_it_leaves() {
    let env = project();
    assert_snapshot!(env.run("base add tiny model --dry-run"), @"
    $ retune base add tiny model --dry-run
    would add tiny@20261123-c822a94cc584
    id      sha256:c822a94cc58441af1ace25a00b2cd57b6d4215701ca618408cbe7d9cbf16ae81
    model   BertModel (bert): 1 layers, hidden size 2, vocabulary 3
    weights 6 parameters, F32; 215 B in all
    left in the folder: pytorch_model.bin
    ");
    assert_snapshot!(env.run("base list"), @"
    $ retune base list
    no bases yet; add one with `retune base add`
    ");
    assert_snapshot!(env.run("base add tiny model"), @"
    $ retune base add tiny model
    added tiny@20261123-c822a94cc584
    id      sha256:c822a94cc58441af1ace25a00b2cd57b6d4215701ca618408cbe7d9cbf16ae81
    model   BertModel (bert): 1 layers, hidden size 2, vocabulary 3
    weights 6 parameters, F32; 215 B in all
    left in the folder: pytorch_model.bin
    ");
    assert_snapshot!(env.run("base add tiny model"), @"
    $ retune base add tiny model
    already there: tiny@20261123-c822a94cc584
    id      sha256:c822a94cc58441af1ace25a00b2cd57b6d4215701ca618408cbe7d9cbf16ae81
    model   BertModel (bert): 1 layers, hidden size 2, vocabulary 3
    weights 6 parameters, F32; 215 B in all
    left in the folder: pytorch_model.bin
    ");
    assert_snapshot!(env.run("base list"), @"
    $ retune base list
    BASE                        VERSIONS  MODEL  PARAMETERS  TYPE  SIZE   SOURCE
    tiny@20261123-c822a94cc584  1         bert   6           F32   215 B
    ");
    assert_snapshot!(env.run("base show tiny"), @"
    $ retune base show tiny
    tiny@20261123-c822a94cc584
    id      sha256:c822a94cc58441af1ace25a00b2cd57b6d4215701ca618408cbe7d9cbf16ae81
    model   BertModel (bert): 1 layers, hidden size 2, vocabulary 3
    weights 6 parameters, F32; 215 B in all

    FILE               SIZE   DIGEST
    config.json        113 B  sha256:471032a389fd91dc8c5ac203a62ce90bf581471bbe38901fb9877d434066a124
    model.safetensors  89 B   sha256:a6772558662e6345af7280218eb9a2a9d3d9ea1cf652dcee602c16940c88b01d
    tokenizer.json     13 B   sha256:60e9a258caaf1d7141ddfeb43291d73091efa8af3d8b48faa62678e150b3f2f3
    ");
}

#[test]
fn a_source_is_a_repository_at_a_commit() {
    let env = project();
    assert_snapshot!(env.run("base add tiny model --source acme/tiny --revision main"), @r#"
    $ retune base add tiny model --source acme/tiny --revision main
    --- stderr
    error: revision "main" is not a commit: write its 40 hexadecimal digits, which `git ls-remote https://huggingface.co/acme/tiny main` prints
    --- exit 2
    "#);
    assert_snapshot!(env.run("base add tiny model --source tiny --revision main"), @r#"
    $ retune base add tiny model --source tiny --revision main
    --- stderr
    error: "tiny" is not a Hugging Face repository: write org/name, such as sentence-transformers/all-MiniLM-L6-v2
    --- exit 2
    "#);
    assert_eq!(
        env.run("base add tiny model --source acme/tiny").code,
        Some(2)
    );
    let revision = "0123456789abcdef0123456789abcdef01234567";
    let add = format!("base add tiny model --source acme/tiny --revision {revision}");
    env.run(&add).ok();
    let without = env.run("base add tiny model").ok().stdout;
    assert!(
        without.contains("already there") && without.contains(revision),
        "{without}"
    );
    let other = "base add tiny model --source acme/other --revision";
    assert_snapshot!(env.run(&format!("{other} {revision}")), @"
    $ retune base add tiny model --source acme/other --revision 0123456789abcdef0123456789abcdef01234567
    --- stderr
    error: tiny@20261123-c822a94cc584 is recorded with the source acme/tiny@0123456789abcdef0123456789abcdef01234567, not with acme/other@0123456789abcdef0123456789abcdef01234567
      hint: records never change; add the folder under another name to record another source
    --- exit 2
    ");
    env.run(&add.replace("tiny model", "other model")).ok();
    assert_snapshot!(env.run("base show tiny --format json"), @r#"
    $ retune base show tiny --format json
    {
      "bytes": 215,
      "files": [
        {
          "path": "config.json",
          "sha256": "sha256:471032a389fd91dc8c5ac203a62ce90bf581471bbe38901fb9877d434066a124",
          "size": 113
        },
        {
          "path": "model.safetensors",
          "sha256": "sha256:a6772558662e6345af7280218eb9a2a9d3d9ea1cf652dcee602c16940c88b01d",
          "size": 89
        },
        {
          "path": "tokenizer.json",
          "sha256": "sha256:60e9a258caaf1d7141ddfeb43291d73091efa8af3d8b48faa62678e150b3f2f3",
          "size": 13
        }
      ],
      "id": "sha256:c822a94cc58441af1ace25a00b2cd57b6d4215701ca618408cbe7d9cbf16ae81",
      "model": {
        "architecture": "BertModel",
        "dtype": "F32",
        "hidden_size": 2,
        "layers": 1,
        "model_type": "bert",
        "parameters": 6,
        "vocab": 3
      },
      "name": "tiny",
      "revision": "0123456789abcdef0123456789abcdef01234567",
      "schema": "retune.base-show/1",
      "source": "acme/tiny",
      "version": "20261123-c822a94cc584"
    }
    "#);
}

#[test]
fn folders_that_are_not_whole_add_nothing() {
    let env = project();
    env.write("model/model.safetensors", &weights("w")[..40]);
    env.write("model/config.json", "{}");
    assert_snapshot!(env.run("base add tiny model"), @"
    $ retune base add tiny model
    --- stderr
    error: this is not a whole checkpoint; nothing was added
      caused by: config.json: model_type is missing; is this the configuration of a model?
      caused by: model.safetensors: its header should be 57 bytes long, but the file has 40; it is cut short
    --- exit 2
    ");
    std::fs::remove_file(env.path("model/model.safetensors")).unwrap();
    assert_snapshot!(env.run("base add tiny model"), @"
    $ retune base add tiny model
    --- stderr
    error: model is not a checkpoint folder: its weights are in pytorch_model.bin, which can hold code; download model.safetensors instead
    --- exit 2
    ");
    env.write("model/config.json", CONFIG);
    env.write(
        "model/model.safetensors.index.json",
        r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#,
    );
    env.write("model/model-00001-of-00002.safetensors", weights("a"));
    assert_snapshot!(env.run("base add tiny model --format json"), @r#"
    $ retune base add tiny model --format json
    --- stderr
    {"causes":["model-00002-of-00002.safetensors: the index names it, but it is missing; download it"],"exit":2,"hints":[],"kind":"usage","message":"this is not a whole checkpoint; nothing was added","schema":"retune.error/1"}
    --- exit 2
    "#);
    assert_snapshot!(env.run("base add tiny nowhere"), @"
    $ retune base add tiny nowhere
    --- stderr
    error: cannot list nowhere
      caused by: No such file or directory (os error 2)
    --- exit 1
    ");
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    store sound: 0 objects, 0 B
    ");
    env.write("model/model-00002-of-00002.safetensors", weights("b"));
    assert_snapshot!(env.run("base add tiny model"), @"
    $ retune base add tiny model
    added tiny@20261123-205b9e6d678f
    id      sha256:205b9e6d678f89be9c5f50234cc255774075aac4a80cc3c15a30c56f77153de6
    model   BertModel (bert): 1 layers, hidden size 2, vocabulary 3
    weights 12 parameters, F32; 402 B in all
    left in the folder: pytorch_model.bin
    ");
}

#[test]
fn verify_finds_a_changed_file() {
    let env = project();
    assert_snapshot!(env.run("base verify"), @"
    $ retune base verify
    there is no base to verify
    ");
    env.run("base add tiny model").ok();
    assert_snapshot!(env.run("base verify tiny"), @"
    $ retune base verify tiny
    sound tiny@20261123-c822a94cc584: 3 files, 215 B
    ");
    let shown = env.run("base show tiny --format json").json();
    let digest = shown["files"][1]["sha256"].as_str().unwrap();
    let object = env.object(digest);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, weights("v")).unwrap();
    assert_snapshot!(env.run("base verify"), @"
    $ retune base verify
    damaged tiny@20261123-c822a94cc584: object sha256:a6772558662e6345af7280218eb9a2a9d3d9ea1cf652dcee602c16940c88b01d is damaged: [ENV]/project/.retune/store/objects/sha256/a6/772558662e6345af7280218eb9a2a9d3d9ea1cf652dcee602c16940c88b01d hashes to sha256:114a8ec5ed0e0c126d55e0ae61952b3f3358c13784a1f898ba7b7eb2ead2c358
    --- exit 14
    ");
}
