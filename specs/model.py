"""What `nexus.yaml` may say, section by section, with its defaults.

Shapes, types and ranges stand here; rules that look at more than one field are in
`specs.crosschecks`. The descriptions become the JSON Schema and the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from specs.quantities import ALLOWED, Count, Duration, Size

ROUTER = "router"
# SPDX's own word for a licence that nobody has stated.
NO_ASSERTION = "NOASSERTION"
RESERVED_NAMES = ("backbone", "router")

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        json_schema_extra={ALLOWED: "a name of letters, digits, _, - and ."},
    ),
]
Names = Annotated[tuple[Name, ...], Strict(False)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Strict(False)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Threshold = Annotated[float, Field(gt=0, le=1.2)]
Level = Annotated[float, Field(gt=0)]

Family = Literal["llama", "gpt2", "qwen2", "qwen3"]
Sampler = Literal["functions", "plain_talk", "queries", "tool_calls", "word_problems"]
Precision = Literal["fp32", "bf16", "int8", "nf4"]
Modality = Literal[
    "text",
    "image-to-text",
    "video-to-text",
    "speech-to-text",
    "text-to-speech",
    "speech-to-speech",
    "text-to-image",
    "image-to-video",
    "any-to-any",
    "features",
]
# What there is a trainer for; the rest can be declared, and is said to be declared only.
TRAINABLE_MODALITIES: tuple[Modality, ...] = ("text",)
Metric = Literal[
    "accuracy",
    "bits_per_byte",
    "cosine",
    "exact_match",
    "final_answer",
    "json_equal",
    "rouge_l",
    "token_f1",
    "unit_tests",
    "word_error_rate",
]


HARNESS_METRIC = re.compile(r"lm_eval/(?P<task>[\w.-]+)(/[\w.,-]+)?")


def _contract_metric(value: Any) -> Any:
    named = isinstance(value, str) and HARNESS_METRIC.fullmatch(value)
    if value in get_args(Metric) or named:
        return value
    raise PydanticCustomError("metric", "no metric")


ContractMetric = Annotated[
    str,
    BeforeValidator(_contract_metric),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(get_args(Metric))},
                {
                    "type": "string",
                    "pattern": f"^{HARNESS_METRIC.pattern}$".replace("?P<task>", ""),
                },
            ],
            ALLOWED: f"{', '.join(get_args(Metric))}, lm_eval/TASK",
        }
    ),
]
# Scores of these may be above 1; all others are shares.
UNBOUNDED_METRICS = ("bits_per_byte", "word_error_rate")


def _auto_or_positive(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise PydanticCustomError("auto_or_positive", "neither auto nor a whole number")


Auto = Annotated[
    Literal["auto"] | int,
    BeforeValidator(_auto_or_positive),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}),
]


class Section(BaseModel):
    """A mapping in the spec: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Cooldown(Section):
    """A pause for the hardware in long training."""

    every_steps: Positive
    """Steps between two pauses."""
    seconds: Duration
    """Length of a pause."""


class Hardware(Section):
    """What a build may use. Changes how things are built, never what comes out."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` takes a GPU where there is one."""
    vram: Size | None = None
    """GPU memory a build may use; what there is, unless said."""
    ram: Size | None = None
    """Main memory a build may use; what there is, unless said."""
    disk: Size | None = None
    """Disk space that the store may take; a build that by estimate needs more does not start."""
    threads: Positive = 1
    """CPU threads of one target; small models train best on one each, side by side."""
    max_temperature_c: Annotated[int, Field(ge=40, le=110)] | None = None
    """Degrees Celsius at which training on a GPU pauses, until it is 10 degrees cooler."""
    cooldown: Cooldown | None = None
    """Regular pauses in long training, for the hardware's sake."""


class Tokenizer(Section):
    """How text is cut into tokens."""

    kind: Literal["bpe", "bytes", "teacher"] = "bpe"
    """`bpe` is learned from the data sets (digits stay single), `bytes` needs no learning,
    `teacher` takes the one of the teacher named."""
    teacher: Text | None = None
    """Whose tokenizer the student takes, with `kind: teacher`."""
    vocab: Annotated[int, Field(ge=258, le=1_000_000)] = 512
    """Entries in all, bytes and special tokens included; `bytes` always has 258."""


