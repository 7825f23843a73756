"""Manifests that mean harm: read in two ways, twins, borrowed files, counts without end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import Change, edit_manifest, most_memory, put

from nexus import BundleError
from nexus.cli import main
from nexus.manifest import read_manifest, verify, with_seal


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(bundles["int8"], tmp_path / "bundle")


def refused(bundle: Path, words: str = "") -> BundleError:
    with most_memory(megabytes=150), pytest.raises(BundleError) as caught:
        verify(bundle, read_manifest(bundle))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000
    return caught.value


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"name": ', '"name": "another", "name": '),
        ('"isolated": true', '"isolated": true, "isolated": false'),
        ('"files": {', '"files": {}, "files": {'),
        ('"bytes": ', '"bytes": 0, "bytes": '),
        ('"isolated": true', '"isolated": true, "is\\u006flated": false'),
    ],
)
def test_a_name_given_twice_is_refused(bundle: Path, once: str, twice: str) -> None:
    """Readers differ on which of the two counts: one would see an open capability."""
    file = bundle / "manifest.json"
    text = file.read_text(encoding="utf-8")
    assert once in text
    file.write_bytes(with_seal(text.replace(once, twice, 1).encode()))
    refused(bundle, "stands twice in one object")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{" + b" " * (5 << 20) + b"}",
        b"[" + b"0," * 1_000_000 + b"0]",
        b'{"format_version": 1e999}',
        b'{"format_version": NaN}',
        b'{"format_version": ' + b"9" * 100_000 + b"}",
        '{"format": "nexus-bundle"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"format": "nexus-bundle"}',
    ],
    ids=range(9),
)
def test_text_that_only_some_readers_take_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    assert refused(bundle).path == "manifest.json"


@pytest.mark.parametrize(
    "twin",
    [
        "readme.md",
        "README.MD",
        "Backbone/config.json",
        "ADAPTERS/sums_adapter.json",
        "\uff32\uff25\uff21\uff24\uff2d\uff25.md",  # full width, README in NFKC
        "re\u0301sume.md",
        "r\u00e9sume.md",
        "README\u200b.md",
        "README.md ",
        "README.md.",
        "adapters/.hidden.json",
        "adapters//sums_adapter.json",
        "con\u0131.md",
        "a" * 300 + ".md",
        "a/" * 200 + "a.md",
        "new\nline.md",
        "\x1b[2J.md",
    ],
)
def test_a_name_that_could_be_taken_for_another_is_refused(bundle: Path, twin: str) -> None:
    def add(manifest: dict[str, Any]) -> None:
        manifest["files"][twin] = manifest["files"]["README.md"]

    edit_manifest(bundle, add)
    error = refused(bundle)
    assert error.path == "manifest.json" or error.path == twin
    assert "\x1b" not in str(error)


def test_capabilities_that_differ_in_case_alone_are_refused(bundle: Path) -> None:
    def add(manifest: dict[str, Any]) -> None:
        manifest["capabilities"]["SUMS"] = manifest["capabilities"]["sums"]

    edit_manifest(bundle, add)
    refused(bundle, "differ in case alone")


def borrow(key: str) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        capabilities = manifest["capabilities"]
        capabilities["sums"][key] = capabilities["private"][key]

    return change


def disown(manifest: dict[str, Any]) -> None:
    """As above, and no file says whose it is."""
    borrow("adapter")(manifest)
    for entry in manifest["files"].values():
        entry.pop("capability", None)


def take_over(manifest: dict[str, Any]) -> None:
    """The isolated adapter is said to be the open capability's."""
    borrow("adapter")(manifest)
    manifest["files"]["adapters/private_adapter.safetensors"]["capability"] = "sums"


def name_it_otherwise(manifest: dict[str, Any]) -> None:
    manifest["capabilities"]["sums"]["projection"] = "adapters/private_adapter.safetensors"


