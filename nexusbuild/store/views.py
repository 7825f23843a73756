"""What people see of the results: views in build/, the candidate, and the released copy in dist/.

Views are links into the store; a release is a real copy that is swapped in whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from nexusbuild.digest.digests import FileDigests
from nexusbuild.digest.keys import sha256_text
from nexusbuild.rule.record import Record
from nexusbuild.store.beneath import Folder
from nexusbuild.store.released import readable_path, top_names
from nexusbuild.store.store import Store


def show(build: Path, store: Store, target: str, record: Record) -> None:
    """Make build/<kind>/<name> a folder of links to this result."""
    place = readable_path(target)
    with Folder.at(build) as top, top.below(place.parent.as_posix()) as parent:
        fresh = _free_name(parent, place.name, store)
        with parent.below(fresh) as folder:
            for output in record.outputs:
                seen_from = (build / place / output.path).parent
                folder.symlink(os.path.relpath(store.object(output.sha256), seen_from), output.path)
        parent.swap_in(fresh, place.name)


def hide(build: Path, target: str) -> None:
    """Remove the view of a target that is no more; only if it is one."""
    place = readable_path(target)
    path = build / place
    if not path.is_dir() or not all(each.is_symlink() or each.is_dir() for each in path.rglob("*")):
        return
    with Folder.at(build) as top:
        with top.below(place.parent.as_posix()) as parent, contextlib.suppress(OSError):
            parent.remove(place.name)
        with contextlib.suppress(OSError):
            os.rmdir(path.parent)  # noqa: PTH106


def show_candidate(build: Path, store: Store, out: Path) -> Path:
    """Put what was not released to build/candidate/, in place of the last candidate."""
    with Folder.at(build) as top:
        fresh = _free_name(top, "candidate", store)
        shutil.move(out, build / fresh)
        top.swap_in(fresh, "candidate")
    return build / "candidate"


def drop_candidate(build: Path) -> None:
    shutil.rmtree(build / "candidate", ignore_errors=True)


def publish(
    dist: Path, store: Store, record: Record, before: Record | None, digests: FileDigests
) -> list[Path]:
    """Copy the result to dist/, each folder and file swapped in whole; the paths now there.

    before: what was published last; its files next to the same folder are taken away with it.
    digests: is told what the files hold, so that looking at them later costs nothing.
    """
    tops = top_names(record)
    with Folder.at(dist) as folder:
        for top in tops:
            fresh = _free_name(folder, top, store)
            for output in record.outputs:
                if output.path == top or output.path.startswith(f"{top}/"):
                    path = fresh + output.path[len(top) :]
                    folder.copy(store.object(output.sha256), path)
            folder.swap_in(fresh, top)
        if before is not None and set(top_names(before)) & set(tops):
            for gone in set(top_names(before)) - set(tops):
                if not (dist / gone).is_dir() or (dist / gone).is_symlink():
                    folder.remove(gone)
    digests.remember({str(dist / output.path): output.sha256 for output in record.outputs})
    return [dist / top for top in tops]


def _free_name(folder: Folder, name: str, store: Store) -> str:
    """A free name next to `name`: the same in every build of this store, so that what a killed one
    left there goes when the place is filled at last.
    """
    fresh = f".{name}.{sha256_text(str(store.root))[:8]}.new"
    folder.remove(fresh)
    return fresh
