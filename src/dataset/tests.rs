//! Files in, manifests and faults out.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::progress::{Event, Reporter, Silent};
use crate::store::{Store, StoreError};

struct Desk {
    dir: tempfile::TempDir,
    store: Store,
}

type Files<'a> = &'a [(SplitName, &'a str, &'a [u8])];

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn write(&self, files: Files<'_>) -> Vec<(SplitName, PathBuf)> {
        let write = |(split, name, bytes): &(SplitName, &str, &[u8])| {
            let path = self.dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            (*split, path)
        };
        files.iter().map(write).collect()
    }

    fn import(&self, files: Files<'_>) -> (DatasetId, DatasetManifest) {
        self.import_with(files, &Options::default()).unwrap()
    }

    fn import_with(
        &self,
        files: Files<'_>,
        options: &Options,
    ) -> Result<(DatasetId, DatasetManifest), DatasetError> {
        import(&self.store, &self.write(files), options, &Silent)
    }

    fn train(&self, name: &str, text: &str) -> (DatasetId, DatasetManifest) {
        self.import(&[(SplitName::Train, name, text.as_bytes())])
    }

    fn objects(&self) -> u64 {
        self.store.verify().unwrap().sound
    }
}

/// The faults of one train file, without the directory.
fn faults_of(name: &str, bytes: &[u8], options: &Options) -> Vec<String> {
    let desk = Desk::new();
    let found = desk.import_with(&[(SplitName::Train, name, bytes)], options);
    assert_eq!(
        desk.objects(),
        0,
        "nothing is stored when a row is at fault"
    );
    let Err(DatasetError::Rows(faults)) = found else {
        panic!("{found:?}");
    };
    let dir = format!("{}/", desk.dir.path().display());
    let lines = faults.to_string();
    lines.lines().map(|line| line.replace(&dir, "")).collect()
}

fn faults(name: &str, text: &str) -> Vec<String> {
    faults_of(name, text.as_bytes(), &Options::default())
}

fn columns(chosen: &[(Field, &str)]) -> Options {
    let chosen = chosen.iter().map(|(field, name)| (*field, (*name).into()));
    Options {
        columns: Columns::new(chosen).unwrap(),
        ignore_extra_columns: false,
        ..Options::default()
    }
}

fn classified(text: &str, label: &str) -> Example {
    Example::Classification {
        id: None,
        text: text.into(),
        label: label.into(),
    }
}

const JSONL: &str = "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": \"y\"}\n";

#[test]
fn the_same_bytes_are_the_same_dataset_wherever_they_lie() {
    let (one, two) = (Desk::new(), Desk::new());
    let (a, manifest) = one.train("a.jsonl", JSONL);
    let (b, _) = two.train("other.ndjson", JSONL);
    let (sniffed, _) = two.train("no-ending", JSONL);
    assert_eq!((a, a), (b, sniffed));
    assert_eq!(load(&one.store, &a).unwrap(), manifest);
    let (c, _) = two.train("a.jsonl", &JSONL.replace("\"a\"", "\"A\""));
    assert_ne!(a, c);
}

