"""The catalogue: the full build of the design, planned with no model on the disk."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import specs
from nexusbuild.plugins import Graph
from targets.resolver import resolve

OMNI = Path(__file__).parents[2] / "examples" / "omni" / "nexus.yaml"
TEACHERS = {
    "agentcpm-explore", "gemma-scope-2-27b-pt", "translategemma-4b-it", "step3-vl-10b",
    "vibevoice-asr", "personaplex-7b-v1", "glm-4.7-flash", "parakeet-tdt-0.6b-v3",
    "qwen3-tts-customvoice", "qwen3-tts-voicedesign", "stable-diffusion-3-medium",
    "stable-video-diffusion-img2vid-xt-1-1", "qwen3-tts-tokenizer-12hz",
    "siglip2-so400m-patch16-512", "videomae-large",
}  # fmt: skip
TEXT = {
    "cot", "reasoning", "thinking", "tools", "agent", "code", "long-context", "translation",
    "emotion", "remotion-explainer", "uncensored",
}  # fmt: skip
DECLARED = {
    "streaming", "omni", "podcast", "vision-qa", "video-understanding", "tri-streaming",
    "image-generation", "video-generation", "voice", "voice-design", "asr",
}  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> specs.Spec:
    return specs.load(OMNI)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return resolve(OMNI, {})


def test_all_is_declared(spec: specs.Spec) -> None:
    assert {teacher.id for teacher in spec.teachers} == TEACHERS
    assert set(spec.capabilities) == TEXT | DECLARED
    for teacher in spec.teachers:
        assert teacher.parameters and teacher.category and teacher.best_feature
        assert teacher.licence and teacher.source.origin
    for name in spec.capabilities:
        assert any(name in teacher.capabilities for teacher in spec.teachers)
        assert 0.9 <= spec.contracts.of(name).retain_fraction <= 1
    assert {name for name, one in spec.capabilities.items() if one.isolated} == {"uncensored"}
    assert spec.hardware.vram == 16 * 2**30


def test_what_has_no_trainer_is_declared_only(spec: specs.Spec, graph: Graph) -> None:
    assert set(spec.included_capabilities()) == TEXT
    obstacles = {target.id for target in graph if target.obstacle}
    assert {f"profile:step3-vl-10b/{name}" for name in ("vision-qa", "omni")} <= obstacles
    assert "teacher:gemma-scope-2-27b-pt" in obstacles
    assert not any(
        target.endswith(f"/{name}") for target in obstacles for name in TEXT - {"thinking"}
    )
    notes = " ".join(graph.notes)
    assert all(name in notes for name in DECLARED)
    assert "teacher gemma-scope-2-27b-pt is declared only: no text comes from it" in notes
    assert set(graph["registry"].inputs) == {
        "agentcpm-explore", "translategemma-4b-it", "glm-4.7-flash",
    }  # fmt: skip


def plan(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "nexusbuild", "-f", str(OMNI), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_the_dry_run_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    code, text = plan("--dry-run", "--json", "--store", str(tmp_path))
    assert code == 0
    document: dict[str, Any] = json.loads(text)
    assert document["summary"]["blocked"] == len(document["targets"])
    reasons = {target["id"]: target["reasons"] for target in document["targets"]}
    assert {f"teacher:{name}" for name in TEACHERS} <= reasons.keys()
    fetch = next(each for each in reasons["teacher:glm-4.7-flash"] if "path" in each)
    assert fetch["code"] == "source-missing"
    # As seen from here: the command can be copied.
    place = (OMNI.parent / "models" / "GLM-4.7-Flash").relative_to(Path.cwd())
    command = f"$ hf download zai-org/GLM-4.7-Flash --local-dir {place}\n"
    assert fetch["remedy"].startswith(command)
    assert {each["code"] for each in reasons["teacher:parakeet-tdt-0.6b-v3"]} == {
        "never-built", "not-buildable", "source-missing",
    }  # fmt: skip


def test_what_cannot_be_built_is_refused_by_name(tmp_path: Path) -> None:
    code, text = plan("profile:parakeet-tdt-0.6b-v3/asr", "--store", str(tmp_path))
    assert code == 2
    assert "asr: no trainer for speech-to-text yet" in text


def test_licences_are_checked_before_anything_loads(spec: specs.Spec) -> None:
    text = OMNI.read_text(encoding="utf-8")
    strict = text.replace("    - CC-BY-NC-4.0\n", "").replace("    - NOASSERTION\n", "")
    with pytest.raises(specs.SpecError) as raised:
        specs.load_text(strict)
    fields = {problem.field for problem in raised.value.problems}
    assert "teachers.videomae-large.licence" in fields
    assert "datasets.plain_talk.licence" in fields
    assert "teachers.glm-4.7-flash.licence" not in fields
