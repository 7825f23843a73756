"""The router: it tells capabilities apart, abstains, and is the same every time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nexus.packing import load_backbone
from nexus.router import ROUTER_JSON, ROUTER_WEIGHTS, Router, input_embedding
from nexusbuild.digest.fingerprint import CodeFingerprints
from nexusbuild.digest.statcache import StatCache
from nexusbuild.plugins import Job
from targets.router.settings import Settings
from targets.router.surprise import LEAST_SPREAD, surprise_table
from targets.router.training import fitted_router, nearest_distances
from targets.router.work import build

pytestmark = pytest.mark.arithmetic


@pytest.fixture
def router(
    packed_router: Path, packed_backbones: dict[str, Path], student_tokenizer: Path
) -> Router:
    return Router.load(packed_router, packed_backbones["int8"], student_tokenizer)


@pytest.fixture
def embedding(packed_router: Path, packed_backbones: dict[str, Path]) -> torch.Tensor:
    about = json.loads((packed_router / ROUTER_JSON).read_text(encoding="utf-8"))
    return input_embedding(packed_backbones["int8"], about["embedding"])


def test_held_out_prompts_find_their_capability(router: Router, datasets: dict[str, Path]) -> None:
    for capability in ("sums", "calls"):
        text = (datasets[capability] / "eval.jsonl").read_text(encoding="utf-8")
        prompts = [json.loads(line)["prompt"] for line in text.splitlines()]
        chosen = [route.capability for route in router.route(prompts)]
        assert chosen.count(capability) >= 0.95 * len(prompts)


def test_what_is_unlike_everything_is_left_to_the_backbone(router: Router) -> None:
    (route,) = router.route(["今天天气很好 ♜♜♜ \u0000\u0001"])
    assert route.capability is None
    assert route.distance > 1
    assert sum(route.probabilities.values()) == pytest.approx(1)


def test_gibberish_is_left_to_the_backbone_however_long(
    router: Router, packed_router: Path, embedding: torch.Tensor
) -> None:
    """The mean of many embeddings is near a centroid, whatever they are: the tokens tell."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(embedding), (20, 60), generator=generator).tolist()
    assert all(router._route(ids).capability is None for ids in draws)
    without = load_file(packed_router / ROUTER_WEIGHTS)
    del without["surprise"]
    about = json.loads((packed_router / ROUTER_JSON).read_text(encoding="utf-8"))
    before = Router(about, without, embedding, router._tokens)
    assert any(before._route(ids).capability for ids in draws)


def test_surprise_is_counted_and_calibrated_by_capability() -> None:
    train = [[[0, 0, 1], [0]], [[2, 2]]]
    held_out = [[[0], [0, 1], []], [[2], [3]]]
    settings = Settings(abstain_quantile=1.0, surprise_margin=2.0)
    table = surprise_table(train, held_out, 4, settings)
    nats = -np.log(np.array([[3.5, 1.5, 0.5, 0.5], [0.5, 0.5, 2.5, 0.5]]) / [[6.0], [4.0]])
    for own, known, prompts in zip(table, nats, held_out, strict=True):
        means = [known[ids].mean() for ids in prompts if ids]
        unit = 2 * max(max(means) - np.mean(means), LEAST_SPREAD)
        assert own == pytest.approx((known - np.mean(means)) / unit)


def test_no_text_is_no_crash(router: Router) -> None:
    assert router.route([""])[0].probabilities.keys() == {"sums", "calls"}


def test_a_prompt_is_routed_alike_alone_and_among_others(router: Router) -> None:
    prompts = ["add three", "call a tool", "book the flight", "count apples"]
    together = router.route(prompts)
    assert together == [router.route([prompt])[0] for prompt in prompts]


def test_equal_probabilities_are_decided_by_name(
    router: Router, packed_router: Path, embedding: torch.Tensor
) -> None:
    tensors = load_file(packed_router / ROUTER_WEIGHTS)
    tensors["weight"].zero_()
    tensors["bias"].zero_()
    about = json.loads((packed_router / ROUTER_JSON).read_text(encoding="utf-8"))
    about["capabilities"].reverse()
    for name in ("centroids", "surprise"):
        tensors[name] = tensors[name].flip(0)
    for names in (about["capabilities"], sorted(about["capabilities"])):
        equal = Router({**about, "capabilities": names}, tensors, embedding, router._tokens)
        (route,) = equal.route(["add three"])
        assert route.capability == "calls"
        assert set(route.probabilities.values()) == {0.5}


def test_the_embedding_is_the_one_that_the_model_computes_with(
    packed_backbones: dict[str, Path],
) -> None:
    for directory in packed_backbones.values():
        table = input_embedding(directory, "model.embed_tokens.weight")
        assert torch.equal(table, load_backbone(directory).get_input_embeddings().weight)


def test_training_twice_gives_the_same_bytes(
    make_job: Callable[..., Job],
    packed_backbones: dict[str, Path],
    student_tokenizer: Path,
    datasets: dict[str, Path],
) -> None:
    inputs = {"backbone": packed_backbones["none"], "tokenizer": student_tokenizer}
    for capability in datasets:
        inputs[f"train/{capability}"] = datasets[capability] / "train.jsonl"
        inputs[f"validation/{capability}"] = datasets[capability] / "validation.jsonl"
    outputs = []
    for _ in range(2):
        job = make_job("router", inputs=inputs)
        build(job)
        outputs.append([path.read_bytes() for path in sorted(job.out.iterdir())])
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0][0])["capabilities"] == ["calls", "private", "sums"]


def test_the_fit_is_what_its_formulas_say() -> None:
    draw = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    labels = np.repeat([0, 1, 2], 400)
    train = centres[labels] + draw.normal(size=(1200, 3)) * [0.5, 1.0, 2.0]
    fitted = fitted_router(train, labels, train, labels, Settings(abstain_margin=1.0))
    # Under the true covariance the squared distance to one's own centre is chi-squared, mean 3.
    own = ((train - centres[labels]) @ fitted.whitening) ** 2
    assert own.sum(axis=1).mean() == pytest.approx(3, abs=0.3)
    nearest = nearest_distances(train, fitted.centroids, fitted.whitening)
    assert (nearest <= fitted.abstain_distance).mean() == pytest.approx(0.99, abs=0.002)
    logits = (train @ fitted.weight.T + fitted.bias) / fitted.temperature
    likelihoods = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confidence, right = likelihoods.max(axis=1), likelihoods.argmax(axis=1) == labels
    assert confidence.mean() == pytest.approx(right.mean(), abs=0.02), "calibrated"


def test_one_capability_needs_no_head() -> None:
    features = np.random.default_rng(0).normal(size=(50, 4))
    labels = np.zeros(50, dtype=np.int64)
    fitted = fitted_router(features, labels, features, labels, Settings())
    assert fitted.weight.shape == (1, 4)
    assert fitted.temperature == 1.0


def test_nothing_to_route_to_is_said(
    make_job: Callable[..., Job], packed_backbones: dict[str, Path], student_tokenizer: Path
) -> None:
    job = make_job("router", backbone=packed_backbones["none"], tokenizer=student_tokenizer)
    with pytest.raises(ValueError, match="no capability to route to"):
        build(job)


def test_an_edit_of_packing_leaves_the_router_be() -> None:
    modules = CodeFingerprints(StatCache(None)).of("targets.router.work:build").modules
    assert "targets.pack.layout" in modules
    assert "targets.pack.work" not in modules
