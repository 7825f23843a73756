"""Text to token ids and back to bytes, for any tokenizer: prompts, answers, byte offsets.

Training, scoring and alignment all go through `encode_row`, so that a prompt is cut into the
same tokens when it is trained on, when it is scored and when it is generated from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from nexus.prompt import render


@dataclass(frozen=True)
class Encoded:
    """One row as numbers. `answer_ids` ends with the end-of-sequence token, if
    the answer is over.

    prompt_ids, answer_ids: what a decoder reads, one after the other. source: ids that an encoder
    reads before it. media: an image's or a sound's array by the name of the model's argument, as
    one row of it. soft: states (count, width) that the student reads before the prompt.
    """

    prompt_ids: list[int]
    answer_ids: list[int]
    source: list[int] | None = None
    media: Mapping[str, Tensor] = field(default_factory=dict)
    soft: Tensor | None = None

    def tokens(self) -> int:
        """How much text a model reads."""
        return len(self.source or ()) + len(self.prompt_ids) + len(self.answer_ids)


def encode_rows(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    rows: Sequence[tuple[str, str]],
    ended: Sequence[bool] | None = None,
) -> list[Encoded]:
    """Ids of prompts and answers, given as pairs of raw prompt and answer.

    ended: whether an answer is over where its text is, and so carries the end-of-sequence token;
    all are where nothing is said.

    A prompt is cut as it will be at generation, with the special tokens that the tokenizer puts
    before a text. An answer is cut in its context where that leaves the prompt's tokens as they
    are, and alone where a token would straddle the border.
    """
    if not rows:
        return []
    end = _end_of_sequence(tokenizer)
    texts = [render(template, prompt) for prompt, _ in rows]
    prompts = _token_ids(tokenizer, texts, end)
    whole = [text + answer for text, (_, answer) in zip(texts, rows, strict=True)]
    encoded = []
    overs = ended if ended is not None else [True] * len(rows)
    for (_, answer), over, prompt, joint in zip(
        rows, overs, prompts, _token_ids(tokenizer, whole, end), strict=True
    ):
        if joint[: len(prompt)] == prompt:
            ids = joint[len(prompt) :]
        else:
            ids = list(tokenizer(answer, add_special_tokens=False).input_ids)
        encoded.append(Encoded(prompt, [*ids, end] if over or not ids else ids))
    return encoded


def endings(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each row's answer is over, as all are but those that a teacher was stopped in."""
    return [bool(row.get("ended", True)) for row in rows]


def encode_row(
    tokenizer: PreTrainedTokenizerBase, template: str, prompt: str, answer: str
) -> Encoded:
    """`encode_rows` of one row."""
    return encode_rows(tokenizer, template, [(prompt, answer)])[0]


def encode_apart(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    rows: Sequence[tuple[str, str]],
    start: Sequence[int],
    ended: Sequence[bool],
) -> list[Encoded]:
    """Ids for an encoder that reads the prompt, and a decoder that begins with `start`.

    The prompt has all special tokens that the tokenizer gives a text, an answer its end alone.
    """
    end = _end_of_sequence(tokenizer)
    encoded = []
    for (prompt, answer), over in zip(rows, ended, strict=True):
        source = list(tokenizer(render(template, prompt)).input_ids)
        ids = list(tokenizer(text_target=answer, add_special_tokens=False).input_ids)
        ids = [*ids, end] if over or not ids else ids
        encoded.append(Encoded(list(start), ids, source))
    return encoded


def encode_read(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    rows: Sequence[tuple[str, str]],
    longest: int,
) -> list[Encoded]:
    """Ids of whole texts, special tokens and all, for a model that reads and does not answer.

    `answer_ids` are the tokens that an answer adds to its prompt; of a row without an answer, all.
    Texts are cut after `longest` tokens.
    """
    limits = {"truncation": True, "max_length": longest}
    encoded = []
    for prompt, answer in rows:
        text = render(template, prompt) if prompt else ""
        whole = list(tokenizer(text + answer, **limits).input_ids)
        shared = 0
        if answer and text:
            alone = tokenizer(text, **limits).input_ids
            pairs = enumerate(zip(alone, whole))
            shared = next((at for at, (a, b) in pairs if a != b), min(len(alone), len(whole)))
        encoded.append(Encoded(whole[:shared], whole[shared:]))
    return encoded


def _token_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], end: int) -> list[list[int]]:
    """Ids of whole texts, without the end that some tokenizers put behind them."""
    found = [list(ids) for ids in tokenizer(texts).input_ids]
    for ids in found:
        while ids and ids[-1] == end:
            ids.pop()
    return found


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """The bytes that each id stands for; None for special tokens, which stand for no text.

    Byte-level vocabularies are read through GPT-2's byte alphabet, SentencePiece ones through
    their space mark and `<0xNN>` bytes.
    """
    size = len(tokenizer)
    pieces = tokenizer.convert_ids_to_tokens(list(range(size)))
    special = set(tokenizer.all_special_ids)
    alphabet = _byte_alphabet()
    # Counted, for special tokens of byte-level vocabularies may be written with the other's mark.
    marks = [piece[:1] for piece in pieces if piece]
    byte_level = marks.count("\u2581") <= marks.count("\u0120")
    added = tokenizer.added_tokens_decoder
    return [
        None
        if index in special or piece is None
        else added[index].content.encode()
        if index in added
        else _piece_bytes(piece, byte_level, alphabet)
        for index, piece in enumerate(pieces)
    ]


def answer_byte_ends(pieces: list[bytes | None], answer_ids: list[int], answer: str) -> list[int]:
    """For each answer token the offset, in UTF-8 bytes of the answer, at which it ends.

    A leading space that a SentencePiece tokenizer puts before the text does not count.
    Where the tokens do not spell the answer, no offset can be trusted: an empty list.
    """
    spelled = b"".join(pieces[index] or b"" for index in answer_ids)
    expected = answer.encode()
    skipped = 1 if spelled == b" " + expected else 0
    if spelled[skipped:] != expected:
        return []
    ends, position = [], -skipped
    for index in answer_ids:
        position += len(pieces[index] or b"")
        ends.append(max(position, 0))
    return ends


def _end_of_sequence(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"the tokenizer {tokenizer.name_or_path!r} names no end-of-sequence token: set "
            "`eos_token` in its tokenizer_config.json"
        )
    return int(tokenizer.eos_token_id)


def _piece_bytes(piece: str, byte_level: bool, alphabet: dict[str, int]) -> bytes:
    if byte_level:
        return bytes(alphabet[c] for c in piece) if all(c in alphabet for c in piece) else b""
    raw = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece)
    return bytes([int(raw[1], 16)]) if raw else piece.replace("\u2581", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's map of printable characters to bytes (Radford et al. 2019, released code)."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in visible}
    hidden = (byte for byte in range(256) if byte not in visible)
    return alphabet | {chr(256 + index): byte for index, byte in enumerate(hidden)}
