#!/usr/bin/env python3
"""How fast the gate judges a large suite, and in how much memory: 100,000 cases in ten slices.

    python benches/gate_scale.py --retune PATH --project DIR [--cases 100000] [--slices 10] [--rounds 5] [--work DIR]

PATH: retune, built for release. DIR: a project with one registered version, such as `retune pipeline run pipelines/quickstart.yaml` leaves in
`quickstart/`; it is copied, and a second version is trained in the copy with another seed. Both versions get recorded outputs of a suite of
so many cases with a slice each (about one in ten wrong, one in twenty of them differing between the versions), and then whole processes of
`gate check`, `gate show` and the page are timed. Medians, the slowest of the rounds, the processor's time and the largest resident memory
are printed.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LABELS = ["refund", "delivery", "account", "other"]
POLICY = """version: 1
criteria:
  - {id: accuracy, metric: accuracy, kind: binary, rule: noninferior, margin: 0.02}
slices: {by: [metadata.slice]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, required=True)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="where the copy is made and kept; a temporary folder otherwise")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.retune, args.project = args.retune.resolve(), args.project.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        project = (args.work or Path(scratch)) / "project"
        if not project.exists():
            shutil.copytree(args.project, project)
        old, new = versions(args, project)
        scene(project, args.cases, args.slices)
        for version, name in ((old, "old"), (new, "new")):
            measure(args, project, "eval of recorded outputs", ["eval", "suite.yaml", "--model", version, "--target", f"{name}.jsonl"], 1)
        check = ["gate", "check", new, "--against", old, "--suite", "suite.yaml", "--policy", "policy.yaml"]
        measure(args, project, "gate check", check)
        measure(args, project, "gate show", ["gate", "show", new])
        measure(args, project, "gate show, HTML", ["gate", "show", new, "--report", "html", "--output", "page.html"])


def versions(args, project: Path) -> list[str]:
    """The version in production, and one that the same job makes with another seed."""
    first = json.loads(out(args, project, "model", "show", "support-router:production", "--format", "json"))
    job = (HERE / "pipelines/quickstart/job.yaml").read_text()
    seed = next(line for line in job.splitlines() if line.startswith("seed:"))
    (project / "other.yaml").write_text(job.replace(seed, "seed: 4711"))
    out(args, project, "train", "other.yaml")
    runs = json.loads(out(args, project, "run", "list", "--format", "json"))["runs"]
    run_id = next(run["run"] for run in runs if not first["manifest"]["run"]["id"].startswith(f"sha256:{run['run']}"))
    second = json.loads(out(args, project, "model", "register", "support-router", "--run", run_id, "--format", "json"))
    return [f"support-router@{of['version'].rsplit('@', 1)[-1]}" for of in (first, second)]


def scene(project: Path, cases: int, slices: int) -> None:
    draw = random.Random(7)
    rows, answers = [], {"old": [], "new": []}
    for number in range(cases):
        label = draw.choice(LABELS)
        other = LABELS[(LABELS.index(label) + 1) % len(LABELS)]
        right = draw.random() > 0.1
        differs = draw.random() < 0.05
        case = f"t{number:06}"
        text = f"message {number} about {label}, as people write them: where is it, and when do I get my money back?"
        rows.append(json.dumps({"id": case, "text": text, "label": label, "metadata": {"slice": f"s{number % slices}"}}))
        for name, is_right in (("old", right), ("new", right != differs)):
            answers[name].append(json.dumps({"id": case, "output": label if is_right else other}))
    (project / "cases.jsonl").write_text("\n".join(rows) + "\n")
    (project / "suite.yaml").write_text("version: 1\nname: large\ntask: classification\ncases: cases.jsonl\n")
    (project / "policy.yaml").write_text(POLICY)
    for name, lines in answers.items():
        (project / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def measure(args, project: Path, what: str, argv: list[str], rounds: int | None = None) -> None:
    found = [run(args, project, *argv) for _ in range(rounds or args.rounds)]
    seconds, processor, peak = (list(of) for of in zip(*found))
    print(f"{what:24}   {statistics.median(seconds):6.2f} s   slowest {max(seconds):5.2f} s   "
          f"processor {statistics.median(processor):5.2f} s   {max(peak):4.0f} MB")


def run(args, project: Path, *argv: str) -> tuple[float, float, float]:
    """Seconds, seconds of the processor, and megabytes of one process; 11 and 12 are answers of the gate."""
    began = time.perf_counter()
    process = subprocess.Popen([args.retune, *argv], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 11, 12):
        raise SystemExit(f"retune {' '.join(argv)} ended with {code}:\n{complaint}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def out(args, project: Path, *argv: str) -> str:
    return subprocess.run([args.retune, *argv], cwd=project, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
