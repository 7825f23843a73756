"""Open a teacher as the spec says: its weights, one at a time, and its tokenizer.

Only the kinds `teacher`, `baseline`, `profile` and `trace` may import this room.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor, BitsAndBytesConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from opened_models.streaming import streaming_arguments
from opened_models.tokenizers import open_tokenizer
from opened_models.weight_files import stored_parameters, weight_files

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

# Precisions in which a block can be read from its file whenever it runs.
BYTES_PER_PARAMETER = {"fp32": 4, "bf16": 2}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class Teacher:
    """A frozen teacher in evaluation mode, on the fastest device that is there.

    tokenizer: None where it reads no text. processor: of images or sounds, None without.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    processor: Any = None


def teacher_directory(job: Job) -> Path:
    """Where the teacher's files lie: built before, on this disk, or in the hub's cache.

    Raises ValueError where a hub cannot be reached and its cache does not hold the revision.
    """
    if "model" in job.inputs:
        return job.inputs["model"]
    if "model" in job.sources:
        return job.sources["model"]
    from huggingface_hub import snapshot_download

    hub = job.settings["hub"]
    try:
        return Path(snapshot_download(hub["repo"], revision=hub["revision"]))
    except Exception as error:
        raise ValueError(
            f"teacher {hub['repo']} at revision {hub['revision']} is neither in the hub's cache "
            f"nor could it be fetched ({error}). Download it and name its folder with "
            "`source: {path: ...}`, or try again with a network."
        ) from error


def open_teacher(job: Job) -> Teacher:
    """Load the job's teacher in the precision that its settings name under `load`."""
    torch.set_num_threads(job.threads)
    directory = teacher_directory(job)
    load = str(job.settings["load"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model_class(directory).from_pretrained(
        directory,
        local_files_only=True,
        trust_remote_code=False,
        **_places(job, directory, load, device),
        **_precision(load),
    )
    model.requires_grad_(False)
    _without_packing(model)
    # Of a model that answers nothing, a head for some task is no part of what it makes of a text.
    part = model if model.can_generate() else model.base_model
    return Teacher(part.eval(), teacher_tokenizer(directory), _processor(directory))


def _places(job: Job, directory: Path, load: str, device: str) -> dict[str, Any]:
    """Where the weights go: all where the model runs, or its blocks nowhere until they run.

    On a CPU, weights that are stored as they are loaded are mapped from their files, not copied.
    """
    if device == "cpu" and job.ram_bytes is not None and load in BYTES_PER_PARAMETER:
        weights = stored_parameters(weight_files(directory)) * BYTES_PER_PARAMETER[load]
        if weights > job.ram_bytes:
            return streaming_arguments(directory, model_class(directory), job.scratch)
    return {"device_map": {"": device}}


def answering_teacher(job: Job) -> Teacher:
    """`open_teacher`, for work that needs answers in text.

    Raises ValueError where the model gives none.
    """
    teacher = open_teacher(job)
    if not teacher.model.can_generate() or teacher.tokenizer is None:
        raise ValueError(
            f"{job.target}: the teacher, a {type(teacher.model).__name__}, answers nothing in text "
            "(it is an encoder, or has no tokenizer): it can be profiled, and no more. Name a "
            "model that generates text as the capability's teacher."
        )
    return teacher


def model_class(directory: Path) -> type[PreTrainedModel]:
    """The class that the model was saved as, by its configuration; by default a causal decoder.

    Raises ValueError where transformers has no such class.
    """
    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if not config.architectures:
        usual: type[PreTrainedModel] = AutoModelForCausalLM._model_mapping[type(config)]
        return usual
    name = config.architectures[0]
    found: type[PreTrainedModel] | None = getattr(transformers, name, None)
    if found is None:
        raise ValueError(
            f"{directory}/config.json names the architecture {name}, which transformers "
            f"{transformers.__version__} does not have: upgrade transformers, or save the model as "
            "one that it has"
        )
    return found


def teacher_tokenizer(directory: Path) -> PreTrainedTokenizerBase | None:
    """The teacher's tokenizer; None where its folder has none."""
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        return None
    return open_tokenizer(directory)


def _without_packing(model: PreTrainedModel) -> None:
    """4-bit matrices whose rows are no multiple of a block are multiplied without being repacked.

    bitsandbytes repacks them for CPUs with bfloat16 products, and fails on such rows.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            state = getattr(module.weight, "quant_state", None)
            if state is not None and state.shape[-1] % state.blocksize:
                module.support_avx512bf16_for_cpu = False


def _processor(directory: Path) -> Any:
    """What turns images or sounds into the model's arrays; None where its folder has none."""
    if not any((directory / name).is_file() for name in PROCESSOR_FILES):
        return None
    return AutoProcessor.from_pretrained(directory, local_files_only=True, trust_remote_code=False)


def _precision(load: str) -> dict[str, object]:
    match load:
        case "fp32":
            return {"dtype": torch.float32}
        case "bf16":
            return {"dtype": torch.bfloat16}
        case "int8":
            return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
        case "nf4":
            config = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
            return {"quantization_config": config, "dtype": torch.bfloat16}
    raise ValueError(f"load: {load!r} is not one of fp32, bf16, int8, nf4")
