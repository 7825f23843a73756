"""Finds the resolver, asks it for the graph, and refuses a graph that cannot be built."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from nexusbuild import errors
from nexusbuild.errors import BuildError, ResolveError
from nexusbuild.rule.graph import Graph, Resolver, Target
from nexusbuild.rule.names import is_target_id
from nexusbuild.store.released import readable_path

RESOLVERS = "nexusbuild.resolver"  # the entry-point group


def find_resolver(name: str | None) -> tuple[Resolver, str]:
    """The resolver of this name; without one `default`, or the only one that is installed.

    With it where it stands, as `module:function`.
    """
    if name is not None and ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found: Resolver = getattr(import_module(module), attribute)
        except Exception as error:  # importing it runs anything
            raise errors.resolver_unusable(name, error) from error
        return found, name
    points = {point.name: point for point in metadata.entry_points(group=RESOLVERS)}
    wanted = name or ("default" if "default" in points or len(points) != 1 else next(iter(points)))
    if wanted not in points:
        raise errors.no_resolver(wanted, sorted(points))
    try:
        loaded: Resolver = points[wanted].load()
    except Exception as error:
        raise errors.resolver_unusable(wanted, error) from error
    return loaded, points[wanted].value


def resolve(resolver: Resolver, name: str, spec: Path, lock_values: Mapping[str, Any]) -> Graph:
    """The graph that the resolver gives for the spec under these values of the lock."""
    try:
        inspect.signature(resolver).bind(spec, lock_values)
    except (TypeError, ValueError) as error:
        raise errors.resolver_unusable(name, error) from error
    try:
        graph = resolver(spec, lock_values)
    except (BuildError, ResolveError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in errors.OF_THE_MACHINE:
            raise
        frames = traceback.extract_tb(error.__traceback__)[1:]
        places = [f"{each.filename}:{each.lineno} in {each.name}" for each in frames]
        raise errors.resolver_failed(name, error, places) from error
    if not isinstance(graph, Graph):
        raise errors.resolver_gave_no_graph(name, graph)
    problems = list(_problems(graph))
    if problems:
        raise errors.several(problems)
    return graph


def _problems(graph: Graph) -> Iterator[BuildError]:
    """Targets that are not distinct, or whose views in build/ would damage something else."""
    places: dict[Path, str] = {}
    for name, target in graph.targets.items():
        if not isinstance(target, Target) or target.id != name:
            yield errors.no_target(name, target.id if isinstance(target, Target) else repr(target))
        elif not is_target_id(name):
            yield errors.bad_id(name)
        elif readable_path(name) in places:
            yield errors.same_place(name, places[readable_path(name)])
        else:
            places[readable_path(name)] = name
    for place, name in places.items():
        for above in place.parents:
            if above in places:
                yield errors.same_place(name, places[above])