class Dataset(Section):
    """Prompts and answers: made by a sampler of the project, or read from files."""

    sample: Sampler | None = None
    """The sampler that makes the rows."""
    path: Text | None = None
    """A file, a folder or a glob, relative to this file."""
    rows: Positive | None = None
    """Rows of all splits together; all that the files have, unless said."""
    eval: Positive = 1000
    """Rows held out for the contract; no training sees them."""
    validation: Positive = 200
    """Rows held out for decisions during training."""
    pilot: Positive = 240
    """Rows for profiling teachers."""
    prompt: Text | None = None
    """Key of the prompt in the files' rows, or text with keys in braces (`prompt`, unless said).
    Keys go deeper with dots (`chat.0.text`); columns without names are called 0, 1, 2 …"""
    response: Text | None = None
    """Key of the answer in the files' rows (`response`, unless said). Rows need none where every
    capability that uses them has `trace: {answers: teacher}` and no teacher is trained on them."""
    tests: Text | None = None
    """Key of the unit tests in the files' rows, where answers are code."""
    origin: Text | None = None
    """Where the data can be had, said when it is missing; nothing is fetched by itself."""
    longest_row: Positive = 8000
    """Characters of prompt and answer together above which a row is dropped."""
    drop_similar: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Training rows whose prompt is at least so similar to one of `eval` are dropped; none is,
    unless said. 1 is the same words in the same order; from 0.8 on, pairs are reported."""
    licence: Text | None = None
    """SPDX name of the data's licence; NOASSERTION where it is not known."""
    template: Annotated[
        str,
        Field(pattern=r"\{prompt\}", json_schema_extra={ALLOWED: "text with {prompt} in it"}),
    ] = "{prompt}\n"
    """What the model sees: text with {prompt} in it; the answer follows directly."""
    stop: Texts = ()
    """Texts that end an answer, besides the end of the sequence."""
    max_new_tokens: Positive | None = None
    """Longest answer; taken from the data, unless said."""


class TrainedSource(Section):
    """A small teacher that the build trains from scratch on its capability's data set."""

    family: Family
    """Architecture."""
    hidden: Positive
    """Width of the residual stream."""
    layers: Positive
    """Number of blocks."""
    heads: Positive
    """Attention heads; they divide the width."""
    intermediate: Positive | None = None
    """Width of the MLP; three times the width, unless said."""
    steps: Positive
    """Optimiser steps."""
    batch: Positive = 16
    """Rows in one step."""
    learning_rate: Rate = 0.02
    """Of Muon, for the matrices; the rest follows from it."""
    tokenizer: Tokenizer = Tokenizer()
    """The teacher's own tokenizer."""


class TeacherSource(Section):
    """Where a teacher comes from: exactly one of `path`, `hub` and `train`."""

    path: Text | None = None
    """A model folder on this machine, relative to this file."""
    hub: (
        Annotated[
            str,
            Field(pattern=r"^[\w.-]+/[\w.-]+$", json_schema_extra={ALLOWED: "OWNER/MODEL"}),
        ]
        | None
    ) = None
    """A model of the hub; `revision` pins it."""
    revision: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9a-f]{7,40}$",
                json_schema_extra={ALLOWED: "a commit of 7 to 40 hex digits"},
            ),
        ]
        | None
    ) = None
    """The commit of the hub's model."""
    origin: Text | None = None
    """Where the folder of `path` can be had (OWNER/MODEL of the hub, or an address), said when it
    is missing; nothing is fetched by itself."""
    train: TrainedSource | None = None
    """Made by the build itself."""


class Teacher(Section):
    """A model that some capabilities are learned from. It never ships."""

    id: Name
    """The name that targets and messages use."""
    source: TeacherSource
    """Where the model comes from."""
    licence: Text | None = None
    """SPDX name of the model's licence; NOASSERTION where it is not known."""
    load: Precision = "fp32"
    """Precision in which the teacher is opened."""
    capabilities: Annotated[Names, Field(min_length=1)]
    """What this teacher teaches."""
    parameters: Count | None = None
    """Size, where it cannot be read from the files yet; used to estimate memory and time."""
    modality: Modality | None = None
    """What the model reads and writes; as its capabilities, unless said. `features` is a model
    from which no text comes: an encoder, a codec, autoencoders."""
    category: Text | None = None
    """What kind of model it is, for people; nothing depends on it."""
    best_feature: Text | None = None
    """What it is best at, for people; nothing depends on it."""


