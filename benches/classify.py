"""How fast retune answers a suite of labels beside PyTorch + PEFT: the same adapter, texts and number of threads, in f32.

    python benches/classify.py --retune PATH --base DIR --train FILE.jsonl --cases FILE.jsonl [--most 10000] [--rounds 2]

Trains a small adapter on the train file, then has both sides label the first `--most` texts of the cases. Needs torch,
transformers and peft. retune's time is that of `retune eval` as a whole, loading, reading and writing the report included;
PyTorch's that of tokenising and classifying alone, in batches of 32 as they come, and sorted by length. Rounds are interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from beside_peft import JOB, output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("retune", "base", "train", "cases"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--adapter", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.adapter:
        print(json.dumps(classify(args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    retune = lambda *words: output([str(args.retune), "--project", str(folder), *map(str, words)], environment)
    retune("init")
    retune("base", "add", "bench", args.base)
    retune("dataset", "add", "bench", "--train", args.train)
    job = JOB.format(task="seq_cls", longest=128, rank=8, alpha=16, targets="all-linear", rate=2e-3, batch=32, steps=20)
    (folder / "job.yaml").write_text(job + "pooling: mean\non_overlong: truncate_right\n", encoding="utf-8")
    run = json.loads(retune("train", folder / "job.yaml", "--format", "json"))["record"]["run"]
    (adapter,) = (folder / ".retune" / "runs").glob("*/adapter")
    lines = args.cases.read_text(encoding="utf-8").splitlines()[: args.most]
    seconds: dict[str, list[float]] = {"retune": [], "PyTorch": [], "PyTorch, sorted": []}
    for number in range(args.rounds):
        # Another name is another suite: a report is made once.
        (folder / "cases.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "suite.yaml").write_text(f"version: 1\nname: bench-{number}\ntask: classification\ncases: cases.jsonl\n", encoding="utf-8")
        started = time.monotonic()
        retune("eval", folder / "suite.yaml", "--run", run)
        seconds["retune"].append(time.monotonic() - started)
        command = [sys.executable, __file__, "--adapter", str(adapter), "--retune", str(args.retune), "--base", str(args.base)]
        command += ["--train", str(args.train), "--cases", str(folder / "cases.jsonl"), "--threads", str(args.threads)]
        for side, measured in json.loads(output(command, environment).splitlines()[-1]).items():
            seconds[side].append(measured)
    print(f"| side | seconds for {len(lines)} texts | texts/s | retune is so many times as fast |\n|---|---|---|---|")
    own = statistics.median(seconds["retune"])
    for side, measured in seconds.items():
        median = statistics.median(measured)
        print(f"| {side} | {median:.1f} | {len(lines) / median:.0f} | {median / own:.2f} |")


def classify(args: argparse.Namespace) -> dict[str, float]:
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "peft"))
    from bert_classifier import load_classifier

    torch.set_num_threads(args.threads)
    record = json.loads((args.adapter / "retune.json").read_text(encoding="utf-8"))
    model = PeftModel.from_pretrained(load_classifier(args.base, record["pooling"], len(record["labels"])), args.adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    texts = [json.loads(line)["text"] for line in args.cases.read_text(encoding="utf-8").splitlines()]
    found = {}
    for side, order in (("PyTorch", texts), ("PyTorch, sorted", sorted(texts, key=len))):
        started = time.monotonic()
        with torch.inference_mode():
            for at in range(0, len(order), 32):
                batch = tokenizer(order[at : at + 32], truncation=True, max_length=128, padding=True, return_tensors="pt")
                model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(-1)
        found[side] = time.monotonic() - started
    return found


if __name__ == "__main__":
    main()