@pytest.mark.parametrize(
    "change",
    [borrow("adapter"), borrow("configuration"), disown, take_over, name_it_otherwise],
)
def test_an_open_capability_has_no_file_of_an_isolated_one(bundle: Path, change: Change) -> None:
    edit_manifest(bundle, change)
    refused(bundle)


def test_nor_a_copy_of_its_weights_under_another_name(bundle: Path) -> None:
    weights = (bundle / "adapters/private_adapter.safetensors").read_bytes()
    put(bundle, "adapters/sums_adapter.safetensors", weights)
    refused(bundle, "have the same weights, and one is isolated")


@pytest.mark.parametrize("role", ["adapter", "configuration"])
@pytest.mark.parametrize("path", ["backbone/backbone.safetensors", "router/router.json"])
def test_an_adapter_is_an_adapters_file(bundle: Path, role: str, path: str) -> None:
    edit_manifest(bundle, lambda manifest: manifest["capabilities"]["sums"].update({role: path}))
    refused(bundle, "is no adapter's file")


@pytest.mark.parametrize("inside", [True, False])
def test_a_hard_link_is_refused(bundle: Path, tmp_path: Path, inside: bool) -> None:
    """It could be changed under its other name."""
    if inside:
        os.link(bundle / "README.md", bundle / "copy.md")
        entry = json.loads((bundle / "manifest.json").read_bytes())["files"]["README.md"]
        edit_manifest(bundle, lambda manifest: manifest["files"].update({"copy.md": entry}))
    else:
        os.link(bundle / "backbone/config.json", tmp_path / "elsewhere.json")
    refused(bundle, "is a hard link")


def test_a_manifest_with_another_name_is_refused(bundle: Path, tmp_path: Path) -> None:
    os.link(bundle / "manifest.json", tmp_path / "elsewhere.json")
    assert refused(bundle).path == "manifest.json"


def test_a_pipe_keeps_nobody_waiting(bundle: Path) -> None:
    (bundle / "README.md").unlink()
    os.mkfifo(bundle / "README.md")
    refused(bundle, "is no ordinary file")
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    assert refused(bundle).path == "manifest.json"


def many(count: int, section: str, item: Callable[[int], tuple[str, Any]]) -> Change:
    return lambda manifest: manifest[section].update(item(number) for number in range(count))


def stop(**fields: Any) -> Change:
    return lambda manifest: manifest["capabilities"]["sums"]["stop"].update(fields)


ENTRY = {"sha256": "0" * 64, "bytes": 0}


@pytest.mark.parametrize(
    "change",
    [
        many(20_000, "files", lambda number: (f"{number}.md", ENTRY)),
        many(2000, "capabilities", lambda number: (f"c{number}", {})),
        lambda manifest: manifest["files"]["README.md"].update(bytes=1 << 60),
        stop(max_new_tokens=10**18),
        stop(strings=["x"] * 10_000),
        stop(strings=["x" * 1_000_000]),
        lambda manifest: manifest["capabilities"]["sums"].update(template="x" * 1_000_000),
        lambda manifest: manifest.update(quantization="int2"),
        lambda manifest: manifest.update(quantization="none; rm"),
        lambda manifest: manifest.update(format_version=10**30),
    ],
    ids=range(10),
)
def test_counts_and_sizes_have_limits(bundle: Path, change: Change) -> None:
    edit_manifest(bundle, change)
    assert refused(bundle).path == "manifest.json"


def test_a_file_that_claims_to_be_larger_than_memory_takes_none(bundle: Path) -> None:
    with (bundle / "README.md").open("r+b") as file:
        file.truncate(1 << 40)  # sparse: it takes no disk either
    refused(bundle, "bytes, not")


def test_what_is_refused_is_said_in_one_line(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "fake\nnexus: all files are as they were made\x1b[8m.md"
    (bundle / name).write_bytes(b"")
    assert main(["verify", str(bundle)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "\x1b" not in said.err
