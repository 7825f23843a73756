"""What files are and what they could teach: on real data, and on the shapes that people keep."""

import gzip
import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_data.findings import Finding, findings
from raw_data.formats import head_of
from raw_data.sorting import LEAST_CONFIDENCE

SHARED = Path(__file__).parents[3] / "shared" / "data"
TABLE = Path(__file__).with_name("right_folders.txt")


def right_answers() -> list[tuple[str, str]]:
    lines = [line.split() for line in TABLE.read_text(encoding="utf-8").splitlines()]
    return [(line[0], line[1]) for line in lines if line and line[0] != "#" and len(line) == 2]


def sorted_to(finding: Finding) -> str:
    sure = finding.capability is not None and finding.confidence >= LEAST_CONFIDENCE
    return str(finding.capability) if sure else "-"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets of ../shared are not here")
def test_real_data_is_sorted_right() -> None:
    wanted = right_answers()
    right: dict[str, bool] = {}
    for finding in findings(SHARED):
        name = finding.path.as_posix()
        answer = next((folder for pattern, folder in wanted if fnmatch(name, pattern)), None)
        assert answer is not None, f"the table says nothing of {name}"
        right[name] = sorted_to(finding) == answer
    wrong = [name for name, is_right in right.items() if not is_right]
    print(f"{len(right) - len(wrong)} of {len(right)} files are right; wrong: {wrong}")
    with_rows = {name: ok for name, ok in right.items() if not name.endswith((".png", ".wav"))}
    for part in (right, with_rows):
        assert sum(part.values()) >= 0.95 * len(part), wrong


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def chat(*turns: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    said = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"messages": said, **more}


