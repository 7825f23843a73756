"""The lock beside a spec, as far as commands need it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nexusbuild.plugins import Problem, ResolveError
from specs.loading import shown_path


def lock_values_of(spec: Path) -> Mapping[str, Any]:
    """What the lock pins, so that a command sees the graph that a build would.

    Raises ResolveError where it cannot be read.
    """
    path = spec.with_suffix(".lock")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        problem = Problem(f"cannot be read: {error}", shown_path(path))
        raise ResolveError([problem]) from None
    values = content.get("values") if isinstance(content, dict) else None
    return values if isinstance(values, dict) else {}
