"""Bundles that were tampered with: each way is refused, with the name of the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.errors import BundleError
from nexus.manifest import file_digest, read_manifest, verify, verify_safetensors, with_seal


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(bundles["int8"], tmp_path / "bundle")
    return tmp_path / "bundle"


def refused(bundle: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        verify(bundle, read_manifest(bundle))
    for word in words:
        assert word in str(caught.value)


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = bundle / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    change(manifest)
    file.write_bytes(with_seal(json.dumps(manifest).encode()))


def test_an_untouched_bundle_verifies(bundle: Path) -> None:
    verify(bundle, read_manifest(bundle))


def test_one_changed_byte_of_any_file_is_found(bundle: Path) -> None:
    for file in sorted(bundle.rglob("*")):
        if not file.is_file() or file.name == "manifest.json":
            continue
        original = file.read_bytes()
        middle = len(original) // 2
        changed = bytes([original[middle] ^ 1])
        file.write_bytes(original[:middle] + changed + original[middle + 1 :])
        refused(bundle, file.relative_to(bundle).as_posix(), "was changed")
        file.write_bytes(original)
    verify(bundle, read_manifest(bundle))


@pytest.fixture(scope="module")
def bytes_of(bundles: dict[str, Path]) -> dict[str, bytes]:
    folder = bundles["none"]
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def own_copy(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is changed, and put right again, by every example of a test."""
    return shutil.copytree(bundles["none"], tmp_path_factory.mktemp("changed") / "bundle")


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_other_byte_anywhere_is_refused(
    own_copy: Path, bytes_of: dict[str, bytes], data: st.DataObject
) -> None:
    """The manifest is a file like the others: its seal is over every byte of it."""
    path = data.draw(st.sampled_from(sorted(bytes_of)))
    content = bytearray(bytes_of[path])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (own_copy / path).write_bytes(content)
    try:
        with pytest.raises(BundleError) as caught:
            verify(own_copy, read_manifest(own_copy))
        assert path == "manifest.json" or caught.value.path == path
    finally:
        (own_copy / path).write_bytes(bytes_of[path])


@pytest.mark.parametrize("change", [lambda text: text + b" ", lambda text: b"\n" + text])
def test_white_space_in_the_manifest_is_a_change_too(
    bundle: Path, change: Callable[[bytes], bytes]
) -> None:
    file = bundle / "manifest.json"
    file.write_bytes(change(file.read_bytes()))
    refused(bundle, "manifest.json", "its seal does not fit")


def test_a_manifest_without_a_seal_or_with_two_is_refused(bundle: Path) -> None:
    file = bundle / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    seal = manifest.pop("seal")
    file.write_text(json.dumps(manifest), encoding="utf-8")
    refused(bundle, "manifest.json", "its seal does not fit")
    manifest |= {"seal": seal, "made_of": {"seal": seal}}
    file.write_text(json.dumps(manifest), encoding="utf-8")
    refused(bundle, "manifest.json", "its seal does not fit")


@pytest.mark.parametrize("folder", ["", "adapters", "new"])
def test_a_hidden_file_is_a_file_too_many(bundle: Path, folder: str) -> None:
    (bundle / folder).mkdir(exist_ok=True)
    (bundle / folder / ".hidden").write_bytes(b"")
    refused(bundle, ".hidden", "not in the manifest")


def test_a_linked_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "router").rename(tmp_path / "router")
    (bundle / "router").symlink_to(tmp_path / "router")
    refused(bundle, "router", "is a link")


def test_text_that_nothing_can_write_is_refused(bundle: Path) -> None:
    rewrite(bundle, lambda manifest: manifest.update(name="\ud800"))
    refused(bundle, "manifest.json", "name is no text")


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "tokenizer" / "tokenizer.json").unlink()
    refused(bundle, "tokenizer/tokenizer.json", "is missing")


def test_a_file_too_many_is_named(bundle: Path) -> None:
    (bundle / "adapters" / "extra.safetensors").write_bytes(b"")
    refused(bundle, "adapters/extra.safetensors", "not in the manifest")


def test_a_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    file = bundle / "backbone" / "config.json"
    file.rename(tmp_path / "config.json")
    file.symlink_to(tmp_path / "config.json")
    refused(bundle, "backbone/config.json", "is a link")