#[test]
fn a_manifest_holds_content_only() {
    let desk = Desk::new();
    let (id, _) = desk.import(&[
        (SplitName::Train, "a.jsonl", JSONL.as_bytes()),
        (SplitName::Test, "b.csv", b"text,label\nc,x\n"),
    ]);
    let bytes = desk.store.read(&id.digest()).unwrap();
    // sha256sum of the two files.
    let expected = r#"{
  "kind": "classification",
  "labels": [
    "x",
    "y"
  ],
  "schema": "retune.dataset/1",
  "splits": {
    "test": {
      "blob": "sha256:TEST",
      "format": "csv",
      "rows": 1,
      "size": 15
    },
    "train": {
      "blob": "sha256:TRAIN",
      "format": "jsonl",
      "rows": 2,
      "size": 56
    }
  }
}
"#
    .replace(
        "TEST",
        "f697d094daefa5c0bbe1934dfbef978834548b7c282b9db70a3f442cb9647de9",
    )
    .replace(
        "TRAIN",
        "74da0fc3ea479c7bb3ff71bce4d9e8e872e4af8d187226afce7369cbfc3f0177",
    );
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn reads_all_three_shapes() {
    let desk = Desk::new();
    let (_, manifest) = desk.train(
        "a.jsonl",
        "\u{feff}{\"id\": \"1\", \"text\": \" a \\n\", \"label\": \" x \"}\r\n\n  \n{\"label\":\"y\",\"text\":\"é\"}",
    );
    let read = examples(&desk.store, &manifest, SplitName::Train).unwrap();
    let first = Example::Classification {
        id: Some("1".into()),
        text: " a \n".into(),
        label: "x".into(),
    };
    assert_eq!(read, [first, classified("é", "y")]);
    assert_eq!(manifest.labels, ["x", "y"]);

    let (_, manifest) = desk.train("b.jsonl", "{\"prompt\":\"p\",\"completion\":\" c\"}\n");
    assert_eq!(manifest.kind, Kind::Completion);
    let read = examples(&desk.store, &manifest, SplitName::Train).unwrap();
    assert_eq!((&*read[0].input(), read[0].output()), ("p", " c"));

    let (_, manifest) = desk.train(
        "c.jsonl",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"},\
         {\"role\":\"assistant\",\"content\":\"a\"}]}\n",
    );
    assert_eq!(manifest.kind, Kind::Messages);
    let read = examples(&desk.store, &manifest, SplitName::Train).unwrap();
    assert_eq!((read[0].question(), read[0].output()), ("q", "a"));
    assert_eq!(
        read[0].input(),
        r#"[{"role":"system","content":"s"},{"role":"user","content":"q"}]"#
    );
}

#[test]
fn reads_texts_and_other_spellings_of_conversations() {
    let desk = Desk::new();
    let read = |name: &str, rows: &str| {
        let (_, manifest) = desk.train(name, rows);
        let read = examples(&desk.store, &manifest, SplitName::Train).unwrap();
        (manifest.kind, read)
    };
    let (kind, rows) = read(
        "a.jsonl",
        "{\"text\":\"a\"}\n{\"text\":\"b\",\"id\":\"2\"}\n",
    );
    assert_eq!((kind, rows.len(), &*rows[1].input()), (Kind::Text, 2, "b"));
    let (kind, rows) = read(
        "b.jsonl",
        "{\"instruction\":\"i\",\"input\":\"x\",\"output\":\"o\"}\n{\"instruction\":\"i\",\"output\":\"o\"}\n\
         {\"instruction\":\"i\",\"input\":\"\",\"output\":\"o\"}\n",
    );
    assert_eq!(kind, Kind::Alpaca);
    let asked: Vec<&str> = rows.iter().map(Example::question).collect();
    assert_eq!(asked, ["i\nx", "i", "i"]);
    assert_eq!(rows[0].output(), "o");
    let (kind, rows) = read(
        "c.jsonl",
        "{\"conversations\":[{\"from\":\"system\",\"value\":\"s\"},{\"from\":\"human\",\"value\":\"q\"},\
         {\"from\":\"gpt\",\"value\":\"a\"}]}\n",
    );
    assert_eq!(kind, Kind::Sharegpt);
    assert_eq!((rows[0].question(), rows[0].output()), ("q", "a"));
}

#[test]
fn rows_of_two_kinds_are_refused_where_they_meet() {
    let text = "{\"text\":\"a\"}\n";
    let alpaca = "{\"instruction\":\"i\",\"output\":\"o\"}\n";
    let classified = "{\"text\":\"a\",\"label\":\"x\"}\n";
    for (rows, fault) in [
        ([classified, text], "t.jsonl:2: `label` is missing"),
        (
            [text, classified],
            "t.jsonl:2: `label` does not belong in a text row",
        ),
        (
            [alpaca, classified],
            "t.jsonl:2: a classification row among alpaca rows; put them in a dataset of their own",
        ),
    ] {
        assert_eq!(faults("t.jsonl", &rows.concat()), [fault]);
    }
}

