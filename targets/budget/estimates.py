"""First guesses at time, memory and disk, from the spec's sizes alone, until history knows better.

All assumptions stand in this module and, for people, in docs/spec.md. They are meant to tell
minutes from hours from days and what fits from what does not, no more. The speed of a CPU thread
was calibrated on the sample's models of a million parameters.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from glob import escape

from nexusbuild.plugins import Needs, SpecFolder
from specs.datasets import Dataset
from specs.model import Hardware, Spec
from specs.student import Backbone, Tokenizer
from specs.teachers import Teacher, TrainedSource

GIGABYTE = 2**30
QUICK_SECONDS = 2.0


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
# As models are published.
STORED_BYTES_PER_PARAMETER = 2.0
# Beside the weights: activations, buffers, fragments; and what a runtime takes for itself.
SPARE = 1.2
GPU_RUNTIME = 2 * GIGABYTE
# On a CPU, a model that does not fit into memory is read block by block as it runs
# (`teachers.streaming`), unless it has to be quantised. Embeddings and one block are taken to be
# this share of it.
STREAMED_LOADS = ("fp32", "bf16")
STREAMED_SHARE = 4
# From here on a model is taken to need a GPU where the spec leaves the device open.
LARGE_PARAMETERS = 1_000_000_000
SMALL_MODEL_PARAMETERS = 50_000_000
TEACHERS = "teachers"  # the pool of the targets that open one: one is in memory at a time
# Rows of files of which the spec does not say how many there are.
ROWS_OF_FILES = 10_000
TOKENS_OF_SAMPLE = 45
CHARACTERS_PER_TOKEN = 4
# A row of a file has this share of the longest that is allowed, and its answer this share of it.
USUAL_SHARE_OF_LONGEST = 1 / 8
ANSWER_SHARE = 1 / 3
GENERATION_BATCH = 16
# Widths that `auto` is taken to come to where only the profiles will say.
AUTO_HIDDEN, AUTO_LAYERS, AUTO_VOCABULARY = 1024, 16, 32_000


@dataclass(frozen=True)
class Volume:
    """Rows of a data set by split, and tokens of one row and of its answer."""

    train: int
    validation: int
    eval: int
    pilot: int
    tokens: float
    answer: float


def volume(dataset: Dataset) -> Volume:
    """What there is to read and to answer in a data set, without opening it."""
    rows = dataset.rows or ROWS_OF_FILES
    held = dataset.eval + dataset.validation + dataset.pilot
    tokens = float(TOKENS_OF_SAMPLE)
    if dataset.path is not None:
        tokens = dataset.longest_row * USUAL_SHARE_OF_LONGEST / CHARACTERS_PER_TOKEN
    answer = dataset.max_new_tokens or tokens * ANSWER_SHARE
    train = max(1, rows - held)
    return Volume(train, dataset.validation, dataset.eval, dataset.pilot, tokens, answer)


def on_gpu(hardware: Hardware, parameters: int) -> bool:
    """Whether a model of this size is taken to run on a GPU."""
    large = hardware.device == "auto" and parameters >= LARGE_PARAMETERS
    return large or (hardware.device == "cuda" and parameters >= SMALL_MODEL_PARAMETERS)


def device_class(hardware: Hardware, parameters: int) -> DeviceClass:
    """What a model of this size is taken to run on."""
    return CONSUMER_GPU if on_gpu(hardware, parameters) else CPU_THREAD


def layers_of(parameters: int) -> int:
    """Blocks that a model of this size usually has: 4 of a million, 30 of 8 billion."""
    return max(2, round(4 * float((parameters / 1e6) ** 0.22)))


# Teachers.


def trained_parameters(train: TrainedSource) -> int:
    """Parameters of a teacher that the build trains: attention, MLP, embedding and head."""
    inner = train.intermediate or 3 * train.hidden
    matrices = 2 if train.family == "gpt2" else 3
    return _parameters(train.hidden, train.layers, inner, matrices, train.tokenizer)


def teacher_parameters(folder: SpecFolder, teacher: Teacher) -> int | None:
    """Parameters of a teacher; None where neither the spec nor its files say."""
    if teacher.source.train is not None:
        return trained_parameters(teacher.source.train)
    if teacher.parameters is not None or teacher.source.path is None:
        return teacher.parameters
    return _stored_parameters(folder, teacher.source.path)


def _stored_parameters(folder: SpecFolder, path: str) -> int | None:
    """Parameters by the size of a model's files; None where there are none."""
    # As a model is saved; some folders hold it once more under another name.
    for pattern in ("model*.safetensors", "*.safetensors"):
        files = folder.files(f"{escape(path)}/{pattern}")
        if stored := sum(size for _, size in files):
            return int(stored / STORED_BYTES_PER_PARAMETER)
    return None


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
        # Of a size that nobody says, anything beside it may be more than there is room for.
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