class Profile(Section):
    """How thoroughly a teacher is profiled for a capability."""

    samples: Positive = 200
    """Pilot rows whose activations are mapped."""
    pilot_samples: Positive = 20
    """Pilot rows on which blocks are ablated."""
    explained_variance: Annotated[float, Field(gt=0, le=1)] = 0.97
    """Share of variance that the kept directions explain, at least."""
    max_metric_fall: Share = 0.01
    """Fall of the metric that a teacher reduced to those directions must stay below."""
    key_layer_drop: Share = 0.1
    """Relative fall of the metric without a layer above which it is a key layer."""


class Trace(Section):
    """What is kept of a teacher's answers for training."""

    top_k: Positive = 12
    """Log-probabilities kept per token; the rest stays as one bucket."""
    answers: Literal["dataset", "teacher"] = "dataset"
    """Whose answers are learned: the data set's, or the teacher's own."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Of the teacher's own answers: 0 takes the likeliest token, above it tokens are drawn."""
    coefficient_rows: NotNegative = 0
    """Rows that also keep what anchors need."""


class Training(Section):
    """How adapters are trained. A capability's own `training` overrides single fields."""

    rank: Positive = 64
    """Cap of an adapter's rank."""
    steps: Positive = 700
    """Optimiser steps."""
    batch: Positive = 16
    """Rows in one step."""
    learning_rate: Rate = 0.01
    """Of Muon, for all LoRA matrices."""
    warmup_steps: NotNegative = 20
    """Steps over which the learning rate rises."""
    kl_weight: Share = 0.2
    """Share of the divergence from the teacher in the loss; the rest is cross-entropy."""
    activation_anchor: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the activation anchor; 0 leaves it off."""
    attention_anchor: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the attention anchor; 0 leaves it off."""
    validate_every: Positive = 200
    """Steps between two looks at the validation rows."""
    recovery_steps: NotNegative = 30
    """Steps on the worst rows where a look finds an adapter worse than it was; 0 leaves recovery
    off, and with it the roll-back after a spike."""
    retries: NotNegative = 1
    """How often an adapter below its aim trains on."""
    aim_fraction: Threshold = 1.0
    """Retention on the validation rows below which an adapter trains on (not the contract)."""


class Harness(Section):
    """Tasks of lm-evaluation-harness that teachers and student answer besides the held-out rows."""

    tasks: Annotated[Names, Field(min_length=1)]
    """Their names there; a contract takes one with `metric: lm_eval/NAME`."""
    folder: Text | None = None
    """A folder with task files of your own, relative to this file."""


class Capability(Section):
    """Something the model is to be able to do."""

    dataset: Name
    """The data set it is learned from and measured on."""
    metric: Metric
    """How an answer is scored."""
    modality: Modality = "text"
    """What is read and what is written. Only `text` can be trained today; all else is declared."""
    isolated: bool = False
    """Kept apart from everything else; never routed to, used only when asked for."""
    profile: Profile = Profile()
    """How thoroughly its teachers are profiled."""
    trace: Trace = Trace()
    """What is kept of its teachers' answers."""
    harness: Harness | None = None
    """Tasks of lm-evaluation-harness that are answered, too; none, unless said."""
    training: Training = Training()
    """What differs from `student.training`."""


class Contract(Section):
    """What of the best teacher's score must be retained on the held-out rows."""

    retain_fraction: Threshold = 0.97
    """Least share of the teacher's score."""
    at_least: Level | None = None
    """Least score of the student besides, in the metric's unit; most, where lower is better."""
    metric: ContractMetric | None = None
    """The capability's metric, unless said; `lm_eval/TASK` for one of its harness tasks."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    """Where said, the one-sided bound at this confidence decides, not the point estimate."""
    teacher_at_least: Level | None = None
    """Least score of the teacher itself, so that a weak one does not make the contract easy."""


class RouterContract(Section):
    """What the router must reach on the held-out prompts."""

    metric: Literal["accuracy"] = "accuracy"
    """Share of prompts that go where they belong."""
    at_least: Threshold = 0.95
    """Least accuracy."""


class Contracts(Section):
    """A contract per capability, and `router` for the router's."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Contract]

    router: RouterContract = RouterContract()
    """What the router must reach."""

    def of(self, capability: str) -> Contract:
        """The contract of a capability; the default one, where the spec has none."""
        return (self.__pydantic_extra__ or {}).get(capability, Contract())


class Licences(Section):
    """Licences that teachers and data sets may have; others are refused before anything loads."""

    allow: Texts
    """SPDX names. NOASSERTION among them lets in what has no known licence."""


class InitPath(Section):
    """A small open model to start from instead of from scratch."""

    path: Text
    """A model folder, relative to this file. Never a teacher."""


