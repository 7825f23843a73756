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
    reads: Media = ()
    """Media that are read besides text."""
    writes: WrittenMedium = "text"
    """The medium that is written."""
    modality: Modality = "text"
    """What is read and written, in a word, where there is no room for it yet: such a capability is
    declared only."""
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

    @property
    def media(self) -> tuple[str, ...]:
        """What is read besides text, sorted: the order of its soft tokens."""
        return tuple(sorted(set(self.reads) - {TEXT}))

    def without_a_trainer(self) -> str | None:
        """What there is no trainer for, in words; None where it can be trained."""
        return missing_trainer(self.modality, self.media, self.writes)


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
