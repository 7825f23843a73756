"""Weights that mean harm, and weights that are changed under a model that is open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import edit, most_memory, put, run_alone
from safetensors.torch import load_file, save_file

from nexus import BundleError, NexusModel
from nexus.manifest import verify_safetensors
from nexus.opened_bundle import OpenedBundle
from nexus.stored_tensors import tensors_in

PROMPT = "add seven plus three"
WEIGHTS = "backbone/backbone.safetensors"


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(bundles["none"], tmp_path / "bundle")


def through_transformers(bundle: Path) -> None:
    """A kind of rotary positions that the lean pass leaves to transformers."""
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 1.0}
    edit(bundle, "backbone/config.json", lambda config: config.update(rope_parameters=rope))


def with_header(header: bytes, body: bytes = b"", claimed: int | None = None) -> bytes:
    length = len(header) if claimed is None else claimed
    return length.to_bytes(8, "little") + header + body


def described(**fields: Any) -> bytes:
    return json.dumps(
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **fields}}
    ).encode()


EMPTY = '"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'


@pytest.mark.parametrize(
    "content",
    [
        with_header(("{" + ",".join(EMPTY % n for n in range(300_000)) + "}").encode()),
        with_header(("{" + ",".join(EMPTY % n for n in range(60_000)) + "}").encode()),
        with_header(b"{" + b" " * (11 << 20) + b"}"),
        with_header(b"{}", claimed=1 << 63),
        with_header(b"{}", claimed=3),
        with_header(b"[" * 50_000),
        with_header(b'{"a":' * 50_000),
        with_header(described(shape=[1 << 62, 1 << 62, 0]), b""),
        with_header(described(shape=[-1, -1]), bytes(4)),
        with_header(described(shape=[True]), bytes(4)),
        with_header(described(shape=[1.0]), bytes(4)),
        with_header(described(shape=[1] * 100), bytes(4)),
        with_header(described(data_offsets=[4, 0]), bytes(4)),
        with_header(described(data_offsets=[0, 4, 8]), bytes(4)),
        with_header(described(dtype="OBJECT"), bytes(4)),
        with_header(described(dtype=["F32"]), bytes(4)),
        with_header(described(code="os.system"), bytes(4)),
        with_header(described(), bytes(5)),
        with_header(described()[:-1] + b',"a":' + described()[5:], bytes(4)),
        with_header(b'{"__metadata__":{"a":1}}'),
        b"",
        b"\x00",
    ],
    ids=range(22),
)
def test_a_header_that_means_harm_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with most_memory(megabytes=200), pytest.raises(BundleError, match="no safetensors file"):
        verify_safetensors(file, "a.safetensors")
    with pytest.raises(ValueError, match=r"."):
        tensors_in(bytearray(content))


def test_tensors_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = {
        "a": torch.randn(3, 5),
        "empty": torch.zeros(0, 4),
        "one": torch.tensor(2, dtype=torch.uint8),
        "half": torch.randn(7).half(),
        "brain": torch.randn(7).bfloat16(),
        "long": torch.arange(3),
        "truth": torch.tensor([True, False, True]),
        "codes": torch.arange(-5, 6).to(torch.int8),
        "fine": torch.randn(2).double(),
    }
    save_file(written, tmp_path / "a.safetensors")
    read = tensors_in(bytearray((tmp_path / "a.safetensors").read_bytes()))
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_numbers_that_lie_at_odd_places_are_read_too(tmp_path: Path) -> None:
    header = {
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [1, 5]},
    }
    body = b"\x07" + torch.tensor([1.5]).numpy().tobytes()
    read = tensors_in(bytearray(with_header(json.dumps(header).encode(), body)))
    assert (int(read["a"]), float(read["b"])) == (7, 1.5)


@pytest.mark.parametrize("transformers", [False, True], ids=["lean", "transformers"])
def test_weights_stay_what_they_were(bundle: Path, transformers: bool) -> None:
    if transformers:
        through_transformers(bundle)
    model = NexusModel.load(bundle)
    asked = {"prompts": [PROMPT] * 3, "capability": ["sums", "calls", "backbone"]}
    expected = model.generate(**asked), model.route(PROMPT)
    for file in sorted(bundle.rglob("*.safetensors")):
        size = file.stat().st_size
        with file.open("r+b") as opened:  # in place: the file is the same, its bytes are others
            opened.seek(size // 2)
            opened.write(bytes(size // 2))
    assert (model.generate(**asked), model.route(PROMPT)) == expected


CUT_SHORT = """
import os, pathlib, sys
from nexus import NexusModel
for folder in map(pathlib.Path, sys.argv[1:]):
    model = NexusModel.load(folder)
    prompts = ["add seven plus three"] * 2
    ask = lambda: (model.generate(prompts=prompts, capability=["sums", None]), model.route("add"))
    before = ask()
    for file in folder.rglob("*.safetensors"):
        os.truncate(file, 0)
    assert ask() == before
