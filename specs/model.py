"""What `nexus.yaml` may say: the whole file, with its defaults.

Its larger sections have modules of their own: `datasets`, `teachers`, `capabilities`, `student`.
Shapes, types and ranges stand there; rules that look at more than one field are in
`specs.crosschecks`. The descriptions become the JSON Schema and the reference.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from specs.capabilities import Capability, Contracts
from specs.datasets import Dataset
from specs.quantities import Duration, Size
from specs.student import Student, Training
from specs.teachers import Teacher
from specs.values import Name, Names, Positive, Section, Texts


class Cooldown(Section):
    """A pause for the hardware in long training."""

    every_steps: Positive
    """Steps between two pauses."""
    seconds: Duration
    """Length of a pause."""


class Hardware(Section):
    """What a build may use. In no key: a change makes nothing stale."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` uses a GPU if there is one."""
    vram: Size | None = None
    """GPU memory that a build may use (default: all that the machine has)."""
    ram: Size | None = None
    """Main memory that a build may use (default: all that the machine has)."""
    disk: Size | None = None
    """Disk space that the store may take. A build that needs more, by estimate, does not start."""
    threads: Positive = 1
    """CPU threads of one target. Small models train best on one thread each, in parallel."""
    max_temperature_c: Annotated[int, Field(ge=40, le=110)] | None = None
    """Training on a GPU pauses at this temperature in degrees Celsius, until it is 10 degrees
    cooler."""
    cooldown: Cooldown | None = None
    """Regular pauses in long training, to let the hardware cool."""


class Licences(Section):
    """Licences that teachers and data sets may have; others are refused before anything loads."""

    allow: Texts
    """SPDX names. NOASSERTION in the list allows what has no known licence."""


class Bundle(Section):
    """What is released, and how it is packed."""

    include: Annotated[Names, Field(min_length=1)] | None = None
    """Capabilities that ship (default: all that have a teacher)."""
    quantize: Literal["none", "int8", "nf4"] = "int8"
    """Format of the backbone's weights."""
    zip: bool = False
    """Whether to write the bundle as one zip file as well."""


class Spec(Section):
    """One file that says what is built."""

    nexus: Literal[1]
    """Version of this format."""
    name: Name
    """Name of the bundle."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """The source of all randomness."""
    hardware: Hardware = Hardware()
    """What a build may use. It is in no key, so a change rebuilds nothing."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """Prompts and answers to learn from, by name."""
    teachers: Annotated[tuple[Teacher, ...], Strict(False), Field(min_length=1)]
    """The models to learn from."""
    capabilities: Annotated[dict[Name, Capability], Field(min_length=1)]
    """What the model must be able to do, by name."""
    contracts: Contracts = Contracts.model_validate({})
    """What the student must retain of its teachers, by capability."""
    licences: Licences | None = None
    """Licences that teachers and data may have (default: any)."""
    student: Student = Student()
    """The one model that ships, and how it is trained."""
    bundle: Bundle = Bundle()
    """What is released, and in which format."""

    def teachers_of(self, capability: str) -> tuple[Teacher, ...]:
        """The teachers that a capability can be learned from, in the spec's order."""
        return tuple(
            teacher
            for teacher in self.teachers
            if capability in teacher.capabilities and self.untrainable(teacher, capability) is None
        )

    def untrainable(self, teacher: Teacher, capability: str) -> str | None:
        """What of a teacher's capability no trainer supports, in words; None if it can be
        trained."""
        if (why := self.capabilities[capability].without_a_trainer()) is not None:
            return why
        return None if teacher.modality in (None, "text") else teacher.modality

    def media(self) -> tuple[str, ...]:
        """What the capabilities that are learned read as well as text, sorted."""
        served = self.served_capabilities()
        return tuple(
            sorted({medium for name in served for medium in self.capabilities[name].media})
        )

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
