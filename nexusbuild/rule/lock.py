"""nexus.lock: values that were resolved once, and the results that are pinned.

`values` are the resolver's, per group; `pins` are the builder's, per pinned target. A pin holds
digests only: of settings, of the sources of the target and all that it is made from, of inputs
and outputs. The file is committed, so it changes only when what it says would.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nexusbuild import errors
from nexusbuild.digest.keys import plain_json, settings_digest
from nexusbuild.digest.plain_file import replace_file
from nexusbuild.digest.plain_yaml import load_plain
from nexusbuild.digest.statcache import StatCache
from nexusbuild.rule.graph import Graph, Target, input_target
from nexusbuild.rule.names import is_digest
from nexusbuild.rule.record import Record
from nexusbuild.rule.sources import Today

LOCK_FORMAT = 1
_HEADER = """\
# What nexus.yaml leaves to be chosen once, and the results that are pinned to it. Commit this file.
# Written by nexusbuild; `nexusbuild lock --upgrade NAME` changes it.
"""

Sources = Mapping[str, Mapping[str, str]]  # target -> role -> digest


@dataclass(frozen=True)
class Pin:
    """What a pinned target was made of. sources: of the target and of all that it needs."""

    group: str
    key: str
    settings: str
    sources: Sources
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "key": self.key,
            "settings": self.settings,
            "sources": plain_json(self.sources),
            "inputs": plain_json(self.inputs),
            "outputs": plain_json(self.outputs),
        }


@dataclass(frozen=True)
class Lock:
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pins: Mapping[str, Pin] = field(default_factory=dict)

    def with_pin(self, target: str, pin: Pin) -> Lock:
        return replace(self, pins={**self.pins, target: pin})

    def with_value(self, group: str, value: Mapping[str, Any]) -> Lock:
        return replace(self, values={**self.values, group: value})

    def says_the_same_as(self, other: Lock) -> bool:
        return self.to_json() == other.to_json()

    def to_json(self) -> dict[str, Any]:
        return {
            "nexus_lock": LOCK_FORMAT,
            "values": plain_json(self.values),
            "pins": {target: pin.to_json() for target, pin in sorted(self.pins.items())},
        }

    def groups(self) -> set[str]:
        return {*self.values, *(pin.group for pin in self.pins.values())}

    def without(self, groups: Iterable[str]) -> Lock:
        """The lock without these groups, which are then resolved and built again."""
        dropped = set(groups)
        return Lock(
            {group: value for group, value in self.values.items() if group not in dropped},
            {target: pin for target, pin in self.pins.items() if pin.group not in dropped},
        )


def pins_in_force(graph: Graph, order: Iterable[Target], lock: Lock) -> set[str]:
    """Targets whose pin holds: their settings are the pinned ones, and so for every pinned target
    that they are made from (a backbone is not kept for a tokenizer that it was not trained with).
    """
    held: set[str] = set()
    broken: set[str] = set()
    for target in order:
        above = any(input_target(reference) in broken for reference in target.inputs.values())
        pin = lock.pins.get(target.id)
        own = target.pin is not None and (
            pin is None or pin.settings != settings_digest(target.settings, target.id)
        )
        if above or own:
            broken.add(target.id)
        elif target.pin is not None:
            held.add(target.id)
    return held


def sources_behind(graph: Graph, target: str, today: Today) -> dict[str, dict[str, str]]:
    """target -> role -> digest, for the sources of this target and of all that it needs."""
    found: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    waiting = [target]
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        sources = today.sources[each]
        if sources:
            found[each] = {role: source.digest or "" for role, source in sources.items()}
        waiting.extend(input_target(reference) for reference in graph[each].inputs.values())
    return dict(sorted(found.items()))


def changed_source(then: Sources, now: Sources) -> str | None:
    """The first source that is not what it was, in words; None where all are."""
    for target in sorted({*then, *now}):
        before, after = then.get(target, {}), now.get(target, {})
        for role in sorted({*before, *after}):
            if before.get(role) != after.get(role):
                return f"source {role!r} of {target}"
    return None


def pin_of(target: Target, record: Record, sources: Sources) -> Pin:
    return Pin(
        group=target.pin or "",
        key=record.key,
        settings=settings_digest(target.settings, target.id),
        sources=sources,
        inputs=record.input_digests,
        outputs={output.path: output.sha256 for output in record.outputs},
    )


def differences_from_lock(graph: Graph, lock: Lock, today: Today) -> list[str]:
    """What `--locked` refuses to build over, in words."""
    found = []
    for target in graph:
        if target.pin is None:
            continue
        pin = lock.pins.get(target.id)
        if pin is None:
            found.append(f"{target.id} is not in it")
            continue
        if pin.settings != settings_digest(target.settings, target.id):
            found.append(f"settings of {target.id}")
        changed = changed_source(pin.sources, sources_behind(graph, target.id, today))
        if changed and changed not in found:
            found.append(changed)
    found += [
        f"the value of {group}"
        for group in sorted({*graph.lock_values, *lock.values})
        if plain_json(graph.lock_values.get(group)) != plain_json(lock.values.get(group))
    ]
    return found


def read_lock(path: Path, cache: StatCache | None = None) -> Lock:
    """The lock at `path`; an empty one where there is no file. cache: what its file holds."""
    cache = cache or StatCache(None)
    try:
        stat = path.stat()
        known = cache.get(str(path), stat)
        if known is not None:
            return _lock(known)
        began = time.time_ns()
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise errors.unreadable(str(path), error) from error
    import yaml

    try:
        raw = load_plain(text)
        if not isinstance(raw, dict):
            raise ValueError("it is empty" if raw is None else "it holds no names and values")
        if "nexus_lock" not in raw:
            raise ValueError("it does not say `nexus_lock: 1`")
        if raw["nexus_lock"] != LOCK_FORMAT:
            raise ValueError(f"format {raw['nexus_lock']}, known {LOCK_FORMAT}")
        lock = _lock(raw)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise errors.lock_unreadable(str(path), detail) from error
    cache.put(str(path), stat, raw, began)
    return lock


def _lock(raw: Mapping[str, Any]) -> Lock:
    pins = {target: Pin(**pin) for target, pin in (raw.get("pins") or {}).items()}
    for target, pin in pins.items():
        if not is_digest(pin.key):
            raise ValueError(f"the key of {target} is not a SHA-256")
    return Lock(raw.get("values") or {}, pins)


def write_lock(path: Path, lock: Lock) -> bool:
    """Write it whole or not at all; False where the file says the same already."""
    import yaml

    text = _HEADER + yaml.safe_dump(lock.to_json(), sort_keys=False, allow_unicode=True, width=100)
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        replace_file(path, text.encode(), durable=True)
    except OSError as error:
        raise errors.store_unwritable(str(path), error) from error
    return True
