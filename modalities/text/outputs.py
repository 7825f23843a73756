"""Log-probabilities that a causal model gives to the answers of a batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel

from modalities.text.sequences import Batch
from nexus.soft_tokens import SoftTokens, reading_soft_tokens


def answer_log_probs(
    model: PreTrainedModel,
    batch: Batch,
    weights: Mapping[str, Tensor] | None = None,
    soft: SoftTokens | None = None,
) -> Tensor:
    """Log-probabilities `(answers, vocabulary)` at every answer position, float32.

    weights: used in place of the model's own, by parameter name. soft: states that are read in
    place of some ids. Rows are padded on the right
    and attention is causal, so no mask is needed. The model's own forward makes the logits, with
    whatever bias, scale or cap its head has, but of the answer positions only.
    """

    def pick(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # (rows, length, hidden) -> (answers, hidden)
        return (args[0][batch.where[:, 0], batch.where[:, 1]], *args[1:])

    head = model.get_output_embeddings()
    with head.register_forward_pre_hook(pick), reading_soft_tokens(soft, model):
        output = functional_call(
            model,
            dict(weights or {}),
            kwargs={"input_ids": batch.input_ids, "use_cache": False},
            tie_weights=False,
        )
    return torch.log_softmax(output.logits.float(), dim=-1)


def cross_entropy(log_probs: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of the labels, nats per token."""
    return functional.nll_loss(log_probs, labels)
