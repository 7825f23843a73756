"""A text-only bundle of the full size, random weights, packed as the build packs; what it costs.

    python benchmarks/full_size.py FOLDER [--quantize int8] [--rank 64]

Writes FOLDER/bundle, then loads it in a process of its own and generates with every adapter: bytes
on disk, seconds to open, peak memory. `benchmarks/runtime.py FOLDER/bundle` measures its speed.
Random weights say nothing about answers; sizes, time and memory are those of trained ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1]))

from nexus.manifest import FORMAT, FORMAT_VERSION, MANIFEST, UNSEALED, file_digest, with_seal
from nexus.router import ROUTER_JSON, ROUTER_WEIGHTS
from nexusbuild.plugins import Job
from targets.pack.work import build_adapter, build_backbone, build_router

CAPABILITIES = ("code", "reasoning", "tools")
CONFIG = LlamaConfig(
    vocab_size=32000,
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=28,
    num_attention_heads=16,
    num_key_value_heads=8,
    max_position_embeddings=4096,
    tie_word_embeddings=False,
    bos_token_id=None,
    eos_token_id=1,
)
ANSWERING = """
import json, sys, time
import torch
from nexus import NexusModel
torch.set_num_threads(1)
begun = time.perf_counter()
model = NexusModel.load(sys.argv[1])
opened = time.perf_counter()
status = lambda: dict(
    line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if "kB" in line
)
megabytes = lambda key: round(int(status()[key].split()[0]) / 1024)
loaded = megabytes("VmRSS")
words = " ".join(f"w{place}" for place in range(40, 60))
for name in model.capabilities:
    model.generate(words, capability=name, max_new_tokens=16)
alone = megabytes("VmHWM")
names = [model.capabilities[row % len(model.capabilities)] for row in range(16)]
model.generate(prompts=[words] * 16, capability=names, max_new_tokens=64)
print(json.dumps({
    "seconds to verify and open": round(opened - begun, 1),
    "MB after opening": loaded,
    "MB at most, one row, every adapter": alone,
    "MB at most, 16 rows of every adapter": megabytes("VmHWM"),
    "of these MB mapped from the bundle": megabytes("RssFile"),
}))
"""


def job(target: str, out: Path, settings: dict[str, str], **inputs: Path) -> Job:
    """A job as the engine would hand it to the work, with `out` to write to."""
    out.mkdir(parents=True)
    return Job(
        target=target,
        settings=settings,
        inputs=inputs,
        sources={},
        out=out,
        scratch=out,
        seed=0,
        threads=1,
        progress=lambda *_args, **_figures: None,
    )


def write_backbone(folder: Path) -> None:
    """A random model as the target `backbone` leaves it."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(CONFIG)
    model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0)
    model.save_pretrained(folder)
    print(f"{sum(weight.numel() for weight in model.parameters()) / 1e6:.0f}M parameters")


def write_adapter(folder: Path, rank: int, seed: int) -> None:
    """A random adapter of every linear layer and the embedding, as training leaves it."""
    with torch.device("meta"):
        model = LlamaForCausalLM(CONFIG)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    leaves = set()
    for name, module in model.named_modules():
        embedding = isinstance(module, torch.nn.Embedding)
        if not embedding and not isinstance(module, torch.nn.Linear):
            continue
        out, width = module.weight.T.shape if embedding else module.weight.shape
        kinds = ("lora_A.weight", "lora_B.weight")
        if embedding:
            kinds = ("lora_embedding_A", "lora_embedding_B")
        for kind, size in zip(kinds, ((rank, width), (out, rank)), strict=True):
            drawn = torch.randn(size, generator=generator) * 0.02
            tensors[f"base_model.model.{name}.{kind}"] = drawn
        leaves.add(name.rpartition(".")[2])
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    about = {"r": rank, "lora_alpha": rank, "target_modules": sorted(leaves)}
    (folder / "lora_config.json").write_text(json.dumps(about), encoding="utf-8")


def write_router(folder: Path) -> None:
    """A random router among the capabilities, as the target `router` leaves it."""
    folder.mkdir(parents=True)
    count, width = len(CAPABILITIES), CONFIG.hidden_size
    tensors = {
        "weight": torch.randn(count, width),
        "bias": torch.zeros(count),
        "centroids": torch.randn(count, width) * 0.01,
        "whitening": torch.eye(width),
    }
    save_file(tensors, folder / ROUTER_WEIGHTS, metadata={"format": "pt"})
    about = {
        "capabilities": list(CAPABILITIES),
        "embedding": "model.embed_tokens.weight",
        "temperature": 1.0,
        "abstain_distance": 10.0,
    }
    (folder / ROUTER_JSON).write_text(json.dumps(about), encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    """A word for every id."""
    folder.mkdir(parents=True)
    vocabulary = {f"w{place}": place for place in range(CONFIG.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))


def write_manifest(bundle: Path, quantize: str) -> None:
    """What `nexus.manifest` needs to know of the files in the folder."""
    asking = {"template": "{prompt}", "stop": {"strings": [], "max_new_tokens": 64}}
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "seal": UNSEALED,
        "name": "full_size",
        "quantization": quantize,
        "backbone": asking,
        "capabilities": {
            name: {
                **asking,
                "isolated": False,
                "dataset": "words",
                "adapter": f"adapters/{name}_adapter.safetensors",
                "configuration": f"adapters/{name}_adapter.json",
            }
            for name in CAPABILITIES
        },
        "files": {
            file.relative_to(bundle).as_posix(): {
                "sha256": file_digest(file),
                "bytes": file.stat().st_size,
            }
            for file in sorted(bundle.rglob("*"))
            if file.is_file()
        },
    }
    (bundle / MANIFEST).write_bytes(with_seal(json.dumps(manifest).encode()))


def write_bundle(folder: Path, quantize: str, rank: int) -> Path:
    """The whole bundle, through the work of the pack targets."""
    bundle, parts = folder / "bundle", folder / "parts"
    write_backbone(parts / "backbone")
    settings = {"quantize": quantize}
    build_backbone(job("pack:backbone", bundle / "backbone", settings, backbone=parts / "backbone"))
    (bundle / "backbone" / "size.json").unlink()
    for seed, name in enumerate(CAPABILITIES):
        write_adapter(parts / name, rank, seed)
        config = bundle / "backbone" / "config.json"
        packed = job(f"pack:{name}", parts / f"{name}-packed", {}, adapter=parts / name)
        packed.inputs["backbone"] = config
        build_adapter(packed)
        shutil.copytree(packed.out, bundle / "adapters", dirs_exist_ok=True)
    write_router(parts / "router")
    build_router(job("pack:router", bundle / "router", {}, router=parts / "router"))
    write_tokenizer(bundle / "tokenizer")
    write_manifest(bundle, quantize)
    shutil.rmtree(parts)
    return bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quantize", default="int8", choices=["none", "int8", "nf4"])
    parser.add_argument("--rank", type=int, default=64)
    given = parser.parse_args()
    bundle = given.folder / "bundle"
    if not bundle.exists():
        write_bundle(given.folder, given.quantize, given.rank)
    for part in sorted(path for path in bundle.iterdir() if path.is_dir()):
        size = sum(file.stat().st_size for file in part.rglob("*"))
        print(f"{part.name:<12}{size / 1e6:10.1f} MB")
    size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
    print(f"{'bundle':<12}{size / 1e6:10.1f} MB")
    done = subprocess.run(
        [sys.executable, "-c", ANSWERING, str(bundle)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
    )
    for what, figure in json.loads(done.stdout).items():
        print(f"{figure:>10} {what}")


if __name__ == "__main__":
    main()