@pytest.mark.parametrize(
    "path",
    ["../outside.json", "/etc/passwd.json", "a/../b.json", "./a.json", "a\\b.json", "C:a.md"],
)
def test_a_path_that_leads_elsewhere_is_refused(bundle: Path, path: str) -> None:
    def add(manifest: dict[str, Any]) -> None:
        manifest["files"][path] = {"sha256": "0" * 64, "bytes": 0}

    rewrite(bundle, add)
    refused(bundle, "manifest.json", "no path inside a bundle")


@pytest.mark.parametrize("name", ["weights.bin", "weights.pt", "model.pkl", "code.py"])
def test_files_that_could_run_code_are_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"cos\nsystem\n")

    def add(manifest: dict[str, Any]) -> None:
        file = bundle / name
        manifest["files"][name] = {"sha256": file_digest(file), "bytes": file.stat().st_size}

    rewrite(bundle, add)
    refused(bundle, name, "no kind of file")


def test_a_newer_format_says_what_to_install(bundle: Path) -> None:
    rewrite(bundle, lambda manifest: manifest.update(format_version=2))
    refused(bundle, "manifest.json", "Install a newer Nexus")


def test_no_manifest_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json: is missing"):
        read_manifest(tmp_path)


def test_a_capability_not_marked_open_is_closed(bundle: Path) -> None:
    rewrite(bundle, lambda manifest: manifest["capabilities"]["sums"].pop("isolated"))
    assert read_manifest(bundle).capabilities["sums"].isolated


def test_a_header_that_lies_is_refused(bundle: Path) -> None:
    file = bundle / "router" / "router.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["weight"]["data_offsets"][1] += 4096
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])

    def accept(manifest: dict[str, Any]) -> None:
        entry = {"sha256": file_digest(file), "bytes": file.stat().st_size}
        manifest["files"]["router/router.safetensors"] = entry

    rewrite(bundle, accept)
    refused(bundle, "router/router.safetensors", "no safetensors file")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every example of a test writes its one file to."""
    return tmp_path_factory.mktemp("fuzzed")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_manifest_makes_the_reader_crash(
    scratch: Path, bytes_of: dict[str, bytes], data: st.DataObject
) -> None:
    manifest = json.loads(bytes_of["manifest.json"])
    place: Any = manifest
    for _ in range(data.draw(st.integers(1, 4))):
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            break
        key = data.draw(st.sampled_from(list(keys)))
        if isinstance(place[key], dict | list) and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(JSON_VALUES)
        break
    (scratch / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError) as caught:  # it lists files that are not there
        verify(scratch, read_manifest(scratch))
    assert caught.value.path


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
def test_no_bytes_for_a_manifest_make_the_reader_crash(scratch: Path, content: bytes) -> None:
    (scratch / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError):
        read_manifest(scratch)


HEADERS = st.dictionaries(
    st.sampled_from(["weight", "bias", "__metadata__", ""]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "BOOL", "F4", "X", ""]),
            "shape": st.lists(st.integers(-1, 9) | st.just(2**62), max_size=3),
            "data_offsets": st.lists(st.integers(-8, 80) | st.just(2**63), max_size=3),
        }
    )
    | JSON_VALUES,
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(
    header=HEADERS.map(lambda header: json.dumps(header).encode()) | st.binary(max_size=64),
    claimed=st.none() | st.integers(0, 200) | st.just(2**64 - 1) | st.just(100_000_001),
    body=st.integers(0, 80),
)
def test_no_header_makes_the_reader_crash(
    scratch: Path, header: bytes, claimed: int | None, body: int
) -> None:
    """Refused, or true: then every tensor can be read, and they fill the file exactly."""
    file = scratch / "a.safetensors"
    length = len(header) if claimed is None else claimed
    file.write_bytes(length.to_bytes(8, "little") + header + bytes(body))
    try:
        verify_safetensors(file, "a.safetensors")
    except BundleError as error:
        assert error.path == "a.safetensors"
        return
    described = json.loads(header[:length])
    spans = sorted(each["data_offsets"] for name, each in described.items() if name[:2] != "__")
    assert 8 + length + (spans[-1][1] if spans else 0) == file.stat().st_size
    assert all(before[1] == after[0] for before, after in pairwise(spans))
