"""Lays the rows that a student learns from out on disk: `StudentRows` reads them.

A folder holds token ids (`prompts`, `answers`), a record of soft targets for each answer token
(`targets`), the coefficients of each anchor (`anchor-<n>`), how many records each row has
(`counts.safetensors`), and `rows.json`. It appears whole or not at all: aligning a teacher's
distributions with the student's tokens takes time, and a job that goes on after a kill finds it
done. A few hundred rows are in memory at a time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.json_files import read_json, write_json
from modalities.text.alignment import Alignment, Soft
from modalities.text.encoding import encode_rows, endings
from modalities.text.record_files import RecordFile, RecordWriter
from modalities.text.shards import TracedRow, index_type
from modalities.text.standardising import column_means, root_mean_square
from modalities.text.trace_sources import TraceSource, best_rows
from nexus.prompt import PLACEHOLDER, render

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class AnchorFile:
    """One anchor's file: teacher counts the sources, the rest is as in `AnchoredTokens`."""

    kind: str
    teacher: int
    layer: int
    depth: int
    file: str
    width: int
    mean: list[float] | None = None
    scale: float | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.teacher}.{self.layer}"


@dataclass(frozen=True)
class RowFiles:
    """The files of a folder of rows: vocabulary, of the student; width, columns of a target."""

    folder: Path
    vocabulary: int
    width: int
    aligned: float
    anchors: list[AnchorFile]
    counts: Mapping[str, NDArray[np.uint32]]

    @classmethod
    def read(cls, folder: Path) -> RowFiles:
        """What a folder's `rows.json` says."""
        about = read_json(folder / "rows.json")
        anchors = [AnchorFile(**anchor) for anchor in about.pop("anchors")]
        return cls(
            folder, anchors=anchors, counts=load_file(folder / "counts.safetensors"), **about
        )

    def open(self, name: str) -> RecordFile:
        """One of the files, to be read."""
        widths = {anchor.file: anchor.width for anchor in self.anchors}
        if name in widths:
            dtype = anchor_dtype(widths[name])
        else:
            dtype = {
                "prompts": np.dtype(index_type(self.vocabulary)),
                "answers": np.dtype(index_type(self.vocabulary)),
                "targets": target_dtype(self.vocabulary, self.width),
            }[name]
        return RecordFile(self.folder / name, dtype, self.counts[name])


def target_dtype(vocabulary: int, width: int) -> np.dtype[Any]:
    """Of one answer token's soft targets; ids are stored one up, 0 for an unused column."""
    ids = index_type(vocabulary + 1)
    fields = [("ids", ids, (width,)), ("probs", np.float32, (width,)), ("known", np.bool_)]
    return np.dtype(fields)


def anchor_dtype(width: int) -> np.dtype[Any]:
    """Of an anchor at one answer token."""
    return np.dtype([("offset", np.uint32), ("values", np.float16, (width,))])


