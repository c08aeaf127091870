use insta::assert_snapshot;
use retune::store::Store;

use crate::support::Env;

#[test]
fn verify_counts_and_names_the_damage() {
    let env = Env::new();
    let store = Store::create(&env.path(".retune/store")).unwrap();
    let blob = store.put_bytes(b"abc").unwrap();
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    --- stderr
    error: [ENV]/project has no retune.yaml
      hint: run `retune init` first
    --- exit 2
    ");

    let object = store.path_of(&blob.digest);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, b"abd").unwrap();
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    --- stderr
    error: [ENV]/project has no retune.yaml
      hint: run `retune init` first
    --- exit 2
    ");
}

#[test]
fn without_a_store_it_says_what_to_do() {
    let env = Env::new();
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    --- stderr
    error: [ENV]/project has no retune.yaml
      hint: run `retune init` first
    --- exit 2
    ");
}
