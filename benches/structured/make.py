#!/usr/bin/env python3
"""A tiny decoder and a real format task for it: what somebody asks a home assistant, as JSON.

    python make.py SNIPS OUT          # SNIPS: a folder with train.jsonl and test.jsonl; transformers 5.23, torch 2.15

Writes OUT/base (a Llama of 1.1 million random weights and a byte-level tokenizer of 1,024 tokens, trained on the training texts) and
OUT/{train,validation}.jsonl for job.yaml: prompt = the text, completion = {"intent": …, "slots": [names]}. SNIPS is CC0 (sonos/nlu-benchmark); test.jsonl is
the validation split here, without the texts that stand in train.jsonl too.
"""
import json
import pathlib
import sys

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

source, out = map(pathlib.Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)


def rows(name):
    for line in (source / name).read_text().splitlines():
        row = json.loads(line)
        answer = json.dumps({"intent": row["intent"], "slots": sorted(row["slots"])})
        yield {"prompt": row["text"].strip() + "\n", "completion": answer}


splits = {"train": list(rows("train.jsonl")), "validation": list(rows("test.jsonl"))}
learned = {item["prompt"] for item in splits["train"]}
splits["validation"] = [item for item in splits["validation"] if item["prompt"] not in learned]
for name, items in splits.items():
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items if item["prompt"].strip())
    (out / f"{name}.jsonl").write_text(text)

tokenizer = Tokenizer(BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = BpeTrainer(vocab_size=1024, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
tokenizer.train_from_iterator((item["prompt"] + item["completion"] for item in splits["train"]), trainer)
PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(out / "base")
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=1024, hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=192, tie_word_embeddings=False, bos_token_id=0, eos_token_id=1, initializer_range=0.05,
)
LlamaForCausalLM(config).save_pretrained(out / "base")
