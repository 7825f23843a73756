"""Rules for capabilities: what they are learned from, and what keeps them apart."""

from __future__ import annotations

from collections.abc import Iterator

from specs.crosschecks.sections import Sections, as_mapping, is_positive, name_or_names, names_in
from specs.datasets import media_fields
from specs.document import FieldPath
from specs.names import metric_traits, metrics
from specs.problems import SpecProblem
from specs.rooms import TEXT
from specs.values import RESERVED_NAMES


def capability_problems(sections: Sections) -> Iterator[SpecProblem]:
    spellings: dict[str, str] = {}
    for name, capability in sections.capabilities.items():
        path: FieldPath = ("capabilities", name)
        if name in RESERVED_NAMES:
            yield sections.problem(
                path, f'"{name}" is a reserved name', "choose another", at_key=True
            )
        twin = spellings.setdefault(name.lower(), name)
        if twin != name:
            yield sections.problem(
                path,
                f'"{name}" and "{twin}" differ in case alone: some disks take them for one',
                "give one of them another name",
                at_key=True,
            )
        dataset = capability.get("dataset")
        yield from sections.unknown_name(dataset, (*path, "dataset"), "datasets")
        yield from _without_tests(sections, name, (*path, "metric"))
        yield from _without_media(sections, name, (*path, "reads"))


def _without_tests(sections: Sections, name: str, path: FieldPath) -> Iterator[SpecProblem]:
    """A metric that runs tests, on files of which no field is said to hold any."""
    metric = sections.capabilities[name].get("metric")
    dataset = sections.datasets.get(str(sections.capabilities[name].get("dataset")), {})
    if not isinstance(metric, str) or metric not in metrics().modules:
        return
    if metric_traits(metric).needs_tests and "path" in dataset and dataset.get("tests") is None:
        yield sections.problem(
            path,
            f'"{metric}" needs tests, and the rows of "{name}" have none',
            "name the field that holds them in the data set's `tests`, or choose another metric",
        )


def _without_media(sections: Sections, name: str, path: FieldPath) -> Iterator[SpecProblem]:
    """A medium that is to be read, on files of which no field is said to hold any."""
    capability = sections.capabilities[name]
    dataset = sections.datasets.get(str(capability.get("dataset")), {})
    if "path" not in dataset:
        return
    for index, medium in enumerate(names_in(capability.get("reads"))):
        fields = media_fields().get(medium, ())
        if fields and all(dataset.get(field) is None for field in fields):
            yield sections.problem(
                (*path, index),
                f'"{name}" reads {medium}, and the rows of its data set have none',
                f"name the field that holds it in the data set's `{fields[0]}`",
            )


def reference_problems(sections: Sections) -> Iterator[SpecProblem]:
    """A data set of prompts alone is answered by the one teacher of a capability."""
    for name, capability in sections.capabilities.items():
        trace = as_mapping(capability.get("trace"))
        dataset = sections.datasets.get(str(capability.get("dataset")), {})
        alone = "path" in dataset and "response" not in dataset
        teachers = [
            index
            for index, teacher in sections.teachers
            if name in name_or_names(teacher.get("capabilities"))
        ]
        if trace.get("answers") == "teacher" and alone and len(teachers) > 1:
            yield sections.problem(
                ("capabilities", name, "trace", "answers"),
                f'{len(teachers)} teachers answer for "{name}", whose data set has no answers '
                "to hold them to",
                "name the key of the answers in the data set's `response`, or keep one teacher",
            )


def trace_problems(sections: Sections) -> Iterator[SpecProblem]:
    """What a trace does not keep, no training can use; what it does not do, needs no figure."""
    shared = as_mapping(sections.student.get("training"))
    for name, capability in sections.capabilities.items():
        trace, own = as_mapping(capability.get("trace")), as_mapping(capability.get("training"))
        path: FieldPath = ("capabilities", name)
        if is_positive(trace.get("temperature")) and trace.get("answers") != "teacher":
            yield sections.problem(
                (*path, "trace", "temperature"),
                "the data set's answers have no temperature",
                "say `answers: teacher` next to it, or leave it out",
                at_key=True,
            )
        trained = name in sections.served and sections.without_a_trainer(name) is None
        reads = set(names_in(capability.get("reads"))) - {TEXT}
        if (trace.get("coefficient_rows", 0) != 0 and not reads) or not trained:
            continue
        for key in ("activation_anchor", "attention_anchor"):
            if is_positive(own.get(key, shared.get(key))):
                section = (*path, "training") if key in own else ("student", "training")
                why = f'the trace of "{name}" keeps nothing that an anchor could hold on to'
                remedy = f"add `trace: {{coefficient_rows: 2000}}` to capabilities.{name}, or "
                if reads:
                    why = f'there is no anchor for what is not text, and "{name}" reads more'
                    remedy = "add "
                yield sections.problem(
                    (*section, key), why, f"{remedy}`{key}: 0` to its training", at_key=True
                )


def isolation_problems(sections: Sections) -> Iterator[SpecProblem]:
    isolated = [
        name for name, value in sections.capabilities.items() if value.get("isolated") is True
    ]
    for name in isolated:
        dataset = sections.capabilities[name].get("dataset")
        for other, value in sections.capabilities.items():
            if other == name or not isinstance(dataset, str) or value.get("dataset") != dataset:
                continue
            if other in isolated and other < name:
                continue  # said from the other side
            yield sections.problem(
                ("capabilities", other, "dataset"),
                f'"{dataset}" is also the data set of "{name}", which is isolated: '
                f'"{other}" would learn from it',
                f'give "{other}" or "{name}" a data set of its own',
            )
        yield from _same_rows(sections, name)
    include = sections.bundle.get("include")
    shipped = names_in(include) if include is not None else list(sections.capabilities)
    if include is not None and shipped and all(name in isolated for name in shipped):
        yield sections.problem(
            ("bundle", "include"),
            "every capability that ships is isolated: nothing is left for the backbone",
            "include at least one that is not",
        )
    elif isolated and len(isolated) == len(sections.capabilities):
        yield sections.problem(
            ("capabilities",),
            "every capability is isolated: nothing is left to make a backbone from",
            "declare at least one that is not",
            at_key=True,
        )


def _same_rows(sections: Sections, name: str) -> Iterator[SpecProblem]:
    """Data sets of another name that read the same rows as an isolated capability's."""
    own = sections.capabilities[name].get("dataset")
    rows = sections.datasets.get(own, {}) if isinstance(own, str) else {}
    for key in ("sample", "path"):
        source = rows.get(key)
        for other, dataset in sections.datasets.items():
            if other != own and isinstance(source, str) and dataset.get(key) == source:
                yield sections.problem(
                    ("datasets", other, key),
                    f'"{other}" has the rows of "{own}", whose capability "{name}" is isolated',
                    f'take other data for "{other}"',
                )
