"""A code fingerprint changes with meaning, along imports, and with nothing else."""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import Toy

from nexusbuild.digest.fingerprint import Code, CodeFingerprints
from nexusbuild.digest.statcache import StatCache
from nexusbuild.errors import BuildError

_NUMBERS = itertools.count()


class Tree:
    """Packages in a folder on sys.path, under names that no other test uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.suffix = f"_fp{next(_NUMBERS)}"

    def write(self, path: str, text: str) -> None:
        first, _, rest = path.partition("/")
        place = self.folder / (f"{first}{self.suffix}/{rest}" if rest else first)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.replace("@", self.suffix))

    def code(self, work: str = "app@.work:build", cache: StatCache | None = None) -> Code:
        return CodeFingerprints(cache or StatCache(None)).of(work.replace("@", self.suffix))

    def modules(self, work: str = "app@.work:build") -> set[str]:
        return {name.replace(self.suffix, "") for name in self.code(work).modules}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Tree(tmp_path)


BEFORE = '''
import math

LIMIT = 3


class Box:
    """A box."""

    size: int = 1


def build(job):
    """Builds."""
    if job:
        return math.sqrt(LIMIT)
    for _ in range(3):
        pass
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 3  # three"),
        ('"""Builds."""', '"""Builds\n\n    a lot."""'),
        ('    """Builds."""\n', ""),
        ('    """A box."""\n\n', ""),
        ("LIMIT = 3", '"""About the limit."""\nLIMIT = (\n    3\n)'),
        ("    size: int = 1", '    size: int = 1\n    """How large."""'),
        ("import math", "import math\nfrom typing import TYPE_CHECKING\n"),
    ][:-1],
)
def test_what_means_the_same_is_the_same(tree: Tree, old: str, new: str) -> None:
    tree.write("app/work.py", BEFORE)
    before = tree.code()
    assert old in BEFORE
    tree.write("app/work.py", BEFORE.replace(old, new))
    assert tree.code() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", "LIMIT = '3'"),
        ("if job:", "if not job:"),
        ("size: int = 1", "size: int = 2"),
        ("import math", "import cmath as math"),
        ("range(3)", "range(3, 3)"),
        ("def build(job):", "def build(job, more=None):"),
    ],
)
def test_what_means_something_else_is_another(tree: Tree, old: str, new: str) -> None:
    tree.write("app/work.py", BEFORE)
    before = tree.code()
    tree.write("app/work.py", BEFORE.replace(old, new))
    assert tree.code().fingerprint != before.fingerprint


def test_the_function_counts(tree: Tree) -> None:
    tree.write("app/work.py", BEFORE)
    assert tree.code().fingerprint != tree.code("app@.work:other").fingerprint


def test_imports_are_followed_where_they_lead(tree: Tree) -> None:
    tree.write("app/__init__.py", "x = 1")
    tree.write(
        "app/work.py",
        "from typing import TYPE_CHECKING\n"
        "import os, numpy\n"
        "from . import near\n"
        "from .deep.inner import thing\n"
        "from beside@ import name_of_its_init, module\n"
        "import beside@.whole as whole\n"
        "if TYPE_CHECKING:\n    from beside@ import only_types\n"
        "else:\n    from beside@ import at_run_time\n"
        "def build(job):\n"
        "    from beside@ import late\n"
        "    import importlib\n"
        "    importlib.import_module('beside@.named')\n"
        "    importlib.import_module(f'plugins@.{job}')\n",
    )
    for name in ("near", "deep/inner", "unused"):
        tree.write(f"app/{name}.py", "thing = 1")
    tree.write("app/deep/__init__.py", "")
    tree.write("beside/__init__.py", "name_of_its_init = 1")
    for name in ("module", "whole", "only_types", "at_run_time", "late", "named", "unused"):
        tree.write(f"beside/{name}.py", "from ._below import x")
    tree.write("beside/_below.py", "x = 1")
    tree.write("plugins/__init__.py", "")
    tree.write("plugins/one.py", "")
    assert tree.modules() == {
        "app.work",
        "app.near",
        "app.deep.inner",
        "beside",
        "beside.module",
        "beside.whole",
        "beside.at_run_time",
        "beside.late",
        "beside.named",
        "beside._below",
        "plugins",
        "plugins.one",
    }
    assert tree.code().libraries == ("numpy",)


def test_a_dotted_import_counts_the_packages_on_its_way(tree: Tree) -> None:
    tree.write("app/work.py", "import far@.away.module\ndef build(job): pass")
    for name in ("__init__", "away/__init__", "away/module"):
        tree.write(f"far/{name}.py", "")
    assert tree.modules() == {"app.work", "far", "far.away", "far.away.module"}


def test_imports_in_a_circle(tree: Tree) -> None:
    tree.write("app/work.py", "from app@ import other")
    tree.write("app/other.py", "from app@ import work")
    assert tree.modules() == {"app.work", "app.other"}


def test_a_module_that_appears_counts(tree: Tree) -> None:
    tree.write("app/work.py", "try:\n    from app@ import extra\nexcept ImportError:\n    pass")
    assert tree.modules() == {"app.work"}
    tree.write("app/extra.py", "x = 1")
    assert tree.modules() == {"app.work", "app.extra"}


def test_nothing_is_imported(tree: Tree) -> None:
    tree.write("app/__init__.py", "raise RuntimeError('imported')")
    tree.write("app/work.py", "raise RuntimeError('imported')")
    before = set(sys.modules)
    tree.code()
    assert not {name for name in set(sys.modules) - before if tree.suffix in name}


def test_errors_name_file_and_line(tree: Tree) -> None:
    tree.write("app/work.py", "x = 1\ndef build(:\n")
    with pytest.raises(BuildError) as caught:
        tree.code()
    assert caught.value.where.endswith("work.py:2")
    with pytest.raises(BuildError, match="no source file"):
        tree.code("app@.missing:build")
    with pytest.raises(BuildError, match="no source file"):
        tree.code("not_there_at_all.work:build")


def test_the_cache_changes_nothing(tree: Tree, tmp_path: Path) -> None:
    tree.write("app/work.py", BEFORE)
    tree.write("app/__init__.py", "")
    cache = StatCache(tmp_path / "cache.json")
    first = tree.code(cache=cache)
    cache.save_cache()
    assert tree.code(cache=StatCache(tmp_path / "cache.json")) == first
    tree.write("app/work.py", BEFORE.replace("LIMIT = 3", "LIMIT = 5"))
    again = tree.code(cache=StatCache(tmp_path / "cache.json"))
    assert again == tree.code() != first


def test_the_normal_form_tells_apart_what_python_does() -> None:
    """On this project's own code: one changed constant or name changes the form."""
    from nexusbuild.digest.fingerprint import write_normal_form

    source = Path(ast.__file__).read_text()
    tokens: list[str] = []
    write_normal_form(ast.parse(source), tokens)
    other: list[str] = []
    write_normal_form(ast.parse(source.replace("iter_fields", "iter_field")), other)
    assert tokens != other


