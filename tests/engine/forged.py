"""Archives and stores as someone would forge them who wants something written, run or released."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toy_project import Toy

from nexusbuild.digest.keys import sha256_text
from nexusbuild.rule.record import Record, record_from_text, record_text

LONG = 3600.0  # seconds that an honest result took, so that it is worth taking


def read_record(toy: Toy, target: str) -> Record:
    link = toy.folder / ".nexus/current" / target
    return record_from_text(link.read_text(), link.readlink().stem)


def contents(toy: Toy, *records: Record) -> dict[str, bytes]:
    """digest -> bytes of all that the records put out."""
    objects = toy.folder / ".nexus/objects"
    return {
        output.sha256: (objects / output.sha256).read_bytes()
        for record in records
        for output in record.outputs
        if (objects / output.sha256).exists()
    }


def with_output(record: Record, path: str, content: bytes) -> tuple[Record, dict[str, bytes]]:
    """The record with one more output; and the object that it names."""
    from nexusbuild.rule.record import Output

    sha256 = hashlib.sha256(content).hexdigest()
    output = Output(path, sha256, len(content))
    return replace(record, outputs=(*record.outputs, output)), {sha256: content}


def taking_long(record: Record) -> Record:
    return replace(record, provenance={**record.provenance, "seconds": LONG})


def text_of(raw: Mapping[str, Any]) -> bytes:
    """A record's text around any JSON, with a digest that agrees with it."""
    line = json.dumps(raw, sort_keys=True, separators=(",", ":"))
    return f'{{"sha256":"{sha256_text(line)}",{line[1:]}\n'.encode()


def entry(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def entries(
    records: Iterable[Record | tuple[str, bytes]], objects: Mapping[str, bytes]
) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Those of an archive. A record may be given as its key and text."""
    found = [entry(f"objects/{sha256}", content) for sha256, content in objects.items()]
    for record in records:
        key, text = (
            record if isinstance(record, tuple) else (record.key, record_text(record).encode())
        )
        found.append(entry(f"actions/{key}.json", text))
    return found


def write_archive(
    file: Path, parts: Iterable[tuple[tarfile.TarInfo, bytes]], mode: Any = "w"
) -> Path:
    with tarfile.open(file, mode) as archive:
        for info, content in parts:
            archive.addfile(info, io.BytesIO(content))
    return file


def rewrite(toy: Toy, change: Callable[[dict[str, Any]], object], target: str) -> str:
    """Change a record in the store itself, as a store that was copied may bring it; its key."""
    path = (toy.folder / ".nexus/current" / target).resolve()
    raw = json.loads(path.read_text())
    raw.pop("sha256")
    change(raw)
    path.chmod(0o644)
    path.write_bytes(text_of(raw))
    return path.stem


def make_long(toy: Toy, *targets: str) -> None:
    """Let the results of these say that they took an hour."""
    for target in targets:
        rewrite(toy, lambda raw: raw["provenance"].update(seconds=LONG), target)
