"""doit's database, which decides nothing here: kept in memory, written nowhere."""

from __future__ import annotations

from doit.dependency import JsonDB


class Unwritten(JsonDB):  # type: ignore[misc]
    """Empty at first, and thrown away."""

    def dump(self) -> None:
        """Write nothing: the store remembers."""
