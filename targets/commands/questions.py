"""Questions to a person at a terminal, each with an answer that Enter takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nexus.printable import printable
from nexusbuild.plugins import say
from specs.problems import nearest
from specs.values import NAME_PATTERN, NO_ASSERTION


@dataclass(frozen=True)
class Questions:
    """asking: else every question is answered as Enter would. Raises EOFError where input ends."""

    asking: bool

    def name(self, question: str, usual: str) -> str:
        """A name as the spec allows it."""
        while True:
            answer = self._answer(question, usual)
            if re.fullmatch(NAME_PATTERN, answer):
                return answer
            say("  a name has letters, digits, _, - and . and begins with a letter or a digit")

    def names(
        self, question: str, usual: Sequence[str], allowed: Sequence[str] | None = None
    ) -> list[str]:
        """Some names; `-` for none."""
        while True:
            answer = self._answer(f"{question} (- for nothing)", ", ".join(usual))
            if answer == "-":
                return []
            names = list(dict.fromkeys(answer.replace(",", " ").split()))
            wrong = [
                name
                for name in names
                if not re.fullmatch(NAME_PATTERN, name)
                or (allowed is not None and name not in allowed)
            ]
            if not wrong:
                return names
            close = nearest(wrong[0], allowed or [])
            hint = f"; did you mean {close}?" if close else ""
            known = f"there is: {', '.join(allowed)}" if allowed else "no name"
            say(f"  {wrong[0]}: {known}{hint}")

    def licence(self, question: str, stated: str | None) -> str:
        """A licence by its SPDX name; what was stated, or that nobody has stated one."""
        return self._answer(f"  {question}, as SPDX names it", stated or NO_ASSERTION)

    def _answer(self, question: str, usual: str) -> str:
        if not self.asking:
            return usual
        return input(printable(f"{question} [{usual}]: ")).strip() or usual
