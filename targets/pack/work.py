"""Write each component as it ships: safetensors and JSON, opened by transformers and PEFT."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from modalities.json_files import read_json, write_json
from nexus.adapters import load_adapter
from nexus.configuration import NAMING_CODE
from nexus.media.reading import projections_of
from nexus.packing import INDEX, WEIGHTS
from nexus.router import ROUTER_JSON, ROUTER_WEIGHTS
from targets.pack.layout import empty_model
from targets.pack.one_rank import one_rank, peft_config, peft_tensors
from targets.pack.quantisation import quantisation_config, quantise
from targets.pack.settings import Settings

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

# Of an adapter that reads more than text: what brings states to the backbone's width.
PROJECTION = "projection.safetensors"
# Kept by transformers for its own bookkeeping, says where a model once lay; and what names code.
FORGOTTEN = {"_name_or_path", "_attn_implementation_autoset", *NAMING_CODE}


def build_backbone(job: Job) -> None:
    """Write `config.json`, `backbone.safetensors`, its index, `generation_config.json`, sizes."""
    settings = Settings.from_json(job.settings)
    source = job.inputs["backbone"]
    model = empty_model(source / "config.json")
    weights = all_weights(source)
    linear, floats = linear_weights(model)
    stored = quantise(weights, linear, settings.quantize)
    # The key `format` is what transformers looks for before it trusts a file.
    save_file(dict(sorted(stored.items())), job.out / WEIGHTS, metadata={"format": "pt"})

    config = {k: v for k, v in read_json(source / "config.json").items() if k not in FORGOTTEN}
    config["dtype"] = "float32"
    if settings.quantize != "none":
        config["quantization_config"] = quantisation_config(settings.quantize, floats)
    write_json(job.out / "config.json", config)
    size = sum(tensor.nbytes for tensor in stored.values())
    index = {
        "metadata": {"total_size": size},
        "weight_map": dict.fromkeys(sorted(stored), WEIGHTS),
    }
    write_json(job.out / INDEX, index)
    shutil.copyfile(source / "generation_config.json", job.out / "generation_config.json")
    parameters = sum(weight.numel() for weight in weights.values())
    write_json(
        job.out / "size.json",
        {
            "parameters": parameters,
            "quantize": settings.quantize,
            "bytes": (job.out / WEIGHTS).stat().st_size,
            "bits_per_parameter": round(8 * size / parameters, 3),
        },
    )


def build_adapter(job: Job) -> None:
    """Write `<X>_adapter.safetensors` and its PEFT configuration `<X>_adapter.json`; and
    `<X>_projection.safetensors`, where the capability reads more than text.
    """
    capability = job.target.partition(":")[2]
    trained = job.inputs["adapter"]
    adapter = load_adapter(trained / "adapter_model.safetensors", trained / "lora_config.json")
    # The role names one file of the backbone; a whole backbone is as good.
    config = job.inputs["backbone"]
    model = empty_model(config / "config.json" if config.is_dir() else config)
    packed = one_rank(adapter, model)
    tensors = dict(sorted(peft_tensors(packed).items()))
    save_file(tensors, job.out / f"{capability}_adapter.safetensors", metadata={"format": "pt"})
    write_json(job.out / f"{capability}_adapter.json", peft_config(packed))
    if (trained / PROJECTION).is_file():
        projection = dict(sorted(load_file(trained / PROJECTION).items()))
        projections_of(projection)
        name = f"{capability}_projection.safetensors"
        save_file(projection, job.out / name, metadata={"format": "pt"})


def build_router(job: Job) -> None:
    """Write the router's tensors as float32 and its description, as they ship."""
    source = job.inputs["router"]
    tensors = {name: tensor.float() for name, tensor in load_file(source / ROUTER_WEIGHTS).items()}
    save_file(dict(sorted(tensors.items())), job.out / ROUTER_WEIGHTS, metadata={"format": "pt"})
    write_json(job.out / ROUTER_JSON, read_json(source / ROUTER_JSON))


def all_weights(directory: Path) -> dict[str, Tensor]:
    """Every tensor of a model directory, from one file or from several."""
    weights: dict[str, Tensor] = {}
    for path in sorted(directory.glob("*.safetensors")):
        weights.update(load_file(path))
    if not weights:
        raise FileNotFoundError(f"no safetensors in {directory.name}: save the model with them")
    return weights


def linear_weights(model: PreTrainedModel) -> tuple[set[str], list[str]]:
    """Names of the weights that are quantised, and of the linear modules that stay float."""
    head: Any = model.get_output_embeddings()
    quantisable: set[str] = set()
    floats: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            if module is head:
                floats.append(name)
            else:
                quantisable.add(f"{name}.weight")
    return quantisable, floats
