"""Bundles made wrong at random: refused by name or sound, in little memory, and nothing else moves.

NEXUS_FUZZ_EXAMPLES says how many of each are tried.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import most_memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from nexus import BundleError
from nexus.manifest import Manifest, read_manifest, verify, verify_safetensors, with_seal
from nexus.stored_tensors import tensors_in
from nexus.tokens import Tokens

pytestmark = pytest.mark.slow
fuzzed = settings(
    max_examples=int(os.environ.get("NEXUS_FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
MEGABYTES = 200

NAMES = st.sampled_from(
    ["README.md", "readme.md", "../x.json", "/etc/passwd", "a/../b.json", "\u202e.md", "A" * 500,
     "backbone/config.json", "backbone/x.json", "adapters/sums_adapter.safetensors",
     "adapters/private_adapter.json", "sums", "SUMS", "auto_map", "re\u0301.md", "manifest.json",
     "x.py", "x.bin", "C:x.md", "a\\b.md", "con.md", "", ".", "..", "a//b.md", "\x1b[2J.md"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e300]),
    st.integers(),
    st.floats(),
    NAMES,
    st.text(max_size=20),
    st.sampled_from(["x" * 5000, "none", "int8", "0" * 64, "\ud800"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=8), inner),
    max_leaves=10,
)


def change(data: st.DataObject, content: Any, values: st.SearchStrategy[Any] = VALUES) -> None:
    """Change one place of a JSON value: another value, another name, one more, or one less."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.integers(0, 3)):
            place = place[key]
            continue
        match data.draw(st.sampled_from(["value", "drop", "name", "add", "swap"])):
            case "value":
                place[key] = data.draw(values)
            case "drop":
                del place[key]
            case "name" if isinstance(place, dict):
                place[data.draw(NAMES)] = place.pop(key)
            case "add" if isinstance(place, dict):
                place[data.draw(NAMES)] = data.draw(values)
            case "add":
                place.insert(0, data.draw(values))
            case "swap":
                place[key] = place[data.draw(st.sampled_from(keys))]
        return


def garbled(data: st.DataObject, content: bytes) -> bytes:
    """The bytes with a piece cut out, doubled, or put in."""
    start = data.draw(st.integers(0, len(content)))
    end = min(len(content), start + data.draw(st.integers(0, 40)))
    new = data.draw(
        st.sampled_from(
            [b"", content[start:end] * 2, b"[" * 2000, b'"a":1,"a":2,', b"\x00", b"\xff"]
        )
        | st.binary(max_size=8)
    )
    return content[:start] + new + content[end:]


@pytest.fixture(scope="module")
def bundle(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(bundles["none"], tmp_path_factory.mktemp("fuzzed") / "bundle")


@pytest.fixture(scope="module", autouse=True)
def nothing_else_moves(bundle: Path) -> Iterator[None]:
    """The examples of this module change one file of the bundle, and nothing is written by them."""

    def everything() -> list[str]:
        return sorted(path.as_posix() for path in bundle.parent.rglob("*"))

    before = everything()
    yield
    assert everything() == before


@fuzzed
@given(data=st.data())
def fuzz_manifests(bundle: Path, original: bytes, data: st.DataObject) -> None:
    manifest = json.loads(original)
    for _ in range(data.draw(st.integers(1, 3))):
        change(data, manifest)
    content = json.dumps(manifest).encode()
    if data.draw(st.integers(0, 4)) == 0:
        content = garbled(data, content)
    with suppress(ValueError):
        content = with_seal(content)
    (bundle / "manifest.json").write_bytes(content)
    try:
        read = read_manifest(bundle)
        verify(bundle, read)
    except BundleError as error:
        assert len(str(error)) < 2000
        assert str(error).isprintable() or "\u200b" in str(error)
        return
    hold_what_is_promised(bundle, read)


def hold_what_is_promised(bundle: Path, manifest: Manifest) -> None:
    for path in manifest.files:
        assert (bundle / path).resolve().is_relative_to(bundle.resolve())
        assert path.isascii()
    isolated = {each.adapter for each in manifest.capabilities.values() if each.isolated}
    adapters = [each.adapter for each in manifest.capabilities.values() if not each.isolated]
    assert not isolated & set(adapters)


def test_manifests(bundle: Path) -> None:
    original = (bundle / "manifest.json").read_bytes()
    with most_memory(MEGABYTES):
        fuzz_manifests(bundle, original)
    (bundle / "manifest.json").write_bytes(original)


PATTERNS = st.sampled_from(
    [r"\s+", "a", "(a+)+$", r"\p{L}+|\s*[\r\n]+", "", "[", "(?:a|b)*c", r"\p{N}{1,3}", "x" * 5000]
)
TEXTS = st.sampled_from(["", "a", "aa", "\u2581", "x" * 2000, "\x1b", "a" * 30])
PATTERN = st.one_of(
    st.builds(lambda text: {"Regex": text}, PATTERNS),
    st.builds(lambda text: {"String": text}, TEXTS),
    VALUES,
)
KINDS = st.sampled_from(
    ["NFC", "NFKD", "Lowercase", "Replace", "Prepend", "Strip", "BertNormalizer", "Precompiled",
     "ByteLevel", "Metaspace", "Split", "Digits", "FixedLength", "Punctuation", "Whitespace",
     "CharDelimiterSplit", "Fuse", "ByteFallback", "WordPiece", "CTC", "BPEDecoder",
     "TemplateProcessing", "BertProcessing", "RobertaProcessing", "Unknown", "Nmt"]
)  # fmt: skip
STEP = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        "pattern": PATTERN,
        "content": TEXTS,
        "behavior": st.sampled_from(["Isolated", "Removed", "MergedWithNext", "?"]),
        "invert": st.booleans(),
        "prepend": TEXTS,
        "prefix": TEXTS,
        "replacement": TEXTS,
        "delimiter": TEXTS,
        "pad_token": TEXTS,
        "word_delimiter_token": TEXTS,
        "suffix": TEXTS,
        "prepend_scheme": st.sampled_from(["always", "never", "first"]),
        "split": st.booleans(),
        "cleanup": st.booleans(),
        "add_prefix_space": st.booleans(),
        "trim_offsets": st.booleans(),
        "use_regex": st.booleans(),
        "individual_digits": st.booleans(),
        "strip_left": st.booleans(),
        "strip_right": st.booleans(),
        "start": st.integers(0, 2**40),
        "stop": st.integers(0, 2**40),
        "length": st.integers(-1, 5),
        "precompiled_charsmap": st.sampled_from(["", "AAAA", "BAAAAP///39hAA==", "AAAAAGEA"]),
        "sep": st.tuples(TEXTS, st.integers(0, 400)).map(list),
        "cls": st.tuples(TEXTS, st.integers(0, 400)).map(list),
    },
)
LISTS = ("normalizers", "pretokenizers", "processors", "decoders")
SECTION = st.recursive(
    STEP | VALUES,
    lambda inner: st.lists(inner, max_size=4).map(
        lambda steps: {"type": "Sequence", **dict.fromkeys(LISTS, steps)}
    ),
    max_leaves=8,
)


