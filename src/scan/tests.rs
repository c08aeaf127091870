#![allow(clippy::unwrap_used)]

use super::*;

const COMMIT: &str = "86b5e0934494bd15c9632b12f734a8a67f723594";

fn scan_text(path: &str, text: &str) -> Report {
    let file = File {
        path: path.to_owned(),
        tip: None,
        bytes: Some(text.replace("COMMIT", COMMIT).into_bytes()),
    };
    scan(&[file], &|_, path| path == "local/model")
}

/// `line:column rule found` of every finding.
fn found(path: &str, text: &str) -> Vec<String> {
    let report = scan_text(path, text);
    assert_eq!(report.not_checked, [], "{text}");
    lines(&report)
}

fn lines(report: &Report) -> Vec<String> {
    let line = |f: &Finding| format!("{}:{} {} {}", f.at.line, f.at.column, f.rule, f.found);
    report.findings.iter().map(line).collect()
}

#[track_caller]
fn python(code: &str, expected: &[&str]) {
    assert_eq!(found("a.py", code), expected, "{code}");
}

#[test]
fn python_downloads_without_a_commit() {
    python(
        "AutoModel.from_pretrained(\"bert-base-uncased\")\n",
        &["1:27 hf-unpinned bert-base-uncased"],
    );
    python(
        "m = transformers.AutoModel.from_pretrained(\n    'org/name', device_map='auto')",
        &["2:5 hf-unpinned org/name"],
    );
    python(
        "SentenceTransformer('all-MiniLM-L6-v2')",
        &["1:21 hf-unpinned all-MiniLM-L6-v2"],
    );
    python(
        "import transformers\npipeline('x', model='org/name')",
        &["2:21 hf-unpinned org/name"],
    );
    python(
        "from transformers import pipeline\npipeline('x', 'org/name')",
        &["2:15 hf-unpinned org/name"],
    );
    python(
        "snapshot_download(repo_id='org/name')",
        &["1:27 hf-unpinned org/name"],
    );
    python(
        "hf_hub_download('org/name', 'x.bin')",
        &["1:17 hf-unpinned org/name"],
    );
    python(
        "PeftModel.from_pretrained(base, 'org/adapter')",
        &["1:33 hf-unpinned org/adapter"],
    );
    python("LLM(model='org/name')", &["1:11 hf-unpinned org/name"]);
    python(
        "HuggingFaceEmbeddings(model_name='org/name')",
        &["1:34 hf-unpinned org/name"],
    );
}

#[test]
fn python_downloads_that_are_pinned_local_or_unknown() {
    for code in [
        "AutoModel.from_pretrained('org/name', revision='COMMIT')",
        "REV = 'COMMIT'\nAutoModel.from_pretrained('org/name', revision=REV)",
        "AutoModel.from_pretrained('org/name', revision=args.revision)",
        "kw = {'revision': 'COMMIT'}\nAutoModel.from_pretrained('org/name', **kw)",
        "HuggingFaceEmbeddings(model_name='org/name', model_kwargs={'revision': 'COMMIT'})",
        "AutoModel.from_pretrained('./out')",
        "AutoModel.from_pretrained('../out')",
        "AutoModel.from_pretrained('~/models/out')",
        "AutoModel.from_pretrained('/opt/model')",
        "AutoModel.from_pretrained('a/b/c')",
        "AutoModel.from_pretrained('local/model')",
        "AutoModel.from_pretrained(path)",
        "AutoModel.from_pretrained(f'{org}/name')",
        "AutoModel.from_pretrained(args.model)",
        "NAME = 'org/name'\ndef f(NAME):\n    AutoModel.from_pretrained(NAME)",
        "snapshot_download('org/name', repo_type='dataset')",
        "pipeline('x', 'org/name')",
        "# AutoModel.from_pretrained('org/name')",
        "'''AutoModel.from_pretrained(\"org/name\")'''",
        "LLM(model='openai/gpt-4o-2024-08-06')",
        "tokenizer.save_pretrained('org/name')",
    ] {
        python(code, &[]);
    }
}

#[test]
fn python_names_are_followed_in_their_scope() {
    python(
        "NAME = 'org/name'\nAutoModel.from_pretrained(NAME)",
        &["2:27 hf-unpinned org/name"],
    );
    python(
        "A = 'org/name'\nB = A\ndef f():\n    return T.from_pretrained(B)",
        &["4:30 hf-unpinned org/name"],
    );
    python(
        "def f(name='org/name'):\n    T.from_pretrained(name)",
        &["2:23 hf-unpinned org/name"],
    );
    python(
        "class C:\n    N = 'org/name'\n    def f(self):\n        T.from_pretrained(N)",
        &[],
    );
    python(
        "N = 'a/b' if x else 'c/d'\nT.from_pretrained(N)",
        &["2:19 hf-unpinned a/b", "2:19 hf-unpinned c/d"],
    );
    python(
        "N = os.getenv('X') or 'a/b'\nT.from_pretrained(N)",
        &["2:19 hf-unpinned a/b"],
    );
    python(
        "T.from_pretrained(os.environ.get('X', 'a/b'))",
        &["1:19 hf-unpinned a/b"],
    );
    python(
        "x = x or 'a/b'\nT.from_pretrained(x)",
        &["2:19 hf-unpinned a/b"],
    );
}

