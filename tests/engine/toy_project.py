"""A toy project in a folder of its own, built through the command line as a person would."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import doit.doit_cmd  # noqa: F401 (imported once here, so that no forked command pays for it)
import yaml  # noqa: F401 (the same)

import nexusbuild.commands.build
import nexusbuild.digest.host
import nexusbuild.run.build
from nexusbuild.cli import main

# Found once for all forked commands: it asks after every installed package.
nexusbuild.digest.host.builder_version()

ROOT = Path(__file__).resolve().parents[2]


class Toy:
    """A project folder: a spec, its own copy of the toy package (so that code can be edited)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "toy").exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(Path(__file__).parent / "toy", folder / "toy", ignore=ignored)
        self.spec: dict[str, Any] = {"targets": {}}

    def copied(self, folder: Path) -> Toy:
        """The same project elsewhere, with its store."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copy = Toy(folder)
        copy.spec = json.loads(json.dumps(self.spec))
        return copy

    def target(self, name: str, **body: Any) -> None:
        self.spec["targets"][name] = body
        self.save()

    def settings(self, name: str, **settings: Any) -> None:
        self.spec["targets"][name].setdefault("settings", {}).update(settings)
        self.save()

    def save(self) -> None:
        (self.folder / "nexus.yaml").write_text(json.dumps(self.spec, indent=1))

    def write(self, path: str, text: str) -> Path:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def edit(self, path: str, old: str, new: str) -> None:
        place = self.folder / path
        text = place.read_text()
        assert old in text
        place.write_text(text.replace(old, new))

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        return {
            **os.environ,
            "PYTHONPATH": path,
            "NEXUSBUILD_RESOLVER": "toy.resolver:resolve",
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "nexusbuild", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command in a process forked from this one, which has imported the builder already."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            child = self.forked(list(arguments), out.fileno(), errors.fileno())
            _, status = os.waitpid(child, 0)
            out.seek(0)
            errors.seek(0)
            code = os.waitstatus_to_exitcode(status)
            return subprocess.CompletedProcess(arguments, code, out.read(), errors.read())

    def forked(self, arguments: list[str], out: int, errors: int) -> int:
        """Start the command in such a process, with these descriptors as its streams; its id."""
        child = os.fork()
        if child == 0:
            self.become_nexusbuild(arguments, out, errors)
        return child

    def become_nexusbuild(self, arguments: list[str], out: int, errors: int) -> None:
        code = 70
        try:
            os.dup2(out, 1)
            os.dup2(errors, 2)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (it ends with the process)
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 (the same)
            os.chdir(self.folder)
            os.environ.update(self.environment)
            sys.path[:0] = [str(self.folder), str(ROOT)]
            importlib.invalidate_caches()
            for name in [each for each in sys.modules if each.partition(".")[0] == "toy"]:
                del sys.modules[name]  # another test's, from another folder
            try:
                code = main(arguments)
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 70
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str) -> dict[str, Any]:
        done = self.run(*arguments, "--json")
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def build(self, *arguments: str, code: int = 0) -> dict[str, str]:
        """target -> state after a build."""
        document = self.json(*arguments)
        assert document["exit_code"] == code, document
        return {each["id"]: each["state"] for each in document["targets"]}

    def built(self, *arguments: str, code: int = 0) -> set[str]:
        return {
            name for name, state in self.build(*arguments, code=code).items() if state == "built"
        }

    def plan(self, *arguments: str) -> dict[str, str]:
        """target -> state in a dry run."""
        document = self.json("--dry-run", *arguments)
        return {each["id"]: each["state"] for each in document["targets"]}

    def reasons(self, name: str) -> list[dict[str, Any]]:
        document = self.json("--dry-run")
        found = {each["id"]: each["reasons"] for each in document["targets"]}
        reasons: list[dict[str, Any]] = found[name]
        return reasons

    def text(self, name: str, file: str = "out.txt") -> str:
        """An output of a target, through its view in build/."""
        return (self.folder / "build" / name.replace(":", "/") / file).read_text()

    def digests(self, *arguments: str) -> dict[str, dict[str, str]]:
        """target -> output -> digest, of everything, as a build finds or makes it."""
        document = self.json(*arguments)
        return {
            each["id"]: {output["path"]: output["sha256"] for output in each["outputs"]}
            for each in document["targets"]
        }


def states(found: Mapping[str, str], *wanted: str) -> set[str]:
    return {name for name, state in found.items() if state in wanted}
