"""Steps that a package brings: what they may drop, and that results count as built afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from toy_project import Toy

from nexusbuild.plugins import JOURNAL

PREAMBLE = """
import json
from pathlib import Path
from nexusbuild.plugins import Built
from nexusbuild.project import Place
after = Built(Place(Path("nexus.yaml"), Path(".nexus"), "toy.resolver:resolve"))
"""


def after(toy: Toy, expression: str) -> Any:
    """What a step sees: an expression on `after`, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{PREAMBLE}print(json.dumps({expression}))"],
        cwd=toy.folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_dropped_files_are_gone_and_nothing_is_stale(built: Toy) -> None:
    found = after(
        built,
        "[after.unfinished(), after.stored_bytes(['step:a']), after.drop_files(['step:a']),"
        " after.stored_bytes(['step:a']), after.unfinished()]",
    )
    assert found[0] == found[4] == [] and found[1] > 0 and found[3] == 0
    assert set(built.plan().values()) == {"fresh"}
    built.settings("step:b", more=1)
    assert {"step:a", "step:b"} <= set(after(built, "after.unfinished()"))


def test_what_must_run_has_dropped_files_made_again(built: Toy) -> None:
    after(built, "after.drop_files(['step:a'])")
    assert built.built() == set()
    built.settings("step:b", more=1)
    ran = built.built()
    assert {"step:a", "step:b"} <= ran and "data:words" not in ran


def test_a_file_that_another_target_has_too_is_kept(toy: Toy) -> None:
    for name in ("step:one", "step:two"):
        toy.target(name, settings={"same": 1})
    toy.build()
    both = "['step:one', 'step:two']"  # they made the same bytes
    after(toy, "after.drop_files(['step:one'])")
    found = after(toy, f"[after.stored_bytes(['step:one']), after.stored_bytes({both})]")
    assert found[0] == 0 < found[1]
    after(toy, f"after.drop_files({both})")
    assert after(toy, f"after.stored_bytes({both})") == 0


def test_the_journal_keeps_what_was_deleted(built: Toy) -> None:
    after(built, "[after.journal({'deleted': name}) for name in ('one', 'two')]")
    lines = (built.folder / ".nexus" / JOURNAL).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["deleted"] for entry in entries] == ["one", "two"]
    assert all(entry["time"] > 0 for entry in entries)


def test_an_option_that_nobody_brings_is_an_error(built: Toy) -> None:
    done = built.run("--delete-everything")
    assert done.returncode == 2 and "--delete-everything" in done.stderr
