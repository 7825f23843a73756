"""Lists of chat messages, in the shapes that people keep them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raw_data.transcripts import transcript

ROLES = {
    "human": "user", "customer": "user", "prompter": "user",
    "gpt": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
    "ai": "assistant", "agent": "assistant",
    "function": "tool", "observation": "tool", "ipython": "tool", "tool_result": "tool",
    "function_response": "tool", "environment": "tool",
}  # fmt: skip
KNOWN_ROLES = frozenset({*ROLES, *ROLES.values(), "system", "developer"})


def as_messages(value: Any) -> list[dict[str, Any]]:
    """The messages that a value holds, as `{"role", "content", "tool_calls"}`; else none.

    Taken are lists of objects with `role` and `content` (or `from` and `value`), lists of such
    lists, and text in which known roles take turns. Roles are `user`, `assistant`, `tool`,
    `system`, or as written.
    """
    if isinstance(value, str):
        turns = transcript(value) if ":" in value and "\n" in value else []
        found = [_message(turn) for turn in turns]
        return found if {one["role"] for one in found} <= KNOWN_ROLES else []
    if not isinstance(value, list) or not value:
        return []
    if isinstance(value[0], list):
        return [message for part in value for message in as_messages(part)]
    if not all(isinstance(one, dict) and _is_message(one) for one in value):
        return []
    return [_message(one) for one in value]


def text_of(message: Mapping[str, Any]) -> str:
    """What a message says: its text, or the text of its parts."""
    content = message["content"]
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _is_message(value: Mapping[str, Any]) -> bool:
    return ("role" in value and ("content" in value or "tool_calls" in value)) or (
        "from" in value and "value" in value
    )


def _message(value: Mapping[str, Any]) -> dict[str, Any]:
    role = str(value.get("role", value.get("from"))).lower()
    return {
        "role": ROLES.get(role, role),
        "content": value.get("content", value.get("value")),
        "tool_calls": value.get("tool_calls") or value.get("function_call"),
    }
