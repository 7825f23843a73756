"""The domain of `builder.py`: a spec that asks for so many cheap targets, ten layers deep.

The first layer reads one source file each, every other target the two above it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexusbuild.plugins import Graph, Job, Source, Target

LAYERS = 10


def resolve(spec: Path, lock_values: Mapping[str, Any]) -> Graph:
    asked = json.loads(spec.read_text(encoding="utf-8"))
    width = asked["targets"] // LAYERS
    targets = {}
    for layer in range(LAYERS):
        for place in range(width):
            above = {place, (place + 1) % width} if layer else ()
            target = Target(
                id=f"layer{layer}:{place}",
                work="cheap_targets:join",
                settings={
                    "seed": asked["seed"],
                    "layer": layer,
                    "place": place,
                    "training": {"steps": 380, "batch": 16, "rate": 3e-4, "schedule": "cosine"},
                    "texts": ["some", "words"],
                },
                origins={"seed": "seed", "layer": f"layers.{layer}", "place": f"places.{place}"},
                inputs={f"above{each}": f"layer{layer - 1}:{each}" for each in sorted(above)},
                sources={} if layer else {"text": Source(f"in/{place}.txt")},
                expected_seconds=0.1,
            )
            targets[target.id] = target
    return Graph(targets, seen=())


def join(job: Job) -> None:
    """out.txt: all that was read."""
    texts = [path.read_text() for path in job.sources.values()]
    texts += [(path / "out.txt").read_text()[:80] for path in job.inputs.values()]
    (job.out / "out.txt").write_text("".join(texts) + job.target)
