"""How well retune's classifiers do beside PyTorch + PEFT's: the same base, data, LoRA, schedule, epochs and seeds.

    python benches/accuracy.py --retune PATH --base DIR --train FILE.jsonl --test FILE.jsonl [--seeds 1 2 3]

Each (side, seed) is one training of its own process. Both sides shuffle every epoch, in batches of similar length with
`--grouped`; PEFT trains in f32. Printed: accuracy and macro-F1 on the test file of every run, and their means with the
standard error that a test set of this size has by itself. Without `--retune` only PEFT runs, with `--only retune` only retune.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SIDES = ("retune", "peft")
JOB = """\
version: 1
kind: TrainJob
name: accuracy
task: seq_cls
base: bench
dataset: bench
pooling: mean
sequence_len: {longest}
on_overlong: truncate_right
lora: {{r: {rank}, alpha: {alpha}, target_modules: all-linear}}
optimizer: {{learning_rate: {rate}}}
lr_scheduler: {{name: cosine, warmup_ratio: 0.06}}
micro_batch_size: {batch}
num_epochs: {epochs}
group_by_length: {grouped}
seed: {seed}
"""
SUITE = "version: 1\nname: bench\ntask: classification\ncases: {cases}\n"


def main() -> None:
    args = arguments()
    if args.worker is not None:
        print(json.dumps(train_peft(args, args.worker)))
        return
    sides = [side for side in SIDES if args.only in (None, side) and (side != "retune" or args.retune)]
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for seed in args.seeds:
        for side in sides:
            result = run_retune(args, seed) if side == "retune" else run_peft(args, seed)
            found[side].append(result)
            print(f"seed {seed} {side}: accuracy {result['accuracy']:.4f}, macro-F1 {result['macro_f1']:.4f}", file=sys.stderr, flush=True)
    print_table(found, args.seeds, sum(1 for _ in args.test.open(encoding="utf-8")))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "train", "test"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--retune", type=Path, help="the retune binary, built for release")
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--grouped", action="store_true", help="batches of similar length")
    for name, kind, default in (("rank", int, 8), ("alpha", int, 16), ("batch", int, 32), ("epochs", int, 3), ("longest", int, 128), ("rate", float, 2e-3)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_retune(args: argparse.Namespace, seed: int) -> dict[str, float]:
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    with tempfile.TemporaryDirectory() as folder:
        settings = {name: getattr(args, name) for name in ("longest", "rank", "alpha", "rate", "batch", "epochs")}
        job, suite = Path(folder) / "job.yaml", Path(folder) / "suite.yaml"
        job.write_text(JOB.format(seed=seed, grouped=str(args.grouped).lower(), **settings), encoding="utf-8")
        suite.write_text(SUITE.format(cases=args.test.resolve()), encoding="utf-8")
        retune = lambda *words: output([str(args.retune), "--project", folder, *map(str, words)], environment)
        retune("init")
        retune("base", "add", "bench", args.base)
        retune("dataset", "add", "bench", "--train", args.train)
        run = json.loads(retune("train", job, "--format", "json"))["record"]["run"]
        metrics = json.loads(retune("eval", suite, "--run", run, "--format", "json"))["metrics"]
    return {name: float(metrics[name]) for name in ("accuracy", "macro_f1")}


def run_peft(args: argparse.Namespace, seed: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", str(seed)]
    for name in ("base", "train", "test", "rank", "alpha", "batch", "epochs", "longest", "rate", "threads"):
        command += [f"--{name}", str(getattr(args, name))]
    command += ["--grouped"] if args.grouped else []
    threads = {"OMP_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "false"}
    return json.loads(output(command, {**os.environ, **threads}).splitlines()[-1])


def output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def train_peft(args: argparse.Namespace, seed: int) -> dict[str, float]:
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoTokenizer

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "peft"))
    from bert_classifier import load_classifier

    torch.set_num_threads(args.threads)
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    train, test = read(args.train), read(args.test)
    names = sorted({label for _, label in train})
    encode = lambda rows: tokenizer([text for text, _ in rows], truncation=True, max_length=args.longest)["input_ids"]
    ids, labels = encode(train), [names.index(label) for _, label in train]

    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=args.rank, lora_alpha=args.alpha, lora_dropout=0.0, target_modules="all-linear")
    model = get_peft_model(load_classifier(args.base, "mean", len(names)), config).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.0)
    steps = args.epochs * math.ceil(len(ids) / args.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step, steps))
    rng = random.Random(seed)
    for _ in range(args.epochs):
        for batch in batches(ids, args.batch, args.grouped, rng):
            loss = model(**padded([ids[i] for i in batch], torch), labels=torch.tensor([labels[i] for i in batch])).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()

    model.eval()
    answers, truth = [], [label for _, label in test]
    encoded = encode(test)
    with torch.no_grad():
        for at in range(0, len(encoded), 64):
            answers += [names[i] for i in model(**padded(encoded[at : at + 64], torch)).logits.argmax(-1).tolist()]
    return {"accuracy": statistics.fmean(a == t for a, t in zip(answers, truth)), "macro_f1": macro_f1(answers, truth)}


def read(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["text"], row["label"]) for row in rows]


def cosine(step: int, steps: int) -> float:
    """transformers' `get_cosine_schedule_with_warmup` with 6 % warm-up."""
    warmup = math.ceil(0.06 * steps)
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def batches(ids: list[list[int]], size: int, grouped: bool, rng: random.Random) -> list[list[int]]:
    order = list(range(len(ids)))
    rng.shuffle(order)
    if grouped:
        pools = [order[at : at + 50 * size] for at in range(0, len(order), 50 * size)]
        order = [i for pool in pools for i in sorted(pool, key=lambda i: -len(ids[i]))]
    made = [order[at : at + size] for at in range(0, len(order), size)]
    if grouped:
        rng.shuffle(made)
    return made


def padded(rows: list[list[int]], torch) -> dict:
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
    }


def macro_f1(answers: list[str], truth: list[str]) -> float:
    """The mean F1 of the labels that occur, as scikit-learn's `f1_score(average="macro")`."""
    scores = []
    for label in sorted(set(truth) | set(answers)):
        hits = sum(a == t == label for a, t in zip(answers, truth))
        scores.append(2 * hits / (answers.count(label) + truth.count(label)))
    return statistics.fmean(scores)


def print_table(found: dict[str, list[dict[str, float]]], seeds: list[int], cases: int) -> None:
    print("| side | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean accuracy | standard error of the test set | mean macro-F1 |")
    print("|---|" + "---|" * (len(seeds) + 3))
    for side, results in found.items():
        accuracy = statistics.fmean(r["accuracy"] for r in results)
        error = math.sqrt(accuracy * (1 - accuracy) / cases)
        each = " | ".join(f"{r['accuracy']:.4f}" for r in results)
        print(f"| {side} | {each} | {accuracy:.4f} | {error:.4f} | {statistics.fmean(r['macro_f1'] for r in results):.4f} |")


if __name__ == "__main__":
    main()
