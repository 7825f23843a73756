"""The two ends of a generation: what the model is shown, and where its answer stops.

A template is ordinary text holding `{prompt}` once; the answer follows it directly.
"""

from __future__ import annotations

from collections.abc import Iterable

PLACEHOLDER = "{prompt}"


def render(template: str, prompt: str) -> str:
    """The text that the model sees. Braces in the prompt itself are left as they are."""
    return template.replace(PLACEHOLDER, prompt)


def cut(text: str, stop_strings: Iterable[str]) -> str:
    """The text up to the first occurrence of any stop string; all of it where none occurs."""
    found = [text.find(stop) for stop in stop_strings if stop]
    ends = [position for position in found if position >= 0]
    return text[: min(ends)] if ends else text
