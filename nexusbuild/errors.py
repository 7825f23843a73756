"""Every error a person can provoke, worded in one place: what, where, what to do.

Code raises the value that one of these functions returns; the command line prints it and ends
with its exit code. Defects of the builder itself are ordinary exceptions, not these.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence

FAILED = 1
WRONG = 2
VIOLATED = 3
NOT_FRESH = 4
INTERRUPTED = 130

# What a machine refuses; any other OSError that nobody expected is a defect of the builder.
OF_THE_MACHINE = {
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG,
    errno.ENFILE, errno.ENOSPC, errno.EPERM, errno.EROFS,
}  # fmt: skip


class BuildError(Exception):
    """What is wrong, where, and what to do about it; `exit_code` is the command's."""

    def __init__(
        self, what: str, where: str = "", remedy: str = "", exit_code: int = WRONG
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return "\n    ".join([text, *self.remedy.splitlines()])

    def to_json(self) -> dict[str, str]:
        return {"message": self.what, "where": self.where, "remedy": self.remedy}


class CannotFit(BuildError):  # noqa: N818 (an answer, not a defect)
    """A target asks for more than this build may ever use."""


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean ...?`, or nothing where no name is like it."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(dict.fromkeys(names)), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""


def no_spec(name: str, start: str) -> BuildError:
    return BuildError(
        f"no {name} here or in a parent folder", start, "name one with -f PATH, or go to its folder"
    )


def wrong_use(program: str, message: str) -> BuildError:
    """message: argparse's, which shows the usage itself."""
    return BuildError(message, program)


def only_with_dry_run(option: str) -> BuildError:
    return BuildError(
        f"{option} goes with --dry-run, which builds nothing", remedy="add --dry-run, or drop it"
    )


def folder_gone() -> BuildError:
    return BuildError("the folder that you are in was deleted", remedy="go to another, or use -f")


def spec_missing(path: str) -> BuildError:
    return BuildError("there is no such spec", path, "check the path given with -f/--file")


def no_resolver(wanted: str, known: Sequence[str]) -> BuildError:
    found = ", ".join(known) or "none"
    return BuildError(
        f"no resolver named {wanted!r} is installed (found: {found})",
        "entry points nexusbuild.resolver",
        "install the package that brings it (pip install -e .), or name another with --resolver",
    )


def resolver_unusable(name: str, error: BaseException) -> BuildError:
    return BuildError(
        f"cannot be used: {type(error).__name__}: {error}",
        f"resolver {name}",
        "install what it needs, or mend it",
    )


def resolver_gave_no_graph(name: str, found: object) -> BuildError:
    return BuildError(
        f"gave no graph but {type(found).__name__}",
        f"resolver {name}",
        "a resolver is called with the spec's path and the lock's values, and returns a Graph",
    )


def resolver_failed(name: str, error: BaseException, places: Sequence[str]) -> BuildError:
    """places: where it was, the innermost last."""
    return BuildError(
        "\n".join([f"failed: {type(error).__name__}: {error}", *(f"      {p}" for p in places)]),
        f"resolver {name}",
        "mend it; for what is wrong with a spec it raises nexusbuild.graph.ResolveError",
    )


def no_target(name: str, found: str) -> BuildError:
    return BuildError(
        f"what stands for it in the graph is {found}", name, "a graph maps each target's id to it"
    )


def bad_id(name: str) -> BuildError:
    return BuildError(
        f"{name!r} cannot be the id of a target",
        remedy="an id is a kind, or kind:name. A kind is no path and not `logs` or `candidate`; "
        "a name may be a path of folders, but not lead out of them. "
        "There is no + at either end, no - before it, and no # or line break in it",
    )


def same_place(name: str, other: str) -> BuildError:
    return BuildError(
        f"would be shown in build/ where {other} is, or within it",
        name,
        "give one of them another name; the resolver declares them",
    )


def no_such_target(selector: str, ids: Iterable[str]) -> BuildError:
    hint = nearest(selector.strip("+"), ids)
    return BuildError(
        f"no target matches {selector!r}", remedy=hint or "`nexusbuild ls` shows all targets"
    )


def neither_command_nor_target(
    word: str, commands: Iterable[str], ids: Iterable[str]
) -> BuildError:
    hint = nearest(word, [*commands, *ids])
    known = "`nexusbuild --help` shows all commands, `nexusbuild ls` all targets"
    return BuildError(
        f"{word!r} is neither a command nor a target", remedy=f"{hint} {known}".strip()
    )


def unknown_input(target: str, role: str, reference: str, ids: Iterable[str]) -> BuildError:
    return BuildError(
        f"input {role!r} names {reference!r}, which is no target", target, nearest(reference, ids)
    )


def cycle(path: Sequence[str]) -> BuildError:
    return BuildError(
        "these targets need each other: " + " -> ".join(path),
        remedy="one of these inputs must go; the resolver declares them",
    )


def not_json(target: str, path: str, value: object) -> BuildError:
    return BuildError(
        f"setting {path} is {value!r} ({type(value).__name__}), which JSON cannot hold",
        target,
        "settings are JSON values: numbers (finite), strings, booleans, null, lists, objects",
    )


def no_work_module(work: str, target: str) -> BuildError:
    return BuildError(
        f"there is no source file for its work {work!r}",
        target,
        "a target's `work` is `package.module:function`, importable from here",
    )


def syntax_error(path: str, line: int | None, message: str) -> BuildError:
    return BuildError(f"not valid Python: {message}", f"{path}:{line}", "mend the file")


def unreadable(path: str, error: OSError) -> BuildError:
    remedy = "check the path" if error.errno == errno.ENOENT else "check its permissions"
    return BuildError(f"cannot be read: {error.strerror}", path, remedy)


def unwritable(path: str, error: OSError) -> BuildError:
    return BuildError(
        f"cannot be written: {error.strerror or error}", path, "name another file, or make room"
    )


def is_a_folder(path: str) -> BuildError:
    return BuildError("is a folder", path, "name a file in it")


def source_missing(target: str, role: str, path: str, remedy: str) -> BuildError:
    return BuildError(
        f"its source {role!r} is missing: {path}", target, remedy or "put it in place, then go on"
    )


def not_buildable(target: str, obstacle: str) -> BuildError:
    return BuildError(
        obstacle, target, "name the targets to build, or use --keep-going, to build the others"
    )


def pin_unavailable(target: str, group: str, changed: str) -> BuildError:
    return BuildError(
        f"the lock pins it, the store does not have it, and {changed} changed since",
        target,
        f"bring back the source, import the result (`nexusbuild store import`), or make a new one: "
        f"`nexusbuild lock --upgrade {group}`",
    )


def several(errors: Sequence[BuildError]) -> BuildError:
    """All of them as one, so that a person sees every problem at once."""
    if len(errors) == 1:
        return errors[0]
    return BuildError(
        f"{len(errors)} problems\n"
        + "\n".join(f"  {error}".replace("\n", "\n  ") for error in errors),
        exit_code=min(error.exit_code for error in errors),
    )


def lock_unreadable(path: str, detail: str) -> BuildError:
    return BuildError(
        f"not a lock that this version reads: {detail}",
        path,
        "take it back from version control, or delete it and let the next build write it",
    )


def lock_differs(path: str, differences: Sequence[str]) -> BuildError:
    return BuildError(
        "--locked refuses to build, for these differ from the lock:\n"
        + "\n".join(f"      {difference}" for difference in differences),
        path,
        "build without --locked, or `nexusbuild lock --upgrade NAME`, or bring the sources back",
    )


def plan_moved(path: str, moved: Sequence[str]) -> BuildError:
    return BuildError(
        "the world has moved on since this was planned:\n"
        + "\n".join(f"      {each}" for each in moved),
        path,
        "plan again (`nexusbuild --dry-run --plan FILE`), or bring things back",
    )


def plan_unreadable(path: str, detail: str) -> BuildError:
    return BuildError(
        f"no plan that this version reads: {detail}",
        path,
        "write one with `nexusbuild --dry-run --plan FILE`",
    )


def plan_names_its_targets(path: str) -> BuildError:
    return BuildError(
        "a plan says itself what is built and what is forced",
        path,
        "name targets when it is planned: `nexusbuild TARGET --dry-run --plan FILE`",
    )


def no_such_pin(group: str, groups: Iterable[str]) -> BuildError:
    known = sorted(groups)
    return BuildError(
        f"the lock pins nothing named {group!r}",
        remedy=f"it knows: {', '.join(known)}" if known else "no target of this spec is pinned",
    )


def newer_store(path: str, found: str, known: int) -> BuildError:
    return BuildError(
        f"the store has format {found}, this version reads {known}",
        path,
        "use the newer nexusbuild that made it, or another folder with --store",
    )


def store_no_folder(path: str) -> BuildError:
    return BuildError("is no folder, so no store", path, "name another with --store")


def store_unwritable(path: str, error: OSError) -> BuildError:
    return BuildError(
        f"the store cannot be written: {error.strerror}",
        path,
        "make room, or make it writable, or name another with --store",
    )


def store_too_small(store: str, held: str, wanted: str, granted: str) -> BuildError:
    return BuildError(
        f"holds {held}, and what is to be built adds about {wanted}; the spec grants it {granted}",
        store,
        "drop old results (`nexusbuild gc`), raise the spec's hardware budget if the disk has "
        "room, or name a store on another disk with --store",
    )


def no_room(where: str) -> BuildError:
    return BuildError(
        "no space left on the disk",
        where,
        "make room (`nexusbuild gc` drops old results), or keep the store on another disk "
        "(`--store PATH`), then build again; what is finished is kept",
        FAILED,
    )


def disk_is_full(error: BaseException) -> bool:
    """Whether it says so; libraries that are not Python's say it in their own kinds of errors."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return os.strerror(errno.ENOSPC) in str(error)


def system(where: str, error: OSError) -> BuildError:
    """What the operating system refused. where: the target, or the command."""
    if disk_is_full(error):
        return no_room(where)
    file = f": {error.filename}" if error.filename else ""
    return BuildError(
        f"{error.strerror or error}{file}",
        where,
        "see to it that this can be read and written, then build again; what is finished is kept",
        FAILED,
    )


def wrote_nothing(target: str) -> BuildError:
    return BuildError(
        "its work wrote no file", target, "work writes its outputs below `job.out`", 1
    )


def not_a_plain_file(target: str, path: str) -> BuildError:
    return BuildError(
        f"its output {path} is not a plain file",
        target,
        "work writes files, no links or devices",
        1,
    )


def wrote_to_input(target: str, path: str) -> BuildError:
    return BuildError(
        f"its work wrote to its input {path}",
        target,
        "inputs are read-only: copy what is to be changed to `job.scratch`. "
        "The damaged file is dropped and rebuilt when needed",
        FAILED,
    )


def no_such_output(target: str, reference: str, files: Sequence[str]) -> BuildError:
    return BuildError(
        f"needs {reference}, which was not made (made: {', '.join(files)})",
        target,
        exit_code=FAILED,
    )


def bad_verdict(target: str, file: str, detail: str) -> BuildError:
    return BuildError(
        f"its verdict file {file} {detail}",
        target,
        'it holds {"verdict": "pass" | "fail" | "inconclusive", "summary": ...}',
        FAILED,
    )


def changed_meanwhile(target: str, what: str) -> BuildError:
    return BuildError(
        f"{what} changed while the build was running, so its result is not kept",
        target,
        "build again",
        FAILED,
    )


def no_such_build(name: str, known: Sequence[str]) -> BuildError:
    return BuildError(
        f"there is no build {name!r}",
        remedy=f"known: {', '.join(known[-8:])}" if known else "nothing was built yet",
    )


def nothing_to_accept(target: str, detail: str) -> BuildError:
    return BuildError(f"nothing to accept: {detail}", target, "`nexusbuild why` shows what changed")


def no_result(target: str) -> BuildError:
    return BuildError("has no result in the store", target, "build it first")


def no_archive(path: str, why: str) -> BuildError:
    return BuildError(
        f"is not an archive of results ({why})",
        path,
        "name a file that was written by `nexusbuild store export`, or copy it again. It is not "
        "compressed: unpack it first if it is",
    )


def no_room_for(path: str, wanted: str, free: str) -> BuildError:
    return BuildError(
        f"brings {wanted}; the store's disk has {free} left",
        path,
        "make room (`nexusbuild gc` drops old results), or name a store on another disk with "
        "--store. Nothing was taken from it",
    )


def link_in_the_way(path: str) -> BuildError:
    return BuildError(
        "is a link, or not a directory: what is written there would lie elsewhere",
        path,
        "remove it; the builder makes the directory itself",
    )


def bad_output(target: str, why: str) -> BuildError:
    return BuildError(
        f"its outputs cannot be kept: {why}",
        target,
        "its work gives its files plain, distinct names",
        FAILED,
    )


def unrecordable(target: str, why: str) -> BuildError:
    return BuildError(
        f"its result cannot be recorded: {why}",
        target,
        "its settings, verdict and notes are plain texts and numbers of bounded length",
        FAILED,
    )


def damaged(path: str, what: str) -> BuildError:
    return BuildError(f"{what} is damaged", path, "copy it again; nothing was taken from it")


def output_gone(target: str, path: str) -> BuildError:
    return BuildError(
        f"its file {path} is gone from the store",
        target,
        f"make it again: `nexusbuild --force {target}`",
    )


def output_damaged(target: str, path: str) -> BuildError:
    return BuildError(
        f"its file {path} is damaged in the store",
        target,
        "drop it and make it again: `nexusbuild doctor --verify-store`, "
        f"then `nexusbuild --force {target}`",
    )


_TOO_LARGE = (
    "raise the spec's hardware budget if the machine has more, choose a smaller way to load, "
    "or build this target on a larger machine and bring it home with `nexusbuild store export` "
    "and `store import`"
)


def does_not_fit(target: str, memory: str, needed: str, allowed: str) -> CannotFit:
    """memory: which, `memory` or `GPU memory`."""
    return CannotFit(
        f"needs {needed} of {memory}; this build may use {allowed}", target, _TOO_LARGE
    )


def no_gpu(target: str) -> CannotFit:
    return CannotFit("needs a GPU; none was found on this machine", target, _TOO_LARGE)


def no_work_function(module: str, function: str, work: str) -> BuildError:
    return BuildError(
        f"{module} has no function {function!r}",
        f"work {work}",
        "a target's `work` is `package.module:function`; the resolver declares it",
        FAILED,
    )


def work_failed(target: str, what: str, log: str, wrong: bool) -> BuildError:
    """what: in the words of the work. wrong: it says that a source is at fault."""
    return BuildError(what, target, f"its log: {log}", WRONG if wrong else FAILED)


def interrupted(target: str) -> BuildError:
    return BuildError("interrupted", target, exit_code=FAILED)


def no_process(reason: str) -> BuildError:
    return BuildError(
        f"no process could be started: {reason}",
        remedy="end other programs, or build fewer targets side by side (--jobs 1)",
        exit_code=FAILED,
    )


def server_ended(how: str) -> BuildError:
    return BuildError(
        f"the process that targets are forked from ended ({how}), and what ran in it with it",
        remedy="Run the same command again: what had finished is kept.",
        exit_code=FAILED,
    )


def process_ended(status: int) -> BuildError:
    return BuildError(
        f"its process ended before its work returned (exit status {status})",
        remedy="work returns to end well, and raises to fail: see its log",
        exit_code=FAILED,
    )


def process_crashed(number: int, name: str) -> BuildError:
    return BuildError(
        f"its process was killed by signal {number} ({name})",
        remedy="its log holds the stack where a library crashed",
        exit_code=FAILED,
    )


def process_killed(out_of_memory: bool, peak: str) -> BuildError:
    """Killed by SIGKILL. out_of_memory: for certain. peak: the most memory that it had used."""
    cause = "memory ran out" if out_of_memory else "most likely memory ran out, or someone ended it"
    return BuildError(
        f"its process was killed by signal 9 (SIGKILL): {cause}. It had used {peak} at most",
        remedy="Close other programs, run fewer targets side by side (--jobs 1), choose smaller "
        "batches or a smaller way to load, or use a machine with more memory.",
        exit_code=FAILED,
    )


def defect(target: str, text: str) -> BuildError:
    """text: the traceback, for whoever mends the builder."""
    return BuildError(
        f"the builder itself failed\n{text}",
        target,
        "please report this, with the text above",
        FAILED,
    )
