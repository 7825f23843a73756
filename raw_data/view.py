"""A row with what several signs look at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from raw_data.conversations import as_messages

MOST_TEXTS = 400


class View:
    """A row and what there is in it. Keys are in lower case with underscores."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = {
            _key(str(key)): value
            for key, value in fields.items()
            if value not in (None, "", [], {})
        }
        self.keys = self.fields.keys()
        self.all_texts = [leaf for leaf in islice(leaves(dict(fields)), MOST_TEXTS) if leaf]
        self.length = sum(map(len, self.all_texts))
        self.messages: list[dict[str, Any]] = []
        for value in fields.values():
            self.messages = as_messages(value)
            if self.messages:
                break

    def has(self, names: frozenset[str]) -> str | None:
        """The first key of the row that is one of these."""
        if names.isdisjoint(self.keys):
            return None
        return next(key for key in self.fields if key in names)

    def texts(self, names: frozenset[str]) -> list[str]:
        if names.isdisjoint(self.keys):
            return []
        found = [self.fields[key] for key in self.fields if key in names]
        return [leaf for value in found for leaf in leaves(value)]


def leaves(value: Any) -> Iterator[str]:
    """The texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    """`Best Answer` -> `best_answer`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
