"""What devices get done, and how long models of a size take on them.

The assumptions stand in this folder and, for people, in docs/spec.md. They are meant to tell
minutes from hours from days and what fits from what does not, no more. The speed of a CPU thread
was calibrated on the sample's models of a million parameters.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from specs.model import Hardware

GIGABYTE = 2**30


@dataclass(frozen=True)
class DeviceClass:
    """What a kind of device gets done. flops: multiplications and additions a second, in large
    matrix products. bandwidth: bytes a second from its memory. step: seconds that one step of
    generation costs, whatever the model.
    """

    name: str
    flops: float
    bandwidth: float
    step: float


CPU_THREAD = DeviceClass("a CPU thread", 5e10, 1e10, 0.005)
CONSUMER_GPU = DeviceClass("a consumer GPU", 1e13, 4e11, 0.02)
DISK_BYTES_PER_SECOND = 5e8

# Bytes in memory for one parameter, with what the format adds.
BYTES_PER_PARAMETER = {"fp32": 4.0, "bf16": 2.0, "int8": 1.1, "nf4": 0.6}
# From here on a model is taken to need a GPU where the spec leaves the device open.
LARGE_PARAMETERS = 1_000_000_000
SMALL_MODEL_PARAMETERS = 50_000_000
GENERATION_BATCH = 16


def granted_ram(hardware: Hardware) -> int:
    """Bytes that the spec grants, else all that the machine has."""
    if hardware.ram is not None:
        return hardware.ram
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def on_gpu(hardware: Hardware, parameters: int) -> bool:
    """Whether a model of this size is taken to run on a GPU."""
    large = hardware.device == "auto" and parameters >= LARGE_PARAMETERS
    return large or (hardware.device == "cuda" and parameters >= SMALL_MODEL_PARAMETERS)


def device_class(hardware: Hardware, parameters: int) -> DeviceClass:
    """What a model of this size is taken to run on."""
    return CONSUMER_GPU if on_gpu(hardware, parameters) else CPU_THREAD


def student_device(hardware: Hardware) -> DeviceClass:
    """What the student runs on, whatever its size."""
    return CONSUMER_GPU if hardware.device == "cuda" else CPU_THREAD


def forward_seconds(parameters: int, tokens: float, device: DeviceClass) -> float:
    """Of reading so many tokens: two operations for each parameter and token."""
    return 2 * parameters * tokens / device.flops


def training_seconds(
    parameters: int, steps: int, batch: int, tokens: float, device: DeviceClass
) -> float:
    """Three times a forward pass for every row of every step (Kaplan et al. 2020, section 2.1)."""
    return 1 + 3 * forward_seconds(parameters, steps * batch * tokens, device)


def generation_seconds(
    parameters: int, load: str, items: int, tokens: float, answer: float, device: DeviceClass
) -> float:
    """Of answering so many prompts in batches, and of scoring the answers that were wanted.

    tokens: of one row. answer: tokens of its answer alone.
    """
    weights = parameters * BYTES_PER_PARAMETER[load]
    compute = GENERATION_BATCH * 2 * parameters / device.flops
    step = device.step + max(weights / device.bandwidth, compute)
    generated = items / GENERATION_BATCH * answer * step
    return generated + forward_seconds(parameters, 2 * items * tokens, device)
