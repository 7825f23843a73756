"""nexusbuild completion bash|zsh|fish: a script that lets the shell complete words.

At every press of the key argcomplete's script calls `nexusbuild` with what was typed in the
environment, and `complete_words` answers. The name that an argument has in the help (TARGET, FILE,
BUILD) says what its values are.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from argcomplete.completers import FilesCompleter
from argcomplete.finders import CompletionFinder
from argcomplete.lexers import split_line
from argcomplete.shell_integration import shellcode

from nexusbuild.command import Command, command_texts
from nexusbuild.commands.parsing import find_command, split_words
from nexusbuild.errors import BuildError, ResolveError
from nexusbuild.project import Project, find_place
from nexusbuild.readable import pluralize
from nexusbuild.show.streams import say
from nexusbuild.store.buildlog import read_builds

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    say(shellcode(["nexusbuild"], shell=arguments.shell).rstrip())
    return 0


def complete_words() -> None:
    """Tell the shell what the word at the cursor can become, and end the process."""
    line, point = os.environ.get("COMP_LINE", ""), int(os.environ.get("COMP_POINT", "0"))
    words = split_line(line, point)[3]
    name, rest = split_words(words[1:])
    named = len(rest) < len(words) - 1
    parser = argparse.ArgumentParser(allow_abbrev=False)
    if named:
        parser.add_argument("command", choices=[name])
    find_command(name).configure(parser)
    _set_completers(parser, first=not named and not any(word[:1] != "-" for word in rest))
    CompletionFinder()(parser, always_complete_options=False, validator=_begins)


def _set_completers(parser: argparse.ArgumentParser, first: bool = False) -> None:
    """Say of each argument what its values are. first: a command's name could stand there, too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _set_completers(inner)
        elif action.choices is None:
            completer = _COMPLETERS.get(str(action.metavar), _nothing)
            if first and not action.option_strings:
                completer = _commands_and_targets
            action.completer = completer  # type: ignore[attr-defined]


def _begins(word: str, prefix: str) -> bool:
    """Whether it is offered: short options are not."""
    return word.startswith(prefix) and (word[:1] != "-" or word[:2] == "--")


def _targets(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Mapping[str, str]:
    """Kinds; ids, too, once a letter is there: all at once are too many to choose from."""
    plus = "+" if prefix.startswith("+") else ""
    ids = _ids(parsed_args)
    found: dict[str, str] = {}
    for kind in dict.fromkeys(each.partition(":")[0] for each in ids):
        count = sum(each.partition(":")[0] == kind for each in ids)
        found[plus + kind] = "" if kind in ids else pluralize(count, "target")
    if prefix.removeprefix("+"):
        found |= {plus + each: "" for each in ids if plus + each not in found}
    return found


def _commands_and_targets(
    prefix: str, parsed_args: argparse.Namespace, **_: Any
) -> Mapping[str, str]:
    commands = command_texts() if not prefix or prefix.isidentifier() else {}
    return {**commands, **_targets(prefix, parsed_args)}


def _ids(given: argparse.Namespace) -> list[str]:
    """Ids of all targets; none, where the spec cannot be resolved."""
    try:
        project = Project(find_place(*_place(given)))
        project.save_graph()
    except (BuildError, ResolveError, OSError):
        return []
    return list(project.graph.targets)


def _builds(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    try:
        store = find_place(*_place(parsed_args)).store
    except BuildError:
        return []
    return ["last", *(str(build.number) for build in reversed(read_builds(store)))]


def _place(given: argparse.Namespace) -> list[str | None]:
    return [getattr(given, name, None) for name in ("file", "store", "resolver")]


def _nothing(**_: Any) -> Iterable[str]:
    return ()


_COMPLETERS: Mapping[str, Callable[..., Iterable[str]]] = {
    **dict.fromkeys(("TARGET", "SELECTOR"), _targets),
    **dict.fromkeys(("FILE", "PATH", "FOLDER", "FILE.csv"), FilesCompleter()),
    **dict.fromkeys(("BUILD", "A", "B"), _builds),
}

command = Command(
    "completion", "A script that lets bash, zsh or fish complete words.", configure, run
)
