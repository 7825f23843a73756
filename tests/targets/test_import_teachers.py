"""Tables of teachers become entries: every teacher once, and what is not known is asked for."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from nexusbuild.plugins import ResolveError
from opened_models.model_folder import model_folder
from specs.document import parse_document
from targets.commands import check, import_teachers
from targets.commands.known_capabilities import BY_NAME, KNOWN, told_capabilities
from targets.commands.named_model import named_model
from targets.commands.teacher_table import (
    TableError,
    parameter_count,
    read_teachers,
    written_count,
)
from targets.resolver import resolve
from tests.targets.test_domain_commands import TINY, ran

HEADER = "ModelName,Parameters,Category,BestFeature"
OMNI = """\
AgentCPM-Explore,4B,Agent,"Tool use, over 100 turns"
gemma-scope-2-27b-pt,27B,Interpretability,Sparse autoencoders
translategemma-4b-it,4b,Translation,Translates 55 languages
Step3-VL-10B,10B,Vision-Language,Visual question answering
VibeVoice-ASR,,ASR,"Long-form audio, who spoke when"
personaplex-7b-v1,7B,Speech-to-Speech,Full-duplex conversation
GLM-4.7-Flash,30B-A3B,Language,"Reasoning, coding and long context"
parakeet-tdt-0.6b-v3,0.6b,ASR,Fast transcription
Qwen3-TTS-12Hz-1.7B-CustomVoice,1.7B,TTS,Custom voices
Qwen3-TTS-12Hz-1.7B-VoiceDesign,1.7B,TTS,Voice design
stable-diffusion-3-medium,2B,Image Generation,Text-to-image
stable-video-diffusion-img2vid-xt-1-1,1.5B,Video Generation,Image-to-video
Qwen3-TTS-Tokenizer-12Hz,170M,Speech Codec,Tokenizes speech
siglip2-so400m-patch16-512,,Vision Encoder,Image-text embedding
videomae-large,300M,Video Encoder,Video understanding
agentcpm-explore,4B,Agent,the same again
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nexus.yaml"
    path.write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


def imported(spec: Path, text: str | bytes, *arguments: str) -> dict[str, dict[str, object]]:
    """The teachers that the table added, by id."""
    table = spec.with_name("models.csv")
    table.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    before = {teacher["id"] for teacher in teachers(spec)}
    assert ran(import_teachers.command, "teachers", str(table), *arguments) == 0
    after = teachers(spec)
    assert len({teacher["id"] for teacher in after}) == len(after), "every teacher once"
    return {teacher["id"]: teacher for teacher in after if teacher["id"] not in before}


def teachers(spec: Path) -> list[dict[str, object]]:
    return list(parse_document(spec.read_text(encoding="utf-8"), "").data["teachers"])


