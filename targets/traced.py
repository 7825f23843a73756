"""The inputs of a target that learns from traces: each trace, and its teacher's tokenizer."""

from __future__ import annotations

# Of a teacher, training reads the tokenizer alone. The whole record is named for the folder of
# its files.
TOKENIZER_OF = "teacher:{teacher}"


def tokenizer_inputs(teachers: list[str]) -> dict[str, str]:
    """Role `tokenizer/<teacher>`."""
    return {f"tokenizer/{teacher}": TOKENIZER_OF.format(teacher=teacher) for teacher in teachers}