SHARE_GPT = {
    "conversations": [
        {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"},
        {"from": "human", "value": "How are you?"}, {"from": "gpt", "value": "Well"},
    ]
}  # fmt: skip
FUNCTION = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
PASSAGE = "The ship sailed on through the night and nobody said a word about it. " * 80
FRENCH = {"translation": {"en": "good day", "fr": "bonjour"}}

SHAPES: list[tuple[str, str, str]] = [
    ("alpaca.json", json.dumps([{"instruction": "Name a colour", "input": "", "output": "x"}] * 3),
     "instruction-following"),
    ("share_gpt.json", json.dumps([SHARE_GPT] * 2), "dialogue"),
    ("chat.jsonl", lines(chat("Tell me a joke", "A horse walks into a bar.")),
     "instruction-following"),
    ("dpo.jsonl", lines({"prompt": "p", "chosen": "a", "rejected": "b"}), "preferences"),
    ("think.jsonl", lines(chat("2+2?", "<think>two and two</think>4")), "thinking"),
    ("reasoner.jsonl", lines({"prompt": "2+2?", "reasoning_content": "…", "content": "4"}),
     "thinking"),
    ("math.json", json.dumps({"version": 1, "data": [
        {"problem": "Solve x", "solution": "We see at once that x must be\n$\\boxed{3}$"}] * 2}),
     "reasoning"),
    ("xlam.jsonl", lines({"query": "rain?", "tools": json.dumps([FUNCTION]), "answers": "[]"}),
     "tools"),
    ("openai.jsonl", lines(chat("rain?", tools=[{"type": "function", "function": FUNCTION}])),
     "tools"),
    ("agent.jsonl", lines({"messages": [
        {"role": "user", "content": "rain?"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather"}}]},
        {"role": "tool", "content": "no"}, {"role": "tool", "content": "none"},
        {"role": "assistant", "content": "No rain."}]}), "agent"),
    ("fenced.jsonl", lines(chat("Write a loop", "Here:\n```python\nfor x in y:\n    pass\n```")),
     "code"),
    ("codes.csv", "text,code\n" + '"adds","def f(a, b):\n    return a + b"\n' * 4, "code"),
    ("squad.json", json.dumps({"data": [
        {"question": "Who?", "context": "It was Ann.", "answers": {"text": ["Ann"]}}] * 3}),
     "question-answering"),
    ("long.jsonl", lines({"input": "Who slept?", "context": PASSAGE, "answers": ["Ann"]}),
     "long-context"),
    ("books.jsonl", lines({"text": PASSAGE, "title": "The ship"}), "text"),
    ("rows.txt", "what is up?|the sky\nwhat is down?|the sea\n" * 3, "question-answering"),
    ("quiz.csv", "Which is it?,a thing,a place,a name,B\nAnd then this?,1,2,3,A\n" * 3,
     "question-answering"),
    ("faq.tsv", "Question\tAnswer\n" + "Why?\tBecause it is.\n" * 4, "question-answering"),
    ("opus.jsonl", lines(FRENCH, FRENCH), "translation"),
    ("moods.csv", "text,emotion\n" + '"I am, well",joy\n' * 4, "emotion"),
    ("topics.csv", "text,label\n" + "stocks fell,business\n" * 4, "classification"),
    ("news.jsonl", lines({"article": PASSAGE, "highlights": "A ship sailed."}), "summarisation"),
    ("call.txt", "Ann: Hello.\nBob: Hi, Ann.\nAnn: Any news?\nBob: None at all.\n", "dialogue"),
    ("meeting.txt", "[00:01] Ann: Shall we?\n[00:04] Bob: Yes.\n[00:09] Ann: Good.\n"
     "[00:12] Bob: Then go.\n", "dialogue"),
    ("speech.jsonl", lines(*({"audio_filepath": f"clips/{n}.flac", "text": "hello"}
                             for n in range(3))), "asr"),
    ("pictures.csv", "file_name,prompt\n" + "a.png,a red cat\n" * 4, "decoders/image"),
    ("films.jsonl", lines({"video": "a.mp4", "question": "What falls?", "answer": "snow"}),
     "video-understanding"),
    ("prices.csv", "day,price\n1,2.5\n2,2.6\n3,2.7\n", "-"),
    ("settings.json", json.dumps({"depth": 3, "name": "x"}), "-"),
    ("notes.txt", "Buy milk. Then call Ann.\n", "-"),
    ("prose.txt", "First, we sat.\nThen, we ate.\nLast, we left.\n" * 3, "-"),
    ("nothing.jsonl", "", "-"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "folder"), SHAPES, ids=[shape[0] for shape in SHAPES])
@pytest.mark.parametrize("disguise", ["plain", "no suffix", "gzip"])
def test_a_shape_is_known_whatever_the_file_is_called(
    name: str, text: str, folder: str, disguise: str, tmp_path: Path
) -> None:
    content = text.encode()
    if disguise == "gzip":
        content = gzip.compress(content)
    (tmp_path / (name if disguise == "plain" else "data")).write_bytes(content)
    (found,) = findings(tmp_path)
    assert sorted_to(found) == folder, found


def test_parquet_is_read_where_pyarrow_is(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow (the extra `parquet`) is not installed")
    from pyarrow import parquet

    rows = [chat(f"What is {n}+1?", f"<think>count</think>{n + 1}") for n in range(5)]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "data")
    (found,) = findings(tmp_path)
    assert (found.kind, sorted_to(found)) == ("parquet", "thinking")
    assert head_of(tmp_path / "data").rows == rows


def test_parquet_without_a_reader_stays_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "data.parquet").write_bytes(b"PAR1 and more")
    (found,) = findings(tmp_path)
    assert found.capability is None
    assert "pip install 'nexus-distill[parquet]'" in found.reason


def test_what_cannot_be_used_stays_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 9000)[:-9])
    (tmp_path / "old.txt").write_bytes("öffentlich".encode("utf-16"))
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    (tmp_path / "latin.tsv").write_bytes("frage\tantwort\nöl\tja\n".encode("latin-1"))
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "all.zip").write_bytes(b"PK\x03\x04 ...")
    (tmp_path / "link.jsonl").symlink_to("noise")
    (tmp_path / "prepare.py").write_text("import json\n" * 99, encoding="utf-8")
    model = tmp_path / "tiny"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (model / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    reasons = {one.path.as_posix(): one.reason for one in findings(tmp_path)}
    assert {one.capability for one in findings(tmp_path)} == {None}
    assert "not a whole gzip file" in reasons["cut.gz"]
    assert reasons["old.txt"] == "UTF-16 text; save it as UTF-8"
    assert reasons["noise"] == "not text" and "unpack" in reasons["all.zip"]
    assert reasons["latin.tsv"] == "not UTF-8; if it is text, save it as UTF-8"
    assert reasons["deep.json"] == "array: no rows in it"
    assert reasons["pipe"] == "a pipe, a socket or a device; not a file"
    assert "a link" in reasons["link.jsonl"] and "a program" in reasons["prepare.py"]
    assert "part of the model tiny" in reasons["tiny/config.json"]


def test_one_folder_that_cannot_be_read_keeps_none_from_being_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "rows.jsonl").write_text(lines({"text": "a"}) * 3, encoding="utf-8")
    real = os.scandir

    def scandir(folder: Any) -> Any:
        if Path(folder).name == "lost+found":
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    closed, rows = findings(tmp_path)
    assert (closed.path.name, closed.capability) == ("lost+found", None)
    assert closed.reason == "cannot be read: Permission denied"
    assert rows.capability == "text"
    with pytest.raises(PermissionError):
        findings(tmp_path / "lost+found")


