"""How fast retune generates beside transformers: the same random model, prompts, batch and number of threads, greedily.

    python benches/generation.py --retune PATH --work FOLDER [--rounds 3] [--shapes smol,qwen]

Needs torch and transformers. A side's time is that of `--new` tokens less that of one, so loading and reading the prompts
are left out; both sides keep keys and values. Rounds are interleaved and medians printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from beside_peft import SEED, SHAPES, Shape, checkpoint, output

PROMPT = 128  # tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--retune", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new", type=int, default=64, help="tokens that are added to each prompt")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", nargs=2, metavar=("SHAPE", "ROWS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(transformers_seconds(args, args.worker[0], int(args.worker[1])))
        return
    print("| shape | prompts at once | retune tokens/s | transformers tokens/s | ratio |\n|---|---|---|---|---|")
    for shape in args.shapes.split(","):
        for rows in (1, 8):
            ours, theirs = [], []
            for _ in range(args.rounds):
                ours.append(retune_seconds(args, shape, rows))
                theirs.append(worker_seconds(args, shape, rows))
            tokens = rows * (args.new - 1)
            a, b = (tokens / statistics.median(seconds) for seconds in (ours, theirs))
            print(f"| {shape} | {rows} | {a:.1f} | {b:.1f} | {a / b:.2f} |", flush=True)


def prompts(shape: str, rows: int) -> list[str]:
    draw, case = random.Random(SEED), Shape(f"{shape}-{rows}x{PROMPT}")
    return [case.text(draw) for _ in range(rows)]


def retune_seconds(args: argparse.Namespace, shape: str, rows: int) -> float:
    base = checkpoint(args, Shape(f"{shape}-{rows}x{PROMPT}"))
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        retune = lambda *words: output([str(args.retune), "--project", name, *map(str, words)], environment)
        retune("init")
        retune("base", "add", "bench", base)
        cases = [json.dumps({"prompt": text, "completion": "w2"}) + "\n" for text in prompts(shape, rows)]
        (folder / "cases.jsonl").write_text("".join(cases), encoding="utf-8")

        def seconds(new: int) -> float:
            suite = f"version: 1\nname: s{new}\ntask: generation\ncases: cases.jsonl\ngenerate: {{max_tokens: {new}}}\n"
            (folder / f"s{new}.yaml").write_text(suite, encoding="utf-8")
            started = time.monotonic()
            retune("eval", folder / f"s{new}.yaml", "--base", "bench")
            return time.monotonic() - started

        return seconds(args.new) - seconds(1)


def worker_seconds(args: argparse.Namespace, shape: str, rows: int) -> float:
    command = [sys.executable, __file__, "--retune", str(args.retune), "--work", str(args.work)]
    command += ["--new", str(args.new), "--threads", str(args.threads), "--worker", shape, str(rows)]
    threads = {"OMP_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "false"}
    return float(output(command, {**os.environ, **threads}).splitlines()[-1])


def transformers_seconds(args: argparse.Namespace, shape: str, rows: int) -> float:
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(args.threads)
    folder = checkpoint(args, Shape(f"{shape}-{rows}x{PROMPT}"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    # AutoTokenizer would cut words as the family does, and this vocabulary is of whole words.
    ids = PreTrainedTokenizerFast.from_pretrained(folder)(prompts(shape, rows), return_tensors="pt")

    def seconds(new: int) -> float:
        started = time.monotonic()
        with torch.no_grad():
            model.generate(**ids, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0)
        return time.monotonic() - started

    seconds(1)
    return seconds(args.new) - seconds(1)


if __name__ == "__main__":
    main()