def granted_ram(hardware: Hardware) -> int:
    """What the spec grants, else what the machine has."""
    if hardware.ram is not None:
        return hardware.ram
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def opened_seconds(
    spec: Spec, parameters: int | None, load: str, capability: str | None
) -> dict[str, float]:
    """Kind -> seconds of the targets that open a teacher; without a capability, of `teacher`."""
    size = parameters or 1_000_000
    device = device_class(spec.hardware, size)
    reading = 1 + size * STORED_BYTES_PER_PARAMETER / DISK_BYTES_PER_SECOND
    seconds = {"teacher": reading + 1}
    if capability is None:
        return seconds
    declared = spec.capabilities[capability]
    rows = volume(spec.datasets[declared.dataset])
    profile = declared.profile
    # Samples and background are mapped twice; a block is left out in turn, from its place on; the
    # reconstruction is judged on the pilot rows, a few times.
    passes = 4 * profile.samples + profile.pilot_samples * (layers_of(size) / 2 + 8)
    held = rows.validation + rows.eval
    traced = _forward_seconds(size, rows.train * rows.tokens, device)
    if declared.trace.answers == "teacher":
        traced += generation_seconds(size, load, rows.train, rows, device)
    return {
        **seconds,
        "baseline": reading + generation_seconds(size, load, held, rows, device),
        "profile": reading + 5 + _forward_seconds(size, passes * rows.tokens, device),
        "trace": reading + traced,
    }


def generation_seconds(
    parameters: int, load: str, items: int, rows: Volume, device: DeviceClass
) -> float:
    """Of answering so many prompts in batches, and of scoring the answers that were wanted."""
    weights = parameters * BYTES_PER_PARAMETER[load]
    compute = GENERATION_BATCH * 2 * parameters / device.flops
    step = device.step + max(weights / device.bandwidth, compute)
    generated = items / GENERATION_BATCH * rows.answer * step
    return generated + _forward_seconds(parameters, 2 * items * rows.tokens, device)


def _forward_seconds(parameters: int, tokens: float, device: DeviceClass) -> float:
    """Two operations for each parameter and token."""
    return 2 * parameters * tokens / device.flops


def training_seconds(
    parameters: int, steps: int, batch: int, tokens: float, device: DeviceClass
) -> float:
    """Three times a forward pass for every row of every step (Kaplan et al. 2020, section 2.1)."""
    return 1 + 3 * _forward_seconds(parameters, steps * batch * tokens, device)


# The student.


def with_size_of_init(spec: Spec, folder: SpecFolder) -> Spec:
    """The spec with a backbone about as large as the model that it starts from, for estimates.

    As it is where the backbone starts from scratch, or from a model that is not here.
    """
    backbone = spec.student.backbone
    size = _stored_parameters(folder, backbone.init.path) if backbone.init else None
    if size is None:
        return spec
    layers = layers_of(size)
    hidden = max(1, round((size / (12 * layers)) ** 0.5))  # a block has 12 times its square
    sizes = {"hidden": hidden, "layers": layers, "intermediate": "auto"}
    student = spec.student.model_copy(update={"backbone": backbone.model_copy(update=sizes)})
    return spec.model_copy(update={"student": student})


def student_parameters(spec: Spec) -> int:
    """Parameters of the backbone; where the spec says `auto`, of a usual one."""
    backbone: Backbone = spec.student.backbone
    hidden = AUTO_HIDDEN if backbone.hidden == "auto" else backbone.hidden
    layers = AUTO_LAYERS if backbone.layers == "auto" else backbone.layers
    inner = hidden * 8 // 3 if backbone.intermediate == "auto" else backbone.intermediate
    return _parameters(hidden, layers, inner, 3, spec.student.tokenizer)


