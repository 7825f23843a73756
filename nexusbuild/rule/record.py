"""The action record: what a target put out, what of, and how it went.

A record vouches for itself: its file begins with the digest of all that follows, and one that does
not agree with itself counts as missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from nexusbuild.digest.fingerprint import Code
from nexusbuild.digest.keys import key_of, own_digest, sha256_text, tree_digest
from nexusbuild.rule.graph import input_file


@dataclass(frozen=True)
class Output:
    """One file that a target put out; `path` is relative, with forward slashes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class InputUse:
    """What stood behind an input role: `digest` of what was read, `key` of what made it."""

    reference: str
    digest: str
    key: str


@dataclass(frozen=True)
class SourceUse:
    path: str
    digest: str


@dataclass(frozen=True)
class Record:
    """One result. provenance: seconds, peak_rss_bytes, dates, host, libraries, versions;
    measured: what the work itself measured of its run."""

    key: str
    target: str
    work: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, InputUse]
    sources: Mapping[str, SourceUse]
    code: Code
    outputs: tuple[Output, ...]
    verdict: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> str:
        sources = {role: use.digest for role, use in self.sources.items()}
        return own_digest(self.target, self.settings, sources, self.code.fingerprint)

    @property
    def input_digests(self) -> dict[str, str]:
        return {role: use.digest for role, use in self.inputs.items()}

    @cached_property
    def digest(self) -> str:
        """Digest of all outputs."""
        return outputs_digest(self.outputs)

    def digest_of(self, reference: str) -> str:
        """Digest of the outputs that an input reference names."""
        if input_file(reference) is None:
            return self.digest
        return outputs_digest(self.files(reference))

    @property
    def bytes(self) -> int:
        return sum(output.bytes for output in self.outputs)

    @property
    def passed(self) -> bool:
        return self.verdict is None or self.verdict.get("verdict") == "pass"

    def files(self, reference: str) -> tuple[Output, ...]:
        """The outputs that an input reference names; empty where its file was not made."""
        wanted = input_file(reference)
        if wanted is None:
            return self.outputs
        below = f"{wanted}/"
        return tuple(o for o in self.outputs if o.path == wanted or o.path.startswith(below))

    def with_code(self, code: Code, provenance: Mapping[str, Any]) -> Record:
        """The same result under another code fingerprint."""
        changed = replace(self, code=code, provenance=provenance)
        return replace(changed, key=key_of(changed.own, changed.input_digests))

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "target": self.target,
            "work": self.work,
            "settings": self.settings,
            "inputs": {
                role: {"reference": use.reference, "digest": use.digest, "key": use.key}
                for role, use in self.inputs.items()
            },
            "sources": {
                role: {"path": use.path, "digest": use.digest} for role, use in self.sources.items()
            },
            "code": {
                "fingerprint": self.code.fingerprint,
                "modules": self.code.modules,
                "libraries": list(self.code.libraries),
            },
            "outputs": outputs_json(self.outputs),
            "verdict": self.verdict,
            "provenance": self.provenance,
        }


def outputs_json(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    return [
        {"path": output.path, "sha256": output.sha256, "bytes": output.bytes} for output in outputs
    ]


def outputs_digest(outputs: Iterable[Output]) -> str:
    return tree_digest((output.path, output.sha256) for output in outputs)


_DIGEST = '{"sha256":"'


def record_text(record: Record) -> str:
    """A record as its file holds it: a JSON object, before its other members the digest of these as
    an object of their own.
    """
    line = json.dumps(record.to_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f'{_DIGEST}{sha256_text(line)}",{line[1:]}\n'


def record_from_text(text: str, key: str) -> Record | None:
    """The record that `text` holds, or None where it is no whole record of `key`."""
    head, _, rest = text.partition('",')
    line, check = "{" + rest.rstrip("\n"), head.removeprefix(_DIGEST)
    if check == head:  # as older stores have it: the object, and below it its digest
        line, _, check = text.partition("\n")
    if check.strip() != sha256_text(line):
        return None
    try:
        return record_from_json(json.loads(line), key)
    except ValueError:
        return None


def record_from_json(raw: Mapping[str, Any], key: str) -> Record | None:
    """The record that `to_json` gave, or None where it is not that of `key`."""
    try:
        code = raw["code"]
        record = Record(
            key=raw["key"],
            target=raw["target"],
            work=raw["work"],
            settings=raw["settings"],
            inputs={role: InputUse(**use) for role, use in raw["inputs"].items()},
            sources={role: SourceUse(**use) for role, use in raw["sources"].items()},
            code=Code(code["fingerprint"], code["modules"], tuple(code["libraries"])),
            outputs=tuple(Output(**output) for output in raw["outputs"]),
            verdict=raw["verdict"],
            provenance=raw["provenance"],
        )
    except (KeyError, TypeError, AttributeError):
        return None
    return record if record.key == key else None


def file_name(name: str) -> str:
    """A target's id or an input's role as one file name, reversibly."""
    return name.replace("%", "%25").replace("/", "%2F")


def target_of(name: str) -> str:
    """What `file_name` was made from."""
    return name.replace("%2F", "/").replace("%25", "%")
