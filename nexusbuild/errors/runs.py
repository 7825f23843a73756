"""Errors about a target that runs: its process, its outputs, the machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from nexusbuild.errors.kinds import FAILED, WRONG, BuildError, CannotFit

_TOO_LARGE = (
    "raise the spec's hardware budget if the machine has more, choose a smaller way to load, "
    "or build this target on a larger machine and bring it back with `nexusbuild store export` "
    "and `store import`"
)


def does_not_fit(target: str, memory: str, needed: str, allowed: str) -> CannotFit:
    """memory: which, `memory` or `GPU memory`."""
    return CannotFit(
        f"needs {needed} of {memory}; this build may use {allowed}", target, _TOO_LARGE
    )


def no_gpu(target: str) -> CannotFit:
    return CannotFit("needs a GPU; none was found on this machine", target, _TOO_LARGE)


def no_room(where: str) -> BuildError:
    return BuildError(
        "no space left on the disk",
        where,
        "make room (`nexusbuild gc` drops old results), or keep the store on another disk "
        "(`--store PATH`), then build again; finished targets are kept",
        FAILED,
    )


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that; libraries not in Python have their own kinds of errors."""
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
        "make it readable and writable, then build again; finished targets are kept",
        FAILED,
    )


def wrote_nothing(target: str) -> BuildError:
    return BuildError(
        "its work wrote no file", target, "work must write its outputs below `job.out`", 1
    )


def not_a_plain_file(target: str, path: str) -> BuildError:
    return BuildError(
        f"its output {path} is not a plain file",
        target,
        "work writes plain files, not links or devices",
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
        f"needs {reference}, which its input did not write (it wrote: {', '.join(files)})",
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


def work_failed(target: str, what: str, log: str, wrong: bool) -> BuildError:
    """what: the work's own words. wrong: it says that a source is at fault."""
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
        remedy="run the same command again: finished targets are kept",
        exit_code=FAILED,
    )


def process_ended(status: int) -> BuildError:
    return BuildError(
        f"its process ended before its work returned (exit status {status})",
        remedy="work returns when it is done, and raises where it fails; see its log",
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
    """text: the traceback."""
    return BuildError(
        f"the builder itself failed\n{text}",
        target,
        "please report this, with the text above",
        FAILED,
    )
