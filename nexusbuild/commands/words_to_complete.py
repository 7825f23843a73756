"""What can stand where the cursor is: commands, options, their values, ids and kinds of targets.

Read off the commands' own parsers: the name that an argument has in the help (TARGET, FILE, BUILD)
says what its values are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

# Stands for "the names of files": the shell knows them better.
FILES = ":files"
_OF_TARGETS = ("TARGET", "SELECTOR")
_OF_FILES = ("FILE", "PATH", "FOLDER", "FILE.csv")
_OF_BUILDS = ("BUILD", "A", "B")


@dataclass(frozen=True)
class Candidate:
    word: str
    meaning: str = ""


@dataclass(frozen=True)
class Known:
    """What there is, asked for when needed. commands: name -> meaning. parser_of: its arguments."""

    is_command: Callable[[str], bool]
    commands: Callable[[], Mapping[str, str]]
    parser_of: Callable[[str], argparse.ArgumentParser]
    ids: Callable[[], Sequence[str]]
    builds: Callable[[], Sequence[str]]


def candidates(words: Sequence[str], known: Known) -> list[Candidate]:
    """What the last of `words` can become; it may be empty. words: without the program's name."""
    *before, word = words or [""]
    place = next((at for at, each in enumerate(before) if known.is_command(each)), None)
    command = "build" if place is None else before[place]
    parser = known.parser_of(command)
    arguments = before if place is None else before[place + 1 :]
    parser, values = _followed(parser, arguments)
    if arguments and (option := _option(parser, arguments[-1])) is not None and _takes(option):
        return _starting(word, _values(option, word, known))
    if word.startswith("-"):
        return _starting(word, _options(parser))
    found: list[Candidate] = []
    if place is None and not values and (not word or word.isidentifier()):
        found += [Candidate(name, text) for name, text in known.commands().items()]
    positional = _positional(parser, len(values))
    if positional is not None:
        found += _values(positional, word, known)
    return _starting(word, found)


def _followed(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser that the arguments lead to (`store export`), and its positional ones so far."""
    values: list[str] = []
    is_value = False
    for each in arguments:
        if is_value:
            is_value = False
        elif each.startswith("-"):
            option = _option(parser, each)
            is_value = option is not None and _takes(option)
        elif (inner := _inner_parsers(parser).get(each)) is not None:
            parser, values = inner, []
        else:
            values.append(each)
    return parser, values


def _inner_parsers(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found: Mapping[str, argparse.ArgumentParser] = action.choices
            return found
    return {}


def _option(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    return parser._option_string_actions.get(word)


def _takes(option: argparse.Action) -> bool:
    """Whether a value follows the option."""
    return option.nargs != 0


def _positional(parser: argparse.ArgumentParser, count: int) -> argparse.Action | None:
    """The positional argument that comes after `count` of them."""
    for action in parser._actions:
        if not action.option_strings:
            if action.nargs in ("*", "+", argparse.REMAINDER) or count == 0:
                return action
            count -= 1
    return None


def _options(parser: argparse.ArgumentParser) -> list[Candidate]:
    return [
        Candidate(name, action.help or "")
        for action in parser._actions
        for name in action.option_strings
        if name.startswith("--")
    ]


def _values(action: argparse.Action, word: str, known: Known) -> list[Candidate]:
    if isinstance(action, argparse._SubParsersAction):
        return [Candidate(each.dest, each.help or "") for each in action._choices_actions]
    if action.choices is not None:
        return [Candidate(str(each)) for each in action.choices]
    name = action.metavar
    if name in _OF_FILES:
        return [Candidate(FILES)]
    if name in _OF_BUILDS:
        return [Candidate(each) for each in ("last", *known.builds())]
    if name in _OF_TARGETS:
        return _selectors(word, known.ids())
    return []


def _selectors(word: str, ids: Iterable[str]) -> list[Candidate]:
    """Kinds; ids, too, once a letter is there: all at once are too many to choose from."""
    plus = "+" if word.startswith("+") else ""
    known = list(ids)
    kinds = dict.fromkeys(each.partition(":")[0] for each in known)
    counts = {kind: sum(each.partition(":")[0] == kind for each in known) for kind in kinds}
    said = {kind: f"{count} target{'' if count == 1 else 's'}" for kind, count in counts.items()}
    found = [Candidate(plus + kind, "" if kind in known else said[kind]) for kind in kinds]
    if word.removeprefix("+"):
        found += [Candidate(plus + each) for each in known if each not in kinds]
    return found


def _starting(word: str, found: Iterable[Candidate]) -> list[Candidate]:
    return [each for each in found if each.word == FILES or each.word.startswith(word)]
