"""The local executor, with real processes: what a target sees, and every way it can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nexusbuild.plugins import Job, Needs
from nexusbuild.process import executor as executor_module
from nexusbuild.process.child import PROGRESS_SECONDS, ReportedProgress
from nexusbuild.process.executor import CannotFit, LocalExecutor, Outcome, ProgressEvent

HERE = Path(__file__).parent
ANYWHERE = Needs()
PATIENCE = 20.0  # seconds that a test waits for what happens in milliseconds


@pytest.fixture(autouse=True)
def works_are_importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.syspath_prepend(str(tmp_path))


class Runs:
    """Runs works by name in threads, and keeps their events."""

    def __init__(self, executor: LocalExecutor, folder: Path) -> None:
        self.executor = executor
        self.folder = folder
        self.events: dict[str, list[ProgressEvent]] = {}
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(16)

    def job(self, target: str, settings: dict[str, Any]) -> Job:
        place = self.folder / target.replace(":", "-")
        (place / "out").mkdir(parents=True, exist_ok=True)
        (place / "scratch").mkdir(exist_ok=True)
        (place / "data").write_text("some data")
        return Job(
            target=target,
            settings=settings,
            inputs={"data": place / "data"},
            sources={},
            out=place / "out",
            scratch=place / "scratch",
            seed=42,
            threads=2,
            progress=lambda done, total, **figures: None,
        )

    def start(
        self, work: str, target: str = "", needs: Needs = ANYWHERE, **settings: Any
    ) -> Future[Outcome]:
        module, _, function = work.rpartition(":")
        target = target or f"test:{function}"
        name = f"{module or 'works_for_executor'}:{function}"
        return self._threads.submit(
            self.executor.run,
            self.job(target, settings),
            name,
            needs,
            self.log(target),
            self._note,
        )

    def run(self, work: str, target: str = "", **settings: Any) -> Outcome:
        return self.start(work, target, **settings).result(PATIENCE)

    def log(self, target: str) -> Path:
        return self.folder / "logs" / f"{target.replace(':', '-')}.log"

    def out(self, target: str) -> Path:
        return self.folder / target.replace(":", "-") / "out"

    def scratch(self, target: str) -> Path:
        return self.folder / target.replace(":", "-") / "scratch"

    def own_event(self, target: str) -> ProgressEvent:
        """The first event that the work itself sent."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.events.get(target, ())) > 1, PATIENCE)
            return self.events[target][1]

    def _note(self, event: ProgressEvent) -> None:
        with self._changed:
            self.events.setdefault(event.target, []).append(event)
            self._changed.notify_all()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with_executor = Runs(LocalExecutor(threads=16, grace_seconds=0.5), tmp_path)
    yield with_executor
    with_executor.executor.close()


