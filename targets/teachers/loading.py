"""Open a teacher as the spec says: its weights, one at a time, and its tokenizer.

Only the kinds `teacher`, `baseline`, `profile` and `trace` may import this room.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from targets.teachers.tokenizers import open_tokenizer

if TYPE_CHECKING:
    from nexusbuild.graph import Job


@dataclass(frozen=True)
class Teacher:
    """A frozen teacher in evaluation mode, on the fastest device that is there."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


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
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        directory,
        local_files_only=True,
        device_map={"": device},
        **_precision(str(job.settings["load"])),
    )
    model.requires_grad_(False)
    return Teacher(model.eval(), open_tokenizer(directory))


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
