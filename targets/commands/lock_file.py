"""The lock next to a spec, as far as commands need it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nexusbuild.plugins import Problem, ResolveError
from specs.limits import excess, refuse_excess
from specs.loading import shown_path
from specs.problems import SpecError
from targets.resolver.problems import as_resolve_error

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def lock_values_of(spec: Path) -> Mapping[str, Any]:
    """What the lock pins, so that a command sees the graph that a build would.

    Raises ResolveError where it cannot be read.
    """
    path = spec.with_suffix(".lock")
    try:
        content = _plain(path.read_text(encoding="utf-8"), shown_path(path))
    except FileNotFoundError:
        return {}
    except SpecError as error:
        raise as_resolve_error(error) from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        problem = Problem(f"cannot be read: {error}", shown_path(path))
        raise ResolveError([problem]) from None
    values = content.get("values") if isinstance(content, dict) else None
    return values if isinstance(values, dict) else {}


def _plain(text: str, file: str) -> Any:
    """The value that the text says; SpecError where it could stand for more than it holds."""
    lines = text.splitlines()
    refuse_excess(text, lines, file, _LOADER)
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise excess("an alias, which nexusbuild never writes", event.start_mark, lines, file)
    return yaml.load(text, Loader=_LOADER)
