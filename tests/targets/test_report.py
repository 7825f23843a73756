"""`nexusbuild report`: what stands on the page, and how it looks in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from browser import CHROMIUM, Browser

from nexusbuild.cli import main
from targets.report.axes import Axis
from targets.report.charts import interval_chart
from targets.report.facts import Project
from targets.report.graph_picture import place_rows
from targets.report.page import SECTIONS, page

TINY = Path(__file__).parents[1] / "tiny.yaml"
EVIL = "</style><script>document.title='x'</script>\"'&<img src=x onerror=alert(1)>"


class Parsed(HTMLParser):
    """Elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self) -> list[str]:
        return [at["id"] or "" for name, at in self.elements if name == "section"]


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def verdict(name: str, retained: float, word: str) -> dict[str, Any]:
    return {
        "contract": name, "verdict": word, "retained": retained, "retain_fraction": 0.97,
        "interval": [retained - 0.02, retained + 0.02], "interval_confidence": 0.95,
        "teacher": "scholar", "teacher_score": 0.9, "student_score": 0.9 * retained,
        "metric": "exact_match", "items": 1000, "summary": f"{name}: {word}",
    }  # fmt: skip


def target(name: str, *inputs: str, state: str = "fresh", **more: Any) -> SimpleNamespace:
    provenance = {
        "seconds": 61.0, "peak_rss_bytes": 5 << 28, "finished": "2026-11-22T09:21:46+00:00",
        "host": {"processor": "a processor", "threads": 2},
    }  # fmt: skip
    kind = name.partition(":")[0]
    found = {
        "id": name, "kind": kind, "state": state, "inputs": inputs, "expected_seconds": 60.0,
        "reasons": ["seed: 1 -> 2"] if state == "stale" else [], "last_build": "built",
        "outputs": {}, "bytes": 2 << 20, "verdict": None, "provenance": provenance,
    }  # fmt: skip
    return SimpleNamespace(**{**found, **more})


def project(folder: Path, name: str = "verse") -> Project:
    """A project of a few targets, whose files look as the kinds write them."""
    profile = {
        "profile": f"scholar/{name}", "key_layers": [0], "warnings": [f"few tokens of {name}"],
        "reconstruction": {"metric": "exact_match", "whole": 0.9, "explained_variance": 0.97,
                           "holds": True, "trials": [{"metric": 0.9}]},
        "ablation": {"metric": "exact_match", "whole": 0.9, "nll_rise": [2.0, 0.1],
                     "without": {"0": 0.1}},
    }  # fmt: skip
    heads = {
        "heads": {"0": [0.1, 0.2], "1": [0.0, 0.4]}, "groups": {"0": [0.1, 0.2], "1": [0.0, 0.4]},
        "removed_groups": [[1, 0]], "method": "gate gradient", "unit": "nats per answer token",
    }  # fmt: skip
    layer = {
        "k": 2, "d": 4, "massive_channels": [], "curve": [0.6, 0.97, 0.99, 1.0],
        "heldout_curve": [0.5, 0.9, 0.95, 1.0],
    }  # fmt: skip
    profiled = {
        "profile.json": write_json(folder / "profile.json", profile),
        "heads_importance.json": write_json(folder / "heads_importance.json", heads),
        "layer_0_meta.json": write_json(folder / "layer_0_meta.json", layer),
    }
    log = write_rows(
        folder / "training_log.jsonl",
        [
            {"aligned": 1.0},
            {"loss": 2.0, "round": 0, "step": 50},
            {"loss": 0.5, "round": 0, "step": 100},
            {"round": 0, "step": 100, "validation_loss": 0.6},
            {"event": "rolled back", "goes_on_at": 50, "round": 0, "step": 100, "to_step": 50},
            {"round": 0, "validation_retained": 0.9},
            {"loss": 0.3, "round": 1, "step": 50},
            {"round": 1, "validation_retained": 1.01},
        ],
    )
    manifest = {
        "components": {"backbone": {"bytes": 9 << 20, "parameters": 1_115_264}},
        "files": {"backbone/backbone.safetensors": {"bytes": 9 << 20}},
    }
    judged = write_json(folder / "gate" / "verdict.json", verdict(name, 0.95, "fail"))
    items = write_rows(
        folder / "gate" / "items.jsonl", [{"id": "a", "teacher": 1.0, "student": 0.0}]
    )
    answers = {
        role: write_rows(folder / role / "eval.jsonl", [{"id": "a", "answer": f"{role} of {name}"}])
        for role in ("teacher", "student")
    }
    rows = [{"id": "a", "prompt": f"say {name}", "answer": f"reference of {name}"}]
    asked = write_rows(folder / "dataset" / "eval.jsonl", rows)
    result = SimpleNamespace(
        outputs={"verdict.json": judged, "items.jsonl": items},
        inputs={
            "eval": {"eval.jsonl": asked},
            "baseline/scholar": {"eval.jsonl": answers["teacher"]},
            "score": {"eval.jsonl": answers["student"]},
        },
        missing=(),
    )
    targets = [
        target(f"dataset:{name}"),
        target(f"profile:scholar/{name}", f"dataset:{name}", outputs=profiled),
        target(f"adapter:{name}", f"profile:scholar/{name}", outputs={"training_log.jsonl": log}),
        target(
            f"gate:{name}", f"adapter:{name}", state="stale", verdict=verdict(name, 0.95, "fail")
        ),
        target(
            "bundle",
            f"gate:{name}",
            state="maybe",
            outputs={"b/manifest.json": write_json(folder / "manifest.json", manifest)},
        ),
    ]
    builds = [
        SimpleNamespace(
            number=number, started=1_795_338_900.0 + 600 * number, command=f"nexusbuild {name}",
            exit_code=0 if word == "pass" else 3, seconds=75.0, states={f"gate:{name}": "built"},
            verdicts={f"gate:{name}": verdict(name, retained, word)},
        )
        for number, (retained, word) in enumerate([(1.0, "pass"), (0.95, "fail")], start=1)
    ]  # fmt: skip
    whole = SimpleNamespace(
        spec=folder / "nexus.yaml", store=folder / ".nexus", store_bytes=3 << 30, targets=targets,
        builds=builds, notes=[f"{name} is pinned"],
    )  # fmt: skip
    return Project(name, whole, lambda _: result, ram=1 << 30, vram=None, disk=4 << 30)


