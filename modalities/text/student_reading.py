"""Rows as the student reads them: text, and soft tokens of what else a row holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.payloads import rows_with_paths
from modalities.text.answers import ReadRows
from modalities.text.encoding import Encoded
from modalities.text.reading import read_as

Soft = Callable[[Mapping[str, Any]], Tensor | None]
"""The soft tokens (count, width) of a row, whose parts name files by their paths."""


def student_reader(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    soft: Soft,
    payloads: Path | None = None,
) -> ReadRows:
    """A function: rows to what the student reads of each. payloads: where files of rows lie."""

    def read(rows: Sequence[Mapping[str, Any]]) -> list[Encoded]:
        encoded = read_as(model, tokenizer, template, rows)
        return [
            replace(one, soft=soft(row))
            for one, row in zip(encoded, rows_with_paths(rows, payloads), strict=True)
        ]

    return read
