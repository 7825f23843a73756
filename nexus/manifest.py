"""The manifest of a bundle: what is in it, and the proof that it is still that.

A bundle is data. Whatever is not listed, differs from its digest, or is of a kind that could run
code is refused before anything of it is opened. The manifest carries a digest of itself, its seal.
It is not signed: all this guards against damage and tampering with parts, not against someone who
makes another bundle.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from nexus.configuration import check_description
from nexus.errors import REBUILD, BundleError
from nexus.files import open_file, read_exactly, size_of
from nexus.manifest_fields import (
    MANIFEST,
    Capability,
    FileEntry,
    Manifest,
    checked_manifest,
    mapping,
    whole,
)
from nexus.stored_tensors import LENGTH_BYTES, header_length, parse_header
from nexus.strict_json import parse_json

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "MANIFEST",
    "UNSEALED",
    "Capability",
    "FileEntry",
    "Manifest",
    "file_digest",
    "read_manifest",
    "read_verified",
    "removable",
    "verify",
    "verify_safetensors",
    "with_seal",
]

FORMAT = "nexus-bundle"
FORMAT_VERSION = 1
SEAL = re.compile(rb'"seal": "([0-9a-f]{64})"')
UNSEALED = "0" * 64
MOST_MANIFEST_BYTES = 4 << 20
MOST_FOLDERS = 10_000
_CHUNK = 1 << 20


def read_manifest(bundle: Path) -> Manifest:
    """Read and check `manifest.json`; every way in which it can be wrong is a BundleError."""
    if bundle.is_file():
        raise BundleError(
            str(bundle), "is a file", "Name the folder of a bundle; unpack a zip file first"
        )
    try:
        with open_file(bundle / MANIFEST, alone=True) as file:
            content = bytes(read_exactly(file, min(size_of(file), MOST_MANIFEST_BYTES + 1)))
    except FileNotFoundError:
        raise BundleError(
            MANIFEST, f"is missing in {bundle}", "Name the folder of a bundle; " + REBUILD.lower()
        ) from None
    except (OSError, ValueError) as error:
        raise BundleError(MANIFEST, f"cannot be read ({error})", REBUILD) from error
    try:
        raw = parse_json(content, most_bytes=MOST_MANIFEST_BYTES)
    except ValueError as error:
        raise BundleError(MANIFEST, f"is not what it should be ({error})", REBUILD) from None
    fields = mapping(raw, "the manifest")
    if fields.get("format") != FORMAT:
        shown = str(fields.get("format"))[:40]
        raise BundleError(MANIFEST, f"has format {shown!r}, not {FORMAT!r}", REBUILD)
    version = whole(fields, "format_version")
    if version > FORMAT_VERSION:
        raise BundleError(
            MANIFEST,
            f"is of format {version}; this Nexus reads up to {FORMAT_VERSION}",
            "Install a newer Nexus",
        )
    return checked_manifest(fields, intact=_is_sealed(content))


def with_seal(content: bytes) -> bytes:
    """The bytes of a manifest with its seal in them: a SHA-256 of all the others.

    Raises ValueError where there is not one place for it, `"seal": "<64 hex digits>"`.
    """
    places = list(SEAL.finditer(content))
    if len(places) != 1:
        raise ValueError(f"a manifest has one seal; this has {len(places)}")
    start, end = places[0].span(1)
    others = content[:start] + UNSEALED.encode() + content[end:]
    return content[:start] + hashlib.sha256(others).hexdigest().encode() + content[end:]


def _is_sealed(content: bytes) -> bool:
    try:
        return with_seal(content) == content
    except ValueError:
        return False


def verify(bundle: Path, manifest: Manifest, hold: Collection[str] = ()) -> dict[str, bytearray]:
    """Compare every file with the manifest. Raises BundleError naming the first that differs.

    Files of an isolated capability may be absent: whoever passes a bundle on may take them out.
    hold: files to keep in memory. Returns their bytes, as they were hashed; what is in them is for
    who parses them to check, and here that of all others.
    """
    present = _files_below(bundle, manifest)
    held = {}
    for path in sorted(manifest.files):
        entry = manifest.files[path]
        if path not in present:
            if removable(manifest, entry):
                continue
            raise BundleError(path, "is missing", REBUILD)
        if path in hold:
            held[path] = read_verified(bundle, entry)
        else:
            _verify_file(bundle, manifest, entry)
    if not manifest.intact:
        raise BundleError(MANIFEST, "was changed: its seal does not fit", REBUILD)
    return held


def removable(manifest: Manifest, entry: FileEntry) -> bool:
    """Whether a bundle is whole without this file."""
    return entry.capability is not None and manifest.capabilities[entry.capability].isolated


def read_verified(bundle: Path, entry: FileEntry) -> bytearray:
    """All bytes of a file of the bundle. Raises BundleError where they differ from its entry."""
    digest = hashlib.sha256()
    with _open_entry(bundle, entry) as file:
        content = read_exactly(file, entry.bytes, digest.update)
    _compare(entry, digest.hexdigest())
    return content


def _verify_file(bundle: Path, manifest: Manifest, entry: FileEntry) -> None:
    """Compare a file with its entry, and what is in it with what a bundle may hold."""
    if entry.path.endswith(".json"):
        content = read_verified(bundle, entry)
        try:
            check_description(entry.path, content, manifest.quantization)
        except ValueError as error:
            raise BundleError(entry.path, f"is not what it should be ({error})", REBUILD) from None
        return
    digest = hashlib.sha256()
    with _open_entry(bundle, entry) as file:
        header = _Header.read(file, entry.bytes, digest.update)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    _compare(entry, digest.hexdigest())
    if entry.path.endswith(".safetensors"):
        header.check(entry.path)


def _compare(entry: FileEntry, digest: str) -> None:
    if digest != entry.sha256:
        raise BundleError(entry.path, "was changed: its digest differs", REBUILD)


@contextmanager
def _open_entry(bundle: Path, entry: FileEntry) -> Iterator[FileIO]:
    """The file of that entry, of the size that it says. Raises BundleError."""
    try:
        with open_file(bundle / entry.path, alone=True) as file:
            size = size_of(file)
            if size != entry.bytes:
                raise BundleError(entry.path, f"has {size} bytes, not {entry.bytes}", REBUILD)
            yield file
    except (OSError, ValueError) as error:
        raise BundleError(entry.path, f"cannot be read ({error})", REBUILD) from error


def verify_safetensors(file: Path, shown: str) -> None:
    """Refuse a file that only pretends to be safetensors, or whose header is wrong about it.

    Raises BundleError that names the file as `shown`.
    """
    try:
        with open_file(file) as opened:
            header = _Header.read(opened, size_of(opened), lambda _: None)
    except (OSError, ValueError) as error:
        raise BundleError(shown, f"cannot be read ({error})", REBUILD) from error
    header.check(shown)


@dataclass(frozen=True)
class _Header:
    """The header of a safetensors file of `size` bytes. length: as its first bytes give it."""

    first: bytearray
    content: bytearray
    size: int

    @classmethod
    def read(cls, file: FileIO, size: int, hashed: Callable[[memoryview], None]) -> _Header:
        """Read it, where it has a length that can be. hashed: is given what was read."""
        first = read_exactly(file, min(LENGTH_BYTES, size), hashed)
        try:
            length = header_length(first, size)
        except ValueError:
            length = 0
        return cls(first, read_exactly(file, length, hashed), size)

    def check(self, shown: str) -> None:
        """Raise BundleError where it does not describe the file."""
        try:
            length = header_length(self.first, self.size)
            parse_header(self.content, self.size - LENGTH_BYTES - length)
        except ValueError as error:
            raise BundleError(shown, f"is no safetensors file ({error})", REBUILD) from None


def _files_below(bundle: Path, manifest: Manifest) -> set[str]:
    """Paths of all files but the manifest, relative, with forward slashes.

    Raises BundleError on a file that is not listed, and on links: they lead outside, and what has
    a second name can be changed by it.
    """
    if not bundle.is_dir():
        raise BundleError(str(bundle), "is not a folder", "Name the folder of a bundle")
    found = set()
    folders = [bundle]
    for folder in folders:
        if len(folders) > MOST_FOLDERS:
            raise BundleError(str(bundle), f"has more than {MOST_FOLDERS} folders", REBUILD)
        for item in sorted(folder.iterdir()):
            path = item.relative_to(bundle).as_posix()
            about = item.lstat()
            if stat.S_ISDIR(about.st_mode):
                folders.append(item)
                continue
            _refuse_link(path, about)
            if path != MANIFEST and path not in manifest.files:
                raise BundleError(path, "is not in the manifest", "Take it out of the bundle")
            found.add(path)
    return found - {MANIFEST}


def _refuse_link(path: str, about: os.stat_result) -> None:
    if stat.S_ISLNK(about.st_mode):
        raise BundleError(path, "is a link", "Put the file itself there")
    if not stat.S_ISREG(about.st_mode):
        raise BundleError(path, "is no ordinary file", "Take it out of the bundle")
    if about.st_nlink > 1:
        raise BundleError(
            path, "is a hard link: the same file has another name", "Put a copy there"
        )


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
