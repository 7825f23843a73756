"""Run a model that is larger than memory: blocks are read from their files whenever they run.

Embeddings, norms and the head stay; of the blocks only the matrices that are running do. Accelerate
maps them from the safetensors files and lets them go again, so every pass reads the whole model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig
from transformers.modeling_utils import PreTrainedModel

from opened_models.blocks import block_lists


def streaming_arguments(
    directory: Path, kind: type[PreTrainedModel], scratch: Path
) -> dict[str, Any]:
    """Arguments of `from_pretrained` by which the blocks of the model stay in their files.

    scratch: a folder for weights that have to be put together from several stored ones.
    """
    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        skeleton = (
            kind._from_config(config)
            if hasattr(kind, "_from_config")
            else kind.from_config(config, trust_remote_code=False)
        )
    blocks = {
        f"{name}.{index}": "disk"
        for name, members in block_lists(skeleton).items()
        for index in range(len(members))
    }
    return {
        "device_map": _with_the_rest(skeleton, blocks),
        "offload_folder": str(scratch / "weights"),
    }


def _with_the_rest(model: nn.Module, blocks: dict[str, str]) -> dict[str, str]:
    """Places of all modules: those that hold no block go, whole, where the model runs."""
    places = dict(blocks)

    def place(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            if path in blocks:
                continue
            if any(block.startswith(f"{path}.") for block in blocks):
                place(child, f"{path}.")
            else:
                places[path] = "cpu"
        for name, _ in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        ):
            places[f"{prefix}{name}"] = "cpu"

    place(model, "")
    return places


def is_streamed(module: nn.Module) -> bool:
    """Whether some of the module's weights are not in memory."""
    return any(parameter.is_meta for parameter in module.parameters())


@contextmanager
def recompute(modules: list[nn.Module]) -> Iterator[None]:
    """Streamed modules keep no weights for a backward pass: they run again when it reaches them.

    The backward pass must happen inside. Without it, the weights of all blocks would stay.
    """

    def again(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)

        return run

    changed = [module for module in modules if is_streamed(module)]
    before = [module.__dict__.get("forward") for module in changed]
    for module in changed:
        module.forward = again(module.forward)
    try:
        yield
    finally:
        for module, forward in zip(changed, before, strict=True):
            del module.forward
            if forward is not None:
                module.forward = forward
