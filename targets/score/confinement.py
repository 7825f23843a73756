"""Run a function where no teacher can be reached: an allow-list that the kernel enforces.

The function runs in a child that gives up everything but what is listed, tries to break out first,
and only then begins. Where neither Landlock nor namespaces can be had, nothing runs.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from targets.score import landlock, namespaces
from targets.score.attempts import Attempt, attempts, check_inside, check_outside
from targets.score.system_calls import refuse_system_calls

REMEDY = (
    "scoring has to run where no teacher can be reached, and this system offers neither Landlock "
    "(Linux 5.13, `lsm=landlock,...` on the kernel's command line) nor user, mount and network "
    "namespaces (`sysctl kernel.unprivileged_userns_clone=1`; in a container, allow `unshare`). "
    "Nothing was scored"
)
SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
# What kind of processor this is: libraries choose their kernels by it when they first compute.
PROCESSOR = ("/proc/cpuinfo", "/sys/devices/system/cpu")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# This project's packages that a scorer may import from, at any moment.
OWN_PACKAGES = ("nexus", "targets", "modalities", "opened_models", "training")
# What a GPU's driver opens when it is first used.
GPU = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset")
GPU_READS = ("/proc/driver/nvidia", "/proc/self", "/proc/meminfo", "/sys/devices", "/sys/bus/pci")
_PR_SET_PDEATHSIG = 1

Progress = Callable[[int, int], None]
Scoring = Callable[[Progress], None]


@dataclass(frozen=True)
class Allowed:
    """files: may be read, one by one; folders: may be listed. below: folders of libraries and what
    the system says of itself, read whole. out: the one to write to.
    """

    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    below: tuple[Path, ...]
    devices: tuple[Path, ...]
    out: Path


def allowed_paths(inputs: Mapping[str, Path], out: Path, packages: Iterable[str] = ()) -> Allowed:
    """The inputs file by file, the interpreter's libraries, the processor, and the output folder.

    Inputs are links into a store that holds teachers, too: only the objects that they point to are
    allowed, never a folder of the store. packages: those that bring code of the scorer besides.
    """
    gpu = [path for path in map(Path, GPU) if path.exists()]
    gpu += sorted(Path("/dev").glob("nvidia[0-9]*"))
    reads = [Path(path) for path in (*PROCESSOR, *(GPU_READS if gpu else ()))]
    return Allowed(
        tuple(sorted(set(_all_files(inputs)))),
        tuple(sorted(path for path in inputs.values() if path.is_dir())),
        (*library_folders(packages), *reads),
        (*map(Path, DEVICES), *gpu),
        out,
    )


def _all_files(inputs: Mapping[str, Path]) -> Iterator[Path]:
    for path in inputs.values():
        if path.is_file():
            yield path
        else:
            yield from (file for file in path.rglob("*") if file.is_file())


def library_folders(packages: Iterable[str] = ()) -> tuple[Path, ...]:
    """Where Python, its packages and shared libraries lie; the project's code, and `packages`."""
    # Found and not imported: what `nexus` imports is not part of the scorer.
    own = [find_spec(name) for name in (*OWN_PACKAGES, *packages)]
    folders = {
        *SYSTEM_LIBRARIES,
        *site.getsitepackages(),
        # A user's own, and those that a `.pth` file or PYTHONPATH adds.
        *(path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")),
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        sysconfig.get_path("platlib"),
        *(str(Path(spec.origin).parent) for spec in own if spec and spec.origin),
    }
    return tuple(sorted({Path(folder).resolve() for folder in folders if Path(folder).is_dir()}))


def bystander(inputs: Mapping[str, Path], scratch: Path) -> Path | None:
    """A file of the store that is no input; None where `scratch` lies in no store.

    The store keeps every target's files in `objects`, teachers' among them; inputs are links to
    some of these.
    """
    own = {(file.stat().st_dev, file.stat().st_ino) for file in _all_files(inputs)}
    for folder in scratch.resolve().parents:
        if (folder / "objects").is_dir():
            others = (
                file
                for file in sorted((folder / "objects").iterdir())
                if file.is_file() and (file.stat().st_dev, file.stat().st_ino) not in own
            )
            return next(others, None)
    return None


def run_confined(
    scoring: Scoring,
    inputs: Mapping[str, Path],
    out: Path,
    scratch: Path,
    progress: Progress,
    packages: Iterable[str] = (),
) -> dict[str, Any]:
    """Run `scoring` under confinement; returns what was tried from inside before it began.

    packages: top-level packages with code of the scorer besides the project's own.

    Raises RuntimeError where there is no confinement to be had, where it leaks, or with the text
    of what failed inside.
    """
    abi = landlock.landlock_abi()
    method = "landlock" if abi else "namespace" if namespaces.namespaces_work() else None
    if method is None:
        raise RuntimeError(REMEDY)
    allowed = allowed_paths(inputs, out, packages)
    root = scratch / "root"
    root.mkdir(parents=True, exist_ok=True)
    with attempts(scratch / "bait", bystander(inputs, scratch)) as tries:
        check_outside(tries)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _live_confined(method, allowed, root, tries, scoring, writing)
        os.close(writing)
        try:
            tried = _follow(reading, progress)
        finally:
            status = os.waitpid(child, 0)[1]
    if tried is None:
        raise RuntimeError(f"the confined scorer ended without a word (status {status})")
    return {"method": method, "abi": abi or None, **tried}


def _follow(reading: int, progress: Progress) -> dict[str, Any] | None:
    """Relay what the child says; the last word is `done` or `failed`."""
    tried: dict[str, Any] = {}
    with os.fdopen(reading, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            if "progress" in message:
                progress(*message["progress"])
            elif "tried" in message:
                tried = message
            elif "failed" in message:
                raise RuntimeError(message["failed"])
            elif "done" in message:
                return tried
    return None


def _live_confined(
    method: str,
    allowed: Allowed,
    root: Path,
    tries: list[Attempt],
    scoring: Scoring,
    writing: int,
) -> NoReturn:
    """The child: nothing inherited but its standard streams and the pipe, then the confinement."""
    status = 1

    def say(**message: Any) -> None:
        os.write(writing, (json.dumps(message) + "\n").encode())

    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # An open file is a way round every rule about paths.
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            if int(name) > 2 and int(name) != writing:
                with suppress(OSError):  # the one that this listing itself was read from
                    os.close(int(name))
        # The stream objects may have stood on one of these.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
        if method == "landlock":
            landlock.confine(_rules(allowed))
        else:
            namespaces.confine(
                root, (*allowed.files, *allowed.below, *allowed.devices), (allowed.out,)
            )
        filtered = refuse_system_calls()
        say(tried=check_inside(tries), system_calls_refused=filtered)
        scoring(lambda done, total: say(progress=[done, total]))
        say(done=True)
        status = 0
    except BaseException as error:
        say(failed=str(error) or type(error).__name__)
        traceback.print_exc()
    finally:
        os._exit(status)


def _rules(allowed: Allowed) -> Iterator[tuple[Path, int]]:
    yield from ((path, landlock.READ) for path in allowed.files)
    yield from ((path, landlock.LIST) for path in allowed.folders)
    yield from ((path, landlock.READ_BELOW) for path in allowed.below)
    yield from ((path, landlock.READ_AND_WRITE) for path in allowed.devices)
    yield allowed.out, landlock.WRITE_BELOW
