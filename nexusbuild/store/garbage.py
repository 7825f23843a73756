"""Garbage collection: what in a store no kept build, no lock and no current result refers to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nexusbuild.store.buildlog import read_builds
from nexusbuild.store.store import Store


@dataclass(frozen=True)
class Garbage:
    """keys: of records; objects: files; scratch: checkpoints of what was never finished."""

    keys: tuple[str, ...]
    objects: tuple[Path, ...]
    scratch: tuple[Path, ...]
    bytes: int


def find_garbage(store: Store, keep: int, pinned: Iterable[str]) -> Garbage:
    """What the last `keep` builds do not refer to. pinned: keys that a lock names."""
    builds = read_builds(store.root)
    kept: set[str] = set()
    for build in builds[-keep:]:
        kept |= set(build.keys.values())
        kept |= {target["key"] for target in build.targets if target["key"]}
    if not builds:  # an imported store: what is current is all there is
        kept |= {key for each in store.current_targets() if (key := store.current(each))}
    for key in pinned:
        kept |= {key, store.alias(key) or key}
    for target in store.published_targets():
        kept |= {key for key in [store.published(target)] if key}
    keys = tuple(key for key in store.record_keys() if key not in kept)
    used = {
        output.sha256
        for key in store.record_keys()
        if key in kept and (record := store.record(key)) is not None
        for output in record.outputs
    }
    objects = tuple(path for path in _entries(store.root / "objects") if path.name not in used)
    scratch = tuple(path for path in _entries(store.root / "scratch") if path.name not in kept)
    size = sum(_size(path) for path in (*objects, *scratch))
    size += sum(_size(store.root / "actions" / f"{key}.json") for key in keys)
    return Garbage(keys, objects, scratch, size)


def collect(store: Store, garbage: Garbage) -> None:
    """Drop it: records first, so that no record is left without its files by a kill."""
    dropped = set(garbage.keys)
    for target in store.current_targets():
        if store.current(target) in dropped:
            store.drop_current(target)
    for key in garbage.keys:
        store.drop_record(key)
    for path in garbage.objects:
        path.unlink(missing_ok=True)
    for path in garbage.scratch:
        store.drop_scratch(path.name)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(each.lstat().st_size for each in path.rglob("*") if each.is_file())
    return path.lstat().st_size if path.exists() else 0
