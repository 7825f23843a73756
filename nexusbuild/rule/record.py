"""The action record: what a target put out, what of, and how it went.

A record vouches for itself: its file begins with the digest of all that follows, and one that does
not agree with itself counts as missing. So does one that says what no record says (`record_check`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from nexusbuild.digest.fingerprint import Code
from nexusbuild.digest.keys import key_of, own_digest, sha256_text, tree_digest
from nexusbuild.errors import BuildError
from nexusbuild.rule.graph import input_file
from nexusbuild.rule.record_check import MOST_BYTES, DamagedRecordError, check_record


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
    """One result. provenance: seconds, peak_rss_bytes, dates, host, libraries, versions; measured:
    what the work itself measured of its run; imported: where it came `from` and `when`, if it was
    not made in this store."""

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
    def seconds(self) -> float:
        """How long its work took; 0 where it does not say."""
        return float(self.provenance.get("seconds", 0.0))

    @property
    def imported(self) -> Mapping[str, str] | None:
        """Where it came `from`, and `when`; None where it was made in this store."""
        found: Mapping[str, str] | None = self.provenance.get("imported")
        return found

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


def record_from_text(text: str, key: str) -> Record:
    """The record of `key` that `text` holds. Raises DamagedRecordError where it holds none."""
    head, _, rest = text.partition('",')
    line, check = "{" + rest.rstrip("\n"), head.removeprefix(_DIGEST)
    if check == head:  # as older stores have it: the object, and below it its digest
        line, _, check = text.partition("\n")
    if len(text) > MOST_BYTES:
        raise DamagedRecordError("it is too long")
    try:
        if check.strip() != sha256_text(line):
            raise DamagedRecordError("it is not what was written")
        raw = json.loads(line, object_pairs_hook=_distinct)
    except DamagedRecordError:
        raise
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError("it is not JSON") from error
    return record_from_json(raw, key)


def record_from_json(raw: object, key: str) -> Record:
    """The record of `key` in JSON values of anyone's. The one door: its form is checked, and that
    the key follows from its parts. Raises DamagedRecordError.
    """
    check_record(raw)
    try:
        record = record_of(raw)
        follows = record.key == key_of(record.own, record.input_digests)
        record_text(record).encode()  # half of a character cannot be written again
    except (ValueError, RecursionError, BuildError) as error:
        raise DamagedRecordError("it holds what is not plain JSON") from error
    if record.key != key:
        raise DamagedRecordError("it is the record of another key")
    if not follows:
        raise DamagedRecordError("its key does not follow from its parts")
    return record


def record_of(raw: Any) -> Record:
    """The record that `to_json` gave, in this very process or checked before it was kept."""
    code = raw["code"]
    return Record(
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


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DamagedRecordError("a name stands twice in one object")
    return found


def file_name(name: str) -> str:
    """A target's id or an input's role as one file name, reversibly."""
    return name.replace("%", "%25").replace("/", "%2F")


def target_of(name: str) -> str:
    """What `file_name` was made from."""
    return name.replace("%2F", "/").replace("%25", "%")
