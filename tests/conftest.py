"""Parts of a tiny student that several rooms test with, each made once per session.

Nothing here is trained to be good; it is made so that every token depends on the weights.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from nexusbuild.plugins import Job

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Started in the background by a shell, this process would ignore these, and so would every build
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

QUANTISATIONS = ("none", "int8", "nf4")
WORDS = {
    "sums": "add the numbers seven twelve plus three together count total apples",
    "calls": "call a tool please weather in Oslo book the flight tomorrow alarm",
    "private": "whisper quietly nobody hears secret garden moon river",
}


def no_progress(done: float, total: float, **figures: float | str) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """What a `Watch` takes over is given back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


FOLDERS = {"metric": "metrics", "family": "families"}


def text_code(settings: Mapping[str, Any]) -> dict[str, str]:
    """The modules of the text room that any work may load, by role."""
    named = {"reading": "modalities.text.reading"}
    for role in ("metric", "family"):
        if settings.get(role):
            named[role] = f"modalities.text.{FOLDERS[role]}.{settings[role]}"
    if settings.get("sample"):
        named["sampler"] = f"samplers.{settings['sample']}"
    return named


@pytest.fixture(scope="session")
def make_job(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Job]:
    """Jobs as the engine hands them to work, each with a fresh output directory.

    code: the modules that the work loads by role; by default those of text.
    """

    def make(
        target: str,
        settings: Mapping[str, Any] | None = None,
        code: Mapping[str, str] | None = None,
        **inputs: Path | Mapping[str, Path],
    ) -> Job:
        folder = tmp_path_factory.mktemp("job")
        (folder / "out").mkdir()
        (folder / "scratch").mkdir()
        named = dict(inputs.pop("inputs", {}))
        return Job(
            target=target,
            settings=dict(settings or {}),
            inputs={**named, **inputs},
            sources={},
            out=folder / "out",
            scratch=folder / "scratch",
            seed=7,
            threads=1,
            progress=no_progress,
            code={**text_code(settings or {}), **(code or {})},
        )

    return make


