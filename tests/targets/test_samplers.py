"""Sampled rows: right answers worked out a second way, and splits that hold whatever the seed."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.example import Example
from modalities.text.code_tests.running import run_candidates
from modalities.text.row import is_eval_prompt, is_held_out, normal_form
from samplers import functions, plain_talk, queries, tool_calls, word_problems
from samplers.functions import draw as draw_function
from samplers.parts.sampling import Draw
from samplers.parts.sampling import sample as sample_of
from samplers.parts.stories import FAMILIES
from samplers.plain_talk import THINGS
from samplers.queries import TABLES
from samplers.tool_calls import TOOLS

SAMPLERS: dict[str, Draw] = {
    "functions": functions.draw,
    "plain_talk": plain_talk.draw,
    "queries": queries.draw,
    "tool_calls": tool_calls.draw,
    "word_problems": word_problems.draw,
}
NAMES = sorted(SAMPLERS)
LARGEST_FIRST = {table.name: [each.largest_first for each in table.numbers] for table in TABLES}
STEP = re.compile(r"(\d+)([-+*])(\d+)=(\d+)")


def sample(name: str, seed: int, rows: int, split: Literal["train", "eval"]) -> Iterator[Example]:
    return sample_of(name, SAMPLERS[name], seed, rows, split)


@pytest.fixture(scope="module")
def sampled() -> dict[str, tuple[list[Example], list[Example]]]:
    """sampler -> rows of train and of eval."""
    return {
        name: (list(sample(name, 1, 1500, "train")), list(sample(name, 1, 300, "eval")))
        for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(seeds=st.tuples(st.integers(0, 2**32), st.integers(0, 2**32)))
def test_train_and_eval_never_meet_whatever_the_seeds(name: str, seeds: tuple[int, int]) -> None:
    train = list(sample(name, seeds[0], 40, "train"))
    held = list(sample(name, seeds[1], 40, "eval"))
    assert not {normal_form(row.prompt) for row in train} & {normal_form(r.prompt) for r in held}
    assert not any(is_held_out(row.structure) for row in train)
    assert all(is_held_out(row.structure) or is_eval_prompt(row.prompt) for row in held)


@pytest.mark.parametrize("name", NAMES)
def test_a_longer_sample_begins_with_the_shorter_one(name: str) -> None:
    longer = list(sample(name, 3, 60, "train"))
    assert longer[:20] == list(sample(name, 3, 20, "train"))
    assert longer[:20] != list(sample(name, 4, 20, "train"))


@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_distinct_and_part_of_eval_has_unseen_structure(
    name: str, sampled: dict[str, tuple[list[Example], list[Example]]]
) -> None:
    train, held = sampled[name]
    for rows in (train, held):
        assert len({normal_form(row.prompt) for row in rows}) == len(rows)
    unseen = sum(is_held_out(row.structure) for row in held) / len(held)
    assert 0.12 < unseen < 0.3
    assert len({row.answer for row in train}) > len(train) / 3


@pytest.mark.parametrize("name", NAMES)
def test_there_are_far_more_prompts_than_anyone_could_memorise(name: str) -> None:
    # By the birthday bound, `draws` draws from a million alike meet about 7 times; common short
    # prompts come oftener than the others, so more than that is allowed, but not by much.
    draws, generator = 4000, random.Random(5)
    prompts = [SAMPLERS[name](generator).prompt for _ in range(draws)]
    met = draws - len(set(prompts))
    few = {"word_problems": 40, "plain_talk": 40}
    assert met < few.get(name, 400)


def test_word_problems_are_worked_out_right(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    work = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    for row in [*sampled["word_problems"][0], *sampled["word_problems"][1]]:
        steps, final = row.answer.split(" #### ")
        result = None
        for left, sign, right, written in STEP.findall(steps):
            assert result is None or int(left) == result
            result = work[sign](int(left), int(right))
            assert result == int(written) and 0 <= result <= 99
        assert int(final) == result
        assert len(row.answer) <= 40 and len(row.prompt) <= 150


def test_word_problems_tell_every_number_of_the_answer_but_results(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    for row in sampled["word_problems"][0]:
        told = re.findall(r"\d+", row.prompt)
        for index, (left, sign, right, _) in enumerate(STEP.findall(row.answer)):
            assert index > 0 or left in told or "times as old" in row.prompt
            assert sign == "*" or right in told


def test_tool_calls_are_json_of_known_tools_with_told_values(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    tools = {tool.name: tool for tool in TOOLS}
    for row in [*sampled["tool_calls"][0], *sampled["tool_calls"][1]]:
        call = json.loads(row.answer)
        tool = tools[call["name"]]
        assert set(call["arguments"]) <= set(tool.arguments)
        assert set(call["arguments"]) >= set(tool.arguments) - set(tool.optional)
        assert len(row.answer) <= 90
        for name, value in call["arguments"].items():
            if isinstance(value, str) and name not in ("time", "at", "arrive", "from"):
                assert value.casefold() in row.prompt.casefold() or tool.name == "convert"


def test_queries_run_and_hold_to_what_was_asked(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    base = sqlite3.connect(":memory:")
    for table in TABLES:
        columns = [column.name for column in (*table.texts, *table.numbers)]
        base.execute(f"CREATE TABLE {table.name} ({', '.join(columns)})")
    for row in [*sampled["queries"][0], *sampled["queries"][1]]:
        base.execute(row.answer)
        told = row.prompt.casefold()
        assert all(text.casefold() in told for text in re.findall(r"'(\w+)'", row.answer))
        # Each number of the query was said, and none that was said is missing.
        assert sorted(re.findall(r"\d+", row.answer)) == sorted(re.findall(r"\d+", row.prompt))
        asked = {"COUNT(": ("how many", "count", "number of"), "AVG(": ("average",)}
        for function, words in asked.items():
            assert (function in row.answer) == any(word in told for word in words)
        assert ("ORDER BY" in row.answer) == (" first" in told.replace("just the first", ""))
        name = re.findall(r"FROM (\w+)", row.answer)[0]
        assert ("DESC" in row.answer) == any(saying in told for saying in LARGEST_FIRST[name])


def test_verdicts_name_all_faults_and_nothing_else(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    blame = {
        (thing.kind, part, word)
        for thing in THINGS
        for part, (_, words) in thing.parts.items()
        for word in words
    }
    for row in [*sampled["plain_talk"][0], *sampled["plain_talk"][1]]:
        kind = re.findall(r"\w+", row.answer)[-1]
        noted = re.findall(r"(\w+) (\w+)(?=[,.])", row.prompt)
        faults = [(part, word) for part, word in noted if (kind, part, word) in blame]
        told = re.findall(r"(?:The|and the) (\w+) is (\w+)", row.answer)
        assert told == faults
        assert ("Leave" in row.answer) == (len(faults) >= 2)


def test_functions_pass_their_own_tests(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    rows = [*sampled["functions"][0][:250], *sampled["functions"][1][:150]]
    outcomes = run_candidates([(row.answer, list(row.tests)) for row in rows])
    assert set(outcomes) == {"passed"}
    assert all(len(row.tests) == len(set(row.tests)) == 3 for row in rows)
    assert all(len(row.answer) <= 80 for row in rows)


def test_the_tests_tell_a_function_from_others(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    rows = sampled["functions"][0][:300]
    # Every function meets the tests of another of the same arguments: hardly any may pass.
    pairs = [
        (one, other)
        for one, other in pairwise(rows)
        if one.answer.partition("\n")[0] == other.answer.partition("\n")[0]
        and one.answer != other.answer
    ]
    outcomes = run_candidates([(one.answer, list(other.tests)) for one, other in pairs])
    assert len(pairs) > 30
    assert outcomes.count("passed") <= len(pairs) * 0.03


def test_every_word_of_the_held_out_structures_is_seen_in_training(
    sampled: dict[str, tuple[list[Example], list[Example]]],
) -> None:
    """Held out are combinations, never a family, a tool, an operation or a phrasing itself."""
    train = sampled["word_problems"][0]
    assert {row.structure.partition(":")[0] for row in train} == {f.name for f in FAMILIES}
    for name in NAMES:
        seen = {part for row in sampled[name][0] for part in re.findall(r"\w+", row.structure)}
        wanted = {part for row in sampled[name][1] for part in re.findall(r"\w+", row.structure)}
        assert wanted <= seen, name


def test_a_sampler_that_has_no_more_rows_says_how_many_it_had() -> None:
    with pytest.raises(ValueError, match=r"sampler 'one' has no more than about \d train rows"):
        list(sample_of("one", lambda random: Example("only this", "yes", (), "x"), 1, 5, "train"))


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_a_drawn_function_depends_on_the_seed_alone(seed: int) -> None:
    assert draw_function(random.Random(seed)) == draw_function(random.Random(seed))
