"""Rows that a student learns from, and the loss it learns by.

Each row has one teacher: where several traced a prompt, the better answer is taken, never an
average of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.json_files import read_json
from modalities.text.alignment import Alignment, Soft
from modalities.text.encoding import encode_rows, endings
from modalities.text.sequences import Batch
from modalities.text.shards import TracedRow, traced_rows
from nexus.prompt import PLACEHOLDER, render


@dataclass(frozen=True)
class TraceSource:
    """A trace and the tokenizer of its teacher. capability: whose rows these are."""

    capability: str
    trace: Path
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True)
class AnchoredTokens:
    """What one key layer of one teacher did at some answer tokens.

    kind: `activation` for the residual stream, `attention` for what its heads add to that. layer,
    depth: which of how many blocks. tokens: (anchored,) index among all answer tokens, ascending,
    one at least.
    values: (anchored, k) float32, coefficients in the profile's basis; those of heads are scaled to
    a mean of 0 and, over all k together, a variance of 1.
    """

    kind: str
    layer: int
    depth: int
    tokens: Tensor
    values: Tensor


@dataclass(frozen=True)
class StudentRows:
    """Rows in the student's tokens, with soft targets side by side for all answer tokens.

    prompts, answers: token ids per row. starts: (rows,) first answer token of each row in the
    arrays below. ids, probs: (tokens, k); known: (tokens,), as in `Soft`. coefficients: by
    kind, teacher and key layer, where the traces hold any.
    """

    prompts: list[list[int]]
    answers: list[list[int]]
    starts: Tensor
    ids: Tensor
    probs: Tensor
    known: Tensor
    coefficients: dict[str, AnchoredTokens]

    def to(self, device: torch.device) -> StudentRows:
        """The same rows with their arrays on another device."""
        coefficients = {
            name: replace(one, tokens=one.tokens.to(device), values=one.values.to(device))
            for name, one in self.coefficients.items()
        }
        return replace(
            self,
            starts=self.starts.to(device),
            ids=self.ids.to(device),
            probs=self.probs.to(device),
            known=self.known.to(device),
            coefficients=coefficients,
        )

    @property
    def aligned(self) -> float:
        """Share of the answer tokens of which a teacher's distribution says something."""
        return round(float(self.known.float().mean()), 4)

    @property
    def lengths(self) -> list[int]:
        return [len(p) + len(a) for p, a in zip(self.prompts, self.answers, strict=True)]


def student_rows(sources: list[TraceSource], tokenizer: PreTrainedTokenizerBase) -> StudentRows:
    """All rows of the traces, best teacher first where a prompt was traced more than once."""
    descriptions = [read_json(source.trace / "trace.json") for source in sources]
    aligners = [
        Alignment(source.tokenizer, tokenizer, int(description["vocabulary"]))
        for source, description in zip(sources, descriptions, strict=True)
    ]
    templates = [description["template"] for description in descriptions]
    chosen = best_rows(sources)
    if not chosen:
        raise ValueError("the traces hold no rows: there is nothing to learn from")
    # The template is rendered here, for it is each trace's own.
    pairs = [
        (render(templates[index], traced.row["prompt"]), traced.row["answer"])
        for index, traced in chosen
    ]
    ended = endings([traced.row for _, traced in chosen])
    encoded = encode_rows(tokenizer, PLACEHOLDER, pairs, ended)
    prompts = [row.prompt_ids for row in encoded]
    answers = [row.answer_ids for row in encoded]
    softs = [
        aligners[index].soft_targets(traced, answer)
        for (index, traced), answer in zip(chosen, answers, strict=True)
    ]
    counts = [len(answer) for answer in answers]
    width = max(soft.ids.shape[1] for soft in softs)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return StudentRows(
        prompts,
        answers,
        torch.tensor(starts),
        torch.from_numpy(np.concatenate([_widened(soft.ids, width, -1) for soft in softs])).long(),
        torch.from_numpy(np.concatenate([_widened(soft.probs, width, 0) for soft in softs])),
        torch.from_numpy(np.concatenate([soft.known for soft in softs])),
        _anchored(chosen, softs, starts, [int(one["depth"]) for one in descriptions]),
    )


