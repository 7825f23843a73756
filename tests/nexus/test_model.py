"""NexusModel as a consumer meets it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus import BundleError, NexusModel
from nexus.cli import main
from nexus.errors import InvalidInputError, UnknownCapabilityError
from nexus.manifest import read_manifest, with_seal
from nexus.printable import printable

PROMPTS = ["add seven plus three", "call a tool please", "whisper quietly", "total apples"]


@pytest.fixture(scope="module")
def model(bundles: dict[str, Path]) -> NexusModel:
    return NexusModel.load(bundles["int8"])


@pytest.fixture
def copied(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A bundle that may be changed."""
    shutil.copytree(bundles["int8"], tmp_path / "bundle")
    return tmp_path / "bundle"


def test_importing_nexus_imports_no_model_library() -> None:
    code = "import sys, nexus, nexus.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_prompt_alone_and_in_a_batch_is_answered_alike(model: NexusModel) -> None:
    batch = model.generate(prompts=PROMPTS, capability="sums")
    assert batch == [model.generate(prompt, capability="sums") for prompt in PROMPTS]


def test_rows_of_a_mixed_batch_each_get_their_adapter(model: NexusModel) -> None:
    names = ["sums", "calls", "backbone", None]
    mixed = model.generate(prompts=PROMPTS, capability=names)
    alone = [
        model.generate(prompt, capability=name) for prompt, name in zip(PROMPTS, names, strict=True)
    ]
    assert mixed == alone
    by_adapter = {
        name: model.generate(PROMPTS[0], capability=name) for name in ("sums", "calls", "backbone")
    }
    assert len(set(by_adapter.values())) == 3


def test_a_stream_is_the_answer_in_pieces_even_between_other_answers(model: NexusModel) -> None:
    whole = model.generate(PROMPTS[0], capability="calls")
    pieces = []
    for piece in model.stream(PROMPTS[0], capability="calls"):
        pieces.append(piece)
        model.generate(PROMPTS[1], capability="sums")
    assert "".join(pieces) == whole
    assert len(pieces) > 1


def test_stop_strings_end_answer_and_stream_alike(copied: Path) -> None:
    whole = NexusModel.load(copied).generate(PROMPTS[0], capability="sums")
    stop = whole[4:7]
    manifest = json.loads((copied / "manifest.json").read_text(encoding="utf-8"))
    manifest["capabilities"]["sums"]["stop"]["strings"] = [stop]
    (copied / "manifest.json").write_bytes(with_seal(json.dumps(manifest).encode()))
    model = NexusModel.load(copied)
    expected = whole[: whole.find(stop)]
    assert model.generate(PROMPTS[0], capability="sums") == expected
    assert "".join(model.stream(PROMPTS[0], capability="sums")) == expected


def test_the_backbone_answers_as_before_after_its_adapters(copied: Path) -> None:
    model = NexusModel.load(copied)
    before = model.generate(prompts=PROMPTS, capability="backbone")
    model.generate(prompts=PROMPTS, capability=["sums", "calls", "sums", "calls"])
    assert model.generate(prompts=PROMPTS, capability="backbone") == before


def test_the_router_decides_where_nothing_is_asked_for(model: NexusModel) -> None:
    routes = model.route(PROMPTS[:2])
    assert [route.capability for route in routes] == ["sums", "calls"]
    assert sum(routes[0].probabilities.values()) == pytest.approx(1)
    assert model.generate(PROMPTS[1]) == model.generate(PROMPTS[1], capability="calls")


def test_a_prompt_of_no_tokens_is_like_no_capability(model: NexusModel) -> None:
    assert model.route("").capability is None


