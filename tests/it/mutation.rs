//! What others wrote, broken in every way: readers of hostile input give an answer or an error, never a panic, and not
//! late. The changes are pseudo-random and the same each time.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use retune::reference::ModelRef;
use retune::signature::{Signature, Signer, read_signers};

#[path = "../../fuzz/readers.rs"]
mod readers;

/// How many inputs each reader gets from each seed.
const ROUNDS: u64 = 150;

/// How many seeds a reader gets of one kind.
const FEW: usize = 6;

/// No input of some kB takes a reader this long.
const SLOW: Duration = Duration::from_secs(5);

/// What readers of the formats choke on.
const TOKENS: [&[u8]; 22] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b"\n",
    b"- ",
    b"&a [*a, *a]",
    b"<<: *a",
    b"!!binary ",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"\\u0000",
    b"\xff\xfe",
    "\u{202e}".as_bytes(),
    b"../",
    b"sha256:",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
];

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// One to eight changes of the bytes.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] = random.next() as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let again = bytes[at..end].repeat(1 + random.below(40));
                bytes.splice(at..at, again);
            }
            5 => {
                let token = TOKENS[random.below(TOKENS.len())].repeat(1 + random.below(300));
                bytes.splice(at..at, token);
            }
            _ => {
                let from = random.below(bytes.len() + 1);
                let piece = bytes[from..(from + 64).min(bytes.len())].to_vec();
                bytes.splice(at..end, piece);
            }
        }
    }
    bytes
}

/// Has a reader read every seed, and what becomes of it.
fn feed(seeds: &[Vec<u8>], read: impl Fn(&[u8])) {
    assert!(!seeds.is_empty());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for seed in seeds {
        for _ in 0..ROUNDS {
            let input = mutate(seed, &mut random);
            timed(&read, &input);
        }
    }
}

fn timed(read: impl Fn(&[u8]), input: &[u8]) {
    let began = Instant::now();
    read(input);
    assert!(began.elapsed() < SLOW, "{:?} of {input:?}", began.elapsed());
}

/// The first shipped files with this ending, anywhere in a folder, the small ones.
fn files(dir: &str, ending: &str, most: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.to_str().unwrap().ends_with(ending) && path.metadata().unwrap().len() < 8192
        {
            found.push(path);
        }
    }
    found.sort();
    found
        .into_iter()
        .take(most)
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// What the fuzzer kept because it reaches other code than everything else that it kept.
#[test]
fn corpora_of_the_fuzz_targets() {
    for (name, read) in readers::ALL {
        let corpus = files(&format!("fuzz/corpus/{name}"), "", usize::MAX);
        assert!(!corpus.is_empty(), "{name}");
        corpus.iter().for_each(|input| timed(read, input));
    }
}

#[test]
fn adapters() {
    let of = |ending| files("tests/fixtures/merge", ending, FEW);
    feed(&of("adapter_config.json"), readers::adapter_config);
    feed(&of("adapter_model.safetensors"), readers::safetensors);
}

#[test]
fn files_that_people_write() {
    let mut seeds = files("pipelines", ".yaml", FEW);
    seeds.push(
        b"version: 1\ntenant: default\nmodel: support\nto: 20261123-2f14da051d69\nreason: x\nsteps:\n- alias: canary\n  \
          from: 20261123-dd9f379a1d9f\n  soak_days: 3\n"
            .to_vec(),
    );
    seeds.push(
        b"version: 1\ntenant: default\npins:\n  support: {model: support, alias: production}\n"
            .to_vec(),
    );
    feed(&seeds, readers::project_files);
    feed(
        &files("tests/fixtures/hooks", "retune.lock", FEW),
        readers::lock_file,
    );
}

#[test]
fn suites_and_rows() {
    let seeds = [
        &b"{\"text\":\"a\",\"label\":\"x\"}\n{\"id\":\"b\",\"vars\":{\"text\":\"b\"},\"target\":\"y\"}\n"[..],
        b"{\"vars\":{\"x\":\"1\"},\"assert\":[{\"type\":\"not-icontains\",\"value\":\"{{x}}\",\"metric\":\"m\",\"weight\":2}]}\n",
        b"{\"vars\":{\"x\":\"1\"},\"target\":{\"a\":1},\"assert\":[{\"type\":\"is-json\",\"value\":{\"type\":\"object\"}}],\"threshold\":0.5}\n",
        b"id,text,label\n1,\"a, b\",x\n",
        b"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n",
    ]
    .map(<[u8]>::to_vec);
    feed(&seeds, readers::suites);
    feed(&seeds, readers::rows);
}