#[test]
fn reads_csv_with_quotes_line_breaks_and_its_own_column_names() {
    let desk = Desk::new();
    let text = "\u{feff}category,text\r\nx,\"a, \"\"b\"\"\nc\"\r\n y ,d\r\n";
    let (_, manifest) = desk
        .import_with(
            &[(SplitName::Train, "a.csv", text.as_bytes())],
            &columns(&[(Field::Label, "category")]),
        )
        .unwrap();
    let read: Vec<Row> = rows(&desk.store, &manifest, SplitName::Train)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let expected = [
        (2, classified("a, \"b\"\nc", "x")),
        (4, classified("d", "y")),
    ];
    assert_eq!(read, expected.map(|(line, example)| Row { line, example }));
    verify(&desk.store, &manifest.id().unwrap(), &Silent).unwrap();
}

#[test]
fn csv_lines_are_right_across_every_buffer() {
    let desk = Desk::new();
    let mut text = "text,label\n".to_owned();
    let mut line = 2;
    let mut expected = Vec::new();
    for n in 0..10_000_u64 {
        // Rows of many lengths, so that buffers end in texts, in quoted line breaks and between `\r` and `\n`.
        let filler = "x".repeat((n * 7919 % 61) as usize);
        let row = match n % 4 {
            0 => format!("{n}{filler},a\n"),
            1 => format!("\"{n}\n{filler}\r\n\",a\r\n"),
            2 => format!("{n}{filler},\"a\"\r\n"),
            _ => format!("\"{n},{filler}\",a\n\n\r\n"),
        };
        expected.push(line);
        line += row.matches('\n').count() as u64;
        text.push_str(&row);
    }
    assert!(text.len() > 5 << 16);
    let (_, manifest) = desk.train("a.csv", &text);
    let found = rows(&desk.store, &manifest, SplitName::Train).unwrap();
    let lines: Vec<u64> = found.map(|row| row.unwrap().line).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_column_name_of_its_own_is_part_of_the_identity_only_when_it_matters() {
    let desk = Desk::new();
    let files: Files<'_> = &[(SplitName::Train, "a.jsonl", JSONL.as_bytes())];
    let (plain, _) = desk.import(files);
    let named = desk.import_with(files, &columns(&[(Field::Text, "text")]));
    let ignoring = desk.import_with(
        files,
        &Options {
            ignore_extra_columns: true,
            ..Options::default()
        },
    );
    assert_eq!((plain, plain), (named.unwrap().0, ignoring.unwrap().0));
}

#[test]
fn ignored_columns_are_recorded_and_no_others_are_allowed_later() {
    let desk = Desk::new();
    let options = Options {
        ignore_extra_columns: true,
        ..Options::default()
    };
    let text = "{\"text\":\"a\",\"label\":\"x\",\"source\":{\"n\":[1]},\"prompt\":3}\n";
    let (id, manifest) = desk
        .import_with(&[(SplitName::Train, "a.jsonl", text.as_bytes())], &options)
        .unwrap();
    assert_eq!(manifest.ignored, ["prompt", "source"]);
    assert_eq!(
        examples(&desk.store, &manifest, SplitName::Train).unwrap(),
        [classified("a", "x")]
    );
    verify(&desk.store, &id, &Silent).unwrap();
    let narrower = DatasetManifest {
        ignored: vec!["prompt".into()],
        ..manifest.clone()
    };
    let error = examples(&desk.store, &narrower, SplitName::Train).unwrap_err();
    assert!(error.is_integrity(), "{error}");
    let wider = DatasetManifest {
        ignored: vec!["prompt".into(), "source".into(), "zone".into()],
        ..manifest
    };
    let id = put(&desk.store, &wider);
    assert!(
        verify(&desk.store, &id, &Silent)
            .unwrap_err()
            .is_integrity()
    );
}

fn put(store: &Store, manifest: &DatasetManifest) -> DatasetId {
    let blob = store.put_bytes(&manifest.encode().unwrap()).unwrap();
    blob.digest.into()
}

#[test]
fn faults_of_json_rows() {
    let good = "{\"text\":\"a\",\"label\":\"x\"}\n";
    for (row, fault) in [
        (
            "{\"text\":\"a\",\"lable\":\"x\"}",
            "unknown column `lable`; did you mean `label`?",
        ),
        (
            "{\"text\":\"a\",\"label\":\"x\",\"zone\":1}",
            "unknown column `zone`; take it out, or ignore such columns with --ignore-extra-columns",
        ),
        ("{\"text\":\"a\"}", "`label` is missing"),
        (
            "{\"text\":\"  \",\"label\":\"x\"}",
            "`text` is empty; fill it in or take the row out",
        ),
        (
            "{\"text\":\"a\",\"label\":\"\"}",
            "`label` is empty; fill it in or take the row out",
        ),
        (
            "{\"text\":\"a\",\"label\":3}",
            "`label` is a number; it must be a text, so write it in quotes",
        ),
        (
            "{\"text\":null,\"label\":\"x\"}",
            "`text` is null; it must be a text",
        ),
        (
            "{\"text\":[\"a\"],\"label\":\"x\"}",
            "`text` is a list; it must be a text",
        ),
        (
            "{\"text\":\"a\",\"label\":\"x\\ny\"}",
            "`label` holds a line break or another control character",
        ),
        (
            "{\"text\":\"a\",\"text\":\"b\",\"label\":\"x\"}",
            "`text` stands twice in the row",
        ),
        (
            "{\"id\":7,\"text\":\"a\",\"label\":\"x\"}",
            "`id` is a number; it must be a text, so write it in quotes",
        ),
        (
            "{\"prompt\":\"a\",\"completion\":\"x\"}",
            "a completion row among classification rows; put them in a dataset of their own",
        ),
        (
            "{\"text\":\"a\",\"label\":\"x\",\"prompt\":\"p\"}",
            "`prompt` does not belong in a classification row",
        ),
        (
            "{\"text\":\"a\",\"label\":\"x\"",
            "not a JSON object: EOF while parsing an object at column 23",
        ),
        (
            "{\"text\":\"a\",\"label\":\"x\"} 1",
            "not a JSON object: trailing characters at column 26",
        ),
        (
            "[1]",
            "invalid type: sequence, expected one JSON object per line",
        ),
        (
            "{\"text\":\"\\ud800\",\"label\":\"x\"}",
            "not a JSON object: unexpected end of hex escape at column 16",
        ),
    ] {
        let found = faults("t.jsonl", &format!("{good}\n{row}\n{good}"));
        assert_eq!(found, [format!("t.jsonl:3: {fault}")], "{row}");
    }
}

#[test]
fn faults_of_messages() {
    let row = |messages: &str| format!("{{\"messages\":{messages}}}\n");
    let user = "{\"role\":\"user\",\"content\":\"q\"}";
    let assistant = "{\"role\":\"assistant\",\"content\":\"a\"}";
    for (messages, fault) in [
        ("[]".to_owned(), "`messages` is empty; take the row out"),
        (
            "\"hi\"".to_owned(),
            "`messages` is a text; it must be a list of messages",
        ),
        (
            format!("[{user}]"),
            "`messages` ends with a user message; it must end with the assistant's answer",
        ),
        (format!("[{assistant}]"), "`messages` holds no user message"),
        (
            format!("[{user},{{\"role\":\"bot\",\"content\":\"a\"}}]"),
            "`messages[1]`: role \"bot\" is not one of system, user and assistant",
        ),
        (
            format!("[{user},{{\"role\":\"assistant\",\"contents\":\"a\"}}]"),
            "`messages[1]`: unknown key `contents`; did you mean `content`?",
        ),
        (
            format!("[{user},{{\"role\":\"system\",\"content\":\"a\"}},{assistant}]"),
            "`messages[1]`: a system message stands first or not at all",
        ),
        (
            format!("[{user},{{\"role\":\"assistant\",\"content\":\" \"}}]"),
            "`messages[1]`: `content` is empty",
        ),
        (
            format!("[{user},7]"),
            "`messages[1]`: a number; it must be an object with role and content",
        ),
    ] {
        assert_eq!(
            faults("t.jsonl", &row(&messages)),
            [format!("t.jsonl:1: {fault}")]
        );
    }
}

#[test]
fn faults_of_csv_rows() {
    for (text, fault) in [
        (
            "text,label\na,x\nb, c,y\n",
            "t.csv:3: 3 fields where the header names 2; put a text that holds a comma in quotes",
        ),
        (
            "text,label\n\na,x\n\"b\n\n\nc\",x\n,y\n",
            "t.csv:8: `text` is empty; fill it in or take the row out",
        ),
        (
            "text,label\na,x\n\n\r\nb,\n",
            "t.csv:5: `label` is empty; fill it in or take the row out",
        ),
        (
            "text,lable\na,x\n",
            "t.csv:2: unknown column `lable`; did you mean `label`?",
        ),
        (
            "text,label,text\na,x,b\n",
            "t.csv:1: column `text` stands twice",
        ),
        (
            "a,x\nb,y\n",
            "t.csv:1: the first line names no known column, only a, x; it must be a header such as text,label; \
             name other columns with --text, --label, --prompt and --completion",
        ),
        ("text,label\n", "t.csv: the file holds no rows"),
        ("", "t.csv: the file holds no rows"),
        (
            "text,label\na,x\n\"b,y\nc,z\n",
            "t.csv:3: 1 field where the header names 2; put a text that holds a comma in quotes",
        ),
    ] {
        assert_eq!(faults("t.csv", text)[0], fault, "{text:?}");
    }
    let open = faults("t.csv", "text,label\na,x\nb,\"y\nc,z\n");
    assert_eq!(
        open.last().unwrap(),
        "t.csv: the number of quotes is odd, so one is never closed; the last row read begins on line 3"
    );
}

#[test]
fn a_category_column_must_be_named() {
    let found = faults("t.csv", "text,category\na,x\nb,y\n");
    let expected = "t.csv:2: unknown column `category`, and `label` is missing; if it holds the label, \
                    add --label category (also line 3)";
    assert_eq!(found, [expected]);
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    for (name, bytes, place) in [
        (
            "t.jsonl",
            &b"{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"caf\xe9\",\"label\":\"x\"}\n"[..],
            "37",
        ),
        ("t.csv", b"text,label\na,\"caf\xe9\"\n", "17"),
    ] {
        let found = faults_of(name, bytes, &Options::default());
        let expected = format!(
            "{name}:2: not UTF-8: byte 0xe9 at byte offset {place}; save the file as UTF-8 \
             (for a Latin-1 file: iconv -f latin1 -t utf-8)"
        );
        assert_eq!(found, [expected]);
    }
    let found = faults_of("t.csv", b"\xff\xfet\0e\0", &Options::default());
    assert!(found[0].contains("for a UTF-16 file: iconv -f utf-16 -t utf-8"));
}

#[test]
fn twenty_kinds_of_faults_are_told_and_the_others_counted() {
    let row = |n: usize| format!("{{\"text\":\"a\",\"label\":\"x\",\"extra{n}\":1}}\n");
    let found = faults("t.jsonl", &(0..25).map(row).collect::<String>());
    assert_eq!(found.len(), 21);
    assert_eq!(found.last().unwrap(), "and 5 more");
    assert!(found[19].starts_with("t.jsonl:20: "));
}

#[test]
fn the_same_fault_of_many_rows_is_told_once_with_its_first_lines() {
    let row = "{\"prompt\":\"a\"}\n";
    for (rows, also) in [
        (1, ""),
        (2, " (also line 2)"),
        (5, " (also lines 2, 3, 4, 5)"),
        (25, " (also lines 2, 3, 4, 5 and 20 more)"),
    ] {
        let found = faults("t.jsonl", &row.repeat(rows));
        assert_eq!(found, [format!("t.jsonl:1: `completion` is missing{also}")]);
    }
}

#[test]
fn files_that_hold_no_rows_of_text_are_refused_by_what_they_are() {
    for (bytes, fault) in [
        (&b"[{\"text\":\"a\"}]"[..], "this is one JSON array"),
        (b"PAR1\x15\x04", "this is a Parquet file"),
        (b"\x1f\x8b\x08", "this is compressed with gzip"),
        (b"PK\x03\x04", "this is a zip archive"),
        (b" \n", "the file holds no rows"),
    ] {
        let found = faults_of("t.data", bytes, &Options::default());
        assert_eq!(
            found,
            [format!("t.data: {fault}; write the rows as JSONL or CSV")]
        );
    }
}

#[test]
fn splits_are_given_once_and_at_least_one() {
    let desk = Desk::new();
    assert!(matches!(
        desk.import_with(&[], &Options::default()),
        Err(DatasetError::NoSplit)
    ));
    let twice: Files<'_> = &[
        (SplitName::Train, "a.jsonl", JSONL.as_bytes()),
        (SplitName::Train, "b.jsonl", JSONL.as_bytes()),
    ];
    assert!(matches!(
        desk.import_with(twice, &Options::default()),
        Err(DatasetError::Repeated(SplitName::Train))
    ));
    let (_, manifest) = desk.train("a.jsonl", JSONL);
    assert!(matches!(
        examples(&desk.store, &manifest, SplitName::Test),
        Err(DatasetError::Absent { .. })
    ));
}