#[test]
fn python_revisions_that_move_have_their_own_words() {
    let report = scan_text("a.py", "T.from_pretrained('a/b', revision='main')");
    assert!(
        report.findings[0]
            .why
            .starts_with("revision \"main\" is a branch"),
        "{}",
        report.findings[0].why
    );
    let report = scan_text("a.py", "T.from_pretrained('a/b', revision=None)");
    assert!(report.findings[0].why.starts_with("without a revision"));
    let report = scan_text("a.py", "T.from_pretrained('a/b', **kwargs)");
    assert!(
        report.findings[0]
            .why
            .starts_with("no revision is in sight")
    );
    let report = scan_text(
        "a.py",
        "R = 'COMMIT' if x else 'v1'\nT.from_pretrained('a/b', revision=R)",
    );
    assert!(report.findings[0].why.starts_with("revision \"v1\""));
}

#[test]
fn provider_names_that_move() {
    python(
        "client.chat.completions.create(model='gpt-4o', messages=[])",
        &["1:38 floating-provider-alias gpt-4o"],
    );
    python(
        "MODEL = 'gpt-4o-mini'\nclient.create(model=MODEL)",
        &["1:9 floating-provider-alias gpt-4o-mini"],
    );
    python(
        "def ask(q, model: str = 'claude-3-5-sonnet-latest'): ...",
        &["1:25 floating-provider-alias claude-3-5-sonnet-latest"],
    );
    python(
        "json={'model': 'gemini-1.5-pro'}",
        &["1:16 floating-provider-alias gemini-1.5-pro"],
    );
    python(
        "p.add_argument('--model', default='gpt-4o')",
        &["1:35 floating-provider-alias gpt-4o"],
    );
    python(
        "genai.GenerativeModel(model_name='gemini-1.5-pro')",
        &["1:34 floating-provider-alias gemini-1.5-pro"],
    );
    python(
        "create(model='gpt-4o-2024-08-06')\nprint('gpt-4o')\nprices = {'gpt-4o': 1}\ncreate(model='acme/mine')",
        &[],
    );
}

#[test]
fn retune_references_that_move() {
    python(
        "retune.load('support:production')",
        &["1:13 movable-reference support:production"],
    );
    python(
        "retune.load('support')",
        &["1:13 movable-reference support"],
    );
    python(
        "x = 'retune://acme/support:production'",
        &["1:5 movable-reference retune://acme/support:production"],
    );
    python(
        "retune.load('support@20261123-3f9a1c2b7d10')\ny = 'retune://acme/support@20261123-3f9a'\nload('support:production')",
        &[],
    );
    assert_eq!(
        found("a.yaml", "retune_model: support:production\n"),
        ["1:15 movable-reference support:production"]
    );
    assert_eq!(
        found("a.yaml", "model_ref: acme/support:canary\n"),
        ["1:12 movable-reference acme/support:canary"]
    );
    assert_eq!(
        found(
            "a.yaml",
            "model_ref: https://example.org/x:1\nimage: support:production\n"
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        found(
            "a.toml",
            "[a]\nurls = ['retune://acme/support:production']\n"
        ),
        ["2:9 movable-reference retune://acme/support:production"]
    );
}

#[test]
fn settings_in_every_format() {
    assert_eq!(
        found("a.yaml", "x:\n  base_model: org/name\n"),
        ["2:15 hf-unpinned org/name"]
    );
    assert_eq!(
        found("a.yml", "- model: gpt-4o\n- {model: 'org/name', y: 1}\n"),
        [
            "1:10 floating-provider-alias gpt-4o",
            "2:11 hf-unpinned org/name"
        ]
    );
    assert_eq!(
        found("a.json", "{\n\t\"modelId\": \"org\\/name\", // x\n}"),
        ["2:13 hf-unpinned org/name"]
    );
    assert_eq!(
        found("a.toml", "[m]\nmodel_name_or_path = \"org/name\"\n"),
        ["2:22 hf-unpinned org/name"]
    );
    assert_eq!(
        found(
            ".env.prod",
            "# x\nexport MODEL_ID=org/name # y\nOPENAI_MODEL='gpt-4o'\n"
        ),
        [
            "2:17 hf-unpinned org/name",
            "3:14 floating-provider-alias gpt-4o"
        ]
    );
    assert_eq!(
        found("a.yaml", "a: &m org/name\nmodel: *m\n"),
        ["1:4 hf-unpinned org/name"]
    );
    assert_eq!(
        found(
            "a.yaml",
            "providers:\n  - openai:gpt-4o\n  - id: anthropic:messages:claude-3-5-sonnet-latest\n"
        ),
        [
            "2:5 floating-provider-alias openai:gpt-4o",
            "3:9 floating-provider-alias anthropic:messages:claude-3-5-sonnet-latest"
        ]
    );
    assert_eq!(
        found("a.yaml", "models: [gpt-4o, gpt-4o-2024-08-06]\n"),
        ["1:10 floating-provider-alias gpt-4o"]
    );
}

#[test]
fn settings_that_are_pinned_or_name_no_repository() {
    for (path, text) in [
        ("a.yaml", "base_model: org/name\nrevision: COMMIT\n"),
        (
            "a.yaml",
            "model_name_or_path: org/name\nmodel_revision: COMMIT\n",
        ),
        (
            "a.yaml",
            "base_model: org/name\nrevision_of_model: COMMIT\n",
        ),
        ("a.yaml", "model: org/name\nrevision: ${REVISION}\n"),
        (
            "a.json",
            "{\"model\": \"org/name\", \"revision\": \"COMMIT\"}",
        ),
        ("a.toml", "model = 'org/name'\nmodel_revision = 'COMMIT'\n"),
        (".env", "MODEL_ID=org/name\nREVISION=COMMIT\n"),
        (".env", "HF_MODEL_ID=org/name\nHF_REVISION=COMMIT\n"),
        ("a.yaml", "model: ./out\nmodel_id: 42\nmodel_name: mine\n"),
        ("a.yaml", "model: models/mine\nbase_model: local/model\n"),
        ("a.yaml", "model: weights.d/x.gguf\nmodel_path: a/b\n"),
        ("a.yaml", "model: anthropic/claude-sonnet-4-6\n"),
        ("a.yaml", "model: ${ORG}/name\n"),
        ("a.yaml", "hub_model_id: org/name\nmodel_type: bert\n"),
        (
            "retune.yaml",
            "pins:\n  x: {model: acme/support, alias: production}\n",
        ),
        ("a.md", "model: org/name"),
    ] {
        let report = scan_text(path, text);
        assert_eq!(lines(&report), Vec::<String>::new(), "{text}");
    }
    let report = scan_text("a.yaml", "model: org/name\nrevision: main\n");
    assert!(report.findings[0].why.starts_with("revision \"main\""));
}

#[test]
fn notebooks_are_checked_cell_by_cell() {
    let text = r##"{"cells": [
  {"cell_type": "markdown", "source": ["AutoModel.from_pretrained('a/b')"]},
  {"cell_type": "code", "source": ["!pip install x\n",
    "NAME = 'org/name'\n"]},
  {"cell_type": "code", "source": [
    "T.from_pretrained(NAME)\n",
    "T.from_pretrained('c/d')  # retune: allow hf-unpinned -- a demo"]}
]}"##;
    let report = scan_text("a.ipynb", text);
    assert_eq!(lines(&report), ["6:24 hf-unpinned org/name"]);
    assert_eq!(report.allowed[0].finding.at.line, 7);
    assert_eq!(report.not_checked, []);
}

