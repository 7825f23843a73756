"""Write a model of llama2.c as the Hugging Face folder that the example reads.

.venv/bin/python examples/stories/convert.py stories260K.bin tok512.bin

The checkpoint is llama2.c's first format: seven 32-bit integers (width, width between, blocks,
heads, heads of keys, vocabulary, context), then float32 matrices, those of one kind for all blocks
together. Its rotary embedding turns neighbouring channels; transformers turns halves of a head, so
the rows of queries and keys are put in that order. The tokenizer is a list of pieces with scores,
where a higher score is merged first.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Matrix = NDArray[np.float32]
FOLDER = Path(__file__).parent / "models" / "stories260k"
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
BYTES = 256


def model_of(content: bytes) -> tuple[dict[str, Any], dict[str, Matrix]]:
    """config.json and the weights. Raises ValueError where the file is something else."""
    width, between, blocks, heads, kv_heads, vocabulary, context = struct.unpack(
        "<7i", content[:28]
    )
    values = np.frombuffer(content[28:], dtype="<f4")
    # Behind the weights: tables of cosines and sines that nobody reads any more.
    place = 0

    def taken(*shape: int) -> Matrix:
        nonlocal place
        size = int(np.prod(shape))
        if size < 0 or place + size > len(values):
            raise ValueError("not a checkpoint of llama2.c's first format, or not all of it")
        place += size
        return values[place - size : place].reshape(shape)

    def in_halves(matrix: Matrix, count: int) -> Matrix:
        pairs = matrix.reshape(count, -1, 2, width)  # head, pair of channels, which of the two
        return np.ascontiguousarray(pairs.transpose(0, 2, 1, 3)).reshape(matrix.shape)

    if width <= 0 or heads <= 0 or vocabulary <= 0:
        raise ValueError("not a checkpoint with its embeddings as output, as llama2.c writes it")
    keys = width * kv_heads // heads
    weights = {"model.embed_tokens.weight": taken(vocabulary, width)}
    kinds = (
        ("input_layernorm", (width,), 0),
        ("self_attn.q_proj", (width, width), heads),
        ("self_attn.k_proj", (keys, width), kv_heads),
        ("self_attn.v_proj", (keys, width), 0),
        ("self_attn.o_proj", (width, width), 0),
        ("post_attention_layernorm", (width,), 0),
        ("mlp.gate_proj", (between, width), 0),
        ("mlp.down_proj", (width, between), 0),
        ("mlp.up_proj", (between, width), 0),
    )
    for name, shape, turned in kinds:
        for block, matrix in enumerate(taken(blocks, *shape)):
            turned_matrix = in_halves(matrix, turned) if turned else matrix
            weights[f"model.layers.{block}.{name}.weight"] = turned_matrix
    weights["model.norm.weight"] = taken(width)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": between,
        "num_hidden_layers": blocks,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "float32",
    }
    return config, weights


def tokenizer_of(content: bytes) -> dict[str, Any]:
    """tokenizer.json."""
    pieces, place = [], 4  # behind the length of the longest piece
    while place < len(content):
        _, length = struct.unpack("<fI", content[place : place + 8])
        pieces.append(content[place + 8 : place + 8 + length].decode().replace(" ", "▁"))
        place += 8 + length
    pieces[:3] = [UNKNOWN, BEGIN, END]
    known = {piece: number for number, piece in enumerate(pieces)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces[3 + BYTES :]
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    begin, text = (
        {"SpecialToken": {"id": BEGIN, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    )
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": piece, **special, "special": True}
            for number, piece in enumerate(pieces[:3])
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text, begin, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {BEGIN: {"id": BEGIN, "ids": [1], "tokens": [BEGIN]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": UNKNOWN,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": known,
            "merges": merges,
        },
    }


def main(checkpoint: str, tokenizer: str, folder: Path = FOLDER) -> None:
    """Write the folder."""
    config, weights = model_of(Path(checkpoint).read_bytes())
    # Between two stories the model was shown where one begins, so it may end with either.
    ends = {"bos_token_id": 1, "eos_token_id": [1, 2]}
    names = {"bos_token": BEGIN, "eos_token": END, "unk_token": UNKNOWN}
    described = {"tokenizer_class": "PreTrainedTokenizerFast", **names,
                 "model_max_length": config["max_position_embeddings"]}  # fmt: skip
    texts = {
        "config.json": config,
        "generation_config.json": ends,
        "tokenizer.json": tokenizer_of(Path(tokenizer).read_bytes()),
        "tokenizer_config.json": described,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in texts.items():
        text = json.dumps(value, indent=1, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("say the checkpoint and the tokenizer: convert.py stories260K.bin tok512.bin")
    try:
        main(sys.argv[1], sys.argv[2])
    except (OSError, ValueError, struct.error) as error:
        sys.exit(f"{error}")
