"""Decoders of the Qwen3 family."""

from __future__ import annotations

from transformers import Qwen3Config

from modalities.text.fresh_decoder import Shape, Vocabulary, fields_like_llama

PRELOAD = "transformers.models.qwen3.modeling_qwen3"
MLP_MATRICES = 3
CAN_SHIP = True


def decoder_config(shape: Shape, vocabulary: Vocabulary) -> Qwen3Config:
    """A configuration of this shape."""
    return Qwen3Config(head_dim=shape.hidden // shape.heads, **fields_like_llama(shape, vocabulary))
