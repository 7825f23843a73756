"""The store: content-addressed objects, action records, and which record is each target's own.

    objects/<sha256>     file contents, read-only, never changed
    actions/<key>.json   records, written last, whole or not at all
    own/<digest>/<key>   which records have these own parts (an index: it may name records lost)
    current/<target>     -> the record that the current build left
    aliases/<key>        -> the record that stands, in this store, for one that a lock names
    published/<target>   -> the record that was copied to dist/ last
    builds/              the log; runs/, tmp/: unfinished business; scratch/<key>/: checkpoints

Nothing here decides what is stale. Reading changes nothing and needs no lock; whoever writes
holds the builder's lock (`store_lock`).
"""

# ruff: noqa: PTH101, PTH105, PTH113, PTH114, PTH115, PTH116, PTH118, PTH119, PTH123, PTH208, PTH211
# Asks for thousands of paths; os is several times as fast as pathlib.

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from nexusbuild import errors
from nexusbuild.digest.digests import hash_file, hash_files
from nexusbuild.digest.statcache import StatCache
from nexusbuild.rule.record import (
    Output,
    Record,
    file_name,
    record_from_json,
    record_from_text,
    record_text,
    target_of,
)

FORMAT = 1
# Every object carries this modification time, so that a later write to it shows without hashing.
_OBJECT_TIME_NS = 1_000_000_000
_FOLDERS = (
    "objects",
    "actions",
    "own",
    "current",
    "aliases",
    "published",
    "builds",
    "runs",
    "tmp",
    "scratch",
)