def test_the_page_says_what_is_known(tmp_path: Path) -> None:
    parsed = Parsed(page(project(tmp_path), now=1_795_400_000.0).decode())
    assert parsed.ids() == [name for name, _, _ in SECTIONS]
    for text in (
        "✕ 1 of 1 contracts not met: verse.",
        "retained 0.950, 95 % interval 0.930 to 0.970",
        "student 0.855, teacher scholar 0.900 by exact_match; 1,000 held-out prompts",
        "Of the last build: gate:verse is stale by now.",
        "3 fresh, 1 stale, 1 maybe",
        "seed: 1 -> 2",
        "verse is pinned",
        "verse: 1 lost, 0 gained",
        "teacher of verse",
        "student of verse",
        "reference of verse",
        "1.2 GB",  # of memory, where 1 GB is granted
        "1.0 GB too much",
        "1,115,264",
        "1.01 retained on validation rows after round 2",
        "100 % of the tokens aligned with the teacher's",
        "rolled back at step 100",
        "exact match 0.900 whole, 0.900 with only 97 % of the variance of its key blocks: ✓ holds",
        "Warning: few tokens of verse",
        "5 min 5 s summed over 5 targets",
        "1 built, exit code 3",
    ):
        assert text in parsed.text, text


def test_the_same_project_gives_the_same_page_whenever_it_is_written(tmp_path: Path) -> None:
    first, second = (page(project(tmp_path), now).decode() for now in (0.0, 1e9))
    apart = [pair for pair in zip(first.splitlines(), second.splitlines()) if pair[0] != pair[1]]
    assert len(apart) == 1
    (one, other) = apart[0]
    assert one.partition("Written ")[0] == other.partition("Written ")[0]


def test_a_damaged_file_costs_its_section_alone(tmp_path: Path) -> None:
    whole = project(tmp_path)
    (tmp_path / "training_log.jsonl").write_text("not JSON", encoding="utf-8")
    parsed = Parsed(page(whole, 0.0).decode())
    assert parsed.ids() == [name for name, _, _ in SECTIONS]
    assert parsed.text.count("This cannot be shown") == 1
    assert "JSONDecodeError" in parsed.text
    assert "retained 0.950" in parsed.text


def test_names_stay_text(tmp_path: Path) -> None:
    """Whatever a spec, a row or an answer holds, it makes no element and no attribute."""
    plain = Parsed(page(project(tmp_path / "plain"), 0.0).decode())
    evil = Parsed(page(project(tmp_path / "evil", EVIL), 0.0).decode())
    assert [name for name, _ in evil.elements] == [name for name, _ in plain.elements]
    keys = [set(at) for _, at in evil.elements]
    assert keys == [set(at) for _, at in plain.elements]
    assert f"say {EVIL}" in evil.text


def test_nothing_of_the_page_comes_from_elsewhere(tmp_path: Path) -> None:
    parsed = Parsed(page(project(tmp_path), 0.0).decode())
    for name, attributes in parsed.elements:
        assert name not in ("img", "link", "iframe", "object", "base")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    (policy,) = [at["content"] for _, at in parsed.elements if "http-equiv" in at]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_nothing_built_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "nexus.yaml"
    spec.write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["report", "-f", str(spec)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        str(tmp_path / "build" / "report.html"),
        "nothing is built yet; the page shows what a build would do",
    ]
    parsed = Parsed((tmp_path / "build" / "report.html").read_text(encoding="utf-8"))
    assert parsed.ids() == [name for name, _, _ in SECTIONS]
    assert "Nothing is built yet. nexusbuild builds it" in parsed.text
    assert "never built" in parsed.text
    assert not (tmp_path / ".nexus").exists()