/// Rewrites a file when the first row is read.
struct Meddler(PathBuf);

impl Reporter for Meddler {
    fn report(&self, event: &Event<'_>) {
        if matches!(event, Event::Finished) {
            fs::write(&self.0, JSONL.replace('a', "z")).unwrap();
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let desk = Desk::new();
    let files = desk.write(&[(SplitName::Train, "a.jsonl", JSONL.as_bytes())]);
    let meddler = Meddler(files[0].1.clone());
    let found = import(&desk.store, &files, &Options::default(), &meddler);
    assert!(matches!(found, Err(DatasetError::Changed(_))), "{found:?}");
}

struct Impatient;

impl Reporter for Impatient {
    fn report(&self, _: &Event<'_>) {}

    fn interrupted(&self) -> bool {
        true
    }
}

#[test]
fn an_interrupted_import_stores_nothing() {
    let desk = Desk::new();
    let files = desk.write(&[(SplitName::Train, "a.jsonl", JSONL.repeat(5000).as_bytes())]);
    let found = import(&desk.store, &files, &Options::default(), &Impatient);
    assert!(matches!(found, Err(DatasetError::Interrupted)));
    assert_eq!(desk.objects(), 0);
}

#[test]
fn verify_finds_changed_bytes_and_false_records() {
    let desk = Desk::new();
    let (id, manifest) = desk.train("a.jsonl", JSONL);
    let report = verify(&desk.store, &id, &Silent).unwrap();
    assert_eq!((report.rows, report.bytes), (2, JSONL.len() as u64));

    for (what, lie) in [
        (
            "rows",
            DatasetManifest {
                splits: manifest
                    .splits
                    .iter()
                    .map(|(name, split)| (*name, Split { rows: 3, ..*split }))
                    .collect(),
                ..manifest.clone()
            },
        ),
        (
            "labels",
            DatasetManifest {
                labels: vec!["x".into()],
                ..manifest.clone()
            },
        ),
        (
            "completion",
            DatasetManifest {
                kind: Kind::Completion,
                labels: vec![],
                ..manifest.clone()
            },
        ),
    ] {
        let error = verify(&desk.store, &put(&desk.store, &lie), &Silent).unwrap_err();
        assert!(
            error.is_integrity() && error.to_string().contains(what),
            "{error}"
        );
    }
    let unordered = DatasetManifest {
        labels: vec!["y".into(), "x".into()],
        ..manifest.clone()
    };
    assert!(load(&desk.store, &put(&desk.store, &unordered)).is_err());

    let path = desk.store.path_of(&manifest.splits[&SplitName::Train].blob);
    fs::remove_file(&path).unwrap();
    fs::write(&path, JSONL.replace('a', "z")).unwrap();
    for error in [
        verify(&desk.store, &id, &Silent).map(drop).unwrap_err(),
        examples(&desk.store, &manifest, SplitName::Train)
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(matches!(
            error,
            DatasetError::Store(StoreError::Damaged { .. })
        ));
    }
}

#[test]
fn stats_count_labels_lengths_repeats_and_leaks() {
    let desk = Desk::new();
    let train = "text,label\none two,x\none two,x\nthree,y\none two,y\nfour,x\nFour,x\n";
    let test = "text,label\nfive,z\nFOUR!,x\n\"three?\",x\n\"One,  two\",x\n";
    let (_, manifest) = desk.import(&[
        (SplitName::Train, "train.csv", train.as_bytes()),
        (SplitName::Test, "test.csv", test.as_bytes()),
    ]);
    let stats = stats(&desk.store, &manifest).unwrap();
    let train = &stats.splits[&SplitName::Train];
    let labels: Vec<(&str, u64)> = train.labels.iter().map(|(l, n)| (&**l, *n)).collect();
    assert_eq!((train.rows, labels), (6, vec![("x", 4), ("y", 2)]));
    let characters = Distribution {
        min: 4,
        p50: 5,
        p95: 7,
        max: 7,
    };
    let words = Distribution {
        min: 1,
        p50: 1,
        p95: 2,
        max: 2,
    };
    assert_eq!(
        (train.input, train.output),
        (Lengths { characters, words }, None)
    );
    assert_eq!(
        train.duplicates,
        Repeats {
            count: 1,
            examples: vec![("one two".into(), vec![2, 3])]
        }
    );
    assert_eq!(
        train.conflicts,
        Repeats {
            count: 1,
            examples: vec![("one two".into(), vec![2, 3, 5])]
        }
    );
    assert_eq!(stats.unlearned[&SplitName::Test], ["z"]);
    let [overlap] = &stats.overlaps[..] else {
        panic!("{:?}", stats.overlaps);
    };
    assert_eq!(
        (overlap.of, overlap.with),
        (SplitName::Train, SplitName::Test)
    );
    assert_eq!((overlap.rows, overlap.conflicting), (3, 2));
    let found: Vec<_> = overlap
        .examples
        .iter()
        .map(|e| (&*e.text, e.line, e.of_line))
        .collect();
    assert_eq!(
        found,
        [("FOUR!", 3, 6), ("three?", 4, 4), ("One,  two", 5, 2)]
    );
}

#[test]
fn overlaps_are_the_same_whichever_split_is_larger() {
    let desk = Desk::new();
    let (few, many): (Files<'_>, Files<'_>) = (
        &[
            (SplitName::Train, "a.csv", b"text,label\nA,x\na,y\nb,x\n"),
            (
                SplitName::Validation,
                "b.csv",
                b"text,label\na!,x\nb,x\nc,x\nd,x\n",
            ),
        ],
        &[
            (
                SplitName::Train,
                "a.csv",
                b"text,label\nA,x\na,y\nb,x\ne,x\nf,x\n",
            ),
            (
                SplitName::Validation,
                "b.csv",
                b"text,label\na!,x\nb,x\nc,x\nd,x\n",
            ),
        ],
    );
    let found = [few, many].map(|files| overlap(&desk.store, &desk.import(files).1).unwrap());
    assert_eq!(found[0], found[1]);
    assert_eq!((found[0][0].rows, found[0][0].conflicting), (2, 1));
}

#[test]
fn ids_that_repeat_are_counted() {
    let desk = Desk::new();
    let row =
        |id: &str| format!("{{\"id\":\"{id}\",\"prompt\":\"p {id}\",\"completion\":\"c d\"}}\n");
    let (_, manifest) = desk.train("a.jsonl", &["a", "b", "a", "a"].map(row).concat());
    let stats = stats(&desk.store, &manifest).unwrap();
    let train = &stats.splits[&SplitName::Train];
    assert_eq!((train.repeated_ids, train.duplicates.count), (2, 2));
    assert_eq!(train.output.unwrap().words.max, 2);
}

#[test]
fn cases_of_a_suite_are_found_in_the_training_split() {
    let desk = Desk::new();
    let (_, manifest) = desk.train(
        "a.csv",
        "text,label\nWhere is my card?,x\nhello,y\nwhere is my CARD,x\n",
    );
    let cases = ["goodbye", "where is my card", "hello", "Hello!"];
    let found = overlap_with(&desk.store, &manifest, SplitName::Train, cases).unwrap();
    let expected = [(1, 2), (2, 3), (3, 3)].map(|(index, line)| CaseOverlap { index, line });
    assert_eq!(found, expected);
}

#[test]
fn a_diff_tells_added_removed_and_changed_rows() {
    let desk = Desk::new();
    let before = "text,label\nsame,x\ntwice,x\ntwice,x\nmoved,x\ngone,y\n";
    let after = "text,label\nnew,z\nmoved,z\ntwice,x\nsame,x\n";
    let (_, before) = desk.train("before.csv", before);
    let (_, after) = desk.train("after.csv", after);
    let found = diff(&desk.store, &before, &after).unwrap();
    assert_eq!(
        (found.labels_added, found.labels_removed),
        (vec!["z".to_owned()], vec!["y".to_owned()])
    );
    let split = &found.splits[&SplitName::Train];
    assert_eq!((split.before, split.after), (5, 4));
    assert_eq!((split.added, split.removed, split.changed), (1, 2, 1));
    let labels: Vec<_> = split
        .labels
        .iter()
        .map(|(label, counts)| (&**label, *counts))
        .collect();
    assert_eq!(labels, [("x", (4, 2)), ("y", (1, 0)), ("z", (0, 2))]);
    let expected = [
        Change::Changed {
            before_line: 5,
            before: classified("moved", "x"),
            after_line: 3,
            after: classified("moved", "z"),
        },
        Change::Removed {
            line: 4,
            example: classified("twice", "x"),
        },
        Change::Removed {
            line: 6,
            example: classified("gone", "y"),
        },
        Change::Added {
            line: 2,
            example: classified("new", "z"),
        },
    ];
    assert_eq!(split.examples, expected);
    let none = diff(&desk.store, &after, &after).unwrap();
    assert_eq!(none.splits[&SplitName::Train].examples, []);
}

#[test]
fn a_diff_sees_through_order_and_format() {
    let desk = Desk::new();
    let (a, before) = desk.train("a.jsonl", JSONL);
    let (b, after) = desk.import(&[
        (SplitName::Train, "b.csv", b"label,text\ny,b\nx,a\n"),
        (SplitName::Test, "c.csv", b"label,text\ny,b\n"),
    ]);
    assert_ne!(a, b);
    let found = diff(&desk.store, &before, &after).unwrap();
    let train = &found.splits[&SplitName::Train];
    assert_eq!((train.added, train.removed, train.changed), (0, 0, 0));
    assert_eq!(found.splits[&SplitName::Test].added, 1);
}
