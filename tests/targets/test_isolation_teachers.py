"""A teacher of an isolated capability teaches nothing else, under whatever name it stands there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_resolver import TINY, Folder, edited, with_verse

from modalities.json_files import write_json
from nexusbuild.plugins import Job, ResolveError
from targets.registry.work import CopiedTeacherError, build
from targets.teacher.work import described

ISOLATED = edited(with_verse(TINY), "metric: rouge_l", "metric: rouge_l, isolated: true")
SECOND = """\
  - id: second
    source: {path: %s}
    licence: MIT
    capabilities: [reasoning]

  - id: poet
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With the poet's model on the disk."""
    model = tmp_path / "models/poet"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    save_file({"w": torch.arange(40_000.0)}, model / "model.safetensors")
    return Folder(tmp_path)


def refused(folder: Folder, text: str) -> list[str]:
    with pytest.raises(ResolveError) as raised:
        folder.resolved(text, {})
    for problem in raised.value.problems:
        assert problem.remedy and problem.field
    return [problem.message for problem in raised.value.problems]


def with_second(path: str, text: str = ISOLATED) -> str:
    return edited(text, "  - id: poet\n", SECOND % path)


def test_a_teacher_that_teaches_something_open_too(folder: Folder) -> None:
    text = edited(ISOLATED, "capabilities: [verse]", "capabilities: [verse, tools, code]")
    assert refused(folder, text) == [
        '"verse" is isolated, but its teacher poet also teaches "code", "tools": '
        "teacher:poet -> trace:poet/code -> backbone"
    ]


def test_where_the_backbone_is_pinned_without_it(folder: Folder) -> None:
    text = edited(ISOLATED, "capabilities: [verse]", "capabilities: [verse, tools]")
    with pytest.raises(ResolveError, match=r"trace:poet/tools -> adapter:tools\n") as raised:
        folder.resolved(text)
    assert raised.value.problems[0].field == "teachers.poet.capabilities"


def test_a_teacher_that_the_build_trains(folder: Folder) -> None:
    text = edited(
        TINY, "code:\n    dataset: functions", "code:\n    isolated: true\n    dataset: functions"
    )
    text = edited(text, "capabilities: [code]", "capabilities: [code, tools]")
    messages = refused(folder, edited(text, "dataset: tool_calls", "dataset: functions"))
    assert messages  # the specification itself has a word for it


def test_of_two_isolated_capabilities(folder: Folder) -> None:
    text = edited(ISOLATED, "capabilities: [verse]", "capabilities: [verse, tools]")
    text = edited(text, "dataset: tool_calls", "isolated: true\n    dataset: tool_calls")
    messages = refused(folder, text)
    assert any(
        '"verse" is isolated, but its teacher poet also teaches "tools"' in m for m in messages
    )
    assert any(
        '"tools" is isolated, but its teacher poet also teaches "verse"' in m for m in messages
    )


