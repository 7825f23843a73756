"""What is known of the sizes of models and data before anything is built: found once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape
from typing import Any

from nexusbuild.plugins import SpecFolder
from specs.model import Spec
from specs.names import family_traits
from specs.student import Tokenizer
from specs.teachers import Teacher, TrainedSource
from targets.budget.json_values import json_object, whole_number
from targets.budget.volumes import Volume, volume_of

# As models are published.
STORED_BYTES_PER_PARAMETER = 2.0
# What a teacher of unknown size is taken for, where a number is needed.
UNKNOWN_PARAMETERS = 1_000_000
# Widths that `auto` is taken to come to where only the profiles will say.
AUTO_HIDDEN, AUTO_LAYERS = 1024, 16
# Of an open model whose files do not say it.
USUAL_VOCABULARY = 32_000
BYTES_VOCABULARY = 258


@dataclass(frozen=True)
class ModelShape:
    """A model's size: parameters in all, width, blocks, entries of its tokenizer."""

    parameters: int
    hidden: int
    layers: int
    vocabulary: int


@dataclass(frozen=True)
class Sizes:
    """Of all that a spec names. teachers: parameters by id, None where nothing says. volumes: of
    each data set.
    """

    spec: Spec
    student: ModelShape
    teachers: Mapping[str, int | None]
    volumes: Mapping[str, Volume]

    def teacher(self, name: str) -> int:
        """Parameters of a teacher, as far as a number is needed."""
        return self.teachers[name] or UNKNOWN_PARAMETERS

    def volume_for(self, capability: str) -> Volume:
        """Of the data set that a capability is learned from."""
        return self.volumes[self.spec.capabilities[capability].dataset]


def find_sizes(
    spec: Spec, folder: SpecFolder, known: Mapping[str, int | None] | None = None
) -> Sizes:
    """Of a spec that lies in `folder`. known: parameters of teachers, as their files say."""
    known = known or {}
    teachers = {
        one.id: known.get(one.id) or _teacher_parameters(folder, one) for one in spec.teachers
    }
    return Sizes(
        spec=spec,
        student=_student_shape(spec, folder, teachers),
        teachers=teachers,
        volumes={name: volume_of(folder, name, data) for name, data in spec.datasets.items()},
    )


def layers_of(parameters: int) -> int:
    """Blocks that a model of this size usually has: 4 of a million, 30 of 8 billion."""
    return max(2, round(4 * float((parameters / 1e6) ** 0.22)))


def trained_parameters(train: TrainedSource) -> int:
    """Parameters of a teacher that the build trains: attention, MLP, embedding and head."""
    inner = train.intermediate or 3 * train.hidden
    matrices = family_traits(train.family).mlp_matrices
    return _parameters(train.hidden, train.layers, inner, matrices, _entries(train.tokenizer))


def _teacher_parameters(folder: SpecFolder, teacher: Teacher) -> int | None:
    """Parameters of a teacher; None where neither the spec nor its files say."""
    if teacher.source.train is not None:
        return trained_parameters(teacher.source.train)
    if teacher.parameters is not None or teacher.source.path is None:
        return teacher.parameters
    return _stored_parameters(folder, teacher.source.path)


def _stored_parameters(folder: SpecFolder, path: str) -> int | None:
    """Parameters by the size of a model's files; None where there are none."""
    # As a model is saved; some folders hold it once more under another name.
    for pattern in ("model*.safetensors", "*.safetensors"):
        files = folder.files(f"{escape(path)}/{pattern}")
        if stored := sum(size for _, size in files):
            return int(stored / STORED_BYTES_PER_PARAMETER)
    return None


def _student_shape(
    spec: Spec, folder: SpecFolder, teachers: Mapping[str, int | None]
) -> ModelShape:
    """Of the backbone: as large as the model that it starts from, where that is here."""
    backbone = spec.student.backbone
    if backbone.init is not None:
        stored = _stored_parameters(folder, backbone.init.path)
        if stored is not None:
            return _stored_shape(folder, backbone.init.path, stored)
    hidden = AUTO_HIDDEN if backbone.hidden == "auto" else backbone.hidden
    layers = AUTO_LAYERS if backbone.layers == "auto" else backbone.layers
    inner = hidden * 8 // 3 if backbone.intermediate == "auto" else backbone.intermediate
    vocabulary = _vocabulary(spec, folder, teachers)
    parameters = _parameters(hidden, layers, inner, 3, vocabulary)
    return ModelShape(parameters, hidden, layers, vocabulary)


def _stored_shape(folder: SpecFolder, path: str, parameters: int) -> ModelShape:
    """Of a model on the disk: as its configuration says, else as models of its size are."""
    config = _configuration(folder, path)
    layers = whole_number(config.get("num_hidden_layers")) or layers_of(parameters)
    hidden = whole_number(config.get("hidden_size")) or _usual_width(parameters, layers)
    vocabulary = whole_number(config.get("vocab_size")) or _usual_vocabulary(parameters)
    return ModelShape(parameters, hidden, layers, vocabulary)


def _usual_width(parameters: int, layers: int) -> int:
    """A block has 12 times the square of its width."""
    return max(1, round(float((parameters / (12 * layers)) ** 0.5)))


def _usual_vocabulary(parameters: int) -> int:
    """Of an open model; no more than there is room for."""
    width = _usual_width(parameters, layers_of(parameters))
    return min(USUAL_VOCABULARY, max(BYTES_VOCABULARY, parameters // width))


def _configuration(folder: SpecFolder, path: str) -> Mapping[str, Any]:
    """What `config.json` says of a model, or of the text part of one that also sees or hears."""
    config = json_object(folder.text(f"{path}/config.json"))
    part = config.get("text_config")
    return part if isinstance(part, Mapping) else config


def _vocabulary(spec: Spec, folder: SpecFolder, teachers: Mapping[str, int | None]) -> int:
    """Entries of the student's tokenizer. teachers: parameters of each."""
    tokenizer = spec.student.tokenizer
    if tokenizer.kind != "teacher":
        return _entries(tokenizer)
    teacher = next(one for one in spec.teachers if one.id == tokenizer.teacher)
    if teacher.source.train is not None:
        return _entries(teacher.source.train.tokenizer)
    said = None
    if teacher.source.path is not None:
        said = whole_number(_configuration(folder, teacher.source.path).get("vocab_size"))
    parameters = teachers[teacher.id]
    return said or (tokenizer.vocab if parameters is None else _usual_vocabulary(parameters))


def _entries(tokenizer: Tokenizer) -> int:
    return BYTES_VOCABULARY if tokenizer.kind == "bytes" else tokenizer.vocab


def _parameters(hidden: int, layers: int, inner: int, matrices: int, vocabulary: int) -> int:
    block = 4 * hidden * hidden + matrices * hidden * inner
    return layers * block + 2 * vocabulary * hidden
