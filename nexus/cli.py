"""`nexus`: ask a bundle, talk with it, look at it, check it, take its adapters out.

Exit codes: 0 done; 1 the bundle cannot be trusted or the answer failed; 2 a wrong command line or
a prompt that is no text; 130 interrupted; 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus.errors import BundleError, InvalidInputError, IsolatedCapabilityError
from nexus.printable import printable

if TYPE_CHECKING:
    from nexus.model import NexusModel

QUIT = ("/quit", "/exit")
COMMANDS = (
    "/use NAME picks an adapter, /use alone leaves it to the router, /quit ends; "
    "Ctrl-C stops an answer or drops a line"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors become one message on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    options = command_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _forget_output()
        return 141
    except InvalidInputError as error:
        _say(f"nexus: {error}", sys.stderr)
        return 2
    except (BundleError, OSError, ValueError, RuntimeError) as error:
        _say(f"nexus: {_explain(error)}", sys.stderr)
        return 1


def _explain(error: Exception) -> str:
    """The error in the words of the shell, where a Python call's remedy is another one."""
    if isinstance(error, IsolatedCapabilityError):
        return (
            f"{error.capability} is an isolated capability: say --enable-uncensored on the "
            "command line to use it"
        )
    return str(error)


def _forget_output() -> None:
    """Let what is still to be flushed at exit go nowhere, rather than fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def command_parser() -> argparse.ArgumentParser:
    """The arguments of `nexus`."""
    parser = argparse.ArgumentParser(prog="nexus", description="Use a bundle made by Nexus.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(commands, "run", "answer one prompt", _run)
    run.add_argument("prompt", help="the prompt; - reads it from standard input")
    run.add_argument("--max-new-tokens", type=int, help="longest answer, in tokens")
    _asking(run)

    chat = _command(commands, "chat", "answer prompts as they are typed", _chat)
    _asking(chat)

    info = _command(commands, "info", "what a bundle holds", _info)
    info.add_argument("--json", action="store_true", help="the manifest as JSON")

    _command(commands, "verify", "compare every file with its digest", _verify)

    export = _command(commands, "export", "write ordinary PEFT folders", _export)
    export.add_argument("--peft", type=Path, required=True, metavar="DIR", help="where to")
    export.add_argument("--enable-uncensored", action="store_true", help="isolated adapters too")
    return parser


def _command(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.set_defaults(run=run)
    return parser


def _asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--capability", help="which adapter; default: the router decides")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--enable-uncensored", action="store_true", help="isolated ones too")


def _run(options: argparse.Namespace) -> int:
    model = _open_model(options)
    _keep_undecodable_input()
    # The end of the last line is the shell's, as in its own `$(...)`.
    prompt = sys.stdin.read().rstrip("\r\n") if options.prompt == "-" else options.prompt
    _answer(model, prompt, options, options.max_new_tokens)
    return 0


def _chat(options: argparse.Namespace) -> int:
    model = _open_model(options)
    _keep_undecodable_input()
    _edit_lines()
    _say(f"{model.manifest.name}: {', '.join(model.capabilities)}", sys.stderr)
    _say(COMMANDS, sys.stderr)
    while True:
        try:
            # Where lines come from a file, answers are all that stands in the output.
            line = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            # The shell's own prompt is to begin a line.
            _say("", sys.stderr)
            return 0
        except KeyboardInterrupt:
            # What was typed is dropped, as in a shell.
            _say("", sys.stderr)
            continue
        if line in QUIT:
            return 0
        try:
            _respond(model, line, options)
        except KeyboardInterrupt:
            _say(" (stopped)", sys.stderr)
        except (ValueError, PermissionError) as error:
            _say(_explain(error), sys.stderr)


def _edit_lines() -> None:
    """Cursor keys and earlier prompts, where a person types; `input` uses what is imported."""
    if sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401


def _respond(model: NexusModel, line: str, options: argparse.Namespace) -> None:
    """Answer one line of a chat: `/use`, a prompt, or nothing."""
    command, _, rest = line.partition(" ")
    if command == "/use":
        name = rest.strip() or None
        if name is not None:
            model.permitted(name, enable_uncensored=options.enable_uncensored)
        options.capability = name
    elif command == "/help":
        _say(f"{', '.join(model.capabilities)}\n{COMMANDS}", sys.stderr)
    elif command.startswith("/") and "/" not in command[1:]:
        raise ValueError(f"there is no command {command!r}: {COMMANDS}")
    elif line:
        _answer(model, line, options, None)


def _keep_undecodable_input() -> None:
    """Bytes that are no text reach the prompt's own check, which says so, as surrogates."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def _answer(model: NexusModel, prompt: str, options: argparse.Namespace, most: int | None) -> None:
    capability = options.capability
    if capability is None:
        capability = model.route(prompt).capability or "backbone"
        _say(f"[{capability}]", sys.stderr)
    pieces = model.stream(
        prompt,
        capability=capability,
        enable_uncensored=options.enable_uncensored,
        max_new_tokens=most,
    )
    for piece in pieces:
        sys.stdout.write(printable(piece))
        sys.stdout.flush()
    _say("", sys.stdout)


def _info(options: argparse.Namespace) -> int:
    from nexus.manifest import read_manifest

    manifest = read_manifest(options.bundle)
    if options.json:
        _say(json.dumps(manifest.about, indent=2, sort_keys=True), sys.stdout)
        return 0
    size = sum(entry.bytes for entry in manifest.files.values())
    _say(f"{manifest.name}  {size / 2**20:.1f} MB  {manifest.quantization}", sys.stdout)
    for name, capability in sorted(manifest.capabilities.items()):
        present = (options.bundle / capability.adapter).is_file()
        notes = [
            f"data set {capability.about.get('dataset')}",
            *(["isolated"] if capability.isolated else []),
            *([] if present else ["taken out"]),
        ]
        _say(f"  {name:<20} {', '.join(notes)}", sys.stdout)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from nexus.manifest import read_manifest, verify

    manifest = read_manifest(options.bundle)
    verify(options.bundle, manifest)
    there = sum((options.bundle / path).is_file() for path in manifest.files)
    out = len(manifest.files) - there
    gone = f"; {out} of isolated capabilities were taken out" if out else ""
    _say(f"{manifest.name}: all {there} files are as they were made{gone}", sys.stdout)
    return 0


def _export(options: argparse.Namespace) -> int:
    from nexus.export import export_peft
    from nexus.manifest import read_manifest, verify

    manifest = read_manifest(options.bundle)
    verify(options.bundle, manifest)
    for folder in export_peft(
        options.bundle, manifest, options.peft, enable_uncensored=options.enable_uncensored
    ):
        _say(str(folder), sys.stdout)
    return 0


def _open_model(options: argparse.Namespace) -> NexusModel:
    from nexus.model import NexusModel

    return NexusModel.load(options.bundle, options.device)


def _say(text: str, stream: Any) -> None:
    stream.write(printable(text) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
