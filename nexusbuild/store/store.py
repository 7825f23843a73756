"""The store: content-addressed objects, action records, and which record is each target's own.

    objects/<sha256>     file contents, read-only, never changed
    actions/<key>.json   records, written last, whole or not at all
    own/<digest>/<key>   which records have these own parts (an index: it may name records lost)
    current/<target>     -> the record that the current build left
    aliases/<key>        -> the record that stands, in this store, for one that a lock names
    published/<target>   -> the record that was copied to dist/ last
    builds/              the log; runs/, tmp/: unfinished business; scratch/<key>/: checkpoints

Nothing here decides what is stale. Reading changes nothing and needs no lock; anyone who writes
holds the builder's lock (`lock_file`). A store may have been copied from anyone: what is read here
passes the door for records, and no link in it is followed.
"""

# ruff: noqa: PTH101, PTH105, PTH115, PTH116, PTH118, PTH119, PTH123, PTH208, PTH211
# Asks for thousands of paths; os is several times as fast as pathlib.

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from nexusbuild import errors
from nexusbuild.digest.digests import hash_file, hash_files
from nexusbuild.digest.plain_file import read_plain_file
from nexusbuild.digest.statcache import OBJECT_TIME_NS, StatCache
from nexusbuild.rule.names import fault_in_paths, is_digest, is_target_id
from nexusbuild.rule.record import (
    Output,
    Record,
    file_name,
    record_from_text,
    record_of,
    record_text,
    target_of,
)
from nexusbuild.rule.record_check import MOST_BYTES, DamagedRecordError, check_record
from nexusbuild.store.folders import (
    FOLDERS,
    check_folders,
    plain_files_below,
    remove_tree,
    sync_folder,
)

FORMAT = 1
# Part of every remembered record: raise it when the door for records lets less through.
_CHECKED = 1


