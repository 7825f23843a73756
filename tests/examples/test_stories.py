"""The stories example: of the published files its converter makes the very model that is meant."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig

EXAMPLE = Path(__file__).parents[2] / "examples" / "stories"
TEACHER = Path(__file__).parents[3] / "shared" / "data" / "stories260k"
KINDS = (
    "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
    "self_attn.o_proj", "post_attention_layernorm", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj",
)  # fmt: skip

sys.path.append(str(EXAMPLE))
import convert  # noqa: E402


def published_checkpoint() -> bytes:
    """stories260K.bin, put together again from the model that was made of it; but for the tables
    behind the weights, which nobody reads.
    """
    config = json.loads((TEACHER / "config.json").read_text())
    weights = load_file(TEACHER / "model.safetensors")
    width, heads = config["hidden_size"], config["num_attention_heads"]
    context = config["max_position_embeddings"]

    def in_pairs(matrix: np.ndarray) -> np.ndarray:
        halves = matrix.reshape(-1, 2, width // heads // 2, width)
        return halves.transpose(0, 2, 1, 3).reshape(matrix.shape)

    parts = [weights["model.embed_tokens.weight"]]
    for kind in KINDS:
        for block in range(config["num_hidden_layers"]):
            matrix = weights[f"model.layers.{block}.{kind}.weight"]
            parts.append(in_pairs(matrix) if kind.endswith(("q_proj", "k_proj")) else matrix)
    parts.append(weights["model.norm.weight"])
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "vocab_size")  # fmt: skip
    head = struct.pack("<7i", *(config[key] for key in keys), context)
    return head + b"".join(part.tobytes() for part in parts) + bytes(4 * context * width // heads)


def published_tokenizer() -> bytes:
    """tok512.bin, byte for byte."""
    vocabulary = json.loads((TEACHER / "tokenizer.json").read_text())["model"]["vocab"]
    content, longest = b"", 0
    for number, piece in enumerate(sorted(vocabulary, key=vocabulary.get)):
        written = {1: "\n<s>\n", 2: "\n</s>\n"}.get(number, piece.replace("▁", " ")).encode()
        score = 0.0 if number < 259 else -float(number - 259)  # it begins with -0.0
        content += struct.pack("<fI", score, len(written)) + written
        longest = max(longest, len(written))
    return struct.pack("<I", longest) + content


@pytest.mark.skipif(not TEACHER.is_dir(), reason="the model of ../shared is not here")
def test_the_published_files_become_the_teacher(tmp_path: Path) -> None:
    checkpoint, tokenizer = tmp_path / "stories260K.bin", tmp_path / "tok512.bin"
    checkpoint.write_bytes(published_checkpoint())
    tokenizer.write_bytes(published_tokenizer())
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(tokenizer.read_bytes()).hexdigest() in page
    assert checkpoint.stat().st_size == 1_056_540
    made = tmp_path / "made"
    convert.main(str(checkpoint), str(tokenizer), made)

    weights, meant = (load_file(each / "model.safetensors") for each in (made, TEACHER))
    assert weights.keys() == meant.keys()
    assert all(np.array_equal(weights[name], meant[name]) for name in meant)
    mine, theirs = (AutoConfig.from_pretrained(each) for each in (made, TEACHER))
    for name in ("model_type", "head_dim", "rope_parameters", "rms_norm_eps", "hidden_act",
                 "tie_word_embeddings", "num_key_value_heads"):  # fmt: skip
        assert getattr(mine, name) == getattr(theirs, name), name
    cut, expected = (Tokenizer.from_file(str(each / "tokenizer.json")) for each in (made, TEACHER))
    for text in ("Once upon a time, there was a little girl.", "  Two  blanks, and ünïcode: 猫\n",
                 "Timmy said very happily that her friend had ended there."):  # fmt: skip
        assert cut.encode(text).ids == expected.encode(text).ids
        assert cut.decode(cut.encode(text).ids) == expected.decode(expected.encode(text).ids)


@pytest.mark.parametrize("content", [b"", b"short", bytes(28), struct.pack("<7i", *[64] * 7)])
def test_what_is_no_checkpoint_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        convert.model_of(content)
