use insta::assert_snapshot;

use crate::support::Env;

const TRAIN: &str = "\
{\"text\": \"where is my card?\", \"label\": \"card\"}
{\"text\": \"my card has not come\", \"label\": \"card\"}
{\"text\": \"top up failed\", \"label\": \"top_up\"}
{\"text\": \"top up failed\", \"label\": \"card\"}
{\"text\": \"top up failed\", \"label\": \"top_up\"}
";
const TEST: &str = "text,label\nWhere is my card,card\n\"fees,\nplease\",fee\n";

fn project() -> Env {
    let env = Env::new();
    env.run("init").ok();
    env.write("train.jsonl", TRAIN);
    env.write("test.csv", TEST);
    env
}

#[test]
fn add_is_idempotent_and_warns_of_texts_in_two_splits() {
    let env = project();
    let add = "dataset add tickets --train train.jsonl --test test.csv";
    assert_snapshot!(env.run(&format!("{add} --dry-run")), @"
    $ retune dataset add tickets --train train.jsonl --test test.csv --dry-run
    would add tickets@20261123-6cc9c058dfe4
    id    sha256:6cc9c058dfe4fdbaa3414fa08c65a746c2c94e279d2243327f3288e33758a7f2
    kind  classification, 3 labels
    SPLIT  ROWS  SIZE   FORMAT
    train  5     230 B  jsonl
    test   2     52 B   csv
    ");
    assert_snapshot!(env.run("dataset list"), @"
    $ retune dataset list
    no datasets yet; add one with `retune dataset add`
    ");
    assert_snapshot!(env.run(add), @"
    $ retune dataset add tickets --train train.jsonl --test test.csv
    added tickets@20261123-6cc9c058dfe4
    id    sha256:6cc9c058dfe4fdbaa3414fa08c65a746c2c94e279d2243327f3288e33758a7f2
    kind  classification, 3 labels
    SPLIT  ROWS  SIZE   FORMAT
    train  5     230 B  jsonl
    test   2     52 B   csv
    ! 1 test row stands in train too
    ");
    assert_snapshot!(env.run(add), @"
    $ retune dataset add tickets --train train.jsonl --test test.csv
    already there: tickets@20261123-6cc9c058dfe4
    id    sha256:6cc9c058dfe4fdbaa3414fa08c65a746c2c94e279d2243327f3288e33758a7f2
    kind  classification, 3 labels
    SPLIT  ROWS  SIZE   FORMAT
    train  5     230 B  jsonl
    test   2     52 B   csv
    ! 1 test row stands in train too
    ");
    env.write("other/name.ndjson", TRAIN);
    let elsewhere =
        env.run("dataset add tickets --train other/name.ndjson --test test.csv --format json");
    assert_snapshot!(elsewhere, @r#"
    $ retune dataset add tickets --train other/name.ndjson --test test.csv --format json
    {
      "bytes": 282,
      "columns": {},
      "dry_run": false,
      "id": "sha256:6cc9c058dfe4fdbaa3414fa08c65a746c2c94e279d2243327f3288e33758a7f2",
      "ignored": [],
      "kind": "classification",
      "labels": [
        "card",
        "fee",
        "top_up"
      ],
      "name": "tickets",
      "new": false,
      "overlaps": [
        {
          "conflicting": 0,
          "examples": [
            {
              "line": 2,
              "of_line": 1,
              "text": "Where is my card"
            }
          ],
          "of": "train",
          "rows": 1,
          "with": "test"
        }
      ],
      "rows": 7,
      "schema": "retune.dataset-add/1",
      "splits": {
        "test": {
          "blob": "sha256:6fc8b1712f7b9766543387dd4d7eb52e5352af357ca69d17164f3f87143fdd71",
          "bytes": 52,
          "format": "csv",
          "rows": 2
        },
        "train": {
          "blob": "sha256:174475810278dd392179f3f2e641b33f061b4217675846034d3df90996c5bf69",
          "bytes": 230,
          "format": "jsonl",
          "rows": 5
        }
      },
      "version": "20261123-6cc9c058dfe4"
    }
    "#);
}

#[test]
fn rows_at_fault_add_nothing() {
    let env = project();
    env.write("bad.jsonl", "{\"text\": \"a\", \"lable\": \"x\"}\n\n{\"text\": \"a\", \"label\": 3}\n{\"text\": \"\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": 4}\n");
    assert_snapshot!(env.run("dataset add tickets --train bad.jsonl"), @"
    $ retune dataset add tickets --train bad.jsonl
    --- stderr
    error: 4 faults in the files; nothing was added
      caused by: bad.jsonl:1: unknown column `lable`; did you mean `label`?
      caused by: bad.jsonl:3: `label` is a number; it must be a text, so write it in quotes (also line 5)
      caused by: bad.jsonl:4: `text` is empty; fill it in or take the row out
    --- exit 2
    ");
    assert_snapshot!(env.run("dataset add tickets --train bad.jsonl --format json"), @r#"
    $ retune dataset add tickets --train bad.jsonl --format json
    --- stderr
    {"causes":["bad.jsonl:1: unknown column `lable`; did you mean `label`?","bad.jsonl:3: `label` is a number; it must be a text, so write it in quotes (also line 5)","bad.jsonl:4: `text` is empty; fill it in or take the row out"],"exit":2,"hints":[],"kind":"usage","message":"4 faults in the files; nothing was added","schema":"retune.error/1"}
    --- exit 2
    "#);
    env.write("latin.csv", b"text,label\ncaf\xe9,x\n");
    assert_snapshot!(env.run("dataset add tickets --train latin.csv"), @"
    $ retune dataset add tickets --train latin.csv
    --- stderr
    error: 1 fault in the files; nothing was added
      caused by: latin.csv:2: not UTF-8: byte 0xe9 at byte offset 14; save the file as UTF-8 (for a Latin-1 file: iconv -f latin1 -t utf-8)
    --- exit 2
    ");
    env.write("named.csv", "text,category\na,x\nb,y\n");
    assert_snapshot!(env.run("dataset add tickets --train named.csv"), @"
    $ retune dataset add tickets --train named.csv
    --- stderr
    error: 2 faults in the files; nothing was added
      caused by: named.csv:2: unknown column `category`, and `label` is missing; if it holds the label, add --label category (also line 3)
    --- exit 2
    ");
    assert_snapshot!(env.run("dataset add tickets --train named.csv --label text --text text"), @r#"
    $ retune dataset add tickets --train named.csv --label text --text text
    --- stderr
    error: column "text" is chosen for two fields
    --- exit 2
    "#);
    assert_snapshot!(env.run("dataset add tickets --train missing.csv"), @"
    $ retune dataset add tickets --train missing.csv
    --- stderr
    error: cannot open missing.csv
      caused by: No such file or directory (os error 2)
    --- exit 1
    ");
    assert_snapshot!(env.run("dataset list"), @"
    $ retune dataset list
    no datasets yet; add one with `retune dataset add`
    ");
    assert_snapshot!(env.run("store verify"), @"
    $ retune store verify
    store sound: 0 objects, 0 B
    ");
}

#[test]
fn columns_of_other_names_and_columns_left_unread() {
    let env = project();
    env.write(
        "sql.jsonl",
        "{\"question\": \"how many?\", \"sql\": \"SELECT 1\", \"split\": \"dev\"}\n",
    );
    let add = "dataset add sql --train sql.jsonl --prompt question --completion sql";
    assert_snapshot!(env.run(&format!("{add} --ignore-extra-columns")), @"
    $ retune dataset add sql --train sql.jsonl --prompt question --completion sql --ignore-extra-columns
    added sql@20261123-783c486cc74d
    id    sha256:783c486cc74dc6e72a6cb8c775f18974a7243a8adaf0e38d67d8ad5097e4a65f
    kind  completion
    read  completion from sql, prompt from question
    not read: split
    SPLIT  ROWS  SIZE  FORMAT
    train  1     61 B  jsonl
    ");
    assert_snapshot!(env.run("dataset show sql"), @"
    $ retune dataset show sql
    sql@20261123-783c486cc74d
    id    sha256:783c486cc74dc6e72a6cb8c775f18974a7243a8adaf0e38d67d8ad5097e4a65f
    kind  completion
    read  completion from sql, prompt from question
    not read: split

    SPLIT  ROWS  SIZE  FORMAT
    train  1     61 B  jsonl

    LENGTHS          CHARACTERS min/p50/p95/max  WORDS min/p50/p95/max
    train    input   9/9/9/9                     2/2/2/2
    train    output  8/8/8/8                     2/2/2/2

    no duplicates, no conflicts, no text in two splits
    ");
}

#[test]
fn show_counts_labels_lengths_and_doubts() {
    let env = project();
    env.run("dataset add tickets --train train.jsonl --test test.csv")
        .ok();
    assert_snapshot!(env.run("dataset show tickets"), @r#"
    $ retune dataset show tickets
    tickets@20261123-6cc9c058dfe4
    id    sha256:6cc9c058dfe4fdbaa3414fa08c65a746c2c94e279d2243327f3288e33758a7f2
    kind  classification, 3 labels

    SPLIT  ROWS  SIZE   FORMAT
    train  5     230 B  jsonl
    test   2     52 B   csv

    LENGTHS        CHARACTERS min/p50/p95/max  WORDS min/p50/p95/max
    train    text  13/13/20/20                 3/3/5/5
    test     text  12/12/16/16                 2/2/4/4

    LABEL   TRAIN  VALIDATION  TEST
    card    3                  1
    fee     0                  1
    top_up  2                  0

    ! train: 1 row repeats an earlier one
        lines 3, 5: "top up failed"
    ! train: 1 text stands there with more than one label
        lines 3, 4, 5: "top up failed"
    ! test: no train row has the label fee
    ! 1 test row stands in train too
        test line 2, train line 1: "Where is my card"
    "#);
    assert_snapshot!(env.run("dataset show tickets --format json"), @r#"
    $ retune dataset show tickets --format json
    {
      "bytes": 282,
      "columns": {},
      "id": "sha256:6cc9c058dfe4fdbaa3414fa08c65a746c2c94e279d2243327f3288e33758a7f2",
      "ignored": [],
      "kind": "classification",
      "labels": [
        "card",
        "fee",
        "top_up"
      ],
      "name": "tickets",
      "overlaps": [
        {
          "conflicting": 0,
          "examples": [
            {
              "line": 2,
              "of_line": 1,
              "text": "Where is my card"
            }
          ],
          "of": "train",
          "rows": 1,
          "with": "test"
        }
      ],
      "rows": 7,
      "schema": "retune.dataset-show/1",
      "splits": {
        "test": {
          "blob": "sha256:6fc8b1712f7b9766543387dd4d7eb52e5352af357ca69d17164f3f87143fdd71",
          "bytes": 52,
          "format": "csv",
          "rows": 2
        },
        "train": {
          "blob": "sha256:174475810278dd392179f3f2e641b33f061b4217675846034d3df90996c5bf69",
          "bytes": 230,
          "format": "jsonl",
          "rows": 5
        }
      },
      "stats": {
        "test": {
          "conflicts": {
            "count": 0,
            "examples": []
          },
          "duplicates": {
            "count": 0,
            "examples": []
          },
          "input": {
            "characters": {
              "max": 16,
              "min": 12,
              "p50": 12,
              "p95": 16
            },
            "words": {
              "max": 4,
              "min": 2,
              "p50": 2,
              "p95": 4
            }
          },
          "labels": {
            "card": 1,
            "fee": 1
          },
          "repeated_ids": 0
        },
        "train": {
          "conflicts": {
            "count": 1,
            "examples": [
              {
                "lines": [
                  3,
                  4,
                  5
                ],
                "text": "top up failed"
              }
            ]
          },
          "duplicates": {
            "count": 1,
            "examples": [
              {
                "lines": [
                  3,
                  5
                ],
                "text": "top up failed"
              }
            ]
          },
          "input": {
            "characters": {
              "max": 20,
              "min": 13,
              "p50": 13,
              "p95": 20
            },
            "words": {
              "max": 5,
              "min": 3,
              "p50": 3,
              "p95": 5
            }
          },
          "labels": {
            "card": 3,
            "top_up": 2
          },
          "repeated_ids": 0
        }
      },
      "unlearned": {
        "test": [
          "fee"
        ]
      },
      "version": "20261123-6cc9c058dfe4"
    }
    "#);
}

#[test]
fn versions_are_listed_and_found_by_their_beginning() {
    let env = project();
    env.run("dataset add tickets --train train.jsonl").ok();
    env.run("dataset add tickets --train train.jsonl --test test.csv")
        .ok();
    assert_snapshot!(env.run("dataset list"), @"
    $ retune dataset list
    DATASET                        VERSIONS  KIND            LABELS  TRAIN  VALIDATION  TEST  SIZE
    tickets@20261123-6cc9c058dfe4  2         classification  3       5                  2     282 B
    ");
    assert_snapshot!(env.run("dataset list tickets"), @"
    $ retune dataset list tickets
    DATASET                        VERSIONS  KIND            LABELS  TRAIN  VALIDATION  TEST  SIZE
    tickets@20261123-6cc9c058dfe4            classification  3       5                  2     282 B
    tickets@20261123-fb54b6d17748            classification  2       5                        230 B
    ");
    let id = env.run("dataset list tickets --format json").json()["datasets"][1]["id"].clone();
    let beginning = &id.as_str().unwrap()["sha256:".len()..][..6];
    let shown = env
        .run(&format!("dataset show tickets@{beginning} --format json"))
        .json();
    assert_eq!(shown["id"], id);
    assert_snapshot!(env.run("dataset show tickets@ffffff"), @"
    $ retune dataset show tickets@ffffff
    --- stderr
    error: there is no dataset tickets@ffffff (there is 20261123-6cc9c058dfe4, 20261123-fb54b6d17748)
    --- exit 2
    ");
    assert_snapshot!(env.run("dataset show tickets@"), @r#"
    $ retune dataset show tickets@
    --- stderr
    error: invalid value 'tickets@' for '<REF>': "tickets@" names no version after '@'

    For more information, try '--help'.
    --- exit 2
    "#);
    assert_snapshot!(env.run("dataset show invoices"), @"
    $ retune dataset show invoices
    --- stderr
    error: tenant default has no dataset invoices (there is tickets)
    --- exit 2
    ");
}

#[test]
fn diff_tells_added_removed_and_changed_rows() {
    let env = project();
    let first = env
        .run("dataset add tickets --train train.jsonl --format json")
        .json();
    let first = first["version"].as_str().unwrap().to_owned();
    env.write(
        "next.csv",
        "label,text\ncard,where is my card?\ndelivery,my card has not come\ntop_up,top up failed\ntop_up,top up failed\n\
         delivery,when will it come\n",
    );
    env.run("dataset add tickets --train next.csv").ok();
    // Both versions are of one day: the newest is the one that was added last.
    assert_snapshot!(env.run(&format!("dataset diff tickets@{first} tickets")), @r#"
    $ retune dataset diff tickets@20261123-fb54b6d17748 tickets
    tickets@20261123-fb54b6d17748 → tickets@20261123-de488bcca9c8
    SPLIT  BEFORE  AFTER  ADDED  REMOVED  CHANGED
    train  5       5      1      1        1
    new labels: delivery

    train
    ~ "my card has not come" "card" → "delivery"
    - "top up failed" "card"
    + "when will it come" "delivery"
    "#);
    assert_snapshot!(env.run(&format!("dataset diff tickets@{first} tickets --format json")), @r#"
    $ retune dataset diff tickets@20261123-fb54b6d17748 tickets --format json
    {
      "after": "tickets@20261123-de488bcca9c8",
      "before": "tickets@20261123-fb54b6d17748",
      "labels_added": [
        "delivery"
      ],
      "labels_removed": [],
      "schema": "retune.dataset-diff/1",
      "splits": {
        "train": {
          "added": 1,
          "after": 5,
          "before": 5,
          "changed": 1,
          "examples": [
            {
              "after": "delivery",
              "after_line": 3,
              "before": "card",
              "before_line": 2,
              "change": "changed",
              "input": "my card has not come"
            },
            {
              "change": "removed",
              "input": "top up failed",
              "line": 4,
              "output": "card"
            },
            {
              "change": "added",
              "input": "when will it come",
              "line": 6,
              "output": "delivery"
            }
          ],
          "labels": {
            "card": {
              "after": 1,
              "before": 3
            },
            "delivery": {
              "after": 2,
              "before": 0
            }
          },
          "removed": 1
        }
      }
    }
    "#);
    assert_snapshot!(env.run("dataset diff tickets tickets"), @"
    $ retune dataset diff tickets tickets
    tickets@20261123-de488bcca9c8 → tickets@20261123-de488bcca9c8
    the same rows
    ");
}

#[test]
fn verify_finds_a_changed_file() {
    let env = project();
    assert_snapshot!(env.run("dataset verify"), @"
    $ retune dataset verify
    there is no dataset to verify
    ");
    let added = env
        .run("dataset add tickets --train train.jsonl --format json")
        .json();
    assert_snapshot!(env.run("dataset verify"), @"
    $ retune dataset verify
    sound tickets@20261123-fb54b6d17748: 5 rows, 230 B
    ");
    let blob = added["splits"]["train"]["blob"].as_str().unwrap();
    let object = env.object(blob);
    std::fs::remove_file(&object).unwrap();
    assert_snapshot!(env.run("dataset verify tickets"), @"
    $ retune dataset verify tickets
    damaged tickets@20261123-fb54b6d17748: object sha256:174475810278dd392179f3f2e641b33f061b4217675846034d3df90996c5bf69 is not in the store [ENV]/project/.retune/store
    --- exit 14
    ");
    std::fs::write(&object, TRAIN.replace("card?", "card!")).unwrap();
    assert_snapshot!(env.run("dataset verify"), @"
    $ retune dataset verify
    damaged tickets@20261123-fb54b6d17748: object sha256:174475810278dd392179f3f2e641b33f061b4217675846034d3df90996c5bf69 is damaged: [ENV]/project/.retune/store/objects/sha256/17/4475810278dd392179f3f2e641b33f061b4217675846034d3df90996c5bf69 hashes to sha256:d952f67110ade521b20fdb4ebdadaddada8dd3489e47769cfefd9f0dfe7498ce
    --- exit 14
    ");
    assert_snapshot!(env.run("dataset show tickets"), @"
    $ retune dataset show tickets
    --- stderr
    error: object sha256:174475810278dd392179f3f2e641b33f061b4217675846034d3df90996c5bf69 is damaged: [ENV]/project/.retune/store/objects/sha256/17/4475810278dd392179f3f2e641b33f061b4217675846034d3df90996c5bf69 hashes to sha256:d952f67110ade521b20fdb4ebdadaddada8dd3489e47769cfefd9f0dfe7498ce
    --- exit 14
    ");
}
