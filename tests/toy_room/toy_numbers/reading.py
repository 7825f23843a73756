"""Rows with digits, as a teacher that reads text is given them: the digits are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modalities.text import reading as text
from modalities.text.encoding import Encoded


def as_text(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "prompt": " ".join([row["prompt"], *map(str, row["parts"]["numbers"])])}
        for row in rows
    ]


def read_as(
    model: Any,
    tokenizer: Any,
    template: str,
    rows: Sequence[Mapping[str, Any]],
    processor: Any = None,
) -> list[Encoded]:
    return text.read_as(model, tokenizer, template, as_text(rows), processor)
