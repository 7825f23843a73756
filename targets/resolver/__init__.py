"""From a spec and its lock to the graph of all targets."""

from targets.resolver.graph import graph_of, resolve

__all__ = ["graph_of", "resolve"]
