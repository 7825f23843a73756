"""The manifest of a bundle, as `nexus.manifest` reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import safe_open

from nexus.manifest import FORMAT, FORMAT_VERSION, MANIFEST, UNSEALED, file_digest
from targets.bundle.settings import Settings

DISTRIBUTION = "nexus-distill"


@dataclass(frozen=True)
class Parts:
    """What the inputs say about themselves: size.json, dataset.json with about.json, teacher.json,
    verdict.json.

    made_of: role of an input -> digest over its files, as the builder records it.
    """

    size: Mapping[str, Any]
    descriptions: Mapping[str, Mapping[str, Any]]
    teachers: Mapping[str, Mapping[str, Any]]
    verdicts: Mapping[str, Mapping[str, Any]]
    made_of: Mapping[str, str]


def manifest_of(settings: Settings, parts: Parts, folder: Path) -> dict[str, Any]:
    """Everything about the bundle in `folder`, which is complete but for this."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": settings.name,
        "builder": {"name": DISTRIBUTION, "version": builder_version()},
        "quantization": settings.quantize,
        "backbone": _asking_the_backbone(settings, parts),
        "capabilities": {name: _capability(name, settings, parts) for name in settings.include},
        "teachers": {
            name: {
                key: about[key]
                for key in ("architecture", "parameters", "licence", "digest", "origin")
            }
            for name, about in parts.teachers.items()
        },
        "datasets": {
            name: {"licence": about["licence"], "rows": about["rows"]}
            for name, about in parts.descriptions.items()
        },
        "components": _components(parts, folder),
        "files": _files(settings, folder),
        "made_of": parts.made_of,
        **_encoders(settings),
        "seal": UNSEALED,
    }


def builder_version() -> str:
    """Version of the builder; `source` where it runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "source"


def _capability(name: str, settings: Settings, parts: Parts) -> dict[str, Any]:
    source = settings.capabilities[name]
    description = parts.descriptions[source.dataset]
    return {
        "dataset": source.dataset,
        "dataset_licence": description["licence"],
        "teachers": [
            {"id": teacher, "licence": parts.teachers[teacher]["licence"]}
            for teacher in source.teachers
        ],
        "template": description["template"],
        "stop": description["stop"],
        "isolated": name in settings.isolated,
        "adapter": f"adapters/{name}_adapter.safetensors",
        "configuration": f"adapters/{name}_adapter.json",
        **_reads(name, source.reads),
    }


def _reads(name: str, media: tuple[str, ...]) -> dict[str, Any]:
    """What a capability reads besides text; nothing where it reads text alone."""
    if not media:
        return {}
    return {"reads": list(media), "projection": f"adapters/{name}_projection.safetensors"}


def _encoders(settings: Settings) -> dict[str, Any]:
    """The encoders that ship, by medium; nothing where text alone is read."""
    if not settings.media:
        return {}
    files = {
        medium: {
            "weights": f"encoders/{medium}_encoder.safetensors",
            "configuration": f"encoders/{medium}_encoder.json",
        }
        for medium in settings.media
    }
    return {"encoders": files}


def _asking_the_backbone(settings: Settings, parts: Parts) -> dict[str, Any]:
    """How a prompt is put without an adapter: as most open capabilities put it."""
    names = [name for name in settings.include if name not in settings.isolated]
    descriptions = [
        parts.descriptions[settings.capabilities[name].dataset]
        for name in names or settings.include
    ]
    counted = Counter(about["template"] for about in descriptions)
    template = min(counted, key=lambda text: (-counted[text], text))
    same = [about for about in descriptions if about["template"] == template]
    return {
        "template": template,
        "stop": {
            "strings": sorted({stop for about in same for stop in about["stop"]["strings"]}),
            "max_new_tokens": max(about["stop"]["max_new_tokens"] for about in same),
        },
    }


def _components(parts: Parts, folder: Path) -> dict[str, Any]:
    """Parameters and bytes of every part with weights. Quantised weights count as what they are."""
    components = {
        "backbone": {
            "parameters": parts.size["parameters"],
            "bytes": (folder / "backbone" / "backbone.safetensors").stat().st_size,
            "bits_per_parameter": parts.size["bits_per_parameter"],
        }
    }
    files = [folder / "router" / "router.safetensors"]
    files += sorted((folder / "adapters").glob("*.safetensors"))
    files += sorted((folder / "encoders").glob("*.safetensors"))
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
        components[file.stem] = {
            "parameters": sum(_product(shape) for shape in shapes),
            "bytes": file.stat().st_size,
        }
    return components


def _product(shape: list[int]) -> int:
    total = 1
    for width in shape:
        total *= width
    return total


def _files(settings: Settings, folder: Path) -> dict[str, Any]:
    owners = {
        f"adapters/{name}_adapter.{suffix}": name
        for name in settings.include
        for suffix in ("safetensors", "json")
    } | {f"adapters/{name}_projection.safetensors": name for name in settings.include}
    listed = {}
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder).as_posix()
        if not file.is_file() or path == MANIFEST:
            continue
        listed[path] = {"sha256": file_digest(file), "bytes": file.stat().st_size}
        if path in owners:
            listed[path]["capability"] = owners[path]
    return listed
