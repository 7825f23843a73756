"""Whatever is done to a spec, there are problems to read, and never a traceback."""

import contextlib
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from nexusbuild.plugins import ResolveError
from targets.budget.report import Limits, budget_of, misfits
from tests.specs.small_spec import SMALL

PIECES = [
    "{", "}", "[", "]", ":", "-", "#", "&a", "*a", "<<", "!!str", "!x", "|", ">", "?", "%", "@",
    '"', "'", "\t", "\r", "\n", "  ", "null", "~", "yes", "1e999", "-0", ".nan", "9" * 50, "\x00",
    "\ufeff", "\u2028", "é", "自", "\U0001f600", "<<: *a", "auto", "scratch", "train", "isolated",
]  # fmt: skip
LINES = SMALL.splitlines(keepends=True)


def read(text: str) -> None:
    try:
        spec = specs.load_text(text)
    except specs.SpecError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert str(problem)
    else:
        assert isinstance(spec, specs.Spec)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_characters(data: st.DataObject) -> None:
    text = SMALL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        piece = data.draw(st.sampled_from(PIECES) | st.text(max_size=3))
        text = text[:start] + piece + text[end:]
    read(text)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_lines(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["drop", "double", "swap", "indent"]))
        at = data.draw(st.integers(0, len(lines) - 1))
        if kind == "drop":
            del lines[at]
        elif kind == "double":
            lines.insert(at, lines[at])
        elif kind == "swap":
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = data.draw(st.sampled_from(["  ", " ", "    "])) + lines[at]
    read("".join(lines))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["reasoning", "tools", "sums", "scholar", "auto", "nf4", "16GB"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "train", "path", "dataset", "metric", "allow", "init"])
            | st.text(max_size=4),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_values(data: st.DataObject) -> None:
    """Any value in any place."""
    import yaml

    spec = yaml.safe_load(SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        holder = spec
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not places:
                break
            place = data.draw(st.sampled_from(places))
            if isinstance(holder[place], dict | list) and data.draw(st.booleans()):
                holder = holder[place]
                continue
            holder[place] = data.draw(VALUES)
            break
    read(json.dumps(spec, ensure_ascii=False))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_loads_resolves_and_is_estimated(data: st.DataObject) -> None:
    """Any value in the place of a value: beyond the spec there are problems, no traceback."""
    import yaml

    omni = Path(specs.__file__).parents[1] / "examples" / "omni" / "nexus.yaml"
    spec = yaml.safe_load(data.draw(st.sampled_from([SMALL, omni.read_text(encoding="utf-8")])))
    kinds = ("student", "datasets", "teachers", "capabilities", "hardware", "bundle", "contracts")
    for _ in range(data.draw(st.integers(1, 3))):
        holder, place = spec, data.draw(st.sampled_from([kind for kind in kinds if kind in spec]))
        while isinstance(holder[place], dict | list) and holder[place]:
            holder = holder[place]
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            place = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()) and isinstance(holder, dict):
            del holder[place]
        else:
            usual = st.sampled_from([1, 2, 64, 10**6, "auto", "1GB", "nf4", "features", "sums"])
            holder[place] = data.draw(usual)
    text = json.dumps(spec)
    try:
        found = specs.load_text(text)
    except specs.SpecError:
        return
    path = omni.with_name("mutated.yaml")
    with contextlib.suppress(ResolveError):
        budget = budget_of(found, path, {}, Limits(2**34, 2**34, 2**34))
        assert all(each.seconds >= 0 and each.disk >= 0 for each in budget.estimates)
        assert misfits(budget) is not None


def test_depth_and_aliases_that_explode() -> None:
    read("[" * 5000)
    read("{a: " * 3000)
    read("\n".join([f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else ['x'] * 9)}]"
                    for n in range(9)]))  # fmt: skip
    read("a: &a {<<: *a}\n")
    read("a: " + "9" * 6000)
