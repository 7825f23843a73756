"""A zip file whose bytes depend on the files in it and on nothing else."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

EARLIEST = (1980, 1, 1, 0, 0, 0)
ORDINARY_FILE = 0o100644 << 16


def write_zip(folder: Path, target: Path) -> None:
    """Pack a folder under its own name, in the order of the paths, all dated alike.

    Nothing is compressed: weights hardly would be, and compressors differ between versions.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if not file.is_file():
                continue
            name = f"{folder.name}/{file.relative_to(folder).as_posix()}"
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system = 3
            entry.external_attr = ORDINARY_FILE
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w") as copy:
                shutil.copyfileobj(source, copy)
