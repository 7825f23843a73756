"""`retention_contracts.md`: what the spec asks of each capability, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from targets.bundle.settings import Settings

RULE = """\
A capability meets its contract when the packed student, asked greedily for every held-out item,
scores at least this share of the best teacher's score on the same items, and at least the score
that is named for the student itself, if one is. By default the measured figure decides; where a
confidence is given, its one-sided bound decides. A teacher below the score that is named for it
fails the contract.
"""


def contracts_page(settings: Settings) -> str:
    """The contracts as a table, with the rule that they follow."""
    rows = [
        "| capability | data set | metric | at least | student at least | confidence "
        "| teacher at least |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in settings.include:
        contract = settings.contracts[name]
        at_least = f"{contract['retain_fraction']:g} of the teacher"
        source = settings.capabilities[name].dataset
        rows.append(
            f"| {name} | {source} | {contract['metric']} | {at_least} | "
            f"{_or_none(contract, 'at_least')} | {_or_none(contract, 'confidence')} | "
            f"{_or_none(contract, 'teacher_at_least')} |"
        )
    router = settings.contracts["router"]
    rows.append(f"| router | all of these | {router['metric']} | {router['at_least']:g} | | | |")
    table = "\n".join(rows)
    return f"# Retention contracts of {settings.name}\n\n{RULE}\n{table}\n"


def _or_none(contract: Mapping[str, Any], key: str) -> str:
    value = contract.get(key)
    return "" if value is None else f"{value:g}"
