"""Prove on a bundle's bytes that no weight of a teacher stands in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open

from targets.teacher.known_weights import KnownWeights, TensorsOfTeachers


def prove_teacher_free(folder: Path, teacher_tensors: TensorsOfTeachers) -> dict[str, Any]:
    """Compare the digests of every tensor with those of every teacher's.

    Raises ValueError naming the tensor where one is a teacher's.
    """
    known = KnownWeights(teacher_tensors)
    compared = 0
    for file in sorted(folder.rglob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                compared += 1
                owner = known.owner(tensors.get_tensor(name))
                if owner is not None:
                    teacher, original = owner
                    raise ValueError(
                        f"{file.relative_to(folder).as_posix()}: {name} is {original} of the "
                        f"teacher {teacher}, number for number. A bundle holds no weight of a "
                        "teacher: student.backbone.init must not name one"
                    )
    return {
        "method": "SHA-256 of every tensor's bytes, as stored and as float32, "
        "constant tensors aside",
        "tensors_compared": compared,
        "teacher_tensors": known.count,
        "in_common": 0,
    }