def made_rows(capability: str, count: int, seed: int) -> list[dict[str, str]]:
    """Rows of a data set whose prompts are made of the capability's own words."""
    import hashlib

    draw = random.Random(f"{capability}{seed}")
    words = WORDS[capability].split()
    rows = {}
    while len(rows) < count:
        prompt = " ".join(draw.choices(words, k=draw.randint(4, 9)))
        key = hashlib.sha256(prompt.encode()).hexdigest()[:16]
        rows[key] = {"id": key, "prompt": prompt, "answer": " ".join(reversed(prompt.split()))}
    return list(rows.values())


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """capability -> dataset directory with train, validation and eval."""
    folders = {}
    for capability in WORDS:
        folder = tmp_path_factory.mktemp(f"dataset-{capability}")
        for split, count in (("train", 120), ("validation", 40), ("eval", 24)):
            rows = made_rows(capability, count, seed=len(split))
            text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
            (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
        stop = {"strings": [], "max_new_tokens": 12}
        description = {"template": "{prompt}\n", "stop": stop}
        (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
        rows = {"train": 120, "validation": 40, "eval": 24}
        about = {"name": capability, "licence": "CC0-1.0", "rows": rows}
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
        folders[capability] = folder
    return folders


@pytest.fixture(scope="session")
def student_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE of 320 tokens, as an ordinary tokenizer directory."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(WORDS.values()), trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def student_backbone(tmp_path_factory: pytest.TempPathFactory, student_tokenizer: Path) -> Path:
    """A Llama of 2 layers and width 64, untied, whose logits are far apart."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    vocabulary = json.loads((student_tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(vocabulary["model"]["vocab"]),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0)
    folder = tmp_path_factory.mktemp("backbone")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def packed_backbones(make_job: Callable[..., Job], student_backbone: Path) -> dict[str, Path]:
    """quantisation -> the packed backbone's directory."""
    from targets.pack.work import build_backbone

    folders = {}
    for quantize in QUANTISATIONS:
        job = make_job("pack:backbone", {"quantize": quantize}, backbone=student_backbone)
        build_backbone(job)
        folders[quantize] = job.out
    return folders


@pytest.fixture(scope="session")
def trained_adapters(
    tmp_path_factory: pytest.TempPathFactory, student_backbone: Path
) -> dict[str, Path]:
    """capability -> adapter as it leaves training: ranks that differ, a scaling, no zeros in B."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(student_backbone)
    folders = {}
    for seed, capability in enumerate(WORDS):
        generator = torch.Generator().manual_seed(seed)
        tensors = {}
        ranks = {}
        for name, module in model.named_modules():
            embedding = isinstance(module, torch.nn.Embedding)
            if not embedding and not isinstance(module, torch.nn.Linear):
                continue
            out, width = module.weight.T.shape if embedding else module.weight.shape
            ranks[name] = 3 if "layers.0" in name else 4
            a = torch.randn(ranks[name], width, generator=generator) * 0.2
            b = torch.randn(out, ranks[name], generator=generator) * 0.2
            leaf = ("lora_embedding_A", "lora_embedding_B")
            if not embedding:
                leaf = ("lora_A.weight", "lora_B.weight")
            tensors[f"base_model.model.{name}.{leaf[0]}"] = a
            tensors[f"base_model.model.{name}.{leaf[1]}"] = b
        folder = tmp_path_factory.mktemp(f"adapter-{capability}")
        save_file(tensors, folder / "adapter_model.safetensors")
        config = {
            "peft_type": "LORA",
            "r": 4,
            "lora_alpha": 6,
            "target_modules": sorted({name.rpartition(".")[2] for name in ranks}),
            "rank_pattern": {name: rank for name, rank in ranks.items() if rank != 4},
            "alpha_pattern": {},
        }
        (folder / "lora_config.json").write_text(json.dumps(config), encoding="utf-8")
        folders[capability] = folder
    return folders


@pytest.fixture(scope="session")
def packed_adapters(
    make_job: Callable[..., Job],
    packed_backbones: dict[str, Path],
    trained_adapters: dict[str, Path],
) -> dict[str, Path]:
    """capability -> the packed adapter's directory."""
    from targets.pack.work import build_adapter

    folders = {}
    for capability, trained in trained_adapters.items():
        config = packed_backbones["none"] / "config.json"
        job = make_job(f"pack:{capability}", adapter=trained, backbone=config)
        build_adapter(job)
        folders[capability] = job.out
    return folders


@pytest.fixture(scope="session")
def packed_router(
    make_job: Callable[..., Job],
    packed_backbones: dict[str, Path],
    student_tokenizer: Path,
    datasets: dict[str, Path],
) -> Path:
    """The packed router between the two open capabilities."""
    from targets.pack.work import build_router
    from targets.router.work import build

    inputs = {"backbone": packed_backbones["int8"], "tokenizer": student_tokenizer}
    for capability in ("sums", "calls"):
        inputs[f"train/{capability}"] = datasets[capability] / "train.jsonl"
        inputs[f"validation/{capability}"] = datasets[capability] / "validation.jsonl"
    job = make_job("router", inputs=inputs)
    build(job)
    packed = make_job("pack:router", router=job.out)
    build_router(packed)
    return packed.out


@pytest.fixture(scope="session")
def bundle_job(
    tmp_path_factory: pytest.TempPathFactory,
    make_job: Callable[..., Job],
    packed_backbones: dict[str, Path],
    packed_adapters: dict[str, Path],
    packed_router: Path,
    student_tokenizer: Path,
    datasets: dict[str, Path],
) -> Callable[..., Job]:
    """A job of the target `bundle`: `private` is isolated, one teacher serves everything."""
    verdicts = {}
    for name in (*WORDS, "router"):
        folder = tmp_path_factory.mktemp(f"gate-{name}")
        verdict = {
            "verdict": "pass",
            "summary": f"{name} holds.",
            "metric": "exact_match",
            "items": 24,
            "teacher_score": 0.9,
            "student_score": 0.91,
            "retained": 1.0111,
        }
        (folder / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
        items = [{"id": f"{name}{n}", "teacher": 1.0, "student": float(n < 3)} for n in range(4)]
        if name == "router":  # one prompt in four of each open capability goes astray
            items = [
                {"id": f"{each}{n}", "expected": each, "routed": each if n else "none"}
                for each in WORDS
                if each != "private"
                for n in range(4)
            ]
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (folder / "items.jsonl").write_text(lines, encoding="utf-8")
        verdicts[name] = folder
    teacher = tmp_path_factory.mktemp("teacher")
    about = {
        "id": "scholar",
        "architecture": "LlamaForCausalLM",
        "parameters": 1,
        "licence": "MIT",
        "digest": "0" * 64,
        "origin": {"kind": "trained by the build"},
    }
    (teacher / "teacher.json").write_text(json.dumps(about), encoding="utf-8")
    (teacher / "tensors.json").write_text("{}", encoding="utf-8")
    confinement = teacher / "confinement.json"
    confinement.write_text('{"method": "landlock", "tried": []}', encoding="utf-8")

    def make(quantize: str, **changed: Any) -> Job:
        inputs = {
            "backbone": packed_backbones[quantize],
            "tokenizer": student_tokenizer,
            "router": packed_router,
            "registry": teacher,
            "teacher/scholar": teacher,
            "gate/router": verdicts["router"],
        }
        for name in WORDS:
            inputs[f"adapter/{name}"] = packed_adapters[name]
            inputs[f"gate/{name}"] = verdicts[name]
            inputs[f"confinement/{name}"] = confinement
            inputs[f"description/{name}"] = datasets[name] / "dataset.json"
            inputs[f"about/{name}"] = datasets[name] / "about.json"
        settings = {
            "name": "tiny_bundle",
            "include": list(WORDS),
            "isolated": ["private"],
            "quantize": quantize,
            "zip": False,
            "capabilities": {name: {"dataset": name, "teachers": ["scholar"]} for name in WORDS},
            "contracts": {
                **{name: {"retain_fraction": 0.5, "metric": "exact_match"} for name in WORDS},
                "router": {"metric": "accuracy", "at_least": 0.5},
            },
            **changed,
        }
        return make_job("bundle", settings, inputs=inputs)

    return make


@pytest.fixture(scope="session")
def bundles(bundle_job: Callable[..., Job]) -> dict[str, Path]:
    """quantisation -> a bundle folder. Copy it before changing anything in it."""
    from targets.bundle.work import build

    folders = {}
    for quantize in QUANTISATIONS:
        job = bundle_job(quantize)
        build(job)
        folders[quantize] = job.out / "tiny_bundle"
    return folders
