"""An edit of one module makes the code of its own targets another, and of no others.

Each row of the table is edited in a copy of the project, and the targets of two builds whose code
fingerprint it changes are held exactly: those of the sample, and those of `tests/tiny.yaml`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from specs.names import families, metrics, samplers

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("code_after_edits.py")
SAMPLE, TINY = "nexus.yaml", "tests/tiny.yaml"
# One capability of it reads lists of digits, by a package that lies in tests alone; one reads text.
TOY_ROOM, TOY = "tests/toy_room", "tests/toy_room/nexus.yaml"

NONE = ""
SCORED = "profile:* adapter:* gate:*"
ASKED = "baseline:* profile:* trace:* adapter:* score:*"
OPENED = "teacher:* baseline:* profile:* trace:*"
TRAINED = "trained_teacher:* backbone adapter:*"

# module -> patterns of the targets that its edit touches: in both builds, or in each
TABLE: dict[str, str | tuple[str, str]] = {
    # A metric touches what is scored by it.
    "modalities.text.metrics.accuracy": "gate:router",
    "modalities.text.metrics.bits_per_byte": (
        NONE,
        "profile:*/reasoning adapter:reasoning gate:reasoning "
        "profile:*/tools adapter:tools gate:tools",
    ),
    "modalities.text.metrics.exact_match": (
        "profile:*/uncensored adapter:uncensored gate:uncensored",
        NONE,
    ),
    "modalities.text.metrics.final_answer": (
        "profile:*/reasoning adapter:reasoning gate:reasoning",
        NONE,
    ),
    "modalities.text.metrics.json_equal": ("profile:*/tools adapter:tools gate:tools", NONE),
    "modalities.text.metrics.rouge_l": (NONE, "profile:*/code adapter:code gate:code"),
    "modalities.text.metrics.unit_tests": ("profile:*/code adapter:code gate:code", NONE),
    "modalities.text.metrics.word_error_rate": NONE,
    # What metrics share touches what any of them scores.
    "modalities.metric": SCORED,
    "modalities.text.same_text": (
        "profile:*/uncensored adapter:uncensored gate:uncensored gate:router",
        "gate:router",
    ),
    "modalities.text.words": (NONE, "profile:*/code adapter:code gate:code"),
    "modalities.text.code_tests.candidate_runner": (
        "profile:*/code adapter:code gate:code",
        NONE,
    ),
    # A harness task touches only what names one.
    "modalities.text.harness.answering": NONE,
    "modalities.text.harness.metric": NONE,
    "modalities.text.harness.tasks": NONE,
    # A sampler touches its data.
    "samplers.functions": "dataset:functions",
    "samplers.plain_talk": ("dataset:plain_talk", NONE),
    "samplers.tool_calls": "dataset:tool_calls",
    "samplers.word_problems": "dataset:word_problems",
    "samplers.parts.operations": "dataset:functions",
    "samplers.parts.spoken_values": (
        "dataset:plain_talk dataset:tool_calls",
        "dataset:tool_calls",
    ),
    "samplers.parts.stories": "dataset:word_problems",
    "samplers.parts.sampling": "dataset:*",
    # Data that no file gives depends on no reader of files.
    "targets.dataset.work": NONE,
    "targets.dataset.reading": NONE,
    "targets.dataset.splitting": "dataset:*",
    "raw_data.formats": NONE,
    # A family touches the models that are made of it.
    "modalities.text.families.gpt2": "trained_teacher:operator",
    "modalities.text.families.llama": "trained_teacher:scholar backbone",
    "modalities.text.families.qwen2": ("trained_teacher:critic", NONE),
    "modalities.text.families.qwen3": "trained_teacher:coder",
    "modalities.text.fresh_decoder": "trained_teacher:* backbone",
    # A kind's own modules touch that kind.
    "targets.profile.ablation": "profile:*",
    "targets.trace.coefficients": "trace:*",
    "targets.adapter.low_rank": "adapter:*",
    "targets.gate.statistics": "gate:*",
    "targets.score.confinement": "score:*",
    "targets.router.training": "router",
    # Rooms that several kinds use.
    "modalities.text.answers": ASKED,
    "modalities.text.asking": "profile:*",
    "modalities.text.own_answers": "baseline:* trace:*",
    "opened_models.loading": OPENED,
    "training.loop": TRAINED,
    # What declares and what conducts is no result's code.
    "targets.resolver.graph": NONE,
    "targets.profile.target": NONE,
    "targets.commands.add": NONE,
    "specs.names": NONE,
    "specs.values": NONE,
    "nexusbuild.plugins": NONE,
    "nexusbuild.rule.plan": NONE,
}  # fmt: skip


# The same in a build of two media: what reads digits touches nothing that reads text alone, and
# text's own modules touch digits only where text is written.
DIGITS = "name-digits"
OF_DIGITS = f"baseline:*/{DIGITS} profile:*/{DIGITS} trace:*/{DIGITS} trained_teacher:namer"
TOY_TABLE: dict[str, str] = {
    "toy_numbers.rows": "dataset:names",
    "toy_numbers.digits": "dataset:names",
    "toy_numbers.reading": f"{OF_DIGITS} adapter:{DIGITS}",
    "toy_numbers.student": "encoder:numbers",
    "toy_numbers.runtime": NONE,
    "toy_numbers.spec": NONE,
    "modalities.image.reading": NONE,
    "modalities.audio.reading": NONE,
    "modalities.text.reading": "baseline:* profile:* trace:* trained_teacher:* adapter:* score:*",
    "modalities.text.metrics.exact_match": f"profile:*/{DIGITS} adapter:{DIGITS} gate:{DIGITS}",
    "modalities.text.metrics.token_f1": "profile:*/echo adapter:echo gate:echo",
    "nexus.media.reading": "pack:backbone pack:router pack:echo pack:name-digits score:*",
    "targets.encoder.work": "encoder:numbers",
    "targets.adapter.soft_prompts": "adapter:*",
}  # fmt: skip


# A name that neither build uses touches nothing: a new one needs no row.
NAMED = [*metrics().modules.values(), *samplers().modules.values(), *families().modules.values()]
ROWS = dict.fromkeys(NAMED, NONE) | TABLE


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's packages and the two specs."""
    folder = tmp_path_factory.mktemp("project")
    for package in ROOT.iterdir():
        if (package / "__init__.py").exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, folder / package.name, ignore=ignored)
    (folder / "tests").mkdir()
    for spec in (SAMPLE, TINY):
        shutil.copy(ROOT / spec, folder / spec)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / TOY_ROOM, folder / TOY_ROOM, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def changed(copy: Path) -> dict[str, dict[str, list[str]]]:
    """module -> spec -> targets whose code its edit changes; "" -> spec -> all targets."""
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps([*ROWS, *TOY_TABLE]), SAMPLE, TINY, TOY],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(copy), str(copy / TOY_ROOM)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, dict[str, list[str]]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("module", ROWS)
def test_an_edit_touches_its_own(module: str, changed: dict[str, dict[str, list[str]]]) -> None:
    row = ROWS[module]
    patterns = (row, row) if isinstance(row, str) else row
    for spec, said in zip((SAMPLE, TINY), patterns, strict=True):
        expected: set[str] = set()
        for pattern in said.split():
            found = {one for one in changed[""][spec] if fnmatch(one, pattern)}
            assert found, f"no target of {spec} is {pattern}"
            expected |= found
        assert set(changed[module][spec]) == expected, spec


@pytest.mark.parametrize("module", TOY_TABLE)
def test_an_edit_of_one_medium_touches_no_other(
    module: str, changed: dict[str, dict[str, list[str]]]
) -> None:
    expected = {
        one
        for pattern in TOY_TABLE[module].split()
        for one in changed[""][TOY]
        if fnmatch(one, pattern)
    }
    assert set(changed[module][TOY]) == expected
    if module.startswith("toy_numbers."):
        assert changed[module][SAMPLE] == changed[module][TINY] == []
