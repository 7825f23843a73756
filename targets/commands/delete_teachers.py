"""`nexusbuild --delete-teachers`: after a build that has passed, free what the teachers take.

Everything downstream has its result by then, and is built without them. Nothing is deleted but
what the spec names as a teacher, and only after a person, or `--yes`, has agreed to it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import specs
from nexus.printable import printable
from nexusbuild.plugins import Built, Problem, ResolveError
from specs.model import Spec
from specs.teachers import Teacher
from targets.budget.devices import GIGABYTE
from targets.resolver.kinds import find_kinds

MEGABYTE = 2**20
FIELD = "teachers.{}.source.path"


@dataclass(frozen=True)
class Copy:
    """A local copy of a teacher. apart: it is no part of the project, so it is asked for alone."""

    teacher: str
    place: str
    bytes: int
    apart: bool
    delete: Callable[[], object]


class DeleteTeachers:
    """The step behind the option."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--delete-teachers",
            action="store_true",
            help="after a build that has passed, delete the local copies of teachers; asks first",
        )
        parser.add_argument("--yes", action="store_true", help="with it: do not ask")

    def asked(self, arguments: argparse.Namespace) -> bool:
        return bool(arguments.delete_teachers)

    def prepare(self, arguments: argparse.Namespace) -> None:
        """Refuse before hours of work what could not be asked after them."""
        if not arguments.yes and not sys.stdin.isatty():
            message = "--delete-teachers asks before it deletes, and there is no terminal to ask at"
            raise ResolveError([Problem(message, remedy="add --yes, or run it at a terminal")])

    def run(self, arguments: argparse.Namespace, built: Built) -> list[dict[str, Any]]:
        """Ask, delete, and say what was freed."""
        unfinished = built.unfinished()
        if unfinished:
            some = ", ".join(unfinished[:3])
            message = (
                f"teachers are still needed: {len(unfinished)} targets have no result ({some})"
            )
            raise ResolveError(
                [Problem(message, remedy="build them: nexusbuild --delete-teachers")]
            )
        copies = list(local_copies(built))
        if not copies:
            _say("no local copy of a teacher is left")
            return []
        deleted: list[dict[str, Any]] = []
        for copy in ask_agreement(copies, arguments.yes):
            entry = {"teacher": copy.teacher, "deleted": copy.place, "bytes": copy.bytes}
            built.journal(entry)
            copy.delete()
            deleted.append(entry)
        if deleted:
            freed = sum(entry["bytes"] for entry in deleted)
            _say(f"deleted {len(deleted)} of {len(copies)} teachers' copies, {_size(freed)} freed")
        else:
            _say("nothing was deleted")
        return deleted


def local_copies(built: Built) -> Iterator[Copy]:
    """What of the spec's teachers lies here: trained ones in the store, folders, a hub's cache."""
    spec = specs.load(built.spec)
    for teacher in spec.teachers:
        yield from _trained_copies(built, teacher)
        if teacher.source.path is not None:
            yield from _folder(built, spec, teacher, teacher.source.path)
        elif teacher.source.hub is not None:
            yield from _cached_copies(teacher)


def ask_agreement(copies: Sequence[Copy], yes: bool) -> list[Copy]:
    """Those that may be deleted. What lies outside the project is asked for one by one."""
    for copy in copies:
        _say(f"  {copy.teacher}: {copy.place}  {_size(copy.bytes)}")
    if yes:
        return list(copies)
    own = [copy for copy in copies if not copy.apart]
    total = _size(sum(copy.bytes for copy in own))
    found = own if own and _ask(f"delete what of these is the project's ({total})?") else []
    return found + [
        copy
        for copy in copies
        if copy.apart and _ask(f"{copy.place} is outside of the project. Delete it?")
    ]


def _trained_copies(built: Built, teacher: Teacher) -> Iterator[Copy]:
    """What targets of the build made of it."""
    kinds = find_kinds().kinds
    made = [
        target.id
        for target in built.graph
        if kinds[target.kind].makes_teacher and target.name == teacher.id
    ]
    stored = built.stored_bytes(made) if made else 0
    if stored:
        yield Copy(teacher.id, ", ".join(made), stored, False, lambda: built.drop_files(made))


def _folder(built: Built, spec: Spec, teacher: Teacher, written: str) -> Iterator[Copy]:
    """A folder is deleted whole: a part of it would count as another teacher."""
    project = built.spec.parent.resolve()
    path = project / written
    real = path.resolve()
    if not real.is_dir():
        return
    _refuse_shared(built, spec, teacher, real)

    def delete() -> None:
        shutil.rmtree(real)
        if path.is_symlink():
            path.unlink()

    size = sum(file.lstat().st_size for file in real.rglob("*") if not file.is_dir())
    yield Copy(teacher.id, str(real), size, project not in real.parents, delete)


def _refuse_shared(built: Built, spec: Spec, teacher: Teacher, real: Path) -> None:
    """Nothing that is no teacher's may go with it."""
    root = built.spec.parent
    kept = {"the project": root, "the home folder": Path.home()}
    kept |= {f"{place.name} of the project": place for place in built.own_places}
    teachers = {(root / one.source.path).resolve() for one in spec.teachers if one.source.path}
    for target in built.graph:
        for source in target.sources.values():
            if (root / source.path).resolve() not in teachers:
                kept[f"{source.path}, which {target.id} reads"] = root / source.path
    for what, place in kept.items():
        place = place.resolve()
        holds = real == place or real in place.parents
        inside = place in real.parents and place not in (root.resolve(), Path.home().resolve())
        if holds or inside:
            message = f"{real} cannot be deleted as a teacher: it shares its place with {what}"
            field = FIELD.format(teacher.id)
            raise ResolveError([Problem(message, field=field, remedy="move the model out of it")])


def _cached_copies(teacher: Teacher) -> Iterator[Copy]:
    """The revision in the hub's cache, which other projects may share."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return
    commits = [
        revision.commit_hash
        for repo in cache.repos
        if repo.repo_type == "model" and repo.repo_id == teacher.source.hub
        for revision in repo.revisions
        if revision.commit_hash.startswith(teacher.source.revision or "")
    ]
    if commits:
        strategy = cache.delete_revisions(*commits)
        place = f"{teacher.source.hub} at {commits[0][:12]} in the hub's cache"
        yield Copy(teacher.id, place, strategy.expected_freed_size, True, strategy.execute)


def _ask(question: str) -> bool:
    sys.stderr.write(printable(f"{question} [y/N] "))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(text: str) -> None:
    """To standard error: standard output may be one JSON document."""
    sys.stderr.write(printable(text) + "\n")


def _size(count: int) -> str:
    unit, name = (GIGABYTE, "GB") if count >= GIGABYTE else (MEGABYTE, "MB")
    return f"{count / unit:.1f} {name}"


step = DeleteTeachers()
