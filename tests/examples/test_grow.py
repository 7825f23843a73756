"""The example of a growing build is the sample, and what stands between its marks."""

from __future__ import annotations

from pathlib import Path

from targets.resolver import resolve

ROOT = Path(__file__).parents[2]
SAMPLE, GROWN = ROOT / "nexus.yaml", ROOT / "examples" / "grow" / "nexus.yaml"
BEGIN, END = "# >>>", "# <<<"


def without_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def taken_back(text: str) -> str:
    """The text without what is marked as new, and with what it stands instead of."""
    kept: list[str] = []
    new = False
    for line in text.splitlines():
        mark = line.strip()
        if mark == BEGIN:
            new = True
        elif mark.startswith(END):
            new = False
            old = mark.removeprefix(END).strip().removeprefix("instead of ")
            kept += [f"  include: {old}"] if old else []
        elif not new:
            kept.append(line)
    return "\n".join(kept)


def test_it_is_the_sample_and_what_was_appended() -> None:
    grown = GROWN.read_text(encoding="utf-8")
    sample = without_comments(SAMPLE.read_text(encoding="utf-8"))
    assert without_comments(taken_back(grown)) == sample
    assert without_comments(grown) != sample


def test_nothing_of_the_sample_is_made_anew_but_router_and_lists() -> None:
    before = resolve(SAMPLE, {})
    after = resolve(GROWN, before.lock_values)
    changed = {
        target.id
        for target in after
        if target.id not in {one.id for one in before} or target != before[target.id]
    }
    own = {f"{kind}:analyst/queries" for kind in ("baseline", "profile", "trace")}
    own |= {f"{kind}:queries" for kind in ("architecture", "adapter", "pack", "score", "gate")}
    own |= {"dataset:queries", "trained_teacher:analyst", "teacher:analyst"}
    assert changed == own | {"router", "gate:router", "registry", "bundle"}
