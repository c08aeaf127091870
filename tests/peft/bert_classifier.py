"""BERT classifiers of both poolings, with the module names that PEFT's tensor names are made of."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPooledBertForSequenceClassification(BertPreTrainedModel):
    """`BertForSequenceClassification` whose head reads the mean of the last hidden states of the real tokens."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None, **ignored):
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
        logits = self.classifier(mean_pool(hidden, attention_mask))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over real tokens of `hidden`, [rows, tokens, width] to [rows, width]."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def load_classifier(base: Path, pooling: str, labels: int) -> torch.nn.Module:
    """The base in f32 with a fresh head of `labels` rows; dropout is off."""
    kinds = {"mean": MeanPooledBertForSequenceClassification, "cls": AutoModelForSequenceClassification}
    if pooling not in kinds:
        raise ValueError(f"pooling is {pooling!r}, not one of {sorted(kinds)}")
    return kinds[pooling].from_pretrained(
        base, num_labels=labels, dtype=torch.float32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