def test_numbers_alone_go_with_nothing(tmp_path: Path) -> None:
    """In every file there are numbers: they are no list of labels."""
    asked = [{"question": f"Who is {n}?", "answer": "1", "place": str(n)} for n in range(9)]
    (tmp_path / "rows.jsonl").write_text(lines(*asked), encoding="utf-8")
    (tmp_path / "numbers.jsonl").write_text("1\n2\n3\n", encoding="utf-8")
    numbers, rows = findings(tmp_path)
    assert (sorted_to(numbers), sorted_to(rows)) == ("-", "question-answering"), numbers


def test_media_go_with_the_manifest_that_names_them(tmp_path: Path) -> None:
    wave = b"RIFF\x24\0\0\0WAVEfmt "
    for name in ("speech/clips/a.wav", "speech/clips/b.wav", "noises/c.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(wave)
    rows = [{"path": f"clips/{name}.wav", "sentence": "hello"} for name in "ab"]
    (tmp_path / "speech" / "train.tsv").write_text(
        "path\tsentence\n" + "".join(f"{r['path']}\t{r['sentence']}\n" for r in rows * 2),
        encoding="utf-8",
    )
    found = {one.path.as_posix(): one.capability for one in findings(tmp_path)}
    assert found == {
        "noises/c.wav": "encoders/audio",
        "speech/clips/a.wav": "asr",
        "speech/clips/b.wav": "asr",
        "speech/train.tsv": "asr",
    }


def test_rows_longer_than_the_first_look_are_read(tmp_path: Path) -> None:
    row = chat("Read this: " + "word " * 40_000, "<think>so</think>Done.")
    (tmp_path / "long.jsonl").write_text(lines(row, row), encoding="utf-8")
    (tmp_path / "long.json").write_text(json.dumps([row, row], indent=1), encoding="utf-8")
    assert [sorted_to(one) for one in findings(tmp_path)] == ["thinking", "thinking"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["messages", "tools", "role", "content", "translation", "text", "0"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
table_like = st.text(alphabet='a1,|\t"\n {}[]:', max_size=80)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=200)
    | table_like.map(str.encode)
    | st.lists(json_values, max_size=5).map(lambda rows: lines(*rows).encode())
    | json_values.map(lambda value: json.dumps(value).encode()),
    st.booleans(),
    st.integers(0, 200),
)
def test_no_content_is_too_odd_to_be_looked_at(
    tmp_path: Path, content: bytes, packed: bool, cut: int
) -> None:
    (tmp_path / "odd").write_bytes(gzip.compress(content)[:cut] if packed else content)
    (found,) = findings(tmp_path)
    assert found.reason and 0 <= found.confidence <= 1


def test_a_nest_of_brackets_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 60_000, encoding="utf-8")
    (tmp_path / "deeper.jsonl").write_text('{"a":' * 30_000, encoding="utf-8")
    assert [sorted_to(one) for one in findings(tmp_path)] == ["-", "-"]
