"""The encoder of digits: a state per digit, trained until a linear map can tell them apart."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.torch import save_file

STEPS = 50


def build_encoder(job: Any) -> None:
    """Write `numbers_encoder.safetensors` and `numbers_encoder.json`."""
    torch.manual_seed(job.seed)
    hidden = int(job.settings["hidden"])
    seen = {
        digit
        for role, rows in job.inputs.items()
        if role.startswith("train/")
        for line in rows.read_text(encoding="utf-8").splitlines()
        for digit in json.loads(line)["parts"]["numbers"]
    }
    table = torch.randn(10, hidden).requires_grad_()
    head = torch.randn(hidden, 10).requires_grad_()
    optimiser = torch.optim.Adam([table, head], 0.05)
    digits = torch.tensor(sorted(seen))
    for step in range(STEPS):
        loss = torch.nn.functional.cross_entropy(table[digits] @ head, digits)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        job.progress(step + 1, STEPS, loss=loss.item())
    save_file({"table": table.detach()}, job.out / "numbers_encoder.safetensors")
    (job.out / "numbers_encoder.json").write_text(json.dumps({"width": hidden}))
