"""Which side of the split a prompt may stand on.

A row's structure names the combinations that it is made of, joined by `|`. Some combinations
are held out: decided by their hash alone, so whatever the seed, training never meets them.
"""

from __future__ import annotations

import hashlib

HELD_OUT_ONE_IN = 12
EVAL_PROMPTS_ONE_IN = 8


def normal_form(prompt: str) -> str:
    """The prompt without what does not make it another prompt: case and white space."""
    return " ".join(prompt.casefold().split())


def is_held_out(structure: str) -> bool:
    """Whether any combination in this structure is kept from training."""
    return any(_one_in(part, HELD_OUT_ONE_IN) for part in structure.split("|"))


def is_eval_prompt(prompt: str) -> bool:
    """Whether a prompt of a known structure belongs to `eval`."""
    return _one_in(normal_form(prompt), EVAL_PROMPTS_ONE_IN)


def _one_in(text: str, count: int) -> bool:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == 0
