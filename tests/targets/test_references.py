"""Data sets of prompts alone: the teacher's own answers are learned, and are what counts."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_utils import PreTrainedModel

from modalities.json_files import read_json, read_rows
from modalities.text.answers import Description, answered_rows
from modalities.text.encoding import encode_rows
from modalities.text.own_answers import own_answers
from nexus.decoding import greedy_decode
from opened_models.tokenizers import open_tokenizer
from targets.resolver import resolve

EXAMPLE = Path(__file__).parents[2] / "examples" / "stories"
TEACHER = Path(__file__).parents[3] / "shared" / "data" / "stories260k"

ROWS = [{"id": str(n), "prompt": f"Tell of {n} foxes", "answer": ""} for n in range(7)]
SHORT = Description("{prompt}\n", (), 12)


@pytest.fixture(scope="module")
def model(student_backbone: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(student_backbone)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example, with less of everything, and no teacher yet."""
    shutil.copytree(EXAMPLE, tmp_path / "stories", ignore=shutil.ignore_patterns("data", "models"))
    folder = tmp_path / "stories"
    subprocess.run([sys.executable, str(folder / "prepare.py")], check=True)
    file = folder / "nexus.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["datasets"]["openings"] |= {
        "rows": 160, "eval": 30, "validation": 20, "pilot": 20, "max_new_tokens": 16,
    }  # fmt: skip
    spec["student"]["backbone"]["steps"] = 30
    spec["student"]["training"] |= {"steps": 10, "retries": 0, "aim_fraction": 0.05}
    spec["contracts"]["stories"]["retain_fraction"] = 0.05
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return folder


def test_without_temperature_the_likeliest_token_is_taken(
    model: PreTrainedModel, student_tokenizer: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)
    own = own_answers(model, tokenizer, ROWS, SHORT, temperature=0.0, seed=1, batch=3)
    answered = answered_rows(model, tokenizer, ROWS, SHORT)
    assert [row["answer"] for row in own] == [row["answer"] for row in answered]
    assert [row["id"] for row in own] == [row["id"] for row in ROWS]


def test_drawn_answers_follow_the_seed(model: PreTrainedModel, student_tokenizer: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)
    one, again, other = (
        own_answers(model, tokenizer, ROWS, SHORT, temperature=1.5, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again != other


def test_an_answer_that_was_stopped_is_not_over(
    model: PreTrainedModel, student_tokenizer: Path
) -> None:
    """What a teacher was stopped in has no end of sequence to learn or to be scored on."""
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)
    prompts = [row.prompt_ids for row in encode_rows(tokenizer, "{prompt}\n", [("Tell of it", "")])]
    second = greedy_decode(model, prompts, max_new_tokens=3, eos_token_id=-1, batch_size=1)[0][1]
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(second)
    row = [{"id": "0", "prompt": "Tell of it", "answer": ""}]
    closed = own_answers(model, tokenizer, row, SHORT, temperature=0.0, seed=0)
    assert closed[0]["ended"]
    stopped = own_answers(
        model, tokenizer, row, Description("{prompt}\n", (), 1), temperature=0.0, seed=0
    )
    assert not stopped[0]["ended"]


def test_only_an_answer_that_is_over_carries_its_end(student_tokenizer: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)
    pairs = [("a b", "fox"), ("a b", "fox")]
    over, stopped = encode_rows(tokenizer, "{prompt}\n", pairs, [True, False])
    assert over.answer_ids == [*stopped.answer_ids, tokenizer.eos_token_id]


@pytest.mark.skipif(not TEACHER.is_dir(), reason="needs ../shared/data/stories260k")
def test_the_blank_between_prompt_and_answer_is_the_answer_s() -> None:
    """A SentencePiece-like tokenizer drops it from what it decodes alone."""
    teacher = AutoModelForCausalLM.from_pretrained(TEACHER)
    tokenizer = open_tokenizer(TEACHER)
    row = {
        "id": "0",
        "prompt": "Once upon a time, there was a little girl named Lily.",
        "answer": "",
    }
    description = Description("{prompt}", (), 12)
    (own,) = own_answers(teacher, tokenizer, [row], description, temperature=0.0, seed=0)
    assert own["answer"].startswith(" She")
    (encoded,) = encode_rows(
        tokenizer, "{prompt}", [(row["prompt"], own["answer"])], [own["ended"]]
    )
    assert len(encoded.answer_ids) == 12  # cut again, it is what the teacher said


def test_references_come_from_the_baseline(example: Path) -> None:
    graph = resolve(example / "nexus.yaml", {})
    own = "baseline:storyteller/stories#{}_references.jsonl"
    assert graph["score:stories"].inputs["eval"] == own.format("eval")
    assert graph["gate:stories"].inputs["eval"] == own.format("eval")
    assert graph["adapter:stories"].inputs["validation"] == own.format("validation")
    assert graph["baseline:storyteller/stories"].settings["temperature"] == 1.0
    assert graph["trace:storyteller/stories"].settings["metric"] is None
    assert graph["tokenizer"].inputs == {"tokenizer/storyteller": "teacher:storyteller#tokenizer"}


@pytest.mark.skipif(not TEACHER.is_dir(), reason="needs ../shared/data/stories260k")
def test_the_example_runs_on_a_real_teacher(example: Path) -> None:
    shutil.copytree(TEACHER, example / "models" / "stories260k")
    done = subprocess.run(
        [sys.executable, "-m", "nexusbuild", "-f", str(example / "nexus.yaml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    build = example / "build"
    verdict = read_json(build / "gate" / "stories" / "verdict.json")
    references = read_rows(build / "baseline" / "storyteller" / "stories" / "eval_references.jsonl")
    assert verdict["verdict"] == "pass" and len(references) == 30
    # A model that was trained on children's stories finds its own ones likely, yet not certain.
    assert 0.3 < verdict["teacher_score"] < 2.0
    rows = read_rows(build / "baseline" / "storyteller" / "stories" / "eval.jsonl")
    bits = -sum(row["log_prob"] for row in rows) / math.log(2)
    assert verdict["teacher_score"] == pytest.approx(
        bits / sum(len(row["answer"].encode()) for row in references), rel=1e-4
    )
    log = read_rows(build / "backbone" / "training_log.jsonl")
    # The student has the teacher's tokenizer: nothing has to be carried across.
    assert log[0]["aligned"] == 1.0
