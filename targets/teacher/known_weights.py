"""Weights of teachers, known again by their digests wherever they turn up. Opens no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from targets.teacher.tensor_digest import float32_digest, tensor_digest

TensorsOfTeachers = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""teacher -> tensor's name -> what `tensors.json` says: `sha256` over the raw bytes,
`sha256_float32` where they are floats of another width, and `constant`.
"""


class KnownWeights:
    """Tensors of one repeated value (norms that training left at one) are nobody's."""

    def __init__(self, tensors: TensorsOfTeachers) -> None:
        counted = [
            (teacher, name, about)
            for teacher, named in sorted(tensors.items())
            for name, about in sorted(named.items())
            if not about["constant"]
        ]
        self._owners = {
            about[form]: (teacher, name)
            for teacher, name, about in counted
            for form in ("sha256", "sha256_float32")
            if form in about
        }
        self.count = len({about["sha256"] for _, _, about in counted})

    def owner(self, tensor: torch.Tensor) -> tuple[str, str] | None:
        """Teacher and name of the tensor that this is, as stored or as float32; None: nobody's."""
        for digest in (tensor_digest(tensor), float32_digest(tensor)):
            if digest in self._owners:
                return self._owners[digest]
        return None
