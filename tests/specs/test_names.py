"""Names come from folders: the project's own, and those of other packages; nothing is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from specs.constants import constants_of, traits_of
from specs.names import MetricTraits, families, metric_traits, metrics, samplers
from specs.problems import SpecError

ROOT = Path(__file__).parents[2]
METRIC = """
from modalities.metric import Metric

UNIT = "share"
HIGHER_IS_BETTER = True
UNBOUNDED = True
METRIC = Metric("brevity", UNIT, HIGHER_IS_BETTER, lambda rows, answers: [2.0] * len(rows))
"""
SAMPLER = """
from modalities.example import Example


def draw(random):
    number = random.randrange(10**6)
    return Example(f"say {number}", str(number), (), f"echo {number % 50}")
"""
TRY = """
import json, sys
from pathlib import Path
from nexusbuild.digest.fingerprint import CodeFingerprints
from nexusbuild.digest.statcache import StatCache
from targets.resolver import resolve

graph = resolve(Path(sys.argv[1]), {})
code = {id: graph[id].code for id in ("gate:code", "dataset:functions")}
before = [name for name in sys.modules if name.startswith("shiny")]
gate = graph["gate:code"]
fingerprints = CodeFingerprints(StatCache(None))
reached = fingerprints.of(gate.work, gate.id, tuple(gate.code.values())).modules
seen = [each.root for each in graph.seen]
print(json.dumps([code, before, "shiny.room.metrics.brevity" in reached, seen]))
"""


@pytest.fixture
def other_package(tmp_path: Path) -> Path:
    """An installed package `shiny`, with a room that has a metric and a sampler."""
    for folder in ("metrics", "samplers"):
        (tmp_path / "shiny" / "room" / folder).mkdir(parents=True)
    (tmp_path / "shiny" / "__init__.py").write_text("")
    (tmp_path / "shiny/room/metrics/brevity.py").write_text(METRIC)
    (tmp_path / "shiny/room/samplers/echo.py").write_text(SAMPLER)
    about = tmp_path / "shiny-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shiny\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[nexus.modalities]\nshiny = shiny.room\n")
    return tmp_path


def run(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(package)])},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_another_package_brings_a_metric_and_a_sampler(other_package: Path) -> None:
    tiny = (ROOT / "tests" / "tiny.yaml").read_text(encoding="utf-8")
    text = tiny.replace("metric: rouge_l", "metric: brevity").replace(
        "functions: {sample: functions", "functions: {sample: echo"
    )
    text = text.replace("code: {retain_fraction: 0.01}", "code: {at_least: 1.5}")
    spec = other_package / "nexus.yaml"
    spec.write_text(text, encoding="utf-8")
    ran = run(other_package, "-c", TRY, str(spec))
    assert ran.returncode == 0, ran.stderr
    code, imported, reached, seen = json.loads(ran.stdout)
    assert code == {
        "gate:code": {"metric": "shiny.room.metrics.brevity"},
        "dataset:functions": {"sampler": "shiny.room.samplers.echo"},
    }
    assert not imported, "names are read without importing the package"
    assert reached, "what is loaded by name is in the key"
    assert str(other_package / "shiny" / "room") in seen

    shown = run(other_package, "-m", "nexusbuild", "data", "show", "functions", "-f", str(spec))
    assert shown.returncode == 0 and "say " in shown.stdout, shown.stderr


def test_one_name_for_two_modules_is_refused(other_package: Path) -> None:
    (other_package / "shiny/room/metrics/brevity.py").rename(
        other_package / "shiny/room/metrics/rouge_l.py"
    )
    ran = run(other_package, "-m", "nexusbuild", "--dry-run", "-f", "tests/tiny.yaml")
    assert ran.returncode != 0 and "Traceback" not in ran.stderr
    words = " ".join(ran.stderr.split())
    assert "modalities.text.metrics.rouge_l and shiny.room.metrics.rouge_l" in words


def test_names_are_those_of_the_folders() -> None:
    for names, package in (
        (metrics(), "modalities/text/metrics"),
        (samplers(), "samplers"),
        (families(), "modalities/text/families"),
    ):
        files = {file.stem for file in (ROOT / package).glob("*.py")} - {"__init__"}
        assert set(names.modules) == files
    with pytest.raises(ValueError, match=r'no metric is called "rouge-l".*did you mean rouge_l'):
        metrics().module("rouge-l")
    assert metric_traits("bits_per_byte").by_likelihood


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HIGHER_IS_BETTER = True", "has no usable UNIT"),
        ('UNIT = "F" + "1"\nHIGHER_IS_BETTER = True', "has no usable UNIT"),
        ('UNIT = "F1"\nHIGHER_IS_BETTER = 1', "has no usable HIGHER_IS_BETTER"),
        ('UNIT = "F1"\nHIGHER_IS_BETTER = True\nUNBOUNDED = not True', "has no usable UNBOUNDED"),
        ("UNIT = (", "not valid Python"),
    ],
)
def test_a_module_that_says_too_little_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "half.py"
    file.write_text(text)
    with pytest.raises(SpecError) as raised:
        traits_of(MetricTraits, file)
    assert message in str(raised.value) and str(file) in str(raised.value)


def test_constants_are_literals_at_the_top(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text('A: str = "a"\nB = (1, 2)\nc = 3\nif True:\n    D = 4\nE = len("x")\n')
    assert constants_of(file) == {"A": "a", "B": (1, 2), "E": None}
