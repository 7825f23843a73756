"""What every file of a folder is and could teach: by its own rows, and by those next to it."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from raw_data.formats import Head, head_of
from raw_data.judging import Judgement, judge
from raw_data.media import MEDIA, bare, judged_manifest, named_media, names_of, referring_column

JUDGED_ROWS = 12
LEAST_TEXT = 2000
LONGEST_LABEL = 60
SURE = 0.8
COMPANION_SHARE = 0.8
LABEL_SHARE = 0.6
NEAR = 50
ABOUT = re.compile(
    r"(?i)(^|[\W_])(licen[cs]e|notice|readme|copying|changelog|citation|authors|contributing|"
    r"requirements|makefile)([\W_]|$)"
)
ABOUT_SUFFIXES = (".md", ".rst", ".tex", ".html", ".xml")
PROGRAM_SUFFIXES = (".py", ".sh", ".ipynb", ".js", ".ts", ".yaml", ".yml", ".toml")
IDS = ("id", "task_id", "uid", "uuid", "question_id", "key")
MODEL_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx")
MODEL_CONFIGS = ("config.json", "model_index.json", "params.json")


@dataclass(frozen=True)
class Finding:
    """One file, by its path below the folder. capability None: nothing says what it teaches."""

    path: PurePosixPath
    kind: str
    capability: str | None
    confidence: float
    reason: str


def findings(folder: Path, without: Path | None = None) -> list[Finding]:
    """Every file below `folder` but what is hidden and what lies in `without`, sorted by path.

    Raises OSError where the folder cannot be read.
    """
    found: dict[PurePosixPath, Finding] = {}
    heads: dict[PurePosixPath, Head] = {}
    for path, (kind, reason) in _files(folder, without):
        if reason:
            found[path] = Finding(path, kind, None, 0.0, reason)
            continue
        try:
            heads[path] = head_of(folder / path)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            found[path] = Finding(path, "unknown", None, 0.0, reason)
    of_models = _model_folders(heads)
    for path in [path for path in heads if of_models.intersection(path.parents)]:
        name = next(one for one in path.parents if one in of_models).name or folder.name
        reason = f"part of the model {name}; `nexusbuild add teacher` takes models"
        found[path] = Finding(path, "model", None, 0.0, reason)
        del heads[path]
    media = _below(path for path, head in heads.items() if head.kind in MEDIA)
    manifests: dict[tuple[PurePosixPath, str], tuple[str, Judgement]] = {}
    for path, head in heads.items():
        judged_as = _of_manifest(path, head, heads, media)
        if judged_as is not None:
            kind, judgement = judged_as
            manifests.setdefault((path.parent, kind), (path.name, judgement))
            found[path] = _finding(path, head.kind, judgement)
        elif head.kind not in MEDIA:
            found[path] = _of_file(path, head)
    for path, head in heads.items():
        if head.kind in MEDIA:
            found[path] = _finding(path, head.kind, _of_medium(path, head.kind, manifests))
    _with_companions(found, heads)
    return [found[path] for path in sorted(found)]


def _below(paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, list[PurePosixPath]]:
    """Folder -> those of the files that lie anywhere below it."""
    below: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in paths:
        for folder in path.parents:
            below[folder].append(path)
    return below


def _files(folder: Path, without: Path | None) -> Iterator[tuple[PurePosixPath, tuple[str, str]]]:
    """Files by their path below the folder, each with its kind and why it is not looked into.

    Folders that cannot be read are among them. Raises OSError where `folder` itself cannot be.
    """
    kept_out = without.resolve() if without is not None and without.exists() else None
    closed: list[OSError] = []

    def cannot(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        closed.append(error)

    for name, folders, files in os.walk(folder, onerror=cannot):
        here = Path(name)
        folders[:] = sorted(
            below
            for below in folders
            if not below.startswith(".") and (kept_out is None or (here / below) != kept_out)
        )
        relative = PurePosixPath(here.relative_to(folder).as_posix())
        for file in sorted(files):
            if not file.startswith("."):
                yield relative / file, _closed_to_reading(here / file)
    for error in closed:
        path = PurePosixPath(Path(error.filename).relative_to(folder).as_posix())
        yield path, ("folder", f"cannot be read: {error.strerror}")


def _closed_to_reading(path: Path) -> tuple[str, str]:
    """What is no plain file, and why it stays: opening a pipe would wait for ever."""
    if path.is_symlink():
        return "link", "a link; what it names stays as well"
    if not path.is_file():
        return "unknown", "a pipe, a socket or a device; not a file"
    return "", ""


def _model_folders(heads: Mapping[PurePosixPath, Head]) -> set[PurePosixPath]:
    """Folders with a configuration and weights, and those of a pipeline of models."""
    weights = {
        path.parent
        for path, head in heads.items()
        if head.kind == "model" or path.suffix in MODEL_WEIGHTS
    }
    configured = {path.parent for path in heads if path.name in MODEL_CONFIGS}
    pipelines = {path.parent for path in heads if path.name == "model_index.json"}
    return (weights & configured) | pipelines


def _of_manifest(
    path: PurePosixPath,
    head: Head,
    heads: Mapping[PurePosixPath, Head],
    media: Mapping[PurePosixPath, list[PurePosixPath]],
) -> tuple[str, Judgement] | None:
    """The kind of media that a file of rows is about, and what both teach."""
    rows = _spread(head.rows)
    if not rows or _is_about(path, head):
        return None
    here = media.get(path.parent, [])
    names = names_of((one.relative_to(path.parent), heads[one].kind) for one in here)
    referred = (referring_column(rows, names) if names else None) or named_media(rows)
    if referred is None:
        return None
    column, kind = referred
    return kind, judged_manifest(rows, column, kind)


def _of_medium(
    path: PurePosixPath,
    kind: str,
    manifests: Mapping[tuple[PurePosixPath, str], tuple[str, Judgement]],
) -> Judgement:
    """By the manifest that stands nearest above it."""
    for folder in path.parents:
        if (folder, kind) in manifests:
            name, judgement = manifests[folder, kind]
            reason = f"{judgement.reason} ({name})"
            return Judgement(judgement.capability, judgement.confidence, reason)
    return bare(kind)


def _spread(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Some of the rows, from all over them."""
    return rows[:: max(1, len(rows) // JUDGED_ROWS)][:JUDGED_ROWS]


def _is_about(path: PurePosixPath, head: Head) -> bool:
    """What is said about data is no data, even where it holds a table: here alone a name tells."""
    plain = head.kind in ("text", "table", "transcript")
    return plain and bool(ABOUT.search(path.name) or path.suffix.lower() in ABOUT_SUFFIXES)


def _of_file(path: PurePosixPath, head: Head) -> Finding:
    if _is_about(path, head):
        return Finding(path, "text", None, 0.0, "about the data, not data")
    if head.rows:
        rows = _spread(head.rows)
        judgement = judge(rows)
        if judgement is not None:
            return _finding(path, head.kind, judgement)
        names = ", ".join(f"`{name}`" for name in list(rows[0])[:5])
        reason = f"rows of {names}: no sign of a capability"
        return Finding(path, head.kind, None, 0.0, reason)
    if head.kind == "text":
        return _of_text(path, head.text)
    return Finding(path, head.kind, None, 0.0, head.note or f"{head.kind}: no rows in it")


def _of_text(path: PurePosixPath, text: str) -> Finding:
    if path.suffix.lower() in PROGRAM_SUFFIXES:
        return Finding(path, "text", None, 0.0, "a program or its settings, not rows")
    words = len(re.findall(r"[^\W\d_]{2,}", text))
    if len(text) >= LEAST_TEXT and words * 12 > len(text):
        return Finding(path, "text", "text", 0.75, "plain text")
    return Finding(path, "text", "text", 0.3, "text, but little of it")


def _finding(path: PurePosixPath, kind: str, judgement: Judgement) -> Finding:
    return Finding(path, kind, judgement.capability, judgement.confidence, judgement.reason)


def _with_companions(
    found: dict[PurePosixPath, Finding], heads: Mapping[PurePosixPath, Head]
) -> None:
    """Let answers that stand apart go with their questions, and lists of labels with their rows."""
    sure: dict[str, list[tuple[PurePosixPath, frozenset[str]]]] = defaultdict(list)
    for path, finding in found.items():
        if finding.confidence >= SURE / 2 and finding.capability and path in heads:
            ids = _ids(heads[path])
            for one in ids:
                sure[one].append((path, ids))
    with_rows = _below(path for path, head in heads.items() if head.rows)
    for path, finding in found.items():
        head = heads.get(path)
        if head is None or finding.confidence >= SURE:
            continue
        near = [one for one in with_rows.get(path.parent, []) if found[one].capability]
        leader = _leader(path, head, sure, found) or _labelled_rows_near(head, near[:NEAR], heads)
        if leader is not None and found[leader].confidence > finding.confidence:
            other = found[leader]
            found[path] = Finding(
                path, finding.kind, other.capability, round(0.95 * other.confidence, 3),
                f"goes with {leader.name}",
            )  # fmt: skip


def _leader(
    path: PurePosixPath,
    head: Head,
    sure: Mapping[str, list[tuple[PurePosixPath, frozenset[str]]]],
    found: Mapping[PurePosixPath, Finding],
) -> PurePosixPath | None:
    """The surest file near this one whose rows have the same ids."""
    ids = _ids(head)
    if len(ids) < 2:
        return None
    near: list[PurePosixPath] = [
        other
        for other, theirs in sure.get(next(iter(ids)), [])
        if other != path
        and len(ids & theirs) >= COMPANION_SHARE * len(ids)
        and (other.parent == path.parent or other.parent == path.parent.parent)
    ]
    return max(near, key=lambda one: found[one].confidence, default=None)


def _ids(head: Head) -> frozenset[str]:
    """Ids of the first rows: texts, for numbers from 0 are everywhere."""
    values = [next((row[key] for key in IDS if key in row), None) for row in head.rows]
    return frozenset(value for value in values if isinstance(value, str) and not value.isdecimal())


def _labelled_rows_near(
    head: Head, near: Sequence[PurePosixPath], heads: Mapping[PurePosixPath, Head]
) -> PurePosixPath | None:
    """The file of rows near a list of short lines that has most of these lines as values."""
    lines = {line.strip() for line in head.text.splitlines() if line.strip()}
    if all(line.isdecimal() for line in lines):  # numbers are in every file
        return None
    if not head.whole or len(lines) < 2 or max(map(len, lines)) > LONGEST_LABEL:
        return None
    for other in near:
        values = {value for row in heads[other].rows for value in row.values() if _short(value)}
        if len(lines & values) >= LABEL_SHARE * len(lines):
            return other
    return None


def _short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_LABEL
