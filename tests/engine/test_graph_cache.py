"""The graph is resolved again exactly when something that it was resolved from has changed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_project import Toy

from nexusbuild.digest.statcache import read_values, write_values
from nexusbuild.graph_cache import graph_from, graph_values
from nexusbuild.plugins import Graph, Needs, Seen, Source, SpecFolder, Target

GRAIN_SECONDS = 0.12  # what changed less than a tenth of a second ago is not trusted


@pytest.fixture
def kept(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A built project whose graph is kept; `diary` grows by a line whenever it is resolved."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    toy.write("data/a.txt", "one")
    toy.write("lib/helping.py", "WORDS = 'some'\n")
    toy.edit("toy/resolver.py", "import json\n", "import json\nimport sys\n")
    toy.edit(
        "toy/resolver.py",
        "def resolve(",
        "sys.path.append(str(Path(__file__).parents[1] / 'lib'))\n"
        "from helping import WORDS\n\n\ndef resolve(",
    )
    toy.edit("toy/resolver.py", 'settings={"bytes": size}', 'settings={"bytes": size, "w": WORDS}')
    toy.spec |= {"each": ["data/*.txt"], "diary": "diary", "auto": {"width": 3}}
    toy.target("step:a", auto={"width": "width"})
    toy.build()  # writes the lock, from which the graph is resolved from then on
    time.sleep(GRAIN_SECONDS)
    toy.build()
    return toy


def resolved(toy: Toy, *arguments: str) -> bool:
    """Whether a dry run called the resolver."""
    before = (toy.folder / "diary").read_text()
    assert toy.run("-n", *arguments).returncode in (0, 2)
    return (toy.folder / "diary").read_text() != before


def test_a_loaded_module_without_a_real_file_does_not_stand_in_the_way(kept: Toy) -> None:
    kept.edit(
        "toy/resolver.py",
        "import sys\n",
        "import sys\nimport types\n\nsys.modules['made_up'] = types.ModuleType('made_up')\n"
        "sys.modules['made_up'].__file__ = '_made_up.py'\n",
    )
    time.sleep(GRAIN_SECONDS)
    kept.build()
    assert not resolved(kept)


def declared(toy: Toy, *arguments: str) -> Any:
    """The graph as a command sees it, states aside."""
    targets = toy.json("graph", *arguments)["targets"]
    return [{name: each[name] for name in each if name != "state"} for each in targets]


def test_what_the_graph_is_made_from_and_nothing_else_makes_it_anew(kept: Toy) -> None:
    folder = kept.folder

    def lock(old: str, new: str) -> None:
        kept.edit("nexus.lock", old, new)

    edits: list[tuple[str, bool, Callable[[], Any]]] = [
        ("nothing", False, lambda: None),
        ("another file", False, lambda: kept.write("data/b.md", "x")),
        (
            "a comment in its code",
            False,
            lambda: kept.edit("toy/resolver.py", "    seed", "    # !\n    seed"),
        ),
        ("a work's code", False, lambda: kept.edit("toy/works.py", "[:1]", "[:2]")),
        ("a source of the same size", False, lambda: kept.write("data/a.txt", "two")),
        ("the spec", True, lambda: kept.target("step:b", inputs={"a": "step:a"})),
        ("a file that the pattern finds", True, lambda: kept.write("data/b.txt", "three")),
        ("a size", True, lambda: kept.write("data/b.txt", "three and more")),
        ("a file less", True, lambda: (folder / "data/b.txt").unlink()),
        ("its code", True, lambda: kept.edit("toy/resolver.py", '"bytes": size', '"size": size')),
        ("a library", True, lambda: kept.write("lib/helping.py", "WORDS = 'other'\n")),
        ("the lock", True, lambda: lock("it: 3", "it: 4")),
        ("a package installed", True, lambda: (folder / "new-1.0.dist-info").mkdir()),
        ("its entry points", True, lambda: kept.write("new-1.0.dist-info/entry_points.txt", "")),
        ("the cache damaged", True, lambda: kept.write(".nexus/cache/graph", "damaged")),
        ("the cache cut off", True, lambda: os.truncate(folder / ".nexus/cache/graph", 99)),
    ]
    for what, again, edit in edits:
        edit()
        time.sleep(GRAIN_SECONDS)
        assert resolved(kept) is again, what
        assert declared(kept) == declared(kept, "--store", "elsewhere"), what
        if again:
            assert kept.run().returncode == 0
            assert not resolved(kept), f"after {what}"


def test_another_resolver_has_another_graph(kept: Toy) -> None:
    kept.edit(
        "toy/resolver.py",
        "def resolve(",
        "def other(spec, values):\n    return Graph({}, seen=())\n\n\ndef resolve(",
    )
    assert kept.run().returncode == 0
    assert declared(kept, "--resolver", "toy.resolver:other") == []
    assert len(declared(kept)) == 2


def test_a_graph_that_does_not_say_what_it_saw_is_never_kept(kept: Toy) -> None:
    kept.edit("toy/resolver.py", "seen=folder.seen,", "")
    time.sleep(GRAIN_SECONDS)
    assert kept.run().returncode == 0
    assert resolved(kept)


def test_what_changed_while_it_was_resolved_is_not_kept(kept: Toy) -> None:
    """Nothing tells apart a spec written twice within the clock's grain."""
    kept.settings("step:a", x=1)
    later = time.time_ns() + 60 * 10**9  # as if it were written at the moment of each resolving
    os.utime(kept.folder / "nexus.yaml", ns=(later, later))
    assert kept.run().returncode == 0
    assert resolved(kept)


