"""What a file is, by its bytes and never by its name, and its first rows.

Only the beginning is read. Rows are objects as the file has them; a row that is a list, or a
line of a table without a header, becomes an object whose keys are the columns' numbers.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from raw_data.json_text import json_head
from raw_data.tables import table_head
from raw_data.transcripts import transcript

Kind = Literal[
    "lines", "array", "object", "table", "parquet", "transcript", "text",
    "audio", "image", "video", "model", "archive", "binary", "empty",
]  # fmt: skip

HEAD_BYTES = 1 << 16
LONGER_HEADS = (1 << 20, 1 << 24)
FEW_ROWS = 5
MOST_ROWS = 100
IN_RIFF = 8
GZIP = b"\x1f\x8b"

# First bytes of formats (at an offset), as their specifications have them.
SIGNATURES: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"PAR1", "parquet"),
    (IN_RIFF, b"WAVE", "audio"),
    (0, b"fLaC", "audio"),
    (0, b"OggS", "audio"),
    (0, b"ID3", "audio"),
    (0, b"\xff\xfb", "audio"),
    (0, b"\xff\xf3", "audio"),
    (4, b"ftypM4A", "audio"),
    (0, b"\x89PNG\r\n", "image"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"GIF8", "image"),
    (IN_RIFF, b"WEBP", "image"),
    (0, b"II*\x00", "image"),
    (0, b"MM\x00*", "image"),
    (IN_RIFF, b"AVI ", "video"),
    (4, b"ftyp", "video"),
    (0, b"\x1aE\xdf\xa3", "video"),
    (0, b"GGUF", "model"),
    (0, b"PK\x03\x04", "archive"),
    (0, b"BZh", "archive"),
    (0, b"\xfd7zXZ", "archive"),
    (0, b"7z\xbc\xaf", "archive"),
    (0, b"\x28\xb5\x2f\xfd", "archive"),
    (257, b"ustar", "archive"),
)


@dataclass(frozen=True)
class Head:
    """The beginning of a file.

    rows: the first ones, where it has rows. text: its beginning, where it is text without rows.
    rows_key: of an object with rows under a key. note: why there are no rows, for a person.
    whole: whether all of the file was read.
    """

    kind: Kind
    rows: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    delimiter: str = ","
    header: bool = True
    rows_key: str = ""
    note: str = ""
    whole: bool = False


def head_of(path: Path) -> Head:
    """The beginning of a file. Raises OSError where it cannot be opened."""
    head = _head(path, HEAD_BYTES)
    for limit in LONGER_HEADS:
        if (
            head.whole
            or head.kind not in ("lines", "array", "object")
            or len(head.rows) >= FEW_ROWS
        ):
            break
        # Rows so long that few of them were read, or not even one.
        head = _head(path, limit)
    return head


def _head(path: Path, limit: int) -> Head:
    with path.open("rb") as file:
        start = file.read(limit + 1)
    if start.startswith(GZIP):
        try:
            with gzip.open(path, "rb") as file:
                start = file.read(limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            return Head("binary", note=f"not a whole gzip file ({error})")
    whole = len(start) <= limit
    start = start[:limit]
    if not start.strip():
        return Head("empty", note="empty", whole=whole)
    kind = _by_signature(start)
    if kind == "parquet":
        return _of_parquet(path)
    if kind is not None:
        note = "an archive; unpack it first" if kind == "archive" else ""
        return Head(kind, note=note, whole=whole)
    text = _decode_start(start, whole)
    if text is None:
        return Head("binary", note=_why_not_text(start))
    return _of_text(text, whole)


def _by_signature(start: bytes) -> Kind | None:
    for offset, signature, kind in SIGNATURES:
        if start.startswith(signature, offset) and (offset != IN_RIFF or start[:4] == b"RIFF"):
            return kind
    # safetensors: the length of a JSON header as eight bytes, then the header.
    if start[8:10] == b'{"' and int.from_bytes(start[:8], "little") < 1 << 32:
        return "model"
    return None


def _decode_start(start: bytes, whole: bool) -> str | None:
    """The text, without a character that the end of what was read has cut; None if not UTF-8."""
    if b"\0" in start:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(start, final=whole)
    except UnicodeDecodeError:
        return None


def _why_not_text(start: bytes) -> str:
    """Older encodings of text are told from what is none by their lack of control characters."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16 text; save it as UTF-8"
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in start):
        return "not text"
    return "not UTF-8; if it is text, save it as UTF-8"


def _of_text(text: str, whole: bool) -> Head:
    if text.lstrip()[:1] in ("{", "["):
        found = json_head(text, whole, MOST_ROWS)
        if found is not None:
            kind, rows, rows_key = found
            return Head(kind, [_as_object(row) for row in rows], rows_key=rows_key, whole=whole)
    table = table_head(text, whole, MOST_ROWS)
    if table is not None:
        rows, delimiter, header = table
        return Head("table", rows, delimiter=delimiter, header=header, whole=whole)
    messages = transcript(text)
    if messages:
        return Head("transcript", [{"messages": messages}], text=text, whole=whole)
    return Head("text", text=text, whole=whole)


def _of_parquet(path: Path) -> Head:
    from raw_data.parquet import ParquetMissingError, parquet_rows

    try:
        rows = [row for row, _ in zip(parquet_rows(path), range(MOST_ROWS))]
    except (ParquetMissingError, ValueError) as error:
        return Head("parquet", note=str(error))
    return Head("parquet", rows)


def _as_object(row: Any) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    return {str(number): value for number, value in enumerate(row)}
