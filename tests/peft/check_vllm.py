"""Has vLLM's own code check and read the adapters that retune exported `--for vllm`.

    RETUNE_KEEP_EXPORTS=DIR cargo test --test it adapter::
    python check_vllm.py --cases ../fixtures/merge --exports DIR [--max-lora-rank 16]

Runs in an environment with vLLM (the CPU wheel is enough; no model is started). For every `served/CASE-vllm` in DIR:
`PEFTHelper.validate_legal`, then `LoRAModel.from_local_checkpoint` with the module names of vLLM's Llama, and the product
of what vLLM read, with its scale, against the weights that PEFT merged minus the base's. Every adapter of a case that
retune refuses for vLLM because of a feature must be refused by vLLM too. Ends with 0 when all of that holds, else with 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import vllm
from safetensors.torch import load_file
from vllm.config.lora import LoRAConfig
from vllm.lora.lora_model import LoRAModel
from vllm.lora.peft_helper import PEFTHelper

# The unfused names; vLLM expands its fused qkv_proj and gate_up_proj to these before it looks (lora/utils.py).
LLAMA = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
REFUSED = ["llama_dora", "llama_tied_head"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--exports", type=Path, required=True)
    parser.add_argument("--max-lora-rank", type=int, default=16)
    args = parser.parse_args()
    limits = LoRAConfig(max_lora_rank=args.max_lora_rank)
    folders = sorted((args.exports / "served").glob("*-vllm"))
    sound = bool(folders)
    for folder in folders:
        apart, modules = read(folder, args.cases / folder.name.removesuffix("-vllm"), limits)
        sound = sound and apart < 1e-6
        print(f"{folder.name}: accepted, {modules} modules, largest difference of a merged weight {apart:.2e}")
    for case in REFUSED:
        try:
            helper(args.cases / case / "adapter").validate_legal(limits)
        except ValueError as error:
            print(f"{case}: refused by vLLM as by retune: {error}")
        else:
            sound = False
            print(f"{case}: vLLM accepts what retune refuses")
    print(f"vLLM {vllm.__version__}, {len(folders)} adapters")
    return 0 if sound else 1


def helper(folder: Path) -> PEFTHelper:
    return PEFTHelper.from_local_dir(str(folder), max_position_embeddings=32)


def read(folder: Path, case: Path, limits: LoRAConfig) -> tuple[float, int]:
    config = helper(folder)
    config.validate_legal(limits)
    model = LoRAModel.from_local_checkpoint(str(folder), LLAMA, config, lora_model_id=1, device="cpu", dtype=torch.float32)
    merged = load_file(case / "expected.safetensors")
    base: dict[str, torch.Tensor] = {}
    for shard in (case / "base").glob("*.safetensors"):
        base |= load_file(shard)
    worst = 0.0
    for name, lora in model.loras.items():
        delta = lora.scaling * lora.lora_b.double() @ lora.lora_a.double()
        weight = base[f"{name}.weight"].double() + delta
        worst = max(worst, float((weight - merged[f"{name}.weight"]).abs().max()))
    return worst, len(model.loras)


if __name__ == "__main__":
    sys.exit(main())
