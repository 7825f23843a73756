"""Prove on a bundle's bytes that no weight of a teacher stands in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open


def prove_teacher_free(
    folder: Path, teacher_tensors: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Compare the digest of every tensor with those of every teacher's.

    teacher_tensors: teacher -> name -> `sha256` over the raw bytes, and `constant`. Tensors of one
    repeated value (norms that training left at one) are nobody's and do not count. Raises
    ValueError naming the tensor where one is a teacher's.
    """
    known = {
        about["sha256"]: (teacher, name)
        for teacher, tensors in sorted(teacher_tensors.items())
        for name, about in sorted(tensors.items())
        if not about["constant"]
    }
    compared = 0
    for file, name, digest in _digests(folder):
        compared += 1
        if digest in known:
            teacher, original = known[digest]
            raise ValueError(
                f"{file}: {name} is {original} of the teacher {teacher}, byte for byte. A bundle "
                "holds no weight of a teacher: student.backbone.init must not name one"
            )
    return {
        "method": "SHA-256 of every tensor's bytes, constant tensors aside",
        "tensors_compared": compared,
        "teacher_tensors": len(known),
        "in_common": 0,
    }


def _digests(folder: Path) -> Iterator[tuple[str, str, str]]:
    for file in sorted(folder.rglob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                flat = tensors.get_tensor(name).contiguous().flatten()
                raw = flat.view(torch.uint8).numpy().tobytes()
                yield file.relative_to(folder).as_posix(), name, hashlib.sha256(raw).hexdigest()
