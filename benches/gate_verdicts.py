"""What the gate says of adapters whose order is known: few examples, another seed, one intent lost.

    python benches/gate_verdicts.py --retune PATH --base DIR --clinc150 DIR [--keep FOLDER]

Trains four adapters of one base on CLINC150 (the in-scope rows) and judges three of them against the one of all data:
trained on ten examples of each intent (has to FAIL), on the same data with another seed (PASS or INCONCLUSIVE, and the
printed power says which was to be expected), and on data without one intent (has to FAIL in that slice). Ends with 1 when
a verdict is another. `--keep` keeps the project in FOLDER, and a second call there trains nothing again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

LOST = "travel_alert"
JOB = """\
version: 1
kind: TrainJob
name: clinc150-{name}
task: seq_cls
base: bench
dataset: {data}
pooling: mean
sequence_len: 64
on_overlong: truncate_right
lora: {{r: 8, alpha: 16, target_modules: all-linear}}
optimizer: {{learning_rate: 2.0e-3}}
lr_scheduler: {{name: cosine, warmup_ratio: 0.06}}
precision: {{compute: bf16}}
micro_batch_size: 32
group_by_length: true
num_epochs: {epochs}
seed: {seed}
"""
GATE = """\
version: 1
design: {discordance: 0.10}
criteria:
  - {id: accuracy, metric: accuracy, kind: binary, rule: noninferior, margin: 0.02}
slices: {by: [label]}
contamination: {exact: exclude}
"""
RUNS = {"full": ("full", 1), "seed": ("full", 2), "few": ("few", 1), "lost": ("lost", 1)}  # version: (dataset, seed)
EPOCHS = {"full": 4, "few": 20, "lost": 4}
EXPECTED = {"few": {"FAIL"}, "seed": {"PASS", "INCONCLUSIVE"}, "lost": {"FAIL"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("retune", "base", "clinc150"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        sys.exit(0 if judged(args, folder) else 1)


def judged(args: argparse.Namespace, folder: Path) -> bool:
    tool = Tool(args.retune, folder)
    if not (folder / "retune.yaml").exists():
        prepare(args, tool)
    tool.run("gate", "plan", "--suite", "suite.yaml", shown=True)
    versions = {name: evaluated(tool, name) for name in RUNS}
    print("\n| candidate | its accuracy | verdict | slices harmed | as it should be |\n|---|---|---|---|---|")
    right = True
    for name, expected in EXPECTED.items():
        version, accuracy = versions[name]
        evidence = tool.json("gate", "check", f"{name}@{version}", "--against", f"full@{versions['full'][0]}", "--suite", "suite.yaml", codes=(0, 11, 12, 13))
        (folder / f"{name}.json").write_text(json.dumps(evidence, indent=1), encoding="utf-8")
        harmed = harmed_slices(evidence)
        fits = verdict(evidence) in expected and (name != "lost" or harmed == [LOST])
        right &= fits
        print(f"| {name} | {accuracy} | {verdict(evidence)} | {', '.join(harmed) or 'none'} | {'yes' if fits else 'NO'} |")
    return right


class Tool:
    """The binary in one project."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder = binary.resolve(), folder

    def run(self, *words: object, codes: tuple[int, ...] = (0,), shown: bool = False) -> str:
        command = [str(self.binary), *map(str, words)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode not in codes:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        if shown:
            print(done.stdout)
        return done.stdout

    def json(self, *words: object, **settings) -> dict:
        return json.loads(self.run(*words, "--format", "json", **settings))


def prepare(args: argparse.Namespace, tool: Tool) -> None:
    tool.folder.mkdir(parents=True, exist_ok=True)
    tool.run("init")
    write_rows(tool.folder / "full.jsonl", rows(args.clinc150 / "train.jsonl"))
    write_rows(tool.folder / "lost.jsonl", [row for row in rows(args.clinc150 / "train.jsonl") if row["label"] != LOST])
    write_rows(tool.folder / "few.jsonl", rows(args.clinc150 / "fewshot" / "train_10.jsonl"))
    write_rows(tool.folder / "test.jsonl", rows(args.clinc150 / "test.jsonl"))
    (tool.folder / "suite.yaml").write_text("version: 1\nname: clinc150\ntask: classification\ncases: test.jsonl\n", encoding="utf-8")
    (tool.folder / "gate.yaml").write_text(GATE, encoding="utf-8")
    tool.run("base", "add", "bench", args.base.resolve())
    for data in EPOCHS:
        tool.run("dataset", "add", data, "--train", f"{data}.jsonl")


def rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["label"] != "oos"]


def write_rows(path: Path, kept: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


def evaluated(tool: Tool, name: str) -> tuple[str, str]:
    """The version of a run and its accuracy."""
    data, seed = RUNS[name]
    (tool.folder / f"{name}.yaml").write_text(JOB.format(name=name, data=data, seed=seed, epochs=EPOCHS[data]), encoding="utf-8")
    run = tool.json("train", f"{name}.yaml")["record"]["run"]
    version = tool.json("model", "register", name, "--run", run)["version"]
    report = tool.json("eval", "suite.yaml", "--model", f"{name}@{version}")
    return version, report["metrics"]["accuracy"]


def verdict(evidence: dict) -> str:
    return evidence["verdict"].upper()


def harmed_slices(evidence: dict) -> list[str]:
    return [found["slice"].removeprefix("label=") for found in evidence.get("slices", []) if found["harmed"]]


if __name__ == "__main__":
    main()
