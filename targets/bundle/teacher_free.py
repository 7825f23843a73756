"""Prove on a bundle's bytes that no weight of a teacher stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from targets.teacher.tensor_digest import float32_digest, tensor_digest


def prove_teacher_free(
    folder: Path, teacher_tensors: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Compare the digests of every tensor with those of every teacher's.

    teacher_tensors: teacher -> name -> `sha256` over the raw bytes, `sha256_float32` where they are
    floats of another width, and `constant`. Tensors of one repeated value (norms that training left
    at one) are nobody's and do not count. Raises ValueError naming the tensor where one is a
    teacher's.
    """
    counted = [
        (teacher, name, about)
        for teacher, tensors in sorted(teacher_tensors.items())
        for name, about in sorted(tensors.items())
        if not about["constant"]
    ]
    known = {
        about[form]: (teacher, name)
        for teacher, name, about in counted
        for form in ("sha256", "sha256_float32")
        if form in about
    }
    compared = 0
    for file, name, digests in _digests(folder):
        compared += 1
        for digest in sorted(digests & known.keys()):
            teacher, original = known[digest]
            raise ValueError(
                f"{file}: {name} is {original} of the teacher {teacher}, number for number. A "
                "bundle holds no weight of a teacher: student.backbone.init must not name one"
            )
    return {
        "method": "SHA-256 of every tensor's bytes, as stored and as float32, "
        "constant tensors aside",
        "tensors_compared": compared,
        "teacher_tensors": len({about["sha256"] for _, _, about in counted}),
        "in_common": 0,
    }


def _digests(folder: Path) -> Iterator[tuple[str, str, set[str]]]:
    """File, name and digests of every tensor: of its bytes, and of them as float32."""
    for file in sorted(folder.rglob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                tensor = tensors.get_tensor(name)
                digests = (tensor_digest(tensor), float32_digest(tensor))
                shown = file.relative_to(folder).as_posix()
                yield shown, name, {digest for digest in digests if digest is not None}
