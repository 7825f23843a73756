"""Rules for the licences of teachers and data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specs.crosschecks.sections import Sections, as_mapping, names_in
from specs.document import FieldPath
from specs.problems import SpecProblem, known_names, suggestion
from specs.values import NO_ASSERTION


def licence_problems(sections: Sections) -> Iterator[SpecProblem]:
    section = as_mapping(sections.document.data.get("licences"))
    if not isinstance(section.get("allow"), list):
        return
    allow = names_in(section.get("allow"))
    places: list[tuple[FieldPath, dict[str, Any], bool]] = [
        (("datasets", name), dataset, dataset.get("path") is not None)
        for name, dataset in sections.datasets.items()
    ]
    for index, teacher in sections.teachers:
        source = as_mapping(teacher.get("source"))
        foreign = source.get("path") is not None or source.get("hub") is not None
        places.append((("teachers", index), teacher, foreign))
    for path, entry, foreign in places:
        licence = entry.get("licence")
        allowed = f"licences.allow: {known_names(allow)}"
        if licence == NO_ASSERTION and NO_ASSERTION not in allow:
            remedy = f"find it out; {allowed}, or {NO_ASSERTION} too, at your own risk"
            yield sections.problem((*path, "licence"), "its licence is not known", remedy)
        elif isinstance(licence, str) and licence not in allow:
            meant = suggestion(licence, allow) or _spdx_unknown(licence)
            remedy = allowed + (meant or f"; add {licence} there if its terms suit you")
            yield sections.problem((*path, "licence"), f'"{licence}" is not allowed', remedy)
        elif licence is None and foreign:
            remedy = f"say its licence, {NO_ASSERTION} where it is not known; {allowed}"
            yield sections.problem(path, "names no licence", remedy, at_key=True)


def _spdx_unknown(licence: str) -> str:
    """SPDX has its own word for a licence that is not known."""
    words = ("unknown", "none", "n/a", "na", "other", "tbd", "?", "")
    return f"; did you mean {NO_ASSERTION}?" if licence.strip().lower() in words else ""
