"""A field that a record should have and does not."""

from __future__ import annotations


class MissingFieldError(LookupError):
    """A record has no such field. detail: what it has instead."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"no field {path!r}")
        self.detail = detail
