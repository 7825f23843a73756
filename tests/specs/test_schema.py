"""The JSON Schema is current and says what the models say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import specs
from specs.reference import page_with_reference
from specs.schema import json_schema, json_schema_text

ROOT = Path(specs.__file__).parent


def test_the_file_is_current() -> None:
    """If not: `nexusbuild schema > specs/nexus.schema.json`."""
    assert (ROOT / "nexus.schema.json").read_text(encoding="utf-8") == json_schema_text()


def test_every_field_is_described() -> None:
    def undescribed(node: dict[str, Any], where: str) -> list[str]:
        return [
            f"{where}.{name}"
            for name, field in node.get("properties", {}).items()
            if not field.get("description")
        ]

    schema = json_schema()
    assert undescribed(schema, "") == []
    missing = [name for key, part in schema["$defs"].items() for name in undescribed(part, key)]
    assert missing == []


def test_the_sample_names_its_schema() -> None:
    for file, path in (
        (ROOT.parent / "nexus.yaml", "./specs"),
        (ROOT.parent / "tests/tiny.yaml", "../specs"),
    ):
        first = file.read_text(encoding="utf-8").split("\n")[0]
        assert first == f"# yaml-language-server: $schema={path}/nexus.schema.json"


def test_retention_thresholds_stand_in_the_spec_alone() -> None:
    """The default is 0.97, here and in the schema that is made from here."""
    contract = json_schema()["$defs"]["Contract"]["properties"]["retain_fraction"]
    assert contract["default"] == 0.97
    assert contract["exclusiveMinimum"] == 0
    assert contract["maximum"] == 1.2


def test_names_of_contracts_have_a_schema() -> None:
    extra = json_schema()["$defs"]["Contracts"]["additionalProperties"]
    assert extra == {"$ref": "#/$defs/Contract"}


def test_examples_load() -> None:
    text = (ROOT.parent / "nexus.yaml").read_text(encoding="utf-8")
    spec = specs.load_text(text)
    assert spec.contracts.of("reasoning").retain_fraction == 0.97
    assert yaml.safe_load(text)["name"] == spec.name


def test_the_reference_is_current() -> None:
    """If not: `python -m specs.reference docs/spec.md`."""
    page = (ROOT.parent / "docs" / "spec.md").read_text(encoding="utf-8")
    assert page_with_reference(page) == page
    for name in ("datasets.NAME", "teachers[].source.train", "student.backbone", "bundle"):
        assert f"### `{name}`" in page


def test_the_page_has_a_spec_that_loads() -> None:
    page = (ROOT.parent / "docs" / "spec.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert specs.load_text(example).name == "my_model"


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the reference"):
        page_with_reference("# nothing\n")