"""


def test_a_file_cut_short_ends_nothing(bundle: Path, tmp_path: Path) -> None:
    """A mapped file that is cut short ends the process with SIGBUS, which nothing can catch."""
    other = shutil.copytree(bundle, tmp_path / "other")
    through_transformers(other)
    done = run_alone(CUT_SHORT, str(bundle), str(other))
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_parsed_is_what_was_hashed(bundle: Path, bundles: dict[str, Path]) -> None:
    """The files are others by the time that the model is made of what was compared."""
    expected = NexusModel.load(bundle).generate(PROMPT, capability="backbone")
    opened = OpenedBundle.open(
        bundle,
        check=True,
        hold=[
            "backbone/config.json",
            "backbone/generation_config.json",
            WEIGHTS,
            "tokenizer/tokenizer.json",
        ],
    )
    for name in ("backbone/config.json", WEIGHTS, "tokenizer/tokenizer.json"):
        (bundle / name).write_bytes(b"changed")
    model = NexusModel(opened, "cpu", torch.float32)
    assert model.generate(PROMPT, capability="backbone") == expected


def test_scales_that_do_not_fit_take_no_memory(bundles: dict[str, Path], tmp_path: Path) -> None:
    """One row of codes with many scales would be made into a matrix of all pairs."""
    for form, name in (("int8", ".SCB"), ("nf4", ".absmax")):
        bundle = shutil.copytree(bundles[form], tmp_path / form)
        tensors = load_file(bundle / WEIGHTS)
        weight = "model.layers.0.mlp.down_proj.weight"
        key = weight.removesuffix(".weight") + name if form == "int8" else weight + name
        tensors[key] = torch.ones(1 << 14)
        tensors[weight] = torch.ones((1, 1 << 14)).to(tensors[weight].dtype)
        if form == "nf4":
            tensors[weight] = torch.ones((1 << 14, 1), dtype=torch.uint8)
            state = {"blocksize": 1 << 15, "shape": [1, 1 << 15]}
            text = list(json.dumps(state).encode())
            tensors[f"{weight}.quant_state.bitsandbytes__nf4"] = torch.tensor(
                text, dtype=torch.uint8
            )
        save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
        put(bundle, WEIGHTS, (tmp_path / "a.safetensors").read_bytes())
        with most_memory(megabytes=200), pytest.raises(BundleError):
            NexusModel.load(bundle)


@pytest.mark.parametrize("pattern", ["(a+)+$", ".*.*.*.*=.*", "(?P<a>x)(?(a)y|z)", "[", "a|b"])
def test_a_pattern_of_an_adapter_is_a_name(bundle: Path, pattern: str) -> None:
    path = "adapters/sums_adapter.json"
    edit(bundle, path, lambda config: config.update(rank_pattern={pattern: 1}))
    model = NexusModel.load(bundle)
    with pytest.raises(BundleError, match="adapters/sums_adapter"):
        model.generate(PROMPT, capability="sums")
