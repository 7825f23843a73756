"""How badly a model answers a batch, row by row: what removals are measured by.

A model that answers in text is measured by its own answers. One that gives representations (an
encoder of text, of images) is measured by how far each row's turns from the whole model's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from opened_models.batches import Batch
from opened_models.structure import Structure
from opened_models.surgery import logits_at, run_model


def sample_loss(structure: Structure, batch: Batch) -> Tensor:
    """Of each row, nats per token of its answer, or 1 - cosine; float64 (rows,)."""
    if structure.output is None:
        return representation_drop(structure, batch)
    return answer_nll(structure, batch)


def answer_nll(structure: Structure, batch: Batch) -> Tensor:
    """Mean negative log-likelihood of each row's answer's tokens; float64 (rows,), nats."""
    with logits_at(batch.answer_rows, batch.answer_positions, structure):
        logits = run_model(structure, batch).logits
    of_tokens = functional.cross_entropy(
        logits.float(), batch.targets, reduction="none"
    )  # (answer tokens,)
    sums = torch.zeros(len(batch.samples), dtype=torch.float64, device=of_tokens.device)
    sums = sums.index_add(0, batch.answer_rows, of_tokens.double())
    counts = torch.bincount(batch.answer_rows, minlength=len(batch.samples))
    return sums / counts


def representation_drop(structure: Structure, batch: Batch) -> Tensor:
    """1 - cosine of each row's representation with the whole model's; float64 (rows,), 0 to 2.

    Both are taken around the mean of the whole model's: raw representations mostly point one way
    and would agree whatever became of them.
    """
    assert batch.references is not None and batch.centre is not None
    found = representations(run_model(structure, batch), batch)
    kept = functional.cosine_similarity(
        found - batch.centre, batch.references - batch.centre, dim=1
    )
    return (1 - kept).clamp(min=0)  # rounding would leave less than nothing lost


def representations(output: Any, batch: Batch) -> Tensor:
    """A vector for each row, float64 (rows, width).

    What a model that compares text and images compares, side by side; of others the mean of the
    last states over all tokens that are no padding.
    """
    of_text, of_images = (getattr(output, name, None) for name in ("text_embeds", "image_embeds"))
    if of_text is not None and of_images is not None:
        return torch.cat([of_text, of_images], dim=1).double()
    states: Tensor = output.last_hidden_state.double()  # (rows, tokens, hidden)
    mask = batch.inputs.get("attention_mask")
    if mask is None:
        return states.mean(dim=1)
    weights = mask.double()[:, :, None]
    return (states * weights).sum(dim=1) / weights.sum(dim=1)
