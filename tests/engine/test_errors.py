"""Every error that a person can provoke: provoked, and seen as it is shown.

Each constructor in `nexusbuild/errors/` has a case here; one without fails the test.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forged import make_long
from test_faults import build as build_with_fault
from test_faults import no_room, read_only
from test_kills import Builder
from toy_project import Toy

from nexusbuild import errors
from nexusbuild.errors import BuildError
from nexusbuild.plugins import Graph, Target
from nexusbuild.process import child
from nexusbuild.process.resources import machine_vram_bytes
from nexusbuild.project import find_place
from nexusbuild.resolver import resolve
from nexusbuild.run import make as produce

CONSTRUCTORS = {
    name: function
    for name, function in vars(errors).items()
    if inspect.isfunction(function)
    and function.__annotations__.get("return") in ("BuildError", "CannotFit")
}
Case = Callable[[Toy, pytest.MonkeyPatch], str]
CASES: dict[str, Case] = {}

WORKS = """
import os
import signal


def exits(job):
    os._exit(3)


def crashes(job):
    os.kill(os.getpid(), signal.SIGSEGV)


def kills_the_server(job):
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


def changes_its_source(job):
    job.sources["words"].write_text("other words")
    (job.out / "out.txt").write_text("")


def oddly_named(job):
    (job.out / "a\\b.txt").write_text("")


def no_verdict(job):
    (job.out / "out.txt").write_text("")
