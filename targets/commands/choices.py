"""What a first spec is to say: by what was found on the disk and what a person answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specs.loading import shown_path
from specs.model import Hardware
from specs.names import metric_traits
from targets.budget.devices import GIGABYTE, SMALL_MODEL_PARAMETERS, granted_ram
from targets.budget.needs import opened_needs
from targets.commands.found_on_disk import FoundData, FoundModel, Machine, splits
from targets.commands.known_capabilities import BY_NAME
from targets.commands.new_spec import Entry, NewSpec
from targets.commands.questions import Questions
from targets.commands.spec_file import as_written, name_from
from targets.commands.teacher_table import written_count

TRAINED = {
    "family": "llama", "hidden": 160, "layers": 3, "heads": 5, "intermediate": 384, "steps": 700,
    "tokenizer": {"kind": "bpe", "vocab": 768},
}  # fmt: skip
SAMPLE = {"sample": "word_problems", "rows": 9000, "licence": "MIT"}
STUDENT = {
    "tokenizer": {"kind": "bpe", "vocab": 1024},
    "backbone": {
        "init": "scratch", "hidden": 128, "layers": 4, "heads": 4, "intermediate": 384,
        "batch": 16,
    },
    "training": {"rank": 64, "steps": 700, "batch": 16},
}  # fmt: skip
LARGER_STUDENT = {
    "tokenizer": {"kind": "bpe", "vocab": 8192},
    "backbone": {
        "init": "scratch", "hidden": 256, "layers": 8, "heads": 8, "intermediate": 768, "batch": 8,
    },
    "training": {"rank": 64, "steps": 2000, "batch": 8},
}  # fmt: skip
GUESS = "what it teaches is a guess: leave what it cannot do"


def chosen_spec(
    name: str | None,
    path: Path,
    models: Sequence[FoundModel],
    data: Sequence[FoundData],
    room: Machine,
    questions: Questions,
) -> NewSpec:
    """The spec that is to be written to `path`. name: of what is built, where it is given.

    It always builds: where nothing was found, a sampler makes rows and the build a teacher.
    """
    usual = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.parent.resolve().name).strip("_.-") or "nexus"
    name = name or questions.name("Name of what is built", usual)
    hardware = _hardware(room)
    choices = _Choices(path, questions)
    choices.learn_from(data)
    choices.be_taught_by(models, hardware)
    small = all(
        (model.folder.parameters or SMALL_MODEL_PARAMETERS) < SMALL_MODEL_PARAMETERS
        for model in models
    )
    return NewSpec(
        name=name,
        hardware={key: _written(value) for key, value in hardware.items()},
        datasets=choices.datasets,
        teachers=tuple(choices.teachers),
        capabilities=choices.capabilities,
        licences=tuple(dict.fromkeys(choices.licences)),
        student=STUDENT if small else LARGER_STUDENT,
        left_out=tuple(choices.models_left_out),
        data_left_out=tuple(choices.data_left_out),
    )


class _Choices:
    """The sections as they fill. Of what is left out: (what, why)."""

    def __init__(self, path: Path, questions: Questions) -> None:
        self._path = path
        self._questions = questions
        self.datasets: dict[str, Entry] = {}
        self.capabilities: dict[str, Entry] = {}
        self.teachers: list[Entry] = []
        self.licences: list[str] = []
        self.data_left_out: list[tuple[str, str]] = []
        self.models_left_out: list[tuple[str, str]] = []

    def learn_from(self, data: Sequence[FoundData]) -> None:
        """A data set and its capability for each file; a sampler's, where there is none."""
        for each in data:
            why_not = each.why_not or self._learn(each)
            if why_not:
                self.data_left_out.append((as_written(each.path, self._path), why_not))
        if not self.capabilities:
            made = Entry(SAMPLE, "made by a sampler; put your own rows next to it")
            self.datasets["word_problems"] = made
            fields = {"dataset": "word_problems", "metric": "final_answer"}
            self.capabilities["reasoning"] = Entry(fields)
            self.licences.append("MIT")

    def _learn(self, data: FoundData) -> str:
        """Take the file, or say why not."""
        names = self._questions.names(f"{shown_path(data.path)} teaches", [data.capability])
        if not names:
            return "as you said"
        name = names[0]
        if name in self.capabilities:
            return f"{name} is learned from another file"
        licence = self._licence(data.licence)
        fields = {"path": as_written(data.path, self._path), **data.fields, **splits(data.rows)}
        self.datasets[name] = Entry({**fields, "licence": licence}, data.reason)
        self.capabilities[name] = _capability(name, bool(data.fields.get("tests")))
        return ""

    def be_taught_by(self, models: Sequence[FoundModel], hardware: dict[str, Any]) -> None:
        """A teacher for each model that can be one; the build's own for what none teaches."""
        for model in models:
            why_not = self._teach(model, hardware)
            if why_not:
                written = as_written(model.folder.path, self._path)
                self.models_left_out.append((written, why_not))
        taught = {one for teacher in self.teachers for one in teacher.fields["capabilities"]}
        for capability in self.capabilities:
            if capability not in taught:
                source = {"train": TRAINED}
                fields = {"id": f"{capability}-teacher", "source": source, "licence": "MIT"}
                comment = "made by the build; a model folder of your own would teach more"
                self.teachers.append(Entry({**fields, "capabilities": [capability]}, comment))
                self.licences.append("MIT")

    def _teach(self, model: FoundModel, hardware: dict[str, Any]) -> str:
        """Take the model as a teacher, or say why not."""
        folder = model.folder
        if model.no_text:
            return f"no text comes from a {folder.architecture}"
        load = _fitting_load(hardware, folder.parameters)
        if load is None:
            return "too large for this machine in any format"
        written = as_written(folder.path, self._path)
        own = [each for each in model.capabilities if each in self.capabilities]
        every = list(self.capabilities)
        taught = self._questions.names(f"{written} teaches", own or every, every)
        if not taught:
            return "as you said"
        identity = name_from(written)
        while identity in {teacher.fields["id"] for teacher in self.teachers}:
            identity += "-2"
        licence = self._licence(folder.licence)
        fields = {"id": identity, "source": {"path": written}, "licence": licence, "load": load}
        comment = about_model(model) + ("" if own or self._questions.asking else f"; {GUESS}")
        self.teachers.append(Entry({**fields, "capabilities": taught}, comment))
        return ""

    def _licence(self, stated: str | None) -> str:
        licence = self._questions.licence("its licence", stated)
        self.licences.append(licence)
        return licence


