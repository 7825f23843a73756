"""Examples of our own commands, and what they end with: for `--help` and the reference."""

from __future__ import annotations

EXAMPLES = {
    "build": """\
examples:
  nexusbuild                          build what is stale
  nexusbuild --dry-run                what would that be, and why
  nexusbuild gate:tools               this target, and all that it needs
  nexusbuild profile --keep-going     every profile that can be made
  nexusbuild --force teacher:coder+   a teacher again, and what follows from it
  nexusbuild --dry-run --exit-code    for scripts: 4 if something is not fresh

Ends with 0 where all is built and every contract met, 1 where a target failed,
2 where the spec, the command line or a source is wrong, 3 where a contract is
not met (nothing is released), 4 as above, 130 where it was interrupted.
""",
    "why": """\
examples:
  nexusbuild why gate:code                what it was built from, or why not yet
  nexusbuild why bundle --against 3       what has changed since build 3
  nexusbuild why adapter:code --modules   with every module of its code
""",
    "ls": """\
examples:
  nexusbuild ls               every target
  nexusbuild ls gate          those of one kind
  nexusbuild ls +gate:tools   one, and all that it needs
""",
    "graph": """\
examples:
  nexusbuild graph                          as text
  nexusbuild graph adapter:code+            what follows from one target
  nexusbuild graph --format dot             for Graphviz
  nexusbuild graph bundle --format mermaid  for Markdown
""",
    "log": """\
examples:
  nexusbuild log        every build, a line each
  nexusbuild log 3      what build 3 did, target by target
  nexusbuild log last   the last one
""",
    "diff": """\
examples:
  nexusbuild diff 1 3       settings, scores, code and sizes
  nexusbuild diff -- -2 -1  the last two
""",
    "lock": """\
examples:
  nexusbuild lock                      write nexus.lock for today's sources
  nexusbuild lock --upgrade backbone   let the next build make a new backbone
""",
    "accept": """\
examples:
  nexusbuild accept adapter:code --why "only a name changed"

From now on the results count as made by today's code; who, when and why is
kept with them (`nexusbuild why`).
""",
    "store": """\
examples:
  nexusbuild store export trace traces.tar   what a rented GPU made
  nexusbuild store import traces.tar         at home
""",
    "gc": """\
examples:
  nexusbuild gc --dry-run   what would be dropped
  nexusbuild gc --keep 3    all that the last three builds do not refer to
""",
    "doctor": """\
examples:
  nexusbuild doctor                  the machine, the libraries, what can run
  nexusbuild doctor --verify-store   and hash every file in the store

Ends with 0 where nothing is wrong, with 1 where something is damaged.
""",
    "completion": """\
examples:
  source <(nexusbuild completion bash)   in ~/.bashrc
  source <(nexusbuild completion zsh)    in ~/.zshrc, after compinit
  nexusbuild completion fish | source    in ~/.config/fish/config.fish
""",
}
