"""Has PEFT and transformers load what retune wrote, and compares the logits with those of base and adapter in PEFT.

    RETUNE_KEEP_EXPORTS=DIR cargo test --test it adapter::
    python check_exports.py --cases ../fixtures/merge --exports DIR [--tolerance 1e-4]

DIR holds `merged/CASE` (a checkpoint) and `served/CASE-SERVER` (an adapter). Everything is computed in float32 on the token
ids of the case. A base stored in bf16 is merged into bf16, so its logits are compared with those of PEFT's own merge
rounded to bf16. Ends with 0 when every logit agrees within the tolerance and nothing was missing or left over, else with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--exports", type=Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    worst = 0.0
    checked = 0
    for kind, check in (("merged", merged), ("served", served)):
        for folder in sorted((args.exports / kind).iterdir()):
            case = args.cases / folder.name.split("-")[0]
            apart, note = check(case, folder)
            checked += 1
            worst = max(worst, apart)
            print(f"{kind} {folder.name}: largest difference {apart:.2e}{note}")
    print(f"{checked} exports, largest difference {worst:.2e}")
    return 0 if checked and worst <= args.tolerance else 1


def merged(case: Path, folder: Path) -> tuple[float, str]:
    model, report = kind(case).from_pretrained(folder, dtype=torch.float32, output_loading_info=True, attn_implementation="eager")
    faults = {key: report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if report[key]}
    if faults:
        raise SystemExit(f"{folder}: {faults}")
    stored = next(iter(load_file(next(folder.glob("*.safetensors"))).values())).dtype
    reference = with_adapter(case, case / "adapter")
    if stored != torch.float32:
        reference = reference.merge_and_unload().to(stored).float()
    return difference(model, reference, case), "" if stored == torch.float32 else f" (both rounded to {stored})"


def served(case: Path, folder: Path) -> tuple[float, str]:
    return difference(with_adapter(case, folder), with_adapter(case, case / "adapter"), case), ""


def with_adapter(case: Path, adapter: Path) -> torch.nn.Module:
    labels = {"num_labels": 3} if kind(case) is AutoModelForSequenceClassification else {}
    model = kind(case).from_pretrained(case / "base", dtype=torch.float32, attn_implementation="eager", **labels)
    with warnings.catch_warnings():
        # PEFT only warns of tensors that are missing or have no place. It corrects fan_in_fan_out and says so.
        warnings.filterwarnings("error", message=".*(missing|unexpected|not found).*")
        return PeftModel.from_pretrained(model, adapter).eval()


def kind(case: Path) -> type:
    task = json.loads((case / "adapter" / "adapter_config.json").read_text())["task_type"]
    return {"CAUSAL_LM": AutoModelForCausalLM, "SEQ_CLS": AutoModelForSequenceClassification}[task]


def difference(one: torch.nn.Module, other: torch.nn.Module, case: Path) -> float:
    ids = load_file(case / "expected.safetensors")["input_ids"]
    with torch.inference_mode():
        logits = [model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits for model in (one, other)]
    if not all(torch.isfinite(logit).all() for logit in logits):
        raise SystemExit(f"{case}: a logit is not finite")
    return float((logits[0] - logits[1]).abs().max())


if __name__ == "__main__":
    sys.exit(main())
