"""What a person sees of a build, on a clock that the test moves."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from nexusbuild.process.executor import ProgressEvent
from nexusbuild.readable import readable_estimate, readable_figures, readable_seconds
from nexusbuild.show import live_display as live_display_module
from nexusbuild.show.live_display import LiveDisplay, clock_face
from nexusbuild.show.progress import PlainDisplay, QuietDisplay, open_display
from nexusbuild.show.watch import ESTIMATE_SHARE, Display, format_ending


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def begin(display: Display, *targets: str) -> None:
    for target in targets:
        display.started(target)
        display.progress(ProgressEvent(target, 0, 0, {}))


def test_a_plain_build_reads_like_a_report(clock: Clock, stream: io.StringIO) -> None:
    display = PlainDisplay(stream, clock)
    display.planned(
        {"dataset:sums": 20.0, "adapter:reasoning": 100.0},
        {"adapter:reasoning": ["dataset:sums"]},
        jobs=2,
    )
    begin(display, "dataset:sums")
    clock.now += 20
    display.finished("dataset:sums", "built", 20.0)
    begin(display, "adapter:reasoning")
    clock.now += 25
    display.progress(ProgressEvent("adapter:reasoning", 150, 600, {"loss": 0.31234567}))
    clock.now += 75
    display.finished("adapter:reasoning", "failed", 100.0, "memory ran out")
    display.note("the backbone is pinned")
    display.close()
    assert stream.getvalue().splitlines() == [
        "2 targets to build, about 2 min",
        "dataset:sums: started  (0 of 2 done, about 2 min left)",
        "dataset:sums: built in 20 s  (1 of 2 done, about 1 min 40 s left)",
        "adapter:reasoning: started  (1 of 2 done, about 1 min 40 s left)",
        "adapter:reasoning: 25 %, 1 min 20 s left, loss 0.3123"
        "  (1 of 2 done, about 1 min 20 s left)",
        "adapter:reasoning: failed after 1 min 40 s: memory ran out  (2 of 2 done)",
        "the backbone is pinned",
    ]


def test_plain_progress_is_a_line_every_ten_seconds_for_each_target(
    clock: Clock, stream: io.StringIO
) -> None:
    display = PlainDisplay(stream, clock)
    begin(display, "a:1", "a:2")
    for step in range(1, 301):
        clock.now += 0.1
        display.progress(ProgressEvent("a:1", step, 300, {}))
        if step <= 150:
            display.progress(ProgressEvent("a:2", step, 300, {}))
    lines = [line for line in stream.getvalue().splitlines() if "%" in line]
    assert [line.partition(":")[2][:2] for line in lines].count("1:") == 2
    assert [line.partition(":")[2][:2] for line in lines].count("2:") == 1


def test_a_target_is_started_when_it_runs_not_while_it_waits(
    clock: Clock, stream: io.StringIO
) -> None:
    display = PlainDisplay(stream, clock)
    display.started("a:1")
    assert stream.getvalue() == ""
    display.progress(ProgressEvent("a:1", 0, 0, {}))
    assert stream.getvalue() == "a:1: started\n"


def test_what_is_restored_needs_no_duration(clock: Clock, stream: io.StringIO) -> None:
    display = PlainDisplay(stream, clock)
    display.finished("a:1", "cached", 0.01)
    assert stream.getvalue() == "a:1: cached\n"


def test_a_stream_that_nobody_reads_any_more_stops_no_build(clock: Clock) -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream, clock)
    stream.close()
    display.finished("a:1", "built", 1.0)


def test_quiet_means_failures_alone(stream: io.StringIO) -> None:
    display = QuietDisplay(stream)
    display.planned({"a:1": 1.0}, {}, 1)
    begin(display, "a:1", "a:2")
    display.note("something")
    display.finished("a:1", "built", 1.0)
    display.finished("a:2", "failed", 1.0, "no such file")
    display.close()
    assert stream.getvalue() == "a:2: failed after 1.0 s: no such file\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.31204, "0.312"), (999.96, "1000"), (10710.4, "10710"), (2e-7, "2e-07"), ("waits", "waits")],
)
def test_figures_are_read_without_powers_where_they_can_be(value: float | str, said: str) -> None:
    assert readable_figures({"tokens/s": value}) == f"tokens/s {said}"


def test_the_display_suits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(open_display(io.StringIO()), PlainDisplay)
    assert isinstance(open_display(Terminal()), LiveDisplay)
    assert isinstance(open_display(Terminal(), quiet=True), QuietDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_display(Terminal()), PlainDisplay)


def live_display(
    clock: Callable[[], float], height: int = 20, colours: str | None = None
) -> tuple[LiveDisplay, Console]:
    console = Console(
        file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=colours
    )
    return LiveDisplay(io.StringIO(), clock, console), console


def picture_of(display: LiveDisplay, height: int = 20) -> list[str]:
    paper = Console(file=io.StringIO(), width=100, height=height, color_system=None)
    with paper.capture() as captured:
        paper.print(display.picture())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_live_picture_has_a_line_per_target_and_one_for_all(clock: Clock) -> None:
    display, _ = live_display(clock)
    display.planned({"a:1": 40.0, "a:2": 40.0, "a:3": 40.0, "a:4": 40.0}, {}, jobs=3)
    begin(display, "a:1", "a:2")
    display.started("a:3")
    display.started("a:4")
    clock.now += 10
    display.progress(ProgressEvent("a:1", 25, 100, {"loss": 0.5}))
    lines = picture_of(display)
    display.close()
    assert len(lines) == 4
    assert lines[0].startswith("a:1 ") and lines[0].endswith("25 %  30 s left, loss 0.5")
    assert lines[1].startswith("a:2 ") and lines[1].endswith("  30 s left, 10 s so far")
    assert lines[2] == "next: a:3, a:4"
    assert lines[3] == "0 of 4 targets, 0:10, about 1 min 10 s left"


def test_the_live_picture_never_outgrows_the_terminal(clock: Clock) -> None:
    display, _ = live_display(clock, height=8)
    begin(display, *(f"a:{number}" for number in range(30)))
    lines = picture_of(display, height=8)
    display.close()
    assert len(lines) <= 8
    assert lines[-2] == "and 26 more"


def test_the_live_display_leaves_a_line_for_each_that_ended(clock: Clock) -> None:
    display, console = live_display(clock)
    begin(display, "a:[1]")
    display.finished("a:[1]", "failed", 2.0, "row [3] is empty")
    display.note("[bold] is no markup here")
    display.close()
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "a:[1]: failed after 2.0 s: row [3] is empty" in shown
    assert "[bold] is no markup here" in shown


def on_a_screen(written: str) -> list[str]:
    """The lines that stay on a terminal, of what rich writes to it."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            row -= int(piece[2:-1] or 1)
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif piece[0] not in "\x1b\r":
            lines[row] += piece
    return [line.rstrip() for line in lines if line.strip()]


