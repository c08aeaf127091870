"""Trains tiny decoders with the binary, one per variant, and has PEFT and transformers compute the same logits.

    cargo build && cargo test --test it --no-run        # prints the path of the test binary
    python check_decoders.py --retune target/debug/retune --it target/debug/deps/it-… [--base ../fixtures/parity/llama/model]

For plain LoRA, rsLoRA, DoRA, patterns and modules trained whole, retune's own logits (`it print_logits`) are compared with those of
the base and the adapter in PEFT, and with those of the merged checkpoint in transformers; for `adapter: full` with those of the
checkpoint. Everything is f32 on the CPU, merges of bases in bf16 too. Ends with 0 when every logit agrees within the tolerance, else with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

JOB = """\
version: 1
kind: TrainJob
name: {name}
task: causal_lm
base: tiny
dataset: rows
sequence_len: 64
micro_batch_size: 4
max_steps: 30
seed: 7
optimizer: {{learning_rate: {rate}}}
{trained}
"""

VARIANTS = {
    "lora": "lora: {r: 4, alpha: 8}",
    "rslora": "lora: {r: 4, alpha: 8, use_rslora: true}",
    "dora": "lora: {r: 4, alpha: 8, use_dora: true}",
    "patterns": "lora: {r: 4, alpha: 8, rank_pattern: {q_proj: 2, '0.+down_proj': 6}, alpha_pattern: {v_proj: 2}, target_modules: [q_proj, v_proj, down_proj]}",
    "layers": "lora: {r: 2, alpha: 4, layers_to_transform: [1], target_modules: [o_proj, up_proj]}",
    "modules_to_save": "lora: {r: 4, alpha: 8, target_modules: [q_proj], modules_to_save: [lm_head, embed_tokens]}",
    "full": "adapter: full",
}

TEXTS = ["Say 3: two, or three", "one", "Is it pinned? Yes. Who pays?"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parent
    parser.add_argument("--retune", type=Path, required=True)
    parser.add_argument("--it", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=here.parent / "fixtures/parity/llama/model")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    tied = json.loads((args.base / "config.json").read_text())["tie_word_embeddings"]
    worst = 0.0
    for name, trained in VARIANTS.items():
        if tied and name == "modules_to_save":
            continue
        with tempfile.TemporaryDirectory() as folder:
            for what, apart, largest in check(args, Path(folder), name, trained):
                worst = max(worst, apart)
                print(f"{name:16} {what:34} largest difference {apart:.2e} (largest logit {largest:.2f})")
    print(f"largest difference {worst:.2e}")
    return 0 if worst <= args.tolerance else 1


def check(args: argparse.Namespace, project: Path, name: str, trained: str) -> list[tuple[str, float, float]]:
    run = lambda *words: subprocess.run([args.retune.resolve(), *words], cwd=project, check=True, capture_output=True, text=True, env=environment(project)).stdout
    rows = [{"prompt": f"Say {i}:", "completion": " " + ["one", "two, or three", "four and five"][i % 3]} for i in range(24)]
    (project / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (project / "job.yaml").write_text(JOB.format(name=name, trained=trained, rate="1.0e-3" if name == "full" else "1.0e-2"))
    (project / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    run("init")
    run("base", "add", "tiny", str(args.base.resolve()))
    run("dataset", "add", "rows", "--train", "train.jsonl")
    shown = json.loads(run("train", "job.yaml", "--format", "json"))
    (folder,) = (project / ".retune/runs").iterdir()
    version = run("model", "register", "tiny", "--run", folder.name).strip().removeprefix("registered ")
    # A merge is stored as the base is, and rounded so; in f32 the merge itself is compared.
    run("model", "export", version, "--to", "merged", "--merged", *([] if name == "full" else ["--dtype", "f32"]))
    assert shown["record"]["end"] == "completed"
    own = printed(args, project, folder)
    merged = AutoModelForCausalLM.from_pretrained(project / "merged", dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    model, report = merged
    faults = {key: report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if report[key]}
    if faults:
        raise SystemExit(f"{name}: {faults}")
    what = "checkpoint in transformers" if name == "full" else "merged checkpoint in transformers"
    found = [(what, *difference(model, own))]
    if name != "full":
        base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32, attn_implementation="eager")
        with warnings.catch_warnings():
            # PEFT only warns of tensors that are missing or have no place.
            warnings.filterwarnings("error", message=".*(missing|unexpected|not found).*")
            found.append(("adapter in PEFT", *difference(PeftModel.from_pretrained(base, folder / "adapter"), own)))
    return found


def printed(args: argparse.Namespace, project: Path, folder: Path) -> dict:
    adapter = folder / "adapter"
    places = {
        "RETUNE_BASE": args.base.resolve(),
        "RETUNE_ADAPTER": adapter if adapter.is_dir() else folder / "model",
        "RETUNE_TEXTS": project / "texts.jsonl",
        "RETUNE_LOGITS": project / "logits.json",
    }
    words = [args.it.resolve(), "logits::print_logits", "--ignored", "--exact"]
    subprocess.run(words, check=True, capture_output=True, env=os.environ | {key: str(value) for key, value in places.items()})
    return json.loads((project / "logits.json").read_text())


def difference(model: torch.nn.Module, own: dict) -> tuple[float, float]:
    apart = largest = 0.0
    for ids, logits in zip(own["ids"], own["logits"], strict=True):
        with torch.inference_mode():
            found = model.eval()(input_ids=torch.tensor([ids])).logits[0].double()
        wanted = torch.tensor(logits, dtype=torch.float64).reshape(found.shape)
        if not torch.isfinite(found).all():
            raise SystemExit("a logit is not finite")
        apart = max(apart, float((found - wanted).abs().max()))
        largest = max(largest, float(wanted.abs().max()))
    return apart, largest


def environment(project: Path) -> dict[str, str]:
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "RETUNE_ACTOR": "Ana <ana@example.org>"}
    return {"PATH": os.environ["PATH"], "HOME": str(project)} | quiet


if __name__ == "__main__":
    sys.exit(main())
