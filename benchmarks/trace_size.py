"""What a trace takes on disk, next to the full logits in float16: bytes per answer token.

    python benchmarks/trace_size.py ROWS.jsonl --prompt KEY --response KEY
        [--rows 300] [--vocabularies 32000 150000]

Traces rows of a file with `trace`'s own code at the default `top_k`. The teacher's weights are
drawn at random, for what they are changes no size; its vocabulary is a byte-level BPE learned from
the whole file, and its head as wide as asked for. Everything that a trace writes counts, the rows'
text and the description too; then the same with the coefficients of every row's residual stream.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parents[1]))

from modalities.json_files import write_json, write_rows
from modalities.text.shards import traced_rows
from nexusbuild.plugins import Job
from specs.capabilities import Trace
from targets.profile.work import build as build_profile
from targets.tokenizer.training import trained_tokenizer
from targets.trace.work import build as build_trace

HIDDEN = 64
PROFILE = {
    "load": "fp32",
    "metric": "exact_match",
    "samples": 16,
    "pilot_samples": 4,
    "explained_variance": 0.97,
    "max_metric_fall": 0.01,
    "key_layer_drop": 0.1,
}


def rows_of(file: Path, prompt: str, response: str) -> list[dict[str, Any]]:
    """The rows of a file, as `dataset` writes them."""
    rows = []
    for one in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        answer = one[response]
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        key = hashlib.sha256(one[prompt].encode()).hexdigest()[:16]
        rows.append({"id": key, "prompt": one[prompt], "answer": text})
    return rows


def write_teacher(folder: Path, vocabulary: int, tokenizer: PreTrainedTokenizerFast) -> None:
    """A Llama of two blocks with a head of `vocabulary` rows, whatever the tokenizer knows."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def job_in(folder: Path, target: str, settings: dict[str, Any], **inputs: Path) -> Job:
    """A job as the engine hands it to work."""
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True)
    out, scratch = folder / "out", folder / "scratch"
    code = {"reading": "modalities.text.reading"}
    silent = lambda *_, **__: None  # noqa: E731
    return Job(target, settings, inputs, {}, out, scratch, 0, 1, silent, code=code)


def traced(folder: Path, teacher: Path, data: Path, coefficient_rows: int) -> Path:
    """The folder of a trace, with the coefficients of so many rows."""
    inputs = {"model": teacher, "description": data / "dataset.json"}
    if coefficient_rows:
        profile = job_in(
            folder / "profile", "profile:a/b", PROFILE, pilot=data / "train.jsonl", **inputs
        )
        build_profile(profile)
        inputs["profile"] = profile.out
    kept = Trace(coefficient_rows=coefficient_rows).model_dump(mode="json")
    settings = {"load": "fp32", "metric": None, **kept}
    job = job_in(folder / "trace", "trace:a/b", settings, train=data / "train.jsonl", **inputs)
    build_trace(job)
    return job.out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--response", required=True)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[32_000, 150_000])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = rows_of(arguments.file, arguments.prompt, arguments.response)
    texts = [text for row in rows for text in (row["prompt"], row["answer"])]
    tokenizer = trained_tokenizer(texts, "bpe", min(arguments.vocabularies))
    rows = rows[: arguments.rows]
    print(f"{len(rows)} rows; the BPE found {len(tokenizer):,} tokens; top_k {Trace().top_k}")
    for vocabulary in arguments.vocabularies:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            teacher, data = folder / "teacher", folder / "data"
            write_teacher(teacher, vocabulary, tokenizer)
            data.mkdir()
            write_rows(data / "train.jsonl", rows)
            stop = {"strings": [], "max_new_tokens": 16}
            write_json(data / "dataset.json", {"template": "{prompt}\n", "stop": stop})
            for coefficient_rows in (0, len(rows)):
                out = traced(folder / str(coefficient_rows), teacher, data, coefficient_rows)
                tokens = sum(len(row.answer_ids) for row in traced_rows(out))
                text = sum(file.stat().st_size for file in out.glob("*.json*"))
                size = sum(file.stat().st_size for file in out.iterdir())
                print(
                    f"vocabulary {vocabulary:,}, coefficients of {coefficient_rows} rows: "
                    f"{tokens:,} answer tokens, {size / tokens:.1f} bytes each "
                    f"({text / tokens:.1f} of them text); float16 logits {2 * vocabulary:,} bytes: "
                    f"1/{2 * vocabulary * tokens / size:.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