def _parameters(hidden: int, layers: int, inner: int, matrices: int, tokenizer: Tokenizer) -> int:
    block = 4 * hidden * hidden + matrices * hidden * inner
    vocabulary = 258 if tokenizer.kind == "bytes" else tokenizer.vocab
    return layers * block + 2 * vocabulary * hidden


def quick_needs() -> Needs:
    """Of a target that reads and writes small files."""
    return Needs(ram_bytes=GIGABYTE // 2)


def student_needs(spec: Spec, kept: int = 0, copies: float = 1) -> Needs:
    """Of a target that runs the student, or trains it: on a GPU where the spec says `cuda`.

    kept: bytes that a step of training keeps for the way back. copies: of the weights in fp32;
    four where they are trained (the gradient, and what Muon and Adam keep), two where adapters are.
    """
    weights = int(4 * student_parameters(spec) * copies)
    gpu = spec.hardware.device == "cuda"
    return Needs(
        ram_bytes=GIGABYTE if gpu else GIGABYTE // 2 + max(GIGABYTE // 2, weights + kept),
        vram_bytes=max(2 * GIGABYTE, GIGABYTE + weights + kept) if gpu else 0,
        gpu=gpu,
        threads=spec.hardware.threads,
    )


def backbone_needs(spec: Spec) -> Needs:
    """Of distilling the backbone."""
    rows = spec.student.backbone.batch
    row = kept_bytes_per_row(spec, backbone_datasets(spec))
    return student_needs(spec, int(rows * row), copies=4)


def backbone_datasets(spec: Spec) -> list[str]:
    """Data sets that the backbone is distilled on."""
    shared = [name for name in spec.included_capabilities() if not spec.capabilities[name].isolated]
    return sorted({spec.capabilities[name].dataset for name in shared})


def adapter_needs(spec: Spec, capability: str) -> Needs:
    """Of training one adapter."""
    rows = spec.training_of(capability).batch
    row = kept_bytes_per_row(spec, [spec.capabilities[capability].dataset])
    return student_needs(spec, int(rows * row), copies=2)


def kept_bytes_per_row(spec: Spec, datasets: list[str]) -> float:
    """What one row of a training step keeps: three copies of its logits, and sixteen vectors of
    every block, four bytes each (Korthikanti et al. 2022, section 4, without recomputation)."""
    backbone = spec.student.backbone
    hidden = AUTO_HIDDEN if backbone.hidden == "auto" else backbone.hidden
    layers = AUTO_LAYERS if backbone.layers == "auto" else backbone.layers
    tokens = sum(volume(spec.datasets[name]).tokens for name in datasets) / max(1, len(datasets))
    return tokens * 4 * (3 * spec.student.tokenizer.vocab + 16 * layers * hidden)


def student_device(spec: Spec) -> DeviceClass:
    """What the student runs on."""
    return CONSUMER_GPU if spec.hardware.device == "cuda" else CPU_THREAD


def backbone_seconds(spec: Spec) -> float:
    """Of distilling the backbone."""
    backbone = spec.student.backbone
    rows = [volume(spec.datasets[name]) for name in backbone_datasets(spec)]
    tokens = sum(each.tokens for each in rows) / max(1, len(rows))
    size, device = student_parameters(spec), student_device(spec)
    return training_seconds(size, backbone.steps, backbone.batch, tokens, device)


def adapter_seconds(spec: Spec, capability: str) -> float:
    """Of training one adapter: the backbone does not change, but all of it is passed through."""
    training = spec.training_of(capability)
    tokens = volume(spec.datasets[spec.capabilities[capability].dataset]).tokens
    size, device = student_parameters(spec), student_device(spec)
    return training_seconds(size, training.steps, training.batch, tokens, device)


def score_seconds(spec: Spec, capability: str) -> float:
    """Of answering the held-out prompts with the packed student."""
    rows = volume(spec.datasets[spec.capabilities[capability].dataset])
    size, device = student_parameters(spec), student_device(spec)
    return 2 + generation_seconds(size, "fp32", rows.eval, rows, device)
