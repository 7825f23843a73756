"""The reference of every command, read off the commands' own parsers, as Markdown.

`python -m nexusbuild.commands.reference > docs/commands.md` brings the page up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from nexusbuild.command import command_names
from nexusbuild.commands.parsing import find_command, parser_of

USUAL = "Ends with 0 where it is done, with 2 where the command line, spec or a source is wrong."
HEAD = """\
# Commands

Every command of `nexusbuild`. `python -m nexusbuild.commands.reference > docs/commands.md` writes
this page from the commands' own parsers, and a test holds it to them. The commands of a bundle's
consumer, `nexus run` and others, stand in [runtime.md](runtime.md).

TARGET and SELECTOR are an id (`adapter:reasoning`), a kind (`profile`) or a glob
(`profile:*/reasoning`), with `+` before it for all that it needs and `+` after it for all that
needs it; see [builder.md](builder.md#naming-targets).

| exit code | means |
|---|---|
| 0 | done, nothing violated |
| 1 | a target failed |
| 2 | the spec, the command line or a source is wrong |
| 3 | built, but a contract is not met; nothing is released |
| 4 | with `--dry-run --exit-code`: something is not fresh |
| 130 | interrupted; finished targets are kept |

Where several apply: 130, 2, 1, 3. With `--json` errors come as a document, too.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in command_names():
        command = find_command(name)
        parser = parser_of(name, command, ["--help"])
        title = "nexusbuild" if name == "build" else f"nexusbuild {name}"
        parts.append("\n".join([f"## {title}", "", *_command(parser, command.help)]))
    return "\n".join(parts)


def _command(parser: argparse.ArgumentParser, help_: str) -> list[str]:
    lines = [f"{help_[0].upper()}{help_[1:].rstrip('.')}.", ""]
    inner = _inner(parser)
    if not inner:
        lines += [*_usage(parser), *_table(parser)]
    text = (parser.epilog or "").partition("commands (")[0].strip()
    lines += list(_prose(text))
    if "Ends with" not in text and not inner:
        lines += [USUAL, ""]
    for name, (below, said) in inner.items():
        lines += [f"### {parser.prog} {name}", "", *_command(below, said)]
    return lines


def _inner(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """name -> parser and help of its parts, as in `store export`."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action._choices_actions:
                found[each.dest] = (action.choices[each.dest], each.help or each.dest)
    return found


def _usage(parser: argparse.ArgumentParser) -> list[str]:
    words = [parser.prog, *(_positional(each) for each in _positionals(parser)), "[option ...]"]
    return ["```", " ".join(words), "```", ""]


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in parser._actions if not each.option_strings]


def _positional(action: argparse.Action) -> str:
    name = _value(action)
    several = {"*": f"[{name} ...]", "+": f"{name} [{name} ...]", "?": f"[{name}]"}
    return several.get(str(action.nargs), f"[{name} ...]" if action.nargs == "A..." else name)


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "|".join(str(each) for each in action.choices)
    return action.dest.upper()


def _table(parser: argparse.ArgumentParser) -> list[str]:
    rows = list(_rows(parser))
    return ["| argument | |", "|---|---|", *rows, ""] if rows else []


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        name = _value(action)
        if action.option_strings:
            value = "" if action.nargs == 0 else f" {_positional(action)}"
            name = ", ".join(action.option_strings) + value
        help_ = (action.help or "").replace("%%", "%")
        required = " (required)" if action.option_strings and action.required else ""
        cells = (f"`{name}`", f"{help_}{required}")
        yield "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"


def _prose(epilog: str) -> Iterator[str]:
    """An epilog as Markdown: lists of examples as blocks, the rest as it is."""
    for part in filter(None, epilog.split("\n\n")):
        title, _, rest = part.partition("\n")
        if title.rstrip().endswith(":") and rest.startswith("  "):
            yield from (title.capitalize(), "", "```", *_remove_indent(rest), "```", "")
        else:
            yield from (part, "")


def _remove_indent(block: str) -> list[str]:
    return [line.removeprefix("  ").rstrip() for line in block.splitlines()]


if __name__ == "__main__":
    sys.stdout.write(reference().rstrip() + "\n")
