"""A medium that is one folder: lists of digits, brought by a package that lies in tests alone.

Nothing outside `tests/toy_room` knows of it. A capability that reads it is built end to end next to
one of text, ships, and answers.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.folder import ROOT

ROOM = ROOT / "tests" / "toy_room"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOM)])},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def write_rows(folder: Path, count: int = 400) -> None:
    draw = random.Random(1)
    named: dict[tuple[int, ...], dict[str, Any]] = {}
    while len(named) < count:
        digits = tuple(draw.randint(0, 9) for _ in range(draw.randint(1, 3)))
        names = " ".join(WORDS[digit] for digit in digits)
        named[digits] = {"digits": list(digits), "ask": "name them", "names": names}
    broken = {"digits": [10, 11], "ask": "name them", "names": "ten eleven"}
    said = [
        {"prompt": f"say {(words := ' '.join(draw.choices(WORDS, k=3)))} {n}", "response": words}
        for n in range(count)
    ]
    for name, rows in (("names", [*named.values(), broken]), ("echo", said)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    shutil.copy(ROOM / "nexus.yaml", folder)
    write_rows(folder)
    done = python(folder, "-m", "nexusbuild", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def ask(folder: Path, call: str) -> Any:
    """What an expression on the opened bundle gives, in a process that can read the medium."""
    code = (
        "import json; from nexus import NexusModel\n"
        "model = NexusModel.load('dist/toy_bundle')\n"
        f"try: print(json.dumps({call}))\n"
        "except ValueError as error: print(json.dumps(str(error)))"
    )
    done = python(folder, "-c", code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_read_ships_and_is_listed(built: Path) -> None:
    bundle = built / "dist" / "toy_bundle"
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["capabilities"]["name-digits"]["reads"] == ["numbers"]
    assert "reads" not in manifest["capabilities"]["echo"]
    for path in (
        "encoders/numbers_encoder.safetensors",
        "encoders/numbers_encoder.json",
        "adapters/name-digits_projection.safetensors",
    ):
        assert path in manifest["files"] and (bundle / path).is_file()
    assert not (bundle / "adapters" / "echo_projection.safetensors").exists()
    assert python(built, "-m", "nexus.cli", "verify", str(bundle)).returncode == 0


def test_rows_are_told_apart_by_what_they_hold_and_split_by_it(built: Path) -> None:
    folder = built / "build" / "dataset" / "names"
    splits = {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").open(encoding="utf-8")]
        for name in ("train", "validation", "pilot", "eval")
    }
    rows = [row for split in splits.values() for row in split]
    assert len(rows) == 400  # one prompt for all of them
    assert len({row["id"] for row in rows}) == 400
    held = [{tuple(row["parts"]["numbers"]) for row in split} for split in splits.values()]
    assert sum(map(len, held)) == len(set().union(*held))
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    (dropped,) = about["dropped"]
    assert dropped["why"] == "its numbers cannot be read" and dropped["count"] == 1


def test_the_student_reads_what_it_is_given(built: Path) -> None:
    verdict = json.loads((built / "build/gate/name-digits/verdict.json").read_text())
    assert verdict["verdict"] == "pass"
    # Blind, the backbone answers every list alike.
    assert verdict["student_score"] > verdict["backbone_only"]["score"]
    calls = (
        "[model.generate('name them', numbers=[n], capability='name-digits') for n in range(10)]"
    )
    assert len(set(ask(built, calls))) > 5
    both = "model.generate(prompts=['name them', 'name them'], numbers=[[1], [2]])"
    assert ask(built, both) == ask(
        built, "[model.generate('name them', numbers=[n]) for n in (1, 2)]"
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("model.generate('x', capability='name-digits')", "give it with numbers="),
        ("model.generate('x', capability='echo', numbers=[1])", "reads text alone"),
        ("model.generate('x', capability='name-digits', numbers=[11])", "a list of digits"),
        ("model.generate('x', capability='name-digits', image='x.png')", "reads numbers"),
        ("model.generate('x', image='x.png')", "reads image"),
        ("model.generate(prompts=['x', 'y'], numbers=[[1]])", "one value for each prompt"),
    ],
)
def test_what_cannot_be_read_is_refused(built: Path, call: str, said: str) -> None:
    assert said in ask(built, call)


def test_the_room_is_missed_by_name_where_it_is_not_installed(built: Path) -> None:
    code = (
        "from nexus import NexusModel\n"
        "model = NexusModel.load('dist/toy_bundle')\n"
        "print(model.generate('say one two three', capability='echo'))\n"
        "try: model.generate('x', capability='name-digits', numbers=[1])\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=built,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot read numbers" in done.stdout


def test_a_later_capability_moves_no_encoder(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    shutil.copytree(built, folder, symlinks=True)
    spec = folder / "nexus.yaml"
    text = spec.read_text(encoding="utf-8")
    text = text.replace("    capabilities: [name-digits]", "    capabilities: [name-digits, again]")
    text = text.replace(
        "  echo:\n    dataset: echo",
        "  again: {reads: [numbers], dataset: names, metric: exact_match}\n"
        "  echo:\n    dataset: echo",
    )
    spec.write_text(text, encoding="utf-8")
    plan = json.loads(python(folder, "-m", "nexusbuild", "--dry-run", "--json").stdout)
    states = {target["id"]: target["state"] for target in plan["targets"]}
    kept = ("encoder:numbers", "pack:encoder/numbers", "backbone", "adapter:name-digits")
    assert {name: states[name] for name in kept} == dict.fromkeys(kept, "fresh")
    assert states["adapter:again"] == "stale"
    assert any("numbers_encoder is pinned" in note for note in plan["notes"])
