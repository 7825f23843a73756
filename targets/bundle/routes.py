"""What each capability scores as it is asked: with its adapter, through the router, without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modalities.json_files import read_rows


def scores_by_route(
    name: str, verdict: Mapping[str, Any], gate: Path, router: Path
) -> dict[str, Any]:
    """oracle: its adapter answers, whatever the router thinks. backbone_only: no adapter does.

    routed: over all prompts, where those that the router sends elsewhere count as wrong; another
    adapter may be right on some of them. None where that cannot be told: where scores weigh
    unlike, or lower is better, or the router never saw these prompts. gate, router: folders of the
    two gates.
    """
    scores = {row["id"]: row["student"] for row in read_rows(gate / "items.jsonl")}
    routes = {
        row["id"]: row["routed"]
        for row in read_rows(router / "items.jsonl")
        if row["expected"] == name
    }
    told = verdict.get("higher_is_better", True) and scores.keys() == routes.keys()
    routed = [score * (routes[item] == name) for item, score in scores.items()] if told else None
    return {
        "oracle": verdict["student_score"],
        "routed": None if routed is None else round(float(np.mean(routed)), 6),
        "backbone_only": verdict.get("backbone_only"),
    }
