"""Errors about what a resolver declares: targets, their inputs, sources and work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nexusbuild.errors.kinds import FAILED, BuildError, did_you_mean


def no_target(name: str, found: str) -> BuildError:
    return BuildError(
        f"the graph has {found} under this id", name, "a graph maps each target's id to the target"
    )


def bad_id(name: str) -> BuildError:
    return BuildError(
        f"{name!r} cannot be the id of a target",
        remedy="an id is a kind, or kind:name. A kind is not a path and not `logs` or `candidate`; "
        "a name may contain slashes, but not lead out of its folder. "
        "It does not begin or end with +, begin with -, or contain # or a line break",
    )


def same_place(name: str, other: str) -> BuildError:
    return BuildError(
        f"its folder in build/ would be that of {other}, or within it",
        name,
        "give one of them another name; the resolver declares them",
    )


def unknown_input(target: str, role: str, reference: str, ids: Iterable[str]) -> BuildError:
    return BuildError(
        f"input {role!r} names {reference!r}, which is not a target",
        target,
        did_you_mean(reference, ids),
    )


def cycle(path: Sequence[str]) -> BuildError:
    return BuildError(
        "these targets need each other: " + " -> ".join(path),
        remedy="remove one of these inputs; the resolver declares them",
    )


def not_json(target: str, path: str, value: object) -> BuildError:
    return BuildError(
        f"setting {path} is {value!r} ({type(value).__name__}), which is not a JSON value",
        target,
        "settings are JSON values: numbers (finite), strings, booleans, null, lists, objects",
    )


def no_work_module(work: str, target: str) -> BuildError:
    return BuildError(
        f"there is no source file for its work {work!r}",
        target,
        "a target's `work` is `package.module:function`, importable from here",
    )


def no_work_function(module: str, function: str, work: str) -> BuildError:
    return BuildError(
        f"{module} has no function {function!r}",
        f"work {work}",
        "a target's `work` is `package.module:function`; the resolver declares it",
        FAILED,
    )


def syntax_error(path: str, line: int | None, message: str) -> BuildError:
    return BuildError(f"not valid Python: {message}", f"{path}:{line}", "correct the file")


def source_missing(target: str, role: str, path: str, remedy: str) -> BuildError:
    return BuildError(
        f"its source {role!r} is missing: {path}",
        target,
        remedy or "put it in place, then build again",
    )


def not_buildable(target: str, obstacle: str) -> BuildError:
    return BuildError(
        obstacle, target, "name the targets to build, or use --keep-going, to build the others"
    )


def pin_unavailable(target: str, group: str, changed: str) -> BuildError:
    return BuildError(
        f"the lock pins it, the store does not have it, and {changed} has changed since",
        target,
        f"bring back the source, import the result (`nexusbuild store import`), or make a new one: "
        f"`nexusbuild lock --upgrade {group}`",
    )
