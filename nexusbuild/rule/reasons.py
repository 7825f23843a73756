"""Why a target is not fresh: typed reasons, as data. Wording them is the report's business."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nexusbuild.digest.fingerprint import Code
from nexusbuild.digest.keys import plain_json
from nexusbuild.rule.graph import Target, input_target
from nexusbuild.rule.record import Record
from nexusbuild.rule.sources import Today


@dataclass(frozen=True)
class Reason:
    """code: as the command line's contract lists them, and `output-missing`.

    path: the spec's field, the source's file, the module, or the output. input: a target's id.
    instead_of: the file that was read before, where the spec now names another.
    """

    code: str
    path: str | None = None
    old: Any = None
    new: Any = None
    input: str | None = None
    remedy: str | None = None
    instead_of: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What it says; for a setting both values always stand, since either may be null."""
        result: dict[str, Any] = {"code": self.code}
        for name in ("path", "input", "remedy", "instead_of"):
            if (value := getattr(self, name)) is not None:
                result[name] = value
        if self.code == "setting-changed" or self.old is not None or self.new is not None:
            result |= {"old": self.old, "new": self.new}
        return result


class Absent:
    """A setting that is not there, which is not the same as null."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


def changed_leaves(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(dotted path, old, new) of each setting that differs, to the leaves; lists are leaves."""
    for name in dict.fromkeys([*new, *old]):
        before, after = old.get(name, ABSENT), new.get(name, ABSENT)
        here = f"{path}.{name}" if path else name
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from changed_leaves(before, after, here)
        elif isinstance(before, bool) is not isinstance(after, bool) or before != after:
            yield here, before, after
        elif isinstance(before, float) is not isinstance(after, float):
            yield here, before, after  # 1 and 1.0 are different JSON


def spec_path(target: Target, setting: str) -> str:
    """The field in the spec that a setting comes from: by the longest origin that leads to it."""
    parts = setting.split(".")
    for count in range(len(parts), -1, -1):
        origin = target.origins.get(".".join(parts[:count]))
        if origin is not None:
            return ".".join([origin, *parts[count:]]) if origin else ".".join(parts[count:])
    return setting


def differences(
    then: Record | None, target: Target, today: Today, inputs: Mapping[str, str | None]
) -> tuple[Reason, ...]:
    """What sets a target apart from its result `then`. inputs: role -> digest or None."""
    if then is None:
        return (Reason("never-built"),)
    found: list[Reason] = []
    settings = plain_json(target.settings, target.id)
    for path, old, new in changed_leaves(then.settings, settings):
        old, new = (None if value is ABSENT else value for value in (old, new))
        found.append(Reason("setting-changed", spec_path(target, path), old, new))
    found.extend(_changed_sources(then, target, today))
    found.extend(_changed_modules(then, today.code_of(target), target.work))
    for role, reference in target.inputs.items():
        if role not in then.inputs:
            found.append(Reason("input-added", input=input_target(reference)))
        elif inputs[role] is None or inputs[role] != then.inputs[role].digest:
            found.append(Reason("input-rebuilt", input=input_target(reference)))
    for role, use in then.inputs.items():
        if role not in target.inputs:
            found.append(Reason("input-removed", input=input_target(use.reference)))
    return tuple(reason for place, reason in enumerate(found) if reason not in found[:place])


def _changed_sources(then: Record, target: Target, today: Today) -> Iterator[Reason]:
    sources = today.sources[target.id]
    for role, source in sources.items():
        before = then.sources.get(role)
        if before is None or before.digest != source.digest:
            old = before.digest if before is not None else None
            instead_of = before.path if before and _another(before.path, target, role) else None
            yield Reason("source-changed", source.path, old, source.digest, instead_of=instead_of)
    for role, use in then.sources.items():
        if role not in sources:
            yield Reason("source-changed", use.path, use.digest, None)


def _another(before: str, target: Target, role: str) -> bool:
    """Whether the spec names another file now; not only that its folder lies elsewhere."""
    return before != target.sources[role].path and not before.endswith(
        f"/{target.sources[role].path}"
    )


def _changed_modules(then: Record, code: Code, work: str) -> Iterator[Reason]:
    if then.code.fingerprint == code.fingerprint:
        return
    changed = False
    for module in sorted({*then.code.modules, *code.modules}):
        old, new = then.code.modules.get(module), code.modules.get(module)
        if old != new:
            changed = True
            yield Reason("code-changed", module, old, new)
    if not changed:
        yield Reason("code-changed", work, then.work, work)