def test_what_is_loaded_by_name_counts_and_its_neighbours_do_not(tmp_path, monkeypatch):
    package = tmp_path / "loaded_by_name"
    package.mkdir()
    for name in ("__init__", "work", "one", "two", "deeper"):
        (package / f"{name}.py").write_text("VALUE = 1\n")
    (package / "one.py").write_text("from loaded_by_name import deeper\n")
    monkeypatch.syspath_prepend(tmp_path)

    def fingerprint(*loaded: str) -> str:
        return (
            CodeFingerprints(StatCache(None))
            .of("loaded_by_name.work:build", "", loaded)
            .fingerprint
        )

    alone, with_one = fingerprint(), fingerprint("loaded_by_name.one")
    assert alone != with_one
    (package / "two.py").write_text("VALUE = 2\n")
    assert (fingerprint(), fingerprint("loaded_by_name.one")) == (alone, with_one)
    (package / "deeper.py").write_text("VALUE = 2\n")
    assert fingerprint() == alone
    assert fingerprint("loaded_by_name.one") != with_one


def test_a_job_loads_what_its_target_names_and_nothing_else(make_job):
    from dataclasses import replace

    job = replace(make_job("toy:one"), code={"writer": "json"})
    assert job.load("writer").dumps([1]) == "[1]"
    with pytest.raises(ValueError, match="toy:one: its declaration names no module as 'reader'"):
        job.load("reader")


def test_a_module_that_a_work_loads_by_name_counts_and_why_names_it(toy: Toy) -> None:
    toy.write("toy/extra.py", "WORD = 'one'\n")
    toy.write(
        "toy/loading.py",
        "def work(job):\n    (job.out / 'out.txt').write_text(job.load('words').WORD)\n",
    )
    toy.target("named", work="toy.loading:work", code={"words": "toy.extra"})
    assert toy.build() == {"named": "built"}
    toy.edit("toy/extra.py", "one", "two")
    assert "code: toy.extra changed" in toy.run("why", "named").stdout
    assert toy.build() == {"named": "built"}
    assert toy.text("named") == "two"
    toy.edit("toy/extra.py", "WORD", "# a comment\nWORD")
    assert toy.plan() == {"named": "fresh"}
    toy.target("unnamed", work="toy.loading:work")
    done = toy.run("unnamed")
    assert done.returncode == 1
    assert "its declaration names no module as 'words' in `code`" in done.stderr
