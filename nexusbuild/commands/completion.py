"""nexusbuild completion bash|zsh|fish: a script that teaches the shell our words."""

from __future__ import annotations

import argparse
from itertools import pairwise

from nexusbuild.command import COMMANDS, Command, command_names, command_texts
from nexusbuild.commands.words_to_complete import FILES, Known, candidates
from nexusbuild.errors import BuildError, ResolveError
from nexusbuild.show.streams import say

# Each asks `nexusbuild completion words ...` what the last word can become: a line for each, its
# meaning after a tab.
BASH = """\
# nexusbuild in bash: put this into ~/.bashrc
#     source <(nexusbuild completion bash)
_nexusbuild() {
    local line="${COMP_LINE:0:COMP_POINT}" word candidate
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word="${words[-1]}"
    COMPREPLY=()
    while IFS=$'\\t' read -r candidate _; do
        if [[ $candidate == ":files" ]]; then
            compopt -o default
            return
        fi
        COMPREPLY+=("$candidate")
    done < <("${words[0]/#\\~/$HOME}" completion words "${words[@]:1}" 2> /dev/null)
    # To bash a colon begins a new word: give back what follows the last one.
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
    fi
}
complete -F _nexusbuild nexusbuild
"""
ZSH = """\
# nexusbuild in zsh: put this into ~/.zshrc, after compinit
#     source <(nexusbuild completion zsh)
_nexusbuild() {
    local line
    local -a candidates shown
    while IFS= read -r line; do
        if [[ $line == ":files" ]]; then
            _files
            return
        fi
        candidates+=("${line%%$'\\t'*}")
        shown+=("${line/$'\\t'/  -- }")
    done < <(${~words[1]} completion words "${(@)words[2,CURRENT]}" 2> /dev/null)
    compadd -l -d shown -a candidates
}
compdef _nexusbuild nexusbuild
"""
FISH = """\
# nexusbuild in fish: put this into ~/.config/fish/config.fish
#     nexusbuild completion fish | source
function __nexusbuild_words
    set -l words (commandline -opc) (commandline -ct)
    set -l found (eval $words[1] completion words (string escape -- $words[2..]) 2> /dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        string join -- \\n $found
    end
end
complete -c nexusbuild -f -a '(__nexusbuild_words)'
"""
SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=(*SHELLS, "words"))
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, help="with `words`: the words so far, as the scripts ask"
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.shell in SHELLS:
        say(SHELLS[arguments.shell].rstrip())
        return 0
    found = candidates(arguments.words, _known(arguments.words))
    if any(each.word == FILES for each in found):
        say(FILES)
    else:
        for each in found:
            meaning = " ".join(each.meaning.split()).replace("%%", "%")
            say(f"{each.word}\t{meaning}" if meaning else each.word)
    return 0


def _known(words: list[str]) -> Known:
    """What is known here; what cannot be found out is not offered, and that is all."""

    def ids() -> list[str]:
        from nexusbuild.project import Project, find_place

        try:
            project = Project(find_place(*(_given(words, name) for name in _PLACE)))
            project.save_graph()
        except (BuildError, ResolveError, OSError):
            return []
        return list(project.graph.targets)

    def builds() -> list[str]:
        from nexusbuild.project import find_place
        from nexusbuild.store.buildlog import read_builds

        try:
            store = find_place(*(_given(words, name) for name in _PLACE)).store
        except BuildError:
            return []
        return [str(build.number) for build in reversed(read_builds(store))]

    return Known(_is_command, command_texts, _parser_of, ids, builds)


_PLACE = (("-f", "--file"), ("--store",), ("--resolver",))


def _given(words: list[str], names: tuple[str, ...]) -> str | None:
    """The value of an option among the words so far."""
    for option, value in pairwise(words[:-1]):
        if option in names:
            return value
    return None


def _is_command(word: str) -> bool:
    return word in COMMANDS or (word.isidentifier() and word in command_names())


def _parser_of(name: str) -> argparse.ArgumentParser:
    from nexusbuild.commands.parsing import find_command

    parser = argparse.ArgumentParser(allow_abbrev=False)
    find_command(name).configure(parser)
    return parser


command = Command(
    "completion", "A script that teaches bash, zsh or fish our words.", configure, run
)
