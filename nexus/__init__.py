"""Open a Nexus bundle and let it answer: `from nexus import NexusModel`.

Importing this package costs nothing; the model libraries are imported with the first model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus.errors import BundleError
    from nexus.model import NexusModel

__all__ = ["BundleError", "NexusModel"]


def __getattr__(name: str) -> Any:
    if name == "NexusModel":
        from nexus.model import NexusModel

        return NexusModel
    if name == "BundleError":
        from nexus.errors import BundleError

        return BundleError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