def about_model(model: FoundModel) -> str:
    """Architecture, size and licence, in a line."""
    folder = model.folder
    size = written_count(folder.parameters) if folder.parameters else "of unknown size"
    return f"{folder.architecture}, {size}, {folder.licence or 'no licence stated'}"


def _capability(name: str, tests: bool) -> Entry:
    known = BY_NAME.get(name)
    metric = known.metric if known is not None else "rouge_l"
    if metric_traits(metric).needs_tests and not tests:
        metric = "rouge_l"
    fields: dict[str, Any] = {"dataset": name, "metric": metric}
    if known is not None and known.isolated:
        fields["isolated"] = True
    return Entry(fields)


def _hardware(room: Machine) -> dict[str, Any]:
    """As the spec says it, with bytes for sizes."""
    said: dict[str, Any] = {"device": "auto"}
    if room.vram:
        said["vram"] = room.vram
    said["ram"] = max(GIGABYTE, room.ram // GIGABYTE * GIGABYTE)
    said["disk"] = max(GIGABYTE, room.disk // 2 // GIGABYTE * GIGABYTE)
    return said


def _written(value: Any) -> Any:
    return f"{value // GIGABYTE}GB" if isinstance(value, int) else value


def _fitting_load(hardware: dict[str, Any], parameters: int | None) -> str | None:
    """The most exact format in which a model of this size fits; None where none does."""
    said = Hardware.model_validate({key: _written(value) for key, value in hardware.items()})
    loads = ["fp32", "bf16", "int8", "nf4"]
    if parameters is not None and parameters >= 20 * SMALL_MODEL_PARAMETERS:
        loads.remove("fp32")  # large models are published in bf16
    for load in loads:
        needs = opened_needs(said, parameters, load)
        if needs.gpu and said.vram is None:
            said = said.model_copy(update={"device": "cpu"})
            needs = opened_needs(said, parameters, load)
        fits_gpu = said.vram is None or needs.vram_bytes <= said.vram
        if fits_gpu and needs.ram_bytes <= granted_ram(said):
            return load
    return None
