"""No model, tokenizer or configuration that is opened may bring code of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What is not ours, or opens only what it made itself a line before.
ELSEWHERE = {"tests", "build", "dist"}
OPENERS = {"from_pretrained", "from_config"}


def sources() -> Iterator[Path]:
    for folder in sorted(ROOT.iterdir()):
        if folder.is_dir() and folder.name not in ELSEWHERE and not folder.name.startswith("."):
            yield from sorted(folder.rglob("*.py"))


def wrong_openings(tree: ast.AST) -> Iterator[int]:
    """Lines that open a model and do not say `trust_remote_code=False` in so many words."""
    right = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "trust_remote_code":
                    value = keyword.value
                    if isinstance(value, ast.Constant) and value.value is False:
                        right.add(id(node.func))
                    else:
                        yield node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in OPENERS and id(node) not in right:
            yield node.lineno


def test_whatever_opens_a_model_refuses_its_code() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        for line in wrong_openings(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()


def test_the_search_finds_what_it_is_for() -> None:
    text = "\n".join(
        [
            "AutoConfig.from_pretrained(folder)",
            "AutoModel.from_pretrained(folder, trust_remote_code=True)",
            "AutoModel.from_pretrained(folder, trust_remote_code=asked)",
            "load = AutoTokenizer.from_pretrained",
            "AutoModel.from_config(config)",
            "AutoModel.from_config(config, trust_remote_code=False)",
        ]
    )
    assert set(wrong_openings(ast.parse(text))) == {1, 2, 3, 4, 5}
    assert len(list(sources())) > 100
