"""How fast retune trains beside PyTorch + PEFT, on the same data, base, batch, LoRA and threads.

    python benches/train_throughput.py --retune PATH --base DIR --train FILE.jsonl [--rounds 3]

Each side is its own process,
one at a time; rounds are interleaved and medians printed, so that other work on the machine falls on all sides alike.
Without `--retune` only the PyTorch sides run. `examples/s` and `tokens/s` count real rows and real tokens of the training
loop (loading and tokenising left out, no evaluation); `peak MB` is the largest resident set of the process.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS_VARIABLE = "RAYON_NUM_THREADS"

PYTORCH = {  # name: (length-grouped, bf16 autocast)
    "peft f32 padded": (False, False),
    "peft f32 grouped": (True, False),
    "peft bf16 grouped": (True, True),
}
SEED = 42


def main() -> None:
    args = arguments()
    if args.worker:
        print(json.dumps(work(args)))
        return
    sides = (["retune"] if args.retune else []) + list(PYTORCH)
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for number in range(args.rounds):
        for side in sides:
            result = run_retune(args) if side == "retune" else run_worker(args, side)
            measured[side].append(result)
            print(f"round {number + 1} {side}: {result['examples']:.1f} examples/s", file=sys.stderr, flush=True)
    print_table(measured)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--retune", type=Path, help="the retune binary, built for release")
    parser.add_argument("--pooling", choices=["mean", "cls"], default="mean")
    parser.add_argument("--targets", default="all-linear", help="all-linear, or module names with commas: query,value")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=int, default=16)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--longest", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40, help="timed steps of a PyTorch side, after three untimed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=list(PYTORCH), help=argparse.SUPPRESS)
    args = parser.parse_args()
    return args


# ---- the two kinds of process


JOB = """\
version: 1
kind: TrainJob
name: throughput
task: seq_cls
base: bench
dataset: bench
pooling: {pooling}
sequence_len: {longest}
on_overlong: truncate_right
lora: {{r: {rank}, alpha: {alpha}, target_modules: {targets}}}
optimizer: {{learning_rate: {rate}}}
lr_scheduler: {{name: constant}}
micro_batch_size: {batch}
max_steps: {steps}
seed: 42
"""


def run_retune(args: argparse.Namespace) -> dict[str, float]:
    """Trains in a project of its own, because retune does not train the same job twice."""
    environment = {**os.environ, THREADS_VARIABLE: str(args.threads)}
    with tempfile.TemporaryDirectory() as folder:
        settings = {name: getattr(args, name) for name in ("pooling", "longest", "rank", "alpha", "rate", "batch", "steps")}
        targets = "all-linear" if args.targets == "all-linear" else "[" + args.targets + "]"
        job = Path(folder) / "job.yaml"
        job.write_text(JOB.format(targets=targets, **settings), encoding="utf-8")
        retune = lambda *words: output([str(args.retune), "--project", folder, *map(str, words)], environment)
        retune("init")
        retune("base", "add", "bench", args.base)
        retune("dataset", "add", "bench", "--train", args.train)
        totals = json.loads(retune("train", job, "--format", "json"))["record"]["totals"]
    return {
        "examples": float(totals["examples_per_second"]),
        "tokens": float(totals["tokens_per_second"]),
        "peak": totals["peak_memory_bytes"] / 1e6,
    }


def run_worker(args: argparse.Namespace, side: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", side]
    for name in ("base", "train", "pooling", "targets", "rank", "alpha", "batch", "rate", "longest", "steps", "threads"):
        command += [f"--{name}", str(getattr(args, name))]
    threads = {"OMP_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "false"}
    return json.loads(output(command, {**os.environ, **threads}).splitlines()[-1])


def output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


# ---- one PyTorch side


def work(args: argparse.Namespace) -> dict[str, float]:
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoTokenizer

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "peft"))
    from bert_classifier import load_classifier

    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    grouped, bf16 = PYTORCH[args.worker]
    with args.train.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    names = sorted({row["label"] for row in rows})
    ids = AutoTokenizer.from_pretrained(args.base)([row["text"] for row in rows], truncation=True, max_length=args.longest)["input_ids"]
    labels = [names.index(row["label"]) for row in rows]

    targets = args.targets if args.targets == "all-linear" else args.targets.split(",")
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=args.rank, lora_alpha=args.alpha, lora_dropout=0.0, target_modules=targets)
    model = get_peft_model(load_classifier(args.base, args.pooling, len(names)), config).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.0)

    def step(batch: list[int]) -> None:
        longest = max(len(ids[i]) for i in batch)
        padded = torch.tensor([ids[i] + [0] * (longest - len(ids[i])) for i in batch])
        mask = torch.tensor([[1] * len(ids[i]) + [0] * (longest - len(ids[i])) for i in batch])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(input_ids=padded, attention_mask=mask, labels=torch.tensor([labels[i] for i in batch])).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    made = batches(ids, args.batch, grouped)
    for _ in range(3):
        step(next(made))
    examples = tokens = 0
    started = time.monotonic()
    for _ in range(args.steps):
        batch = next(made)
        step(batch)
        examples += len(batch)
        tokens += sum(len(ids[i]) for i in batch)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"examples": examples / seconds, "tokens": tokens / seconds, "peak": peak}


def batches(ids: list[list[int]], size: int, grouped: bool):
    """Epoch after epoch of random batches; grouped as transformers does: sorted by length within 50 batches."""
    rng = random.Random(SEED)
    while True:
        order = list(range(len(ids)))
        rng.shuffle(order)
        if grouped:
            pools = [order[at : at + 50 * size] for at in range(0, len(order), 50 * size)]
            order = [i for pool in pools for i in sorted(pool, key=lambda i: -len(ids[i]))]
        made = [order[at : at + size] for at in range(0, len(order), size)]
        if grouped:
            rng.shuffle(made)
        yield from made


# ---- the table


def print_table(measured: dict[str, list[dict[str, float]]]) -> None:
    median = lambda side, name: statistics.median(result[name] for result in measured[side])
    first = next(iter(measured))
    print(f"| side | examples/s | tokens/s | peak MB | {first} is so many times as fast |")
    print("|---|---|---|---|---|")
    for side in measured:
        ratio = median(first, "tokens") / median(side, "tokens")
        print(f"| {side} | {median(side, 'examples'):.1f} | {median(side, 'tokens'):.0f} | {median(side, 'peak'):.0f} | {ratio:.2f} |")
    spread = {side: max(r["tokens"] for r in results) / min(r["tokens"] for r in results) for side, results in measured.items()}
    worst = max(spread, key=spread.get)
    if not math.isclose(spread[worst], 1.0, rel_tol=0.15):
        print(f"\nthe rounds of {worst} differ by a factor of {spread[worst]:.2f}: the machine was busy, measure again")


if __name__ == "__main__":
    main()
