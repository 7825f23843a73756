"""nexusbuild diff A B: two builds: settings, scores, sizes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from nexusbuild.command import Command, add_json, add_place
from nexusbuild.project import find_place
from nexusbuild.readable import readable_size
from nexusbuild.rule.reasons import ABSENT, changed_leaves
from nexusbuild.rule.record import Record
from nexusbuild.show.streams import print_json, say
from nexusbuild.store.buildlog import find_build
from nexusbuild.store.store import Store


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="the earlier build (its number; `last`, -2)")
    parser.add_argument("b", metavar="B", help="the later build")
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    store = Store(find_place(arguments.file, arguments.store, arguments.resolver).store)
    one, other = (find_build(store.root, name).keys for name in (arguments.a, arguments.b))
    documents = [
        found
        for target in dict.fromkeys([*one, *other])
        if (found := _difference(target, one.get(target), other.get(target), store)) is not None
    ]
    if arguments.json:
        print_json({"a": arguments.a, "b": arguments.b, "targets": documents})
        return 0
    for document in documents:
        say(f"{document['id']}: {document['change']}")
        lines = document["differences"]
        assert isinstance(lines, list)
        for line in lines:
            old, new = ("none" if line[each] is None else line[each] for each in ("old", "new"))
            say(f"  {line['what']} {line['path']}: {old} -> {new}")
    if not documents:
        say("no target differs")
    return 0


def _difference(
    target: str, one: str | None, other: str | None, store: Store
) -> dict[str, object] | None:
    if one == other:
        return None
    if one is None or other is None:
        return {"id": target, "change": "removed" if other is None else "added", "differences": []}
    before, after = store.record(one), store.record(other)
    if before is None or after is None:
        return {"id": target, "change": "dropped by gc", "differences": []}
    return {"id": target, "change": "changed", "differences": _lines(before, after)}


def _lines(before: Record, after: Record) -> list[dict[str, object]]:
    lines = _leaves("setting", before.settings, after.settings)
    lines += _leaves("score", before.verdict or {}, after.verdict or {})
    lines += _leaves("code", before.code.modules, after.code.modules)
    sources = [{role: use.digest for role, use in each.sources.items()} for each in (before, after)]
    lines += _leaves("source", *sources)
    if before.digest == after.digest:
        lines.append({"what": "outputs", "path": "all", "old": "same", "new": "same"})
    elif before.bytes != after.bytes:
        sizes = [readable_size(each.bytes) for each in (before, after)]
        lines.append({"what": "size", "path": "all outputs", "old": sizes[0], "new": sizes[1]})
    return lines


def _leaves(
    what: str, before: Mapping[str, object], after: Mapping[str, object]
) -> list[dict[str, object]]:
    return [
        {"what": what, "path": path, "old": _as_shown(old), "new": _as_shown(new)}
        for path, old, new in changed_leaves(before, after)
    ]


def _as_shown(value: object) -> object:
    if value is ABSENT:
        return None
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


command = Command("diff", "What differs between two builds.", configure, run)
