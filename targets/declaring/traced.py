"""The inputs of a target that learns from traces: each trace, and its teacher's tokenizer."""

from __future__ import annotations

# Of a teacher, training reads the tokenizer alone: another licence retrains nothing.
TOKENIZER_OF = "teacher:{teacher}#tokenizer"


def tokenizer_inputs(teachers: list[str]) -> dict[str, str]:
    """Role `tokenizer/<teacher>`."""
    return {f"tokenizer/{teacher}": TOKENIZER_OF.format(teacher=teacher) for teacher in teachers}