"""


def case(name: str) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        CASES[name] = function
        return function

    return register


def shown(toy: Toy, *arguments: str) -> str:
    done = toy.run(*arguments)
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def built_with(**body: object) -> Case:
    """A build of one target `kind:it`, declared so."""

    def run(toy: Toy, patch: pytest.MonkeyPatch) -> str:
        toy.write("words.txt", "some words")
        toy.write("toy/mine.py", WORKS)
        toy.target("kind:it", **body)
        return shown(toy)

    return run


def command(*arguments: str) -> Case:
    """A command in a project that was built."""

    def run(toy: Toy, patch: pytest.MonkeyPatch) -> str:
        toy.target("kind:it")
        toy.build()
        return shown(toy, *arguments)

    return run


CASES |= {
    "only_with_dry_run": command("--exit-code"),
    "wrong_use": command("ls", "--nothing"),
    "spec_missing": command("-f", "nothing.yaml"),
    "no_resolver": command("--resolver", "nobody"),
    "resolver_unusable": command("--resolver", "toy.nothing:resolve"),
    "no_such_target": command("--force", "kind:if"),
    "neither_command_nor_target": command("biuld"),
    "unwritable": command("store", "export", "kind:it", "nowhere/it.tar"),
    "is_a_directory": command("store", "export", "kind:it", "build"),
    "no_such_pin": command("lock", "--upgrade", "nothing"),
    "store_not_a_directory": command("--store", "nexus.yaml"),
    "store_unwritable": command("--store", "/proc/nexusbuild/store"),
    "no_such_build": command("log", "99"),
    "nothing_to_accept": command("accept", "kind:it", "--why", "no reason"),
    "bad_output": built_with(work="toy.mine:oddly_named"),
    "no_archive": command("store", "import", "nexus.yaml"),
    "plan_unreadable": command("--plan", "nexus.yaml"),
    "plan_names_its_targets": command("kind:it", "--plan", "plan.json"),
    "unknown_input": built_with(inputs={"a": "kind:at"}),
    "not_json": built_with(settings={"a": float("nan")}),
    "no_work_module": built_with(work="nowhere.at:all"),
    "source_missing": built_with(sources={"words": "gone.txt"}),
    "several": built_with(sources={"words": "gone.txt", "more": "gone as well.txt"}),
    "wrote_nothing": built_with(work="toy.works:nothing"),
    "not_a_plain_file": built_with(work="toy.works:link_out"),
    "bad_verdict": built_with(work="toy.mine:no_verdict", verdict="verdict.json"),
    "changed_meanwhile": built_with(
        work="toy.mine:changes_its_source", sources={"words": "words.txt"}
    ),
    "work_failed": built_with(work="toy.works:fail"),
    "process_ended": built_with(work="toy.mine:exits"),
    "process_crashed": built_with(work="toy.mine:crashes"),
    "process_killed": built_with(work="toy.works:kill_itself"),
    "server_ended": built_with(work="toy.mine:kills_the_server"),
    "lock_differs": lambda toy, patch: (toy.target("a", pin="a"), shown(toy, "--locked"))[1],
    "does_not_fit": built_with(needs={"ram_bytes": 10**15}),
}


@case("no_spec")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    return shown(toy)


@case("cycle")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a", inputs={"b": "b"})
    toy.target("b", inputs={"a": "a"})
    return shown(toy, "-n")


@case("syntax_error")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.write("toy/odd.py", "def work(:\n")
    toy.target("a", work="toy.odd:work")
    return shown(toy, "-n")


@case("not_buildable")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.write(
        "toy/obstructed.py",
        "from nexusbuild.plugins import Graph, Target\n\n\n"
        "def resolve(spec, lock):\n"
        "    it = Target('a', 'toy.works:join', {}, obstacle='there is no way to make it')\n"
        "    return Graph({'a': it})\n",
    )
    toy.save()
    return shown(toy, "--resolver", "toy.obstructed:resolve")


@case("no_work_function")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    patch.syspath_prepend(str(toy.folder))
    with pytest.raises(BuildError) as found:  # what the target's own process says to the builder
        child.import_work("json:no_such_function")
    return str(found.value)


@case("unreadable")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    (toy.folder / "nexus.lock").mkdir()
    return shown(toy, "-n")


@case("lock_unreadable")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    toy.write("nexus.lock", "- no lock\n")
    return shown(toy, "-n")


@case("pin_unavailable")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.write("words.txt", "some words")
    toy.target("a", sources={"words": "words.txt"}, pin="a")
    toy.build()
    shutil.rmtree(toy.folder / ".nexus")
    toy.write("words.txt", "other words")
    return shown(toy)


@case("newer_store")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    toy.write(".nexus/format", "99\n")
    return shown(toy)


@case("store_too_small")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.spec["disk"] = 10**6
    toy.target("a", needs={"disk_bytes": 2 * 10**6})
    return shown(toy)


@case("no_room")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    ending = build_with_fault(toy, no_room, 30)
    return ending.out + ending.said


@case("system")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    ending = build_with_fault(toy, read_only, 30)
    return ending.out + ending.said


@case("wrote_to_input")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    toy.target("b", work="toy.works:spoil_input", inputs={"a": "a"})
    return shown(toy)


@case("no_such_output")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    toy.target("b", inputs={"a": "a#nothing.txt"})
    return shown(toy)


@case("no_result")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    return shown(toy, "accept", "a", "--why", "no reason")


@case("damage_error")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a", settings={"fixed": "as it was"})
    toy.build()
    assert toy.run("store", "export", "a", "a.tar").returncode == 0
    archive = toy.folder / "a.tar"
    archive.write_bytes(archive.read_bytes().replace(b"as it was", b"as it is ", 1))
    return shown(toy, "store", "import", "a.tar")


@case("no_room_for")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    toy.build()
    make_long(toy, "a")
    assert toy.run("store", "export", "a", "a.tar").returncode == 0
    shutil.rmtree(toy.folder / ".nexus")
    patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))  # type: ignore[attr-defined]
    return shown(toy, "store", "import", "a.tar")


@case("link_in_the_way")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    (toy.folder / ".nexus").mkdir()
    (toy.folder / ".nexus/tmp").symlink_to(toy.folder)
    return shown(toy)


@case("unrecordable")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    nested: list[object] = []
    for _ in range(80):
        nested = [nested]
    toy.target("a", settings={"nested": nested})
    return shown(toy)


@case("folder_gone")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    gone = toy.folder / "gone"
    gone.mkdir()
    patch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BuildError) as found:
        find_place()
    return str(found.value)


@case("output_gone")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    toy.build()
    (toy.folder / "build/a/out.txt").resolve().unlink()
    return shown(toy, "store", "export", "a", "a.tar")


@case("output_damaged")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    toy.build()
    path = (toy.folder / "build/a/out.txt").resolve()
    path.chmod(0o644)
    path.write_text("spoilt")
    return shown(toy, "store", "export", "a", "a.tar")


@case("plan_moved")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a")
    assert toy.run("--dry-run", "--plan", "plan.json").returncode == 0
    toy.settings("a", steps=3)
    return shown(toy, "--plan", "plan.json")


@case("no_gpu")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    if machine_vram_bytes() is not None:
        pytest.skip("this machine has a GPU")
    return built_with(needs={"gpu": True})(toy, patch)


@case("no_process")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(sys, "executable", "/nowhere/python")
    toy.target("a")
    return shown(toy)


@case("interrupted")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    toy.target("a", work="toy.works:slow", settings={"seconds": 20})
    builder = Builder(toy, "--json")
    while not list(toy.folder.glob(".nexus/scratch/*/step")):
        time.sleep(0.02)
    os.kill(builder.pid, signal.SIGINT)
    assert builder.wait() == errors.INTERRUPTED
    return builder.said()


def resolved_by(expression: str) -> Case:
    """A dry run whose resolver gives what the expression says."""

    def run(toy: Toy, patch: pytest.MonkeyPatch) -> str:
        toy.write(
            "toy/odd.py",
            "from nexusbuild.plugins import Graph, Target\n\n\n"
            "def graph(*ids):\n"
            "    return Graph({each: Target(each, 'toy.works:join', {}) for each in ids})\n\n\n"
            f"def resolve(spec, lock_values):\n    return {expression}\n",
        )
        toy.save()
        return shown(toy, "-n", "--resolver", "toy.odd:resolve")

    return run


CASES |= {
    "resolver_gave_no_graph": resolved_by("3"),
    "resolver_failed": resolved_by("{}['nothing']"),
    "no_target": resolved_by("Graph({'a': Target('b', 'toy.works:join', {})})"),
    "bad_id": resolved_by("graph('kind:..')"),
    "same_place": resolved_by("graph('kind:it', 'kind:it/too')"),
}


@case("defect")
def _(toy: Toy, patch: pytest.MonkeyPatch) -> str:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a defect")

    patch.setattr(produce.Producer, "make", broken)
    toy.target("a")
    done = toy.run()
    assert done.returncode == errors.FAILED
    return done.stderr


@pytest.fixture
def worded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, str]]]]:
    """Every error that is worded from now on, here and in forked commands, in order."""
    with tempfile.TemporaryFile("a+b") as file:

        def noted(name: str, function: Callable[..., BuildError]) -> Callable[..., BuildError]:
            def wrapped(*arguments: object, **named: object) -> BuildError:
                error = function(*arguments, **named)
                line = {"name": name, **error.to_json()}
                os.write(file.fileno(), json.dumps(line).encode() + b"\n")
                return error

            return wrapped

        for name, function in CONSTRUCTORS.items():
            for module in (errors, sys.modules[function.__module__]):
                monkeypatch.setattr(module, name, noted(name, function))

        def read() -> list[dict[str, str]]:
            file.seek(0)
            return [json.loads(line) for line in file.read().splitlines()]

        yield read


@pytest.mark.parametrize("name", sorted(CONSTRUCTORS))
def test_each_error_is_provoked_and_shown(
    toy: Toy,
    monkeypatch: pytest.MonkeyPatch,
    worded: Callable[[], list[dict[str, str]]],
    name: str,
) -> None:
    assert name in CASES, f"errors.{name} has no case here: provoke it as a person would"
    text = " ".join(CASES[name](toy, monkeypatch).split())
    found = [error for error in worded() if error["name"] == name]
    assert found, f"errors.{name} was not provoked, but: {text}"
    for part in ("message", "where", "remedy"):
        wanted = " ".join(found[-1][part].split())
        assert wanted in text, (part, wanted, text)
    assert found[-1]["where"] or found[-1]["remedy"] or name == "several"


_OUT_OF_PLACE = ["..", ":", "a:", ":b", "../a:b", "/a:b", "a:../b", "a:b//c", "a:/b", "a:b/", "a:."]


@pytest.mark.parametrize(
    "name", [*_OUT_OF_PLACE, "a#b", "a:b#c", "+a", "a:b+", "-a", "logs:a", "candidate"]
)
def test_an_id_that_would_do_harm_is_refused(name: str) -> None:
    with pytest.raises(BuildError, match="cannot be the id of a target"):
        resolved(name)
    with pytest.raises(BuildError, match="cannot be the id of a target"):
        resolved(f"{name}\n")


def test_ids_of_many_forms_are_taken() -> None:
    names = ["a", "b:b", "b:c d", "c:d/e.f", "c:d/é", "d:e:f", "d:+x", "e-f:-g", "f:.g"]
    assert list(resolved(*names).targets) == names
    with pytest.raises(BuildError, match="3 problems"):
        resolved("a:b/c/d", "a:b", "a")


def resolved(*names: str) -> Graph:
    graph = Graph({name: Target(name, "toy.works:join", {}) for name in names})
    return resolve(lambda spec, lock_values: graph, "mine", Path("nexus.yaml"), {})


def test_errors_are_worded_in_one_place() -> None:
    package = Path(errors.__file__).parents[1]
    elsewhere = [
        f"{path.name}:{node.lineno}"
        for path in package.rglob("*.py")
        if path.parent.name != "errors"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("BuildError", "CannotFit")
    ]
    assert elsewhere == []
