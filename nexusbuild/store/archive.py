"""Results as one file, to carry between machines: records and objects in a plain tar.

What is read from such a file is distrusted: names are checked, every byte is hashed, and a record
is written only after all its objects are in the store.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from nexusbuild import errors
from nexusbuild.digest.digests import hash_file
from nexusbuild.errors import BuildError
from nexusbuild.rule.record import Output, Record, record_from_text, record_text
from nexusbuild.store.store import Store

_NAME = re.compile(r"(objects|actions)/([0-9a-f]{64})(\.json)?")


def export_results(store: Store, records: Iterable[Record], file: Path) -> int:
    """Write the records and all their objects; how many objects."""
    chosen = list(records)
    objects = {output.sha256 for record in chosen for output in record.outputs}
    unusable = list(_unusable(store, chosen))
    if unusable:
        raise errors.several(unusable)
    if file.is_dir():
        raise errors.is_a_directory(str(file))
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        with tarfile.open(temporary, "w") as archive:
            for sha256 in sorted(objects):
                archive.add(store.object(sha256), f"objects/{sha256}", filter=_without_owner)
            for record in chosen:
                content = record_text(record).encode()
                entry = tarfile.TarInfo(f"actions/{record.key}.json")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        temporary.replace(file)
    except OSError as error:
        raise errors.unwritable(str(file), error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return len(objects)


def _unusable(store: Store, records: Iterable[Record]) -> Iterator[BuildError]:
    """One problem for each target that has a file gone or damaged."""
    seen: dict[str, bool] = {}
    for record in records:
        for output in record.outputs:
            if output.sha256 not in seen:
                seen[output.sha256] = store.verified(output)
            if not seen[output.sha256]:
                gone = not store.object(output.sha256).exists()
                wording = errors.output_gone if gone else errors.output_damaged
                yield wording(record.target, output.path)
                break


def check_readable(file: Path) -> None:
    """Raise BuildError where `file` is not there, or no archive at all."""
    try:
        if not tarfile.is_tarfile(file):
            raise errors.no_archive(str(file))
    except OSError as error:
        raise errors.unreadable(str(file), error) from error


def import_results(store: Store, file: Path) -> list[Record]:
    """Take what `file` holds into the store; the records that are new or were there."""
    check_readable(file)
    folder = store.run_directory("import")
    records: list[Record] = []
    arrived: dict[str, Path] = {}
    try:
        with tarfile.open(file) as archive:
            for entry in archive:
                match = _NAME.fullmatch(entry.name)
                stream = archive.extractfile(entry) if match and entry.isfile() else None
                if match is None or stream is None:
                    raise errors.damaged(str(file), f"the entry {entry.name!r}")
                if match[1] == "objects":
                    path = folder / match[2]
                    with path.open("wb") as out:
                        while block := stream.read(1 << 20):
                            out.write(block)
                    if hash_file(path) != match[2]:
                        raise errors.damaged(str(file), f"the object {match[2][:16]}")
                    arrived[match[2]] = path
                else:
                    record = record_from_text(stream.read().decode(), match[2])
                    if record is None:
                        raise errors.damaged(str(file), f"the record {match[2][:16]}")
                    records.append(record)
        for record in records:
            _check_complete(file, record, arrived)
        sizes = {sha256: path.stat().st_size for sha256, path in arrived.items()}
        for sha256, path in arrived.items():
            store.add_object(path, Output(sha256, sha256, sizes[sha256]))
        for record in records:
            store.add_record(record)
            if store.current(record.target) is None:
                store.set_current(record.target, record.key)
    except (tarfile.TarError, UnicodeDecodeError, EOFError) as error:
        raise errors.damaged(str(file), f"the archive ({error})") from error
    except OSError as error:
        raise errors.unreadable(str(error.filename or file), error) from error
    finally:
        store.drop_run(folder)
    return records


def _check_complete(file: Path, record: Record, arrived: dict[str, Path]) -> None:
    for output in record.outputs:
        path = arrived.get(output.sha256)
        if path is None or path.stat().st_size != output.bytes:
            raise errors.damaged(str(file), f"{record.target}: {output.path}")


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
