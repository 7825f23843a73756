"""`README.md` of a bundle: a model card with its metadata, and how the parts are opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from targets.bundle.manifest import Parts
from targets.bundle.settings import Settings

OPENING = """\
import json
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("tokenizer", trust_remote_code=False)
model = AutoModelForCausalLM.from_pretrained("backbone", trust_remote_code=False)
{dequantize}config = LoraConfig(**json.load(open("adapters/{name}_adapter.json")))
model = get_peft_model(model, config).eval()
set_peft_model_state_dict(model, load_file("adapters/{name}_adapter.safetensors"))

prompt = tokenizer({template}.replace("{{prompt}}", "..."), return_tensors="pt").input_ids
answer = model.generate(input_ids=prompt, max_new_tokens={longest}, do_sample=False)
print(tokenizer.decode(answer[0, prompt.shape[1]:], skip_special_tokens=True))
"""

DEQUANTIZE = "model = model.dequantize(torch.float32)\n"

# What the line above means for each form; measured, see the packing of backbones.
ON_QUANTISATION = {
    "none": "",
    "int8": """\
The backbone's linear layers are stored in 8 bits. `dequantize` turns them into float32 for speed
on a CPU; without the line bitsandbytes keeps them in 8 bits and gives the same tokens there too,
because `llm_int8_threshold` makes it round weights only, never activations.
""",
    "nf4": """\
The backbone's linear layers are stored in 4 bits. `dequantize` turns them into float32, which is
what the scores below were measured with; without the line bitsandbytes keeps them in 4 bits, and
on some CPUs rounds activations to bfloat16, which now and then changes a token.
""",
}


def model_card(settings: Settings, parts: Parts, report: Mapping[str, Any]) -> str:
    """Metadata, what it can do and how well, how to use it, and what it was made of."""
    sections = [
        f"---\n{yaml.safe_dump(_metadata(settings, parts), sort_keys=False)}---\n",
        f"# {settings.name}\n",
        "One small backbone with an adapter for each capability, distilled from larger teachers.\n"
        "No teacher is needed to run it, and no weight of one is in it.\n",
        f"## What it can do\n\n{_scores(settings, parts)}\n",
        f"Verdict: **{report['verdict']}**. `verify_report.json` has intervals and rules, and how\n"
        "the teachers were kept out of reach; `retention_contracts.md` says what was asked.\n",
        f"## With Nexus\n\n```python\n{_with_nexus(settings)}```\n",
        _without_nexus(settings, parts),
        f"## What it was made of\n\n{_origins(settings, parts)}",
    ]
    return "\n".join(sections)


def _metadata(settings: Settings, parts: Parts) -> dict[str, Any]:
    """The block that model hubs read."""
    licences = sorted({str(about["licence"]) for about in parts.teachers.values()})
    one = len(licences) == 1 and licences[0] != "None"
    return {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": licences[0].lower() if one else "other",
        "base_model": [
            about["origin"].get("repo", name) for name, about in sorted(parts.teachers.items())
        ],
        "datasets": sorted(parts.descriptions),
        "tags": ["distillation", "lora"],
        "model-index": [
            {
                "name": settings.name,
                "results": [_result(name, settings, parts) for name in settings.include],
            }
        ],
    }


def _result(name: str, settings: Settings, parts: Parts) -> dict[str, Any]:
    verdict = parts.verdicts[name]
    dataset = settings.capabilities[name].dataset
    measured = {verdict["metric"]: verdict["student_score"], "retained": verdict["retained"]}
    return {
        "task": {"type": "text-generation", "name": name},
        "dataset": {"name": dataset, "type": dataset, "split": "eval"},
        "metrics": [
            {"type": kind, "value": value} for kind, value in measured.items() if value is not None
        ],
    }


def _scores(settings: Settings, parts: Parts) -> str:
    rows = [
        "| capability | metric | items | teacher | student | retained | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in settings.include:
        verdict = parts.verdicts[name]
        shown = f"{name} (isolated)" if name in settings.isolated else name
        rows.append(
            f"| {shown} | {verdict['metric']} | {verdict['items']} | "
            f"{_number(verdict['teacher_score'])} | {_number(verdict['student_score'])} | "
            f"{_number(verdict['retained'])} | {verdict['verdict']} |"
        )
    router = parts.verdicts["router"]
    rows += ["", f"{router['summary'][0].upper()}{router['summary'][1:].rstrip('.')}."]
    return "\n".join(rows)


def _number(value: float | None) -> str:
    """A score; a share of nothing is not a number."""
    return "" if value is None else f"{value:.4f}"


def _with_nexus(settings: Settings) -> str:
    name = _shown_capability(settings)
    flag = ", enable_uncensored=True" if name in settings.isolated else ""
    return (
        "from nexus import NexusModel\n\n"
        f'model = NexusModel.load("{settings.name}")\n'
        'model.generate(prompt="...")\n'
        f'model.generate(prompt="...", capability="{name}"{flag})\n'
    )


def _without_nexus(settings: Settings, parts: Parts) -> str:
    name = _shown_capability(settings)
    description = parts.descriptions[settings.capabilities[name].dataset]
    library = "" if settings.quantize == "none" else ", and bitsandbytes installed"
    code = OPENING.format(
        name=name,
        template=repr(description["template"]),
        longest=description["stop"]["max_new_tokens"],
        dequantize="" if settings.quantize == "none" else DEQUANTIZE,
    )
    return (
        f"## With transformers and PEFT alone{library}\n\n"
        f"In this folder:\n\n```python\n{code}```\n\n{ON_QUANTISATION[settings.quantize]}"
    )


def _shown_capability(settings: Settings) -> str:
    """The capability that the examples use: an open one, where there is one."""
    return min(settings.include, key=lambda name: (name in settings.isolated, name))


def _origins(settings: Settings, parts: Parts) -> str:
    rows = ["| teacher | architecture | parameters | licence |", "|---|---|---|---|"]
    rows += [
        f"| {name} | {about['architecture']} | {about['parameters']} | "
        f"{about['licence'] or 'not stated'} |"
        for name, about in sorted(parts.teachers.items())
    ]
    rows += ["", "| data set | licence | rows of training |", "|---|---|---|"]
    rows += [
        f"| {name} | {about['licence'] or 'not stated'} | {about['rows'].get('train', '')} |"
        for name, about in sorted(parts.descriptions.items())
    ]
    return "\n".join(rows) + "\n"