class Store:
    """One store on disk. Safe to use from several threads."""

    def __init__(self, root: Path, cache: StatCache | None = None) -> None:
        """cache: what the records' files hold."""
        self.root = root
        self._base = str(root)
        self._cache = cache or StatCache(None)
        self._written: dict[str, os.stat_result] = {}
        self._records: dict[str, Record] = {}
        self._damage: dict[str, str] = {}
        self._verified: dict[str, tuple[int, int, int]] = {}
        self._current: dict[str, str | None] = {}
        self._numbers = itertools.count()

    # Reading

    def record(self, key: str) -> Record | None:
        """The whole record of this key; None where there is none, or a damaged one."""
        if key not in self._records:
            try:
                self._records[key] = self._read_record(key)
            except OSError:
                return None
            except DamagedRecordError as error:
                self._damage[key] = str(error)
                return None
        return self._records[key]

    def damage(self) -> dict[str, str]:
        """key -> what is wrong, of the records that were asked for so far and are damaged."""
        return dict(self._damage)

    def _read_record(self, key: str) -> Record:
        if not is_digest(key):
            raise DamagedRecordError("its name is not a key")
        path = f"{self._base}/actions/{key}.json"
        found = os.stat(path)
        known = self._cache.get(path, found)
        if isinstance(known, tuple) and known[0] == _CHECKED:
            return record_of(known[1])
        began = time.time_ns()
        try:
            text = read_plain_file(path, MOST_BYTES).decode()
        except ValueError as error:
            raise DamagedRecordError("it is not text") from error
        except OSError as error:
            raise DamagedRecordError(error.strerror or "it cannot be read") from error
        record = record_from_text(text, key)
        self._cache.put(path, found, (_CHECKED, record.to_json()), began)
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
        return _link_name(f"{self._base}/aliases/{key}") if is_digest(key) else None

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
        keys = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted(filter(is_digest, keys))

    def object(self, sha256: str) -> Path:
        return self.root / "objects" / sha256

    def held_bytes(self) -> int:
        """What all files of results take, each once."""
        objects = self.root / "objects"
        return sum(each.lstat().st_size for each in objects.iterdir()) if objects.is_dir() else 0

    def missing(self, outputs: Iterable[Output]) -> tuple[Output, ...]:
        """Those whose contents are not here, or are not what they were."""
        return tuple(output for output in outputs if not self.sound(output))

    def sound(self, output: Output) -> bool:
        """Whether the object is here and untouched: by its stat, or hashed if that says nothing."""
        found = self._stat(output)
        return found is not None and (found.st_mtime_ns == OBJECT_TIME_NS or self.verified(output))

    def verified(self, output: Output) -> bool:
        """Whether the object's bytes are what its name says."""
        try:
            found = self._stat(output)
            return found is not None and hash_file(self.object(output.sha256)) == output.sha256
        except OSError:
            return False

    def verified_once(self, output: Output) -> bool:
        """As `verified`, but hashed again only where its stat has changed since this process did
        so. Its ctime does not count: every use as an input changes that.
        """
        found = self._stat(output)
        if found is None:
            return False
        if self._verified.get(output.sha256) != _signature(found):
            if not self.verified(output):
                return False
            self._verified[output.sha256] = _signature(found)
        return True

    def _stat(self, output: Output) -> os.stat_result | None:
        """Of the object, if it is a plain file of the right size."""
        try:
            found = os.lstat(f"{self._base}/objects/{output.sha256}")
        except OSError:
            return None
        return found if stat.S_ISREG(found.st_mode) and found.st_size == output.bytes else None

    # Writing

    def prepare(self) -> None:
        """Make it ready for a builder that holds the lock, and clear a dead one's rubbish."""
        try:
            check_folders(self.root)
            for folder in FOLDERS:
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            for folder in ("runs", "tmp"):
                for entry in os.scandir(self.root / folder):
                    remove_tree(Path(entry.path))
            for path in (self.root / "scratch").iterdir():
                if self._action(path.name).exists():  # finished, and killed before it tidied up
                    remove_tree(path)
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
            return int(read_plain_file(self.root / "format", 100))
        except (OSError, ValueError):
            return None

    def add_outputs(self, directory: Path, target: str) -> tuple[Output, ...]:
        """Move every file below `directory` into the store; what it holds is then in objects."""
        paths = plain_files_below(directory, target)
        names = [Path(os.path.relpath(path, directory)).as_posix() for path in paths]
        fault = fault_in_paths(names)
        if fault is not None:
            raise errors.bad_output(target, fault)
        outputs = []
        for path, name, digest in zip(paths, names, hash_files(paths), strict=True):
            output = Output(name, digest, os.stat(path).st_size)
            self.add_object(Path(path), output)
            outputs.append(output)
        sync_folder(self.root / "objects")
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
        os.utime(path, ns=(OBJECT_TIME_NS, OBJECT_TIME_NS))
        os.replace(path, place)
        self._verified[output.sha256] = _signature(os.lstat(place))

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
        """Write the record: from here on the result exists. Raises BuildError for one that could
        not be read again.
        """
        text = record_text(record)
        try:
            check_record(record.to_json())
            if len(text.encode()) > MOST_BYTES:
                raise DamagedRecordError("it is too long")
        except ValueError as error:
            raise errors.unrecordable(record.target, str(error)) from error
        index = self.root / "own" / record.own
        index.mkdir(exist_ok=True)
        (index / record.key).touch()
        sync_folder(index)
        self._write(self._action(record.key), text.encode())
        self._records[record.key] = record
        self._damage.pop(record.key, None)
        self._written[record.key] = self._action(record.key).stat()

    def save_cache(self) -> None:
        """Remember what the records hold, those just written included."""
        for key, found in self._written.items():
            record = self._records.get(key)
            if record is not None:
                self._cache.put(str(self._action(key)), found, (_CHECKED, record.to_json()))
        self._cache.save_cache()

    def drop_record(self, key: str) -> None:
        record = self.record(key)
        self._action(key).unlink(missing_ok=True)
        if record is not None:
            (self.root / "own" / record.own / key).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (self.root / "own" / record.own).rmdir()
        self._records.pop(key, None)
        self._damage.pop(key, None)

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
        if is_digest(named) and self.alias(named) != key:
            self._link(self.root / "aliases" / named, key)

    def run_directory(self, key: str) -> Path:
        """A new, empty directory for one run; the store's own, so that its files can be moved."""
        path = self.root / "runs" / f"{key[:16]}-{os.getpid()}-{next(self._numbers)}"
        path.mkdir()
        return path

    def scratch_directory(self, key: str) -> Path:
        """Where the work of this key keeps its checkpoints; it outlives an interruption."""
        path = self.root / "scratch" / key
        if path.is_symlink():  # someone's who brought this store
            path.unlink()
        path.mkdir(exist_ok=True)
        return path

    def drop_scratch(self, key: str) -> None:
        remove_tree(self.root / "scratch" / key)

    def drop_run(self, path: Path) -> None:
        remove_tree(path)

    def materialise(self, outputs: Iterable[Output], directory: Path) -> None:
        """Give `directory` the outputs under their own names, as hard links to the objects."""
        from nexusbuild.store.beneath import Folder

        with Folder.at(directory) as folder:
            for output in outputs:
                folder.link(self.object(output.sha256), output.path)

    def _targets(self, folder: str) -> list[str]:
        try:
            names = os.listdir(self.root / folder)
        except OSError:
            return []
        return sorted(filter(is_target_id, map(target_of, names)))

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
        sync_folder(path.parent)

    def _link(self, path: Path, key: str) -> None:
        temporary = self._temporary()
        os.symlink(os.path.join("..", "actions", f"{key}.json"), temporary)
        os.replace(temporary, path)


def _link_name(path: str) -> str | None:
    try:
        key = os.path.basename(os.readlink(path)).removesuffix(".json")
    except OSError:
        return None
    return key if is_digest(key) else None


def _signature(found: os.stat_result) -> tuple[int, int, int]:
    return (found.st_ino, found.st_size, found.st_mtime_ns)
