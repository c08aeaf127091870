#!/usr/bin/env python3
"""What a dataset of many small files costs, beside DVC: the first add, and the add after one file has changed.

    python benches/many_files.py --retune PATH --dvc PATH [--files 200000] [--rounds 2] [--work DIR]

PATH: retune, built for release, and the `dvc` program. Each round writes a tree of texts in a hundred folders, which are their labels, once for
each side, and then times whole processes, the sides in turn: `retune dataset add` in a new project and `dvc add` in a new repository, and both
again after the same file has changed. Both start with the files in the page cache. Medians and every round are printed, and what each keeps on
the disk: retune one object per split, DVC one per file.
"""
import argparse
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

LABELS = 100
WORDS = "please where refund card order parcel late money back lost account open close change address help number".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, required=True)
    parser.add_argument("--dvc", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="where the trees are made; a temporary folder otherwise")
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    args.retune, args.dvc = args.retune.resolve(), args.dvc.absolute()
    sides = {
        "retune": ([[args.retune, "init"]], [args.retune, "dataset", "add", "texts", "--train", "texts"], ".retune"),
        "dvc": ([["git", "init", "-q"], [args.dvc, "init", "-q"]], [args.dvc, "add", "-q", "texts"], ".dvc/cache"),
    }
    acts = ("first add", "add after one change", "add of the same")
    seconds = {(side, act): [] for side in sides for act in acts}
    kept = {}
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            for side, (begin, _, _) in sides.items():
                (Path(folder) / side).mkdir()
                write(Path(folder) / side / "texts", args.files, number)
                for command in begin:
                    run(command, Path(folder) / side)
            os.sync()
            for act in acts:
                for side, (_, add, store) in sides.items():
                    project = Path(folder) / side
                    if act == "add after one change":
                        change(project / "texts", args.files, number)
                    seconds[side, act].append(run(add, project))
                    kept[side, act] = size(project / store)
    print(f"{args.files} files in {LABELS} folders; seconds, medians of {args.rounds}\n")
    print("| act | retune | DVC | DVC / retune | kept by retune | by DVC |\n|---|---|---|---|---|---|")
    for act in acts:
        ours, theirs = (statistics.median(seconds[side, act]) for side in sides)
        objects = " | ".join("%d files, %.0f MB" % kept[side, act] for side in sides)
        print(f"| {act} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} | {objects} |")
    print("\n" + "\n".join(f"{side}, {act}: {', '.join(f'{one:.2f}' for one in every)}" for (side, act), every in seconds.items()))


def write(folder: Path, files: int, seed: int) -> None:
    draw = random.Random(seed)
    for number in range(files):
        path = place(folder, number)
        if number < LABELS:
            path.parent.mkdir(parents=True)
        path.write_text(f"{number} {' '.join(draw.choices(WORDS, k=draw.randint(5, 60)))}\n")


def place(folder: Path, number: int) -> Path:
    return folder / f"label-{number % LABELS:02}" / f"{number:06}.txt"


def change(folder: Path, files: int, seed: int) -> None:
    path = place(folder, files // 2 + seed)
    # DVC makes some kinds of links read-only; another file takes the place.
    path.unlink()
    path.write_text("something else entirely\n")


def run(command: list, folder: Path) -> float:
    started = time.monotonic()
    subprocess.run(list(map(str, command)), cwd=folder, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DVC_NO_ANALYTICS": "1"})
    return time.monotonic() - started


def size(folder: Path) -> tuple[int, float]:
    files = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    return len(files), sum(path.stat().st_size for path in files) / 1e6


if __name__ == "__main__":
    main()