#[test]
fn a_comment_with_a_reason_allows() {
    let report = scan_text(
        "a.py",
        "# retune: allow hf-unpinned -- a fixture\nT.from_pretrained('a/b')\nT.from_pretrained('c/d')  # retune: allow hf-unpinned\n",
    );
    assert_eq!(lines(&report), ["3:19 hf-unpinned c/d"]);
    assert_eq!(report.allowed[0].reason, "a fixture");
    assert_eq!(
        report.not_checked.len(),
        1,
        "a comment without a reason is reported"
    );
}

#[test]
fn what_cannot_be_read_is_said() {
    for (path, text, why) in [
        ("a.yaml", "model: [x\n", "not valid YAML"),
        ("a.json", "{\"model\": }", "not valid JSON: line 1"),
        ("a.toml", "model = \n", "not valid TOML: line 1"),
        (
            "a.py",
            "model = (\nT.from_pretrained('a/b')\ndef f(:\n",
            "not valid Python",
        ),
    ] {
        let report = scan_text(path, text);
        assert_eq!(report.not_checked.len(), 1, "{path}");
        assert!(
            report.not_checked[0].why.contains(why),
            "{}",
            report.not_checked[0].why
        );
    }
    let binary = |path: &str, bytes: Option<&[u8]>| File {
        path: path.into(),
        tip: None,
        bytes: bytes.map(<[u8]>::to_vec),
    };
    let report = scan(
        &[
            binary("a.py", Some(b"model\0")),
            binary("b.py", None),
            binary("c.py", Some(b"\xff model")),
        ],
        &|_, _| false,
    );
    assert_eq!(
        (report.skipped, report.checked, report.not_checked.len()),
        (2, 1, 1)
    );
}

#[test]
fn hostile_nesting_and_yaml_bombs_end_quickly() {
    let deep = format!("model = {}1{}\n", "(".repeat(20_000), ")".repeat(20_000));
    scan_text("a.py", &deep);
    let report = scan_text("a.json", &format!("{{\"model\": {}", "[".repeat(100_000)));
    assert!(report.not_checked[0].why.contains("nested deeper"));
    scan_text("a.yaml", &format!("model: {}", "[".repeat(100_000)));
    let mut bomb = "model: x\na0: &a0 [gpt-4o]\n".to_owned();
    for level in 1..40 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert_eq!(scan_text("a.yaml", &bomb).not_checked, []);
}
