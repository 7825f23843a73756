"""What the machine has, and which targets may use it side by side.

Knows sizes and queues; starts no process and knows nothing of what a target does.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from nexusbuild import errors
from nexusbuild.readable import readable_size
from nexusbuild.rule.graph import Needs

POLL_SECONDS = 0.2
_NO_LIMIT = 1 << 60  # cgroup v1 writes "no limit" as a number near 2**63


def machine_ram_bytes() -> int:
    """Bytes of memory that a process here can use: the machine's, or its cgroup's limit."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroup_memory_limit()
    return physical if limit is None else min(physical, limit)


def machine_threads() -> int:
    """CPU threads that a process here can use: its affinity, or its cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = cgroup_cpu_limit()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def machine_vram_bytes() -> int | None:
    """Bytes of the largest GPU's memory, or None where there is no GPU. Starts no driver."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return machine_ram_bytes()  # one memory for both
    sizes = _amd_vram_bytes(Path("/sys/class/drm")) + _nvidia_vram_bytes()
    return max(sizes, default=None)


def _amd_vram_bytes(drm: Path) -> list[int]:
    return [_number(path) or 0 for path in drm.glob("card*/device/mem_info_vram_total")]


def _nvidia_vram_bytes() -> list[int]:
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    fields = [line.strip() for line in answer.stdout.splitlines()]
    return [int(field) << 20 for field in fields if field.isdigit()]


def cgroup_memory_limit(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """The tightest memory limit (bytes) on the way from this process's cgroup to the root."""
    limits = []
    for controller, group in _cgroups(membership):
        base, name = (
            (root, "memory.max") if controller == "" else (root / "memory", "memory.limit_in_bytes")
        )
        if controller in ("", "memory"):
            limits += [_number(folder / name) for folder in _upwards(base, group)]
    return min((limit for limit in limits if limit and limit < _NO_LIMIT), default=None)


def cgroup_cpu_limit(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """The tightest CPU quota, in CPUs, on the way from this process's cgroup to the root."""
    limits = []
    for controller, group in _cgroups(membership):
        if controller == "":
            for folder in _upwards(root, group):
                words = _text(folder / "cpu.max").split()
                if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
                    limits.append(int(words[0]) / int(words[1]))
        elif controller == "cpu":
            for folder in _upwards(root / "cpu", group):
                quota = _number(folder / "cpu.cfs_quota_us")
                period = _number(folder / "cpu.cfs_period_us")
                if quota and period and quota > 0:
                    limits.append(quota / period)
    return min(limits, default=None)


def _cgroups(membership: Path) -> list[tuple[str, str]]:
    """(controller, group) pairs; the controller of cgroup v2 is the empty string."""
    groups = []
    for line in _text(membership).splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            groups += [(name, fields[2]) for name in fields[1].split(",")]
    return groups


def _upwards(base: Path, group: str) -> list[Path]:
    """The group's folder and all above it, up to `base`. A container may see only `base`."""
    parts = PurePosixPath(group).parts[1:]
    return [base.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def oom_kills() -> int | None:
    """How often this machine's kernel has killed for want of memory; None where it cannot say."""
    for line in _text(Path("/proc/vmstat")).splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return None


@dataclass
class _Free:
    ram_bytes: int
    vram_bytes: int
    threads: int
    gpu: bool = True
    running: int = 0
    pools: set[str] = field(default_factory=set)  # those that are taken

    def fits(self, needs: Needs) -> bool:
        return (
            needs.ram_bytes <= self.ram_bytes
            and needs.vram_bytes <= self.vram_bytes
            and needs.threads <= self.threads
            and (self.gpu or not needs.gpu)
            and (self.running == 0 or not needs.exclusive)
        )

    def take(self, needs: Needs) -> None:
        # Never below nothing: who asks for none of what is short may still run.
        self.ram_bytes = max(0, self.ram_bytes - needs.ram_bytes)
        self.vram_bytes = max(0, self.vram_bytes - needs.vram_bytes)
        self.threads = max(0, self.threads - needs.threads)
        self.gpu = self.gpu and not needs.gpu
        self.pools.update(filter(None, [needs.pool]))
        self.running += 1
        if needs.exclusive:
            self.threads = -1  # not even a target that asks for no thread fits next to it


class Budget:
    """Grants targets their share of the machine, in fair order.

    Of the targets that wait, the one that came first is never delayed by a later one: a later one
    starts earlier only from what remains when the needs of all before it are set aside, but for
    those that wait for another of their pool to end.
    What is not given is what the machine has. One target holds the GPU at a time.
    """

    def __init__(
        self,
        ram_bytes: int | None = None,
        vram_bytes: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.ram_bytes = machine_ram_bytes() if ram_bytes is None else ram_bytes
        self.threads = machine_threads() if threads is None else threads
        self._known_vram_bytes = vram_bytes
        self._vram_is_known = vram_bytes is not None
        self._held: list[Needs] = []
        self._waiting: list[tuple[object, Needs]] = []
        self._changed = threading.Condition()

    def check(self, needs: Needs, target: str) -> None:
        """Raise CannotFit where `target` could not run even alone."""
        if needs.ram_bytes > self.ram_bytes:
            needed, allowed = readable_size(needs.ram_bytes), readable_size(self.ram_bytes)
            raise errors.does_not_fit(target, "memory", needed, allowed)
        if not (needs.gpu or needs.vram_bytes):
            return
        vram_bytes = self._vram_bytes()
        if vram_bytes is None:
            raise errors.no_gpu(target)
        if needs.vram_bytes > vram_bytes:
            needed, allowed = readable_size(needs.vram_bytes), readable_size(vram_bytes)
            raise errors.does_not_fit(target, "GPU memory", needed, allowed)

    @contextmanager
    def hold(self, needs: Needs, cancelled: Callable[[], bool]) -> Iterator[bool]:
        """Wait for the share and hold it; yields False where `cancelled()` came true first.

        Raises CannotFit where waiting would never end. `cancelled` is called every POLL_SECONDS, so
        that cancelling needs no lock (a signal handler may not take one).
        """
        # A target with more threads than there are runs alone and slower; it is not refused.
        needs = replace(needs, threads=min(needs.threads, self.threads))
        self.check(needs, "target")
        ticket = (object(), needs)
        with self._changed:
            self._waiting.append(ticket)
            while ticket in self._waiting and not cancelled():
                self._grant()
                if ticket in self._waiting:
                    self._changed.wait(POLL_SECONDS)
            granted = ticket not in self._waiting
            if not granted:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield granted
        finally:
            if granted:
                with self._changed:
                    self._held.remove(needs)
                    self._changed.notify_all()

    def waiting(self) -> int:
        """How many targets wait for their share."""
        with self._changed:
            self._grant()
            return len(self._waiting)

    def _grant(self) -> None:
        # `check` has asked the driver before anyone who needs a GPU waits here.
        free = _Free(self.ram_bytes, self._known_vram_bytes or 0, self.threads)
        for needs in self._held:
            free.take(needs)
        for ticket in list(self._waiting):
            if ticket[1].pool in free.pools:
                continue  # sets nothing aside: what is free would only lie idle
            if free.fits(ticket[1]):
                self._waiting.remove(ticket)
                self._held.append(ticket[1])
                self._changed.notify_all()
            free.take(ticket[1])  # granted, or set aside for it

    def _vram_bytes(self) -> int | None:
        # Asking the driver takes a while, and few builds need to know: on demand, once.
        if not self._vram_is_known:
            self._known_vram_bytes = machine_vram_bytes()
            self._vram_is_known = True
        return self._known_vram_bytes
