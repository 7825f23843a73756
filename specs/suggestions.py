"""What was most likely meant by a value that is not allowed."""

from __future__ import annotations

import re
from typing import Any

from specs.problems import nearest
from specs.schema import Schema, allows, choices, describe, field_names

# Other words that people use for a choice; the first that is among the choices counts.
_SYNONYMS = {
    "gpu": ("cuda",),
    "nvidia": ("cuda",),
    "f1": ("token_f1",),
    "wer": ("word_error_rate",),
    "em": ("exact_match",),
    "rouge": ("rouge_l",),
    "bpb": ("bits_per_byte",),
    "pass@1": ("unit_tests",),
    "float32": ("fp32",),
    "bfloat16": ("bf16",),
    "fp16": ("bf16",),
    "float16": ("bf16",),
    "8bit": ("int8",),
    "4bit": ("nf4",),
    "int4": ("nf4",),
    "fp4": ("nf4",),
}
_TRUTH = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def meant(value: Any, schema: Schema) -> str:
    """`; did you mean X?`, or nothing."""
    found = _meant(value, schema)
    return f"; did you mean {found}?" if found is not None else ""


def _meant(value: Any, schema: Schema) -> str | None:
    if describe(schema).startswith("a size"):
        return _size(value)
    if not isinstance(value, str):
        return _share(value, schema)
    names = choices(schema)
    for synonym in _SYNONYMS.get(value.lower(), ()):
        if synonym in names:
            return synonym
    close = nearest(value, names)
    if close is not None:
        return close
    if allows(schema, "boolean"):
        return _TRUTH.get(value.lower())
    if allows(schema, "number") or allows(schema, "integer"):
        return _number(value, schema)
    short = len(value) <= 40 and re.fullmatch(r"[\w./-]+", value)
    if short and value != "all" and allows(schema, "array"):
        return f"[{value}]"
    if short and "path" in field_names(schema):
        return f"{{path: {value}}}"
    return None


def _number(text: str, schema: Schema) -> str | None:
    """The number in `3_000`, `3k` or `"500"`; the share in `97%`."""
    percent = re.fullmatch(r"([0-9.]+) ?%", text)
    if percent:
        return _share(float(percent[1]), schema) if percent[1].count(".") < 2 else None
    thousands = re.fullmatch(r"([0-9]+) ?[kK]", text)
    plain = f"{thousands[1]}000" if thousands else re.sub(r"[_ ,]", "", text)
    whole = re.fullmatch(r"[0-9]+", plain)
    decimal = allows(schema, "number") and re.fullmatch(r"[0-9]+\.[0-9]+", plain)
    return plain if whole or decimal else None


def _share(value: Any, schema: Schema) -> str | None:
    """A percentage where a share is wanted."""
    largest = schema.get("maximum", schema.get("exclusiveMaximum"))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and allows(schema, "number") and largest is not None and largest <= 1.2:
        return f"{value / 100:g}" if 10 <= value <= 100 else None
    return None


def _size(value: Any) -> str | None:
    number = re.match(r"[0-9]+(?:\.[0-9]+)?(?![0-9,])", str(value).strip())
    return f"{number[0]}GB" if number and not isinstance(value, bool) else None
