"""`nexusbuild figure`: profiles as pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from nexusbuild.plugins import Command, add_file, say
from targets.commands.command import DONE, count_phrase, refusal, spec_path

EXAMPLES = """\
examples:
  nexusbuild figure                       every profile of the last build
  nexusbuild figure scholar/reasoning     one, by teacher and capability
  nexusbuild figure --dark --to docs/     on dark paper, into a folder
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which profiles, and where to."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "profiles",
        nargs="*",
        metavar="TEACHER/CAPABILITY",
        help="profiles to draw (default: all that are built)",
    )
    parser.add_argument("--dark", action="store_true", help="on dark paper")
    parser.add_argument(
        "--to", metavar="FOLDER", default=".", help="where the pictures go (default: here)"
    )
    add_file(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write `profile-<teacher>-<capability>.png` for each."""
    spec = spec_path(arguments)
    built = spec.parent / "build" / "profile"
    found = {
        file.parent.relative_to(built).as_posix(): file.parent
        for file in sorted(built.glob("*/*/profile.json"))
    }
    if missing := [name for name in arguments.profiles if name not in found]:
        there = ", ".join(found) or "none"
        raise refusal(f"no profile {' and no '.join(missing)} is built; there are: {there}")
    if not found:
        raise refusal(f"{built} holds no profile; build one first: nexusbuild build profile")
    # Drawing takes a large library, which no other command waits for.
    from targets.profile.figure import profile_figure

    folder = Path(arguments.to)
    folder.mkdir(parents=True, exist_ok=True)
    names = arguments.profiles or list(found)
    for name in names:
        suffix = "-dark" if arguments.dark else ""
        file = folder / f"profile-{name.replace('/', '-')}{suffix}.png"
        file.write_bytes(profile_figure(found[name], "dark" if arguments.dark else "light"))
        say(str(file))
    say(f"{count_phrase(len(names), 'picture')} drawn")
    return DONE


command = Command("figure", "draw profiles as pictures", configure, run)
