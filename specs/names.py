"""Names that a spec may use because a module of that name stands in a folder.

Metrics, samplers and model families are one module each. Their folders are listed, and what the
spec must know of a module is read from literal constants in its text: nothing is imported. Another
package adds a room, a package with folders of the same names, by an entry point of the group
`nexus.modalities`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from specs.constants import constants_of, traits_of
from specs.problems import known_names, suggestion

GROUP = "nexus.modalities"
ROOMS, SAMPLERS = "modalities", "samplers"
HARNESS = "modalities.text.harness.metric"


@dataclass(frozen=True)
class Names:
    """What may be called what. what: the thing, in a word. modules: name -> dotted module."""

    what: str
    modules: Mapping[str, str]

    def module(self, name: str) -> str:
        """The module of a name. Raises ValueError naming the nearest where there is none."""
        if name not in self.modules:
            allowed = f"allowed: {known_names(self.modules)}{suggestion(name, self.modules)}"
            raise ValueError(f'no {self.what} is called "{name}"; {allowed}')
        return self.modules[name]


@dataclass(frozen=True)
class MetricTraits:
    """What the spec must know of a metric: the constants at the top of its module.

    unbounded: its scores may be above 1. needs_tests: it scores rows with tests alone.
    by_likelihood: it is about how likely the reference is, not about what is said.
    """

    unit: str
    higher_is_better: bool
    unbounded: bool = False
    needs_tests: bool = False
    by_likelihood: bool = False


@dataclass(frozen=True)
class FamilyTraits:
    """What the spec must know of a model family: the constants at the top of its module.

    preload: the module that a build imports once. mlp_matrices: in one block. can_ship: whether
    the backbone may be of it.
    """

    preload: str
    mlp_matrices: int
    can_ship: bool


@lru_cache(maxsize=1)
def metrics() -> Names:
    """Metrics that an answer may be scored with."""
    return _names("metric", [f"{room}.metrics" for room in _rooms()])


@lru_cache(maxsize=1)
def samplers() -> Names:
    """Samplers that a data set may be made with."""
    return _names("sampler", [SAMPLERS, *(f"{room}.samplers" for room in _rooms())])


@lru_cache(maxsize=1)
def families() -> Names:
    """Families of models that the build can make."""
    return _names("family", [f"{room}.families" for room in _rooms()])


@lru_cache
def metric_traits(name: str) -> MetricTraits:
    """Raises ValueError where there is none, SpecError where its module says too little."""
    return traits_of(MetricTraits, _file(metrics().module(name)))


@lru_cache
def family_traits(name: str) -> FamilyTraits:
    """Raises ValueError where there is none, SpecError where its module says too little."""
    return traits_of(FamilyTraits, _file(families().module(name)))


@lru_cache(maxsize=1)
def harness_prefix() -> str:
    """What the name of a metric of lm-evaluation-harness begins with."""
    return str(constants_of(_file(HARNESS))["PREFIX"])


def read_files() -> Iterator[tuple[Path, str]]:
    """Folders and patterns of the files that names and constants are read from: what is added or
    changed there may change what a spec means.
    """
    folders = ("metrics", "families", "samplers")
    yield _place(SAMPLERS), "*.py"
    yield _place(ROOMS), "*/spec.py"
    yield from ((_place(ROOMS), f"*/{folder}/*.py") for folder in folders)
    yield _file(HARNESS).parent, _file(HARNESS).name
    for room in _other_rooms():
        yield _place(room), "spec.py"
        yield from ((_place(room), f"{folder}/*.py") for folder in folders)


def rooms_with(file: str) -> tuple[str, ...]:
    """Packages of the rooms that have a file of this name."""
    return tuple(room for room in _rooms() if (_place(room) / file).is_file())


def _names(what: str, packages: Iterable[str]) -> Names:
    modules: dict[str, str] = {}
    for package in packages:
        for file in sorted(_place(package).glob("*.py")):
            name = file.stem
            if name == "__init__" or not name.isidentifier():
                continue
            if name in modules:
                raise ValueError(
                    f"two modules are the {what} {name}: {modules[name]} and {package}.{name}; "
                    "rename one, or uninstall the package that brings it"
                )
            modules[name] = f"{package}.{name}"
    return Names(what, dict(sorted(modules.items())))


@lru_cache(maxsize=1)
def _rooms() -> tuple[str, ...]:
    """Packages of a modality each: the project's own, then those of other packages."""
    own = sorted(file.parent.name for file in _place(ROOMS).glob("*/__init__.py"))
    return (*(f"{ROOMS}.{name}" for name in own), *_other_rooms())


@lru_cache(maxsize=1)
def _other_rooms() -> tuple[str, ...]:
    return tuple(sorted({point.value for point in metadata.entry_points(group=GROUP)}))


def _file(module: str) -> Path:
    return _place(module).with_suffix(".py")


@lru_cache
def _place(package: str) -> Path:
    """The folder of a package; only its outermost package is looked up, and none is imported."""
    top, *rest = package.split(".")
    found = importlib.util.find_spec(top)
    if found is None or not found.submodule_search_locations:
        raise ValueError(f"no package {top} is installed, which is to hold {package}")
    return Path(next(iter(found.submodule_search_locations)), *rest)
