"""The digest by which a tensor of a teacher is known again. Opens no file."""

from __future__ import annotations

import hashlib

import torch


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of the tensor's bytes as they are stored."""
    flat = tensor.contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()


def float32_digest(tensor: torch.Tensor) -> str | None:
    """SHA-256 of the bytes of a floating-point tensor stored as float32; None where it is so."""
    if not tensor.is_floating_point() or tensor.dtype == torch.float32:
        return None
    return tensor_digest(tensor.float())
