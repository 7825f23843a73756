"""Errors about what a person gave: the command line, the spec, a resolver, a file."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from nexusbuild.errors.kinds import BuildError, did_you_mean


def no_spec(name: str, start: str) -> BuildError:
    return BuildError(
        f"no {name} here or in a parent folder",
        start,
        "name the spec with -f PATH, or go to its folder",
    )


def spec_missing(path: str) -> BuildError:
    return BuildError("does not exist", path, "check the path given with -f/--file")


def folder_gone() -> BuildError:
    return BuildError(
        "the folder that you are in was deleted", remedy="change to another, or use -f"
    )


def wrong_use(program: str, message: str) -> BuildError:
    """message: argparse's, which shows the usage itself."""
    return BuildError(message, program)


def only_with_dry_run(option: str) -> BuildError:
    return BuildError(f"{option} is for dry runs only", remedy="add --dry-run, or leave it out")


def neither_command_nor_target(
    word: str, commands: Iterable[str], ids: Iterable[str]
) -> BuildError:
    hint = did_you_mean(word, [*commands, *ids])
    known = "`nexusbuild --help` shows all commands, `nexusbuild ls` all targets"
    return BuildError(
        f"{word!r} is neither a command nor a target", remedy=f"{hint} {known}".strip()
    )


def no_such_target(selector: str, ids: Iterable[str]) -> BuildError:
    hint = did_you_mean(selector.strip("+"), ids)
    return BuildError(
        f"no target matches {selector!r}", remedy=hint or "`nexusbuild ls` shows all targets"
    )


def no_resolver(wanted: str, known: Sequence[str]) -> BuildError:
    found = ", ".join(known) or "none"
    return BuildError(
        f"no resolver named {wanted!r} is installed (found: {found})",
        "entry points nexusbuild.resolver",
        "install the package that brings it (pip install -e .), or name another with --resolver",
    )


def resolver_unusable(name: str, error: BaseException) -> BuildError:
    return BuildError(
        f"cannot be used: {type(error).__name__}: {error}",
        f"resolver {name}",
        "install what it needs, or correct it",
    )


def resolver_failed(name: str, error: BaseException, places: Sequence[str]) -> BuildError:
    """places: where it was, the innermost last."""
    return BuildError(
        "\n".join([f"failed: {type(error).__name__}: {error}", *(f"      {p}" for p in places)]),
        f"resolver {name}",
        "correct it; for a wrong spec it raises nexusbuild.plugins.ResolveError",
    )


def resolver_gave_no_graph(name: str, found: object) -> BuildError:
    return BuildError(
        f"returned {type(found).__name__}, not a Graph",
        f"resolver {name}",
        "a resolver is called with the spec's path and the lock's values, and returns a Graph",
    )


def unreadable(path: str, error: OSError) -> BuildError:
    remedy = "check the path" if error.errno == errno.ENOENT else "check its permissions"
    return BuildError(f"cannot be read: {error.strerror}", path, remedy)


def unwritable(path: str, error: OSError) -> BuildError:
    return BuildError(
        f"cannot be written: {error.strerror or error}", path, "name another file, or make room"
    )


def is_a_directory(path: str) -> BuildError:
    return BuildError("is a directory", path, "name a file in it")


def plan_moved(path: str, moved: Sequence[str]) -> BuildError:
    return BuildError(
        "something has changed since this was planned:\n"
        + "\n".join(f"      {each}" for each in moved),
        path,
        "plan again (`nexusbuild --dry-run --plan FILE`), or undo the changes",
    )


def plan_unreadable(path: str, detail: str) -> BuildError:
    return BuildError(
        f"not a plan that this version can read: {detail}",
        path,
        "write one with `nexusbuild --dry-run --plan FILE`",
    )


def plan_names_its_targets(path: str) -> BuildError:
    return BuildError(
        "the plan file already says what is built and what is forced",
        path,
        "name targets when you plan: `nexusbuild TARGET --dry-run --plan FILE`",
    )


def no_such_build(name: str, known: Sequence[str]) -> BuildError:
    return BuildError(
        f"no build {name!r}",
        remedy=f"known: {', '.join(known[-8:])}" if known else "nothing has been built yet",
    )


def nothing_to_accept(target: str, detail: str) -> BuildError:
    return BuildError(f"nothing to accept: {detail}", target, "`nexusbuild why` shows what changed")


def no_result(target: str) -> BuildError:
    return BuildError("has no result in the store", target, "build it first")
