"""From profiles to the student's shape: one backbone, and a capacity plan for every adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modalities.json_files import read_json, write_json
from targets.architecture.backbone_shape import BackboneShape, backbone_shape, layer_ranks
from targets.architecture.capacity import Capacity, capacity, student_layer
from targets.architecture.profiles import Profile, read_profile
from targets.architecture.settings import AdapterSettings, BackboneSettings
from targets.architecture.union import canonical_correlations, is_nested

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


def build_backbone(job: Job) -> None:
    """Write `backbone.json`: family, sizes, and why they are what they are."""
    settings = BackboneSettings.from_json(job.settings)
    profiles = []
    for role, directory in sorted(job.inputs.items()):
        if role.startswith("profile/"):
            _, teacher, capability = role.split("/", 2)
            profiles.append(read_profile(directory, teacher, capability))
    widths = {
        role.partition("/")[2]: int(read_json(file)["hidden_size"])
        for role, file in sorted(job.inputs.items())
        if role.startswith("teacher/")
    }
    if "init" in job.sources:
        shape = _given_shape(job.sources["init"])
    else:
        shape = backbone_shape(settings, profiles, widths)
    plan: dict[str, Any] = {**vars(shape), "why": dict(shape.why)}
    plan["teachers"] = {
        teacher: {str(layer): rank for layer, rank in ranks.items()}
        for teacher, ranks in layer_ranks(profiles).items()
    }
    plan["shared_subspaces"] = _overlaps(profiles)
    write_json(job.out / "backbone.json", plan)


def build_adapter(job: Job) -> None:
    """Write `adapter.json`, `adapter_capacity_plan.json`, `protected_subspaces.json` and `.npz`."""
    settings = AdapterSettings.from_json(job.settings)
    profiles = [
        read_profile(directory, role.partition("/")[2])
        for role, directory in sorted(job.inputs.items())
        if role.startswith("profile/")
    ]
    if not profiles:
        raise ValueError(f"{job.target}: no profile of any teacher; an adapter needs at least one")
    plan = read_json(job.inputs["backbone"] / "backbone.json")
    layers, hidden_size = int(plan["layers"]), int(plan["hidden_size"])
    found = capacity(profiles, layers, hidden_size, settings.rank)
    ranks = {str(layer): rank for layer, rank in enumerate(found.ranks)}
    write_json(job.out / "adapter.json", {"rank": max(found.ranks), "ranks": ranks})
    write_json(
        job.out / "adapter_capacity_plan.json", _capacity_plan(found, profiles, settings.rank)
    )
    _write_protected(job.out, profiles, layers)


def _given_shape(directory: Path) -> BackboneShape:
    """The shape of the open model that the backbone starts from."""
    config = read_json(directory / "config.json")
    text = config.get("text_config", config)
    why = f"student.backbone.init: {directory.name} is of this size"
    names = ("hidden_size", "layers", "heads", "intermediate_size")
    try:
        heads = int(text["num_attention_heads"])
        return BackboneShape(
            family=str(text["model_type"]),
            hidden_size=int(text["hidden_size"]),
            layers=int(text["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(text.get("num_key_value_heads") or heads),
            intermediate_size=int(text["intermediate_size"]),
            why=dict.fromkeys(names, why),
        )
    except KeyError as error:
        raise ValueError(
            f"student.backbone.init: {directory}/config.json has no {error.args[0]}; a Llama- or "
            "Qwen-like decoder was looked for"
        ) from error


def _overlaps(profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    """How far the capabilities of one teacher share their subspaces, layer by layer."""
    shared = []
    for first, second in combinations(profiles, 2):
        if first.teacher != second.teacher:
            continue
        for layer in sorted(first.key.keys() & second.key.keys()):
            cosines = canonical_correlations(first.key[layer], second.key[layer])
            shared.append(
                {
                    "teacher": first.teacher,
                    "capabilities": [first.capability, second.capability],
                    "layer": layer,
                    "canonical_correlations": [round(float(c), 4) for c in cosines[:16]],
                    "mean_squared": round(float((cosines**2).mean()), 4),
                    "nested": is_nested(first.key[layer], second.key[layer]),
                }
            )
    return shared


def _capacity_plan(found: Capacity, profiles: Sequence[Profile], cap: int) -> dict[str, Any]:
    return {
        "cap": cap,
        "layers": {
            str(layer): {
                "intrinsic_dimension": found.dimensions[layer],
                "importance": found.importance[layer],
                "rank": found.ranks[layer],
            }
            for layer in range(len(found.ranks))
        },
        "above_the_cap": found.lost,
        "redistributed": found.given,
        "teachers": {
            profile.teacher: {
                str(layer): subspace.basis.shape[1] for layer, subspace in profile.key.items()
            }
            for profile in profiles
        },
    }


def _write_protected(out: Path, profiles: Sequence[Profile], layers: int) -> None:
    arrays: dict[str, np.ndarray] = {}
    described: dict[str, Mapping[str, Any]] = {}
    for profile in profiles:
        importance = profile.importance()
        of_teacher = {}
        for layer, subspace in sorted(profile.key.items()):
            name = f"{profile.teacher}.layer_{layer}"
            arrays[f"{name}.basis"] = subspace.basis.astype(np.float16)
            arrays[f"{name}.mean"] = subspace.mean.astype(np.float32)
            arrays[f"{name}.deviations"] = subspace.deviations.astype(np.float32)
            of_teacher[str(layer)] = {
                "basis": f"{name}.basis",
                "mean": f"{name}.mean",
                "deviations": f"{name}.deviations",
                "k": subspace.basis.shape[1],
                "importance": round(float(importance[layer]), 6),
                "student_layer": student_layer(layer, profile.layers, layers),
            }
        described[profile.teacher] = {
            "hidden_size": profile.hidden_size,
            "layers": of_teacher,
        }
    write_json(out / "protected_subspaces.json", {"teachers": described})
    np.savez(out / "protected_subspaces.npz", **arrays)  # type: ignore[arg-type]