def test_what_a_resolver_saw_holds_as_long_as_it_is_so(tmp_path: Path) -> None:
    (tmp_path / "b[1]").mkdir()
    (tmp_path / "b[1]" / "x.txt").write_text("12345")
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "c.txt").symlink_to("nowhere")
    folder = SpecFolder(tmp_path)
    assert folder.files("**/*.txt") == (("a.txt", 1), ("b[1]/x.txt", 5), ("c.txt", 0))
    assert folder.files("b*") == (("b[1]", 0),)
    assert folder.real_path("c.txt") == tmp_path.resolve() / "nowhere"
    (first, digest), second = folder.digests("[ac].txt")
    assert (first, second) == ("a.txt", ("c.txt", ""))
    assert len(digest) == 64
    (tmp_path / "d.txt").write_text("1")
    assert len(folder.files("**/*.txt")) == 3, "a resolver sees one state of the disk"
    asked = [(each.question, each.path, each.holds()) for each in folder.seen]
    assert asked == [
        ("files", "**/*.txt", False),
        ("files", "b*", True),
        ("real_path", "c.txt", True),
        ("digests", "[ac].txt", True),
    ]
    (tmp_path / "a.txt").write_text("2")
    assert not folder.seen[3].holds(), "of the same size, but another"
    (tmp_path / "c.txt").unlink()
    assert not folder.seen[2].holds()


names = st.text(max_size=6)
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
targets = st.builds(
    Target,
    id=names,
    work=names,
    settings=st.dictionaries(names, values, max_size=3),
    origins=st.dictionaries(names, names, max_size=2),
    inputs=st.dictionaries(names, names, max_size=2),
    sources=st.dictionaries(names, st.builds(Source, names, names), max_size=2),
    needs=st.builds(Needs, st.integers(), st.integers(), st.booleans(), st.booleans()),
    pin=st.none() | names,
    verdict=st.none() | names,
    obstacle=st.none() | names,
    release=st.booleans(),
    expected_seconds=st.none() | finite,
)
graphs = st.builds(
    Graph,
    targets=st.lists(targets, max_size=3).map(lambda found: {each.id: each for each in found}),
    preload=st.lists(names, max_size=2).map(tuple),
    lock_values=st.dictionaries(names, st.dictionaries(names, values, max_size=2), max_size=2),
    ram_bytes=st.none() | st.integers(),
    notes=st.lists(names, max_size=2).map(tuple),
    seen=st.just((Seen("/r", "files", "*.txt", (("a", 1),)),)),
)


@settings(max_examples=40, deadline=None)
@given(graphs)
def test_a_graph_comes_back_as_it_was(graph: Graph) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_values(Path(folder) / "graph", graph_values(graph))
        assert graph_from(read_values(Path(folder) / "graph")) == graph
