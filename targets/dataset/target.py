"""Declares `dataset:<name>`."""

from __future__ import annotations

from collections.abc import Iterator
from glob import has_magic

from nexusbuild.plugins import Source, SpecFolder, Target
from specs.datasets import Dataset
from specs.model import Spec
from specs.names import samplers
from specs.rooms import readable
from targets.dataset.estimate import estimate
from targets.declaring.answers import answers_needed
from targets.declaring.kind import Context, Kind, Per
from targets.declaring.slices import section_fields, slice_of
from targets.declaring.sources import remedy


def declare(spec: Spec, folder: SpecFolder, name: str) -> Target:
    """A data set of a spec that lies in `folder`."""
    dataset = spec.datasets[name]
    # Where the data can be had decides nothing about the rows.
    fields = section_fields(dataset.settings(), f"datasets.{name}")
    if dataset.path is not None:
        fields["prompt"] = (dataset.prompt or "prompt", f"datasets.{name}.prompt")
        if answers_needed(spec, name):
            fields["response"] = (dataset.response or "response", f"datasets.{name}.response")
        else:
            fields["answer_required"] = (False, "capabilities")
    declared = slice_of(spec, fields)
    # A sampled data set is made by a module that reads no file.
    made_by = "work" if dataset.sample is None else "sampled"
    return Target(
        id=f"dataset:{name}",
        work=f"targets.dataset.{made_by}:build",
        code={
            **({} if dataset.sample is None else {"sampler": samplers().module(dataset.sample)}),
            **{f"rows/{medium}": readable()[medium].module("rows") for medium in dataset.media()},
        },
        settings=declared.settings,
        origins=declared.origins,
        sources=data_sources(folder, dataset, name),
    )


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


def declare_all(context: Context) -> Iterator[Target]:
    """Every data set that something is learned from."""
    for name in context.data_sets:
        yield declare(context.spec, context.folder, name)


KIND = Kind(
    name="dataset",
    per=Per.DATA_SET,
    declare=declare_all,
    estimate=estimate,
)