def test_the_fifteen(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = imported(spec, f"{HEADER}\n{OMNI}")
    assert len(found) == 15
    taught = {name: teacher["capabilities"] for name, teacher in found.items()}
    assert taught["agentcpm-explore"] == ["tools", "agent"]
    assert taught["glm-4.7-flash"] == ["reasoning", "code", "long-context"]
    assert taught["vibevoice-asr"] == ["asr", "podcast"]
    assert taught["qwen3-tts-12hz-1.7b-voicedesign"] == ["voice-design"]
    assert taught["stable-video-diffusion-img2vid-xt-1-1"] == ["video-generation"]
    assert taught["gemma-scope-2-27b-pt"] == []
    assert found["parakeet-tdt-0.6b-v3"]["parameters"] == "600M"
    assert found["glm-4.7-flash"]["parameters"] == "30B"
    assert found["agentcpm-explore"]["best_feature"] == "Tool use, over 100 turns"
    assert found["qwen3-tts-tokenizer-12hz"]["modality"] == "features"
    said = capsys.readouterr().out
    assert "passed over: line 17: agentcpm-explore stands on line 2 already" in said


def test_what_is_not_known_is_named_until_it_is_filled_in(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(spec, f"{HEADER}\nmystery,,,\n")
    assert "3 things left to fill in" in capsys.readouterr().out
    assert ran(check.command) == 2
    said = capsys.readouterr().err
    assert "teachers.mystery.licence: is left to fill in: its licence, as SPDX names it" in said
    assert "teachers.mystery: is left to fill in: parameters: its size, as 8B" in said
    assert "teachers.mystery.capabilities: is left to fill in: what it teaches" in said
    assert said.endswith("3 problems found\n")
    text = spec.read_text(encoding="utf-8")
    text = text.replace("NOASSERTION  # FILL IN: its licence, as SPDX names it", "MIT")
    text = text.replace("[]  # FILL IN: what it teaches, as [reasoning]", "[code]")
    text = text.replace("# FILL IN: parameters: its size, as 8B", "parameters: 1B")
    assert specs.load_text(text).teachers[-1].parameters == 10**9


def test_what_is_left_alike_is_said_once(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(spec, f"{HEADER}\na-1B,1B,Code,\nb-1B,1B,Code,\nc-1B,1B,Code,\n")
    capsys.readouterr()
    assert ran(check.command, "--json") == 2
    lines = [each["line"] for each in json.loads(capsys.readouterr().out)["errors"]]
    assert len(lines) == 3, "each, for a program"
    assert ran(check.command) == 2
    said = capsys.readouterr().err
    assert said.count("its licence, as SPDX names it") == 2, "the message, and the line in the file"
    assert f"the same on 2 more lines: {lines[1]}, {lines[2]}\n3 problems found\n" in said
    with pytest.raises(ResolveError) as refused:
        resolve(spec, {})
    assert len(refused.value.problems) == 1


def test_the_file_keeps_all_else(spec: Path) -> None:
    imported(spec, f"{HEADER}\n{OMNI}")
    text = spec.read_text(encoding="utf-8")
    grown = "include: [reasoning, tools, code, agent, translation, long-context]"
    lines = iter(text.replace(grown, "include: [reasoning, tools, code]").splitlines())
    assert grown in text
    assert all(line in lines for line in TINY.splitlines())


def test_a_second_import_changes_nothing(spec: Path) -> None:
    imported(spec, f"{HEADER}\n{OMNI}")
    once = spec.read_bytes()
    assert imported(spec, f"{HEADER}\n{OMNI}") == {}
    assert spec.read_bytes() == once


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", [HEADER.upper(), "model name,params,CATEGORY,Best feature"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_as_spreadsheets_write_it(spec: Path, delimiter: str, header: str, encoding: str) -> None:
    row = f'"a-model"{delimiter}"4 B"{delimiter}"Code; and, more | \t"{delimiter}"says ""ü"""'
    text = f"\r\n{header.replace(',', delimiter)}\r\n{row}\r\n{delimiter * 3}\r\n"
    found = imported(spec, text.encode(encoding))
    assert found["a-model"]["parameters"] == "4B"
    assert found["a-model"]["category"] == "Code; and, more |"
    assert found["a-model"]["best_feature"] == 'says "ü"'


def test_columns_in_another_order_and_others_besides(spec: Path) -> None:
    found = imported(spec, "Rank,Category,ModelName,Notes\n1,Code,owner/x-7B,new\n")
    assert found["x-7b"]["source"] == {"path": "models/x-7B", "origin": "owner/x-7B"}
    assert found["x-7b"]["parameters"] == "7B"
    assert found["x-7b"]["capabilities"] == ["code"]


def test_what_the_folder_says_is_taken(spec: Path) -> None:
    folder = spec.parent / "disk" / "tiny-model"
    folder.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [1000, 2000], "data_offsets": [0, 8]}})
    content = len(header).to_bytes(8, "little") + header.encode()
    (folder / "model.safetensors").write_bytes(content)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# It\n", encoding="utf-8")
    found = imported(spec, f"{HEADER}\ntiny-model,,Code,\n", "--models", "disk")
    assert found["tiny-model"]["source"] == {"path": "disk/tiny-model"}
    assert (found["tiny-model"]["parameters"], found["tiny-model"]["licence"]) == ("2M", "MIT")
    assert model_folder(folder).bytes == len(content)


def test_a_model_as_people_name_it(spec: Path) -> None:
    rows = r"""
C:\models\Alpha-7B,7B,Code,
D:/disk/Beta-3B/,3B,Code,
..\shared\Gamma-2B,2B,Code,
/disk/models/Delta-1B,1B,Code,
models/big/Epsilon-4B,4B,Code,
https://huggingface.co/owner/Zeta-5B/tree/main,5B,Code,
https://example.org/Eta-6B,6B,Code,
"""
    sources = [teacher["source"] for teacher in imported(spec, f"{HEADER}{rows}").values()]
    assert sources == [
        {"path": "models/Alpha-7B"},
        {"path": "models/Beta-3B"},
        {"path": "models/Gamma-2B"},
        {"path": "/disk/models/Delta-1B"},
        {"path": "models/big/Epsilon-4B"},
        {"path": "models/Zeta-5B", "origin": "owner/Zeta-5B"},
        {"path": "models/Eta-6B", "origin": "https://example.org/Eta-6B"},
    ]


@pytest.mark.parametrize("total", ["Total,52B,,", ",52B,,", "Sum:,,,", "Grand Total,~52 B,,"])
def test_what_a_spreadsheet_adds_up_is_no_model(
    spec: Path, capsys: pytest.CaptureFixture[str], total: str
) -> None:
    assert list(imported(spec, f"{HEADER}\na-4B,4B,Code,\n{total}\n")) == ["a-4b"]
    named = total.partition(",")[0] or "a row without a name"
    assert f"passed over: line 3: {named}: no model" in capsys.readouterr().out


def test_a_model_that_is_called_total(spec: Path) -> None:
    assert list(imported(spec, f"{HEADER}\nTotal,4B,Code,fast\n")) == ["total"]