class Store:
    """One store on disk. Safe to use from several threads."""

    def __init__(self, root: Path, cache: StatCache | None = None) -> None:
        """cache: what the records' files hold."""
        self.root = root
        self._base = str(root)
        self._cache = cache or StatCache(None)
        self._written: dict[str, os.stat_result] = {}
        self._records: dict[str, Record | None] = {}
        self._current: dict[str, str | None] = {}
        self._numbers = itertools.count()

    # Reading

    def record(self, key: str) -> Record | None:
        """The whole record of this key, or None."""
        if key not in self._records:
            try:
                self._records[key] = self._read_record(key)
            except (OSError, ValueError):
                return None
        return self._records[key]

    def _read_record(self, key: str) -> Record | None:
        path = f"{self._base}/actions/{key}.json"
        stat = os.stat(path)
        known = self._cache.get(path, stat)
        if known is not None:
            return record_from_json(known, key)
        began = time.time_ns()
        with open(path, encoding="utf-8") as file:
            record = record_from_text(file.read(), key)
        if record is not None:
            self._cache.put(path, stat, record.to_json(), began)
        return record

    def current(self, target: str) -> str | None:
        """The key that the current build left this target with."""
        if target not in self._current:
            self._current[target] = _link_name(f"{self._base}/current/{file_name(target)}")
        return self._current[target]

    def current_targets(self) -> list[str]:
        """Every target that has ever had a result here, those that are no more included."""
        return self._targets("current")

    def published(self, target: str) -> str | None:
        """The key of what was copied to dist/ last."""
        return _link_name(f"{self._base}/published/{file_name(target)}")

    def published_targets(self) -> list[str]:
        """Every target that was copied to dist/."""
        return self._targets("published")

    def alias(self, key: str) -> str | None:
        """The key of what stands here for a result that a lock names by a key made elsewhere."""
        return _link_name(f"{self._base}/aliases/{key}")

    def records_with(self, own: str) -> list[Record]:
        """All records whose own parts have this digest."""
        try:
            keys = sorted(os.listdir(self.root / "own" / own))
        except OSError:
            return []
        return [record for key in keys if (record := self.record(key)) is not None]

    def record_keys(self) -> list[str]:
        """The keys of all records."""
        try:
            names = os.listdir(self.root / "actions")
        except OSError:
            return []
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def object(self, sha256: str) -> Path:
        return self.root / "objects" / sha256

    def held_bytes(self) -> int:
        """What all files of results take, each once."""
        objects = self.root / "objects"
        return sum(each.stat().st_size for each in objects.iterdir()) if objects.is_dir() else 0

    def missing(self, outputs: Iterable[Output]) -> tuple[Output, ...]:
        """Those whose contents are not here, or are not what they were."""
        return tuple(output for output in outputs if not self.sound(output))

    def sound(self, output: Output) -> bool:
        """Whether the object is here and untouched: by its stat, or hashed if that says nothing."""
        try:
            stat = os.stat(f"{self._base}/objects/{output.sha256}")
        except OSError:
            return False
        if stat.st_size != output.bytes:
            return False
        return stat.st_mtime_ns == _OBJECT_TIME_NS or self.verified(output)

    def verified(self, output: Output) -> bool:
        """Whether the object's bytes are what its name says."""
        try:
            return hash_file(self.object(output.sha256)) == output.sha256
        except OSError:
            return False

    # Writing

    def prepare(self) -> None:
        """Make it ready for a builder that holds the lock, and clear a dead one's rubbish."""
        try:
            for folder in _FOLDERS:
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            for folder in ("runs", "tmp"):
                for entry in os.scandir(self.root / folder):
                    _remove(Path(entry.path))
            for path in (self.root / "scratch").iterdir():
                if self._action(path.name).exists():  # finished, and killed before it tidied up
                    _remove(path)
            probe = self._temporary()
            probe.touch()
            probe.unlink()
            if self._format() is None:
                self._write(self.root / "format", f"{FORMAT}\n".encode())
        except OSError as error:
            raise errors.store_unwritable(str(self.root), error) from error
        self.check_format()
        self._records.clear()
        self._current.clear()

    def check_format(self) -> None:
        found = self._format()
        if found is not None and found > FORMAT:
            raise errors.newer_store(str(self.root), str(found), FORMAT)

    def _format(self) -> int | None:
        """What the store says of itself; None where it says nothing that makes sense."""
        try:
            return int((self.root / "format").read_bytes())
        except (OSError, ValueError):
            return None

    def add_outputs(self, directory: Path, target: str) -> tuple[Output, ...]:
        """Move every file below `directory` into the store; what it holds is then in objects."""
        paths: list[str] = []
        for folder, folders, files in os.walk(directory):
            folders.sort()
            for name in sorted(files) + [
                each for each in folders if os.path.islink(f"{folder}/{each}")
            ]:
                path = os.path.join(folder, name)
                if os.path.islink(path) or not os.path.isfile(path):
                    raise errors.not_a_plain_file(target, os.path.relpath(path, directory))
                paths.append(path)
        if not paths:
            raise errors.wrote_nothing(target)
        outputs = []
        for path, digest in zip(paths, hash_files(paths), strict=True):
            name = Path(os.path.relpath(path, directory)).as_posix()
            output = Output(name, digest, os.stat(path).st_size)
            self.add_object(Path(path), output)
            outputs.append(output)
        _sync_folder(self.root / "objects")
        return tuple(sorted(outputs, key=lambda output: output.path))

    def add_object(self, path: Path, output: Output) -> None:
        """Move one file, already hashed, to its place, also where something lies there already:
        that may be damaged in a way that its stat does not show.
        """
        place = self.object(output.sha256)
        if os.stat(path).st_nlink > 1:  # someone else's file, too: it stays as it is
            path = self._own_copy(path)
        os.chmod(path, 0o444)
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        os.utime(path, ns=(_OBJECT_TIME_NS, _OBJECT_TIME_NS))
        os.replace(path, place)

    def _own_copy(self, path: Path) -> Path:
        import shutil

        copy = self._temporary()
        shutil.copyfile(path, copy)
        path.unlink()
        return copy

    def discard(self, output: Output) -> None:
        """Drop a damaged object; what needs it makes it again."""
        self.object(output.sha256).unlink(missing_ok=True)

    def add_record(self, record: Record) -> None:
        """Write the record: from here on the result exists."""
        index = self.root / "own" / record.own
        index.mkdir(exist_ok=True)
        (index / record.key).touch()
        _sync_folder(index)
        self._write(self._action(record.key), record_text(record).encode())
        self._records[record.key] = record
        self._written[record.key] = self._action(record.key).stat()

    def save_cache(self) -> None:
        """Remember what the records hold, those just written included."""
        for key, stat in self._written.items():
            record = self._records.get(key)
            if record is not None:
                self._cache.put(str(self._action(key)), stat, record.to_json())
        self._cache.save_cache()

    def drop_record(self, key: str) -> None:
        record = self.record(key)
        self._action(key).unlink(missing_ok=True)
        if record is not None:
            (self.root / "own" / record.own / key).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (self.root / "own" / record.own).rmdir()
        self._records.pop(key, None)

    def set_current(self, target: str, key: str) -> None:
        if self.current(target) != key:
            self._link(self.root / "current" / file_name(target), key)
            self._current[target] = key

    def drop_current(self, target: str) -> None:
        (self.root / "current" / file_name(target)).unlink(missing_ok=True)
        self._current.pop(target, None)

    def set_published(self, target: str, key: str) -> None:
        self._link(self.root / "published" / file_name(target), key)

    def set_alias(self, named: str, key: str) -> None:
        if self.alias(named) != key:
            self._link(self.root / "aliases" / named, key)

    def run_directory(self, key: str) -> Path:
        """A new, empty directory for one run; the store's own, so that its files can be moved."""
        path = self.root / "runs" / f"{key[:16]}-{os.getpid()}-{next(self._numbers)}"
        path.mkdir()
        return path

    def scratch_directory(self, key: str) -> Path:
        """Where the work of this key keeps its checkpoints; it outlives an interruption."""
        path = self.root / "scratch" / key
        path.mkdir(exist_ok=True)
        return path

    def drop_scratch(self, key: str) -> None:
        _remove(self.root / "scratch" / key)

    def drop_run(self, path: Path) -> None:
        _remove(path)

    def materialise(self, outputs: Iterable[Output], directory: Path) -> None:
        """Give `directory` the outputs under their own names, as hard links to the objects."""
        for output in outputs:
            path = directory / output.path
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.object(output.sha256), path)
            except OSError as error:
                if error.errno not in (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP):
                    raise
                import shutil

                shutil.copyfile(self.object(output.sha256), path)
                os.chmod(path, 0o444)

    def _targets(self, folder: str) -> list[str]:
        try:
            names = os.listdir(self.root / folder)
        except OSError:
            return []
        return sorted(target_of(name) for name in names)

    def _action(self, key: str) -> Path:
        return self.root / "actions" / f"{key}.json"

    def _temporary(self) -> Path:
        return self.root / "tmp" / f"{os.getpid()}-{next(self._numbers)}"

    def _write(self, path: Path, content: bytes) -> None:
        """Whole or not at all, and there after a power cut."""
        temporary = self._temporary()
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)

    def _link(self, path: Path, key: str) -> None:
        temporary = self._temporary()
        os.symlink(os.path.join("..", "actions", f"{key}.json"), temporary)
        os.replace(temporary, path)


def _link_name(path: str) -> str | None:
    try:
        return os.path.basename(os.readlink(path)).removesuffix(".json")
    except OSError:
        return None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a file or a tree, also where work left directories that cannot be written."""
    if path.is_dir() and not path.is_symlink():
        for folder in [str(path), *_folders_below(path)]:
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _folders_below(path: Path) -> Iterator[str]:
    for folder, folders, _ in os.walk(path):
        for name in folders:
            if not os.path.islink(os.path.join(folder, name)):
                yield os.path.join(folder, name)
