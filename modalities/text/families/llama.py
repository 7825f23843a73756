"""Decoders of the Llama family."""

from __future__ import annotations

from transformers import LlamaConfig

from modalities.text.fresh_decoder import Shape, Vocabulary, fields_like_llama

PRELOAD = "transformers.models.llama.modeling_llama"
MLP_MATRICES = 3
CAN_SHIP = True


def decoder_config(shape: Shape, vocabulary: Vocabulary) -> LlamaConfig:
    """A configuration of this shape."""
    return LlamaConfig(**fields_like_llama(shape, vocabulary))
