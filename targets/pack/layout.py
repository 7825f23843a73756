"""What a config.json says of a model's modules and their names, before there is any weight."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import PreTrainedModel


def empty_model(config: Path) -> PreTrainedModel:
    """The model that a config.json describes, without weights."""
    read = AutoConfig.from_pretrained(config, local_files_only=True, trust_remote_code=False)
    if hasattr(read, "quantization_config"):
        del read.quantization_config
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(read, trust_remote_code=False)


def embedding_name(config: Path) -> str:
    """Name of the input embedding's weight in the model that a config.json describes."""
    model = empty_model(config)
    embedding = model.get_input_embeddings()
    module = next(name for name, module in model.named_modules() if module is embedding)
    return f"{module}.weight"