class RowsWriter:
    """Writes a folder of rows, one row after another.

    vocabulary: more than any id of the student's. width: columns of the widest soft targets. The
    folder appears when the `with` block ends without an error.
    """

    def __init__(self, folder: Path, vocabulary: int, width: int) -> None:
        self._folder = folder
        self._partial = folder.with_name(f"{folder.name}.partial")
        self._vocabulary, self._width = vocabulary, width
        self._anchors: dict[tuple[str, int], AnchorFile] = {}
        self._rows = self._known = self._tokens = 0

    def __enter__(self) -> RowsWriter:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        ids = np.dtype(index_type(self._vocabulary))
        self._files = {
            "prompts": RecordWriter(self._partial / "prompts", ids),
            "answers": RecordWriter(self._partial / "answers", ids),
            "targets": RecordWriter(
                self._partial / "targets", target_dtype(self._vocabulary, self._width)
            ),
        }
        return self

    def append(
        self,
        prompt: Sequence[int],
        answer: Sequence[int],
        soft: Soft,
        coefficients: Mapping[str, NDArray[Any]] | None = None,
        teacher: int = 0,
        depth: int = 1,
    ) -> None:
        """Write the next row.

        coefficients: by kind and key layer, (the teacher's tokens, k); teacher, depth: which one it
        is, and how many blocks it has.
        """
        ids = self._files["answers"].dtype
        self._files["prompts"].append(np.array(prompt, dtype=ids))
        self._files["answers"].append(np.array(answer, dtype=ids))
        records = np.zeros(len(answer), dtype=self._files["targets"].dtype)
        width = soft.ids.shape[1]
        records["ids"][:, :width] = soft.ids + 1
        records["probs"][:, :width] = soft.probs
        records["known"] = soft.known
        self._files["targets"].append(records)
        self._known += int(soft.known.sum())
        self._tokens += len(answer)
        offsets = np.nonzero(soft.positions >= 0)[0]
        found = {}
        for name, values in (coefficients or {}).items():
            if len(offsets):
                file = self._anchor(name, teacher, depth, values.shape[1])
                found[file] = np.zeros(len(offsets), dtype=self._files[file].dtype)
                found[file]["offset"] = offsets
                found[file]["values"] = values[soft.positions[offsets]]
        for anchor in self._anchors.values():
            nothing = np.zeros(0, dtype=self._files[anchor.file].dtype)
            self._files[anchor.file].append(found.get(anchor.file, nothing))
        self._rows += 1

    def _anchor(self, name: str, teacher: int, depth: int, width: int) -> str:
        """The file of an anchor, begun where there is none yet."""
        if (name, teacher) not in self._anchors:
            kind, layer = name.split("/")
            file = f"anchor-{len(self._anchors)}"
            anchor = AnchorFile(kind, teacher, int(layer), depth, file, width)
            self._anchors[name, teacher] = anchor
            self._files[file] = RecordWriter(self._partial / file, anchor_dtype(width), self._rows)
        return self._anchors[name, teacher].file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()
        if error is None:
            self._finish()

    def _finish(self) -> None:
        counts = {name: file.counts for name, file in self._files.items()}
        anchors = [
            self._standardise(anchor, counts[anchor.file])
            for _, anchor in sorted(self._anchors.items())
        ]
        save_file(counts, self._partial / "counts.safetensors")
        # In single precision, as a mean over all tokens would be.
        aligned = np.float32(self._known) / np.float32(self._tokens)
        write_json(
            self._partial / "rows.json",
            {
                "vocabulary": self._vocabulary,
                "width": self._width,
                "aligned": round(float(aligned), 4),
                "anchors": [asdict(anchor) for anchor in anchors],
            },
        )
        for path in self._partial.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        self._partial.rename(self._folder)

    def _standardise(self, anchor: AnchorFile, counts: NDArray[np.uint32]) -> AnchorFile:
        """The anchor with mean and scale of its values, where it is one of heads."""
        if anchor.kind != "attention":
            return anchor
        records = RecordFile(self._partial / anchor.file, anchor_dtype(anchor.width), counts)

        def values(start: int, end: int) -> NDArray[np.float32]:
            found: NDArray[np.float32] = records.between(start, end)["values"].astype(np.float32)
            return found

        count = int(records.starts[-1])
        mean = column_means(values, count)
        scale = root_mean_square(lambda start, end: values(start, end) - mean, count, anchor.width)
        return AnchorFile(**{**asdict(anchor), "mean": mean.tolist(), "scale": float(scale)})


def write_student_rows(
    sources: Sequence[TraceSource],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write all rows of the traces in the student's tokens, of each prompt the best teacher's.

    progress: called with the rows done. Raises ValueError where the traces hold no row.
    """
    descriptions = [read_json(source.trace / "trace.json") for source in sources]
    aligners = [
        Alignment(source.tokenizer, tokenizer, int(description["vocabulary"]))
        for source, description in zip(sources, descriptions, strict=True)
    ]
    vocabulary = 1 + max(tokenizer.get_vocab().values())
    width = max((int(description["top_k"]) for description in descriptions), default=1)
    chosen = iter(best_rows(sources))
    done = 0
    with RowsWriter(folder, vocabulary, width) as writer:
        while chunk := list(islice(chosen, ROWS_AT_ONCE)):
            templates = [str(descriptions[index]["template"]) for index, _ in chunk]
            rows = [traced for _, traced in chunk]
            for (index, traced), (prompt, answer) in zip(
                chunk, _encode_rows_of_traces(tokenizer, templates, rows), strict=True
            ):
                soft = aligners[index].soft_targets(traced, answer)
                depth = int(descriptions[index]["depth"])
                writer.append(prompt, answer, soft, traced.coefficients, index, depth)
            done += len(chunk)
            if progress is not None:
                progress(done)
        if not done:
            raise ValueError("the traces hold no rows: there is nothing to learn from")


def _encode_rows_of_traces(
    tokenizer: PreTrainedTokenizerBase, templates: Iterable[str], rows: Sequence[TracedRow]
) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of each row in the student's tokens; templates: of each row's trace."""
    pairs = [
        (render(template, traced.row["prompt"]), traced.row["answer"])
        for template, traced in zip(templates, rows, strict=True)
    ]
    encoded = encode_rows(tokenizer, PLACEHOLDER, pairs, endings([one.row for one in rows]))
    return [(row.prompt_ids, row.answer_ids) for row in encoded]
