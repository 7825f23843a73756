"""Decoders of the GPT-2 family."""

from __future__ import annotations

from transformers import GPT2Config

from modalities.text.fresh_decoder import POSITIONS, Shape, Vocabulary, fields_of_vocabulary

PRELOAD = "transformers.models.gpt2.modeling_gpt2"
MLP_MATRICES = 2
CAN_SHIP = False


def decoder_config(shape: Shape, vocabulary: Vocabulary) -> GPT2Config:
    """A configuration of this shape. It has a head of keys and values for each head."""
    return GPT2Config(
        n_positions=POSITIONS,
        n_embd=shape.hidden,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_inner=shape.intermediate,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **fields_of_vocabulary(vocabulary),
    )