def _init(value: Any) -> Any:
    if value == "scratch":
        return None
    if isinstance(value, Mapping | InitPath):
        return value
    raise PydanticCustomError("init", "neither scratch nor a path")


Init = Annotated[
    InitPath | None,
    BeforeValidator(_init),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "scratch"},
                {
                    "type": "object",
                    "properties": {
                        "path": {
                            "type": "string",
                            "minLength": 1,
                            "description": "A model folder, relative to this file; no teacher.",
                        }
                    },
                    "required": ["path"],
                    "additionalProperties": False,
                },
            ],
            ALLOWED: "scratch, or {path: FOLDER}",
        }
    ),
]


class Backbone(Section):
    """The student's frozen base, which all adapters share."""

    init: Annotated[Init, Field(json_schema_extra={"default": "scratch"})] = None
    """`scratch`, or `{path: FOLDER}` of a small open model to start from."""
    family: Literal["llama", "qwen3"] = "llama"
    """Architecture, where it starts from scratch."""
    hidden: Auto = "auto"
    """Width of the residual stream; `auto` follows from the teachers' profiles."""
    layers: Auto = "auto"
    """Number of blocks."""
    heads: Auto = "auto"
    """Attention heads."""
    intermediate: Auto = "auto"
    """Width of the MLP."""
    steps: Positive = 600
    """Optimiser steps of its distillation."""
    batch: Positive = 32
    """Rows in one step."""
    learning_rate: Rate = 0.02
    """Of Muon, for the matrices."""
    kl_weight: Share = 0.2
    """Share of the divergence from the teachers in the loss; the rest is cross-entropy."""


class Student(Section):
    """The model that ships."""

    tokenizer: Tokenizer = Tokenizer()
    """How the student cuts text into tokens."""
    backbone: Backbone = Backbone()
    """The frozen base that all adapters share."""
    training: Training = Training()
    """How adapters are trained, unless a capability says otherwise."""


class Bundle(Section):
    """What is released, and how it is packed."""

    include: Annotated[Names, Field(min_length=1)] | None = None
    """Capabilities that ship; all that a teacher serves, unless said."""
    quantize: Literal["none", "int8", "nf4"] = "int8"
    """Format of the backbone's weights."""
    zip: bool = False
    """Also one zip file."""


class Spec(Section):
    """One file that says what is built."""

    nexus: Literal[1]
    """Version of this format."""
    name: Name
    """Name of the bundle."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """All randomness derives from it."""
    hardware: Hardware = Hardware()
    """What a build may use; nothing that comes out depends on it."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """What there is to learn: prompts and answers, by name."""
    teachers: Annotated[tuple[Teacher, ...], Strict(False), Field(min_length=1)]
    """Who can do it already."""
    capabilities: Annotated[dict[Name, Capability], Field(min_length=1)]
    """What the model is to be able to do, by name."""
    contracts: Contracts = Contracts.model_validate({})
    """What must be retained of the teachers, by capability."""
    licences: Licences | None = None
    """Licences that teachers and data may have; without this section, any."""
    student: Student = Student()
    """The one model that ships, and how it is trained."""
    bundle: Bundle = Bundle()
    """What is released, in which format."""

    def teachers_of(self, capability: str) -> tuple[Teacher, ...]:
        """The teachers that a capability can be learned from, in the spec's order."""
        return tuple(
            teacher
            for teacher in self.teachers
            if capability in teacher.capabilities and self.untrainable(teacher, capability) is None
        )

    def untrainable(self, teacher: Teacher, capability: str) -> Modality | None:
        """The modality of a teacher's capability that there is no trainer for; None if it can be
        trained."""
        for modality in (self.capabilities[capability].modality, teacher.modality):
            if modality is not None and modality not in TRAINABLE_MODALITIES:
                return modality
        return None

    def served_capabilities(self) -> tuple[str, ...]:
        """Capabilities that at least one teacher serves and that can be trained, sorted."""
        return tuple(sorted(name for name in self.capabilities if self.teachers_of(name)))

    def included_capabilities(self) -> tuple[str, ...]:
        """Capabilities that ship, sorted."""
        if self.bundle.include is None:
            return self.served_capabilities()
        return tuple(sorted(self.bundle.include))

    def training_of(self, capability: str) -> Training:
        """`student.training` with what the capability overrides."""
        own = self.capabilities[capability].training
        overrides = {name: getattr(own, name) for name in own.model_fields_set}
        return self.student.training.model_copy(update=overrides)
