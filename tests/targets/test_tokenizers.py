"""A tokenizer cuts as its own file says, whatever family of model lies next to it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from modalities.text.fresh_decoder import Shape, Vocabulary
from opened_models.tokenizers import open_tokenizer
from targets.tokenizer.training import trained_tokenizer

TEXTS = ["f(a,b) = a*12+345", "Don't (ever) say\n\n  that: 'x'!", "日本 and 🙂"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "qwen3"])
def test_a_tokenizer_made_here_is_read_as_it_was_made(family: str, tmp_path: Path) -> None:
    made = trained_tokenizer([*TEXTS, "one (two) 'three' " * 9], "bpe", 320)
    made.save_pretrained(tmp_path)
    module = import_module(f"modalities.text.families.{family}")
    config = module.decoder_config(Shape(32, 1, 2, 64), Vocabulary(len(made), 0, 1))
    config.save_pretrained(tmp_path)
    opened, file = open_tokenizer(tmp_path), Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert opened.eos_token_id == made.eos_token_id and opened.pad_token_id == made.pad_token_id
    for text in TEXTS:
        ids = opened(text, add_special_tokens=False).input_ids
        assert ids == file.encode(text, add_special_tokens=False).ids
        assert opened.decode(ids) == text
