"""The student's shape from profiles whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusbuild.plugins import Job
from targets.architecture.capacity import redistribute, student_layer
from targets.architecture.profiles import Subspace
from targets.architecture.union import canonical_correlations, is_nested, union_rank
from targets.architecture.work import build_adapter, build_backbone

MakeJob = Callable[..., Job]


def subspace(width: int, channels: range, explained: float = 1.0) -> Subspace:
    """A subspace spanned by whole channels, all of the same variance."""
    basis = np.eye(width)[:, list(channels)]
    return Subspace(basis, np.zeros(width), np.ones(len(channels)), explained, explained, 0)


def write_profile(
    folder: Path,
    rises: list[float],
    ranks: Mapping[int, int],
    width: int = 192,
    first_channel: int = 0,
) -> Path:
    """A profile on disk whose subspaces are spanned by `rank` channels from the first."""
    folder.mkdir(parents=True)
    layers = {}
    for layer, rank in ranks.items():
        columns = range(first_channel, first_channel + rank)
        np.savez(
            folder / f"layer_{layer}_basis.npz",
            basis=np.eye(width)[:, list(columns)].astype(np.float16),
            mean=np.zeros(width, np.float32),
            singular_values=np.ones(rank, np.float32),
            deviations=np.ones(rank, np.float32),
        )
        layers[str(layer)] = {"k": rank, "explained_variance": 0.97, "massive_channels": []}
    summary = {
        "profile": f"t/{folder.name}",
        "hidden_size": width,
        "num_layers": len(rises),
        "key_layers": sorted(ranks),
        "layers": layers,
        "ablation": {"nll_rise": rises, "nll": 0.1},
        "reconstruction": {"explained_variance": 0.97},
    }
    (folder / "profile.json").write_text(json.dumps(summary))
    return folder


def teacher_file(folder: Path, name: str, width: int) -> Path:
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"id": name, "hidden_size": width, "layers": 4, "heads": 4}))
    return file


AUTO = {"family": "llama", "hidden": "auto", "layers": "auto", "heads": "auto", "seed": 42}


def backbone(make_job: MakeJob, plan: Mapping[str, object], inputs: Mapping[str, Path]) -> dict:
    job = make_job("architecture:backbone", plan, inputs=inputs)
    build_backbone(job)
    return json.loads((job.out / "backbone.json").read_text())


def test_the_union_of_equal_subspaces_is_one_and_of_disjoint_ones_the_sum() -> None:
    one, same, other = (
        subspace(20, range(6)),
        subspace(20, range(6)),
        subspace(20, range(6, 11)),
    )
    assert union_rank([one]) == 6
    assert union_rank([one, same]) == 6
    assert union_rank([one, other]) == 11
    assert canonical_correlations(one, same) == pytest.approx(np.ones(6))
    assert canonical_correlations(one, other) == pytest.approx(np.zeros(5))
    assert is_nested(one, same)
    assert not is_nested(one, other)


def test_a_massive_channel_does_not_hide_the_others() -> None:
    basis = np.eye(10)[:, :5]
    loud = Subspace(basis, np.zeros(10), np.array([1e5, 1, 1, 1, 1]), 1.0, 1.0, massive=1)
    assert union_rank([loud]) == 5


def test_the_backbone_is_as_wide_as_the_profiles_need(make_job: MakeJob, tmp_path: Path) -> None:
    inputs = {
        "profile/wide/reasoning": write_profile(
            tmp_path / "reasoning", [0.5, 1.0, 0.001, 0.4], {1: 70, 3: 40}
        ),
        "profile/wide/tools": write_profile(
            tmp_path / "tools", [1.0, 0.2, 0.3, 0.0], {1: 10}, first_channel=65
        ),
        "profile/small/code": write_profile(tmp_path / "code", [1.0, 2.0], {0: 20}, width=64),
        "teacher/wide": teacher_file(tmp_path, "wide", 192),
        "teacher/small": teacher_file(tmp_path, "small", 64),
    }
    plan = backbone(make_job, AUTO, inputs)
    # 70 channels of one capability and 5 more of the other, up to a multiple of 64.
    assert plan["teachers"]["wide"] == {"1": 75, "3": 40}
    assert plan["hidden_size"] == 128
    assert plan["layers"] == 3
    assert plan["hidden_size"] % plan["heads"] == 0
    assert plan["intermediate_size"] == 384
    assert plan["kv_heads"] == plan["heads"] == 4
    assert plan["family"] == "llama"
    assert set(plan["why"]) == {"hidden_size", "layers", "heads", "intermediate_size"}
    assert "wide" in plan["why"]["hidden_size"]
    (shared,) = plan["shared_subspaces"]
    assert shared["layer"] == 1
    assert shared["mean_squared"] == pytest.approx(0.5)
    assert not shared["nested"]


def test_the_backbone_is_never_wider_than_the_widest_teacher(
    make_job: MakeJob, tmp_path: Path
) -> None:
    inputs = {
        "profile/t/x": write_profile(tmp_path / "x", [1.0], {0: 100}, width=100),
        "teacher/t": teacher_file(tmp_path, "t", 100),
    }
    assert backbone(make_job, AUTO, inputs)["hidden_size"] == 128


def test_sizes_that_are_given_are_taken(make_job: MakeJob, tmp_path: Path) -> None:
    inputs = {
        "profile/t/x": write_profile(tmp_path / "x", [1.0, 1.0], {0: 10}),
        "teacher/t": teacher_file(tmp_path, "t", 192),
    }
    given = {"hidden": 96, "layers": 7, "heads": 3, "intermediate": 100, "family": "qwen3"}
    plan = backbone(make_job, given, inputs)
    assert (plan["hidden_size"], plan["layers"], plan["heads"]) == (96, 7, 3)
    assert plan["intermediate_size"] == 100
    assert plan["why"]["layers"] == "student.backbone.layers says so"
    with pytest.raises(ValueError, match="5 heads do not divide the width 96"):
        backbone(make_job, {**given, "heads": 5}, inputs)
    with pytest.raises(ValueError, match=r"96 is no multiple of 64.*take 128"):
        backbone(make_job, {**given, "quantize": "nf4"}, inputs)


def planned(make_job: MakeJob, cap: int, inputs: Mapping[str, Path]) -> Job:
    job = make_job("architecture:x", {"rank": cap, "seed": 42}, inputs=inputs)
    build_adapter(job)
    return job


@pytest.fixture
def student(tmp_path: Path) -> Path:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "backbone.json").write_text(json.dumps({"hidden_size": 128, "layers": 4}))
    return folder


def test_ranks_follow_the_dimensions_under_the_cap(
    make_job: MakeJob, tmp_path: Path, student: Path
) -> None:
    profile = write_profile(tmp_path / "x", [0.0, 3.0, 0.0, 1.0], {1: 100, 3: 20})
    job = planned(make_job, 64, {"profile/t": profile, "backbone": student})

    adapter = json.loads((job.out / "adapter.json").read_text())
    plan = json.loads((job.out / "adapter_capacity_plan.json").read_text())
    dimensions = [plan["layers"][str(layer)]["intrinsic_dimension"] for layer in range(4)]
    assert dimensions == [100, 100, 60, 20]
    # 36 + 36 dimensions above the cap; layer 2 takes 4 of them, layer 3 as many as it can.
    assert plan["above_the_cap"] == 72
    assert plan["redistributed"] == 48
    assert adapter["ranks"] == {"0": 64, "1": 64, "2": 64, "3": 64}
    assert adapter["rank"] == 64

    roomy = planned(make_job, 128, {"profile/t": profile, "backbone": student})
    assert json.loads((roomy.out / "adapter.json").read_text()) == {
        "rank": 100,
        "ranks": {"0": 100, "1": 100, "2": 60, "3": 20},
    }


def test_protected_subspaces_are_kept_with_their_bases(
    make_job: MakeJob, tmp_path: Path, student: Path
) -> None:
    inputs = {
        "profile/first": write_profile(tmp_path / "x", [1.0] * 8, {5: 12}),
        "profile/second": write_profile(tmp_path / "y", [1.0] * 2, {1: 30}, width=64),
        "backbone": student,
    }
    job = planned(make_job, 64, inputs)
    described = json.loads((job.out / "protected_subspaces.json").read_text())["teachers"]
    arrays = np.load(job.out / "protected_subspaces.npz")
    assert described["first"]["layers"]["5"]["student_layer"] == 2
    assert described["second"]["layers"]["1"]["student_layer"] == 3
    assert described["first"]["layers"]["5"]["importance"] == pytest.approx(1 / 8)
    for teacher, width, layer, k in (("first", 192, "5", 12), ("second", 64, "1", 30)):
        names = described[teacher]["layers"][layer]
        assert names["k"] == k
        assert arrays[names["basis"]].shape == (width, k)
        assert arrays[names["mean"]].shape == (width,)
        assert arrays[names["deviations"]].shape == (k,)
    # Both teachers must fit, so the larger dimension counts everywhere.
    ranks = json.loads((job.out / "adapter.json").read_text())["ranks"]
    assert set(ranks.values()) == {30}


@given(
    needed=st.lists(st.integers(1, 200), min_size=1, max_size=12),
    cap=st.integers(1, 128),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_redistribution_keeps_its_budget(needed: list[int], cap: int, seed: int) -> None:
    wanted = np.array(needed)
    importance = np.random.default_rng(seed).random(len(needed))
    base = np.minimum(wanted, cap)
    ranks, given_away = redistribute(base, wanted, importance / importance.sum(), cap)
    assert (ranks >= base).all()
    assert (ranks <= cap).all()
    assert given_away == ranks.sum() - base.sum()
    # All is handed on, or all are full.
    assert ranks.sum() == wanted.sum() or (ranks == cap).all()


@given(teacher=st.integers(1, 80), student_layers=st.integers(1, 40))
def test_layers_are_mapped_in_order_and_last_to_last(teacher: int, student_layers: int) -> None:
    mapped = [student_layer(layer, teacher, student_layers) for layer in range(teacher)]
    assert mapped == sorted(mapped)
    assert mapped[-1] == student_layers - 1
    assert all(0 <= layer < student_layers for layer in mapped)


def test_an_adapter_without_profiles_is_refused(make_job: MakeJob, student: Path) -> None:
    with pytest.raises(ValueError, match="no profile of any teacher"):
        planned(make_job, 64, {"backbone": student})
