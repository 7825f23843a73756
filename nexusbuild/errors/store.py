"""Errors about the store, the lock and archives of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nexusbuild.errors.kinds import FAILED, BuildError


def lock_unreadable(path: str, detail: str) -> BuildError:
    return BuildError(
        f"not a lock that this version can read: {detail}",
        path,
        "restore it from version control, or delete it; the next build writes it",
    )


def lock_differs(path: str, differences: Sequence[str]) -> BuildError:
    return BuildError(
        "refused because of --locked: these differ from the lock:\n"
        + "\n".join(f"      {difference}" for difference in differences),
        path,
        "build without --locked, or `nexusbuild lock --upgrade NAME`, or restore the sources",
    )


def no_such_pin(group: str, groups: Iterable[str]) -> BuildError:
    known = sorted(groups)
    return BuildError(
        f"the lock has no pinned group {group!r}",
        remedy=f"known: {', '.join(known)}" if known else "no target of this spec is pinned",
    )


def newer_store(path: str, found: str, known: int) -> BuildError:
    return BuildError(
        f"the store has format {found}; this version reads {known}",
        path,
        "use the newer nexusbuild that made it, or another folder with --store",
    )


def store_not_a_directory(path: str) -> BuildError:
    return BuildError(
        "is not a directory, so it cannot be a store", path, "name another with --store"
    )


def store_unwritable(path: str, error: OSError) -> BuildError:
    return BuildError(
        f"the store cannot be written: {error.strerror}",
        path,
        "make room, or make it writable, or name another with --store",
    )


def store_too_small(store: str, held: str, wanted: str, granted: str) -> BuildError:
    return BuildError(
        f"holds {held}, and what is to be built adds about {wanted}; the spec grants it {granted}",
        store,
        "drop old results (`nexusbuild gc`), raise the spec's hardware budget if the disk has "
        "room, or name a store on another disk with --store",
    )


def no_archive(path: str, why: str) -> BuildError:
    return BuildError(
        f"is not an archive of results ({why})",
        path,
        "name a file that `nexusbuild store export` wrote, or copy it again. It is not compressed: "
        "unpack it first if it is",
    )


def no_room_for(path: str, wanted: str, free: str) -> BuildError:
    return BuildError(
        f"brings {wanted}; the store's disk has {free} left",
        path,
        "make room (`nexusbuild gc` drops old results), or name a store on another disk with "
        "--store. Nothing was taken from it",
    )


def link_in_the_way(path: str) -> BuildError:
    return BuildError(
        "is a link, or not a directory: what is written there would lie elsewhere",
        path,
        "remove it; the builder makes the directory itself",
    )


def bad_output(target: str, why: str) -> BuildError:
    return BuildError(
        f"its outputs cannot be kept: {why}",
        target,
        "its work gives its files plain, distinct names",
        FAILED,
    )


def unrecordable(target: str, why: str) -> BuildError:
    return BuildError(
        f"its result cannot be recorded: {why}",
        target,
        "its settings, verdict and notes are plain texts and numbers of bounded length",
        FAILED,
    )


def damage_error(path: str, what: str) -> BuildError:
    return BuildError(f"{what} is damaged", path, "copy it again; nothing was taken from it")


def output_gone(target: str, path: str) -> BuildError:
    return BuildError(
        f"its file {path} is gone from the store",
        target,
        f"build it again: `nexusbuild --force {target}`",
    )


def output_damaged(target: str, path: str) -> BuildError:
    return BuildError(
        f"its file {path} is damaged in the store",
        target,
        "drop it and build it again: `nexusbuild doctor --verify-store`, "
        f"then `nexusbuild --force {target}`",
    )
