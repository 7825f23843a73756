"""Rules that look at more than one field of a spec.

They read the document's plain data, not the validated spec, so that one run finds every mistake:
whatever has the wrong shape was reported before and is passed over here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeGuard, get_args

from specs.datasets import Dataset
from specs.document import Document, FieldPath
from specs.problems import SpecProblem, known_names, nearest, suggestion
from specs.values import (
    HARNESS_METRIC,
    NO_ASSERTION,
    RESERVED_NAMES,
    ROUTER,
    TRAINABLE_MODALITIES,
    UNBOUNDED_METRICS,
    Modality,
)

NF4_MULTIPLE = 64
HIGHEST_SHARE = 1.2


def crosscheck_problems(document: Document) -> list[SpecProblem]:
    """Every violation of a rule between fields."""
    if not isinstance(document.data, dict):
        return []
    check = _Crosschecks(document)
    return [
        *check.datasets(),
        *check.teachers(),
        *check.trained_teachers(),
        *check.capabilities(),
        *check.references(),
        *check.traces(),
        *check.isolation(),
        *check.contracts(),
        *check.included(),
        *check.trainable(),
        *check.licences(),
        *check.student_tokenizer(),
        *check.student(),
    ]


class _Crosschecks:
    """The document's sections, as far as they have the right shape."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problem = document.problem
        data = document.data
        self._datasets = _mappings(data.get("datasets"))
        self._capabilities = _mappings(data.get("capabilities"))
        self._contracts = _mapping(data.get("contracts"))
        self._student = _mapping(data.get("student"))
        self._bundle = _mapping(data.get("bundle"))
        self._teachers: list[tuple[int, dict[str, Any]]] = [
            (index, teacher)
            for index, teacher in enumerate(_list(data.get("teachers")))
            if isinstance(teacher, dict)
        ]
        self._teacher_ids = {str(teacher.get("id")) for _, teacher in self._teachers}
        # A misspelt name counts for what it was meant to be: it is reported where it stands.
        # Of what a section of the wrong shape was meant to say, nothing is said.
        self._complete = bool(self._teachers) and bool(self._capabilities)
        self._served = {
            nearest(name, self._capabilities) or name
            for _, teacher in self._teachers
            for name in _named(teacher.get("capabilities"))
        }

    def datasets(self) -> Iterator[SpecProblem]:
        for name, dataset in self._datasets.items():
            path: FieldPath = ("datasets", name)
            given = [key for key in ("sample", "path") if dataset.get(key) is not None]
            if not given:
                remedy = "say `sample: NAME` or `path: FILE`"
                yield self.problem(path, "has neither sample nor path", remedy, at_key=True)
            elif len(given) == 2:
                yield self.problem(
                    (*path, "path"), "has a sample and a path", "keep one of the two", at_key=True
                )
            elif given == ["sample"]:
                for key in ("prompt", "response", "tests", "origin"):
                    if dataset.get(key) is not None:
                        remedy = "leave it out: a sampler names its own rows"
                        yield self.problem(
                            (*path, key), "belongs to a path only", remedy, at_key=True
                        )
            if given == ["sample"] and dataset.get("rows") is None:
                remedy = "say `rows: NUMBER`: a sampler never runs out"
                yield self.problem((*path, "sample"), "has no number of rows", remedy)
            yield from self._splits(dataset, path)
            template = dataset.get("template")
            if isinstance(template, str) and template.count("{prompt}") > 1:
                yield self.problem(
                    (*path, "template"),
                    "{prompt} stands there more than once",
                    "allowed: text with {prompt} in it, once",
                )

    def _splits(self, dataset: dict[str, Any], path: FieldPath) -> Iterator[SpecProblem]:
        rows = dataset.get("rows")
        held = [
            dataset.get(split, Dataset.model_fields[split].default)
            for split in ("eval", "validation", "pilot")
        ]
        if _is_count(rows) and all(map(_is_count, held)) and rows <= sum(held):
            yield self.problem(
                (*path, "rows"),
                f"{rows} rows leave none to train on",
                f"eval {held[0]} + validation {held[1]} + pilot {held[2]} take {sum(held)}: "
                "give more rows, or ask for smaller splits",
            )

    def teachers(self) -> Iterator[SpecProblem]:
        first: dict[str, int] = {}
        for index, teacher in self._teachers:
            path: FieldPath = ("teachers", index)
            identity = teacher.get("id")
            if isinstance(identity, str):
                if identity in first:
                    line = self.document.line_of(("teachers", first[identity], "id"))
                    yield self.problem(
                        (*path, "id"),
                        f'two teachers have the id "{identity}"; the first is on line {line}',
                        "give this one another id",
                    )
                first.setdefault(identity, index)
            yield from self._source(teacher.get("source"), (*path, "source"))
            yield from self._size(teacher, (*path, "source", "hub"))
            yield from self._duplicates(teacher.get("capabilities"), (*path, "capabilities"))
            yield from self._dangling(
                teacher.get("capabilities"), (*path, "capabilities"), self._capabilities
            )

    def _source(self, source: Any, path: FieldPath) -> Iterator[SpecProblem]:
        if not isinstance(source, dict):
            return
        given = [key for key in ("path", "hub", "train") if source.get(key) is not None]
        allowed = "allowed: one of path: FOLDER, hub: OWNER/MODEL, train: {...}"
        if not given:
            yield self.problem(path, "names no source", allowed, at_key=True)
        elif len(given) > 1:
            yield self.problem((*path, given[1]), f"stands beside {given[0]}", allowed, at_key=True)
        if "hub" in given and source.get("revision") is None:
            remedy = "add `revision: COMMIT`, so that the teacher cannot change"
            yield self.problem((*path, "hub"), "has no revision", remedy)
        if "hub" not in given and source.get("revision") is not None:
            yield self.problem(
                (*path, "revision"), "belongs to a hub only", "leave it out", at_key=True
            )
        if given and "path" not in given and source.get("origin") is not None:
            yield self.problem(
                (*path, "origin"), "belongs to a path only", "leave it out", at_key=True
            )

    def _size(self, teacher: dict[str, Any], path: FieldPath) -> Iterator[SpecProblem]:
        """What no file on this disk says must be said, for it decides whether a teacher fits."""
        source = _mapping(teacher.get("source"))
        complete = "hub" in source and "revision" in source and "path" not in source
        if complete and teacher.get("parameters") is None:
            remedy = "add `parameters: 8B` (its size) to the teacher"
            yield self.problem(path, "is of unknown size", remedy)

    def trained_teachers(self) -> Iterator[SpecProblem]:
        for index, teacher in self._teachers:
            train = _mapping(_mapping(teacher.get("source")).get("train"))
            path: FieldPath = ("teachers", index, "source", "train")
            hidden, heads = train.get("hidden"), train.get("heads")
            yield from self._heads(hidden, heads, (*path, "heads"))
            datasets = {
                dataset
                for name in _names(teacher.get("capabilities"))
                if isinstance(dataset := self._capabilities.get(name, {}).get("dataset"), str)
            }
            if train and len(datasets) > 1:
                yield self.problem(
                    path,
                    f"would train on {len(datasets)} data sets: {known_names(datasets)}",
                    "a teacher that the build trains serves capabilities of one data set; "
                    "declare one teacher each",
                    at_key=True,
                )

    def capabilities(self) -> Iterator[SpecProblem]:
        for name, capability in self._capabilities.items():
            path: FieldPath = ("capabilities", name)
            if name in RESERVED_NAMES:
                yield self.problem(
                    path, f'"{name}" is a reserved name', "choose another", at_key=True
                )
            yield from self._dangling(
                [capability.get("dataset")], (*path, "dataset"), self._datasets, listed=False
            )

    def references(self) -> Iterator[SpecProblem]:
        """A data set of prompts alone is answered by the one teacher of a capability."""
        for name, capability in self._capabilities.items():
            trace = _mapping(capability.get("trace"))
            dataset = self._datasets.get(str(capability.get("dataset")), {})
            alone = "path" in dataset and "response" not in dataset
            teachers = [
                index
                for index, teacher in self._teachers
                if name in _named(teacher.get("capabilities"))
            ]
            if trace.get("answers") == "teacher" and alone and len(teachers) > 1:
                yield self.problem(
                    ("capabilities", name, "trace", "answers"),
                    f'{len(teachers)} teachers answer for "{name}", whose data set has no answers '
                    "to hold them to",
                    "name the key of the answers in the data set's `response`, or keep one teacher",
                )

    def traces(self) -> Iterator[SpecProblem]:
        """What a trace does not keep, no training can use; what it does not do, needs no figure."""
        shared = _mapping(self._student.get("training"))
        for name, capability in self._capabilities.items():
            trace, own = _mapping(capability.get("trace")), _mapping(capability.get("training"))
            path: FieldPath = ("capabilities", name)
            if _is_weight(trace.get("temperature")) and trace.get("answers") != "teacher":
                yield self.problem(
                    (*path, "trace", "temperature"),
                    "the data set's answers have no temperature",
                    "say `answers: teacher` beside it, or leave it out",
                    at_key=True,
                )
            trained = name in self._served and self._modality(name) in TRAINABLE_MODALITIES
            if trace.get("coefficient_rows", 0) != 0 or not trained:
                continue
            for key in ("activation_anchor", "attention_anchor"):
                if _is_weight(own.get(key, shared.get(key))):
                    section = (*path, "training") if key in own else ("student", "training")
                    yield self.problem(
                        (*section, key),
                        f'the trace of "{name}" keeps nothing that an anchor could hold on to',
                        f"add `trace: {{coefficient_rows: 2000}}` to capabilities.{name}, or "
                        f"`{key}: 0` to its training",
                        at_key=True,
                    )

    def isolation(self) -> Iterator[SpecProblem]:
        isolated = [
            name for name, value in self._capabilities.items() if value.get("isolated") is True
        ]
        for name in isolated:
            dataset = self._capabilities[name].get("dataset")
            for other, value in self._capabilities.items():
                if other == name or not isinstance(dataset, str) or value.get("dataset") != dataset:
                    continue
                if other in isolated and other < name:
                    continue  # said from the other side
                yield self.problem(
                    ("capabilities", other, "dataset"),
                    f'"{dataset}" is also the data set of "{name}", which is isolated: '
                    f'"{other}" would learn from it',
                    f'give "{other}" or "{name}" a data set of its own',
                )
            yield from self._same_rows(name)
        include = self._bundle.get("include")
        shipped = _names(include) if include is not None else list(self._capabilities)
        if include is not None and shipped and all(name in isolated for name in shipped):
            yield self.problem(
                ("bundle", "include"),
                "every capability that ships is isolated: nothing is left for the backbone",
                "include at least one that is not",
            )
        elif isolated and len(isolated) == len(self._capabilities):
            yield self.problem(
                ("capabilities",),
                "every capability is isolated: nothing is left to make a backbone from",
                "declare at least one that is not",
                at_key=True,
            )

    def _same_rows(self, name: str) -> Iterator[SpecProblem]:
        """Data sets of another name that read the same rows as an isolated capability's."""
        own = self._capabilities[name].get("dataset")
        rows = self._datasets.get(own, {}) if isinstance(own, str) else {}
        for key in ("sample", "path"):
            source = rows.get(key)
            for other, dataset in self._datasets.items():
                if other != own and isinstance(source, str) and dataset.get(key) == source:
                    yield self.problem(
                        ("datasets", other, key),
                        f'"{other}" has the rows of "{own}", whose capability "{name}" is isolated',
                        f'take other data for "{other}"',
                    )

    def contracts(self) -> Iterator[SpecProblem]:
        for name, contract in self._contracts.items():
            path: FieldPath = ("contracts", name)
            if name == ROUTER:
                continue
            if not self._capabilities:
                return
            yield from self._levels(name, _mapping(contract), path)
            yield from self._harness_task(name, _mapping(contract), path)
            if name not in self._capabilities:
                remedy = (
                    f"allowed: {known_names([*self._capabilities, ROUTER])}"
                    f"{suggestion(name, [*self._capabilities, ROUTER])}"
                )
                yield self.problem(path, "no such capability", remedy, at_key=True)
            elif name not in self._served and self._complete:
                remedy = f"add {name} to the capabilities of a teacher, or drop the contract"
                yield self.problem(
                    path, "a contract for a capability that no teacher serves", remedy, at_key=True
                )

    def _levels(
        self, name: str, contract: dict[str, Any], path: FieldPath
    ) -> Iterator[SpecProblem]:
        """A share above 1.2 would be asked for by mistake: as a percentage, say."""
        own = self._capabilities.get(name, {}).get("metric")
        metric = contract.get("metric") or own
        for key in ("at_least", "teacher_at_least"):
            level = contract.get(key)
            if not isinstance(level, int | float) or isinstance(level, bool):
                continue
            own_unit = metric in UNBOUNDED_METRICS or str(metric).startswith("lm_eval/")
            if level > HIGHEST_SHARE and not own_unit:
                yield self.problem(
                    (*path, key),
                    f"{level:g} is not allowed",
                    f"allowed: a number above 0 and at most {HIGHEST_SHARE}: {metric} is a share",
                )

    def _harness_task(
        self, name: str, contract: dict[str, Any], path: FieldPath
    ) -> Iterator[SpecProblem]:
        """The gate judges what was answered before; it asks no model."""
        metric = contract.get("metric")
        found = HARNESS_METRIC.fullmatch(metric) if isinstance(metric, str) else None
        harness = _mapping(self._capabilities.get(name, {}).get("harness"))
        if found and found["task"] not in _names(harness.get("tasks")):
            yield self.problem(
                (*path, "metric"),
                f'"{found["task"]}" is no harness task of {name}',
                f"add it: capabilities.{name}.harness: {{tasks: [{found['task']}]}}",
            )

    def included(self) -> Iterator[SpecProblem]:
        path: FieldPath = ("bundle", "include")
        include = self._bundle.get("include")
        yield from self._duplicates(include, path)
        yield from self._dangling(include, path, self._capabilities)
        for index, name in enumerate(_list(include)):
            known = isinstance(name, str) and name in self._capabilities
            if known and name not in self._served and self._complete:
                remedy = f"add {name} to the capabilities of a teacher, or leave it out"
                yield self.problem((*path, index), f'no teacher serves "{name}"', remedy)

    def trainable(self) -> Iterator[SpecProblem]:
        """What ships must be something that there is a trainer for."""
        allowed = f"allowed: {', '.join(TRAINABLE_MODALITIES)}"
        include = _list(self._bundle.get("include"))
        for index, name in enumerate(include):
            modality = self._modality(name)
            if modality not in TRAINABLE_MODALITIES:
                yield self.problem(
                    ("bundle", "include", index),
                    f'"{name}" cannot ship: there is no trainer for {modality} yet',
                    "leave it out: it stays declared, and the plan says so",
                )
        modalities = [self._modality(name) for name in self._capabilities]
        if modalities and not any(one in TRAINABLE_MODALITIES for one in modalities):
            yield self.problem(
                ("capabilities",), "none of these can be trained yet", allowed, at_key=True
            )

    def _modality(self, name: Any) -> str:
        """A capability's modality; text where there is none that can be read."""
        capability = self._capabilities.get(name, {}) if isinstance(name, str) else {}
        modality = capability.get("modality", "text")
        return modality if modality in get_args(Modality) else "text"

    def licences(self) -> Iterator[SpecProblem]:
        section = _mapping(self.document.data.get("licences"))
        if not isinstance(section.get("allow"), list):
            return
        allow = _names(section.get("allow"))
        places: list[tuple[FieldPath, dict[str, Any], bool]] = [
            (("datasets", name), dataset, dataset.get("path") is not None)
            for name, dataset in self._datasets.items()
        ]
        for index, teacher in self._teachers:
            source = _mapping(teacher.get("source"))
            foreign = source.get("path") is not None or source.get("hub") is not None
            places.append((("teachers", index), teacher, foreign))
        for path, entry, foreign in places:
            licence = entry.get("licence")
            allowed = f"licences.allow: {known_names(allow)}"
            if licence == NO_ASSERTION and NO_ASSERTION not in allow:
                remedy = f"find it out; {allowed}, or {NO_ASSERTION} too, at your own risk"
                yield self.problem((*path, "licence"), "its licence is not known", remedy)
            elif isinstance(licence, str) and licence not in allow:
                meant = suggestion(licence, allow) or _unknown(licence)
                remedy = allowed + (meant or f"; add {licence} there if its terms suit you")
                yield self.problem((*path, "licence"), f'"{licence}" is not allowed', remedy)
            elif licence is None and foreign:
                remedy = f"say its licence, {NO_ASSERTION} where it is not known; {allowed}"
                yield self.problem(path, "names no licence", remedy, at_key=True)

    def student_tokenizer(self) -> Iterator[SpecProblem]:
        tokenizer = _mapping(self._student.get("tokenizer"))
        path: FieldPath = ("student", "tokenizer")
        named, wanted = tokenizer.get("teacher"), tokenizer.get("kind") == "teacher"
        if wanted and named is None:
            yield self.problem((*path, "kind"), "no teacher is named", "name one: `teacher: ID`")
        if named is not None and not wanted:
            yield self.problem(
                (*path, "teacher"),
                "a tokenizer of its own is no teacher's",
                "say `kind: teacher`, or drop this",
                at_key=True,
            )
        yield from self._dangling([named], (*path, "teacher"), self._teacher_ids, listed=False)

    def student(self) -> Iterator[SpecProblem]:
        backbone = _mapping(self._student.get("backbone"))
        path: FieldPath = ("student", "backbone")
        yield from self._heads(backbone.get("hidden"), backbone.get("heads"), (*path, "heads"))
        if self._bundle.get("quantize") == "nf4":
            for key in ("hidden", "intermediate"):
                width = backbone.get(key)
                if _is_count(width) and width % NF4_MULTIPLE:
                    near = max(NF4_MULTIPLE, round(width / NF4_MULTIPLE) * NF4_MULTIPLE)
                    yield self.problem(
                        (*path, key),
                        f"nf4 needs widths that are multiples of {NF4_MULTIPLE}; {width} is not",
                        f"take {near}, or another bundle.quantize",
                    )
        start = _mapping(backbone.get("init")).get("path")
        if not isinstance(start, str):
            return
        for _, teacher in self._teachers:
            folder = _mapping(teacher.get("source")).get("path")
            if isinstance(folder, str) and PurePosixPath(folder) == PurePosixPath(start):
                yield self.problem(
                    (*path, "init", "path"),
                    f'is the teacher "{teacher.get("id")}": its weights would ship',
                    "start from a model that is no teacher, or from scratch",
                )

    def _heads(self, hidden: Any, heads: Any, path: FieldPath) -> Iterator[SpecProblem]:
        if _is_count(hidden) and _is_count(heads) and hidden % heads:
            yield self.problem(
                path,
                f"{heads} heads do not divide a width of {hidden}",
                f"allowed: {_divisors(hidden)}",
            )

    def _dangling(
        self, names: Any, path: FieldPath, known: Collection[str], *, listed: bool = True
    ) -> Iterator[SpecProblem]:
        kinds = {
            id(self._datasets): ("data set", "datasets"),
            id(self._teacher_ids): ("teacher", "teachers"),
        }
        kind, section = kinds.get(id(known), ("capability", "capabilities"))
        for index, name in enumerate(_list(names)):
            if isinstance(name, str) and name not in known and known:
                meant = suggestion(name, known) or f"; or declare {name} under {section}"
                remedy = f"allowed: {known_names(known)}{meant}"
                where = (*path, index) if listed else path
                yield self.problem(where, f'no such {kind}: "{name}"', remedy)

    def _duplicates(self, names: Any, path: FieldPath) -> Iterator[SpecProblem]:
        counts = Counter(_names(names))
        for index, name in enumerate(_list(names)):
            if isinstance(name, str) and counts[name] > 1:
                counts[name] = 0  # once is enough
                yield self.problem(
                    (*path, index), f'"{name}" stands there more than once', "name it once"
                )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> dict[str, dict[str, Any]]:
    return {name: _mapping(inner) for name, inner in _mapping(value).items()}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(value: Any) -> list[str]:
    return [name for name in _list(value) if isinstance(name, str)]


def _named(value: Any) -> list[str]:
    """Like `_names`, and one name where a list was meant."""
    return [value] if isinstance(value, str) else _names(value)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_weight(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _unknown(licence: str) -> str:
    """SPDX has its own word for a licence that is not known."""
    words = ("unknown", "none", "n/a", "na", "other", "tbd", "?", "")
    return f"; did you mean {NO_ASSERTION}?" if licence.strip().lower() in words else ""


def _divisors(width: int) -> str:
    found = [number for number in range(1, min(width, 128) + 1) if width % number == 0]
    return ", ".join(str(number) for number in found)
