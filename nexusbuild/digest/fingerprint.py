"""Code fingerprints: the project's modules that a target's work reaches through imports.

Imports are read from the syntax tree and never executed. Each module counts in a normal form
without comments, docstrings and layout, so only a change of meaning changes a fingerprint.
Project modules are those of the work's own top-level package and of the packages next to it in the
same folder; for an installed package, those of its distribution.
"""

# ruff: noqa: PTH112, PTH113, PTH116, PTH118, PTH119, PTH208
# Asks for thousands of paths; os is several times as fast as pathlib.

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nexusbuild import errors
from nexusbuild.digest.keys import canonical_json, sha256_text
from nexusbuild.digest.statcache import StatCache

# Part of every cached entry: raise it when the normal form or the reading of imports changes.
_FORM = 1


@dataclass(frozen=True)
class Code:
    """fingerprint: over `modules` (dotted name -> sha256 of the normal form) and the work's name.

    libraries: top-level names imported from outside the project, standard library aside.
    """

    fingerprint: str
    modules: dict[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Module:
    """One file, read: its normal form's sha256 and its imports as (level, module, names).

    names is None for `import module` under its own dotted name, () for `import module as name`.
    """

    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...] | None], ...]


class CodeFingerprints:
    """Fingerprints of works, remembered per file in `cache`."""

    def __init__(self, cache: StatCache) -> None:
        self._cache = cache
        self._known: dict[tuple[str, ...], Code] = {}
        self._read: dict[str, _Module] = {}
        self._trees: dict[str, _SourceTree] = {}

    def of(self, work: str, target: str = "", loaded: tuple[str, ...] = ()) -> Code:
        """The fingerprint of `package.module:function`. target: whose work it is. loaded: modules
        that it loads by name.
        """
        known = (work, *loaded)
        if known not in self._known:
            self._known[known] = self._fingerprint(work, target, loaded)
        return self._known[known]

    def forget(self) -> None:
        """Look at the files again from now on."""
        self._known.clear()
        self._read.clear()
        self._trees.clear()

    def save_cache(self) -> None:
        self._cache.save_cache()

    @property
    def tops(self) -> set[str]:
        """Top-level modules that works were looked for in."""
        return set(self._trees)

    @property
    def files(self) -> set[str]:
        """Files that were read."""
        return set(self._read)

    @property
    def folders(self) -> set[str]:
        """Folders that modules were looked for in."""
        return {folder for tree in self._trees.values() for folder in tree.folders()}

    def _fingerprint(self, work: str, target: str, loaded: tuple[str, ...]) -> Code:
        modules: dict[str, str] = {}
        libraries: set[str] = set()
        start = work.partition(":")[0]
        for root in (start, *loaded):
            tree, of_work = self._tree(root), self._tree(start)
            if tree is None or of_work is None or tree.file(root) is None:
                raise errors.no_work_module(root if root in loaded else work, target)
            # What another package brings may stand on the packages that it is loaded by.
            self._follow(root, (tree, of_work), modules, libraries)
        ordered = dict(sorted(modules.items()))
        return Code(
            sha256_text(canonical_json(["code", work, ordered])),
            ordered,
            tuple(sorted(libraries - sys.stdlib_module_names)),
        )

    def _tree(self, module: str) -> _SourceTree | None:
        top = module.partition(".")[0]
        if top not in self._trees:
            found = _SourceTree.holding(top)
            if found is None:
                return None
            self._trees[top] = found
        return self._trees[top]

    def _follow(
        self,
        root: str,
        trees: tuple[_SourceTree, ...],
        modules: dict[str, str],
        libraries: set[str],
    ) -> None:
        """Add what `root` reaches: modules of these trees by name with their digests, and other
        libraries. Of a name that several trees hold, the first counts.
        """
        waiting = [(root, trees[0])]
        while waiting:
            name, tree = waiting.pop()
            path = tree.file(name)
            if name in modules or path is None:
                continue
            module = self._module(path)
            modules[name] = module.digest
            for level, imported, names in module.imports:
                base = tree.absolute(name, level, imported)
                holder = next((each for each in (tree, *trees) if each.holds(base)), None)
                if holder is not None:
                    waiting.extend((each, holder) for each in holder.reached(base, names))
                elif base:
                    libraries.add(base.partition(".")[0])

    def _module(self, path: str) -> _Module:
        if path not in self._read:
            stat = os.stat(path)
            entry = self._cache.get(path, stat)
            if isinstance(entry, list) and entry[0] == _FORM:
                imports = tuple(
                    (level, module, None if names is None else tuple(names))
                    for level, module, names in entry[2]
                )
                self._read[path] = _Module(entry[1], imports)
            else:
                began = time.time_ns()
                module = _read_module(path)
                self._cache.put(path, stat, [_FORM, module.digest, module.imports], began)
                self._read[path] = module
        return self._read[path]


