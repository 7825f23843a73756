"""What a tokenizer.json may hold, checked before the tokenizers library parses any of it.

The library trusts its file: replacements that double a text forty times fill the memory, regular
expressions run for minutes, lengths that do not fit make it panic. Here every part is of a known
kind, every list and text has a limit, and a text cannot grow beyond a multiple of its length.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from nexus.patterns import check_pattern
from nexus.strict_json import parse_json

MOST_BYTES = 64 << 20
MOST_VALUES = 5_000_000
MOST_ADDED_TOKENS = 100_000
MOST_ADDED_LETTERS = 500_000
MOST_TOKEN_LETTERS = 4000
MOST_STEPS = 32
MOST_DEPTH = 4
MOST_ITEMS = 100
MOST_LETTERS = 1000
LARGEST = 1 << 24
# A text may grow to so many times its length, all steps together.
MOST_GROWTH = 256
MOST_WORD_LETTERS = 1000

# Kind of step -> how many times longer it makes a text at most, in UTF-8. Kinds with another
# number for it, or with more to be checked, are in `_growth_of`.
NORMALIZERS = {
    "BertNormalizer": 16,
    "ByteLevel": 2,
    "Lowercase": 2,
    "NFC": 3,
    "NFD": 4,
    "NFKC": 11,
    "NFKD": 11,
    "Nmt": 1,
    "Precompiled": 0,
    "Prepend": 1,
    "Replace": 0,
    "Strip": 1,
    "StripAccents": 1,
}
PRE_TOKENIZERS = {
    "BertPreTokenizer": 1,
    "ByteLevel": 2,
    "CharDelimiterSplit": 1,
    "Digits": 1,
    "FixedLength": 1,
    "Metaspace": 3,
    "Punctuation": 1,
    "Split": 1,
    "UnicodeScripts": 1,
    "Whitespace": 1,
    "WhitespaceSplit": 1,
}
POST_PROCESSORS = {
    "BertProcessing": 1,
    "ByteLevel": 1,
    "RobertaProcessing": 1,
    "TemplateProcessing": 1,
}
DECODERS = {
    "BPEDecoder": 1,
    "ByteFallback": 1,
    "ByteLevel": 1,
    "CTC": 1,
    "Fuse": 1,
    "Metaspace": 1,
    "Replace": 0,
    "Strip": 1,
    "WordPiece": 2,
}
# Section of the file -> its kinds of step, and the name of a sequence's list of steps.
SECTIONS = {
    "normalizer": (NORMALIZERS, "normalizers"),
    "pre_tokenizer": (PRE_TOKENIZERS, "pretokenizers"),
    "post_processor": (POST_PROCESSORS, "processors"),
    "decoder": (DECODERS, "decoders"),
}
MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")


def check_tokenizer(content: bytes | bytearray) -> None:
    """Raise ValueError unless the tokenizer is of known parts within their limits."""
    about = parse_json(content, most_bytes=MOST_BYTES, most_values=MOST_VALUES)
    if not isinstance(about, dict):
        raise ValueError("it is no mapping")
    for section, (kinds, steps_name) in SECTIONS.items():
        steps = list(_steps(about.get(section), section, steps_name, 0))
        if len(steps) > MOST_STEPS:
            raise ValueError(f"{section} has {len(steps)} steps; at most {MOST_STEPS} are run")
        growth = 1
        for step in steps:
            kind = step.get("type")
            if not isinstance(kind, str) or kind not in kinds:
                raise ValueError(f"{section}: {str(kind)[:40]!r} is no kind of step known here")
            growth *= _growth_of(step, kinds[kind])
        if growth > MOST_GROWTH:
            raise ValueError(f"{section} can make a text {growth} times as long: it is hostile")
    _check_added_tokens(about.get("added_tokens"))
    _check_model(about.get("model"))


def _steps(step: Any, section: str, name: str, depth: int) -> Iterator[Mapping[str, Any]]:
    """The steps of a section, those of sequences one by one."""
    if step is None:
        return
    if not isinstance(step, dict):
        raise ValueError(f"{section} is no mapping")
    if step.get("type") != "Sequence":
        yield step
        return
    inner = step.get(name)
    if not isinstance(inner, list) or len(inner) > MOST_ITEMS or depth == MOST_DEPTH:
        raise ValueError(f"{section} is no plain list of steps")
    for each in inner:
        yield from _steps(each, section, name, depth + 1)


def _growth_of(step: Mapping[str, Any], growth: int) -> int:
    """How many times longer a step makes a text, at most. Raises ValueError on one of no sense."""
    kind = step["type"]
    if kind == "Precompiled":
        return _growth_of_map(step.get("precompiled_charsmap"))
    _check_limits(step, kind, 0)
    if kind in ("Replace", "Split"):
        shortest = _shortest_match(step.get("pattern"), kind)
        if kind == "Replace":
            content = str(step.get("content", "")).encode()
            # What may match nothing is put between all letters.
            return 1 + len(content) if shortest == 0 else max(1, -(-len(content) // shortest))
    if kind == "FixedLength" and not (type(step.get("length")) is int and step["length"] > 0):
        raise ValueError("FixedLength has no length")
    return growth


def _check_limits(value: Any, kind: str, depth: int) -> None:
    """Refuse lists, texts and numbers in a step that are longer or larger than any step needs."""
    if isinstance(value, dict | list):
        if len(value) > MOST_ITEMS or depth > MOST_DEPTH:
            raise ValueError(f"{kind} holds more than {MOST_ITEMS} items, or is nested too deeply")
        items = value.values() if isinstance(value, dict) else value
        for each in (*value, *items) if isinstance(value, dict) else items:
            _check_limits(each, kind, depth + 1)
    elif isinstance(value, str) and len(value) > MOST_LETTERS:
        if kind != "Split" and kind != "Replace":
            raise ValueError(f"{kind} holds a text of {len(value)} letters")
    elif isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{kind} holds the number {str(value)[:40]}, which is too large")


def _shortest_match(pattern: Any, kind: str) -> int:
    """Bytes that a pattern matches at least; 0 where that is not known. Raises ValueError."""
    if isinstance(pattern, dict) and len(pattern) == 1:
        ((form, text),) = pattern.items()
        if form == "String" and isinstance(text, str) and 0 < len(text) <= MOST_LETTERS:
            return len(text.encode())
        if form == "Regex" and isinstance(text, str):
            check_pattern(text)
            return 0
    raise ValueError(f"{kind} has no pattern, or an empty one")


def _growth_of_map(encoded: Any) -> int:
    """The longest replacement in a map of letters as SentencePiece compiles it, in bytes.

    4 bytes with the size of a trie, least first; the trie; replacements, each ended by a zero.
    """
    if not isinstance(encoded, str):
        raise ValueError("Precompiled has no map")
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("the map of Precompiled is no base64") from None
    size = int.from_bytes(content[:4], "little")
    if size % 4 or 4 + size > len(content):
        raise ValueError("the map of Precompiled is cut short")
    return max(1, *(len(text) for text in content[4 + size :].split(b"\0")))


def _check_added_tokens(tokens: Any) -> None:
    if tokens is None:
        return
    if not isinstance(tokens, list) or len(tokens) > MOST_ADDED_TOKENS:
        raise ValueError(f"added_tokens is no list of at most {MOST_ADDED_TOKENS}")
    letters = 0
    for token in tokens:
        text = token.get("content") if isinstance(token, dict) else None
        if not isinstance(text, str) or len(text) > MOST_LETTERS:
            raise ValueError(f"an added token has no text, or one above {MOST_LETTERS} letters")
        letters += len(text)
    if letters > MOST_ADDED_LETTERS:
        raise ValueError(f"the added tokens have more than {MOST_ADDED_LETTERS} letters")


def _check_model(model: Any) -> None:
    if not isinstance(model, dict) or model.get("type") not in MODELS:
        raise ValueError("it has no model of a known kind")
    if model.get("dropout"):
        raise ValueError("it splits words at random (dropout): answers would differ")
    for name in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if len(str(model.get(name) or "")) > MOST_LETTERS:
            raise ValueError(f"{name} has more than {MOST_LETTERS} letters")
    longest = model.get("max_input_chars_per_word", MOST_WORD_LETTERS)
    if type(longest) is not int or not 0 < longest <= MOST_WORD_LETTERS:
        raise ValueError(f"max_input_chars_per_word is not from 1 to {MOST_WORD_LETTERS}")
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        words: Any = vocabulary
    elif isinstance(vocabulary, list) and all(isinstance(p, list) and p for p in vocabulary):
        words = (str(pair[0]) for pair in vocabulary)
    else:
        raise ValueError("its model has no vocabulary")
    if max(map(len, words), default=0) > MOST_TOKEN_LETTERS:
        raise ValueError(f"a token has more than {MOST_TOKEN_LETTERS} letters")
