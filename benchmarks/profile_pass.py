"""What a profile's pass over its text costs next to the bare forward pass over the same tokens.

    python benchmarks/profile_pass.py [--repeats 3] [MODEL FOLDER ...]

Bare: the blocks alone, no logits. PCA: with the moments of four key layers. Whole: with statistics
of all neurons and heads too, as the profile runs it. Without folders: random weights in the shapes
of the sample's teachers, and one of real width. CPU seconds on one thread, the least of repeats
that take turns.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import PreTrainedModel

sys.path.insert(0, str(Path(__file__).parents[1]))

from modalities.text.encoding import Encoded
from modalities.text.pilot_batches import batches
from opened_models.structure import find_structure
from opened_models.surgery import run_blocks
from targets.profile.checkpoints import Checkpoints
from targets.profile.settings import Settings
from targets.profile.spectral_analysis import TextSums, map_text, read_streams

SIZES = {"hidden_size": 160, "num_hidden_layers": 3, "num_attention_heads": 5, "vocab_size": 768}
SHAPES = {
    "scholar's, Llama 160 x 3": ("llama", {**SIZES, "intermediate_size": 384}),
    "operator's, GPT-2 160 x 3": (
        "gpt2",
        {"n_embd": 160, "n_layer": 3, "n_head": 5, "n_inner": 512, "vocab_size": 896},
    ),
    "coder's, Qwen3 192 x 3": (
        "qwen3",
        {
            **SIZES,
            "hidden_size": 192,
            "num_attention_heads": 6,
            "num_key_value_heads": 6,
            "head_dim": 32,
            "intermediate_size": 384,
        },
    ),
    "Llama 1024 x 8": (
        "llama",
        {
            "hidden_size": 1024,
            "num_hidden_layers": 8,
            "num_attention_heads": 16,
            "intermediate_size": 2816,
            "vocab_size": 4096,
        },
    ),
}
SETTINGS = Settings("fp32", "exact_match", 200, 20, 0.97, 0.01, 0.1)


def models(folders: list[str]) -> dict[str, Callable[[], PreTrainedModel]]:
    """A way to open each model, by its name."""
    if folders:
        return {
            name: lambda name=name: AutoModelForCausalLM.from_pretrained(
                name, trust_remote_code=False
            )
            for name in folders
        }
    return {
        name: lambda kind=kind, sizes=sizes: AutoModelForCausalLM.from_config(
            AutoConfig.for_model(kind, **sizes), trust_remote_code=False
        )
        for name, (kind, sizes) in SHAPES.items()
    }


def measure(model: PreTrainedModel, tokens: int, repeats: int) -> dict[str, float]:
    """Least CPU seconds of each kind of pass."""
    model = model.eval().requires_grad_(False)
    structure = find_structure(model)
    draw = random.Random(0)
    vocabulary = int(model.config.vocab_size)
    rows = []
    while sum(len(row.prompt_ids) + len(row.answer_ids) for row in rows) < tokens:
        ids = [draw.randrange(5, vocabulary) for _ in range(draw.randint(60, 120))]
        rows.append(Encoded(ids[:40], ids[40:]))
    text = list(batches(rows, SETTINGS.batch_tokens, structure))
    layers = list(range(len(structure.blocks)))[-4:]

    def bare() -> None:
        for batch in text:
            run_blocks(structure, batch)

    def pca() -> None:
        sums = TextSums(structure, layers, SETTINGS.sink_ratio)
        for batch in text:
            read_streams(structure, batch, sums.moments, sums.sinks, SETTINGS.prompt_weight)

    def whole() -> None:
        with tempfile.TemporaryDirectory() as folder:
            kept = Checkpoints(Path(folder), ())
            map_text(structure, text, layers, SETTINGS, kept, lambda share: None)

    least: dict[str, float] = {}
    with torch.inference_mode():
        for _ in range(repeats):
            for work in (bare, pca, whole):
                start = time.process_time()
                work()
                seconds = time.process_time() - start
                least[work.__name__] = min(seconds, least.get(work.__name__, seconds))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", metavar="MODEL FOLDER")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16384)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for name, opened in models(given.folders).items():
            found = measure(opened(), given.tokens, given.repeats)
            print(
                f"{name:>26}: bare {found['bare']:6.2f} CPU-s, with the PCA "
                f"{found['pca'] / found['bare']:.2f} x, the whole pass "
                f"{found['whole'] / found['bare']:.2f} x"
            )


if __name__ == "__main__":
    main()
