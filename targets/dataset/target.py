"""Declares `dataset:<name>`."""

from __future__ import annotations

from glob import has_magic

from nexusbuild.plugins import Source, SpecFolder, Target
from specs.datasets import Dataset
from specs.model import Spec
from targets.budget.estimates import QUICK_SECONDS, quick_needs
from targets.declaring.origins import remedy
from targets.declaring.slices import section_fields, slice_of


def declare(spec: Spec, folder: SpecFolder, name: str) -> Target:
    """A data set of a spec that lies in `folder`."""
    dataset = spec.datasets[name]
    # Where the data can be had decides nothing about the rows.
    said = dataset.model_dump(mode="json", exclude={"origin"})
    fields = section_fields(said, f"datasets.{name}")
    if dataset.path is not None:
        fields["prompt"] = (dataset.prompt or "prompt", f"datasets.{name}.prompt")
        if answers_needed(spec, name):
            fields["response"] = (dataset.response or "response", f"datasets.{name}.response")
        else:
            fields["answer_required"] = (False, "capabilities")
    declared = slice_of(spec, fields)
    work = "dataset.work" if dataset.sample is None else f"samplers.{dataset.sample}"
    return Target(
        id=f"dataset:{name}",
        work=f"targets.{work}:build",
        settings=declared.settings,
        origins=declared.origins,
        sources=data_sources(folder, dataset, name),
        needs=quick_needs(),
        expected_seconds=QUICK_SECONDS,
    )


def answers_needed(spec: Spec, name: str) -> bool:
    """Whether anything is learned from a data set's own answers: not where every capability that
    uses it learns the teachers' own, and no teacher is trained on it.
    """
    uses = [one for one, value in spec.capabilities.items() if value.dataset == name]
    own = [spec.capabilities[one].trace.answers == "dataset" for one in uses]
    trained = [teacher.source.train for one in uses for teacher in spec.teachers_of(one)]
    return not uses or any(own) or any(train is not None for train in trained)


def data_sources(folder: SpecFolder, dataset: Dataset, name: str) -> dict[str, Source]:
    """Role `data` for a file or a folder; `data0`, `data1` … for what a glob finds, sorted."""
    written = dataset.path
    if written is None:
        return {}
    own, field = "put the data there", f"datasets.{name}.path"
    how = remedy(dataset.origin, own, field, data=True)
    if not has_magic(written):
        return {"data": Source(written, how)}
    found = [path for path, _ in folder.files(written)]
    if not found:
        return {"data0": Source(written, how)}
    digits = len(str(len(found) - 1))
    return {f"data{index:0{digits}}": Source(path, how) for index, path in enumerate(found)}
