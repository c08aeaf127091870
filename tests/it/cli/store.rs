use insta::assert_snapshot;
use retune::store::Store;

use crate::support::Env;

#[test]
fn verify_counts_and_names_the_damage() {
    let env = Env::new();
    let store = Store::create(&env.path(".retune/store")).unwrap();
    let blob = store.put_bytes(b"abc").unwrap();
    assert_snapshot!(env.run("store verify"), @r"
    $ retune store verify
    store sound: 1 objects, 3 B
    ");

    let object = store.path_of(&blob.digest);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, b"abd").unwrap();
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    damaged [ENV]/project/.retune/store/objects/sha256/ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad: hashes to sha256:a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9
    store 1 damaged: 0 objects, 0 B
    --- exit 14
    ");
}

#[test]
fn without_a_store_it_says_what_to_do() {
    let env = Env::new();
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    --- stderr
    error: [ENV]/project has no store
      hint: run `retune init` first
    --- exit 2
    ");
}
