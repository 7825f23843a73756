"""What a kind of target says of itself: one `KIND` in `targets/<kind>/target.py`.

Whatever is true of a kind stands there alone. The resolver finds the kinds by their folders, and
isolation, budget, report and commands ask them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from nexusbuild.plugins import SpecFolder, Target
from specs.model import Spec
from specs.teachers import Teacher
from targets.budget.estimate import Estimator, small_files
from targets.declaring.pins import Pins


class Per(Enum):
    """What there is one target for, and so what the targets of a kind are named after."""

    BUILD = "build"
    """`registry`: one target, named as its kind."""
    DATA_SET = "data set"
    """`dataset:<data set>`"""
    MEDIUM = "medium"
    """`encoder:<medium>`"""
    TEACHER = "teacher"
    """`teacher:<teacher>`"""
    TEACHER_AND_CAPABILITY = "teacher and capability"
    """`profile:<teacher>/<capability>`"""
    CAPABILITY = "capability"
    """`adapter:<capability>`: a link of the capability's chain. Besides, there may be one for
    `backbone` and for `router`, which are names of no capability."""


@dataclass(frozen=True)
class Context:
    """What kinds declare their targets from: a spec, the folder that it lies in, what is pinned.

    data_sets: names of those that something is learned from. taught: each teacher with each
    capability that is learned from it.
    """

    spec: Spec
    folder: SpecFolder
    pins: Pins
    data_sets: tuple[str, ...]
    taught: tuple[tuple[Teacher, str], ...]

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """The teachers that something is learned from."""
        return tuple({teacher.id: teacher for teacher, _ in self.taught}.values())

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that the student learns, sorted."""
        return self.spec.served_capabilities()

    @property
    def routed(self) -> tuple[str, ...]:
        """The capabilities that the router chooses from, sorted."""
        return tuple(
            name
            for name in self.spec.included_capabilities()
            if not self.spec.capabilities[name].isolated
        )


@dataclass(frozen=True)
class Kind:
    """A kind of target.

    name: what its targets' ids begin with, and what its folder is called. declare: gives all its
    targets of a spec. estimate: what one of them takes; by default, what small files do.
    opens_teacher: its work loads a teacher's weights. makes_teacher: what it makes is a teacher.
    lists_only: it lists what there is and ships it as files of their own, so that no row or weight
    of an isolated capability flows on through it.
    """

    name: str
    per: Per
    declare: Callable[[Context], Iterator[Target]]
    estimate: Estimator = small_files
    opens_teacher: bool = False
    makes_teacher: bool = False
    lists_only: bool = False

    @property
    def in_chain(self) -> bool:
        """Whether its targets are links of the chains of capabilities."""
        return self.per is Per.CAPABILITY
