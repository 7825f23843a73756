"""The page: its sections in order, in one file that asks for nothing outside itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from xml.etree.ElementTree import Element, tostring

from nexusbuild.plugins import TargetOverview
from targets.report.budgets import sizes
from targets.report.facts import Project, day
from targets.report.markup import Child, tag
from targets.report.plan import graph, stale_now, time_and_memory
from targets.report.profiles import profiles
from targets.report.retention import earlier_builds, lost, retention
from targets.report.training import training

Section = Callable[[Project], list[Element]]
SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("retention", "Retention", retention),
    ("stale", "What is stale now", stale_now),
    ("graph", "Graph", graph),
    ("builds", "Earlier builds", earlier_builds),
    ("lost", "What was lost", lost),
    ("sizes", "Sizes and budgets", sizes),
    ("training", "Training", training),
    ("profiles", "Profiles of the teachers", profiles),
    ("time", "Time and memory", time_and_memory),
)


def page(project: Project, now: float) -> bytes:
    """The report. now: seconds since the epoch, the one thing that is not the project's."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    script = files(__package__).joinpath("page.js").read_text(encoding="utf-8")
    # Whatever a name may hold, the browser runs this one script and fetches nothing.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{project.name}: report"),
        tag("style", style),
    )
    links = (tag("a", title, href=f"#{name}") for name, title, _ in SECTIONS)
    sections = [
        tag("section", tag("h2", title), *_made_by(make, project), id=name)
        for name, title, make in SECTIONS
    ]
    body = tag(
        "body",
        tag("header", tag("h1", project.name), _in_short(project), tag("nav", *links)),
        tag("main", *sections),
        tag("footer", *_made_line(project, now)),
        tag("script", script),
    )
    html = tag("html", head, body, lang="en")
    written: bytes = tostring(html, encoding="utf-8", method="html")
    return b"<!doctype html>\n" + written + b"\n"


def _made_by(make: Section, project: Project) -> list[Element]:
    """A section; where a file behind it is damaged or of another version, it says so."""
    try:
        return make(project)
    except (KeyError, TypeError, ValueError, OSError) as error:
        what = f"{type(error).__name__}: {error}"
        return [tag("p", f"This cannot be shown: a file behind it is not as today's code writes it "
                    f"({what}). Build its target again with --force.")]  # fmt: skip


def _in_short(project: Project) -> Element:
    """The first thing to know, in a sentence."""
    if not project.built:
        return tag("p", "Nothing is built yet. ", tag("code", "nexusbuild"), " builds it; below "
                   "stands what it would do.", class_="lead")  # fmt: skip
    gates = list(project.with_verdict())
    missed = [each for each in gates if (each.verdict or {}).get("verdict") != "pass"]
    unjudged = [each for each in project.overview.targets if each.kind == "gate"]
    if missed:
        names = ", ".join(_name(each) for each in missed)
        text = f"✕ {len(missed)} of {len(gates)} contracts not met: {names}."
    elif len(gates) < len(unjudged):
        text = f"{len(gates)} of {len(unjudged)} contracts judged so far, none missed."
    else:
        text = f"✓ All {len(gates)} contracts met."
    waiting = sum(each.state not in ("fresh", "cached") for each in project.overview.targets)
    if waiting:
        text += f" {waiting} of {len(project.overview.targets)} targets are not up to date."
    return tag("p", text, class_="lead")


def _name(target: TargetOverview) -> str:
    return target.id.partition(":")[2]


def _made_line(project: Project, now: float) -> list[Child]:
    parts = [f"Written {day(now)} by nexusbuild report"]
    newest = max(
        (each.provenance for each in project.overview.targets if each.provenance),
        key=lambda each: str(each.get("finished", "")),
        default=None,
    )
    if newest is not None:
        host = newest.get("host", {})
        parts.append(
            f"last target built {str(newest.get('finished', ''))[:16].replace('T', ' ')} UTC on "
            f"{host.get('processor', '?')}, {host.get('threads', '?')} threads"
        )
    return [tag("p", "; ".join(parts) + ".", class_="small")]