@pytest.mark.parametrize(
    "path", ["./models/poet", "models/../models/poet/", "link", "models/link", "models"]
)
def test_one_folder_under_two_ids(folder: Folder, tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("models/poet")
    (tmp_path / "models/link").symlink_to(tmp_path / "link")
    messages = refused(folder, with_second(path))
    assert messages[0].startswith('"verse" is isolated, but its teacher second, which is poet (')
    assert "one directory" in messages[0]
    assert messages[0].endswith('"reasoning": teacher:second -> trace:second/reasoning -> backbone')


def test_it_stays_refused_when_the_isolated_one_comes_second(folder: Folder) -> None:
    assert "poet" in refused(folder, with_second("models/poet"))[0]
    swapped = edited(
        with_second("models/poet"), "[reasoning]\n\n  - id: poet", "[verse]\n\n  - id: poet"
    )
    swapped = edited(swapped, "capabilities: [verse]\n\ncap", "capabilities: [reasoning]\n\ncap")
    assert "its teacher poet, which is second (" in refused(folder, swapped)[0]


def copied(folder: Path) -> None:
    shutil.copytree(folder / "models/poet", folder / "models/copy")


def hard_linked(folder: Path) -> None:
    shutil.copytree(folder / "models/poet", folder / "models/copy", copy_function=os.link)


def renamed(folder: Path) -> None:
    copied(folder)
    (folder / "models/copy/model.safetensors").rename(folder / "models/copy/weights.safetensors")
    (folder / "models/copy/config.json").write_text('{"x": 1}')
    save_file({"x": torch.ones(1)}, folder / "models/copy/other.safetensors")


@pytest.mark.parametrize("copy", [copied, hard_linked, renamed])
def test_a_copy_of_its_weights(
    folder: Folder, tmp_path: Path, copy: Callable[[Path], None]
) -> None:
    copy(tmp_path)
    message = refused(folder, with_second("models/copy"))[0]
    assert "models/copy has a copy of the weights in models/poet" in message


def test_another_model_of_the_same_size(folder: Folder, tmp_path: Path) -> None:
    """Two fine-tunes of one base have files of one size; one number is enough."""
    weights = torch.arange(40_000.0)
    weights[20_011] += 1
    (tmp_path / "models/other").mkdir()
    save_file({"w": weights}, tmp_path / "models/other/model.safetensors")
    graph = folder.resolved(with_second("models/other"), {})
    assert "trace:second/reasoning" in graph.targets
    assert graph.seen is not None and all(each.holds() for each in graph.seen)
    # It is noticed when it becomes one.
    shutil.copy(tmp_path / "models/poet/model.safetensors", tmp_path / "models/other")
    assert not all(each.holds() for each in graph.seen)


def test_one_model_of_a_hub_in_two_places(folder: Folder) -> None:
    text = edited(ISOLATED, "{path: models/poet}", "{path: models/a, origin: house/Poet}")
    sized = SECOND.replace("licence: MIT", "licence: MIT\n    parameters: 1M")
    for where in ("{path: models/b, origin: house/poet}", "{hub: house/poet, revision: abcdef0}"):
        second = edited(text, "  - id: poet\n", sized.replace("{path: %s}", where))
        assert "both come from house/poet" in refused(folder, second)[0]


def test_its_tokenizer(folder: Folder) -> None:
    text = edited(
        ISOLATED, "student:\n  tokenizer: {kind: bpe, vocab: 320}",
        "student:\n  tokenizer: {kind: teacher, teacher: poet}",
    )  # fmt: skip
    with pytest.raises(ResolveError) as raised:
        folder.resolved(text, {})
    problem = raised.value.problems[0]
    assert problem.message == (
        '"verse" is isolated, but tokenizer would be made from it: teacher:poet -> tokenizer'
    )
    assert "student.tokenizer.teacher" in problem.remedy
    folder.resolved(edited(text, "teacher: poet", "teacher: coder"), {})


def test_a_second_teacher_of_the_same_capability_is_welcome(folder: Folder) -> None:
    text = edited(with_second("models/poet"), "capabilities: [reasoning]\n\n  - id: poet",
                  "capabilities: [verse]\n\n  - id: poet")  # fmt: skip
    assert "trace:second/verse" in folder.resolved(text, {}).targets


# What is seen only when both are opened.

WEIGHTS = {
    "a": torch.arange(12.0, dtype=torch.bfloat16),
    "b": torch.linspace(0, 1, 7),
    "norm": torch.ones(3),
}


def registry(
    make_job: Callable[..., Job], tmp_path: Path, other: dict[str, torch.Tensor], isolated: bool
) -> Job:
    """The job of a registry of two teachers, the poet's capability isolated."""
    inputs = {}
    for teacher, tensors in (("poet", WEIGHTS), ("second", other)):
        inputs[teacher] = tmp_path / teacher
        inputs[teacher].mkdir()
        write_json(inputs[teacher] / "teacher.json", {"id": teacher})
        write_json(
            inputs[teacher] / "tensors.json",
            {name: described(tensor) for name, tensor in tensors.items()},
        )
    settings = {
        "capabilities": {
            "verse": {"dataset": "poems", "teachers": ["poet"]},
            "reasoning": {"dataset": "sums", "teachers": ["second"]},
        },
        **({"isolated": ["verse"]} if isolated else {}),
    }
    return make_job("registry", settings, inputs=inputs)


@pytest.mark.parametrize(
    "other",
    [
        {name: tensor.float() for name, tensor in WEIGHTS.items()},
        {f"model.{name}": tensor for name, tensor in WEIGHTS.items()},
        {**WEIGHTS, "more": torch.arange(5.0)},
        {name: WEIGHTS[name] for name in ("a", "norm")},
    ],
    ids=["in another precision", "under other names", "with more", "with less"],
)
def test_a_copy_in_another_form_is_refused_by_the_registry(
    make_job: Callable[..., Job], tmp_path: Path, other: dict[str, torch.Tensor]
) -> None:
    job = registry(make_job, tmp_path, other, isolated=True)
    with pytest.raises(CopiedTeacherError, match="its teacher poet is also second"):
        build(job)
    assert not list(job.out.iterdir())


def test_a_fine_tune_of_the_same_base_is_another_teacher(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    tuned = {**WEIGHTS, "b": WEIGHTS["b"] + 1}
    build(registry(make_job, tmp_path, tuned, isolated=True))


def test_where_nothing_is_isolated_anyone_may_teach(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    build(registry(make_job, tmp_path, WEIGHTS, isolated=False))


def test_no_key_changes_where_nothing_is_isolated(folder: Folder) -> None:
    assert "isolated" not in folder.before["registry"].settings
    assert folder.resolved(ISOLATED, {})["registry"].settings["isolated"] == ["verse"]
