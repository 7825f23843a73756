"""Which packages Python would find, and where: from the folders on its path, importing none."""

# ruff: noqa: PTH100, PTH112, PTH118, PTH208
# Part of every dry run; os is several times as fast as pathlib.

from __future__ import annotations

import os
import sys

from nexusbuild.digest.statcache import Signature, signature_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def package_folders() -> Iterator[tuple[str, str]]:
    """(place on Python's path, folder in it) of what is installed, in the order Python looks."""
    for place, names in _listing(sys.path):
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                yield place, name


def installed_packages() -> list[tuple[str, str, Signature | None]]:
    """What is installed, and which entry points it has: (place, folder, signature)."""
    return sorted(
        (place, folder, signature_at(os.path.join(place, folder, "entry_points.txt")))
        for place, folder in package_folders()
    )


def places_of(modules: Iterable[str], path: Iterable[str]) -> dict[str, str | None]:
    """top-level module -> the folder on `path` that it would be imported from, if any."""
    found: dict[str, str | None] = dict.fromkeys(modules)
    for place, names in _listing(path):
        here = {name.removesuffix(".py") for name in names if name.endswith(".py")}
        here |= {name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
        folders = set(names)
        for module, known in found.items():
            is_folder = module in folders and os.path.isdir(f"{place}/{module}")
            if known is None and (module in here or is_folder):
                found[module] = place
    return found


def _listing(path: Iterable[str]) -> list[tuple[str, list[str]]]:
    """(place, names in it) for each folder on such a path."""
    found = []
    for place in dict.fromkeys(os.path.abspath(each) for each in path):
        try:
            found.append((place, sorted(os.listdir(place))))
        except OSError:
            continue  # a zip file, or it is not there
    return found
