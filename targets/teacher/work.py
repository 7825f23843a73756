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
from safetensors import safe_open
from transformers import AutoConfig

from targets.rows import write_json
from targets.teacher.settings import Settings
from targets.teachers.loading import teacher_directory
from targets.teachers.tokenizers import open_tokenizer

if TYPE_CHECKING:
    from nexusbuild.graph import Job


def build(job: Job) -> None:
    """Write `teacher.json`, `tensors.json` and `tokenizer/`."""
    settings = Settings.from_json(job.settings)
    directory = teacher_directory(job)
    files = weight_files(directory)
    tensors: dict[str, Any] = {}
    for done, (name, tensor) in enumerate(stored_tensors(files)):
        tensors[name] = _described(tensor)
        job.progress(done, done + 1, tensors=done + 1)
    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    text = config.get_text_config()
    record = {
        "id": job.target.partition(":")[2],
        "model_type": config.model_type,
        "architecture": (config.architectures or ["unknown"])[0],
        "parameters": sum(_size(tensor["shape"]) for tensor in tensors.values()),
        "hidden_size": text.hidden_size,
        "layers": text.num_hidden_layers,
        "heads": text.num_attention_heads,
        "vocab_size": text.vocab_size,
        "licence": settings.licence,
        "load": settings.load,
        "digest": _digest_of_all(tensors),
        "origin": _origin(job, settings),
    }
    write_json(job.out / "teacher.json", record)
    write_json(job.out / "tensors.json", tensors)
    open_tokenizer(directory).save_pretrained(job.out / "tokenizer")


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory.

    Raises ValueError where there are none: weights in pickles are not opened.
    """
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"{directory} holds no .safetensors file. Pickled weights can run code and are not "
            "opened: save the model again with `model.save_pretrained(folder)`."
        )
    return files


def stored_tensors(files: list[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the files, one at a time."""
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                yield name, tensors.get_tensor(name)


def _described(tensor: torch.Tensor) -> dict[str, Any]:
    flat = tensor.contiguous().flatten()
    return {
        "sha256": hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).hexdigest(),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "constant": bool(flat.numel() == 0 or (flat == flat[0]).all()),
    }


def _size(shape: list[int]) -> int:
    return int(torch.Size(shape).numel())


def _digest_of_all(tensors: dict[str, Any]) -> str:
    lines = (f"{name} {tensors[name]['sha256']}\n" for name in sorted(tensors))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _origin(job: Job, settings: Settings) -> dict[str, Any]:
    if settings.hub:
        return {"kind": "hub", **settings.hub}
    return {"kind": "trained by the build" if "model" in job.inputs else "local directory"}
