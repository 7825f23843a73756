"""The loss that a student learns a teacher's answers by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class SoftTargets:
    """What the teachers say at each answer position of a batch.

    ids: (answers, k) int64, -1 where a column is unused. probs: (answers, k) float32; what they
    leave below 1 is the tail. known: (answers,) bool, where a teacher says something.
    """

    ids: Tensor
    probs: Tensor
    known: Tensor


def distillation_loss(
    log_probs: Tensor, labels: Tensor, targets: SoftTargets, kl_weight: float
) -> Tensor:
    """Cross-entropy on the answer mixed with the divergence from the teacher, nats per token.

    Where the teacher says nothing of a token, the answer alone is learned. log_probs: (answers,
    vocabulary), the student's; labels: (answers,). The forward divergence is taken over the
    teacher's top k and one bucket for all the rest (Hinton et al. 2015, over a coarsened
    vocabulary: a lower bound of the full divergence that is 0 only where the k agree).
    """
    if kl_weight == 0.0:
        return functional.nll_loss(log_probs, labels)
    answer = functional.nll_loss(log_probs, labels, reduction="none")
    divergence = tail_divergence(log_probs, targets.ids, targets.probs)
    weight = kl_weight * targets.known
    return ((1 - weight) * answer + weight * divergence).mean()


def tail_divergence(log_probs: Tensor, ids: Tensor, probs: Tensor) -> Tensor:
    """KL(teacher || student) per position over k tokens and a tail bucket, in nats.

    log_probs: (positions, vocabulary); ids: (positions, k), -1 where unused; probs likewise.
    """
    used = ids >= 0
    student = log_probs.gather(1, ids.clamp(min=0))
    student = torch.where(used, student, torch.full_like(student, float("-inf")))
    tail = (1 - probs.sum(dim=-1)).clamp(min=1e-6)
    inside = student.exp().sum(dim=-1).clamp(max=1 - 1e-6)
    student_tail = torch.log1p(-inside)
    terms = torch.where(
        used & (probs > 0),
        probs * (probs.clamp(min=1e-12).log() - student.clamp(min=-60.0)),
        torch.zeros_like(probs),
    )
    return terms.sum(dim=-1) + tail * (tail.log() - student_tail)
