"""A teacher is opened as its spec says: precisions, quantised, mapped, or streamed by block."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from nexusbuild.plugins import Job
from opened_models.loading import open_teacher
from opened_models.streaming import is_streamed
from specs.model import Hardware
from targets.budget.estimates import opened_needs
from targets.profile.work import build as build_profile

GIGABYTE = 2**30
PLAIN = {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
FAMILIES = {
    "llama": {**PLAIN, "intermediate_size": 96, "num_key_value_heads": 2},
    "gpt2": {"vocab_size": 320, "n_embd": 64, "n_layer": 3, "n_head": 4},
    # Stored expert by expert, loaded as one tensor: put together on the way.
    "mixtral": {
        **PLAIN,
        "intermediate_size": 32,
        "num_local_experts": 4,
        "num_key_value_heads": 2,
    },
    # One embedding for both stacks, and a bias of positions that the first block makes.
    "t5": {"vocab_size": 320, "d_model": 64, "d_ff": 96, "d_kv": 16, "num_layers": 2}
    | {"num_heads": 4, "decoder_start_token_id": 0},
}


def saved(family: str, folder: Path, tokenizer: Path) -> Path:
    torch.manual_seed(2)
    words = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    config = AutoConfig.for_model(family, **{**FAMILIES[family], **words})
    kind = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    model = kind.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer / name).read_bytes())
    return folder


@pytest.fixture
def profile_job(
    datasets: dict[str, Path], tmp_path: Path, make_job: Callable[..., Job]
) -> Callable[..., Job]:
    """A quick profile of a teacher's folder."""
    lines = (datasets["sums"] / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "pilot.jsonl").write_text("".join(lines[:10]))
    description = {"template": "{prompt}\n", "stop": {"strings": [], "max_new_tokens": 4}}
    (tmp_path / "dataset.json").write_text(json.dumps(description))

    def make(teacher: Path, load: str) -> Job:
        settings = {"load": load, "metric": "token_f1", "samples": 8, "pilot_samples": 3}
        return make_job(
            "profile:one/sums",
            {
                **settings,
                "explained_variance": 0.97,
                "raised_to": [],
                "max_metric_fall": 0.01,
                "key_layer_drop": 0.1,
                "decodes": 1,
                "key_layers": 2,
            },
            model=teacher,
            pilot=tmp_path / "pilot.jsonl",
            description=tmp_path / "dataset.json",
        )

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_a_streamed_teacher_has_the_profile_of_a_whole_one(
    family: str, tmp_path: Path, student_tokenizer: Path, profile_job: Callable[..., Job]
) -> None:
    folder = saved(family, tmp_path / "teacher", student_tokenizer)
    whole = profile_job(folder, "fp32")
    build_profile(whole)
    streamed = dataclasses.replace(profile_job(folder, "fp32"), ram_bytes=100_000)
    model = open_teacher(streamed).model
    assert is_streamed(model)
    assert not is_streamed(model.get_input_embeddings())
    build_profile(streamed)
    for file in whole.out.iterdir():
        assert file.read_bytes() == (streamed.out / file.name).read_bytes(), file.name


@pytest.mark.parametrize("load", ["bf16", "int8", "nf4"])
def test_a_teacher_is_profiled_in_every_precision(
    load: str, tmp_path: Path, student_tokenizer: Path, profile_job: Callable[..., Job]
) -> None:
    folder = saved("llama", tmp_path / "teacher", student_tokenizer)
    job = profile_job(folder, load)
    model = open_teacher(job).model
    weight = model.model.layers[0].mlp.down_proj.weight
    assert weight.dtype == {"bf16": torch.bfloat16, "int8": torch.int8, "nf4": torch.uint8}[load]
    build_profile(job)
    heads = json.loads((job.out / "heads_importance.json").read_text())
    assert heads["method"] == ("gate gradient" if load == "bf16" else "ablation")
    summary = json.loads((job.out / "profile.json").read_text())
    assert summary["key_layers"]
    assert all(rise != 0 for rise in summary["ablation"]["nll_rise"])


SCRIPT = """
import sys
from pathlib import Path
import torch
from nexusbuild.plugins import Job
from opened_models.loading import open_teacher

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

folder, ram = Path(sys.argv[1]), int(sys.argv[2])
job = Job("profile:a/b", {"load": "fp32"}, {"model": folder}, {}, folder, folder, 0, 1,
          lambda *a, **k: None, ram_bytes=ram)
import transformers.models.llama.modeling_llama, accelerate
before = memory("VmRSS")
model = open_teacher(job).model
with torch.inference_mode():
    logits = model(input_ids=torch.arange(24).reshape(2, 12), use_cache=False).logits
torch.save(logits, folder / "logits.pt")
print(memory("VmHWM") - before)
"""


def test_a_streamed_teacher_takes_less_memory_than_its_weights(
    tmp_path: Path, student_tokenizer: Path
) -> None:
    with torch.device("meta"):
        config = AutoConfig.for_model(
            "llama",
            vocab_size=320,
            hidden_size=768,
            intermediate_size=2304,
            num_hidden_layers=8,
            num_attention_heads=12,
            tie_word_embeddings=False,
        )
        skeleton = AutoModelForCausalLM.from_config(config)
    model = skeleton.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.04, 0.04)
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    model.save_pretrained(tmp_path)
    del model
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((student_tokenizer / name).read_bytes())
    job = Job(
        target="profile:a/b",
        settings={"load": "fp32"},
        inputs={"model": tmp_path},
        sources={},
        out=tmp_path,
        scratch=tmp_path,
        seed=0,
        threads=1,
        progress=lambda done, total, **figures: None,
    )
    with torch.inference_mode():
        whole = open_teacher(job).model(input_ids=torch.arange(24).reshape(2, 12), use_cache=False)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(weights // 2)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert torch.equal(whole.logits, torch.load(tmp_path / "logits.pt"))
    peak = int(done.stdout.split()[-1])
    print(f"peak {peak / 2**20:.0f} MB of {weights / 2**20:.0f} MB of weights")
    assert peak < 0.5 * weights


def test_what_does_not_fit_is_streamed_where_it_can_be() -> None:
    hardware = Hardware(device="cpu", ram="16GB")
    seven_billion = 7_000_000_000
    assert opened_needs(hardware, seven_billion, "bf16").ram_bytes < 6 * GIGABYTE
    assert opened_needs(hardware, seven_billion, "nf4").ram_bytes < 7 * GIGABYTE
    # Quantising needs the whole: what is too large for that is refused before anything starts.
    assert opened_needs(hardware, 10 * seven_billion, "int8").ram_bytes > 64 * GIGABYTE
    assert opened_needs(hardware, 1_000_000_000, "bf16").ram_bytes > 3 * GIGABYTE
