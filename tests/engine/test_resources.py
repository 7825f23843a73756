"""What the machine has, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nexusbuild.errors import CannotFit
from nexusbuild.plugins import Needs
from nexusbuild.process.resources import (
    Budget,
    cgroup_cpu_limit,
    cgroup_memory_limit,
    machine_ram_bytes,
    machine_threads,
)
from nexusbuild.readable import readable_size

PATIENCE = 10.0


class Waiters:
    """Targets by name that ask a budget for their share, each on a thread of its own."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.cancelled = False
        self._granted: dict[str, threading.Event] = {}
        self._done: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}

    def ask(self, name: str, needs: Needs) -> None:
        """Returns once the target either has its share or stands in the queue."""
        before = self.budget.waiting()
        self._granted[name], self._done[name] = threading.Event(), threading.Event()
        thread = threading.Thread(target=self._hold, args=(name, needs))
        self._threads[name] = thread
        thread.start()
        limit = time.monotonic() + PATIENCE
        while not self._granted[name].is_set() and self.budget.waiting() == before:
            assert time.monotonic() < limit
            time.sleep(0.001)

    def has_share(self, name: str) -> bool:
        return self._granted[name].is_set()

    def comes_to_its_share(self, name: str) -> bool:
        return self._granted[name].wait(PATIENCE)

    def give_back(self, name: str) -> None:
        self._done[name].set()
        self._threads[name].join(PATIENCE)

    def end(self) -> None:
        self.cancelled = True
        for name in self._done:
            self.give_back(name)

    def _hold(self, name: str, needs: Needs) -> None:
        with self.budget.hold(needs, lambda: self.cancelled) as granted:
            if granted:
                self._granted[name].set()
                self._done[name].wait()


@contextmanager
def waiters(ram_bytes: int = 100, vram_bytes: int = 100, threads: int = 8) -> Iterator[Waiters]:
    everyone = Waiters(Budget(ram_bytes, vram_bytes, threads))
    try:
        yield everyone
    finally:
        everyone.end()


@pytest.mark.parametrize(
    "needs",
    [
        Needs(ram_bytes=60),
        Needs(vram_bytes=60),
        Needs(gpu=True),
        Needs(threads=5),
        Needs(exclusive=True),
        Needs(pool="ovens"),
    ],
)
def test_two_that_do_not_fit_beside_each_other_go_one_after_the_other(needs: Needs) -> None:
    with waiters() as everyone:
        everyone.ask("first", needs)
        everyone.ask("second", needs)
        assert everyone.has_share("first") and not everyone.has_share("second")
        everyone.give_back("first")
        assert everyone.comes_to_its_share("second")


def test_what_fits_runs_side_by_side() -> None:
    with waiters() as everyone:
        everyone.ask("cpu", Needs(ram_bytes=40, threads=4))
        everyone.ask("gpu", Needs(ram_bytes=40, vram_bytes=90, gpu=True))
        everyone.ask("small", Needs(ram_bytes=20))
        assert all(everyone.has_share(name) for name in ("cpu", "gpu", "small"))


def test_who_wants_to_be_alone_is_alone() -> None:
    with waiters() as everyone:
        everyone.ask("small", Needs())
        everyone.ask("alone", Needs(exclusive=True))
        everyone.ask("later", Needs(threads=0))
        assert not everyone.has_share("alone") and not everyone.has_share("later")
        everyone.give_back("small")
        assert everyone.comes_to_its_share("alone") and not everyone.has_share("later")
        everyone.give_back("alone")
        assert everyone.comes_to_its_share("later")


def test_a_large_one_is_not_starved_by_small_ones() -> None:
    with waiters() as everyone:
        everyone.ask("small", Needs(ram_bytes=30))
        everyone.ask("large", Needs(ram_bytes=90))
        everyone.ask("later", Needs(ram_bytes=30))
        assert not everyone.has_share("large") and not everyone.has_share("later")
        everyone.give_back("small")
        assert everyone.comes_to_its_share("large") and not everyone.has_share("later")


