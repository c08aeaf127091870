"""Compares the logits that retune printed with those of transformers + PEFT on the same adapter.

    python compare_logits.py --base DIR --adapter DIR --texts FILE.jsonl --logits FILE.json [--tolerance 1e-4]

`--texts` holds one {"text": …} per line. `--logits` is a JSON array with one array of numbers per text, or an object with
that array under "logits" (and then, if it has "labels", those must be the adapter's, in order). Ends with 0 when every
logit agrees within the tolerance, with 1 when one does not, with 2 when the inputs do not fit together: a tensor of the
adapter that PEFT did not take or missed, another number of rows or labels, a logit that is not finite.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoTokenizer

from bert_classifier import load_classifier


class Unfit(Exception):
    """The inputs do not fit together."""


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    record = json.loads((args.adapter / "retune.json").read_text(encoding="utf-8"))
    labels = record["labels"]
    texts = read_texts(args.texts)
    printed = read_logits(args.logits, labels, len(texts))
    model = load(args.base, args.adapter, record["pooling"], len(labels))
    expected = logits(model, args.base, texts, args.longest or model.config.max_position_embeddings)

    apart = (printed - expected).abs()
    row, label = divmod(int(apart.argmax()), len(labels))
    flips = int((printed.argmax(-1) != expected.argmax(-1)).sum())
    worst = float(apart.max())
    print(f"{len(texts)} texts, {len(labels)} labels, logits from {expected.min():.3f} to {expected.max():.3f}")
    print(f"largest difference {worst:.3e}, mean {apart.mean():.3e}, {flips} predictions differ")
    if worst <= args.tolerance:
        return 0
    print(f"text {row + 1}, label {labels[label]}: retune {printed[row, label]:.6f}, PEFT {expected[row, label]:.6f}: more than {args.tolerance} apart")
    return 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "adapter", "texts", "logits"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--longest", type=int, help="tokens after which a text is cut off; the base's positions if not given")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def read_texts(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines if line.strip()]
    if not texts:
        raise Unfit(f"{path} holds no text")
    return texts


def read_logits(path: Path, labels: list[str], rows: int) -> torch.Tensor:
    """The printed logits as [rows, labels] in f64."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, dict):
        if found.get("labels", labels) != labels:
            raise Unfit(f"{path} has other labels, or another order, than the adapter")
        found = found["logits"]
    if len(found) != rows:
        raise Unfit(f"{path} has {len(found)} rows for {rows} texts")
    if any(len(row) != len(labels) for row in found):
        raise Unfit(f"a row of {path} has not {len(labels)} logits")
    if not all(math.isfinite(float(value)) for row in found for value in row):
        raise Unfit(f"{path} holds a logit that is not finite")
    return torch.tensor([[float(value) for value in row] for row in found], dtype=torch.float64)


def load(base: Path, adapter: Path, pooling: str, labels: int) -> PeftModel:
    """Base and adapter, with every tensor of the adapter in its place.

    PEFT only warns of tensors that are missing or have no place, so names and values are compared afterwards.
    """
    model = load_classifier(base, pooling, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = PeftModel.from_pretrained(model, str(adapter))
    stored = load_file(adapter / "adapter_model.safetensors")
    taken = get_peft_model_state_dict(model)
    unexpected, missing = sorted(stored.keys() - taken.keys()), sorted(taken.keys() - stored.keys())
    if unexpected or missing:
        raise Unfit(f"adapter and model do not fit: unexpected {unexpected}, missing {missing}")
    differing = [name for name in stored if not torch.equal(stored[name].float(), taken[name].float())]
    if differing:
        raise Unfit(f"PEFT holds other values than the file for {differing}")
    return model.eval()


def logits(model: PeftModel, base: Path, texts: list[str], longest: int) -> torch.Tensor:
    """One text at a time, so that no padding takes part."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    with torch.inference_mode():
        rows = [model(**tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")).logits[0] for text in texts]
    return torch.stack(rows).double()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Unfit, UserWarning, KeyError, ValueError, OSError) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
