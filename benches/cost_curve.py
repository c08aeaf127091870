"""What training costs against rows, sequence length and rank: seconds and memory of a step, as tables.

    python benches/cost_curve.py --retune PATH --work FOLDER [--rounds 2] [--steps 3]

The model has the shape of SmolLM2-135M with random weights, which beside_peft.py makes under `--work` (that needs torch
and transformers). One thing varies at a time. `ms a token` should stay about the same over rows and ranks, and grow with
the length only as attention does: 12 · layers · width · length of the 6 · parameters floating point operations of a token.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
from pathlib import Path

from beside_peft import JOB, SEED, WARM_UP, Shape, checkpoint, metrics, output

CURVES = {  # name: (rows, tokens of a row, rank)
    "rows": [(rows, 128, 8) for rows in (1, 2, 4, 8, 16)],
    "tokens of a row": [(1, length, 8) for length in (128, 256, 512, 1024, 2048)],
    "rank": [(4, 128, rank) for rank in (2, 8, 32, 128)],
}
VARIES = {"rows": 0, "tokens of a row": 1, "rank": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--retune", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpointing", action="store_true")
    args = parser.parse_args()
    for name, points in CURVES.items():
        measured = {point: [] for point in points}
        for _ in range(args.rounds):
            for point in points:
                measured[point].append(train(args, *point))
        print_table(name, measured)


def train(args: argparse.Namespace, rows: int, length: int, rank: int) -> tuple[float, float]:
    """Seconds of a step, and the peak in MB."""
    steps = WARM_UP["decoder"] + args.steps
    draw, shape = random.Random(SEED), Shape(f"smol-{rows}x{length}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [json.dumps({"text": shape.text(draw)}) + "\n" for _ in range(rows * steps)]
        (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
        job = JOB.format(task="causal_lm", longest=length, rank=rank, alpha=2 * rank, targets="all-linear", rate=2e-4, batch=rows, steps=steps)
        if args.checkpointing:
            job += "gradient_checkpointing: true\n"
        (folder / "job.yaml").write_text(job, encoding="utf-8")
        environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
        retune = lambda *words: output([str(args.retune), "--project", name, *map(str, words)], environment)
        retune("init")
        retune("base", "add", "bench", checkpoint(args, shape))
        retune("dataset", "add", "bench", "--train", folder / "train.jsonl")
        peak = json.loads(retune("train", folder / "job.yaml", "--format", "json"))["record"]["totals"]["peak_memory_bytes"] / 1e6
        timed = [line["seconds"] for line in metrics(folder) if line["event"] == "step"][WARM_UP["decoder"] :]
        return statistics.median(timed), peak


def print_table(name: str, measured: dict[tuple[int, int, int], list[tuple[float, float]]]) -> None:
    print(f"\n| {name} | seconds a step | ms a token | peak MB |\n|---|---|---|---|")
    for point, results in measured.items():
        seconds = statistics.median(seconds for seconds, _ in results)
        peak = statistics.median(peak for _, peak in results)
        tokens = point[0] * point[1]
        print(f"| {point[VARIES[name]]} | {seconds:.2f} | {1000 * seconds / tokens:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
