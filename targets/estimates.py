"""First guesses at time and memory, until the history of builds knows better.

Seconds were calibrated on one CPU thread with models of about a million parameters.
"""

from __future__ import annotations

import os
from glob import escape

from nexusbuild.graph import Needs, SpecFolder
from specs.model import Hardware, Spec, Teacher, TrainedSource

GIGABYTE = 2**30
QUICK_SECONDS = 2.0
SMALL_PARAMETERS = 1_200_000
# A GPU of the consumer class against one CPU thread, in dense matrix products.
GPU_SPEEDUP = 200.0
_SECONDS_PER_PARAMETER_AND_ROW = 80 / (500 * 32 * SMALL_PARAMETERS)
_BYTES_PER_PARAMETER = {"fp32": 4.0, "bf16": 2.0, "int8": 1.1, "nf4": 0.6}
# A model that does not fit into memory is read block by block as it runs (`teachers.streaming`),
# unless it has to be quantised. Embeddings and one block are taken to be this share of it.
STREAMED_LOADS = ("fp32", "bf16")
STREAMED_SHARE = 4
# From here on a model is taken to need a GPU where the spec leaves the device open.
_LARGE_PARAMETERS = 1_000_000_000
_SMALL_MODEL_PARAMETERS = 50_000_000


def quick_needs() -> Needs:
    """Of a target that reads and writes small files."""
    return Needs(ram_bytes=GIGABYTE // 2)


def student_needs(spec: Spec) -> Needs:
    """Of a target that runs or trains the student: on a GPU where the spec says `cuda`."""
    on_gpu = spec.hardware.device == "cuda"
    return Needs(
        ram_bytes=GIGABYTE,
        vram_bytes=2 * GIGABYTE if on_gpu else 0,
        gpu=on_gpu,
        threads=spec.hardware.threads,
    )


def trained_parameters(train: TrainedSource) -> int:
    """Parameters of a teacher that the build trains: attention, MLP, embedding and head."""
    width = train.hidden
    inner = train.intermediate or 3 * width
    matrices = 2 if train.family == "gpt2" else 3
    block = 4 * width * width + matrices * width * inner
    return train.layers * block + 2 * train.tokenizer.vocab * width


def training_seconds(parameters: int, steps: int, batch: int) -> float:
    """Of training a model from scratch."""
    return max(1.0, _SECONDS_PER_PARAMETER_AND_ROW * parameters * steps * batch)


def backbone_seconds(steps: int, batch: int) -> float:
    """Of distilling the backbone."""
    return max(1.0, 100 * steps / 600 * batch / 32)


def adapter_seconds(steps: int, batch: int) -> float:
    """Of training one adapter."""
    return max(1.0, 75 * steps / 700 * batch / 16)


def teacher_parameters(folder: SpecFolder, teacher: Teacher) -> int | None:
    """Parameters of a teacher; None where neither the spec nor its files say."""
    if teacher.source.train is not None:
        return trained_parameters(teacher.source.train)
    if teacher.parameters is not None or teacher.source.path is None:
        return teacher.parameters
    # As a model is saved; some folders hold it once more under another name.
    for pattern in ("model*.safetensors", "*.safetensors"):
        files = folder.files(f"{escape(teacher.source.path)}/{pattern}")
        if stored := sum(size for _, size in files):
            return stored // 2  # models are mostly stored in two bytes per parameter
    return None


def opened_needs(hardware: Hardware, parameters: int | None, load: str) -> Needs:
    """Of a target that opens a teacher of this size in this precision."""
    threads = hardware.threads
    if parameters is None or parameters < _SMALL_MODEL_PARAMETERS:
        return Needs(ram_bytes=GIGABYTE, threads=threads)
    weights = int(parameters * _BYTES_PER_PARAMETER[load] * 1.2)
    if _on_gpu(hardware, parameters):
        return Needs(
            ram_bytes=4 * GIGABYTE,
            vram_bytes=weights + 2 * GIGABYTE,
            gpu=True,
            exclusive=True,
            threads=threads,
        )
    ram = weights + GIGABYTE
    if load in STREAMED_LOADS and ram > _granted_ram(hardware):
        ram = weights // STREAMED_SHARE + GIGABYTE
    return Needs(ram_bytes=ram, exclusive=True, threads=threads)


def _granted_ram(hardware: Hardware) -> int:
    """What the spec grants, else what the machine has."""
    if hardware.ram is not None:
        return hardware.ram
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def opened_seconds(hardware: Hardware, parameters: int | None, small_model: float) -> float:
    """Of a target that takes `small_model` seconds with a teacher of a million parameters."""
    size = parameters or SMALL_PARAMETERS
    speedup = GPU_SPEEDUP if _on_gpu(hardware, size) else 1.0
    return max(1.0, small_model * max(1.0, size / SMALL_PARAMETERS) / speedup)


def _on_gpu(hardware: Hardware, parameters: int) -> bool:
    large = hardware.device == "auto" and parameters >= _LARGE_PARAMETERS
    return large or (hardware.device == "cuda" and parameters >= _SMALL_MODEL_PARAMETERS)
