"""Open a tokenizer from a folder: a teacher's, kept by `teacher`, or the student's."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

# What says of itself that all of it stands in its tokenizer.json.
WHOLE_IN_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")


def open_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies in `directory`; nothing is fetched.

    Beside a model's config.json, transformers would give some families (Qwen2) rules of their own
    in place of those in the file: a tokenizer that was trained here would cut otherwise than it
    learned to.
    """
    described = directory / "tokenizer_config.json"
    if described.is_file() and (directory / "tokenizer.json").is_file():
        config = json.loads(described.read_text(encoding="utf-8"))
        if config.get("tokenizer_class") in WHOLE_IN_FILE:
            return PreTrainedTokenizerFast.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
    return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
