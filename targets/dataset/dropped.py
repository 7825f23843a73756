"""A record of the rows that are dropped: why, how many, examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 3


@dataclass
class Dropped:
    """Reasons for which rows were dropped, with a count and the first few places of each."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, why: str, place: str) -> None:
        self.counts[why] = self.counts.get(why, 0) + 1
        shown = self.examples.setdefault(why, [])
        if len(shown) < EXAMPLES:
            shown.append(place)

    def to_json(self) -> list[dict[str, Any]]:
        """One object a reason, the commonest first."""
        reasons = sorted(self.counts, key=lambda why: (-self.counts[why], why))
        return [
            {"why": why, "count": self.counts[why], "examples": self.examples[why]}
            for why in reasons
        ]

    def __str__(self) -> str:
        parts = [f"{row['count']} {row['why']} ({row['examples'][0]})" for row in self.to_json()]
        return "; ".join(parts) or "none"
