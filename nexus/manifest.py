"""The manifest of a bundle: what is in it, and the proof that it is still that.

A bundle is data. Whatever is not listed, differs from its digest, or is of a kind that could run
code is refused before anything of it is opened. The manifest carries a digest of itself, its seal.
It is not signed: all this guards against damage and tampering with parts, not against someone who
makes another bundle.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nexus.errors import REBUILD, BundleError

MANIFEST = "manifest.json"
FORMAT = "nexus-bundle"
FORMAT_VERSION = 1
SUFFIXES = (".safetensors", ".json", ".md", ".txt")
DIGEST = re.compile(r"[0-9a-f]{64}")
SEAL = re.compile(rb'"seal": "([0-9a-f]{64})"')
UNSEALED = "0" * 64
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle. `capability`: the one that it belongs to alone, if any."""

    path: str
    sha256: str
    bytes: int
    capability: str | None


@dataclass(frozen=True)
class Capability:
    """What the bundle can do: how it is asked, where an answer stops, and which files it needs."""

    name: str
    template: str
    stop_strings: tuple[str, ...]
    max_new_tokens: int
    isolated: bool
    adapter: str
    configuration: str
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The manifest, checked field by field. `fallback`: how the bare backbone is asked."""

    name: str
    quantization: str
    files: Mapping[str, FileEntry]
    capabilities: Mapping[str, Capability]
    fallback: Capability
    about: Mapping[str, Any]


def read_manifest(bundle: Path) -> Manifest:
    """Read and check `manifest.json`; every way in which it can be wrong is a BundleError."""
    path = bundle / MANIFEST
    if bundle.is_file():
        raise BundleError(
            str(bundle), "is a file", "Name the folder of a bundle; unpack a zip file first"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BundleError(
            MANIFEST, f"is missing in {bundle}", "Name the folder of a bundle; " + REBUILD.lower()
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(MANIFEST, f"cannot be read ({error})", REBUILD) from error
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(MANIFEST, f"is no JSON ({error})", REBUILD) from None
    return _checked(raw)


def _checked(raw: Any) -> Manifest:
    fields = _mapping(raw, "the manifest")
    if fields.get("format") != FORMAT:
        raise BundleError(MANIFEST, f"has format {fields.get('format')!r}, not {FORMAT!r}", REBUILD)
    version = _whole(fields, "format_version")
    if version > FORMAT_VERSION:
        raise BundleError(
            MANIFEST,
            f"is of format {version}; this Nexus reads up to {FORMAT_VERSION}",
            "Install a newer Nexus",
        )
    capabilities = {
        _name(name): _capability(_name(name), value)
        for name, value in _mapping(fields.get("capabilities"), "capabilities").items()
    }
    files = {
        path: _file(path, value, capabilities)
        for path, value in _mapping(fields.get("files"), "files").items()
    }
    for capability in capabilities.values():
        for path in (capability.adapter, capability.configuration):
            if path not in files:
                raise BundleError(
                    MANIFEST, f"capability {capability.name!r} needs {path}, which is not listed"
                )
    fallback = _asking(_mapping(fields.get("backbone"), "backbone"), "backbone")
    return Manifest(
        name=_text(fields, "name"),
        quantization=_text(fields, "quantization"),
        files=files,
        capabilities=capabilities,
        fallback=Capability("backbone", *fallback, False, "", "", {}),
        about=fields,
    )


def _capability(name: str, value: Any) -> Capability:
    fields = _mapping(value, f"capability {name!r}")
    # Whatever is not plainly marked as open is kept closed.
    isolated = fields.get("isolated") is not False
    return Capability(
        name,
        *_asking(fields, name),
        isolated,
        _text(fields, "adapter"),
        _text(fields, "configuration"),
        fields,
    )


def _asking(fields: Mapping[str, Any], name: str) -> tuple[str, tuple[str, ...], int]:
    """Template, stop strings and the longest answer."""
    stop = _mapping(fields.get("stop"), f"{name}: stop")
    strings = stop.get("strings")
    if not isinstance(strings, list) or not all(isinstance(item, str) for item in strings):
        raise BundleError(MANIFEST, f"{name}: stop.strings is no list of texts", REBUILD)
    longest = _whole(stop, "max_new_tokens")
    if longest < 1:
        raise BundleError(MANIFEST, f"{name}: stop.max_new_tokens is {longest}", REBUILD)
    return _text(fields, "template"), tuple(strings), longest


def _file(path: str, value: Any, capabilities: Mapping[str, Capability]) -> FileEntry:
    fields = _mapping(value, f"file {path!r}")
    _check_path(path)
    digest = _text(fields, "sha256")
    if not DIGEST.fullmatch(digest):
        raise BundleError(MANIFEST, f"the digest of {path} is no SHA-256", REBUILD)
    capability = None if fields.get("capability") is None else _text(fields, "capability")
    if capability is not None and capability not in capabilities:
        raise BundleError(MANIFEST, f"{path} belongs to an unknown capability", REBUILD)
    return FileEntry(path, digest, _whole(fields, "bytes"), capability)


def _check_path(path: str) -> None:
    """A listed path stays inside the bundle, is written in one way, and is of a harmless kind."""
    plain = path.isprintable() and "\\" not in path and ":" not in path
    pure = PurePosixPath(path)
    if not plain or pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == ".":
        raise BundleError(MANIFEST, f"lists {path!r}, which is no path inside a bundle", REBUILD)
    if path == MANIFEST:
        raise BundleError(MANIFEST, "lists itself", REBUILD)
    if pure.suffix not in SUFFIXES:
        raise BundleError(
            path, f"is no kind of file that a bundle holds ({', '.join(SUFFIXES)})", REBUILD
        )


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BundleError(MANIFEST, f"{what} is no mapping", REBUILD)
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    # Half of a surrogate pair, as JSON can name it, is a character that nothing can write.
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BundleError(MANIFEST, f"{key} is no text", REBUILD)
    return value


def _whole(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BundleError(MANIFEST, f"{key} is no whole number", REBUILD)
    return value


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name in ("backbone", "router"):
        raise BundleError(MANIFEST, f"{name!r} is no name of a capability", REBUILD)
    return name


def verify(bundle: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest. Raises BundleError naming the first that differs.

    Files of an isolated capability may be absent: whoever passes a bundle on may take them out.
    """
    present = set(_files_below(bundle))
    present.discard(MANIFEST)
    for path in sorted(present - manifest.files.keys()):
        raise BundleError(path, "is not in the manifest", "Take it out of the bundle")
    for path in sorted(manifest.files):
        entry = manifest.files[path]
        if path not in present:
            if removable(manifest, entry):
                continue
            raise BundleError(path, "is missing", REBUILD)
        verify_file(bundle, entry)
    _verify_seal((bundle / MANIFEST).read_bytes())


