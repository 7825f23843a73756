"""The fields of a manifest, each checked before anything is made of it.

A path is ASCII, so that it is spelled in one way, and differs from every other in more than case:
some file systems would take two such names for one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Any

from nexus.configuration import QUANTISATIONS
from nexus.errors import REBUILD, BundleError

MANIFEST = "manifest.json"
SUFFIXES = (".safetensors", ".json", ".md", ".txt")
# All that transformers may find where it opens the backbone.
BACKBONE_FILES = (
    "config.json",
    "backbone.safetensors",
    "model.safetensors.index.json",
    "generation_config.json",
)
DIGEST = re.compile(r"[0-9a-f]{64}")
PART_OF_PATH = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
CAPABILITY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
MEDIUM_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
MOST_MEDIA = 20
MOST_FILES = 10_000
MOST_CAPABILITIES = 1000
MOST_PATH_LETTERS = 240
MOST_BYTES = 1 << 50
MOST_TEMPLATE_LETTERS = 100_000
MOST_STOP_STRINGS = 100
MOST_STOP_LETTERS = 1000
MOST_NEW_TOKENS = 1 << 24


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle. `capability`: the one that it belongs to alone, if any."""

    path: str
    sha256: str
    bytes: int
    capability: str | None


@dataclass(frozen=True)
class Capability:
    """What the bundle can do: how it is asked, where an answer stops, and which files it needs.

    reads: media that it reads besides text, in the order of their soft tokens; projection: the file
    that brings these to the backbone's width, empty where it reads text alone.
    """

    name: str
    template: str
    stop_strings: tuple[str, ...]
    max_new_tokens: int
    isolated: bool
    adapter: str
    configuration: str
    about: Mapping[str, Any]
    reads: tuple[str, ...] = ()
    projection: str = ""


@dataclass(frozen=True)
class Encoder:
    """The files of the encoder of one medium."""

    weights: str
    configuration: str


@dataclass(frozen=True)
class Manifest:
    """The manifest, checked field by field. `fallback`: how the bare backbone is asked.

    intact: whether its seal is that of the bytes it was read from.
    """

    name: str
    quantization: str
    files: Mapping[str, FileEntry]
    capabilities: Mapping[str, Capability]
    fallback: Capability
    about: Mapping[str, Any]
    intact: bool
    encoders: Mapping[str, Encoder]


def checked_manifest(fields: Mapping[str, Any], *, intact: bool) -> Manifest:
    """The manifest that the fields make. Raises BundleError on the first that is wrong."""
    listed = mapping(fields.get("capabilities"), "capabilities", MOST_CAPABILITIES)
    capabilities = {_name(name): _capability(name, value) for name, value in listed.items()}
    _refuse_twins(capabilities, "capabilities")
    listed = mapping(fields.get("files"), "files", MOST_FILES)
    files = {path: _file(path, value, capabilities) for path, value in listed.items()}
    _refuse_twins({part for path in files for part in _prefixes(path)}, "files")
    _check_own_files(capabilities, files)
    listed = mapping(fields.get("encoders", {}), "encoders", MOST_MEDIA)
    encoders = {_medium(name): _encoder(name, value, files) for name, value in listed.items()}
    _check_media(capabilities, encoders)
    quantization = text(fields, "quantization")
    if quantization not in QUANTISATIONS:
        raise BundleError(MANIFEST, f"has the unknown quantization {quantization[:40]!r}", REBUILD)
    fallback = _asking(mapping(fields.get("backbone"), "backbone"), "backbone")
    return Manifest(
        name=text(fields, "name"),
        quantization=quantization,
        files=files,
        capabilities=capabilities,
        fallback=Capability("backbone", *fallback, False, "", "", {}),
        about=fields,
        intact=intact,
        encoders=encoders,
    )


def _capability(name: str, value: Any) -> Capability:
    fields = mapping(value, f"capability {name!r}")
    # Whatever is not plainly marked as open is kept closed.
    isolated = fields.get("isolated") is not False
    return Capability(
        name,
        *_asking(fields, name),
        isolated,
        text(fields, "adapter"),
        text(fields, "configuration"),
        fields,
        _reads(fields, name),
        text(fields, "projection") if fields.get("reads") else "",
    )


