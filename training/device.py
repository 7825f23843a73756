"""Where a target computes: the engine shows a GPU only to those that asked for one."""

from __future__ import annotations

import torch


def device_of_job() -> torch.device:
    """The GPU that this process was given, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