class SlowPaper(io.StringIO):
    """A terminal that takes its time: what one thread writes, another has to wait for."""

    def write(self, text: str) -> int:
        time.sleep(0.001)
        return super().write(text)


def test_no_row_of_the_picture_stays_behind(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are printed, by several threads, while the picture is drawn and grows and shrinks."""
    monkeypatch.setattr(live_display_module, "REFRESHES_PER_SECOND", 2000)
    names = [f"a:{number}" for number in range(60)]
    display, console = live_display(clock)
    console.file = SlowPaper()
    display.planned(dict.fromkeys(names, 1.0), {}, jobs=4)

    def build(mine: list[str]) -> None:
        for name in mine:
            begin(display, name)
            time.sleep(0.002)
            display.finished(name, "built", 1.0)

    builders = [threading.Thread(target=build, args=(names[part::4],)) for part in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    display.close()
    shown = on_a_screen(console.file.getvalue())
    assert sorted(shown) == sorted(f"{name}: built in 1.0 s" for name in names)


def test_a_verdict_that_is_not_met_looks_like_a_failure(clock: Clock) -> None:
    display, console = live_display(clock, colours="standard")
    display.finished("gate:a", "built", 1.0, "0.8 >= 0.97: fail", passed=False)
    display.finished("gate:b", "built", 1.0, "0.98 >= 0.97: pass")
    display.close()
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1;31mbuilt in 1.0 s: 0.8 >= 0.97: fail" in shown
    assert "\x1b[32mbuilt in 1.0 s: 0.98 >= 0.97: pass" in shown


@pytest.mark.parametrize(
    ("seconds", "exact", "about"),
    [
        (0.004, "0.00 s", "1 s"),
        (0.42, "0.42 s", "1 s"),
        (3.14, "3.1 s", "3 s"),
        (9.97, "10 s", "10 s"),
        (59.7, "1 min 00 s", "1 min"),
        (207.0, "3 min 27 s", "3 min 30 s"),
        (1499.0, "24 min 59 s", "25 min"),
        (7623.0, "2 h 07 min", "2 h 10 min"),
    ],
)
def test_durations_are_readable(seconds: float, exact: str, about: str) -> None:
    assert readable_seconds(seconds) == exact
    assert readable_estimate(seconds) == about


def test_figures_and_endings_are_readable() -> None:
    assert readable_figures({"loss": 0.123456, "phase": "anneal"}) == "loss 0.1235, phase anneal"
    assert (
        format_ending("skipped", 0.0, "the contract is not met")
        == "skipped: the contract is not met"
    )
    assert clock_face(7.9) == "0:07" and clock_face(3723) == "1:02:03"


def test_to_estimate_takes_no_more_than_its_share(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of ten thousand targets takes a while to simulate, and the build waits meanwhile."""
    watch = Display(clock)
    watch.planned({"a": 100.0}, {"a": ()}, 1)
    estimates: list[float] = []

    def slow(now: float) -> float:
        estimates.append(now)
        clock.now += 0.5
        return 1.0

    monkeypatch.setattr(watch.estimator, "seconds_left", slow)
    began = clock.now
    while clock.now < began + 100:
        watch.overall(fresh=True)
        clock.now += 0.05
    assert 2 <= len(estimates) <= 100 * ESTIMATE_SHARE / 0.5 + 1