def sealed(content: bytes) -> bytes:
    """The bytes of a manifest with its seal in them: a SHA-256 of all the others.

    Raises ValueError where there is not one place for it, `"seal": "<64 hex digits>"`.
    """
    places = list(SEAL.finditer(content))
    if len(places) != 1:
        raise ValueError(f"a manifest has one seal; this has {len(places)}")
    start, end = places[0].span(1)
    others = content[:start] + UNSEALED.encode() + content[end:]
    return content[:start] + hashlib.sha256(others).hexdigest().encode() + content[end:]


def _verify_seal(content: bytes) -> None:
    try:
        whole = sealed(content) == content
    except ValueError:
        whole = False
    if not whole:
        raise BundleError(MANIFEST, "was changed: its seal does not fit", REBUILD)


def removable(manifest: Manifest, entry: FileEntry) -> bool:
    """Whether a bundle is whole without this file."""
    return entry.capability is not None and manifest.capabilities[entry.capability].isolated


def verify_file(bundle: Path, entry: FileEntry) -> None:
    """Compare one file of the bundle with its entry. Raises BundleError where it differs."""
    file = bundle / entry.path
    size = file.stat().st_size
    if size != entry.bytes:
        raise BundleError(entry.path, f"has {size} bytes, not {entry.bytes}", REBUILD)
    if file_digest(file) != entry.sha256:
        raise BundleError(entry.path, "was changed: its digest differs", REBUILD)
    if file.suffix == ".safetensors":
        verify_safetensors(file, entry.path)


def verify_safetensors(file: Path, shown: str) -> None:
    """Refuse a file that only pretends to be safetensors, or whose header is wrong about it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            tensors.keys()
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(shown, f"is no safetensors file ({error})", REBUILD) from error


def _files_below(bundle: Path) -> Iterator[str]:
    """Paths of all files, relative, with forward slashes. Links are refused: they lead outside."""
    if not bundle.is_dir():
        raise BundleError(str(bundle), "is no folder", "Name the folder of a bundle")
    folders = [bundle]
    while folders:
        for item in sorted(folders.pop().iterdir()):
            shown = item.relative_to(bundle).as_posix()
            if item.is_symlink():
                raise BundleError(shown, "is a link", "Put the file itself there")
            if item.is_dir():
                folders.append(item)
            elif item.is_file():
                yield shown
            else:
                raise BundleError(shown, "is no ordinary file", "Take it out of the bundle")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