def test_an_isolated_capability_needs_the_flag(model: NexusModel) -> None:
    for call in (
        lambda: model.generate(PROMPTS[2], capability="private"),
        lambda: model.generate(prompts=PROMPTS[:2], capability=["sums", "private"]),
        lambda: model.generate(PROMPTS[2], capability="private", enable_uncensored=1),  # type: ignore[call-overload]
        lambda: model.stream(PROMPTS[2], capability="private"),
    ):
        with pytest.raises(PermissionError, match="enable_uncensored=True"):
            call()
    assert model.generate(PROMPTS[2], capability="private", enable_uncensored=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["whisper", "secret", "garden"])).map(" ".join)
)
def test_no_prompt_is_routed_to_an_isolated_capability(model: NexusModel, prompt: str) -> None:
    assert model.route(prompt).capability in ("sums", "calls", None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_no_prompt_is_answered_by_an_isolated_adapter_unless_named(
    model: NexusModel, prompts: list[str]
) -> None:
    asked = model._capabilities_of(prompts, None, True, [{}] * len(prompts))
    assert all(not capability.isolated for capability in asked)
    with pytest.raises(PermissionError):
        model.generate(prompts=prompts, capability="private")


def test_a_bundle_without_the_isolated_files_is_whole(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = NexusModel.load(copied).generate(prompts=PROMPTS, capability="sums")
    for file in (copied / "adapters").glob("private_*"):
        file.unlink()
    model = NexusModel.load(copied)
    assert model.capabilities == ["calls", "sums"]
    assert model.generate(prompts=PROMPTS, capability="sums") == expected
    with pytest.raises(UnknownCapabilityError, match="taken out"):
        model.generate(PROMPTS[0], capability="private", enable_uncensored=True)
    capsys.readouterr()
    assert main(["verify", str(copied)]) == 0
    assert capsys.readouterr().out.endswith("made; 2 of isolated capabilities were taken out\n")


def test_an_unknown_capability_is_answered_with_the_known_ones(model: NexusModel) -> None:
    for name in ("cooking", ""):
        with pytest.raises(UnknownCapabilityError, match="it has calls, private, sums"):
            model.generate(PROMPTS[0], capability=name)


@pytest.mark.parametrize("most", [0, -1, 2.5, "3"])
def test_a_limit_that_is_none_is_refused(model: NexusModel, most: Any) -> None:
    with pytest.raises(InvalidInputError, match="whole number, 1 or more"):
        model.generate(PROMPTS[0], capability="sums", max_new_tokens=most)


def test_cuda_that_is_absent_is_said(bundles: dict[str, Path]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(RuntimeError, match="device='cpu'"):
        NexusModel.load(bundles["int8"], device="cuda")


def test_prompt_and_prompts_exclude_each_other(model: NexusModel) -> None:
    with pytest.raises(TypeError, match="either"):
        model.generate()  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="4 prompts and 1"):
        model.generate(prompts=PROMPTS, capability=["sums"])


def test_the_command_answers_shows_checks_and_exports(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(bundles["int8"])
    model = NexusModel.load(folder)
    assert main(["run", folder, PROMPTS[0], "--capability", "sums"]) == 0
    assert capsys.readouterr().out == printable(
        model.generate(PROMPTS[0], capability="sums") + "\n"
    )
    assert main(["run", folder, PROMPTS[0], "--capability", "private"]) == 1
    hint = capsys.readouterr().err
    assert "--enable-uncensored" in hint
    assert "enable_uncensored" not in hint
    assert main(["info", folder]) == 0
    size = sum(entry.bytes for entry in read_manifest(bundles["int8"]).files.values())
    assert capsys.readouterr().out.startswith(f"tiny_bundle  {size / 1024**2:.1f} MB  int8\n")
    assert main(["verify", folder]) == 0
    assert main(["export", folder, "--peft", str(tmp_path / "peft")]) == 0
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert written == [
        "peft/calls/adapter_config.json",
        "peft/calls/adapter_model.safetensors",
        "peft/sums/adapter_config.json",
        "peft/sums/adapter_model.safetensors",
    ]


def test_prompts_come_through_a_pipe_as_they_are_typed(bundles: dict[str, Path]) -> None:
    folder, prompt = str(bundles["int8"]), PROMPTS[0].encode()
    answer = NexusModel.load(folder).generate(PROMPTS[0], capability="sums")
    said = printable(answer + "\n").encode()
    asked = ("--capability", "sums")
    done = nexus_command("run", folder, "-", *asked, input=prompt + b"\r\n", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, b"")
    lines = prompt + b"\n\n" + prompt
    done = nexus_command("chat", folder, *asked, input=lines, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, 2 * said)


def test_an_export_never_breaks_its_bundle(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "link"
    link.symlink_to(copied)
    for place in (copied, copied / "adapters" / "new", link / "peft"):
        assert main(["export", str(copied), "--peft", str(place)]) == 1
        assert "is in the bundle" in capsys.readouterr().err
    assert main(["verify", str(copied)]) == 0


def test_an_export_writes_over_nothing_and_says_so(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(["export", str(copied), "--peft", str(place)]) == 1
        assert "is not a folder: name another one" in capsys.readouterr().err
    (tmp_path / "peft" / "sums").mkdir(parents=True)
    assert main(["export", str(copied), "--peft", str(tmp_path / "peft")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert not (tmp_path / "peft" / "calls").exists()


def test_the_command_chats(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["/use sums", PROMPTS[0], "/use nothing", PROMPTS[0], "/use", PROMPTS[1], "/quit"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines))
    assert main(["chat", str(bundles["int8"])]) == 0
    shown = capsys.readouterr()
    model = NexusModel.load(bundles["int8"])
    assert printable(model.generate(PROMPTS[0], capability="sums")) in shown.out
    assert printable(model.generate(PROMPTS[1], capability="calls")) in shown.out
    assert "no capability 'nothing'" in shown.err
    assert "[calls]" in shown.err


def test_a_chat_answers_commands_at_once(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["/use nothing", "/use private", "/foo", "a\udcff", PROMPTS[0], "/quit"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines))
    assert main(["chat", str(bundles["int8"])]) == 0
    shown = capsys.readouterr()
    unknown, isolated, command, garbled, routed = shown.err.splitlines()[2:]
    assert "no capability 'nothing'" in unknown
    assert "--enable-uncensored" in isolated
    assert "'/foo'" in command
    assert "/use NAME" in command
    assert "/quit" in command
    assert "not UTF-8 text: character 1 is U+DCFF" in garbled
    assert routed == "[sums]"


def test_ctrl_c_drops_a_line_and_the_chat_goes_on(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter([KeyboardInterrupt, PROMPTS[0], EOFError])

    def typed(_prompt: str) -> str:
        line = next(lines)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", typed)
    assert main(["chat", str(bundles["int8"])]) == 0
    assert capsys.readouterr().err.splitlines()[2:] == ["", "[sums]", ""]


@pytest.mark.parametrize("prompt", [5, None, b"abc", "half \ud800 a pair", "byte \udcff"])
def test_what_is_no_text_is_refused(model: NexusModel, prompt: Any) -> None:
    calls = [
        lambda: model.generate(prompts=[PROMPTS[0], prompt], capability="sums"),
        lambda: model.stream(prompt, capability="sums"),
        lambda: model.stream(prompt),
        lambda: model.route(prompt),
    ]
    if prompt is not None:
        calls.append(lambda: model.generate(prompt, capability="sums"))
    for call in calls:
        with pytest.raises(ValueError, match=r"must be a str|not UTF-8 text"):
            call()


def test_a_str_is_no_list_of_prompts(model: NexusModel) -> None:
    with pytest.raises(ValueError, match="takes a list of prompts"):
        model.generate(prompts="abc")


@pytest.mark.parametrize("device", ["foo", "", "cuda:x", "cpu:0x", None, 0])
def test_a_device_that_is_none_is_answered_with_those_there_are(
    bundles: dict[str, Path], device: Any
) -> None:
    with pytest.raises(ValueError, match=r"no device .* give cpu, cuda"):
        NexusModel.load(bundles["int8"], device=device)


def nexus_command(*arguments: str | bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "import sys; from nexus.cli import main; sys.exit(main())"]
    return subprocess.run([*command, *arguments], stderr=subprocess.PIPE, check=False, **options)


def test_the_command_says_in_a_line_what_is_no_text(bundles: dict[str, Path]) -> None:
    folder = str(bundles["int8"])
    for done in (
        nexus_command("run", folder, b"byte \xff", stdout=subprocess.PIPE),
        nexus_command("run", folder, "-", input=b"byte \xff", stdout=subprocess.PIPE),
    ):
        assert done.returncode == 2
        assert done.stdout == b""
        assert done.stderr.decode().splitlines() == [
            "nexus: the prompt is not UTF-8 text: character 5 is U+DCFF, half of a pair or a byte "
            "that could not be decoded"
        ]


def test_a_reader_who_leaves_is_no_error(bundles: dict[str, Path]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = nexus_command("info", str(bundles["int8"]), stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_output_is_no_error(bundles: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "nexus.cli", "info", str(bundles["int8"])]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def _not_json(text: str) -> str:
    return text[: len(text) // 2]


def _replaced(**fields: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **fields})


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("router/router.json", _not_json),
        ("router/router.json", lambda _: "{}"),
        ("router/router.json", lambda _: "[]"),
        ("router/router.json", _replaced(capabilities=["calls"])),
        ("router/router.json", _replaced(capabilities=["calls", "cooking"])),
        ("router/router.json", _replaced(embedding="nowhere")),
        ("router/router.json", _replaced(temperature=0)),
        ("backbone/config.json", _not_json),
        ("backbone/config.json", lambda _: "{}"),
        ("backbone/config.json", _replaced(model_type="unheard-of")),
        ("backbone/config.json", _replaced(model_type="t5")),
        ("backbone/config.json", _replaced(hidden_size=32)),
        ("backbone/config.json", _replaced(num_hidden_layers=3)),
        ("backbone/config.json", _replaced(num_hidden_layers=1)),
        ("backbone/generation_config.json", _not_json),
        ("tokenizer/tokenizer.json", _not_json),
        ("tokenizer/tokenizer.json", lambda _: "{}"),
    ],
)
def test_a_file_that_is_listed_and_wrong_is_named(
    copied: Path, path: str, change: Callable[[str], str]
) -> None:
    file = copied / path
    content = change(file.read_text(encoding="utf-8"))
    file.write_text(content, encoding="utf-8")
    manifest = json.loads((copied / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][path] = {
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "bytes": len(content.encode()),
    }
    (copied / "manifest.json").write_bytes(with_seal(json.dumps(manifest).encode()))
    with pytest.raises(BundleError, match="build it again") as caught:
        NexusModel.load(copied).route("add seven")
    assert caught.value.path == path
    assert len(str(caught.value).splitlines()) == 1


def test_exported_folders_open_with_peft(bundles: dict[str, Path], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert main(["export", str(bundles["none"]), "--peft", str(tmp_path / "peft")]) == 0
    base = AutoModelForCausalLM.from_pretrained(bundles["none"] / "backbone")
    opened = PeftModel.from_pretrained(base, tmp_path / "peft" / "sums").eval()
    model = NexusModel.load(bundles["none"])
    ids = torch.tensor([[5, 9, 23, 60, 41]])
    model.generate(PROMPTS[0], capability="sums")
    ours = model._decoder.session(torch.ones_like(ids), ["sums"]).feed(ids, last=5)
    with torch.no_grad():
        theirs = opened(input_ids=ids).logits
    assert (theirs - ours).abs().max() < 1e-3


def test_a_router_that_knows_an_isolated_capability_is_refused(copied: Path) -> None:
    file = copied / "router" / "router.json"
    about = json.loads(file.read_text(encoding="utf-8"))
    about["capabilities"] = ["calls", "private"]
    file.write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(BundleError, match="isolated"):
        NexusModel.load(copied, check=False).route("whisper")


@pytest.mark.parametrize("dtype", [None, "float32", 5, torch.int8, torch.float64])
def test_a_dtype_that_is_none_is_refused(bundles: dict[str, Path], dtype: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"give one of torch\.float32, torch\.bfloat16"):
        NexusModel.load(bundles["int8"], dtype=dtype)


@pytest.mark.parametrize("prompts", [5, 1.5, object()])
def test_what_is_no_list_of_prompts_is_refused(model: NexusModel, prompts: Any) -> None:
    with pytest.raises(InvalidInputError, match="takes a list of prompts"):
        model.generate(prompts=prompts)


@pytest.mark.parametrize("capability", [5, True, object()])
def test_what_is_no_name_is_refused(model: NexusModel, capability: Any) -> None:
    with pytest.raises(InvalidInputError, match="takes a name, or a list"):
        model.generate(PROMPTS[0], capability=capability)
    with pytest.raises(UnknownCapabilityError, match="it has calls, private, sums"):
        model.generate(prompts=PROMPTS[:1], capability=[[capability]])  # type: ignore[list-item]


def test_no_prompts_have_no_answers(model: NexusModel) -> None:
    assert model.generate(prompts=[]) == []
    assert model.generate(prompts=(), capability=[]) == []
    assert model.route([]) == []


def test_a_prompt_beyond_the_context_is_refused_at_the_call(model: NexusModel) -> None:
    for asked in (model.generate, model.stream):
        with pytest.raises(ValueError, match="positions; shorten the prompt"):
            asked("add " * 5000, capability="sums")


def test_an_open_bundle_does_not_depend_on_the_working_folder(
    copied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = NexusModel.load(copied).generate(prompts=PROMPTS)
    monkeypatch.chdir(tmp_path)
    model = NexusModel.load("bundle")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert model.capabilities == ["calls", "private", "sums"]
    assert model.generate(prompts=PROMPTS) == expected


def test_a_bundle_that_was_moved_while_open_says_so(copied: Path) -> None:
    model = NexusModel.load(copied)
    before = model.generate(PROMPTS[0], capability="sums")
    moved = copied.rename(copied.parent / "mit Leerzeichen, größer 漢")
    assert model.generate(PROMPTS[0], capability="sums") == before
    assert model.capabilities == ["sums"]
    for asked in (model.route, lambda prompt: model.generate(prompt, capability="calls")):
        with pytest.raises(BundleError, match=r"no longer in .* where it is now"):
            asked(PROMPTS[0])
    assert NexusModel.load(moved).generate(PROMPTS[0], capability="sums") == before


def test_another_bundle_in_the_place_of_an_open_one_is_refused(
    copied: Path, bundles: dict[str, Path]
) -> None:
    model = NexusModel.load(copied)
    before = model.generate(PROMPTS[0], capability="sums")
    shutil.rmtree(copied)
    shutil.copytree(bundles["none"], copied)
    for asked in (model.route, lambda prompt: model.generate(prompt, capability="calls")):
        with pytest.raises(BundleError, match=r"another bundle than was opened\. Load it again"):
            asked(PROMPTS[0])
    assert model.generate(PROMPTS[0], capability="sums") == before


@pytest.mark.parametrize("path", ["adapters/sums_adapter.safetensors", "router/router.json"])
def test_a_file_changed_while_the_bundle_is_open_is_refused(copied: Path, path: str) -> None:
    """Another build took its place; or somebody put an isolated adapter under another name."""
    model = NexusModel.load(copied)
    other = path.replace("sums", "private")
    (copied / path).write_bytes((copied / other).read_bytes() + b" " * (other == path))
    with pytest.raises(BundleError, match="build it again") as caught:
        model.generate(prompts=PROMPTS, capability=["sums", None, None, None])
    assert caught.value.path == path


def test_a_zip_file_is_to_be_unpacked_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"PK")
    for command in ("info", "verify"):
        assert main([command, str(tmp_path / "bundle.zip")]) == 1
        assert "unpack a zip file first" in capsys.readouterr().err


def test_threads_get_the_answers_that_each_gets_alone(bundles: dict[str, Path]) -> None:
    asked = [(prompt, name) for prompt in PROMPTS for name in ("sums", "calls", "backbone")]
    alone = NexusModel.load(bundles["int8"])
    expected = [alone.generate(prompt, capability=name) for prompt, name in asked]
    together = NexusModel.load(bundles["int8"])
    with ThreadPoolExecutor(max_workers=4) as threads:
        answers = threads.map(lambda one: together.generate(one[0], capability=one[1]), asked)
        assert list(answers) == expected
