"""A whole profile of a tiny teacher: its files, its honesty, and what it never writes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_teacher import WIDTH, planted_teacher, profile, profile_job

from targets.profile.work import build

_opened: list[tuple[str, str]] | None = None


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], str | Path):
        mode = arguments[1] if isinstance(arguments[1], str) else "os.open"
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if set("wax+") & set(mode) or flags & 3:
            _opened.append((str(arguments[0]), mode))


sys.addaudithook(_audit)


@contextmanager
def written_files() -> Iterator[list[tuple[str, str]]]:
    """Every file that this process opens for writing meanwhile, wherever it lies."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


@pytest.fixture(scope="module")
def teacher_and_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that only block 2 carries, and rows whose answers are its own."""
    return planted_teacher(tmp_path_factory.mktemp("profile"))


def test_a_profile_finds_the_plant_and_writes_what_it_says(
    teacher_and_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with written_files() as opened:
        summary = profile(teacher_and_data, out)

    assert summary["key_layers"] == [2]
    assert summary["hidden_size"] == WIDTH
    assert summary["num_layers"] == 4
    names = {file.name for file in out.iterdir()}
    assert names == {
        "layer_2_basis.npz",
        "layer_2_coeffs.npz",
        "layer_2_meta.json",
        "heads_importance.json",
        "neurons.npz",
        "verify_outputs.jsonl",
        "profile.json",
    }
    sizes = [file.stat().st_size for file in out.iterdir() if file.name != "profile.json"]
    assert summary["bytes"] == sum(sizes)
    # Nothing is written but these, in a temporary place neither.
    expected = {str(out / name) for name in names}
    scratch = str(tmp_path / "out.scratch")
    elsewhere = {path for path, _ in opened if not path.startswith(scratch)}
    assert expected <= elsewhere <= expected | {"/dev/null"}

    basis = np.load(out / "layer_2_basis.npz")
    layer = summary["layers"]["2"]
    assert basis["basis"].shape == (WIDTH, layer["k"])
    assert basis["basis"].dtype == np.float16
    assert basis["mean"].shape == (WIDTH,)
    assert np.all(np.diff(basis["singular_values"]) <= 0)
    gram = basis["basis"].astype(np.float32).T @ basis["basis"].astype(np.float32)
    assert np.allclose(gram, np.eye(layer["k"]), atol=5e-3)
    assert layer["explained_variance"] >= 0.97
    assert layer["ablation_drop"] > 0.5

    coefficients = np.load(out / "layer_2_coeffs.npz")
    assert coefficients["coefficients"].shape == (layer["tokens"], layer["k"])
    assert len(coefficients["sample_offsets"]) == 40 + 1
    assert coefficients["sample_offsets"][-1] == layer["tokens"]
    assert 0.3 < coefficients["coefficients"].astype(np.float32).std() < 3
    assert len((out / "verify_outputs.jsonl").read_text().splitlines()) == 50

    heads = json.loads((out / "heads_importance.json").read_text())["heads"]
    assert [len(heads[str(index)]) for index in range(4)] == [4] * 4
    assert max(heads["2"]) > 0
    assert heads["0"] == heads["1"] == heads["3"] == [0.0] * 4
    assert np.load(out / "neurons.npz")["layer_3_background_magnitude"].shape == (48,)


def test_coefficients_take_what_the_rest_of_a_profile_leaves(
    teacher_and_data: Path, tmp_path: Path
) -> None:
    """So that what is kept of a wide teacher, whose bases alone are large, stays small."""
    profile(teacher_and_data, tmp_path / "whole")
    whole = bytes_of_arrays(tmp_path / "whole")
    others = whole["layer_2_basis.npz"] + whole["neurons.npz"]
    half = whole["layer_2_coeffs.npz"] // 2
    kept = {}
    for name, most in (("small", (others + half) / 0.95), ("least", 1)):
        profile(teacher_and_data, tmp_path / name, profile_bytes=most)
        same = "layer_2_basis.npz"
        assert (tmp_path / name / same).read_bytes() == (tmp_path / "whole" / same).read_bytes()
        found = np.load(tmp_path / name / "layer_2_coeffs.npz")
        kept[name] = len(found["sample_offsets"]) - 1
        assert found["sample_offsets"][-1] == len(found["coefficients"])
    assert kept["least"] == 1 < 10 < kept["small"] < 40
    ids_and_offsets = 80 * 40
    found = bytes_of_arrays(tmp_path / "small")
    assert sum(found.values()) <= others + half + ids_and_offsets


def bytes_of_arrays(folder: Path) -> dict[str, int]:
    """By file what its arrays take, without the names and shapes before them."""
    return {
        file.name: sum(array.nbytes for array in np.load(file).values())
        for file in folder.glob("*.npz")
    }


def test_no_array_on_disk_is_a_hidden_state(teacher_and_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = profile(teacher_and_data, out, explained_variance=0.8, raised_to=[])
    tokens = summary["layers"]["2"]["tokens"]
    for file in out.glob("*.npz"):
        for name, array in np.load(file).items():
            # What has a row per token is narrower than the stream: coefficients in a basis.
            if array.ndim == 2 and array.shape[0] >= tokens:
                assert name == "coefficients"
                assert array.shape[1] < WIDTH


def test_a_truncated_basis_is_recorded_as_failing_and_raised(
    teacher_and_data: Path, tmp_path: Path
) -> None:
    summary = profile(
        teacher_and_data, tmp_path / "out", explained_variance=0.3, raised_to=[0.6, 0.9999999]
    )
    check = summary["reconstruction"]
    assert [trial["holds"] for trial in check["trials"]] == [False, False, True]
    assert check["holds"]
    assert check["explained_variance"] == 0.9999999
    assert check["trials"][0]["fall"] >= 0.01
    low, high = check["trials"][0]["interval_95"]
    assert low < check["trials"][0]["fall"] < high
    said: list[str] = []
    job = profile_job(teacher_and_data, tmp_path / "again", explained_variance=0.3, raised_to=[])
    build(replace(job, note=said.append))
    given_up = json.loads((tmp_path / "again" / "profile.json").read_text())
    assert given_up["reconstruction"]["holds"] is False
    assert any("does not fit its subspaces" in warning for warning in given_up["warnings"])
    # A person who watches the build is told.
    assert said == given_up["warnings"]


def test_the_same_job_gives_the_same_bytes(teacher_and_data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        profile(teacher_and_data, tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def without_answers(folder: Path, to: Path, **stop: object) -> Path:
    """The same teacher and prompts, and nobody else's answers."""
    to.mkdir()
    rows = [json.loads(line) for line in (folder / "pilot.jsonl").read_text().splitlines()]
    lines = [json.dumps({**row, "answer": ""}) + "\n" for row in rows]
    (to / "pilot.jsonl").write_text("".join(lines))
    description = json.loads((folder / "dataset.json").read_text())
    (to / "dataset.json").write_text(
        json.dumps({**description, "stop": {**description["stop"], **stop}})
    )
    (to / "teacher").symlink_to(folder / "teacher")
    return to