def _reads(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    reads = fields.get("reads", [])
    if (
        not isinstance(reads, list)
        or len(reads) > MOST_MEDIA
        or len(set(map(str, reads))) < len(reads)
    ):
        raise BundleError(MANIFEST, f"{name}: reads is not a list of media", REBUILD)
    return tuple(_medium(medium) for medium in reads)


def _medium(name: Any) -> str:
    if not isinstance(name, str) or not MEDIUM_NAME.fullmatch(name):
        raise BundleError(MANIFEST, f"{str(name)[:40]!r} is not the name of a medium", REBUILD)
    return name


def _encoder(medium: str, value: Any, files: Mapping[str, FileEntry]) -> Encoder:
    fields = mapping(value, f"the encoder of {medium}")
    encoder = Encoder(text(fields, "weights"), text(fields, "configuration"))
    for path, suffix in ((encoder.weights, ".safetensors"), (encoder.configuration, ".json")):
        if not (path.startswith("encoders/") and path.endswith(suffix)):
            raise BundleError(MANIFEST, f"{path[:100]!r} is not a file of an encoder", REBUILD)
        if path not in files or files[path].capability is not None:
            raise BundleError(
                MANIFEST, f"the encoder of {medium} needs {path}, shared and listed", REBUILD
            )
    return encoder


def _check_media(capabilities: Mapping[str, Capability], encoders: Mapping[str, Encoder]) -> None:
    for name, capability in capabilities.items():
        for medium in capability.reads:
            if medium not in encoders:
                raise BundleError(
                    MANIFEST, f"{name!r} reads {medium}, and no encoder of it is listed", REBUILD
                )


def _asking(fields: Mapping[str, Any], name: str) -> tuple[str, tuple[str, ...], int]:
    """Template, stop strings and the longest answer."""
    stop = mapping(fields.get("stop"), f"{name}: stop")
    strings = stop.get("strings")
    if not isinstance(strings, list) or not all(isinstance(item, str) for item in strings):
        raise BundleError(MANIFEST, f"{name}: stop.strings is no list of texts", REBUILD)
    if len(strings) > MOST_STOP_STRINGS or max(map(len, strings), default=0) > MOST_STOP_LETTERS:
        raise BundleError(MANIFEST, f"{name}: stop.strings is far too long", REBUILD)
    longest = whole(stop, "max_new_tokens")
    if not 1 <= longest <= MOST_NEW_TOKENS:
        raise BundleError(MANIFEST, f"{name}: stop.max_new_tokens is {longest}", REBUILD)
    template = text(fields, "template")
    if len(template) > MOST_TEMPLATE_LETTERS:
        raise BundleError(MANIFEST, f"{name}: template is far too long", REBUILD)
    return template, tuple(strings), longest


def _file(path: str, value: Any, capabilities: Mapping[str, Capability]) -> FileEntry:
    fields = mapping(value, f"file {path[:MOST_PATH_LETTERS]!r}")
    _check_path(path)
    digest = text(fields, "sha256")
    if not DIGEST.fullmatch(digest):
        raise BundleError(MANIFEST, f"the digest of {path} is no SHA-256", REBUILD)
    capability = None if fields.get("capability") is None else text(fields, "capability")
    if capability is not None and capability not in capabilities:
        raise BundleError(MANIFEST, f"{path} belongs to an unknown capability", REBUILD)
    size = whole(fields, "bytes")
    if size > MOST_BYTES:
        raise BundleError(MANIFEST, f"{path} would have {size} bytes", REBUILD)
    return FileEntry(path, digest, size, capability)


def _check_path(path: str) -> None:
    """A listed path stays inside the bundle, is written in one way, and is of a harmless kind."""
    parts = path.split("/")
    if not all(map(PART_OF_PATH.fullmatch, parts)) or len(path) > MOST_PATH_LETTERS:
        shown = repr(path[:MOST_PATH_LETTERS])
        raise BundleError(MANIFEST, f"lists {shown}, which is no path inside a bundle", REBUILD)
    if path == MANIFEST:
        raise BundleError(MANIFEST, "lists itself", REBUILD)
    if PurePosixPath(path).suffix not in SUFFIXES:
        raise BundleError(
            path, f"is no kind of file that a bundle holds ({', '.join(SUFFIXES)})", REBUILD
        )
    if parts[0] == "backbone" and path not in (f"backbone/{name}" for name in BACKBONE_FILES):
        raise BundleError(path, "is not a file of a backbone", REBUILD)


def _prefixes(path: str) -> list[str]:
    """`a/b/c` -> `a`, `a/b`, `a/b/c`."""
    return list(accumulate(path.split("/"), lambda folder, name: f"{folder}/{name}"))


def _refuse_twins(names: Collection[str], what: str) -> None:
    """Refuse names that differ in nothing but case."""
    known: dict[str, str] = {}
    for name in sorted(names):
        twin = known.setdefault(name.lower(), name)
        if twin != name:
            raise BundleError(
                MANIFEST, f"{what}: {twin!r} and {name!r} differ in case alone", REBUILD
            )


def _check_own_files(
    capabilities: Mapping[str, Capability], files: Mapping[str, FileEntry]
) -> None:
    """Each capability names files of its own, and weights that no isolated one has."""
    users: dict[str, str] = {}
    weights: dict[str, Capability] = {}
    for name, capability in sorted(capabilities.items()):
        own = [(capability.adapter, ".safetensors"), (capability.configuration, ".json")]
        if capability.reads:
            own.append((capability.projection, ".safetensors"))
        for path, suffix in own:
            if not (path.startswith("adapters/") and path.endswith(suffix)):
                raise BundleError(MANIFEST, f"{path[:100]!r} is no adapter's file", REBUILD)
            if path not in files:
                raise BundleError(MANIFEST, f"{name!r} needs {path}, which is not listed", REBUILD)
        for path in {value for value in capability.about.values() if _names_file(value, files)}:
            others = {files[path].capability, users.setdefault(path, name)} - {None, name}
            if others:
                owner = min(map(str, others))
                raise BundleError(MANIFEST, f"{name!r} names {path}, a file of {owner!r}", REBUILD)
            twin = weights.setdefault(files[path].sha256, capability)
            same = twin is not capability and path.endswith(".safetensors")
            if same and (twin.isolated or capability.isolated):
                names = f"{twin.name!r} and {name!r}"
                raise BundleError(
                    MANIFEST, f"{names} have the same weights, and one is isolated", REBUILD
                )


def _names_file(value: Any, files: Mapping[str, FileEntry]) -> bool:
    return isinstance(value, str) and value in files


def mapping(value: Any, what: str, most: int = 1000) -> Mapping[str, Any]:
    """The value, where it is a mapping of at most so many items. Raises BundleError."""
    if not isinstance(value, dict):
        raise BundleError(MANIFEST, f"{what} is no mapping", REBUILD)
    if len(value) > most:
        raise BundleError(
            MANIFEST, f"{what} has {len(value)} items; at most {most} are read", REBUILD
        )
    return value


def text(fields: Mapping[str, Any], key: str) -> str:
    """A field that is text. Raises BundleError."""
    value = fields.get(key)
    # Half of a surrogate pair, as JSON can name it, is a character that nothing can write.
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BundleError(MANIFEST, f"{key} is no text", REBUILD)
    return value


def whole(fields: Mapping[str, Any], key: str) -> int:
    """A field that is a whole number, not below 0. Raises BundleError."""
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BundleError(MANIFEST, f"{key} is no whole number", REBUILD)
    return value


def _name(name: str) -> str:
    if not CAPABILITY_NAME.fullmatch(name) or len(name) > 100 or name in ("backbone", "router"):
        raise BundleError(MANIFEST, f"{name[:100]!r} is not the name of a capability", REBUILD)
    return name
