"""Train a small byte-level tokenizer: any text round-trips, digits stand alone."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<|end|>"
PADDING = "<|pad|>"


def trained_tokenizer(texts: Iterable[str], kind: str, vocab: int) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with `vocab` entries, special tokens and all 256 bytes included.

    kind `bpe`: byte-pair encoding (Sennrich et al. 2016) with every digit a token of its own,
    which is what lets small models learn arithmetic. kind `bytes`: no merges at all.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [END, PADDING]
    size = len(alphabet) + len(special)
    if kind == "bpe":
        if vocab < size:
            raise ValueError(f"vocab: {vocab} is below {size}, the bytes and special tokens alone")
        size = vocab
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
    )
