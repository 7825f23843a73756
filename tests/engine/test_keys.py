"""Keys are the same for the same parts, however they are written, and differ for any other."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusbuild.digest.keys import canonical_json, key_of, own_digest, seed_of, tree_digest
from nexusbuild.errors import BuildError

texts = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    leaves.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
settings = st.dictionaries(texts, values, max_size=5)
digests = st.dictionaries(texts, texts, max_size=4)


def shuffled(value: Any, draw: random.Random) -> Any:
    """The same value with every dictionary written in another order."""
    if isinstance(value, dict):
        names = list(value)
        draw.shuffle(names)
        return {name: shuffled(value[name], draw) for name in names}
    if isinstance(value, list):
        return tuple(shuffled(item, draw) for item in value)
    return value


@given(values, st.randoms(use_true_random=False))
def test_canonical_json_knows_no_order_and_loses_nothing(value: Any, draw: random.Random) -> None:
    text = canonical_json(value)
    assert canonical_json(shuffled(value, draw)) == text
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(values, values)
def test_different_values_have_different_text(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_json(one) == canonical_json(other)) is same


@given(settings, digests, digests, st.randoms(use_true_random=False))
def test_keys_know_no_order(
    some: dict[str, Any],
    sources: dict[str, str],
    inputs: dict[str, str],
    draw: random.Random,
) -> None:
    own = own_digest("kind:name", some, sources, "code")
    assert own_digest("kind:name", shuffled(some, draw), shuffled(sources, draw), "code") == own
    assert key_of(own, shuffled(inputs, draw)) == key_of(own, inputs)


def test_every_part_counts() -> None:
    parts: list[tuple[Any, ...]] = [
        ("a", {}, {}, "c"),
        ("b", {}, {}, "c"),
        ("a", {"x": 1}, {}, "c"),
        ("a", {"x": 1.0}, {}, "c"),
        ("a", {"x": True}, {}, "c"),
        ("a", {"x": None}, {}, "c"),
        ("a", {}, {"x": "1"}, "c"),
        ("a", {}, {}, "d"),
    ]
    owns = {own_digest(*part) for part in parts}
    assert len(owns) == len(parts)
    assert len({key_of("o", {}), key_of("o", {"r": "1"}), key_of("o", {"s": "1"})}) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, {1: 2}, object(), b"x"])
def test_what_json_cannot_hold_is_named(bad: object) -> None:
    with pytest.raises(BuildError) as caught:
        own_digest("kind:name", {"train": {"deep": [bad]}}, {}, "")
    assert "train.deep[0]" in str(caught.value)
    assert caught.value.where == "kind:name"


def test_trees_know_no_order_and_no_concatenation() -> None:
    assert tree_digest([("a", "1"), ("b", "2")]) == tree_digest([("b", "2"), ("a", "1")])
    assert tree_digest([("a", "1b")]) != tree_digest([("a1", "b")])


def test_seeds_differ_by_target_and_by_the_specs_seed() -> None:
    assert seed_of(42, "a") != seed_of(42, "b") != seed_of(43, "b")
    assert 0 <= seed_of(42, "a") < 2**32


def test_what_is_composed_is_the_canonical_json() -> None:
    """Keys are written out piece by piece, for speed; every old key must stay what it was."""
    from nexusbuild.digest.keys import Canonical, sha256_text

    settings, sources = {"ü": [1, 1.0, {"b": None, "a": True}], "a": '\n"\\'}, {"é": "1", "a": "2"}
    assert own_digest('kind:ä"', settings, sources, "code") == sha256_text(
        canonical_json(["own", 1, 'kind:ä"', settings, sources, "code"])
    )
    known = Canonical(settings, canonical_json(settings))
    assert own_digest("k", known, {}, "") == own_digest("k", settings, {}, "")
    assert key_of("own", sources) == sha256_text(canonical_json(["key", "own", sources]))
    files = [("ü/b", "2"), ("a", "1")]
    assert tree_digest(files) == sha256_text(canonical_json(["tree", sorted(files)]))
    assert tree_digest([]) == sha256_text(canonical_json(["tree", []]))
