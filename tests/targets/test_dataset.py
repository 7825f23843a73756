"""Data sets: what is read, what is dropped and why, and splits that never share a prompt."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.json_files import read_json, read_rows
from modalities.text.fields import MissingFieldError, answer_at, prompt_at, text_at, texts_at
from modalities.text.near_duplicates import WORD, near_duplicates
from modalities.text.row import Row, normal_form
from nexusbuild.digest.digests import files_below
from nexusbuild.plugins import Job
from samplers import functions, tool_calls
from targets.dataset.reading import data_files, records
from targets.dataset.splitting import Splits, split
from targets.dataset.work import build

SAMPLERS = {"functions": functions.build, "tool_calls": tool_calls.build}
SPLITS = ("train", "pilot", "validation", "eval")
SMALL = {"eval": 6, "validation": 4, "pilot": 3}

MakeDataset = Callable[..., Job]


@pytest.fixture
def make_dataset(make_job: Callable[..., Job]) -> MakeDataset:
    """Build a data set of these settings and sources; returns its finished job."""

    def make(settings: dict[str, Any], *sources: Path) -> Job:
        job = make_job("dataset:made", {**SMALL, **settings})
        named = {f"data{index}": path for index, path in enumerate(sources)}
        job = dataclasses.replace(job, sources=named)
        sampler = settings.get("sample")
        build(job) if sampler is None else SAMPLERS[sampler](job)
        return job

    return make


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def questions(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"question {n}", "response": f"answer {n}"} for n in range(count)]


def prompts(job: Job, name: str) -> list[str]:
    return [row["prompt"] for row in read_rows(job.out / f"{name}.jsonl")]


def test_a_sampled_data_set_has_its_counts_and_says_where_it_comes_from(
    make_dataset: MakeDataset,
) -> None:
    job = make_dataset({"sample": "functions", "rows": 200, "eval": 40, "licence": "MIT"})
    about = read_json(job.out / "about.json")
    described = read_json(job.out / "dataset.json")
    assert about["rows"] == {"train": 153, "pilot": 3, "validation": 4, "eval": 40}
    assert about["name"] == "made" and about["licence"] == "MIT"
    assert described["template"] == "{prompt}\n" and about["origin"] == {"sample": "functions"}
    rows = [row for name in SPLITS for row in read_rows(job.out / f"{name}.jsonl")]
    assert len({row["id"] for row in rows}) == 200
    assert all(len(row["tests"]) == 3 and row["structure"] for row in rows)
    assert any(row["held_out"] for row in read_rows(job.out / "eval.jsonl"))
    seen = [r for name in ("train", "validation") for r in read_rows(job.out / f"{name}.jsonl")]
    longest = max(len(row["answer"].encode()) for row in seen)
    assert described["stop"] == {"strings": [], "max_new_tokens": longest + 8}


def test_the_same_job_gives_the_same_bytes(make_dataset: MakeDataset) -> None:
    one, other = (make_dataset({"sample": "tool_calls", "rows": 60}) for _ in range(2))
    for file in sorted(one.out.iterdir()):
        assert file.read_bytes() == (other.out / file.name).read_bytes()


@pytest.mark.parametrize(
    "form",
    [
        "jsonl",
        "jsonl.gz",
        "json",
        "array.json",
        "csv",
        "tsv",
        "psv",
        "nameless",
        "parquet",
        "folder",
    ],
)
def test_every_format_gives_the_same_rows(
    form: str, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    rows = [{"prompt": f'say "{n}", ü', "response": f"a\nb, {n}"} for n in range(30)]
    plain = write_lines(tmp_path / "plain.jsonl", rows)
    path = tmp_path / f"rows.{form}"
    if form == "jsonl":
        path = write_lines(path, rows)
    elif form == "jsonl.gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    elif form == "nameless":
        path.write_bytes(plain.read_bytes())
    elif form == "array.json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif form == "parquet":
        arrow = pytest.importorskip("pyarrow", reason="pyarrow (extra `parquet`) is not installed")
        from pyarrow import parquet

        parquet.write_table(arrow.Table.from_pylist(rows), path)
    elif form == "json":
        path.write_text(json.dumps({"data": rows}), encoding="utf-8")
    elif form == "folder":
        (path / "deep").mkdir(parents=True)
        write_lines(path / "a.jsonl", rows[:10])
        write_lines(path / "deep" / "b.jsonl", rows[10:])
        (path / "README.md").write_text("not data", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            delimiter = {"csv": ",", "tsv": "\t", "psv": "|"}[form]
            writer = csv.DictWriter(file, ["prompt", "response"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    expected, job = make_dataset({}, plain), make_dataset({}, path)
    for name in SPLITS:
        lines = f"{name}.jsonl"
        assert (job.out / lines).read_bytes() == (expected.out / lines).read_bytes()


def test_fields_are_keys_paths_or_templates_and_values_become_compact_json() -> None:
    fields = {
        "question": "why?",
        "context": "because",
        "calls": [{"name": "x", "arguments": {"b": 1, "a": "ü"}}],
        "a.b": "flat",
        "tests": ["assert 1", "assert 2"],
        "code": "    return 1\r\n",
    }
    assert text_at(fields, "question") == "why?"
    assert text_at(fields, "{question} {context}") == "why? because"
    assert text_at(fields, "calls.0.arguments.a") == "ü"
    assert text_at(fields, "calls") == '[{"name":"x","arguments":{"b":1,"a":"ü"}}]'
    assert text_at(fields, "a.b") == "flat"
    assert text_at(fields, "code") == "    return 1"
    assert texts_at(fields, "tests") == ["assert 1", "assert 2"]
    assert texts_at(fields, "question") == ["why?"]
    with pytest.raises(MissingFieldError) as missing:
        text_at(fields, "questoin")
    assert "the nearest is 'question'" in missing.value.detail


@pytest.mark.parametrize("form", ["csv", "json"])
def test_columns_without_names_are_called_by_their_numbers(
    form: str, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    rows = [[f"What is {n}+1?", str(n + 1), "5000", "A"] for n in range(20)]
    path = tmp_path / f"quiz.{form}"
    lines = "".join(",".join(row) + "\n" for row in rows)
    path.write_text(lines if form == "csv" else json.dumps(rows), encoding="utf-8")
    job = make_dataset({"prompt": "{0} A: {1} B: {2}", "response": "3"}, path)
    read = [row for name in SPLITS for row in read_rows(job.out / f"{name}.jsonl")]
    assert len(read) == 20 and {row["answer"] for row in read} == {"A"}
    assert "What is 7+1? A: 8 B: 5000" in {row["prompt"] for row in read}
    message = "call them 0, 1, 2" if form == "csv" else r"quiz.json, row 1: a list"
    with pytest.raises(ValueError, match=message):
        make_dataset({}, path)


def test_conversations_are_split_before_the_last_answer() -> None:
    said = [
        {"role": "user", "content": " Add 2 and 3. "},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "And 4?"},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]},
    ]
    whole, first = {"messages": said}, {"chat": {"turns": said[:2]}}
    assert prompt_at(first, "chat.turns") == "Add 2 and 3."
    assert answer_at(first, "chat.turns") == "5"
    assert prompt_at(whole, "messages") == "user: Add 2 and 3.\nassistant: 5\nuser: And 4?"
    assert answer_at(whole, "messages") == '[{"name":"add"}]'
    assert answer_at({"messages": said[:1]}, "messages") == ""
    assert text_at(whole, "messages.-2.content") == "And 4?"
    with pytest.raises(MissingFieldError):
        text_at(whole, "messages.-5.content")


def near_rows() -> list[dict[str, str]]:
    texts = [" ".join(f"{letter}{n}" for letter in "abcdefghijkl") for n in range(40)]
    return [
        {"prompt": text, "response": str(number)}
        for number, text in enumerate([*texts, *(f"{text}, please!" for text in texts)])
    ]


def test_rows_almost_like_eval_are_reported_and_dropped_where_asked(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    path = write_lines(tmp_path / "rows.jsonl", near_rows())
    job = make_dataset({}, path)
    told = read_json(job.out / "about.json")["near_duplicates"]
    held_out = {tuple(prompt.split()[:3]) for prompt in prompts(job, "eval")}
    twins = [p for p in prompts(job, "train") if tuple(p.split()[:3]) in held_out]
    assert twins and told["rows"] == len(twins) and told["dropped"] == 0
    first = told["examples"][0]
    assert told["similarity"] == 0.8 and first["similarity"] == pytest.approx(10 / 11, abs=0.001)
    assert first["train"].split()[:3] == first["eval"].split()[:3]

    kept = make_dataset({"drop_similar": 0.9}, path)
    about = read_json(kept.out / "about.json")
    assert prompts(kept, "train") == [p for p in prompts(job, "train") if p not in twins]
    assert about["near_duplicates"]["dropped"] == len(twins)
    (dropped,) = about["dropped"]
    assert dropped["why"] == "90% like a prompt of eval" and dropped["count"] == len(twins)
    assert (
        make_dataset({"drop_similar": 0.95}, path).out.joinpath("train.jsonl").read_bytes()
        == (job.out / "train.jsonl").read_bytes()
    )


texts_of_few_words = st.lists(st.text(alphabet="ab 語", max_size=24), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(texts_of_few_words, texts_of_few_words, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_near_duplicates_are_those_of_comparing_all_with_all(
    train: list[str], held_out: list[str], least: float
) -> None:
    def pieces(text: str) -> set[str]:
        words = WORD.findall(normal_form(text))
        return {" ".join(words[n : n + 3]) for n in range(max(1, len(words) - 2))}

    def like(one: str, other: str) -> float:
        return len(pieces(one) & pieces(other)) / len(pieces(one) | pieces(other))

    best = {n: max(like(text, other) for other in held_out) for n, text in enumerate(train)}
    wanted = {n: value for n, value in best.items() if value >= least}
    assert {p.train: p.similarity for p in near_duplicates(train, held_out, least)} == wanted


def test_what_is_dropped_is_told_with_counts_and_places(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    odd = [
        {"prompt": " ", "response": "x"},
        {"prompt": "p", "response": ""},
        {"prompt": "question 1", "response": "answer 1"},
        {"prompt": "QUESTION  2", "response": "another"},
        {"prompt": "l" * 90, "response": "x"},
        {"prompt": "stopped", "response": "one STOP two"},
        {"question": "no prompt"},
    ]
    path = write_lines(tmp_path / "odd.jsonl", [*questions(20), *odd])
    job = make_dataset({"longest_row": 80, "stop": ["STOP"]}, path)
    about = read_json(job.out / "about.json")
    told = {row["why"]: (row["count"], row["examples"][0]) for row in about["dropped"]}
    assert told == {
        "empty prompt": (1, "odd.jsonl:21"),
        "empty answer": (1, "odd.jsonl:22"),
        "duplicate prompt": (1, "odd.jsonl:23"),
        "duplicate prompt with another answer": (1, "odd.jsonl:24"),
        "longer than 80 characters": (1, "odd.jsonl:25"),
        "the answer holds the stop text 'STOP'": (1, "odd.jsonl:26"),
        "no field 'prompt'": (1, "odd.jsonl:27: the row has 'question'"),
    }
    assert sum(about["rows"].values()) == 20
    assert about["origin"] == {"files": [{"name": "odd.jsonl", "rows": 27}]}


def test_rows_without_an_answer_pass_only_where_none_is_learned(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    told = [{"text": f"story {n}", "response": "x"} for n in range(3)]
    path = write_lines(tmp_path / "stories.jsonl", [{"text": f"tale {n}"} for n in range(20)])
    with pytest.raises(ValueError, match="20 no field 'response'"):
        make_dataset({"prompt": "text"}, path)
    free = {"prompt": "text", "answer_required": False, "max_new_tokens": 9}
    job = make_dataset(free, path, write_lines(tmp_path / "more.jsonl", told))
    rows = [row for name in SPLITS for row in read_rows(job.out / f"{name}.jsonl")]
    assert {row["prompt"]: row["answer"] for row in rows} == {
        **{f"tale {n}": "" for n in range(20)},
        **{f"story {n}": "x" for n in range(3)},
    }
    with pytest.raises(ValueError, match="set `max_new_tokens`"):
        make_dataset({**free, "max_new_tokens": None}, path)
    with pytest.raises(ValueError, match="20 no field 'reply'"):
        make_dataset({**free, "response": "reply"}, path)


def test_too_few_rows_are_an_error_that_says_what_to_do(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    path = write_lines(tmp_path / "few.jsonl", [*questions(13), *questions(2)])
    with pytest.raises(ValueError, match=r"13 rows usable.*eval 6 \+ validation 4.*2 duplicate"):
        make_dataset({}, path)
    with pytest.raises(ValueError, match="smaller splits"):
        make_dataset({"sample": "functions", "rows": 13})
    with pytest.raises(ValueError, match=r"no usable row.*the nearest is 'prompt'"):
        make_dataset({"prompt": "promt"}, path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.jsonl", '{"a": 1}\n{"a": \n', "x.jsonl:2:7: not JSON"),
        ("x.jsonl", "[1]\n", "x.jsonl:1: a list; a row must be an object"),
        ("x.json", '{"a": [1], "b": [2]}', "an object with 2 lists"),
        ("x.csv", "a,b\n1\n", "x.csv:2: not as many cells"),
        ("x.parquet", "?", "format is not known"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        [list(records(file)) for file in data_files(path)]


def test_json_lines_by_the_name_of_json_are_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.json", questions(3))
    assert [record.fields for record in records(path)] == questions(3)


rows_of_text = st.lists(
    st.text(alphabet="abcdé 1", min_size=1, max_size=6).filter(str.strip),
    min_size=14,
    max_size=60,
    unique_by=normal_form,
)


def cut(texts: list[str], seed: int) -> Splits:
    rows = [Row(text, "x", (), "") for text in texts]
    return split(rows, seed, held_out=4, validation=3, pilot=2, total=len(rows))


@settings(max_examples=60, deadline=None)
@given(rows_of_text, st.integers(0, 2**32))
def test_splits_are_exact_disjoint_and_complete(texts: list[str], seed: int) -> None:
    found = {name: [r.prompt for r in rows] for name, rows in cut(texts, seed).named().items()}
    assert [len(found[name]) for name in SPLITS[1:]] == [2, 3, 4]
    assert sorted(text for part in found.values() for text in part) == sorted(texts)
    shuffled = cut(texts[::-1], seed).named()
    assert {name: {r.prompt for r in rows} for name, rows in shuffled.items()} == {
        name: set(part) for name, part in found.items()
    }


@settings(max_examples=60, deadline=None)
@given(rows_of_text, st.integers(0, 2**32), st.integers(0, 60))
def test_an_added_row_moves_at_most_one_row_across_each_border_and_none_towards_eval(
    texts: list[str], seed: int, place: int
) -> None:
    def side(splits: Splits) -> dict[str, int]:
        return {
            row.prompt: number
            for number, rows in enumerate(splits.named().values())
            for row in rows
        }

    before = side(cut(texts, seed))
    after = side(cut([*texts[:place], "the added row", *texts[place:]], seed))
    moved = [(before[text], after[text]) for text in texts if before[text] != after[text]]
    assert len(moved) <= 3 and len(set(moved)) == len(moved)
    assert all(new == old - 1 for old, new in moved)  # train is 0, eval is 3


def test_a_row_more_in_the_file_leaves_the_others_where_they_were(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    path = write_lines(tmp_path / "rows.jsonl", questions(200))
    before = make_dataset({}, path)
    longer = tmp_path / "longer.jsonl"
    shutil.copy(path, longer)
    with longer.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"prompt": "added", "response": "x"}) + "\n")
    after = make_dataset({}, longer)
    moved = sum(len(set(prompts(before, n)) - set(prompts(after, n))) for n in SPLITS)
    assert moved <= 1
    assert "added" in [p for name in SPLITS for p in prompts(after, name)]


def test_a_folder_is_read_as_its_digest_sees_it(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / ".work" / "data", tmp_path / "elsewhere"
    for place in (folder / "sub", folder / ".cache", elsewhere):
        place.mkdir(parents=True)
    for place in (folder, folder / "sub", folder / ".cache", elsewhere):
        write_lines(place / "rows.jsonl", questions(1))
    write_lines(folder / ".rows.jsonl", questions(1))
    (folder / "linked").symlink_to(elsewhere)
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "twice").symlink_to(elsewhere)
    (folder / "gone.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    read = [file.relative_to(folder).as_posix() for file in data_files(folder)]
    assert read == ["linked/rows.jsonl", "rows.jsonl", "sub/rows.jsonl"]
    assert sorted(name for name, _ in files_below(str(folder))) == read
