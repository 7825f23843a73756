"""Run candidates' code against tests, each in a forked child that may do next to nothing.

This file is the whole program of a bare interpreter: standard library only, nothing of the
project. Limits, then one case a line come in as JSON; one line an outcome goes out. Around the
runner: no new privileges, Landlock (nothing but the standard library can be read, nothing
written), an empty network namespace, as far as the kernel has them. Around each child: limits of
CPU, memory, file size and processes, no open files, no environment, and an audit hook that
refuses processes, sockets, ctypes and changes to files.
"""

from __future__ import annotations

import collections  # noqa: F401  # what candidates import often is loaded once, here
import contextlib
import ctypes
import datetime  # noqa: F401
import functools  # noqa: F401
import heapq  # noqa: F401
import itertools  # noqa: F401
import json
import math  # noqa: F401
import os
import random  # noqa: F401
import re  # noqa: F401
import resource
import secrets
import select
import signal
import string  # noqa: F401
import struct
import sys
import sysconfig
import time
import typing  # noqa: F401
import warnings
from types import CodeType
from typing import Any

READY = "ready"
PASSED = "passed"
LONGEST_SOURCE = 100_000
REFUSED = (
    "os.",
    "subprocess.",
    "socket.",
    "ctypes.",
    "shutil.",
    "pty.",
    "fcntl.",
    "resource.",
    "signal.",
    "tempfile.",
    "mmap.",
    "urllib.",
    "webbrowser.",
    "_posixsubprocess.",
    "_winapi.",
)
ALLOWED = ("os.listdir", "os.scandir")  # imports look into folders
LIBRARY = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# linux/prctl.h, linux/sched.h, linux/landlock.h; the system calls have one number everywhere
PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 38, 36
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE_AND_FOLDER = 1 << 2 | 1 << 3
RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}


def main() -> None:
    """Read limits and cases, confine this process, run them one after the other."""
    first, *lines = sys.stdin.buffer.read().splitlines()
    limits = json.loads(first)
    warnings.simplefilter("ignore")
    nothing = os.open(os.devnull, os.O_RDWR)
    children = _open_children()
    sys.path[:] = [path for path in sys.path if path]
    if sys.platform == "linux":
        _confine()
    for name in [name for name in sys.modules if "ctypes" in name]:
        del sys.modules[name]
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    for line in lines:
        case = json.loads(line)
        program = _compile_parts([case["code"], *case["tests"]])
        if isinstance(program, str):
            outcome = program
        else:
            outcome = _outcome(program, limits, nothing)
            _reap(children)
        sys.stdout.write(outcome + "\n")
        sys.stdout.flush()


def _compile_parts(parts: list[str]) -> list[CodeType] | str:
    """Code objects of the candidate and its tests, or why there are none.

    Done before the fork: a child that compiles touches three times the pages, and each costs.
    """
    if max(map(len, parts)) > LONGEST_SOURCE:
        return "failed: MemoryError"
    try:
        return [compile(part, "<candidate>", "exec", dont_inherit=True) for part in parts]
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError) as error:
        return f"failed: {type(error).__name__}"


def _outcome(program: list[CodeType], limits: dict[str, Any], nothing: int) -> str:
    """Run one candidate. Only who knows the child's secret can say that the tests passed: neither
    what is printed nor how it ends. Code that looks for it among the frames above itself finds it;
    a process cannot hide from what it runs.
    """
    secret = secrets.token_bytes(16)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run(program, limits, nothing, writer, secret)
    os.close(writer)
    said, deadline = b"", time.monotonic() + limits["wall_seconds"]
    timed_out = False
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            timed_out = True
            break
        part = os.read(reader, 256)
        if not part or len(said) > 4096:
            break
        said += part
    os.close(reader)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if said == secret:
        return PASSED
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if timed_out or ended_by in (signal.SIGVTALRM, signal.SIGXCPU):
        return "timeout"
    reason = said.decode("ascii", errors="replace")
    return f"failed: {reason}" if reason.isidentifier() else "failed"


def _run(
    program: list[CodeType], limits: dict[str, Any], nothing: int, writer: int, secret: bytes
) -> None:
    """The child: never returns."""
    try:
        os.setsid()
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.dup2(writer, 3)
        os.closerange(4, 256)
        _limit(limits)
        sys.addaudithook(_refuse)
        names: dict[str, Any] = {"__name__": "candidate"}
        for part in program:
            exec(part, names)
        os.write(3, secret)
    except BaseException as error:
        os.write(3, type(error).__name__.encode("ascii", errors="replace")[:60])
    finally:
        os._exit(0)


def _limit(limits: dict[str, Any]) -> None:
    seconds = float(limits["cpu_seconds"])
    whole = max(1, int(seconds + 0.999))
    for what, most in (
        (resource.RLIMIT_AS, int(limits["memory_bytes"])),
        (resource.RLIMIT_CPU, whole + 1),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_NPROC, 0),
    ):
        # macOS refuses some of these; the others still hold.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if (isinstance(flags, int) and flags & WRITING) or not str(path).startswith(LIBRARY):
            raise PermissionError("candidates read the standard library, and write nothing")
    elif event.startswith(REFUSED) and event not in ALLOWED:
        raise PermissionError(f"candidates may not use {event}")


def _open_children() -> int | None:
    """The kernel's list of this process's children; opened now, as later nothing can be."""
    try:
        return os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY)
    except OSError:
        return None


def _reap(children: int | None) -> None:
    """End what a candidate left running: it was handed to this process when its parent ended."""
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if ended == 0:
            if children is None:
                return
            os.lseek(children, 0, os.SEEK_SET)
            for child in os.read(children, 1 << 16).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            time.sleep(0.001)


def _confine() -> None:
    """Take from this process and its children what can be taken; what cannot is left to limits."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return
    rights = (1 << RIGHTS_OF_ABI.get(version, 16)) - 1
    network = 3 if version >= 4 else 0
    scoped = 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", rights, network, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0)
    if rules < 0:
        return
    for folder in LIBRARY:
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        beneath = struct.pack("=Qi", READ_FILE_AND_FOLDER, opened)
        libc.syscall(LANDLOCK_ADD, rules, 1, beneath, 0)
        os.close(opened)
    libc.syscall(LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)


if __name__ == "__main__":
    main()
