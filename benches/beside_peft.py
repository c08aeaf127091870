"""How fast retune trains beside PyTorch + PEFT: the same data, model shape, batch, LoRA and number of threads.

    python benches/beside_peft.py --retune PATH --banking77 TRAIN.jsonl --minilm DIR [--rounds 3] [--cases NAME,NAME]

Needs torch, transformers and peft. Each side is its own process, one at a time; the rounds of all sides of a case are
interleaved and medians printed, so that other work on the machine falls on all sides alike.

Cases: `minilm` trains a classifier on Banking77. `smol` and `qwen` have the shapes of SmolLM2-135M and Qwen2.5-0.5B with
random weights, which this script makes under `--work`; `-1x512` and `-8x256` are rows times tokens, `-checkpointing` keeps
few hidden states, `-forward` only computes losses. LoRA r 8 on all linear layers throughout.

`examples/s` and `tokens/s` count real rows and tokens of the loop itself: loading and tokenising are left out, and every
side's first steps too. `start s` is the rest of the process, `peak MB` its largest resident set (not of `-forward`, where
retune trains two steps first). A row that a side cannot run says why.
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

SEED = 42
WARM_UP = {"classifier": 3, "decoder": 1}  # steps that are not timed
RANK, ALPHA = 8, 16
SHAPES = {  # transformers' names
    "smol": dict(model_type="llama", hidden_size=576, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536,
                 num_hidden_layers=30, vocab_size=49152, max_position_embeddings=2048),
    "qwen": dict(model_type="qwen2", hidden_size=896, num_attention_heads=14, num_key_value_heads=2, intermediate_size=4864,
                 num_hidden_layers=24, vocab_size=151936, max_position_embeddings=2048),
}
# side: (program, bf16, padded to the longest row of a batch instead of grouped by length)
CLASSIFIERS = {
    "retune f32": ("retune", False, False),
    "retune bf16": ("retune", True, False),
    "peft f32 padded": ("peft", False, True),
    "peft f32 grouped": ("peft", False, False),
    "peft bf16 grouped": ("peft", True, False),
}
DECODERS = {
    "retune f32": ("retune", False, False),
    "peft f32": ("peft", False, False),
    "retune bf16": ("retune", True, False),
    "peft bf16": ("peft", True, False),
}
CASES = ["minilm"] + [f"{shape}-{size}{mode}" for shape in SHAPES for size in ("1x512", "8x256") for mode in ("", "-checkpointing", "-forward")]


class Refused(Exception):
    """A side that cannot run a case, and why."""


def main() -> None:
    args = arguments()
    if args.worker:
        print(json.dumps(work(args)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        args.work = args.work or Path(scratch)
        for case in args.cases.split(","):
            compare(args, case)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, help="the retune binary, built for release; without it only PyTorch runs")
    parser.add_argument("--minilm", type=Path, help="the folder of all-MiniLM-L6-v2")
    parser.add_argument("--banking77", type=Path, help="a JSONL file of texts and labels")
    parser.add_argument("--cases", default=",".join(CASES), help="with commas; all of them: %(default)s")
    parser.add_argument("--work", type=Path, help="where random checkpoints are made and kept; a temporary folder otherwise")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="timed steps of the classifier; decoders take a tenth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pooling", choices=["mean", "cls"], default="mean")
    parser.add_argument("--targets", default="all-linear", help="all-linear, or module names with commas (classifier only)")
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch of the classifier")
    parser.add_argument("--longest", type=int, default=128, help="tokens of the classifier's longest row")
    parser.add_argument("--worker", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(args: argparse.Namespace, case: str) -> None:
    sides = CLASSIFIERS if case == "minilm" else DECODERS
    sides = {name: side for name, side in sides.items() if side[0] == "peft" or args.retune}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    refused: dict[str, str] = {}
    for number in range(args.rounds):
        for name, (program, bf16, _) in sides.items():
            if name in refused:
                continue
            try:
                result = run_retune(args, case, bf16) if program == "retune" else run_worker(args, case, name)
            except Refused as why:
                refused[name] = str(why)
                continue
            measured[name].append(result)
            print(f"{case}, round {number + 1}, {name}: {result['tokens']:.0f} tokens/s", file=sys.stderr, flush=True)
    print_table(case, {name: results for name, results in measured.items() if results}, refused)


# ---- the decoders' data and checkpoints


class Shape:
    """What a decoder case is about: `smol-8x256-forward`."""

    def __init__(self, case: str) -> None:
        self.name, size, *mode = case.split("-")
        self.rows, self.length = map(int, size.split("x"))
        self.checkpointing, self.forward = mode == ["checkpointing"], mode == ["forward"]
        self.vocabulary = SHAPES[self.name]["vocab_size"]

    def text(self, draw: random.Random) -> str:
        """A row that becomes `length` tokens: one word each, and the end of the text."""
        return " ".join(f"w{draw.randrange(2, self.vocabulary)}" for _ in range(self.length - 1))


def checkpoint(args: argparse.Namespace, shape: Shape) -> Path:
    """A checkpoint with random weights and a tokenizer that knows one word for each id."""
    folder = args.work / f"random-{shape.name}"
    if (folder / "tokenizer.json").exists():
        return folder
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(SEED)
    config = AutoConfig.for_model(**SHAPES[shape.name], tie_word_embeddings=True, bos_token_id=1, eos_token_id=0)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    words = {"<end>": 0, "<unknown>": 1} | {f"w{i}": i for i in range(2, shape.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unknown>").save_pretrained(folder)
    return folder


# ---- retune


JOB = """\
version: 1
kind: TrainJob
name: throughput
task: {task}
base: bench
dataset: bench
sequence_len: {longest}
lora: {{r: {rank}, alpha: {alpha}, target_modules: {targets}}}
optimizer: {{learning_rate: {rate}}}
lr_scheduler: {{name: constant}}
micro_batch_size: {batch}
max_steps: {steps}
seed: 42
"""


def run_retune(args: argparse.Namespace, case: str, bf16: bool) -> dict[str, float]:
    """Trains in a project of its own, because retune does not train the same job twice."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, data, job = classifier_job(args) if case == "minilm" else decoder_job(args, Shape(case), folder)
        if bf16:
            job += "precision: {compute: bf16}\n"
        (folder / "job.yaml").write_text(job, encoding="utf-8")
        environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
        retune = lambda *words: output([str(args.retune), "--project", name, *map(str, words)], environment)
        retune("init")
        retune("base", "add", "bench", base)
        retune("dataset", "add", "bench", *data)
        started = time.monotonic()
        totals = json.loads(retune("train", folder / "job.yaml", "--format", "json"))["record"]["totals"]
        wall = time.monotonic() - started
        if case.endswith("-forward"):
            # The process trains two steps before, so its peak is theirs.
            return {**forward_speed(Shape(case), folder), "peak": math.nan, "start": math.nan}
        peak = totals["peak_memory_bytes"] / 1e6
        warm_up = WARM_UP["classifier" if case == "minilm" else "decoder"]
        return {**training_speed(folder, warm_up), "peak": peak, "start": wall - float(totals["wall_seconds"])}