def test_who_waits_for_the_gpu_holds_up_only_those_it_would_compete_with() -> None:
    with waiters() as everyone:
        everyone.ask("on the gpu", Needs(ram_bytes=20, gpu=True))
        everyone.ask("waits", Needs(ram_bytes=50, gpu=True))
        everyone.ask("beside", Needs(ram_bytes=30))
        everyone.ask("in the way", Needs(ram_bytes=30))
        assert everyone.has_share("beside")
        assert not everyone.has_share("waits") and not everyone.has_share("in the way")
        everyone.give_back("on the gpu")
        assert everyone.comes_to_its_share("waits")


def test_who_waits_for_its_pool_holds_up_nobody_else() -> None:
    with waiters(threads=2) as everyone:
        everyone.ask("bakes", Needs(pool="ovens"))
        everyone.ask("bakes next", Needs(pool="ovens"))
        everyone.ask("stirs", Needs(pool="bowls"))
        assert everyone.has_share("stirs") and not everyone.has_share("bakes next")
        everyone.give_back("bakes")
        assert everyone.comes_to_its_share("bakes next")


def test_more_threads_than_there_are_is_slow_but_possible() -> None:
    with waiters(threads=2) as everyone:
        everyone.ask("wide", Needs(threads=16))
        assert everyone.has_share("wide")


def test_who_waits_can_be_called_off() -> None:
    with waiters() as everyone:
        everyone.ask("first", Needs(exclusive=True))
        everyone.ask("second", Needs())
        everyone.cancelled = True
        everyone._threads["second"].join(PATIENCE)
        assert not everyone.has_share("second")
        assert everyone.budget.waiting() == 0


def test_what_can_never_fit_is_refused_with_what_where_and_what_to_do() -> None:
    budget = Budget(ram_bytes=4 << 30, vram_bytes=16 << 30)
    budget.check(Needs(ram_bytes=4 << 30, vram_bytes=16 << 30, gpu=True, threads=999), "a:b")
    with pytest.raises(CannotFit) as too_much_ram:
        budget.check(Needs(ram_bytes=6 << 30), "profile:large")
    text = str(too_much_ram.value)
    assert text.startswith("profile:large: needs 6.0 GB of memory; this build may use 4.0 GB\n")
    assert "larger machine" in text
    with pytest.raises(CannotFit, match=r"profile:large: needs 24.0 GB of GPU memory"):
        budget.check(Needs(vram_bytes=24 << 30, gpu=True), "profile:large")


def test_what_is_not_given_is_what_the_machine_has() -> None:
    budget = Budget()
    assert budget.ram_bytes == machine_ram_bytes() > 64 << 20
    assert budget.threads == machine_threads() >= 1


def test_cgroup_2_limits_count_wherever_they_stand(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/slice/pod/main\n")
    root = tmp_path / "fs"
    (root / "slice/pod/main").mkdir(parents=True)
    assert cgroup_memory_limit(membership, root) is None
    assert cgroup_cpu_limit(membership, root) is None
    (root / "slice/pod/main/memory.max").write_text("max\n")
    (root / "slice/pod/memory.max").write_text(f"{2 << 30}\n")
    (root / "slice/memory.max").write_text(f"{8 << 30}\n")
    (root / "slice/pod/main/cpu.max").write_text("150000 100000\n")
    (root / "slice/cpu.max").write_text("max 100000\n")
    assert cgroup_memory_limit(membership, root) == 2 << 30
    assert cgroup_cpu_limit(membership, root) == 1.5


def test_cgroup_1_limits_count(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n")
    root = tmp_path / "fs"
    # Inside a container the group's own path is often not visible, its root is the group.
    (root / "memory").mkdir(parents=True)
    (root / "memory/memory.limit_in_bytes").write_text(f"{1 << 30}\n")
    (root / "cpu/docker/abc").mkdir(parents=True)
    (root / "cpu/docker/abc/cpu.cfs_quota_us").write_text("200000\n")
    (root / "cpu/docker/abc/cpu.cfs_period_us").write_text("100000\n")
    (root / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (root / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cgroup_memory_limit(membership, root) == 1 << 30
    assert cgroup_cpu_limit(membership, root) == 2.0
    (root / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert cgroup_memory_limit(membership, root) is None


@pytest.mark.parametrize(
    ("count", "text"),
    [(12, "12 B"), (1536, "1.5 KB"), (3 << 30, "3.0 GB"), (5 << 40, "5.0 TB")],
)
def test_sizes_are_readable(count: int, text: str) -> None:
    assert readable_size(count) == text
