"""Decoders of the Qwen2 family."""

from __future__ import annotations

from transformers import Qwen2Config

from modalities.text.fresh_decoder import Shape, Vocabulary, fields_like_llama

PRELOAD = "transformers.models.qwen2.modeling_qwen2"
MLP_MATRICES = 3
CAN_SHIP = False


def decoder_config(shape: Shape, vocabulary: Vocabulary) -> Qwen2Config:
    """A configuration of this shape."""
    return Qwen2Config(**fields_like_llama(shape, vocabulary))
