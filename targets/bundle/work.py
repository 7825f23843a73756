"""Put the release together: components, report, model card, manifest, and the proof on them.

Everything in the folder is a function of the inputs: no date, no path, no machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modalities.json_files import read_json, write_json
from nexus.manifest import MANIFEST, file_digest, read_manifest, verify, with_seal
from targets.bundle.archive import write_zip
from targets.bundle.contracts_page import contracts_page
from targets.bundle.manifest import Parts, manifest_of
from targets.bundle.model_card import model_card
from targets.bundle.routes import scores_by_route
from targets.bundle.settings import Settings
from targets.bundle.teacher_free import prove_teacher_free

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

# What of each component ships; logs and sizes stay behind.
BACKBONE_FILES = (
    "config.json",
    "backbone.safetensors",
    "model.safetensors.index.json",
    "generation_config.json",
)
ROUTER_FILES = ("router.safetensors", "router.json")
REPORT = "verify_report.json"


def build(job: Job) -> None:
    """Write `<name>/`, and `<name>.zip` where asked for."""
    settings = Settings.from_json(job.settings)
    folder = job.out / settings.name
    _copy_components(job, settings, folder)
    parts = _parts(job, settings)
    report = _report(job, settings, folder, parts)
    write_json(folder / REPORT, report)
    pages = {
        "retention_contracts.md": contracts_page(settings),
        "README.md": model_card(settings, parts, report),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    manifest = manifest_of(settings, parts, folder)
    if job.imported:  # a bundle that was made here from the start has no such list
        manifest["imported"] = list(job.imported)
    write_json(folder / MANIFEST, manifest)
    (folder / MANIFEST).write_bytes(with_seal((folder / MANIFEST).read_bytes()))
    # What a consumer will check is checked here first.
    verify(folder, read_manifest(folder))
    _refuse_machine_paths(folder, job)
    if settings.zip:
        write_zip(folder, job.out / f"{settings.name}.zip")


def _copy_components(job: Job, settings: Settings, folder: Path) -> None:
    for source, names, place in _components(job, settings):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(source / name, folder / place / name)


def _components(job: Job, settings: Settings) -> Iterator[tuple[Path, tuple[str, ...], str]]:
    """Where each component lies, which of its files ship, and where they go."""
    yield job.inputs["backbone"], BACKBONE_FILES, "backbone"
    tokenizer = job.inputs["tokenizer"]
    yield tokenizer, tuple(sorted(file.name for file in tokenizer.glob("*.json"))), "tokenizer"
    yield job.inputs["router"], ROUTER_FILES, "router"
    for name in settings.include:
        files = [f"{name}_adapter.safetensors", f"{name}_adapter.json"]
        if settings.capabilities[name].reads:
            files.append(f"{name}_projection.safetensors")
        yield job.inputs[f"adapter/{name}"], tuple(files), "adapters"
    for medium in settings.media:
        files = [f"{medium}_encoder.safetensors", f"{medium}_encoder.json"]
        yield job.inputs[f"encoder/{medium}"], tuple(files), "encoders"


def _parts(job: Job, settings: Settings) -> Parts:
    """What the inputs say about themselves, read once."""
    datasets = {about.dataset for about in settings.capabilities.values()}
    teachers = {teacher for about in settings.capabilities.values() for teacher in about.teachers}
    return Parts(
        size=read_json(job.inputs["backbone"] / "size.json"),
        descriptions={
            name: read_json(job.inputs[f"description/{name}"])
            | read_json(job.inputs[f"about/{name}"])
            for name in sorted(datasets)
        },
        teachers={
            name: read_json(job.inputs[f"teacher/{name}"] / "teacher.json")
            for name in sorted(teachers)
        },
        verdicts={
            name: read_json(job.inputs[f"gate/{name}"] / "verdict.json")
            for name in (*settings.include, "router")
        },
        made_of={role: input_digest(path) for role, path in sorted(job.inputs.items())},
    )


def _report(job: Job, settings: Settings, folder: Path, parts: Parts) -> dict[str, Any]:
    """The verdicts on these very bytes, and how it is known that no teacher is among them."""
    teacher_tensors = {
        role.partition("/")[2]: read_json(path / "tensors.json")
        for role, path in job.inputs.items()
        if role.startswith(("teacher/", "tensors/"))
    }
    kept_out = {
        name: read_json(_file(job.inputs[f"confinement/{name}"], "confinement.json"))
        for name in settings.include
    }
    verdicts = {name: verdict["verdict"] for name, verdict in parts.verdicts.items()}
    return {
        "name": settings.name,
        "verdict": "pass" if set(verdicts.values()) == {"pass"} else "fail",
        "contracts": parts.verdicts,
        "by_route": {
            name: scores_by_route(
                name, parts.verdicts[name], job.inputs[f"gate/{name}"], job.inputs["gate/router"]
            )
            for name in settings.include
        },
        "teachers_kept_out": kept_out,
        "teacher_free": prove_teacher_free(folder, teacher_tensors),
        "files": {
            path.relative_to(folder).as_posix(): file_digest(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }


def _file(path: Path, name: str) -> Path:
    """The input itself where it is one file, that file in it where it is a directory."""
    return path / name if path.is_dir() else path


def input_digest(path: Path) -> str:
    """Digest of an input, the one by which the builder's record of this target knows it, too.

    So the manifest leads to the record, and that to the keys of what the bundle was made of. The
    keys themselves would not do: another key may give the same bytes, and then the builder does
    not make the bundle again.
    """
    import hashlib

    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    root = path.parent if path.is_file() else path
    named = sorted([file.relative_to(root).as_posix(), file_digest(file)] for file in files)
    text = json.dumps(["tree", named], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_machine_paths(folder: Path, job: Job) -> None:
    """A released file must not say where it was made."""
    places = {str(Path.home()), str(Path.cwd()), str(job.out)} - {"/", ""}
    for file in sorted(folder.rglob("*")):
        if file.suffix not in (".json", ".md"):
            continue
        text = file.read_text(encoding="utf-8")
        found = next((place for place in sorted(places) if f"{place}/" in text), None)
        if found:
            raise ValueError(
                f"{file.relative_to(folder)} holds the path {found}: a bundle must not say where "
                "it was made. Find the component that wrote it"
            )