def test_two_owners_have_a_model_of_one_name(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = f"{HEADER}\none/x-7B,7B,Code,\ntwo/X-7B,7B,Code,\nx-7b,7B,Code,\nTWO/x-7b,,Code,\n"
    found = imported(spec, table)
    assert {name: teacher["source"] for name, teacher in found.items()} == {
        "x-7b": {"path": "models/x-7B", "origin": "one/x-7B"},
        "two-x-7b": {"path": "models/two/X-7B", "origin": "two/X-7B"},
    }
    said = capsys.readouterr().out
    assert "line 4: x-7b stands on line 2 already" in said
    assert "line 5: TWO/x-7b stands on line 3 already" in said
    assert imported(spec, table) == {}


def test_an_owner_is_learned_from_the_row_that_names_it(spec: Path) -> None:
    table = f"{HEADER}\nx-7B,7B,Code,\none/x-7B,7B,Code,\ntwo/x-7B,7B,Code,\n"
    found = imported(spec, table)
    assert [teacher["source"] for teacher in found.values()] == [
        {"path": "models/x-7B"},
        {"path": "models/two/x-7B", "origin": "two/x-7B"},
    ]
    assert imported(spec, table) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column ModelName"),
        ("Name of it,Size\nx,1B\n", "no column ModelName; the header has: Name of it, Size"),
        (f"{HEADER}\n", "has no rows below its header"),
        (f"{HEADER}\n,4B,Code,\n", ":2: the row names no model"),
        (f"{HEADER}\na,4B,Code,good, fast\n", ":2: more fields than the header has columns"),
        (f'{HEADER}\na,"4B,Code\n', "not a table"),
    ],
)
def test_what_is_no_table_is_said(
    spec: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    table = spec.with_name("models.csv")
    table.write_text(text, encoding="utf-8")
    assert ran(import_teachers.command, "teachers", str(table)) == 2
    assert said in capsys.readouterr().err
    assert spec.read_text(encoding="utf-8") == TINY


def test_a_table_that_is_not_there(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(import_teachers.command, "teachers", "none.csv") == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4B", 4e9), ("0.6b", 6e8), ("300M", 3e8), ("30B-A3B", 3e10), ("~1,7 B", 1.7e9),
        ("7 billion", 7e9), ("82M params", 82e6), ("1_700_000_000", 1.7e9), ("1.7 T", 1.7e12),
        ("600 mio", 6e8), ("", None), ("n/a", None), ("-", None), ("large", None), ("v2", None),
        ("4", None), ("0B", None), ("4Bit", None),
    ],
)  # fmt: skip
def test_sizes_as_people_write_them(text: str, number: float | None) -> None:
    assert parameter_count(text) == number


@given(st.integers(1, 10**15))
def test_a_size_that_is_written_is_read_again(number: int) -> None:
    text = written_count(number)
    again = parameter_count(text) if not text.isdecimal() else int(text)
    assert again is not None
    assert abs(again - number) <= number * 0.001


def test_every_known_capability_is_told_by_its_own_name() -> None:
    for known in KNOWN:
        assert known.name in told_capabilities(known.name), known.name
    assert told_capabilities("writes poems", ["poems", "po"]) == ["poems"]
    assert told_capabilities("an encoder of colour", []) == []
    assert BY_NAME["uncensored"].isolated


ROWS = st.lists(
    st.tuples(
        st.text("abcXYZ019._- /é自\"',;\n\t", min_size=1, max_size=10).filter(
            lambda name: any(letter.isalnum() for letter in name.rpartition("/")[2])
        ),
        st.sampled_from(["4B", "0.6b", "", "many"]),
        st.sampled_from(["ASR", "Code", "", "?"]),
        st.text(max_size=12).filter(lambda text: "\x00" not in text and text.isprintable()),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=20, deadline=None)
@given(ROWS, st.sampled_from(",;\t|"))
def test_any_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], delimiter: str
) -> None:
    """Whatever the fields hold: the reader gives the rows back, the edit every teacher once."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(HEADER.split(","))
    writer.writerows(rows)
    folder = tmp_path_factory.mktemp("any")
    table = folder / "models.csv"
    table.write_bytes(stream.getvalue().encode("utf-8"))
    read = read_teachers(table)
    assert [row.name for row in read] == [" ".join(row[0].split()) for row in rows]
    spec = folder / "nexus.yaml"
    spec.write_text(TINY, encoding="utf-8")
    assert ran(import_teachers.command, "teachers", str(table), "-f", str(spec)) == 0
    models = [named_model(row.name) for row in read]
    names = {model.name.casefold() for model in models}
    owners = {(each.name.casefold(), each.owner.casefold()) for each in models if each.owner}
    unowned = names - {name for name, _ in owners}
    assert len({teacher["id"] for teacher in teachers(spec)}) == 3 + len(owners) + len(unowned)


def test_no_table_is_told_apart_from_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfeM")
    with pytest.raises(TableError, match="no text that can be read"):
        read_teachers(tmp_path / "x.csv")


def test_a_teacher_of_an_isolated_capability_teaches_nothing_else(spec: Path) -> None:
    """What it speaks of besides would lead it into the backbone."""
    found = imported(spec, f"{HEADER}\nx-abliterated,1B,Code,Reasoning\n")
    assert found["x-abliterated"]["capabilities"] == ["uncensored"]
    text = spec.read_text(encoding="utf-8")
    assert "# isolated, so it teaches nothing else (not reasoning, code)" in text
