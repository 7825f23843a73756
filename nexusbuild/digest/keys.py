"""Keys: what a result is a function of, as one digest.

A key is sha256 over a target's own parts (id, settings, sources, code) and the digests of what
its inputs put out. Same key, same result. Nothing here reads a file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from nexusbuild import errors

# Part of every key: raise it when the meaning of a key changes, and every old result is unknown.
KEY_FORMAT = 1


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Canonical(dict[str, Any]):
    """JSON values with their canonical text, so that it is not written out again."""

    def __init__(self, value: Mapping[str, Any], text: str) -> None:
        super().__init__(value)
        self.text = text


def plain_json(value: Any, target: str = "", path: str = "") -> Any:
    """`value` as dictionaries, lists, strings, numbers, booleans and None only, or an error."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise errors.not_json(target, path or "(name)", name)
        return {
            name: plain_json(value[name], target, f"{path}.{name}" if path else name)
            for name in value
        }
    if isinstance(value, (list, tuple)):
        return [plain_json(item, target, f"{path}[{index}]") for index, item in enumerate(value)]
    raise errors.not_json(target, path, value)


def canonical_json(value: Any, target: str = "") -> str:
    """The one JSON text of `value`: sorted names, no white space, finite numbers only."""
    if isinstance(value, Canonical):
        return value.text
    return _encoded(plain_json(value, target))


_encoded = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def settings_digest(settings: Mapping[str, Any], target: str = "") -> str:
    return sha256_text(canonical_json(settings, target))


def _object(names: Mapping[str, str]) -> str:
    """canonical_json of names and strings; an encoder is slow to set out, not to write strings."""
    pairs = (f"{_encoded(name)}:{_encoded(names[name])}" for name in sorted(names))
    return f"{{{','.join(pairs)}}}"


def own_digest(
    target: str, settings: Mapping[str, Any], sources: Mapping[str, str], code: str
) -> str:
    """Digest of a target's own parts. sources: role -> digest; code: its fingerprint."""
    name, written = _encoded(target), canonical_json(settings, target)
    # What canonical_json makes of ["own", KEY_FORMAT, target, settings, sources, code].
    return sha256_text(f'["own",{KEY_FORMAT},{name},{written},{_object(sources)},{_encoded(code)}]')


def key_of(own: str, inputs: Mapping[str, str]) -> str:
    """The key. inputs: role -> digest of what that input puts out."""
    return sha256_text(f'["key",{_encoded(own)},{_object(inputs)}]')


def tree_digest(files: Iterable[tuple[str, str]]) -> str:
    """Digest of named files: (path, sha256) pairs, in any order."""
    pairs = (f"[{_encoded(path)},{_encoded(digest)}]" for path, digest in sorted(files))
    return sha256_text(f'["tree",[{",".join(pairs)}]]')


def seed_of(seed: object, target: str) -> int:
    """A target's own seed: four bytes of sha256 over the spec's seed and the target's id."""
    digest = hashlib.sha256(f"{seed}:{target}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
