"""Tokens that a model has drawn so far, and where its random numbers stand, in one file.

So a generation that was killed goes on where it stood, and draws what it would have drawn.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


def keep_drawn(file: Path, drawn: Sequence[Sequence[int]]) -> None:
    """Write the answers' tokens and the state of the random numbers; the file is whole always."""
    states = [torch.get_rng_state(), *_of_gpus()]
    text = json.dumps({"drawn": drawn, "states": [bytes(state.tolist()).hex() for state in states]})
    partial = file.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(file)


def read_drawn(file: Path | None) -> list[list[int]]:
    """The answers' tokens in a file, the random numbers set to go on from there.

    Nothing, and the random numbers left alone, where there is no file yet or none that can be read.
    """
    if file is None or not file.exists():
        return []
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        states = [torch.tensor(list(bytes.fromhex(state))).byte() for state in kept["states"]]
        drawn: list[list[int]] = kept["drawn"]
    except (ValueError, KeyError) as error:
        text = f"{file} cannot be read ({error}): its answers are generated again"
        warnings.warn(text, stacklevel=2)
        return []
    torch.set_rng_state(states[0])
    for device, state in zip(range(torch.cuda.device_count()), states[1:], strict=False):
        torch.cuda.set_rng_state(state, device)
    return drawn


def _of_gpus() -> list[Tensor]:
    """States of the GPUs' random numbers, where GPUs are in use."""
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if in_use else []
