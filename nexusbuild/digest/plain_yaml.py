"""YAML that nexusbuild wrote itself, read again: somebody may have put another file in its place.

It has no anchors, so a few lines never stand for many, and few levels: the parser nests as deep as
the text does, down to the end of the stack.
"""

from __future__ import annotations

from typing import Any

MOST_LETTERS = 16 << 20
MOST_DEPTH = 20


def load_plain(text: str) -> Any:
    """The value that the text says. Raises yaml.YAMLError, or ValueError where it is not plain."""
    import yaml

    if len(text) > MOST_LETTERS:
        raise ValueError(f"it has more than {MOST_LETTERS} letters")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise ValueError(f"line {line} has an anchor or an alias, which are never written")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
    return yaml.load(text, Loader=loader)