@fuzzed
@given(data=st.data())
def fuzz_tokenizers(folder: Path, original: bytes, data: st.DataObject) -> None:
    file = json.loads(original)
    for section in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if data.draw(st.integers(0, 2)) == 0:
            file[section] = data.draw(SECTION)
    for _ in range(data.draw(st.integers(0, 2))):
        change(data, file)
    content = json.dumps(file).encode()
    if data.draw(st.integers(0, 6)) == 0:
        content = garbled(data, content)
    (folder / "tokenizer.json").write_bytes(content)
    try:
        tokens = Tokens(folder, vocabulary=320)
        for text in ("add seven", "a" * 200, " \n\t \u00e9\U0001f600 <pad>", ""):
            ids = tokens.encode(text)
            assert len(ids) < 1_000_000
            assert len(tokens.decode(ids)) < 10_000_000
    except BundleError as error:
        assert error.path == "tokenizer/tokenizer.json"
        assert len(str(error)) < 2000


def test_tokenizers(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = bundle / "tokenizer"
    original = (folder / "tokenizer.json").read_bytes()
    with most_memory(MEGABYTES):
        fuzz_tokenizers(folder, original)
    (folder / "tokenizer.json").write_bytes(original)
    capfd.readouterr()  # what the library says of its panics


@fuzzed
@given(data=st.data())
def fuzz_headers(file: Path, original: bytes, data: st.DataObject) -> None:
    """What is read here is read alike by the format's own library."""
    length = int.from_bytes(original[:8], "little")
    header = json.loads(original[8 : 8 + length])
    small = SCALARS | st.sampled_from(["F32", "F16", "I8", "BOOL", "F8_E4M3", [0], [4], [0, 4]])
    for _ in range(data.draw(st.integers(0, 2))):
        change(data, header, small)
    text = json.dumps(header).encode()
    claimed = data.draw(st.just(len(text)) | st.integers(0, 2**64 - 1))
    content = claimed.to_bytes(8, "little") + text + original[8 + length :]
    if data.draw(st.booleans()):
        content = garbled(data, content)
    file.write_bytes(content)
    try:
        verify_safetensors(file, "shown")
    except BundleError as error:
        assert error.path == "shown"
        with pytest.raises(ValueError, match=r"."):
            tensors_in(bytearray(content))
        return
    ours, theirs = tensors_in(bytearray(content)), load(content)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        assert tensor.shape == theirs[name].shape
        assert torch.equal(
            tensor.view(-1).view(torch.uint8), theirs[name].view(-1).view(torch.uint8)
        )


def test_headers(bundle: Path) -> None:
    file = bundle / "router" / "router.safetensors"
    original = file.read_bytes()
    with most_memory(MEGABYTES):
        fuzz_headers(file, original)
    file.write_bytes(original)
