"""Log-probabilities of a teacher of any family at the answers of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from modalities.text.encoding import Encoded
from modalities.text.outputs import answer_log_probs
from modalities.text.sequences import Batch
from modalities.text.teacher_decoding import first_inputs


def teacher_log_probs(model: PreTrainedModel, rows: Sequence[Encoded], batch: Batch) -> Tensor:
    """Log-probabilities `(answers, vocabulary)` at every answer position, float32.

    rows: what the batch's rows were made of; where an encoder reads first, the batch is what its
    decoder reads.
    """
    before = first_inputs(model, [rows[row] for row in batch.rows])
    if not before:
        return answer_log_probs(model, batch)

    def pick(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # (rows, length, hidden) -> (answers, hidden)
        return (args[0][batch.where[:, 0], batch.where[:, 1]], *args[1:])

    with model.get_output_embeddings().register_forward_pre_hook(pick):
        output = model(decoder_input_ids=batch.input_ids, use_cache=False, **before)
    return torch.log_softmax(output.logits.float(), dim=-1)
