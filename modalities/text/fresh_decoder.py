"""Stock Hugging Face decoders with freshly drawn weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

POSITIONS = 1024


@dataclass(frozen=True)
class Shape:
    """Widths and depth of a decoder, in the words of its configuration."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    kv_heads: int | None = None

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide the width {self.hidden}")


@dataclass(frozen=True)
class Vocabulary:
    """size: entries, special tokens included. end, padding: ids of these tokens."""

    size: int
    end: int
    padding: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """That of a tokenizer, which has both tokens."""
        return cls(len(tokenizer), int(tokenizer.eos_token_id), int(tokenizer.pad_token_id))


def fields_of_vocabulary(vocabulary: Vocabulary) -> dict[str, Any]:
    """What every family's configuration says of its vocabulary; embedding and head are untied."""
    return {
        "vocab_size": vocabulary.size,
        "eos_token_id": vocabulary.end,
        "pad_token_id": vocabulary.padding,
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }


def fields_like_llama(shape: Shape, vocabulary: Vocabulary) -> dict[str, Any]:
    """The configuration of a decoder that is built, and whose fields are called, as Llama's."""
    return {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads or shape.heads,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": POSITIONS,
        **fields_of_vocabulary(vocabulary),
    }


def fresh_decoder(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """A decoder with weights drawn from `seed`; its head starts as its embedding."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.copy_(model.get_input_embeddings().weight)
    return model


def matrices_and_others(
    model: PreTrainedModel,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Parameters by name: the matrices inside the blocks, and all the rest."""
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices: dict[str, torch.Tensor] = {}
    others: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        inside = parameter.ndim == 2 and id(parameter) not in embeddings and ".wpe." not in name
        (matrices if inside else others)[name] = parameter
    return matrices, others