def training_speed(folder: Path, warm_up: int) -> dict[str, float]:
    steps = [line for line in metrics(folder) if line["event"] == "step"][warm_up:]
    seconds = sum(step["seconds"] for step in steps)
    return {"examples": sum(step["rows"] for step in steps) / seconds, "tokens": sum(step["tokens"] for step in steps) / seconds}


def metrics(folder: Path) -> list[dict]:
    (log,) = folder.rglob("metrics.jsonl")
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def classifier_job(args: argparse.Namespace) -> tuple[Path, list, str]:
    targets = "all-linear" if args.targets == "all-linear" else "[" + args.targets + "]"
    job = JOB.format(task="seq_cls", longest=args.longest, rank=RANK, alpha=ALPHA, targets=targets, rate=2e-3, batch=args.batch, steps=WARM_UP["classifier"] + args.steps)
    return args.minilm, ["--train", args.banking77], job + f"pooling: {args.pooling}\non_overlong: truncate_right\n"


def decoder_job(args: argparse.Namespace, shape: Shape, folder: Path) -> tuple[Path, list, str]:
    draw = random.Random(SEED)
    steps = 2 if shape.forward else WARM_UP["decoder"] + max(2, args.steps // 10)
    splits = {"train": shape.rows * steps, "validation": shape.rows * max(2, args.steps // 10) if shape.forward else 0}
    data: list = []
    for split, rows in splits.items():
        if rows:
            lines = [json.dumps({"text": shape.text(draw)}) + "\n" for _ in range(rows)]
            (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
            data += [f"--{split}", folder / f"{split}.jsonl"]
    job = JOB.format(task="causal_lm", longest=shape.length, rank=RANK, alpha=ALPHA, targets="all-linear", rate=2e-4, batch=shape.rows, steps=steps)
    if shape.checkpointing:
        job += "gradient_checkpointing: true\n"
    return checkpoint(args, shape), data, job


def forward_speed(shape: Shape, folder: Path) -> dict[str, float]:
    """From the evaluation after the last step."""
    seconds = next(line["seconds"] for line in metrics(folder) if "best" in line)
    rows = len((folder / "validation.jsonl").read_text(encoding="utf-8").splitlines())
    return {"examples": rows / seconds, "tokens": rows * shape.length / seconds}


def run_worker(args: argparse.Namespace, case: str, side: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", case, side]
    for name in ("minilm", "banking77", "work", "steps", "threads", "pooling", "targets", "batch", "longest"):
        if getattr(args, name) is not None:
            command += [f"--{name}", str(getattr(args, name))]
    threads = {"OMP_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "false"}
    started = time.monotonic()
    result = json.loads(output(command, {**os.environ, **threads}).splitlines()[-1])
    return {**result, "start": time.monotonic() - started - result.pop("seconds")}


def output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused((done.stderr.strip().splitlines() or ["no message"])[-1] + f" (exit {done.returncode})")
    return done.stdout


# ---- one PyTorch process


def work(args: argparse.Namespace) -> dict[str, float]:
    import torch

    case, side = args.worker
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    if case == "minilm":
        batches, step, warm_up, steps = classifier_steps(args, *CLASSIFIERS[side][1:])
    else:
        batches, step, warm_up, steps = decoder_steps(args, Shape(case), DECODERS[side][1])
    started = time.monotonic()
    for _ in range(warm_up):
        step(next(batches))
    warm = time.monotonic()
    examples = tokens = 0
    for _ in range(steps):
        rows = next(batches)
        step(rows)
        examples += len(rows)
        tokens += sum(map(len, rows))
    seconds = time.monotonic() - warm
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"examples": examples / seconds, "tokens": tokens / seconds, "peak": peak, "seconds": time.monotonic() - started}


class Row(list):
    """Token ids, and what they should become."""

    label: int


def classifier_steps(args: argparse.Namespace, bf16: bool, padded: bool):
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoTokenizer

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "peft"))
    from bert_classifier import load_classifier

    with args.banking77.open(encoding="utf-8") as lines:
        examples = [json.loads(line) for line in lines]
    names = sorted({example["label"] for example in examples})
    tokenizer = AutoTokenizer.from_pretrained(args.minilm)
    encoded = tokenizer([example["text"] for example in examples], truncation=True, max_length=args.longest)["input_ids"]
    rows = [Row(ids) for ids in encoded]
    for row, example in zip(rows, examples):
        row.label = names.index(example["label"])
    targets = args.targets if args.targets == "all-linear" else args.targets.split(",")
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=targets)
    model = get_peft_model(load_classifier(args.minilm, args.pooling, len(names)), config).train()
    update = updater(model, 2e-3)

    def step(batch: list[Row]) -> None:
        longest = max(map(len, batch))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
        labels = torch.tensor([row.label for row in batch])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        update(loss)

    return batches_of(rows, args.batch, not padded), step, WARM_UP["classifier"], args.steps


def decoder_steps(args: argparse.Namespace, shape: Shape, bf16: bool):
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModelForCausalLM

    kind = torch.bfloat16 if bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(checkpoint(args, shape), dtype=kind)
    config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear")
    model = get_peft_model(model, config).train()
    if shape.checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    update = updater(model, 2e-4)

    def step(batch: list[Row]) -> None:
        ids = torch.tensor(batch)
        with torch.set_grad_enabled(not shape.forward):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        if not shape.forward:
            update(loss)

    draw = random.Random(SEED)
    rows = (Row(draw.randrange(2, shape.vocabulary) for _ in range(shape.length)) for _ in iter(int, 1))
    batches = ([next(rows) for _ in range(shape.rows)] for _ in iter(int, 1))
    return batches, step, WARM_UP["decoder"], max(2, args.steps // 10)


def updater(model, rate: float):
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)

    def update(loss) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    return update


def batches_of(rows: list[Row], size: int, grouped: bool):
    """Epoch after epoch of random batches; grouped as transformers does: sorted by length within 50 batches."""
    draw = random.Random(SEED)
    while True:
        order = draw.sample(rows, len(rows))
        if grouped:
            pools = [order[at : at + 50 * size] for at in range(0, len(order), 50 * size)]
            order = [row for pool in pools for row in sorted(pool, key=len, reverse=True)]
        made = [order[at : at + size] for at in range(0, len(order), size)]
        if grouped:
            draw.shuffle(made)
        yield from made


# ---- the table


def print_table(case: str, measured: dict[str, list[dict[str, float]]], refused: dict[str, str]) -> None:
    median = lambda side, name: statistics.median(result[name] for result in measured[side])
    print(f"\n### {case}\n")
    print("| side | examples/s | tokens/s | peak MB | start s | retune is so many times as fast | and takes this share of the memory |")
    print("|---|---|---|---|---|---|---|")
    for side in measured:
        cells = [f"{median(side, 'examples'):.1f}", f"{median(side, 'tokens'):.0f}", f"{median(side, 'peak'):.0f}", f"{median(side, 'start'):.1f}"]
        print(f"| {side} | {' | '.join(cells)} | {' | '.join(ratios(side, measured, median))} |")
    for side, why in refused.items():
        print(f"\n{side} did not run: {why}")
    for side, results in measured.items():
        speeds = [result["tokens"] for result in results]
        if max(speeds) > 1.15 * min(speeds):
            print(f"\nthe rounds of {side} differ by a factor of {max(speeds) / min(speeds):.2f}: the machine was busy")


def ratios(side: str, measured: dict, median) -> list[str]:
    """Beside each PyTorch side: every retune side in f32 and bf16, or the one of the same precision for decoders."""
    if side.startswith("retune"):
        return ["", ""]
    ours = [name for name in measured if name.startswith("retune") and (side in CLASSIFIERS or name.split()[1] == side.split()[1])]
    speed = [f"{median(name, 'tokens') / median(side, 'tokens'):.2f} ({name.split()[1]})" for name in ours]
    memory = [f"{median(name, 'peak') / median(side, 'peak'):.2f}" for name in ours]
    return [", ".join(speed), ", ".join(memory)]


if __name__ == "__main__":
    main()
