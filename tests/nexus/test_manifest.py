"""Bundles that were tampered with: each way is refused, with the name of the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.errors import BundleError
from nexus.manifest import file_digest, read_manifest, verify, verify_safetensors


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
    file.write_text(json.dumps(manifest), encoding="utf-8")


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


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_manifest_makes_the_reader_crash(
    bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    manifest = json.loads((bundles["int8"] / "manifest.json").read_text(encoding="utf-8"))
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
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    try:
        verify(folder, read_manifest(folder))
    except BundleError as error:
        assert error.path


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 200))
def test_no_header_makes_the_reader_crash(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, claimed: int
) -> None:
    file = tmp_path_factory.mktemp("fuzzed") / "a.safetensors"
    file.write_bytes(claimed.to_bytes(8, "little") + noise)
    try:
        verify_safetensors(file, "a.safetensors")
    except BundleError as error:
        assert error.path == "a.safetensors"