def test_the_command_says_where_the_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "nexus.yaml"
    spec.write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    file = tmp_path / "pages" / "today.html"
    assert main(["report", "-f", str(spec), "--output", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "report": str(file),
        "bytes": file.stat().st_size,
    }
    assert [each.name for each in file.parent.iterdir()] == ["today.html"]


def test_a_broken_spec_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "nexus.yaml"
    spec.write_text("nexus: 1\nname: 3\n", encoding="utf-8")
    assert main(["report", "-f", str(spec), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2
    assert not (tmp_path / "build").exists()


def test_rows_of_the_graph_need_only_those_above() -> None:
    needs = {"a": (), "b": (), "c": ("a",), "d": ("a", "c"), **{f"x{n}": ("b",) for n in range(9)}}
    rows = place_rows([target(f"k:{name}", *(f"k:{each}" for each in inputs))
                   for name, inputs in needs.items()])  # fmt: skip
    row_of = {each.id: place for place, row in enumerate(rows) for each in row}
    assert sorted(row_of) == sorted(f"k:{name}" for name in needs)
    for name, inputs in needs.items():
        assert all(row_of[f"k:{each}"] < row_of[f"k:{name}"] for each in inputs)
    assert max(map(len, rows)) <= 6


def test_an_interval_is_drawn_to_scale() -> None:
    svg = interval_chart(1.0, (0.98, 1.02), 0.97, "x")
    (value,) = svg.iter("circle")
    whisker = next(each for each in svg.iter("line") if each.get("class") == "whisker")
    threshold = next(each for each in svg.iter("line") if each.get("class") == "threshold")
    left, middle, right = (
        float(each or 0) for each in (whisker.get("x1"), value.get("cx"), whisker.get("x2"))
    )
    assert middle - left == pytest.approx(right - middle, abs=0.02)
    assert left - float(threshold.get("x1") or 0) == pytest.approx((middle - left) / 2, abs=0.02)


def test_ticks_are_round_and_inside() -> None:
    assert Axis(0.91, 1.04, 0, 1).ticks(4) == pytest.approx([0.95, 1.0])
    assert Axis(0.0, 1.0, 0, 1).ticks(5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis(0.004, 2.0, 0, 1, log=True).ticks() == pytest.approx([0.01, 0.1, 1.0])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_a_real_screen(
    browser: Browser, tmp_path: Path, width: int, theme: str
) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(page(project(tmp_path, "verse"), 0.0))
    browser.complaints.clear()
    browser.open(file, width, theme)
    assert browser.complaints == []
    assert browser.value("[...document.querySelectorAll('section')].map(each => each.id)") == [
        name for name, _, _ in SECTIONS
    ]
    # A phone would zoom out on a page wider than its screen; window.innerWidth tells.
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("window.innerWidth") == width
    (red, *_) = browser.value(
        "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    )
    assert (red > 128) == (theme == "light")
    # What is folded away must fit, too.
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert browser.value("document.documentElement.scrollWidth") <= width
    cut = "[...document.querySelectorAll('svg text')].filter(text => {" \
        " const box = text.getBBox(), view = text.ownerSVGElement.viewBox.baseVal;" \
        " return box.x < view.x - 1 || box.x + box.width > view.x + view.width + 1" \
        " }).map(text => text.textContent)"  # fmt: skip
    assert browser.value(cut) == []


def test_touching_a_target_shows_what_it_needs(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(page(project(tmp_path), 0.0))
    browser.open(file, 1280, "light")
    touch = "document.querySelector('[data-id=\"adapter:verse\"]').dispatchEvent(" \
        "new MouseEvent('click', {bubbles: true}))"  # fmt: skip
    near = "[...document.querySelectorAll('.node.near')].map(each => each.dataset.id).sort()"
    browser.value(touch)
    assert browser.value(near) == sorted(
        ["dataset:verse", "profile:scholar/verse", "adapter:verse", "gate:verse", "bundle"]
    )
    browser.value(touch)
    assert browser.value(near) == []
    key = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})"
    browser.value(f"document.querySelector('[data-id=bundle]').dispatchEvent({key})")
    assert len(browser.value(near)) == 5


def test_evil_names_run_nothing(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(page(project(tmp_path, EVIL), 0.0))
    browser.complaints.clear()
    browser.open(file, 360, "light")
    assert browser.complaints == []
    assert browser.value("document.title") == f"{EVIL}: report"
    assert browser.value("document.images.length + document.scripts.length") == 1
    assert browser.value("document.documentElement.scrollWidth") <= 360
