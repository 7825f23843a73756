"""An adapter in the form that every engine reads: one rank, scaling 1, all layers, float16.

Serving engines ignore PEFT's rank and alpha patterns and expect the same modules in all layers.
Rows of zeros change nothing that is computed; neither does a scaling folded into B.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from nexus.adapters import PREFIX, Adapter, LowRank


def one_rank(adapter: Adapter, model: PreTrainedModel) -> Adapter:
    """Every update at the largest rank, for all modules of the model with an adapted name.

    Raises ValueError where the adapter was made for another model.
    """
    modules = dict(model.named_modules())
    for name, update in adapter.updates.items():
        module = modules.get(name)
        if module is None or _widths(module) != (update.A.shape[1], update.B.shape[0]):
            raise ValueError(
                f"the adapter changes {name} from {update.A.shape[1]} to {update.B.shape[0]}; "
                "the packed backbone has no such module: they are not of one build"
            )
    rank = max(update.A.shape[0] for update in adapter.updates.values())
    leaves = {name.rpartition(".")[2] for name in adapter.updates}
    packed = {}
    for name, module in modules.items():
        if name.rpartition(".")[2] in leaves and isinstance(module, nn.Linear | nn.Embedding):
            packed[name] = _pad(adapter.updates.get(name), module, rank)
    return Adapter(packed)


def _pad(update: LowRank | None, module: nn.Module, rank: int) -> LowRank:
    inward, outward = _widths(module)
    a = torch.zeros(rank, inward, dtype=torch.float16)
    b = torch.zeros(outward, rank, dtype=torch.float16)
    if update is not None:
        own = update.A.shape[0]
        a[:own] = update.A.half()
        b[:, :own] = (update.B.float() * update.scaling).half()
        if not (a.isfinite().all() and b.isfinite().all()):
            raise ValueError("the adapter has values beyond float16; its training has diverged")
    return LowRank(a, b, 1.0, isinstance(module, nn.Embedding))


def _widths(module: nn.Module) -> tuple[int, int]:
    """What a module reads and what it gives: for an embedding, the vocabulary and the width."""
    if isinstance(module, nn.Embedding):
        return module.num_embeddings, module.embedding_dim
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    raise ValueError(f"{type(module).__name__} takes no low-rank update")


def peft_tensors(adapter: Adapter) -> dict[str, Tensor]:
    """The tensors under PEFT's names."""
    tensors = {}
    for name, update in adapter.updates.items():
        kinds = ("lora_embedding_A", "lora_embedding_B")
        if not update.embedding:
            kinds = ("lora_A.weight", "lora_B.weight")
        tensors[f"{PREFIX}{name}.{kinds[0]}"] = update.A
        tensors[f"{PREFIX}{name}.{kinds[1]}"] = update.B
    return tensors


def peft_config(adapter: Adapter) -> dict[str, Any]:
    """The fields of PEFT's LoraConfig that this adapter needs; all PEFT versions know them."""
    rank = next(iter(adapter.updates.values())).A.shape[0]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "target_modules": sorted({name.rpartition(".")[2] for name in adapter.updates}),
        "modules_to_save": None,
    }
