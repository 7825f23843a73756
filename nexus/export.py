"""Ordinary PEFT folders out of a bundle, for serving engines."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from nexus.manifest import Manifest, read_verified


def export_peft(
    bundle: Path, manifest: Manifest, directory: Path, *, enable_uncensored: bool = False
) -> list[Path]:
    """Write `directory/<capability>/adapter_config.json` and `adapter_model.safetensors`.

    Isolated capabilities are left out unless asked for. Returns the folders written. Raises
    ValueError where the directory is in the bundle, which would no longer verify, and
    FileExistsError rather than write over anything; nothing is written then. What is written is
    what was compared with the manifest, byte for byte.
    """
    _refuse_inside(bundle, directory)
    chosen = {
        directory / name: capability
        for name, capability in sorted(manifest.capabilities.items())
        if (enable_uncensored or not capability.isolated)
        and (bundle / capability.adapter).is_file()
    }
    _refuse_occupied(directory, chosen)
    for folder, capability in chosen.items():
        weights = read_verified(bundle, manifest.files[capability.adapter])
        configuration = read_verified(bundle, manifest.files[capability.configuration])
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(weights)
        (folder / "adapter_config.json").write_bytes(configuration)
    return list(chosen)


def _refuse_inside(bundle: Path, directory: Path) -> None:
    if directory.resolve().is_relative_to(bundle.resolve()):
        raise ValueError(
            f"{directory} is in the bundle {bundle}, which holds only what its manifest lists: "
            "export to a folder outside it"
        )


def _refuse_occupied(directory: Path, folders: Iterable[Path]) -> None:
    """A file where a folder is needed, or a capability's folder that is there already."""
    for place in (directory, *directory.parents):
        if os.path.lexists(place) and not place.is_dir():
            raise FileExistsError(f"{place} is not a folder: name another one to export to")
    for folder in folders:
        if os.path.lexists(folder):
            raise FileExistsError(
                f"{folder} is there already and nothing is written over: export to another "
                "folder, or remove this one first"
            )
