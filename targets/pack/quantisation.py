"""Weights in bitsandbytes' serialised forms, int8 and nf4, and the configuration that opens them.

Both are made here on the CPU from float32, the same on every machine. What is stored is read by
`transformers.AutoModelForCausalLM` with bitsandbytes, and by `nexus.packing` without it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

NF4_BLOCK = 64
# LLM.int8() (Dettmers et al. 2022) computes activation columns whose magnitude reaches a threshold
# in floating point, and rounds the others to int8. With a threshold below the smallest float16
# every column is computed in floating point: the weights are int8, the activations are not, and
# plain transformers gives the logits of the dequantised weights, on which the adapters trained.
# The usual 6.0 moves logits by 0.1 on a trained model, 0.0 (no threshold) changed 4 answers of 200.
INT8_THRESHOLD = 1e-8


def quantise(
    weights: Mapping[str, Tensor], linear: Collection[str], form: str
) -> dict[str, Tensor]:
    """The tensors to store: weights named in `linear` as int8 or nf4, the others as float.

    Embedding, head and norms are float32. Eight bits in the two that meet the tokens cost answers,
    and transformers computes with the unquantised tensors of a quantised checkpoint in the dtype
    they are stored in, whatever config.json says: in float16 it could not run next to float32.
    """
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if form == "none" or name not in linear:
            stored[name] = weight.float().contiguous()
        elif form == "int8":
            stored.update(_int8(name, weight.float()))
        else:
            stored.update(_nf4(name, weight.float()))
    return stored


def quantisation_config(form: str, float_modules: list[str]) -> dict[str, Any]:
    """The `quantization_config` of config.json; `float_modules` are left as they are stored."""
    eight = form == "int8"
    return {
        "quant_method": "bitsandbytes",
        "load_in_8bit": eight,
        "load_in_4bit": not eight,
        "llm_int8_threshold": INT8_THRESHOLD,
        "llm_int8_skip_modules": float_modules,
        "llm_int8_has_fp16_weight": False,
        "llm_int8_enable_fp32_cpu_offload": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": False,
        "bnb_4bit_compute_dtype": "float32",
        "bnb_4bit_quant_storage": "uint8",
    }


def _int8(name: str, weight: Tensor) -> dict[str, Tensor]:
    """Row-wise absmax: codes (out, in), and the largest magnitude of every row (out,)."""
    row_max = weight.abs().amax(dim=1)
    scale = 127.0 / row_max.clamp(min=torch.finfo(torch.float32).tiny)
    codes = torch.round(weight * scale.view(-1, 1)).clamp(-127, 127).to(torch.int8)
    module = name.removesuffix(".weight")
    return {
        name: codes,
        f"{module}.SCB": row_max,
        # 0: rows in their natural order, the only layout that is still written.
        f"{module}.weight_format": torch.tensor(0, dtype=torch.uint8),
    }


def _nf4(name: str, weight: Tensor) -> dict[str, Tensor]:
    """Blocks of 64 along the rows: two codes a byte (codes / 2, 1), largest magnitudes (blocks,).

    Raises ValueError where a width is no multiple of the block: such a layer does not generate.
    """
    from bitsandbytes.functional import quantize_4bit

    if weight.shape[0] % NF4_BLOCK or weight.shape[1] % NF4_BLOCK:
        raise ValueError(
            f"nf4 needs widths that are multiples of {NF4_BLOCK}; {name} is "
            f"{tuple(weight.shape)}. Choose such widths, or bundle.quantize: int8"
        )
    packed, state = quantize_4bit(
        weight.contiguous(), blocksize=NF4_BLOCK, compress_statistics=False, quant_type="nf4"
    )
    about = {"quant_type": "nf4", "blocksize": NF4_BLOCK, "dtype": "float32"}
    text = json.dumps({**about, "shape": list(weight.shape)}).encode()
    return {
        name: packed,
        f"{name}.absmax": state.absmax,
        f"{name}.quant_map": state.code,
        f"{name}.quant_state.bitsandbytes__nf4": torch.tensor(list(text), dtype=torch.uint8),
    }