def eventually(condition: Callable[[], bool]) -> bool:
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if condition():
            return True
        time.sleep(0.01)
    return False


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that waits for its parent to notice has."""
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


# What a target sees


def test_a_work_gets_its_job_and_its_surroundings(runs: Runs) -> None:
    outcome = runs.run("count_to_ten", rate=0.1, nested={"list": [1, "two", None]})
    assert outcome.ok and outcome.error == ""
    assert 0 < outcome.seconds < PATIENCE
    facts = json.loads((runs.out("test:count_to_ten") / "facts.json").read_text())
    assert facts["settings"] == {"rate": 0.1, "nested": {"list": [1, "two", None]}}
    assert (facts["seed"], facts["threads"], facts["data"]) == (42, 2, "some data")
    assert facts["cwd"] == str(Path.cwd())
    assert facts["path"] == sys.path
    assert facts["omp"] == "1"
    assert facts["visible_gpus"] == ""  # it asked for none
    assert facts["server"] != os.getpid()
    assert facts["own_group"]


def test_events_begin_with_the_start_and_end_with_all_done(runs: Runs) -> None:
    runs.run("count_to_ten")
    events = runs.events["test:count_to_ten"]
    assert (events[0].done, events[0].total) == (0, 0)
    assert (events[1].done, events[1].figures) == (1, {"loss": 1.0, "phase": "counting"})
    assert (events[-1].done, events[-1].total) == (10, 10)


def test_progress_is_limited_in_rate_but_never_loses_the_end() -> None:
    sent: list[float] = []
    now = [0.0]
    progress = ReportedProgress(
        lambda message: sent.append(message["progress"][0]), clock=lambda: now[0]
    )
    for done in range(1, 1001):
        now[0] += PROGRESS_SECONDS / 100
        progress(done, 1000)
    progress(1000, 1000)
    assert len(sent) == 11
    assert sent[-1] == 1000


def test_all_output_is_in_the_log_and_is_appended(runs: Runs) -> None:
    runs.run("count_to_ten")
    runs.run("count_to_ten")
    log = runs.log("test:count_to_ten").read_text()
    assert log.count("test:count_to_ten  works_for_executor:count_to_ten") == 2
    for line in ("to standard output", "to standard error", "from a process"):
        assert log.count(line) == 2


def test_many_at_once_each_get_their_own(runs: Runs) -> None:
    running = [runs.start("count_to_ten", f"test:{number}", number=number) for number in range(12)]
    assert all(outcome.result(PATIENCE).ok for outcome in running)
    servers = set()
    for number in range(12):
        facts = json.loads((runs.out(f"test:{number}") / "facts.json").read_text())
        assert facts["settings"] == {"number": number}
        servers.add(facts["server"])
        assert runs.events[f"test:{number}"][-1].done == 10
    assert len(servers) == 1


# How a target fails


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("project", "data/a.jsonl:3: no `answer`\n    Add one, or drop the row."),
        ("value", "rank 0 is not possible"),
        ("key", "KeyError: 'loss' (works_for_executor.py:"),
        ("file", "No such file or directory: teacher/config.json"),
        ("memory", "memory ran out"),
        ("exit", "its work ended the process with exit status 3"),
        ("assertion", "AssertionError (works_for_executor.py:"),
    ],
)
def test_an_exception_becomes_a_message_and_a_traceback(
    runs: Runs, kind: str, message: str
) -> None:
    outcome = runs.run("raise_what_settings_say", kind=kind)
    assert not outcome.ok
    assert outcome.error.startswith(message)
    assert "Traceback" not in outcome.error
    assert "Traceback" in runs.log("test:raise_what_settings_say").read_text()


def test_a_work_that_does_not_exist_is_named(runs: Runs) -> None:
    assert "no_such_module" in runs.run("no_such_module:build").error
    assert "has no function 'no_such_function'" in runs.run("no_such_function").error


@pytest.mark.parametrize("status", [0, 7])
def test_to_leave_early_is_to_fail(runs: Runs, status: int) -> None:
    outcome = runs.run("leave_without_a_word", status=status)
    assert not outcome.ok
    assert f"exit status {status}" in outcome.error


def test_a_crash_names_its_signal_and_leaves_its_stack_in_the_log(runs: Runs) -> None:
    assert "SIGSEGV" in runs.run("crash").error
    assert "works_for_executor.py" in runs.log("test:crash").read_text()


def test_a_killed_child_is_reported_with_the_likely_cause(runs: Runs) -> None:
    running = runs.start("wait_with_a_process")
    figures = runs.own_event("test:wait_with_a_process").figures
    os.kill(int(figures["child"]), signal.SIGKILL)
    outcome = running.result(PATIENCE)
    assert not outcome.ok
    assert "SIGKILL" in outcome.error and "memory" in outcome.error and "--jobs 1" in outcome.error
    assert outcome.peak_rss_bytes > 0
    assert eventually(lambda: is_gone(int(figures["grandchild"])))
    assert runs.run("count_to_ten").ok


def test_what_a_work_measures_of_its_run_is_in_the_outcome(runs: Runs) -> None:
    outcome = runs.run("measure")
    assert {name: outcome.measured[name] for name in ("check_seconds", "peak_bytes")} == {
        "check_seconds": 2.5,
        "peak_bytes": 7.0,
    }
    assert outcome.notes == ("half of it is missing", "and the rest is small")
    # What every run is measured by: the processor's time, whatever else ran beside.
    plain = runs.run("count_to_ten")
    assert set(plain.measured) == {"cpu_seconds"} and 0 <= plain.measured["cpu_seconds"] < 60
    assert plain.notes == ()


def test_what_a_work_leaves_running_ends_with_it(runs: Runs) -> None:
    assert runs.run("leave_a_process_behind").ok
    pid = int((runs.out("test:leave_a_process_behind") / "pid").read_text())
    assert eventually(lambda: is_gone(pid))


def test_a_killed_server_fails_what_runs_and_is_replaced(runs: Runs) -> None:
    running = runs.start("wait_with_a_process")
    figures = runs.own_event("test:wait_with_a_process").figures
    assert runs.run("name_server").ok
    server = int((runs.out("test:name_server") / "server").read_text())
    os.kill(server, signal.SIGKILL)
    outcome = running.result(PATIENCE)
    assert not outcome.ok
    assert "SIGKILL" in outcome.error and "run the same command again" in outcome.error
    assert eventually(lambda: is_gone(int(figures["child"])))
    assert eventually(lambda: is_gone(int(figures["grandchild"])))
    assert runs.run("name_server").ok
    assert int((runs.out("test:name_server") / "server").read_text()) != server


BUILDER = """
import sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_executor import Runs
from nexusbuild.process.executor import LocalExecutor
runs = Runs(LocalExecutor(threads=16), Path(sys.argv[2]))
for name in ("test:one", "test:two"):
    runs.start("wait_with_a_process", name)