/// Logs and cases of other tools, as files, since that is how they come.
#[test]
fn logs_of_other_tools() {
    use retune::eval::import::{Choice, Tool, read};
    let dir = tempfile::tempdir().unwrap();
    let fixture = |name: &str| {
        fs::read(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures/import")
                .join(name),
        )
        .unwrap()
    };
    let lines = |name: &str, count: usize| -> Vec<u8> {
        let bytes = fixture(name);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let last = lines.last().copied().unwrap_or_default();
        [&lines[..count.min(lines.len())].concat(), last].concat()
    };
    // One of the two events that are left is right.
    let events = String::from_utf8(lines("openai-evals-mock-new.jsonl", 4)).unwrap();
    let events = events.replace("\"accuracy\": 0.8", "\"accuracy\": 0.5");
    let seeds = [
        (Tool::Table, "t.csv", b"id,arm,metric,score,error,input\na,x,ok,1,,\"q, r\"\nb,x,ok,,late,q\n".to_vec()),
        (Tool::Table, "t.jsonl", b"{\"id\":1,\"arm\":\"x\",\"metric\":\"ok\",\"score\":0.5,\"repeat\":0}\n".to_vec()),
        (Tool::LmEval, "samples_sums_2026-11-28T19-00-00.jsonl", lines("lm-eval/mock-new/samples_sums_2026-11-28T19-00-00.jsonl", 2)),
        (Tool::Inspect, "log.eval", fixture("inspect-mock-new.eval")),
        (Tool::Inspect, "log.json", br#"{"status":"success","eval":{"task":"t","model":"m"},"samples":[{"id":1,"epoch":1,"input":"q","target":"a","scores":{"match":{"value":"C"}},"output":{"model":"m","completion":"a"}}]}"#.to_vec()),
        (Tool::OpenaiEvals, "log.jsonl", events.into_bytes()),
        (Tool::OpenaiEvals, "cases.jsonl", lines("openai-evals-cases.jsonl", 2)),
        (Tool::Promptfoo, "tests.csv", b"x,__expected,__metadata:size\na,equals: b,small\n".to_vec()),
        (Tool::Promptfoo, "config.yaml", b"prompts: ['{{x}}']\ntests:\n- vars: {x: y}\n  assert: [{type: equals, value: y}]\n".to_vec()),
        (Tool::Promptfoo, "results.json", br#"{"results":{"results":[{"promptIdx":0,"testIdx":0,"provider":{"id":"m"},"prompt":{"raw":"q"},"vars":{"x":1},"testCase":{"vars":{"x":1},"assert":[]},"response":{"output":"a"},"success":true,"score":1,"namedScores":{"a":1},"failureReason":0}],"prompts":[{"metrics":{"testPassCount":1}}]}}"#.to_vec()),
    ];
    for (tool, name, seed) in seeds {
        let path = dir.path().join(name);
        let paths = [path.clone()];
        let choice = Choice {
            filter: (tool == Tool::LmEval).then(|| "strict".to_owned()),
            metric: (tool == Tool::Inspect).then(|| "match".to_owned()),
            prompt: (tool == Tool::Promptfoo).then(|| "{{x}}".to_owned()),
            ..Choice::default()
        };
        fs::write(&path, &seed).unwrap();
        read(tool, &paths, &choice).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        feed(&[seed], |bytes| {
            fs::write(&path, bytes).unwrap();
            let _ = read(tool, &paths, &choice);
        });
    }
}

/// What is read back is what was read: a document has one spelling.
#[test]
fn documents_of_the_registry() {
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("registry/example.git");
    let registry = retune::registry::Registry::open(&registry).unwrap();
    let mut seeds = Vec::new();
    registry
        .recorded_documents(|path, bytes| {
            if path.ends_with(".json") && bytes.len() < 8192 {
                seeds.push(bytes.to_vec());
            }
        })
        .unwrap();
    seeds.iter().for_each(|seed| readers::documents(seed));
    seeds.truncate(12);
    feed(&seeds, readers::documents);
}

#[test]
fn signatures_and_signers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("allowed_signers");
    let fixture = |name: &str| fs::read(Path::new("tests/fixtures/signatures").join(name)).unwrap();
    feed(&[fixture("allowed_signers")], |bytes| {
        fs::write(&path, bytes).unwrap();
        let Ok(signers) = read_signers(&path) else {
            return;
        };
        for signer in signers {
            assert_eq!(signer.to_string().parse::<Signer>().unwrap(), signer);
        }
    });
    let seeds = ["ed25519.sig", "rsa-2048.sig", "sk-ecdsa.sig"].map(fixture);
    let signers = read_signers(Path::new("tests/fixtures/signatures/allowed_signers")).unwrap();
    feed(&seeds, |bytes| {
        let parsed = std::str::from_utf8(bytes).map(Signature::parse);
        if let Ok(Ok(signature)) = parsed {
            let _ = signature.check(b"", "ed25519@example.org", &signers);
        }
    });
}

/// A reference that was understood is written as it was read.
#[test]
fn references() {
    let seeds = [
        "support:production".to_owned(),
        "acme/support@20261123-3f9a1c2b7d10".to_owned(),
        format!("acme/support@sha256:{}", "0123456789abcdef".repeat(4)),
    ];
    let seeds = seeds.map(String::into_bytes);
    let understood = std::cell::Cell::new(0);
    feed(&seeds, |bytes| {
        readers::references(bytes);
        let text = std::str::from_utf8(bytes);
        let read = text.is_ok_and(|text| text.parse::<ModelRef>().is_ok());
        understood.set(understood.get() + u32::from(read));
    });
    assert!(understood.get() > 0);
}
