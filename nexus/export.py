"""Ordinary PEFT folders out of a bundle, for serving engines."""

from __future__ import annotations

import shutil
from pathlib import Path

from nexus.manifest import Manifest


def export_peft(
    bundle: Path, manifest: Manifest, directory: Path, *, enable_uncensored: bool = False
) -> list[Path]:
    """Write `directory/<capability>/adapter_config.json` and `adapter_model.safetensors`.

    Isolated capabilities are left out unless asked for. Returns the folders written. Raises
    FileExistsError rather than write over anything.
    """
    written = []
    for name, capability in sorted(manifest.capabilities.items()):
        weights = bundle / capability.adapter
        if (capability.isolated and not enable_uncensored) or not weights.is_file():
            continue
        folder = directory / name
        folder.mkdir(parents=True)
        shutil.copyfile(weights, folder / "adapter_model.safetensors")
        shutil.copyfile(bundle / capability.configuration, folder / "adapter_config.json")
        written.append(folder)
    return written
