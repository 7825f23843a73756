"""From a toy spec (JSON, which is YAML) to a graph: its targets stand in it one by one.

`each`: patterns; one target more for each file that they find.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexusbuild.plugins import Graph, Needs, Problem, ResolveError, Source, SpecFolder, Target


def resolve(spec: Path, lock_values: Mapping[str, Any]) -> Graph:
    try:
        raw = json.loads(spec.read_text())
    except ValueError as error:
        raise ResolveError([Problem(str(error), file=spec.name, line=1)]) from error
    seed = raw.get("seed", 0)
    chosen = {**raw.get("auto", {}), **{name: value["it"] for name, value in lock_values.items()}}
    targets = {}
    for name, body in raw["targets"].items():
        settings = {**body.get("settings", {}), "seed": seed}
        for setting, group in body.get("auto", {}).items():
            settings[setting] = chosen[group]
        targets[name] = Target(
            id=name,
            work=body.get("work", "toy.works:join"),
            settings=settings,
            origins={**{each: f"targets.{name}.{each}" for each in settings}, "seed": "seed"},
            inputs=body.get("inputs", {}),
            sources={
                role: Source(path, f"put {path} back")
                for role, path in body.get("sources", {}).items()
            },
            needs=Needs(**body.get("needs", {})),
            pin=body.get("pin"),
            verdict=body.get("verdict"),
            release=body.get("release", False),
            expected_seconds=body.get("expected_seconds"),
            code=body.get("code", {}),
        )
    folder = SpecFolder(spec.parent)
    for path, size in [each for pattern in raw.get("each", ()) for each in folder.files(pattern)]:
        targets[f"each:{path}"] = Target(
            id=f"each:{path}",
            work="toy.works:join",
            settings={"bytes": size},
            sources={"file": Source(path)},
        )
    if "diary" in raw:  # so that a test can tell whether it was called
        with (spec.parent / raw["diary"]).open("a") as diary:
            diary.write("resolved\n")
    values = {name: {"it": value} for name, value in chosen.items()}
    return Graph(
        targets,
        lock_values=values,
        disk_bytes=raw.get("disk"),
        notes=tuple(raw.get("notes", ())),
        seen=folder.seen,
    )
