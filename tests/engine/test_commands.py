"""The other commands, through the command line, in words and as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from forged import make_long
from toy_project import ROOT, Toy


def test_dry_run_json_has_the_promised_form(built: Toy) -> None:
    built.settings("gate:b", at_least=6)
    document = built.json("--dry-run")
    assert (document["spec"], document["store"]) == ("nexus.yaml", ".nexus")
    assert set(document) == {"spec", "store", "notes", "targets", "summary"}
    assert document["summary"] == {"fresh": 4, "cached": 0, "stale": 1, "maybe": 1, "blocked": 0}
    (gate,) = [each for each in document["targets"] if each["id"] == "gate:b"]
    assert gate["kind"] == "gate"
    assert gate["state"] == "stale"
    assert gate["expected_seconds"] > 0
    assert len(gate["key"]) == 64
    (release,) = [each for each in document["targets"] if each["id"] == "release"]
    assert release["state"] == "maybe"
    assert release["reasons"] == [{"code": "input-rebuilt", "input": "gate:b"}]


def test_exit_codes(chain: Toy) -> None:
    assert chain.run("-n").returncode == 0
    assert chain.run("-n", "--exit-code").returncode == 4
    chain.build()
    assert chain.run("-n", "--exit-code").returncode == 0
    assert chain.run("-f", "nowhere.yaml").returncode == 2
    assert chain.run("--jobs", "0").returncode == 2
    assert chain.run("--no-such-option").returncode == 2


def test_build_json_has_the_promised_form(chain: Toy) -> None:
    document = chain.json()
    first = document["targets"][0]
    assert set(first) == {
        "id", "kind", "state", "reasons", "key", "expected_seconds",
        "seconds", "peak_rss_bytes", "outputs",
    }  # fmt: skip
    assert set(first["outputs"][0]) == {"path", "sha256", "bytes"}
    assert first["peak_rss_bytes"] > 1_000_000
    assert document["exit_code"] == 0


def test_a_dry_run_imports_nothing_heavy(built: Toy) -> None:
    program = (
        "import sys\n"
        "from nexusbuild.cli import main\n"
        "code = main(['--dry-run'])\n"
        "heavy = ('torch', 'doit', 'rich', 'pydantic', 'transformers', 'asyncio', 'yaml')\n"
        "sys.exit(code or ', '.join(name for name in heavy if name in sys.modules) or None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=built.folder,
        env=built.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "6 fresh\n"


def test_a_dry_run_writes_nothing(built: Toy) -> None:
    built.settings("gate:b", at_least=6)
    before = _tree(built.folder)
    for command in (["-n"], ["why", "gate:b"], ["ls"], ["graph"], ["log"], ["gc", "-n"]):
        assert built.run(*command).returncode == 0
    assert _tree(built.folder) == before


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts and not (path.is_dir() and path.name == "toy")
    }


def test_why(chain: Toy) -> None:
    assert "never built" in chain.run("why", "gate:b").stdout
    chain.build()
    assert "toy.words, toy.works" in chain.run("why", "data:words").stdout
    text = chain.run("why", "data:words", "--modules").stdout
    for part in ("fresh", "fixed", "words.txt", "toy.words", "toy.works:join", "out.txt"):
        assert part in text
    assert "toy.resolver" not in text
    chain.settings("gate:b", at_least=6)
    assert "targets.gate:b.at_least: 5 -> 6" in chain.run("why", "gate:b").stdout
    chain.build()
    assert chain.json("why", "gate:b")["targets"][0]["reasons"] == []
    against = chain.json("why", "gate:b", "--against", "1")["targets"][0]["reasons"]
    assert against == [
        {"code": "setting-changed", "path": "targets.gate:b.at_least", "old": 5, "new": 6}
    ]
    assert chain.run("why", "gate:b", "--against", "77").returncode == 2
    chain.settings("gate:b", at_least=6, most=None)
    assert "targets.gate:b.most is new or gone, and not set" in chain.run("why", "gate:b").stdout


def test_ls(chain: Toy) -> None:
    rows = chain.json("ls", "step")["targets"]
    assert [(row["id"], row["state"], row["bytes"]) for row in rows] == [
        ("step:a", "stale", None),
        ("step:b", "stale", None),
    ]
    chain.build()
    row = chain.json("ls", "gate:b")["targets"][0]
    assert row["verdict"] == "pass"
    assert row["bytes"] > 0
    assert row["age_seconds"] >= 0
    assert "step:a" in chain.run("ls").stdout


@pytest.mark.parametrize("form", ["text", "dot", "mermaid", "json"])
def test_graph(chain: Toy, form: str) -> None:
    text = chain.run("graph", "--format", form).stdout
    assert "step:a" in text
    if form == "json":
        targets = json.loads(text)["targets"]
        assert targets[1]["inputs"] == {"data": "data:words"}
    if form == "dot":
        assert '"step:a" -> "step:b";' in text


def test_the_log_knows_how_long_the_whole_build_took(toy: Toy) -> None:
    toy.target("first", work="toy.works:slow", settings={"seconds": 0.5})
    seconds = toy.json()["seconds"]
    assert toy.json("log")["builds"][0]["seconds"] >= 0.5
    assert toy.json("log")["builds"][0]["seconds"] == pytest.approx(seconds, rel=0.5)


def test_log_and_diff(chain: Toy) -> None:
    assert "nothing was built" in chain.run("log").stdout
    chain.build()
    chain.build()  # nothing to do: no entry
    chain.settings("gate:b", at_least=6)
    chain.build("gate:b")
    builds = chain.json("log")["builds"]
    assert [build["build"] for build in builds] == [1, 2]
    assert builds[0]["summary"]["built"] == 6
    assert builds[1]["command"] == "nexusbuild gate:b --json", "options and all"
    assert "1 built" in chain.run("log", "2").stdout
    assert "gate:b" in chain.run("log", "last").stdout
    (gate,) = chain.json("diff", "1", "2")["targets"]
    assert gate["id"] == "gate:b"
    whats = {(each["what"], each["path"]) for each in gate["differences"]}
    assert ("setting", "at_least") in whats
    assert ("score", "summary") in whats


def test_gc_keeps_what_is_current_and_drops_the_rest(built: Toy) -> None:
    built.write("words.txt", "other words")
    built.build()
    before = built.digests()
    assert built.json("gc", "--keep", "2")["results"] == 0
    planned = built.json("gc", "--keep", "1", "--dry-run")
    done = built.json("gc", "--keep", "1")
    assert done["results"] == planned["results"] == 5
    assert done["bytes"] > 0
    assert built.digests() == before
    assert set(built.build().values()) == {"fresh"}
    built.write("words.txt", "some words")
    assert len(built.built()) == 5


def test_accept_carries_results_over_to_new_code(built: Toy) -> None:
    built.settings("gate:b", at_least=6)
    built.build()
    assert built.run("accept", "gate:b", "--why", "x").returncode == 2
    assert "say why" in built.run("accept", "gate:b", "--why", "  ").stderr
    built.edit("toy/words.py", '"\\n".join', '"\\n" .__add__("").join')
    assert set(built.plan().values()) <= {"stale", "maybe"}
    done = built.run("accept", "*", "--why", "the same, written oddly")
    assert done.returncode == 0, done.stderr
    assert set(built.plan().values()) == {"fresh"}
    record = built.json("why", "gate:b")["targets"][0]["record"]
    assert record["provenance"]["accepted"][0]["why"] == "the same, written oddly"
    built.settings("gate:b", at_least=5)
    assert built.plan()["gate:b"] == "cached"


def test_results_travel(built: Toy, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("carried") / "results.tar"
    make_long(built, "step:b")
    assert built.run("store", "export", "+step:b", str(file)).returncode == 0
    home = Toy(tmp_path_factory.mktemp("home"))
    home.spec = built.spec
    home.save()
    home.write("words.txt", "some words")
    assert home.run("store", "import", str(file)).returncode == 0
    assert home.built() == {"other", "gate:b", "release"}
    # At home the source may be gone: the result is there.
    (home.folder / "words.txt").unlink()
    home.settings("gate:b", at_least=7)
    assert home.built() == {"gate:b", "release"}
    content = file.read_bytes()
    file.write_bytes(content.replace(b"some words", b"some w0rds"))
    done = home.run("store", "import", str(file))
    assert done.returncode == 2
    assert "is damaged" in done.stderr
    file.write_bytes(content[: len(content) // 2])
    assert home.run("store", "import", str(file)).returncode == 2


def test_an_export_that_cannot_be_written_leaves_nothing(built: Toy) -> None:
    for place, said in (("build", "is a directory"), ("nowhere/x.tar", "cannot be written")):
        done = built.run("store", "export", "step:b", place)
        assert done.returncode == 2
        assert f"{place}: {said}" in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(built.folder.glob(".*.new"))
    done = built.run("store", "export", "step:b", "one.tar")
    assert done.stdout.startswith("exported 1 result, ")


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_an_export_of_a_harmed_store_says_what_mends_it(built: Toy, harm: str) -> None:
    file = (built.folder / "build/step/b/out.txt").resolve()
    if harm == "gone":
        file.unlink()
    else:
        content, stat = file.read_bytes(), file.stat()
        file.chmod(0o644)
        file.write_bytes(b"X" + content[1:])
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    done = built.run("store", "export", "+step:b", "all.tar")
    assert done.returncode == 2
    assert f"step:b: its file out.txt is {harm}" in done.stderr
    assert "nexusbuild --force step:b" in done.stderr
    if harm == "damaged":
        assert built.run("doctor", "--verify-store").returncode == 1
    assert "step:b" in built.built("--force", "step:b")
    assert built.run("store", "export", "+step:b", "all.tar").returncode == 0


def test_domain_commands_learn_what_is_blocked(built: Toy) -> None:
    program = (
        "from pathlib import Path\n"
        "from nexusbuild.plugins import blocked_targets\n"
        "print(sorted(blocked_targets(Path('nexus.yaml'))))\n"
    )

    def blocked() -> str:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=built.folder,
            env=built.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    (built.folder / "words.txt").unlink()
    assert blocked() == "[]\n"
    built.settings("data:words", fixed="y")
    assert "data:words" in blocked()


def test_doctor(chain: Toy) -> None:
    done = chain.run("doctor")
    assert done.returncode == 0
    assert "memory" in done.stdout
    assert "bitsandbytes" in done.stdout
    assert "Landlock" in done.stdout
    chain.build()
    document = chain.json("doctor", "--verify-store")
    assert document["problems"] == []
    assert document["landlock"] is None or document["landlock"] >= 1
    assert document["store_bytes"] > 0


def test_doctor_says_what_can_run_here(chain: Toy) -> None:
    count = len(chain.spec["targets"])
    assert f"project    nexus.yaml: {count} targets, all can run here" in chain.run("doctor").stdout
    chain.target("big:one", needs={"ram_bytes": 10**15})
    done = chain.run("doctor")
    assert done.returncode == 0
    assert f"nexus.yaml: {count} of {count + 1} targets can run here, not:" in done.stdout
    assert "big:one: needs " in done.stdout
    document = chain.json("doctor")
    assert [each["id"] for each in document["cannot_run"]] == ["big:one"]
    chain.write("nexus.yaml", "{")
    done = chain.run("doctor")
    assert done.returncode == 0 and "cannot be read; `nexusbuild check`" in done.stdout


def test_spec_is_found_from_below_and_by_folder(chain: Toy) -> None:
    below = chain.folder / "deep/er"
    below.mkdir(parents=True)
    done = subprocess.run(
        chain.command("-n"), cwd=below, env=chain.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert chain.run("-n", "-f", str(chain.folder)).returncode == 0
    done = subprocess.run(
        chain.command("-n"), cwd="/", env=chain.environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "nexus.yaml" in done.stderr


def test_help_names_the_commands(chain: Toy) -> None:
    text = chain.run("--help").stdout
    for name in ("why", "ls", "gc", "accept", "lock", "--dry-run"):
        assert name in text
    assert (ROOT / "nexusbuild").is_dir()


def test_unknown_resolver(chain: Toy) -> None:
    done = chain.run("-n", "--resolver", "nobody")
    assert done.returncode == 2
    assert "nobody" in done.stderr
    assert chain.run("-n", "--resolver", "nowhere:resolve").returncode == 2
    for name, said in (
        ("os:getcwd", "cannot be used"),
        ("os:sep", "cannot be used"),
        (":", "cannot be used"),
        ("builtins:print", "returned NoneType, not a Graph"),
    ):
        done = chain.run("-n", "--resolver", name)
        assert done.returncode == 2, name
        assert said in done.stderr


def test_a_word_that_is_neither_command_nor_target(chain: Toy) -> None:
    done = chain.run("grap", "x")
    assert done.returncode == 2
    assert "'grap' is neither a command nor a target" in done.stderr
    assert "did you mean graph" in done.stderr
    assert "no target matches 'stepp:a'" in chain.run("stepp:a").stderr
    assert "no target matches 'build'" in chain.run("build", "build").stderr
    assert "did you mean step or step:b or step:a?" in chain.run("why", "stepp").stderr


def test_an_option_that_is_nearly_one(chain: Toy) -> None:
    done = chain.run("--dryrun", "step:a")
    assert done.returncode == 2
    assert "unrecognized arguments: --dryrun; did you mean --dry-run?" in done.stderr
    assert "did you mean" not in chain.run("why", "step:a", "--xyzzy").stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--no-such-option"],
        ["--jobs", "0"],
        ["--force"],
        ["why"],
        ["store"],
        ["store", "export", "step:a"],
        ["graph", "--format", "svg"],
        ["accept", "step:a"],
        ["gc", "--keep", "no"],
    ],
)
def test_wrong_use_is_a_document_too(chain: Toy, words: list[str]) -> None:
    done = chain.run(*words, "--json")
    document = json.loads(done.stdout)
    assert done.returncode == document["exit_code"] == 2
    (error,) = document["errors"]
    assert set(error) == {"message", "where", "remedy"}
    assert done.stderr.startswith("usage: ") and error["message"] in done.stderr


def test_paths_that_are_none_are_wrong_and_no_defect(chain: Toy) -> None:
    (chain.folder / "loop").symlink_to("loop")
    for path in ("x" * 300, "loop", "loop/below", ""):
        for option in ("-f", "--store"):
            done = chain.run("-n", option, path)
            assert done.returncode == 2, (option, path)
            assert "Traceback" not in done.stderr, done.stderr
    (chain.folder / "below").mkdir()
    assert "below/nexus.yaml: does not exist" in chain.run("-f", "below").stderr
    done = chain.run("-n", "--plan", ".")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, ".: is a directory")


def test_an_interruption_before_the_build_is_a_document_too(toy: Toy) -> None:
    toy.write("toy/odd.py", "def resolve(spec, lock_values):\n    raise KeyboardInterrupt\n")
    toy.save()
    done = toy.run("-n", "--resolver", "toy.odd:resolve", "--json")
    assert done.returncode == json.loads(done.stdout)["exit_code"] == 130


def test_what_is_refused_leaves_no_store_behind(toy: Toy) -> None:
    toy.write("archive.tar", "")
    nothing = '{"targets": {}}'
    for text, arguments in (
        ("{", ["step"]),
        ("{", ["lock"]),
        ("{", ["accept", "step", "--why", "x"]),
        ("{", ["store", "import", "archive.tar"]),
        (nothing, ["store", "import", "archive.tar"]),
        (nothing, ["store", "import", "nowhere.tar"]),
        (nothing, ["accept", "step", "--why", "x"]),
        (nothing, ["step"]),
    ):
        toy.write("nexus.yaml", text)
        assert toy.run(*arguments).returncode == 2, arguments
        assert not (toy.folder / ".nexus").exists(), arguments
    assert toy.json("gc")["results"] == 0
    assert not (toy.folder / ".nexus").exists()


def test_a_store_that_is_a_file_is_refused(chain: Toy) -> None:
    for store in ("words.txt", "words.txt/below"):
        for command in (["-n"], ["ls"], []):
            done = chain.run(*command, "--store", store)
            assert done.returncode == 2
            assert "words.txt: is not a directory, so it cannot be a store" in done.stderr


def test_another_source_is_not_a_changed_one(built: Toy) -> None:
    built.write("others.txt", "other words")
    built.spec["targets"]["data:words"]["sources"] = {"words": "others.txt"}
    built.save()
    assert "others.txt is read instead of" in built.run("-n").stdout
    built.spec["targets"]["data:words"]["sources"] = {"words": "words.txt"}
    built.save()
    built.write("words.txt", "changed words")
    assert "words.txt changed" in built.run("-n").stdout
    del built.spec["targets"]["data:words"]["sources"]
    built.save()
    assert "words.txt is no longer read" in built.run("-n").stdout


def test_what_a_build_did_not_have_is_said(built: Toy) -> None:
    built.write("more.txt", "more words")
    built.spec["targets"]["data:words"]["sources"]["more"] = "more.txt"
    built.target("new")
    built.build()
    assert "source more: none -> " in built.run("diff", "1", "2").stdout
    assert "it had no result then" in built.run("why", "new", "--against", "1").stdout


def test_errors_keep_to_the_width_of_the_terminal(toy: Toy) -> None:
    toy.target("kind:it", needs={"ram_bytes": 10**15})
    screen, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    nothing = os.open(os.devnull, os.O_WRONLY)
    _, status = os.waitpid(toy.forked([], nothing, terminal), 0)
    assert os.waitstatus_to_exitcode(status) == 2
    lines = os.read(screen, 4096).decode().splitlines()
    assert all(len(line) <= 70 for line in lines), lines
    assert " ".join(map(str.strip, lines)).endswith("`nexusbuild store export` and `store import`")
    assert all(line.startswith("    ") for line in lines[1:])


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/builder.md").read_text()
    (tmp_path / "shout.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    (tmp_path / "words.txt").write_text("some words")
    # As the installed script starts: Python looks for modules next to the script, not here.
    script = tmp_path / "bin" / "nexusbuild"
    script.parent.mkdir()
    script.write_text("from nexusbuild.cli import main\nraise SystemExit(main())\n")
    command = (line := page[page.index("`nexusbuild -f words.txt") :].split("`")[1]).split()[1:]
    assert "--resolver" in line

    def built() -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, str(script), *command, "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return {each["id"]: each["state"] for each in json.loads(done.stdout)["targets"]}

    assert built() == {"shout:some": "built", "shout:words": "built"}
    assert (tmp_path / "build/shout/some/loud.txt").read_text() == "SOME"
    (tmp_path / "words.txt").write_text("some more words")
    assert built() == {"shout:some": "fresh", "shout:more": "built", "shout:words": "fresh"}
