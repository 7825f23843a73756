"""What a record may say. Nothing of it is used before it was checked here, no matter who wrote it.

A record comes from an archive, from a store that was copied, or from a disk that lost a byte. Its
paths become files, its numbers are computed with, its texts are shown: each has its form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from nexusbuild.rule.names import fault_in_path, fault_in_paths, is_digest, is_target_id

MOST_BYTES = 4 << 20  # of a record's text
VERDICTS = ("pass", "fail", "inconclusive")

_WORK = re.compile(r"[\w.]{1,500}:\w{1,200}")
LONGEST_TEXT = 20_000
_DEEPEST = 64
_LARGEST = 1 << 60

Check = Callable[[Any, str], None]  # raises DamagedRecordError; is told where the value stands


class DamagedRecordError(ValueError):
    """It is no record, or not the one that it says it is; the text says why."""


def check_record(raw: object) -> None:
    """Raises DamagedRecordError where `raw` has not the form that `Record.to_json` gives."""
    _check_depth(raw)
    _RECORD(raw, "it")
    assert isinstance(raw, Mapping)
    outputs = raw["outputs"]
    fault = fault_in_paths([output["path"] for output in outputs])
    if fault is not None:
        raise DamagedRecordError(fault)
    sizes: dict[str, int] = {}
    for output in outputs:
        if sizes.setdefault(output["sha256"], output["bytes"]) != output["bytes"]:
            raise DamagedRecordError("one file has two sizes")


def _check_depth(raw: object) -> None:
    level = [raw]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise DamagedRecordError(f"it is nested more than {_DEEPEST} deep")


def _rule(wanted: str, holds: Callable[[Any], bool]) -> Check:
    def check(value: Any, where: str) -> None:
        if not holds(value):
            raise DamagedRecordError(f"{where} is not {wanted}")

    return check


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable()


def _is_lines(value: Any) -> bool:
    return isinstance(value, str) and _is_text(value.replace("\n", "").replace("\t", ""))


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and 0 <= value <= _LARGEST


def _is_moment(value: Any) -> bool:
    from datetime import datetime

    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_work(value: Any) -> bool:
    return isinstance(value, str) and _WORK.fullmatch(value) is not None


def _is_reference(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    target, mark, file = value.partition("#")
    return is_target_id(target) and (not mark or fault_in_path(file) is None)


def _list_of(check: Check, least: int = 0) -> Check:
    def check_list(value: Any, where: str) -> None:
        if not isinstance(value, list):
            raise DamagedRecordError(f"{where} is not a list")
        if len(value) < least:
            raise DamagedRecordError(f"{where} is empty")
        for place, each in enumerate(value):
            check(each, f"{where}[{place}]")

    return check_list


def _mapping_of(check: Check) -> Check:
    def check_mapping(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise DamagedRecordError(f"{where} is not an object")
        for name, each in value.items():
            if not _is_text(name):
                raise DamagedRecordError(f"{where} has a name that cannot be shown")
            check(each, f"{where}.{name}")

    return check_mapping


def _object(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, open: bool = False
) -> Check:
    """open: other members may stand in it, too."""
    known = {**required, **(optional or {})}

    def check_object(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise DamagedRecordError(f"{where} is not an object")
        missing = required.keys() - value.keys()
        if missing:
            raise DamagedRecordError(f"{where} has no {min(missing)!r}")
        unknown = value.keys() - known.keys()
        if unknown and not open:
            raise DamagedRecordError(f"{where} has an unknown {ascii(min(unknown))[:80]}")
        for name in value.keys() & known.keys():
            known[name](value[name], name if where == "it" else f"{where}.{name}")

    return check_object


def _maybe(check: Check) -> Check:
    def check_if_there(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return check_if_there


_text = _rule("a text that can be shown", _is_text)
_lines = _rule("a text that can be shown", _is_lines)
_number = _rule("a number", _is_number)
_count = _rule("a whole number from 0 on", _is_count)
_seconds = _rule("a time in seconds", _is_seconds)
_moment = _rule("a date with a time zone", _is_moment)
_digest = _rule("a SHA-256", is_digest)
_scalar = _rule("a text or a number", lambda value: _is_text(value) or _is_number(value))

_PROVENANCE = _object(
    {},
    {
        "seconds": _seconds,
        "peak_rss_bytes": _count,
        "peak_vram_bytes": _count,
        "measured": _mapping_of(_number),
        "notes": _list_of(_lines),
        "started": _moment,
        "finished": _moment,
        "expected_seconds": _maybe(_seconds),
        "threads": _count,
        "host": _mapping_of(_scalar),
        "libraries": _mapping_of(_text),
        "builder": _text,
        "accepted": _list_of(_object({"when": _moment, "who": _text, "why": _lines}, open=True)),
        "imported": _object({"from": _text, "when": _moment}),
    },
    open=True,
)
_RECORD = _object(
    {
        "key": _digest,
        "target": _rule("the id of a target", is_target_id),
        "work": _rule("`package.module:function`", _is_work),
        "settings": _rule("an object", lambda value: isinstance(value, dict)),
        "inputs": _mapping_of(
            _object(
                {
                    "reference": _rule("a reference to a target", _is_reference),
                    "digest": _digest,
                    "key": _digest,
                }
            )
        ),
        "sources": _mapping_of(_object({"path": _text, "digest": _digest})),
        "code": _object(
            {
                "fingerprint": _digest,
                "modules": _mapping_of(_digest),
                "libraries": _list_of(_text),
            }
        ),
        "outputs": _list_of(
            _object(
                {
                    "path": _rule("a text", lambda value: isinstance(value, str)),
                    "sha256": _digest,
                    "bytes": _count,
                }
            ),
            least=1,
        ),
        "verdict": _maybe(
            _object(
                {"verdict": _rule(f"one of {', '.join(VERDICTS)}", lambda v: v in VERDICTS)},
                {"summary": _lines},
                open=True,
            )
        ),
        "provenance": _PROVENANCE,
    }
)
