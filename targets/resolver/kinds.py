"""Finds the kinds of target: each folder of `targets/` with a `target.py`, and those that other
packages bring in the entry-point group `nexus.kinds`.

Only declarations are imported, never a work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

from nexusbuild.plugins import Problem, ResolveError, Seen, SpecFolder, Target
from targets.declaring.kind import Context, Kind

GROUP = "nexus.kinds"
PACKAGE = "targets"
DECLARATION = "target.py"


@dataclass(frozen=True)
class FoundKinds:
    """Kinds by name, and what was seen of the disk to find them."""

    kinds: Mapping[str, Kind]
    seen: tuple[Seen, ...]


def find_kinds() -> FoundKinds:
    """All kinds. Raises ResolveError with each that cannot be used."""
    folder = SpecFolder(Path(__file__).parents[1])
    names = [Path(path).parent.name for path, _ in folder.files(f"*/{DECLARATION}")]
    places = {**{f"{PACKAGE}.{name}.target:KIND": name for name in names}, **_brought()}
    kinds: dict[str, Kind] = {}
    problems = []
    for place, name in places.items():
        kind = _load(place)
        if isinstance(kind, str):
            problems.append(Problem(f"no kind of target is at {place}: {kind}"))
        elif kind.name != name:
            message = f"{place} is called {kind.name}, and {name} where it is found"
            problems.append(Problem(message, remedy="give both one name"))
        elif name in kinds:
            problems.append(Problem(f"the kind {name} is there twice; once at {place}"))
        else:
            kinds[name] = kind
    if problems:
        raise ResolveError(problems)
    return FoundKinds(kinds, folder.seen)


def targets_of(kind: Kind, context: Context) -> Iterator[Target]:
    """What a kind declares. Raises ResolveError where that is a target of another kind."""
    for target in kind.declare(context):
        if target.kind != kind.name:
            message = f"the kind {kind.name} declares {target.id}"
            remedy = f"name it {kind.name}, or {kind.name}:NAME"
            raise ResolveError([Problem(message, remedy=remedy)])
        yield target


@cache
def _brought() -> dict[str, str]:
    """Kinds of other packages: place -> name. Asking costs as much as all the rest."""
    return {point.value: point.name for point in metadata.entry_points(group=GROUP)}


def _load(place: str) -> Kind | str:
    """The kind at `module:name`, or why it cannot be had."""
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # importing it runs anything
        return f"{type(error).__name__}: {error}"
    return found if isinstance(found, Kind) else f"it is a {type(found).__name__}, not a Kind"
