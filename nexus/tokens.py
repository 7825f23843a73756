"""Text to token ids and back, with the bundle's own tokenizer file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path

from tokenizers import Tokenizer

from nexus.errors import InvalidInputError, blame
from nexus.files import Folder, as_folder
from nexus.tokenizer_file import check_tokenizer

TOKENIZER = "tokenizer.json"
BLAMED = f"tokenizer/{TOKENIZER}"
REPLACEMENT = "\ufffd"


class Tokens:
    """The tokenizer of a directory. Gives the ids that `AutoTokenizer` gives, without its cost.

    vocabulary: how many ids the model knows; None where it does not matter. Whatever the tokenizer
    does wrong is a BundleError.
    """

    def __init__(
        self,
        directory: Path | Folder,
        ends: Collection[int] = (),
        vocabulary: int | None = None,
    ) -> None:
        with blame(BLAMED):
            content = as_folder(directory).read(TOKENIZER)
            check_tokenizer(content)
            self._tokenizer = Tokenizer.from_buffer(bytes(content))
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
        self._ends = ends
        self._vocabulary = vocabulary

    def with_ends(self) -> Tokens:
        """The same tokenizer, which leaves no end of sequence off."""
        tokens = copy(self)
        tokens._ends = ()
        return tokens

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt; an end of sequence that the tokenizer would append is left off.

        Raises InvalidInputError where it is no text.
        """
        refuse_no_text(text)
        with blame(BLAMED):
            ids: list[int] = self._tokenizer.encode(text).ids
            if self._vocabulary is not None and max(ids, default=0) >= self._vocabulary:
                raise ValueError(f"id {max(ids)}, and the backbone knows {self._vocabulary} ids")
        while ids and ids[-1] in self._ends:
            ids.pop()
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; special tokens are no text."""
        with blame(BLAMED):
            text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def pieces(self, ids: Iterable[int], stop_strings: Sequence[str] = ()) -> Iterator[str]:
        """The text as it grows, up to the first stop string; never half a character of it.

        What could be the beginning of a stop string waits until the next token tells.
        """
        seen: list[int] = []
        shown = 0
        longest = max((len(stop) for stop in stop_strings), default=0)
        text = ""
        for token in ids:
            seen.append(token)
            text = self.decode(seen)
            found = [at for stop in stop_strings if stop and (at := text.find(stop)) >= 0]
            if found:
                text = text[: min(found)]
                break
            ready = len(text.rstrip(REPLACEMENT)) - max(0, longest - 1)
            if ready > shown:
                yield text[shown:ready]
                shown = ready
        if len(text) > shown:
            yield text[shown:]


def refuse_no_text(prompt: object) -> None:
    """Raise InvalidInputError unless the prompt is a str that UTF-8 can say."""
    if not isinstance(prompt, str):
        raise InvalidInputError(
            f"a prompt must be a str; this is of type {type(prompt).__name__}: {prompt!r:.60}"
        )
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"the prompt is not UTF-8 text: character {error.start} is "
            f"U+{ord(prompt[error.start]):04X}, half of a pair or a byte that could not be decoded"
        ) from error
