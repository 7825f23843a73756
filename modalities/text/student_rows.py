"""Rows that a student learns from: on disk, in its own tokens, with its teachers' soft targets.

They are made of the traces once (`row_writing`), in the scratch folder of the job that trains, and
a batch's part of them is read whenever it is needed. Per row, not per token, is what stays in
memory: see `memory_bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text.distillation_loss import SoftTargets
from modalities.text.record_files import RecordFile, TokenLists
from modalities.text.row_writing import RowFiles, write_student_rows
from modalities.text.sequences import Batch
from modalities.text.trace_sources import TraceSource

ROW_BYTES = 256
ANCHOR_ROW_BYTES = 8
WRITING_BYTES = 100_000_000


def memory_bytes(rows: int, anchors: int = 0) -> int:
    """Memory that training rows take at most, their making included, however long they are.

    256 bytes for each row: where its prompt, answer and targets lie, its length, its place in the
    order of training; 8 more for each anchor (a kind, key layer and teacher). The constant part is
    what making them takes: a few hundred rows at a time, the alignment of two vocabularies.
    """
    return WRITING_BYTES + rows * (ROW_BYTES + ANCHOR_ROW_BYTES * anchors)


@dataclass(frozen=True)
class AnchoredTokens:
    """What one key layer of one teacher did at some answer tokens.

    kind: `activation` for the residual stream, `attention` for what its heads add to that. layer,
    depth: which of how many blocks. records: of each row, `offset` in its answer, ascending, and
    `values`, (k,) float16, coefficients in the profile's basis. mean (k,), scale: taken from the
    values and divided by as they are read: those of heads have a mean of 0 then and, over all k
    together, a variance of 1.
    """

    kind: str
    layer: int
    depth: int
    records: RecordFile
    mean: NDArray[np.float32] | None
    scale: np.float32 | None

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that have any, ascending."""
        return np.nonzero(np.diff(self.records.starts))[0]

    def values(self, records: NDArray[np.void]) -> NDArray[np.float32]:
        """(records, k) float32, mean and scale taken out."""
        values: NDArray[np.float32] = records["values"].astype(np.float32)
        if self.mean is not None:
            values -= self.mean
        if self.scale is not None:
            values /= self.scale
        return values


@dataclass(frozen=True)
class StudentRows:
    """Rows in the student's tokens, with soft targets for each answer token.

    prompts, answers: token ids per row. targets: of each row, one record for each answer token, as
    `row_writing` lays it out. coefficients: by kind, teacher and key layer, where the traces hold
    any. aligned: share of the answer tokens of which a teacher's distribution says something.
    """

    prompts: Sequence[list[int]]
    answers: Sequence[list[int]]
    lengths: list[int]
    targets: RecordFile
    coefficients: dict[str, AnchoredTokens]
    aligned: float

    def soft_targets(self, batch: Batch) -> SoftTargets:
        """Those of a batch of whole answers, where the batch is."""
        records = self.targets.read(batch.rows)
        device = batch.labels.device
        return SoftTargets(
            # Stored one up: 0 stands for an unused column.
            torch.from_numpy(records["ids"].astype(np.int64) - 1).to(device),
            torch.from_numpy(records["probs"].astype(np.float32)).to(device),
            torch.from_numpy(records["known"].astype(np.bool_)).to(device),
        )

    def anchored(self, name: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """An anchor's part of a batch of whole answers, where the batch is.

        Returns (anchored,) int64, index among the batch's labels, ascending; (anchored, k) float32.
        """
        one, device = self.coefficients[name], batch.labels.device
        counts = self.targets.counts(batch.rows)
        firsts = np.cumsum(counts) - counts
        records = one.records.read(batch.rows)
        places = np.repeat(firsts, one.records.counts(batch.rows)) + records["offset"]
        values = torch.from_numpy(one.values(records))
        return torch.from_numpy(places).to(device), values.to(device)


def student_rows(
    sources: Sequence[TraceSource],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    progress: Callable[[int], None] | None = None,
) -> StudentRows:
    """All rows of the traces, of each prompt the best teacher's.

    folder: where they are laid out, in the scratch of a job; found there whole, they are taken as
    they are, so it must be of these sources and this tokenizer. progress: called with the rows done
    while they are made.

    Raises ValueError where the traces hold no row.
    """
    if not folder.exists():
        write_student_rows(sources, tokenizer, folder, progress)
    return open_student_rows(folder)


def open_student_rows(folder: Path) -> StudentRows:
    """Rows that were written to a folder."""
    files = RowFiles.read(folder)
    prompts, answers = files.open("prompts"), files.open("answers")
    targets = files.open("targets")
    coefficients = {
        anchor.name: AnchoredTokens(
            anchor.kind,
            anchor.layer,
            anchor.depth,
            files.open(anchor.file),
            None if anchor.mean is None else np.array(anchor.mean, dtype=np.float32),
            None if anchor.scale is None else np.float32(anchor.scale),
        )
        for anchor in files.anchors
    }
    return StudentRows(
        TokenLists(prompts),
        TokenLists(answers),
        (np.diff(prompts.starts) + np.diff(answers.starts)).tolist(),
        targets,
        coefficients,
        files.aligned,
    )
