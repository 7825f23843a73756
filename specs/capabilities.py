"""What `nexus.yaml` may say of a capability, and of the contract that it is held to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from specs.rooms import TEXT, missing_trainer
from specs.student import Training
from specs.values import (
    ContractMetric,
    Level,
    Media,
    Metric,
    Modality,
    Name,
    Names,
    NotNegative,
    Positive,
    Section,
    Share,
    Text,
    Threshold,
    WrittenMedium,
)


class Profile(Section):
    """How thoroughly a teacher is profiled for a capability."""

    samples: Positive = 200
    """Pilot rows whose activations are mapped."""
    pilot_samples: Positive = 20
    """Pilot rows on which blocks are ablated."""
    explained_variance: Annotated[float, Field(gt=0, le=1)] = 0.97
    """Least share of the variance that the kept directions explain."""
    max_metric_fall: Share = 0.01
    """With the teacher reduced to those directions, the metric must fall by less than this."""
    key_layer_drop: Share = 0.1
    """A layer is a key layer if the metric falls by more than this share without it."""


class Trace(Section):
    """What is kept of a teacher's answers for training."""

    top_k: Positive = 12
    """Log-probabilities kept per token. All other tokens share one bucket."""
    answers: Literal["dataset", "teacher"] = "dataset"
    """Whose answers are learned: the data set's, or the teacher's own."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """For the teacher's own answers. 0 takes the likeliest token; above 0, tokens are drawn."""
    coefficient_rows: NotNegative = 0
    """Rows for which the trace also keeps what anchors need."""


class Harness(Section):
    """Tasks of lm-evaluation-harness that teachers and student answer, next to held-out rows."""

    tasks: Annotated[Names, Field(min_length=1)]
    """Names of the tasks. A contract uses one with `metric: lm_eval/NAME`."""
    folder: Text | None = None
    """A folder with task files of your own, relative to this file."""


class Capability(Section):
    """Something that the model must be able to do."""

    dataset: Name
    """The data set it is learned from and measured on."""
    metric: Metric
    """How an answer is scored."""
    reads: Media = ()
    """Media that it reads as well as text."""
    writes: WrittenMedium = "text"
    """The medium that it writes."""
    modality: Modality = "text"
    """What it reads and writes, in one word, if no room supports it yet. Anything but `text` is
    only declared, not built."""
    isolated: bool = False
    """Kept apart from everything else. The router never chooses it; it is used only by name."""
    profile: Profile = Profile()
    """How thoroughly its teachers are profiled."""
    trace: Trace = Trace()
    """What is kept of its teachers' answers."""
    harness: Harness | None = None
    """Tasks of lm-evaluation-harness that are answered as well (default: none)."""
    training: Training = Training()
    """Fields that differ from `student.training`."""

    @property
    def media(self) -> tuple[str, ...]:
        """What it reads as well as text, sorted: the order of its soft tokens."""
        return tuple(sorted(set(self.reads) - {TEXT}))

    def without_a_trainer(self) -> str | None:
        """What no trainer supports, in words; None if it can be trained."""
        return missing_trainer(self.modality, self.media, self.writes)


class Contract(Section):
    """What the student must retain of the best teacher's score on the held-out rows."""

    retain_fraction: Threshold = 0.97
    """Least share of the teacher's score."""
    at_least: Level | None = None
    """Also the least score of the student, in the metric's unit; the most if lower is better."""
    metric: ContractMetric | None = None
    """How answers are scored; `lm_eval/TASK` for a harness task (default: the capability's)."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    """If set, the one-sided bound at this confidence decides, not the point estimate."""
    teacher_at_least: Level | None = None
    """Least score of the teacher itself, so that a weak teacher does not make the contract easy."""


class RouterContract(Section):
    """What the router must reach on the held-out prompts."""

    metric: Literal["accuracy"] = "accuracy"
    """Share of prompts that go to the right capability."""
    at_least: Threshold = 0.95
    """Least accuracy."""


class Contracts(Section):
    """A contract per capability, and `router` for the router's."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Contract]

    router: RouterContract = RouterContract()
    """What the router must reach."""

    def of(self, capability: str) -> Contract:
        """The contract of a capability; the default one if the spec has none."""
        return (self.__pydantic_extra__ or {}).get(capability, Contract())