class _SourceTree:
    """The folder that holds the project's packages, and what lies in it."""

    def __init__(self, root: Path, tops: frozenset[str] | None) -> None:
        self._root = str(root)
        self._tops = tops  # None: every package and module in the folder
        self._files: dict[str, str | None] = {}
        self._listed: dict[str, frozenset[str]] = {}

    @staticmethod
    def holding(top: str) -> _SourceTree | None:
        """The tree of a top-level package or module; None where no source of it is found."""
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            return None
        if spec.submodule_search_locations:
            root = Path(next(iter(spec.submodule_search_locations))).parent
        elif spec.origin and spec.origin.endswith(".py"):
            root = Path(spec.origin).parent
        else:
            return None
        installed = root.name in ("site-packages", "dist-packages")
        return _SourceTree(root, _tops_of_distribution(top) if installed else None)

    def holds(self, module: str) -> bool:
        top = module.partition(".")[0]
        if not top or (self._tops is not None and top not in self._tops):
            return False
        return self.file(top) is not None or bool(self._names(os.path.join(self._root, top)))

    def file(self, module: str) -> str | None:
        """The source file of a module, the `__init__` of a package; None where there is none."""
        if module not in self._files:
            above, _, name = module.rpartition(".")
            folder = os.path.join(self._root, *above.split(".")) if above else self._root
            names = self._names(folder)
            candidates = []
            if name in names and "__init__.py" in self._names(f"{folder}/{name}"):
                candidates.append(f"{folder}/{name}/__init__.py")
            if f"{name}.py" in names:
                candidates.append(f"{folder}/{name}.py")
            self._files[module] = next((path for path in candidates if os.path.isfile(path)), None)
        return self._files[module]

    def folders(self) -> set[str]:
        """Every folder that a module was looked for in; where one is not there, that above it."""
        return {folder for folder, names in self._listed.items() if names} | {self._root}

    def _names(self, folder: str) -> frozenset[str]:
        """What lies in a folder; nothing where there is none."""
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def absolute(self, importer: str, level: int, module: str) -> str:
        """The dotted name that a relative import in `importer` means."""
        if level == 0:
            return module
        path = self.file(importer) or ""
        parts = importer.split(".")
        dropped = level - 1 if os.path.basename(path) == "__init__.py" else level
        return ".".join([*parts[: len(parts) - dropped], *([module] if module else [])])

    def reached(self, base: str, names: tuple[str, ...] | None) -> Iterator[str]:
        """Modules that count when `names` are imported from `base`, or `base` itself."""
        if names is None:  # `import a.b.c` binds `a`: names can come from each of them
            parts = base.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
        elif not names:
            yield base
        for name in names or ():
            if name == "*":
                yield base
                yield from self._below(base)
            elif self.file(f"{base}.{name}") is not None:
                yield f"{base}.{name}"
            else:
                yield base

    def _below(self, package: str) -> Iterator[str]:
        folder = os.path.join(self._root, *package.split("."))
        if os.path.isdir(folder):
            for entry in sorted(os.listdir(folder)):
                name = entry.removesuffix(".py")
                if name != "__init__" and self.file(f"{package}.{name}") is not None:
                    yield f"{package}.{name}"


def _tops_of_distribution(top: str) -> frozenset[str]:
    from importlib import metadata

    providers = metadata.packages_distributions()
    ours = set(providers.get(top, ()))
    return frozenset({top} | {name for name, dists in providers.items() if ours & set(dists)})


def _read_module(path: str) -> _Module:
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise errors.unreadable(path, error) from error
    try:
        tree = ast.parse(source, path)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise errors.syntax_error(path, line, str(error)) from error
    _keep_what_runs(tree)
    tokens: list[str] = []
    write_normal_form(tree, tokens)
    digest = hashlib.sha256("\x00".join(tokens).encode("utf-8", "surrogatepass")).hexdigest()
    return _Module(digest, tuple(dict.fromkeys(_imports(tree))))


def _keep_what_runs(tree: ast.Module) -> None:
    """Drop, in place, what has no effect: docstrings, bare constants, `pass`, type-only imports."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, list(_effective(statements)))


def _effective(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in statements:
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.If):
            if _is_type_checking(statement.test):
                yield from _effective(statement.orelse)
                continue
            test = statement.test
            negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
            if negated and _is_type_checking(test.operand):  # type: ignore[attr-defined]
                yield from _effective(statement.body)
                continue
        yield statement


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def write_normal_form(node: ast.AST, tokens: list[str]) -> None:
    """The tree as a flat list of tokens, the same on every version of Python that can parse it.

    (`ast.dump` is not: what it leaves out changed in 3.13, and new versions add empty fields.)
    """
    tokens.append(type(node).__name__)
    tokens.append("(")
    constant = isinstance(node, ast.Constant)
    for name, value in ast.iter_fields(node):
        if name in ("kind", "type_comment", "type_ignores"):
            continue
        if constant:
            tokens.append(f"{type(value).__name__}:{value!r}")
        elif isinstance(value, ast.AST):
            tokens.append(name)
            write_normal_form(value, tokens)
        elif isinstance(value, list):
            if value:
                tokens.append(name)
                for item in value:
                    if isinstance(item, ast.AST):
                        write_normal_form(item, tokens)
                    else:
                        tokens.append(repr(item))
        elif value is not None:
            tokens.append(name)
            tokens.append(repr(value))
    tokens.append(")")


def _imports(tree: ast.AST) -> Iterator[tuple[int, str, tuple[str, ...] | None]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (0, alias.name, () if alias.asname else None)
        elif isinstance(node, ast.ImportFrom):
            yield (node.level, node.module or "", tuple(alias.name for alias in node.names))
        elif isinstance(node, ast.Call):
            yield from _imports_by_call(node)


def _imports_by_call(call: ast.Call) -> Iterator[tuple[int, str, tuple[str, ...] | None]]:
    """`import_module("a.b")`; for a name put together at run time, all modules of its package."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in ("import_module", "__import__") or not call.args:
        return
    text, whole = _known_beginning(call.args[0])
    module = text.lstrip(".")
    level = len(text) - len(module)
    if whole and text:
        yield (level, module, ())
    elif "." in text:
        yield (level, module.rpartition(".")[0], ("*",))


def _known_beginning(expression: ast.expr) -> tuple[str, bool]:
    """The constant beginning of a string expression, and whether that is all of it."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return expression.value, True
    if isinstance(expression, ast.JoinedStr) and expression.values:
        return _known_beginning(expression.values[0])[0], False
    if isinstance(expression, ast.BinOp):
        return _known_beginning(expression.left)[0], False
    return "", False
