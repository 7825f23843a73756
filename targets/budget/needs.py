"""Memory of targets that open a teacher, run a model or train one."""

from __future__ import annotations

from collections.abc import Collection

from nexusbuild.plugins import Needs
from specs.model import Hardware
from targets.budget.devices import (
    BYTES_PER_PARAMETER,
    GIGABYTE,
    SMALL_MODEL_PARAMETERS,
    granted_ram,
    on_gpu,
)
from targets.budget.sizes import Sizes
from targets.budget.volumes import Volume

# Beside the weights: activations, buffers, fragments; and what a runtime takes for itself.
SPARE = 1.2
GPU_RUNTIME = 2 * GIGABYTE
# On a CPU, a model that does not fit into memory is read block by block as it runs
# (`opened_models.streaming`), unless it has to be quantised. Embeddings and one block are taken to
# be this share of it.
STREAMED_LOADS = ("fp32", "bf16")
STREAMED_SHARE = 4
TEACHERS = "teachers"  # the pool of the targets that open one: one is in memory at a time
# What stays in memory of each traced token while a student trains: its ids and where it stands. All
# else is mapped from the trace's files.
HELD_BYTES_PER_TOKEN = 8


def loaded_bytes(parameters: int, load: str) -> int:
    """Memory of an opened model: its weights, and what goes through them."""
    return int(parameters * BYTES_PER_PARAMETER[load] * SPARE)


def streamed_bytes(parameters: int, load: str) -> int:
    """Memory of a target whose model is read block by block."""
    return GIGABYTE + loaded_bytes(parameters, load) // STREAMED_SHARE


def opened_needs(hardware: Hardware, parameters: int | None, load: str) -> Needs:
    """Of a target that opens a teacher of this size in this precision."""
    threads = hardware.threads
    if parameters is None or parameters < SMALL_MODEL_PARAMETERS:
        # Of a size that nobody says, anything next to it may be more than there is room for.
        return Needs(GIGABYTE, exclusive=parameters is None, threads=threads, pool=TEACHERS)
    weights = loaded_bytes(parameters, load)
    if on_gpu(hardware, parameters):
        return Needs(
            ram_bytes=4 * GIGABYTE,
            vram_bytes=weights + GPU_RUNTIME,
            gpu=True,
            exclusive=True,
            threads=threads,
            pool=TEACHERS,
        )
    ram = weights + GIGABYTE
    if load in STREAMED_LOADS and ram > granted_ram(hardware):
        ram = streamed_bytes(parameters, load)
    return Needs(ram_bytes=ram, exclusive=True, threads=threads, pool=TEACHERS)


def model_needs(
    hardware: Hardware, parameters: int, *, kept: int = 0, held: int = 0, copies: float = 1
) -> Needs:
    """Of a target that runs or trains a model: on a GPU where the spec says `cuda`.

    kept: bytes that a step of training keeps for the way back. held: bytes of rows in main memory.
    copies: of the weights in fp32; four where they are trained (the gradient, and what Muon and
    Adam keep), two where adapters are.
    """
    weights = int(4 * parameters * copies)
    gpu = hardware.device == "cuda"
    on_cpu = GIGABYTE // 2 + max(GIGABYTE // 2, weights + kept + held)
    return Needs(
        ram_bytes=GIGABYTE + held if gpu else on_cpu,
        vram_bytes=max(2 * GIGABYTE, GIGABYTE + weights + kept) if gpu else 0,
        gpu=gpu,
        threads=hardware.threads,
    )


def student_needs(sizes: Sizes, *, kept: int = 0, held: int = 0, copies: float = 1) -> Needs:
    """Of a target that runs or trains the student: see `model_needs`."""
    hardware, parameters = sizes.spec.hardware, sizes.student.parameters
    return model_needs(hardware, parameters, kept=kept, held=held, copies=copies)


def kept_bytes_per_row(sizes: Sizes, tokens: float) -> float:
    """What one row of a student's training step keeps: three copies of its logits, and sixteen
    vectors of every block, four bytes each (Korthikanti et al. 2022, section 4, without
    recomputation). tokens: of the row.
    """
    student = sizes.student
    return tokens * 4 * (3 * student.vocabulary + 16 * student.layers * student.hidden)


def held_bytes(traces: Collection[Volume]) -> int:
    """What stays in memory of traces while a student trains on them. traces: the rows of each."""
    return int(sum(each.train * each.tokens * HELD_BYTES_PER_TOKEN for each in traces))


def adapter_bytes(sizes: Sizes) -> float:
    """Of an adapter's file, roughly: LoRA on every linear layer has the rank times the widths on
    both sides, four bytes each.
    """
    student = sizes.student
    return 4.0 * (2.4 * sizes.spec.student.training.rank * student.parameters / student.hidden)


def packed_bytes(sizes: Sizes) -> float:
    """Of the student's weights as they ship."""
    bytes_per_parameter = {"none": 4.0, "int8": 1.1, "nf4": 0.6}[sizes.spec.bundle.quantize]
    return bytes_per_parameter * sizes.student.parameters