def _anchored(
    chosen: list[tuple[int, TracedRow]],
    softs: list[Soft],
    starts: np.ndarray[Any, Any],
    depths: list[int],
) -> dict[str, AnchoredTokens]:
    tokens: dict[tuple[str, int], list[Any]] = {}
    values: dict[tuple[str, int], list[Any]] = {}
    for (index, traced), soft, start in zip(chosen, softs, starts.tolist(), strict=True):
        for name, coefficients in traced.coefficients.items():
            met = soft.positions >= 0
            tokens.setdefault((name, index), []).append(start + np.nonzero(met)[0])
            values.setdefault((name, index), []).append(coefficients[soft.positions[met]])
    found = {}
    for name, index in sorted(tokens):
        kind, layer = name.split("/")
        places = np.concatenate(tokens[name, index])
        if not len(places):
            continue  # no token of the student's begins where one of the teacher's does
        coefficients = np.concatenate(values[name, index]).astype(np.float32)
        if kind == "attention":
            coefficients = coefficients - coefficients.mean(axis=0)
            coefficients /= np.sqrt((coefficients**2).mean()) + 1e-12
        found[f"{kind}/{index}.{layer}"] = AnchoredTokens(
            kind,
            int(layer),
            depths[index],
            torch.from_numpy(places),
            torch.from_numpy(coefficients),
        )
    return found


def best_rows(sources: list[TraceSource]) -> list[tuple[int, TracedRow]]:
    """Per capability and prompt the better answer: by merit, ties by likelihood per byte.

    Merit is the metric, turned so that more is better.

    Returns (index of its source, row), in the order of the rows' hashes.
    """
    best: dict[tuple[str, str], tuple[int, TracedRow]] = {}
    for index, source in enumerate(sources):
        for traced in traced_rows(source.trace):
            name = (source.capability, traced.row["id"])
            if name not in best or _merit(traced) > _merit(best[name][1]):
                best[name] = (index, traced)
    return [best[name] for name in sorted(best)]


def _merit(traced: TracedRow) -> tuple[float, float]:
    size = len(traced.row["answer"].encode()) + 1
    return float(traced.row["merit"]), float(traced.row["log_prob"]) / size


def _widened(array: np.ndarray[Any, Any], width: int, value: int) -> np.ndarray[Any, Any]:
    missing = width - array.shape[1]
    return np.pad(array, ((0, 0), (0, missing)), constant_values=value) if missing else array


def distillation_loss(
    log_probs: Tensor, batch: Batch, rows: StudentRows, kl_weight: float
) -> Tensor:
    """Cross-entropy on the answer mixed with the divergence from the teacher, nats per token.

    Where the teacher says nothing of a token, the answer alone is learned. log_probs: (answers,
    vocabulary), the student's. The forward divergence is taken over the teacher's top k and one
    bucket for all the rest (Hinton et al. 2015, over a coarsened vocabulary: a lower bound of the
    full divergence that is 0 only where the k agree).
    """
    if kl_weight == 0.0:
        return functional.nll_loss(log_probs, batch.labels)
    answer = functional.nll_loss(log_probs, batch.labels, reduction="none")
    index = rows.starts[batch.rows_of_answers] + batch.answer_index
    divergence = tail_divergence(log_probs, rows.ids[index], rows.probs[index])
    weight = kl_weight * rows.known[index]
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


def trace_sources(
    inputs: Mapping[str, Path], open_tokenizer: Any, capability: str | None = None
) -> list[TraceSource]:
    """The traces among a job's inputs, with their teachers' tokenizers.

    Roles are `trace/<teacher>/<capability>`, or `trace/<teacher>` where one capability is meant,
    and `tokenizer/<teacher>`.
    """
    sources = []
    for role in sorted(inputs):
        kind, *names = role.split("/")
        if kind != "trace":
            continue
        of = capability if capability is not None else names[1]
        tokenizer = open_tokenizer(inputs[f"tokenizer/{names[0]}"])
        sources.append(TraceSource(of, inputs[role], tokenizer))
    return sources
