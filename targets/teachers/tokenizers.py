"""Open a tokenizer from a folder: a teacher's, kept by `teacher`, or the student's."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase


def open_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies in `directory`; nothing is fetched."""
    return AutoTokenizer.from_pretrained(directory, local_files_only=True)
