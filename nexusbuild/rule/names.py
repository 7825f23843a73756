"""Which texts may be names: of results, of targets, of the files that a target puts out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

MOST_OUTPUTS = 20_000

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[^+:#/\x00-\x1f\x7f-][^:#/\x00-\x1f\x7f]*(:[^#\x00-\x1f\x7f]+)?(?<!\+)")
_DRIVE = re.compile(r"[A-Za-z]:")
# What else lies in build/, next to a folder for each kind.
_NOT_KINDS = ("logs", "candidate")
_LONGEST_PATH = 1024  # in bytes
_LONGEST_NAME = 200  # in bytes: file systems take 255, and the builder adds to some names


def is_digest(text: object) -> bool:
    """Whether it is a SHA-256 in hexadecimal, as keys and names of objects are."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def is_target_id(name: object) -> bool:
    """Whether a target may have this id: it can be shown, and named on the command line and in
    build/, without leading out of it.
    """
    if not isinstance(name, str) or not name.isprintable() or _ID.fullmatch(name) is None:
        return False
    kind, _, rest = name.partition(":")
    parts = [kind, *(rest.split("/") if rest else ())]
    short = len(name.encode().replace(b"%", b"%25").replace(b"/", b"%2F")) <= _LONGEST_NAME
    return short and kind not in _NOT_KINDS and not any(part in ("", ".", "..") for part in parts)


def fault_in_path(path: str) -> str | None:
    """What keeps it from being the path of an output; None where nothing does."""
    if not path.isprintable():
        return "holds a character that cannot be printed"
    if len(path.encode()) > _LONGEST_PATH:
        return "is too long"
    if "\\" in path:
        return "holds a backslash"
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return "is not canonical: it has an empty part, `.` or `..`"
        if len(part.encode()) > _LONGEST_NAME:
            return "is too long"
    return None


def fault_in_paths(paths: Collection[str]) -> str | None:
    """What keeps these from being the outputs of one target; None where nothing does.

    No two may be one file, or one a folder of the other, on any disk: also where upper and lower
    case, or two ways to write an accent, are the same.
    """
    if len(paths) > MOST_OUTPUTS:
        return f"there are more than {MOST_OUTPUTS:,} files"
    written: dict[str, str] = {}
    files: set[str] = set()
    for path in paths:
        fault = fault_in_path(path)
        if fault is not None:
            return f"the path {shown_path(path)} {fault}"
        place = _fold(path)
        if place in files:
            return f"the path {shown_path(path)} is there twice"
        files.add(place)
        for prefix in _prefixes(path):
            other = written.setdefault(_fold(prefix), prefix)
            if other != prefix:
                return f"the paths {shown_path(other)} and {shown_path(prefix)} are alike"
    for path in paths:
        for prefix in _prefixes(path):
            if prefix != path and _fold(prefix) in files:
                return f"the path {shown_path(prefix)} is a file and a folder"
    return None


def printable(text: str) -> str:
    """The text as a record may hold it: what cannot be printed is escaped, lines stay."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text
    )


def shown_path(path: str) -> str:
    """A path of a stranger, short and without what a terminal would obey."""
    return ascii(path if len(path) <= 80 else f"{path[:77]}...")


def _fold(path: str) -> str:
    if path.isascii():
        return path.lower()
    import unicodedata

    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _prefixes(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
