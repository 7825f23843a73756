"""Which targets' code changes with an edit, module by module: run in a copy of the project.

    python code_after_edits.py MODULES SPEC ...

MODULES: a JSON list of dotted modules of the copy, each of which is edited and put back. Prints
per module and spec the targets whose code fingerprint the edit changed, and those of no edit: all
targets, under the name of no module.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import targets
from nexusbuild.digest.fingerprint import CodeFingerprints
from nexusbuild.digest.statcache import StatCache
from nexusbuild.plugins import Graph
from nexusbuild.rule.sources import loaded_modules
from targets.resolver import resolve

EDIT = "\n_EDITED = 1\n"


def main(modules: list[str], specs: list[str]) -> None:
    root = Path.cwd()
    assert Path(targets.__file__).is_relative_to(root), "this is not the copy"
    fingerprints = CodeFingerprints(StatCache(None))
    graphs = {spec: resolve(root / spec, {}) for spec in specs}
    before = {spec: codes_of(fingerprints, graph) for spec, graph in graphs.items()}
    changed = {"": {spec: list(codes) for spec, codes in before.items()}}
    for module in modules:
        file = Path(find_spec(module.partition(".")[0]).origin).parents[1]  # type: ignore[union-attr, arg-type]
        file = file.joinpath(*module.split(".")).with_suffix(".py")
        text = file.read_bytes()
        file.write_bytes(text + EDIT.encode())
        fingerprints.forget()
        changed[module] = {
            spec: [one for one, code in codes_of(fingerprints, graph).items() if code != was[one]]
            for (spec, graph), was in zip(graphs.items(), before.values(), strict=True)
        }
        file.write_bytes(text)
    print(json.dumps(changed))


def codes_of(fingerprints: CodeFingerprints, graph: Graph) -> dict[str, str]:
    """Each target's code fingerprint."""
    return {
        target.id: fingerprints.of(target.work, target.id, loaded_modules(target)).fingerprint
        for target in graph
    }


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
