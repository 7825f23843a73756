"""Which regular expressions a tokenizer may have: those that a text cannot make run for long.

Oniguruma, which the tokenizers library runs, tries one way to match after another. The expressions
of the tokenizers in use take few ways from any one place; a hostile one takes more than there are
seconds. So an expression is read here by a grammar of its usual parts, and the ways are counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

MOST_LETTERS = 4000
MOST_WAYS = 2000
MOST_DEPTH = 8
MOST_REPEATS = 100
# Letters that may follow a backslash: one letter of a kind, a place between letters.
_KINDS, _PLACES = set("sSdDwWhHrntfvae"), set("bBAzZ")
_CODE = re.compile(
    r"[pP]\{\^?[A-Za-z0-9_ =-]{1,40}\}|x\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}"
)
_COUNT = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}")
_LOOKS = ("(?=", "(?!", "(?<=", "(?<!")
_GROUPS = ("(?:", "(?i:", *_LOOKS)
_COUNTS = ("*", "+", "?", "{")
_ENDLESS = 99


@dataclass(frozen=True)
class Ways:
    """In how many ways a part can match from one place: `factor * length ** power` at most.

    needed: whether the whole fails where the part does not match.
    """

    power: int = 0
    factor: int = 1
    needed: bool = True

    def then(self, other: Ways) -> Ways:
        """Both, one after the other."""
        power, factor = self.power + other.power, self.factor * other.factor
        return Ways(power, min(factor, MOST_WAYS + 1), self.needed or other.needed)

    def either(self, other: Ways) -> Ways:
        """One or the other."""
        factor = min(self.factor + other.factor, MOST_WAYS + 1)
        return Ways(max(self.power, other.power), factor, self.needed and other.needed)

    def worst(self, other: Ways) -> Ways:
        """The more of each."""
        return Ways(max(self.power, other.power), max(self.factor, other.factor))


def check_pattern(pattern: str) -> None:
    """Raise ValueError unless the expression is one that runs shortly on every text."""
    if len(pattern) > MOST_LETTERS:
        raise ValueError(f"a pattern of {len(pattern)} letters; at most {MOST_LETTERS} are read")
    reader = _Reader(pattern)
    reader.alternatives(0)
    if reader.place < len(pattern):
        raise reader.refusal("a bracket that nothing opened")


@dataclass
class _Reader:
    """Reads an expression from left to right."""

    pattern: str
    place: int = field(default=0)
    bare: bool = field(default=False)  # what was read last may match with no letter

    def alternatives(self, depth: int) -> tuple[Ways, Ways]:
        """`a|b|c`, up to the end or a closing bracket: its ways, and those tried in vain."""
        ways, tried = self.sequence(depth)
        bare = self.bare
        while self.takes("|"):
            other, other_tried = self.sequence(depth)
            ways, tried = ways.either(other), tried.worst(other_tried)
            bare |= self.bare
        self.bare = bare
        return ways, tried

    def sequence(self, depth: int) -> tuple[Ways, Ways]:
        ways, tried = Ways(needed=False), Ways()
        self.bare = bare = True
        while self.place < len(self.pattern) and self.pattern[self.place] not in "|)":
            start = self.place
            self.bare = True
            part, within = self.part(depth)
            bare &= self.bare
            if part.needed:
                # Where this fails, it is tried again behind every other way of what is before it.
                tried = tried.worst(ways.then(within))
                if tried.power > 1 or tried.factor > MOST_WAYS:
                    raise self.refusal("a part that is tried in too many ways", start)
            ways = ways.then(part)
        self.bare = bare
        return ways, tried

    def part(self, depth: int) -> tuple[Ways, Ways]:
        """One letter, place or group, and how often it may stand."""
        opening = next((each for each in _GROUPS if self.pattern.startswith(each, self.place)), "")
        if opening or self.pattern[self.place] == "(":
            return self.group(opening or "(", depth)
        if self.is_place():
            return Ways(), Ways()
        self.letter()
        self.bare = False
        return self.repeated(), Ways()

    def group(self, opening: str, depth: int) -> tuple[Ways, Ways]:
        start = self.place
        self.place += len(opening)
        if depth == MOST_DEPTH or self.pattern.startswith("?", self.place):
            raise self.refusal("a group of a kind that is not known here", start)
        ways, tried = self.alternatives(depth + 1)
        if not self.takes(")"):
            raise self.refusal("a group without an end", start)
        if opening in _LOOKS:
            self.bare = True
            return Ways(), ways  # looked at once, all of it, and then forgotten
        if self.bare and self.pattern[self.place : self.place + 1] in _COUNTS:
            raise self.refusal("a count behind a group that may be no letter", start)
        if ways == Ways():
            return self.repeated(), tried  # it matches in one way alone, as a letter does
        if self.takes("?"):
            return replace(ways, factor=ways.factor + 1, needed=False), tried
        if self.pattern[self.place : self.place + 1] in _COUNTS:
            raise self.refusal("a group that is repeated", start)
        return ways, tried

    def is_place(self) -> bool:
        """Whether a place between letters stands here, `^`, `$` or `\\b`; it is passed then."""
        rest = self.pattern[self.place : self.place + 2]
        length = 1 if rest[0] in "^$" else 2 if rest[0] == "\\" and rest[1:] in _PLACES else 0
        self.place += length
        return length > 0

    def letter(self) -> None:
        """Pass one letter, a kind of letter, or a class of them."""
        letter = self.pattern[self.place]
        if letter == "\\":
            self.escape()
        elif letter == "[":
            self.letter_class(0)
        elif letter in _COUNTS:
            raise self.refusal("a count with nothing before it")
        else:
            self.place += 1

    def escape(self) -> None:
        rest = self.pattern[self.place + 1 : self.place + 2]
        code = _CODE.match(self.pattern, self.place + 1)
        if code:
            self.place = code.end()
        elif rest in _KINDS or (rest and not rest.isalnum()):
            self.place += 2
        else:
            raise self.refusal("a backslash before a letter that is not known here")

    def letter_class(self, depth: int) -> None:
        start = self.place
        self.place += 1
        self.takes("^")
        if depth == MOST_DEPTH or self.pattern.startswith("]", self.place):
            raise self.refusal("a class of letters that is not plain", start)
        while self.place < len(self.pattern):
            letter = self.pattern[self.place]
            if letter == "]":
                self.place += 1
                return
            if letter == "[":
                self.letter_class(depth + 1)
            elif letter == "\\":
                self.escape()
            else:
                self.place += 1
        raise self.refusal("a class of letters without an end", start)

    def repeated(self) -> Ways:
        """How often the letter before may stand: `?`, `*`, `+`, `{2}`, `{1,3}`, `{2,}`."""
        start, ways = self.place, Ways()
        if self.takes("?"):
            ways = Ways(factor=2, needed=False)
        elif self.takes("*"):
            ways = Ways(power=1, needed=False)
        elif self.takes("+"):
            ways = Ways(power=1)
        elif count := _COUNT.match(self.pattern, self.place):
            return self.counted(count)
        if self.place > start:
            if self.takes("+"):
                ways = Ways(needed=ways.needed)  # possessive: what it took it keeps
            else:
                self.takes("?")
        self.refuse_count()
        return ways

    def counted(self, count: re.Match[str]) -> Ways:
        self.place = count.end()
        least, most = int(count[1]), int(count[3] or count[1])
        if not least <= most <= MOST_REPEATS:
            raise self.refusal(
                f"a count above {MOST_REPEATS}, or the wrong way round", count.start()
            )
        ways = Ways(factor=most - least + 1, needed=least > 0)
        if count[2] and not count[3]:
            ways = Ways(power=1, needed=least > 0)
        # `{1,3}+` is no possessive count in this dialect: it is repeated in turn.
        if self.takes("+"):
            ways = replace(ways, power=_ENDLESS)
        self.refuse_count()
        return ways

    def refuse_count(self) -> None:
        if self.pattern[self.place : self.place + 1] in _COUNTS:
            raise self.refusal("a count behind another")

    def takes(self, letter: str) -> bool:
        """Pass the letter if it stands here."""
        here = self.pattern.startswith(letter, self.place)
        self.place += len(letter) if here else 0
        return here

    def refusal(self, what: str, place: int | None = None) -> ValueError:
        at = self.place if place is None else place
        return ValueError(f"the pattern {self.pattern[at : at + 40]!r} begins with {what}")
