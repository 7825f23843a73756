"""Log-probabilities that a causal model gives to the answers of a batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel

from targets.training.sequences import Batch


def answer_log_probs(
    model: PreTrainedModel, batch: Batch, weights: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Log-probabilities `(answers, vocabulary)` at every answer position, float32.

    weights: used in place of the model's own, by parameter name. Rows are padded on the right
    and attention is causal, so no mask is needed; the head sees answer positions only.
    """
    overrides = dict(weights or {})
    hidden = functional_call(
        model.base_model,
        _below(overrides, model.base_model_prefix),
        (batch.input_ids,),
        {"use_cache": False},
        tie_weights=False,
    ).last_hidden_state
    # (rows, length, hidden) -> (answers, hidden)
    selected = hidden[batch.where[:, 0], batch.where[:, 1]]
    head = model.get_output_embeddings()
    logits = functional.linear(selected, overrides.get("lm_head.weight", head.weight))
    return torch.log_softmax(logits.float(), dim=-1)


def cross_entropy(log_probs: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of the labels, nats per token."""
    return functional.nll_loss(log_probs, labels)


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: w for name, w in weights.items() if name.startswith(start)}