@pytest.mark.parametrize("metric", ["exact_match", "bits_per_byte"])
def test_prompts_alone_are_held_to_the_teachers_own_answers(
    metric: str, teacher_and_data: Path, tmp_path: Path
) -> None:
    """The planted data's answers are the teacher's own, so that nothing may change without them."""
    alone = without_answers(teacher_and_data, tmp_path / "alone")
    found = profile(alone, tmp_path / "out", metric=metric)
    given = profile(teacher_and_data, tmp_path / "given", metric=metric)
    assert found["key_layers"] == given["key_layers"] == [2]
    of_found, of_given = found["layers"]["2"], given["layers"]["2"]
    assert of_found["ablation_drop"] > 0.5
    assert of_found["tokens"] >= 0.9 * of_given["tokens"]
    if metric == "exact_match":
        assert found["ablation"]["whole"] == found["reconstruction"]["whole"] == 1.0
    else:  # its own likeliest words cost it less than blind guessing among 49 of them
        assert found["ablation"]["whole"] < found["ablation"]["without"]["2"]
        assert found["ablation"]["whole"] < 3


def test_what_would_come_after_a_stop_is_no_part_of_an_answer(
    teacher_and_data: Path, tmp_path: Path
) -> None:
    alone = without_answers(teacher_and_data, tmp_path / "alone", strings=[" "])
    profile(alone, tmp_path / "out", pilot_samples=5)
    whole = profile(teacher_and_data, tmp_path / "whole", pilot_samples=5)
    kept = [json.loads(line) for line in (tmp_path / "out" / "verify_outputs.jsonl").open()]
    # The space that stops it comes with the second word.
    assert max(len(row["answer"].split()) for row in kept) == 2
    assert (
        json.loads((tmp_path / "out" / "profile.json").read_text())["layers"]["2"]["tokens"]
        < (whole["layers"]["2"]["tokens"])
    )


def test_few_pilot_rows_are_refused(teacher_and_data: Path, tmp_path: Path) -> None:
    lines = (teacher_and_data / "pilot.jsonl").read_text().splitlines(keepends=True)
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "pilot.jsonl").write_text("".join(lines[:3]))
    (folder / "dataset.json").write_text((teacher_and_data / "dataset.json").read_text())
    (folder / "teacher").symlink_to(teacher_and_data / "teacher")
    with pytest.raises(ValueError, match="has 3 rows; a profile needs at least 5"):
        profile(folder, tmp_path / "out")
