"""Sound, pictures and film: which files a manifest is about, and what the two together teach."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from raw_data.judging import Judgement

MEDIA = ("audio", "image", "video")
SUFFIX = re.compile(
    r"\.(?:(?P<audio>wav|mp3|flac|ogg|opus|m4a)|(?P<image>png|jpe?g|gif|webp|bmp|tiff?)"
    r"|(?P<video>mp4|webm|mkv|avi|mov))$",
    re.IGNORECASE,
)
LEAST_FOUND = 0.5
LEAST_DISTINCT = 3

SPOKEN = {"text", "transcript", "transcription", "sentence", "normalized_text", "words"}
ASKED = {"question", "questions", "query", "conversations", "qa"}
FEELING = {"emotion", "sentiment"}
WANTED = {"prompt", "instruct", "voice_description", "style", "speaker_description"}


def referring_column(
    rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]
) -> tuple[str, str] | None:
    """The key under which rows name media files, and the kind of these; None if there is none.

    names: the files that there are, by path, name and name without suffix -> kind of media.
    Numbers count as names where there are several: `17` may mean `images/17.png`.
    """
    keys = dict.fromkeys(key for row in rows for key in row)
    for key in keys:
        values = [_named_file(row.get(key)) for row in rows]
        kinds = [names[value] for value in values if value in names]
        distinct = len({value for value in values if value in names})
        plain = all(value.isdecimal() for value in values if value)
        if len(kinds) >= LEAST_FOUND * len(rows) and distinct >= (LEAST_DISTINCT if plain else 1):
            return key, max(set(kinds), key=kinds.count)
    return None


def named_media(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The key under which rows name media files by their suffix, wherever these may be."""
    for key, value in rows[0].items() if rows else ():
        if not SUFFIX.search(_named_file(value)):
            continue
        found = [SUFFIX.search(_named_file(row.get(key))) for row in rows]
        kinds = [match.lastgroup or "" for match in found if match]
        if len(kinds) > LEAST_FOUND * len(rows):
            return key, max(set(kinds), key=kinds.count)
    return None


def judged_manifest(rows: Sequence[Mapping[str, Any]], column: str, kind: str) -> Judgement:
    """What media and the rows about them teach.

    Where a medium is what a model reads, it is for an encoder; where it is to come out, for a
    decoder.
    """
    keys = {str(key).lower() for row in rows for key in row if key != column}
    unnamed = bool(keys) and all(key.isdecimal() for key in keys)
    if keys & FEELING:
        return Judgement("emotion", 0.9, f"{kind} with feelings")
    if keys & ASKED or (unnamed and _asks(rows, column)):
        names = {"image": "vision-qa", "video": "video-understanding", "audio": "omni"}
        return Judgement(names[kind], 0.95, f"questions about {kind} files")
    if keys & WANTED:
        return Judgement(f"decoders/{kind}", 0.85, f"{kind} made to a description")
    if kind == "audio" and keys & SPOKEN:
        return Judgement("asr", 0.95, "speech with its text")
    return Judgement(f"encoders/{kind}", 0.85, f"{kind} with captions or labels")


def bare(kind: str) -> Judgement:
    """Media that nothing is said about: enough for an encoder."""
    return Judgement(f"encoders/{kind}", 0.7, f"{kind} without a manifest")


def names_of(paths: Iterable[tuple[PurePosixPath, str]]) -> dict[str, str]:
    """Path, name and name without suffix of each file -> kind of media."""
    found: dict[str, str] = {}
    for path, kind in paths:
        for name in (path.as_posix(), path.name, path.stem):
            found.setdefault(name, kind)
    return found


def _asks(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    return any(
        isinstance(value, str) and value.rstrip().endswith("?")
        for row in rows
        for key, value in row.items()
        if key != column
    )


def _named_file(value: Any) -> str:
    """How a cell may name a file: a path, a number, or an object with a path in it."""
    if isinstance(value, Mapping):
        value = value.get("path")
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).removeprefix("./").replace("\\", "/")
    return ""
