"""Train the router on the prompts of the capabilities that it may choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file

from modalities.json_files import read_rows, write_json
from nexus.router import ROUTER_JSON, ROUTER_WEIGHTS, input_embedding, mean_of_rows
from nexus.tokens import Tokens
from targets.pack.layout import embedding_name
from targets.router.settings import Settings
from targets.router.surprise import surprise_table
from targets.router.training import Labels, Matrix, fitted_router

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build(job: Job) -> None:
    """Write `router.safetensors` and `router.json`."""
    torch.set_num_threads(job.threads)
    settings = Settings.from_json(job.settings)
    name = embedding_name(job.inputs["backbone"] / "config.json")
    embedding = input_embedding(job.inputs["backbone"], name).numpy()
    tokens = Tokens(job.inputs["tokenizer"])
    capabilities = sorted(
        role.partition("/")[2] for role in job.inputs if role.startswith("train/")
    )
    if not capabilities:
        raise ValueError("there is no capability to route to: every included one is isolated")

    def encoded(split: str) -> list[list[list[int]]]:
        """The prompts' token ids, by capability."""
        return [
            [tokens.encode(row["prompt"]) for row in read_rows(job.inputs[f"{split}/{capability}"])]
            for capability in capabilities
        ]

    def features(prompts: list[list[list[int]]]) -> tuple[Matrix, Labels]:
        rows = [mean_of_rows(embedding, ids).astype(np.float64) for own in prompts for ids in own]
        labels = [label for label, own in enumerate(prompts) for _ in own]
        return np.stack(rows), np.array(labels, dtype=np.int64)

    known = encoded("train")
    train, labels = features(known)
    job.progress(1, 3)
    held_out = encoded("validation")
    validation, truth = features(held_out)
    job.progress(2, 3)
    router = fitted_router(train, labels, validation, truth, settings)
    tensors = {
        "surprise": surprise_table(known, held_out, len(embedding), settings),
        "weight": router.weight,
        "bias": router.bias,
        "centroids": router.centroids,
        "whitening": router.whitening,
    }
    save_file(
        {name: torch.from_numpy(value).float().contiguous() for name, value in tensors.items()},
        job.out / ROUTER_WEIGHTS,
        metadata={"format": "pt"},
    )
    chosen = (validation @ router.weight.T + router.bias).argmax(axis=1)
    write_json(
        job.out / ROUTER_JSON,
        {
            "capabilities": capabilities,
            "embedding": name,
            "temperature": router.temperature,
            "abstain_distance": router.abstain_distance,
            "validation_accuracy": round(float((chosen == truth).mean()), 6),
            "validation_rows": len(truth),
        },
    )
