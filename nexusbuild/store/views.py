"""What people see of the results: views in build/, the candidate, and the released copy in dist/.

Views are links into the store; a release is a real copy that is swapped in whole.
"""

# ruff: noqa: PTH104, PTH105, PTH211
# Links and swaps by name; pathlib has no word for most of it.

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from nexusbuild.digest.digests import FileDigests
from nexusbuild.digest.keys import sha256_text
from nexusbuild.rule.record import Record
from nexusbuild.store.released import readable_path, top_names
from nexusbuild.store.store import Store

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def show(build: Path, store: Store, target: str, record: Record) -> None:
    """Make build/<kind>/<name> a folder of links to this result."""
    place = build / readable_path(target)
    fresh = _beside(place, store)
    for output in record.outputs:
        path = fresh / output.path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(os.path.relpath(store.object(output.sha256), path.parent), path)
    fresh.mkdir(exist_ok=True)
    swap_in(fresh, place)


def hide(build: Path, target: str) -> None:
    """Remove the view of a target that is no more; only if it is one."""
    place = build / readable_path(target)
    if place.is_dir() and all(path.is_symlink() or path.is_dir() for path in place.rglob("*")):
        shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):
            place.parent.rmdir()


def show_candidate(build: Path, store: Store, out: Path) -> Path:
    """Put what was not released to build/candidate/, in place of the last candidate."""
    place = build / "candidate"
    fresh = _beside(place, store)
    shutil.move(out, fresh)
    swap_in(fresh, place)
    return place


def drop_candidate(build: Path) -> None:
    shutil.rmtree(build / "candidate", ignore_errors=True)


def publish(
    dist: Path, store: Store, record: Record, before: Record | None, digests: FileDigests
) -> list[Path]:
    """Copy the result to dist/, each folder and file swapped in whole; the paths now there.

    before: what was published last; its files beside the same folder are taken away with it.
    digests: is told what the files hold, so that looking at them later costs nothing.
    """
    dist.mkdir(parents=True, exist_ok=True)
    tops = top_names(record)
    places = []
    for top in tops:
        place = dist / top
        fresh = _beside(place, store)
        for output in record.outputs:
            if output.path == top:
                shutil.copyfile(store.object(output.sha256), fresh)
            elif output.path.startswith(top + "/"):
                path = fresh / output.path[len(top) + 1 :]
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(store.object(output.sha256), path)
        swap_in(fresh, place)
        places.append(place)
    if before is not None and set(top_names(before)) & set(tops):
        for gone in set(top_names(before)) - set(tops):
            if (dist / gone).is_file():
                (dist / gone).unlink()
    digests.remember({str(dist / output.path): output.sha256 for output in record.outputs})
    return places


def _beside(place: Path, store: Store) -> Path:
    """A free name beside `place`, on the same disk: the same in every build of this store, so that
    what a killed one left there goes when the place is filled at last.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.{sha256_text(str(store.root))[:8]}.new")
    _remove(fresh)
    return fresh


def swap_in(fresh: Path, place: Path) -> None:
    """Put `fresh` where `place` is; whoever looks sees the one or the other, whole."""
    if not os.path.lexists(place) or not (place.is_dir() or fresh.is_dir()):
        os.replace(fresh, place)
        return
    if _exchange(fresh, place):
        _remove(fresh)
        return
    # No exchange on this file system: a moment without `place` cannot be helped.
    old = fresh.with_name(f"{fresh.name.removesuffix('.new')}.old")
    _remove(old)
    os.rename(place, old)
    os.rename(fresh, place)
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Linux's renameat2 with RENAME_EXCHANGE; False where it cannot be had."""
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    result = function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(result == 0)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
