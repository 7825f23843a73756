"""What a sort did, written down before it does it: so it can be finished after a kill, and undone.

A journal is a file of JSON lines: first what was asked, then a line for each file with where it
was and where it goes. It appears whole before the first file moves, and is never changed. What
has happened is read off the disk: a file is where it was or where it goes, and never in both.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from raw_data.moving import link, move

FOLDER = ".sorts"
OPEN, DONE, UNDONE = ".open.jsonl", ".jsonl", ".undone.jsonl"


class JournalError(ValueError):
    """A journal cannot be read, or another sort is at work."""


@dataclass(frozen=True)
class Move:
    """A file: where it was and where it goes."""

    source: Path
    place: Path


@dataclass(frozen=True)
class Trouble:
    """A file that stayed where it was, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class Journal:
    """One sort of what lies in `origin`. links: files are linked, not moved."""

    path: Path
    origin: Path
    links: bool
    moves: list[Move]

    @property
    def folder(self) -> Path:
        """Where the sorted files go."""
        return self.path.parent.parent


def write(folder: Path, origin: Path, moves: Iterable[Move], *, links: bool) -> Journal:
    """Write down what is to be done, as the newest journal of `folder`. All paths are absolute."""
    numbers = [int(path.name.split(".")[0]) for path in _journals(folder)]
    path = folder / FOLDER / f"{max(numbers, default=0) + 1:04}{OPEN}"
    listed = list(moves)
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as file:
        about = {"origin": os.fspath(origin), "links": links, "files": len(listed)}
        file.write(json.dumps(about) + "\n")
        for one in listed:
            line = {"from": os.fspath(one.source), "to": os.fspath(one.place)}
            file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync_folder(path.parent)
    return Journal(path, origin, links, listed)


def done_path(journal: Journal) -> Path:
    """Where a journal lies when all of it has happened."""
    return journal.path.with_name(journal.path.name.replace(OPEN, DONE))


def find_unfinished(folder: Path) -> Journal | None:
    """The journal of a sort that was killed; None where every one came to its end."""
    found = [path for path in _journals(folder) if path.name.endswith(OPEN)]
    return _read(found[-1]) if found else None


def latest(folder: Path) -> Journal | None:
    """The newest journal that was not undone."""
    found = [path for path in _journals(folder) if not path.name.endswith(UNDONE)]
    return _read(found[-1]) if found else None


def carry_out(
    journal: Journal, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[Trouble]:
    """Do what is not done yet; files that cannot be moved stay, and are told."""
    troubles = []
    act = link if journal.links else move
    for number, one in enumerate(journal.moves, start=1):
        if _is_at(one, journal.links):
            _forget_second_name(one, journal.links)
        elif not os.path.lexists(one.source):
            troubles.append(Trouble(one.source, "it is no longer there"))
        else:
            try:
                one.place.parent.mkdir(parents=True, exist_ok=True)
                act(one.source, one.place)
            except OSError as error:
                troubles.append(Trouble(one.source, _why(error, one.place)))
        progress(number, len(journal.moves))
    if not journal.links:
        _remove_empty({one.source.parent for one in journal.moves}, journal.origin)
    _rename(journal, OPEN, DONE)
    return troubles


def undo(
    journal: Journal, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[Trouble]:
    """Put every file back to where it was; what stands there by now is left alone, and told."""
    troubles = []
    for number, one in enumerate(journal.moves, start=1):
        try:
            if journal.links:
                if _is_at(one, links=True):
                    one.place.unlink()
            elif os.path.lexists(one.place):
                if _same(one.source, one.place):
                    one.place.unlink()
                else:
                    one.source.parent.mkdir(parents=True, exist_ok=True)
                    move(one.place, one.source)
            elif not os.path.lexists(one.source):
                troubles.append(Trouble(one.place, "it is no longer there"))
        except OSError as error:
            troubles.append(Trouble(one.place, _why(error, one.source)))
        progress(number, len(journal.moves))
    _remove_empty({one.place.parent for one in journal.moves}, journal.folder)
    _rename(journal, DONE if journal.path.name.endswith(DONE) else OPEN, UNDONE)
    return troubles


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises JournalError where another sort holds it."""
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        if not _is_locked(lock):
            raise JournalError(f"another sort into {folder} is running; wait for its end")
        yield


def _is_locked(lock: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _journals(folder: Path) -> list[Path]:
    """By age."""
    return sorted(path for path in (folder / FOLDER).glob("[0-9]*.jsonl"))


def _read(path: Path) -> Journal:
    try:
        first, *rest = path.read_text(encoding="utf-8").splitlines()
        about: dict[str, Any] = json.loads(first)
        moves = [Move(Path(line["from"]), Path(line["to"])) for line in map(json.loads, rest)]
        if about["files"] != len(moves):
            raise ValueError(f"{about['files']} files, {len(moves)} lines")
        return Journal(path, Path(about["origin"]), bool(about["links"]), moves)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{path}: not a journal of a sort ({error})") from error


def _is_at(one: Move, links: bool) -> bool:
    """Whether a file has arrived."""
    if links:
        return one.place.is_symlink() and one.place.resolve() == one.source.resolve()
    gone = not os.path.lexists(one.source)
    return os.path.lexists(one.place) and (gone or _same(one.source, one.place))


def _same(one: Path, other: Path) -> bool:
    """Whether two names are of one file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _forget_second_name(one: Move, links: bool) -> None:
    if not links and _same(one.source, one.place):
        one.source.unlink()


def _remove_empty(folders: Iterable[Path], below: Path) -> None:
    """Folders below `below` that a sort has emptied, and those that this empties."""
    for folder in folders:
        for one in (folder, *folder.parents):
            try:
                if below not in one.parents:
                    break
                one.rmdir()
            except OSError:
                break


def _why(error: OSError, place: Path) -> str:
    if isinstance(error, FileExistsError):
        return f"{place} is there already"
    return error.strerror or str(error)


def _rename(journal: Journal, old: str, new: str) -> None:
    if journal.path.name.endswith(old):
        journal.path.rename(journal.path.with_name(journal.path.name.removesuffix(old) + new))
        _sync_folder(journal.path.parent)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
