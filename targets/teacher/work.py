"""Record what a teacher is: architecture, parameters, licence, digests of its tensors.

The digests are what later proves that no weight of a teacher stands in a bundle, and the
tokenizer's files are kept so that everything after `trace` does without the teacher.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig

from modalities.json_files import write_json
from opened_models.loading import teacher_directory, teacher_tokenizer
from opened_models.weight_files import FETCH, weight_files
from targets.teacher.settings import Settings
from targets.teacher.tensor_digest import float32_digest, tensor_digest

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

FIELDS = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "vocab_size": "vocab_size",
}


def build(job: Job) -> None:
    """Write `teacher.json`, `tensors.json` and `tokenizer/`."""
    settings = Settings.from_json(job.settings)
    directory = teacher_directory(job)
    files = weight_files(directory)
    tensors: dict[str, Any] = {}
    for done, (name, tensor) in enumerate(stored_tensors(files)):
        tensors[name] = described(tensor)
        job.progress(done, done + 1, tensors=done + 1)
    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    text = config.get_text_config()
    record = {
        "id": job.target.partition(":")[2],
        "model_type": config.model_type,
        "architecture": (config.architectures or ["unknown"])[0],
        "parameters": sum(_size(tensor["shape"]) for tensor in tensors.values()),
        # What reads no text has no vocabulary.
        **{name: getattr(text, field, None) for name, field in FIELDS.items()},
        "licence": settings.licence,
        "load": settings.load,
        "digest": _digest_of_all(tensors),
        "origin": _origin(job, settings),
    }
    write_json(job.out / "teacher.json", record)
    write_json(job.out / "tensors.json", tensors)
    if (tokenizer := teacher_tokenizer(directory)) is not None:
        tokenizer.save_pretrained(job.out / "tokenizer")


def stored_tensors(files: list[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the files, one at a time. Raises ValueError naming a file that is broken."""
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in sorted(tensors.keys()):
                    yield name, tensors.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(
                f"{file} ({file.stat().st_size} bytes) is no whole safetensors file: {error}. "
                f"{FETCH}"
            ) from error


def described(tensor: torch.Tensor) -> dict[str, Any]:
    """Digest, dtype and shape; of shorter and longer floats also the digest as float32.

    A weight that came as bfloat16 and was stored as float32 is still that weight.
    """
    flat = tensor.contiguous().flatten()
    described = {
        "sha256": tensor_digest(flat),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "constant": bool(flat.numel() == 0 or (flat == flat[0]).all()),
    }
    if (as_float32 := float32_digest(flat)) is not None:
        described["sha256_float32"] = as_float32
    return described


def _size(shape: list[int]) -> int:
    return int(torch.Size(shape).numel())


def _digest_of_all(tensors: dict[str, Any]) -> str:
    lines = (f"{name} {tensors[name]['sha256']}\n" for name in sorted(tensors))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _origin(job: Job, settings: Settings) -> dict[str, Any]:
    if settings.hub:
        return {"kind": "hub", **settings.hub}
    return {"kind": "trained by the build" if "model" in job.inputs else "local directory"}