for name in ("test:one", "test:two"):
    figures = runs.own_event(name).figures
    print(figures["child"], figures["grandchild"], flush=True)
runs.run("name_server")
print((runs.out("test:name_server") / "server").read_text(), flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_killed_builder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILDER, str(HERE), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        pids = [int(pid) for _ in range(3) for pid in builder.stdout.readline().split()]
        assert len(pids) == 5
        assert not any(is_gone(pid) for pid in pids)
        builder.kill()
    assert eventually(lambda: all(is_gone(pid) for pid in pids))


# Memory


def test_peak_memory_is_that_of_the_child_alone(tmp_path: Path) -> None:
    # The preloaded module has used 400 MB once and given them back: no child's concern.
    (tmp_path / "greedy.py").write_text("data = b'x' * (400 << 20)\ndel data\n")
    executor = LocalExecutor(preload=("greedy",))
    runs = Runs(executor, tmp_path)
    warm_up = executor._server(warm=True)
    assert eventually(lambda: warm_up.warm)
    idle = runs.run("use_memory", "test:idle", bytes=0).peak_rss_bytes
    busy = runs.run("use_memory", "test:busy", bytes=200 << 20).peak_rss_bytes
    executor.close()
    assert idle < 100 << 20
    assert 190 << 20 < busy - idle < 215 << 20


# What runs next to what


def test_targets_that_do_not_fit_beside_each_other_do_not_overlap(tmp_path: Path) -> None:
    executor = LocalExecutor(ram_bytes=100, threads=16)
    runs = Runs(executor, tmp_path)
    needs = Needs(ram_bytes=60)
    running = [runs.start("note_times", f"test:{number}", needs) for number in range(3)]
    assert all(outcome.result(PATIENCE).ok for outcome in running)
    times = sorted(
        json.loads((runs.out(f"test:{number}") / "times").read_text()) for number in range(3)
    )
    assert times[0][1] <= times[1][0] and times[1][1] <= times[2][0]
    with pytest.raises(CannotFit, match="test:large: needs 101 B of memory"):
        executor.check(Needs(ram_bytes=101), "test:large")
    executor.close()


# Preloading


SLOW_PRELOAD = """
import time
from pathlib import Path
while not Path({go!r}).exists():
    time.sleep(0.01)
"""


@pytest.fixture
def slow_preload(tmp_path: Path) -> Path:
    """A preload module whose import lasts until the returned file exists."""
    go = tmp_path / "go"
    (tmp_path / "slow_preload.py").write_text(SLOW_PRELOAD.format(go=str(go)))
    (tmp_path / "heavy_work.py").write_text(
        "try:\n"
        "    import slow_preload\n"
        "except BaseException:\n"  # as torch does: what it could not import, it does without
        "    raise SystemExit('was interrupted, and noticed')\n"
        "from works_for_executor import name_server as build\n"
    )
    return go


def test_light_work_does_not_wait_for_the_preload_and_heavy_work_does(
    slow_preload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "PATIENCE_SECONDS", 0.2)
    executor = LocalExecutor(preload=("no_such_module", "slow_preload"), threads=16)
    runs = Runs(executor, tmp_path)
    heavy = runs.start("heavy_work:build", "test:heavy")
    assert runs.run("name_server", "test:light").ok
    log = runs.log("test:heavy")
    assert eventually(lambda: log.exists() and "starts again" in log.read_text())
    assert not heavy.done()
    slow_preload.write_text("")
    assert heavy.result(PATIENCE).ok
    assert runs.run("name_server", "test:later").ok
    servers = {
        name: (runs.out(f"test:{name}") / "server").read_text()
        for name in ("light", "heavy", "later")
    }
    executor.close()
    assert servers["heavy"] == servers["later"] != servers["light"]


def test_an_interruption_during_the_preload_is_prompt(slow_preload: Path, tmp_path: Path) -> None:
    executor = LocalExecutor(preload=("slow_preload",), threads=16)
    runs = Runs(executor, tmp_path)
    begin = time.monotonic()
    heavy = runs.start("heavy_work:build", "test:heavy")
    assert runs.run("name_server", "test:light").ok
    executor.interrupt()
    assert heavy.result(PATIENCE).error == "interrupted"
    executor.close()
    assert time.monotonic() - begin < 5


# Signals


def test_an_interruption_stops_every_target_and_lets_them_save(runs: Runs) -> None:
    saving = runs.start("save_when_told_to_stop")
    plain = runs.start("wait_with_a_process")
    stubborn = runs.start("never_stop")
    waiting = runs.start("count_to_ten", needs=Needs(exclusive=True))
    for name in ("save_when_told_to_stop", "wait_with_a_process", "never_stop"):
        runs.own_event(f"test:{name}")
    runs.executor.interrupt()
    for running in (saving, plain, stubborn, waiting):
        outcome = running.result(PATIENCE)
        assert (outcome.ok, outcome.error) == (False, "interrupted")
    assert (runs.scratch("test:save_when_told_to_stop") / "saved").read_text() == "all of it"
    assert runs.run("count_to_ten").error == "interrupted"


def test_what_the_builder_itself_ignores_still_stops_its_children(tmp_path: Path) -> None:
    executor = LocalExecutor(grace_seconds=10 * PATIENCE)
    runs = Runs(executor, tmp_path)
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        running = runs.start("wait_with_a_process")
        runs.own_event("test:wait_with_a_process")
        executor.interrupt()
        assert running.result(PATIENCE).error == "interrupted"
    finally:
        signal.signal(signal.SIGTERM, previous)
        executor.close()


def test_a_signal_handler_may_interrupt_the_thread_that_runs(runs: Runs) -> None:
    previous = signal.signal(signal.SIGINT, lambda signum, frame: runs.executor.interrupt())
    target = "test:wait_with_a_process"

    def interrupt_once_it_runs() -> None:
        runs.own_event(target)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_once_it_runs)
    thread.start()
    try:
        outcome = runs.executor.run(
            runs.job(target, {}),
            "works_for_executor:wait_with_a_process",
            Needs(),
            runs.log(target),
            runs._note,
        )
    finally:
        thread.join()
        signal.signal(signal.SIGINT, previous)
    assert outcome.error == "interrupted"


def test_forwarded_signals_reach_those_that_listen_and_harm_no_other(runs: Runs) -> None:
    listening = runs.start("await_usr1")
    other = runs.start("await_file")
    runs.own_event("test:await_usr1")
    runs.own_event("test:await_file")
    runs.executor.forward(signal.SIGUSR1)
    assert listening.result(PATIENCE).ok
    (runs.scratch("test:await_file") / "go").write_text("")
    assert other.result(PATIENCE).ok


# The end


def test_closing_ends_all_and_leaves_nothing_open(tmp_path: Path) -> None:
    LocalExecutor().close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    executor = LocalExecutor(threads=16)
    runs = Runs(executor, tmp_path)
    assert runs.run("count_to_ten").ok
    running = runs.start("wait_with_a_process")
    figures = runs.own_event("test:wait_with_a_process").figures
    executor.close()
    executor.close()
    assert not running.result(PATIENCE).ok
    assert is_gone(int(figures["child"]))
    assert eventually(lambda: is_gone(int(figures["grandchild"])))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
