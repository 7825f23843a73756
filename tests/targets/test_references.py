"""Data sets of prompts alone: the teacher's own answers are learned, and are what counts."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.modeling_utils import PreTrainedModel

from modalities.json_files import read_json, read_rows
from modalities.text.answers import (
    Description,
    answered_rows,
    generates_likeliest,
    known_answers,
)
from modalities.text.encoding import encode_rows
from modalities.text.own_answers import own_answers
from modalities.text.teacher_decoding import greedy_answers
from nexus.decoding import greedy_decode
from nexusbuild.plugins import Job
from opened_models.tokenizers import open_tokenizer
from targets.baseline.work import build
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
    assert [one.row["answer"] for one in own] == [row["answer"] for row in answered]
    assert [one.row["id"] for one in own] == [row["id"] for row in ROWS]
    assert known_answers(model, tokenizer, ROWS, [one.tokens for one in own], SHORT) == answered


@pytest.mark.parametrize("stops", [(), ("e", "x"), ("o",)])
@pytest.mark.parametrize("positions", [256, 24])
def test_an_answer_that_is_known_ends_where_it_would_when_asked(
    model: PreTrainedModel,
    student_tokenizer: Path,
    monkeypatch: pytest.MonkeyPatch,
    stops: tuple[str, ...],
    positions: int,
) -> None:
    """At a stop string, at another end of the model, where the model has no position left."""
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)
    monkeypatch.setattr(model.config, "max_position_embeddings", positions)
    description = Description("{prompt}\n", stops, 12)
    own = own_answers(model, tokenizer, ROWS, SHORT, temperature=0.0, seed=1)
    tokens = [one.tokens for one in own]
    another = max(tokens, key=len)[4]
    for ends in (1, [1, another]):
        monkeypatch.setattr(model.generation_config, "eos_token_id", ends)
        asked = answered_rows(model, tokenizer, ROWS, description)
        assert known_answers(model, tokenizer, ROWS, tokens, description) == asked


def test_what_changes_the_likeliest_token_is_seen() -> None:
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
        )
    )
    drawn = {"do_sample": True, "temperature": 0.7, "top_p": 0.9}
    model.generation_config = GenerationConfig(eos_token_id=[1, 2], pad_token_id=0, **drawn)
    assert generates_likeliest(model)
    for changed in ({"repetition_penalty": 1.1}, {"num_beams": 4}, {"forced_eos_token_id": 1}):
        model.generation_config = GenerationConfig(eos_token_id=1, **changed)
        assert not generates_likeliest(model)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_baseline_is_the_same_whether_its_answers_are_generated_once_or_twice(
    make_job: Callable[..., Job],
    student_backbone: Path,
    student_tokenizer: Path,
    datasets: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    temperature: float,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(student_backbone, folder)
    AutoTokenizer.from_pretrained(student_tokenizer).save_pretrained(folder)
    data = datasets["sums"]
    settings = {"load": "fp32", "temperature": temperature, "batch": 16}
    inputs = {name: data / f"{name}.jsonl" for name in ("validation", "eval")}
    generated: list[int] = []
    outs = []
    for likeliest in (generates_likeliest, lambda _model: False):
        job = make_job(
            "baseline:a/b", settings, model=folder, description=data / "dataset.json", **inputs
        )
        seen: list[tuple[float, float]] = []
        job = replace(job, progress=lambda done, total, seen=seen, **_: seen.append((done, total)))
        count: list[int] = []

        def counted(*args, count=count, **named):  # type: ignore[no-untyped-def]
            count.append(1)
            return greedy_answers(*args, **named)

        monkeypatch.setattr("targets.baseline.work.generates_likeliest", likeliest)
        monkeypatch.setattr("modalities.text.answers.greedy_answers", counted)
        build(job)
        assert seen == sorted(seen) and seen[-1] == (2 * 64, 2 * 64)
        generated.append(len(count))
        outs.append(job.out)
    assert generated == ([0, 2] if temperature == 0 else [2, 2])
    names = {file.name for file in outs[0].iterdir()}
    assert len(names) == 4
    for name in names:
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes(), name


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_own_answers_that_were_killed_go_on_behind_the_last_batch(
    model: PreTrainedModel, student_tokenizer: Path, tmp_path: Path, temperature: float
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)

    def answered(kept: Path | None, progress: Callable[[int, int], None] | None = None):
        return own_answers(
            model,
            tokenizer,
            ROWS,
            SHORT,
            temperature=temperature,
            seed=3,
            batch=2,
            kept=kept,
            progress=progress,
        )

    def dies(done: int, _total: int) -> None:
        seen.append(done)
        raise KeyboardInterrupt

    whole, kept, seen = answered(None), tmp_path / "kept.json", []
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            answered(kept, dies)
        torch.rand(5)  # a new process has drawn other numbers
    assert seen == [2, 4, 6]
    assert answered(kept, lambda done, _total: seen.append(done)) == whole
    assert seen == [2, 4, 6, 7]
    # What a disk left of the file is not believed.
    kept.write_text(kept.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    with pytest.warns(UserWarning, match="generated again"):
        assert answered(kept) == whole


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
    assert closed[0].row["ended"]
    stopped = own_answers(
        model, tokenizer, row, Description("{prompt}\n", (), 1), temperature=0.0, seed=0
    )
    assert not stopped[0].row["ended"]


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
    (answered,) = own_answers(teacher, tokenizer, [row], description, temperature=0.0, seed=0)
    own = answered.row
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
