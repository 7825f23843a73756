"""What records hold besides text: each medium's own module reads its part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modalities.missing_field import MissingFieldError

if TYPE_CHECKING:
    from modalities.contract import RowsModule


class UnreadablePartError(ValueError):
    """A record's part of one medium cannot be read. detail: why."""

    def __init__(self, medium: str, detail: str) -> None:
        super().__init__(f"its {medium} cannot be read")
        self.detail = detail


@dataclass(frozen=True)
class MediaParts:
    """modules: by medium, none for text alone. settings: the data set's. folder: for payloads."""

    modules: Mapping[str, RowsModule]
    settings: Mapping[str, Any]
    folder: Path

    def parts(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Of one record, by medium. Raises MissingFieldError and UnreadablePartError."""
        return {medium: self._part(medium, fields) for medium in sorted(self.modules)}

    def _part(self, medium: str, fields: Mapping[str, Any]) -> Any:
        try:
            return self.modules[medium].part(fields, self.settings, self.folder)
        except MissingFieldError:
            raise
        except ValueError as error:
            raise UnreadablePartError(medium, str(error)) from error
