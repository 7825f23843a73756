"""The runtime side by side with plain transformers and PEFT, on the same float32 weights.

    python benchmarks/runtime.py BUNDLE [--new-tokens 48] [--repeats 7] [--threads 1] [--answers 20]

One row with one adapter, and 16 rows of mixed capabilities, in turns: every repeat runs each way
once. How many times faster is said of the best of each way, and as the median over the repeats of
what the two took side by side. With one thread, seconds are those of the processor: waiting for
others is not counted, only that they take the caches. Every answer has the same number of tokens,
and must be the same tokens. Then, on prompts of every capability, whole answers with their ends;
the router's share of the first token; switching; opening.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from nexus import NexusModel
from nexus.decoding import Row, decode, left_padded
from nexus.packing import load_backbone
from nexus.prompt import render
from targets.commands.named_modules import named_sampler

Tokenized = list[list[int]]
ROWS = 16


def opened_with_peft(bundle: Path, names: Sequence[str]) -> Any:
    """The float32 model of transformers with every adapter of PEFT, none of them merged."""
    model: Any = load_backbone(bundle / "backbone")
    for name in names:
        files = (bundle / f"adapters/{name}_adapter.safetensors", f"adapters/{name}_adapter.json")
        config = LoraConfig(**json.loads((bundle / files[1]).read_text(encoding="utf-8")))
        if hasattr(model, "peft_config"):
            model.add_adapter(name, config)
        else:
            model = get_peft_model(model, config, adapter_name=name)
        set_peft_model_state_dict(model, load_file(files[0]), adapter_name=name)
    return model.eval()


def generated(
    model: Any, prompts: Tokenized, new: int, ends: Sequence[int] = (), **more: Any
) -> Tokenized:
    """`generate` of transformers: the new tokens of every prompt, up to its end if it has one."""
    model.generation_config.eos_token_id = list(ends) or None
    ids, mask = left_padded(prompts)
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
            **more,
        )
    rows = out[:, ids.shape[1] :].tolist()
    return [
        row[: next((place for place, token in enumerate(row) if token in ends), len(row))]
        for row in rows
    ]


def one_group_after_another(
    model: Any, prompts: Tokenized, names: Sequence[str], new: int, ends: Sequence[int] = ()
) -> Tokenized:
    """The rows of each adapter as a batch of their own."""
    answers: Tokenized = [[] for _ in prompts]
    for name in sorted(set(names)):
        model.set_adapter(name)
        places = [place for place, own in enumerate(names) if own == name]
        batch = generated(model, [prompts[place] for place in places], new, ends)
        for place, answer in zip(places, batch, strict=True):
            answers[place] = answer
    return answers


def drawn_prompts(model: NexusModel, name: str, count: int) -> list[str]:
    """Prompts of the sampler that the capability was made with; else words of the vocabulary."""
    about = model.manifest.capabilities[name]
    draw = random.Random(name)
    try:
        drawn = named_sampler(str(about.about.get("dataset")))
    except ValueError:
        words = [f"w{place}" for place in range(10, 1000)]
        return [" ".join(draw.choices(words, k=draw.randint(10, 30))) for _ in range(count)]
    return [render(about.template, drawn(draw).prompt) for _ in range(count)]


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes: of the processor where there is one thread, else by the clock."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begun = clock()
    work()
    return clock() - begun


def in_turns(repeats: int, ways: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """The seconds of every repeat of each way; a repeat runs each of them once."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            taken[name].append(seconds(way))
    return taken


def compare(title: str, tokens: int, repeats: int, ways: dict[str, Callable[[], Any]]) -> None:
    """Run the ways in turns; print the best of each and how the first compares with the others."""
    answers = {name: way() for name, way in ways.items()}
    taken = in_turns(repeats, ways)
    ours = next(iter(ways))
    print(f"\n{title}")
    for name, own in taken.items():
        same = "the same tokens" if answers[name] == answers[ours] else "OTHER TOKENS"
        speed = f"{tokens / min(own):9.1f} tokens/s"
        best = f"{min(own) / min(taken[ours]):5.2f} x"
        median = statistics.median(a / b for a, b in zip(own, taken[ours], strict=True))
        print(f"  {name:<42}{speed}   nexus is {best}, in the median {median:5.2f} x   {same}")


def compare_answers(ours: NexusModel, theirs: Any, prompts: dict[str, list[str]], new: int) -> None:
    """Whole answers to many prompts of each capability, one prompt at a time with PEFT."""
    ends = sorted(ours._ends)
    print("\nwhole answers, all in one mixed batch here, one after another with PEFT")
    for name, texts in prompts.items():
        theirs.set_adapter(name)
        ids = [ours._tokens.encode(text) for text in texts]
        mine = decode(ours._decoder, [Row(row, new, name) for row in ids], ends=ends)
        expected = [generated(theirs, [row], new, ends)[0] for row in ids]
        same = sum(map(list.__eq__, mine, expected))
        print(f"  {name:<12}{same} of {len(texts)} answers are the same tokens")


def measure_opening(bundle: Path, names: Sequence[str]) -> None:
    print("\nseconds to open")
    checked = min(seconds(lambda: NexusModel.load(bundle)) for _ in range(2))
    print(f"  nexus, digests compared    {checked:8.3f}")
    unchecked = min(seconds(lambda: NexusModel.load(bundle, check=False)) for _ in range(2))
    print(f"  nexus, digests trusted     {unchecked:8.3f}")
    print(f"  transformers, PEFT         {seconds(lambda: opened_with_peft(bundle, names)):8.3f}")


def measure_switching(bundle: Path, prompts: dict[str, list[str]]) -> None:
    """The first use of an adapter reads it; after that, what is another adapter's first token?"""
    model = NexusModel.load(bundle, check=False)
    a, b = list(prompts)[:2]
    text = prompts[a][0]
    for name in prompts:
        first = seconds(lambda name=name: model._adapter(model.permitted(name)))
        print(f"\nadapter {name}: {first * 1e3:.2f} ms to read it when it is first used", end="")

    def one(name: str) -> float:
        return seconds(lambda: model.generate(text, capability=name, max_new_tokens=1))

    one(a), one(b)
    stay, switch = [], []
    for _ in range(5):
        one(a)
        stay.append(one(a))
        switch.append(one(b))
    print(f"\nswitch: {(min(switch) - min(stay)) * 1e3:+.3f} ms on the first token:", end="")
    print(f" {min(stay) * 1e3:.2f} ms with the same adapter, {min(switch) * 1e3:.2f} with another")


def measure_router(bundle: Path, prompts: dict[str, list[str]]) -> None:
    """Twice: the router by itself, again and again, and what it adds to a first token.

    The second finds the router's code out of the processor's caches, where the model has been.
    """
    model = NexusModel.load(bundle, check=False)
    for name, texts in prompts.items():
        text = texts[0]
        model.generate(text, max_new_tokens=1)
        route = min(seconds(lambda text=text: model.route(text)) for _ in range(40))
        taken = in_turns(
            40,
            {
                "routed": lambda text=text: model.generate(text, max_new_tokens=1),
                "named": lambda text=text, name=name: model.generate(
                    text, capability=name, max_new_tokens=1
                ),
            },
        )
        first = min(taken["routed"])
        print(f"router, {name}: {route * 1e6:.0f} us of {first * 1e3:.2f} ms", end="")
        print(f" to the first token: {route / first:.1%};", end="")
        middle = statistics.median(taken["routed"])
        added = statistics.median(a - b for a, b in zip(*taken.values(), strict=True))
        print(f" it adds {added * 1e6:.0f} us to {middle * 1e3:.2f} ms: {added / middle:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--answers", type=int, default=20)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(given.threads)
    ours = NexusModel.load(given.bundle)
    names = [name for name in ours.capabilities if not ours.manifest.capabilities[name].isolated]
    for name in names:
        ours._adapter(ours.permitted(name))
    theirs = opened_with_peft(given.bundle, names)
    prompts = {name: drawn_prompts(ours, name, max(ROWS, given.answers)) for name in names}
    new = given.new_tokens

    name = names[-1]
    ids = [ours._tokens.encode(prompts[name][0])]
    theirs.set_adapter(name)
    compare(
        f"one row, adapter {name}",
        new,
        given.repeats,
        {
            "nexus": lambda: decode(ours._decoder, [Row(ids[0], new, name)], ends=()),
            "PEFT generate": lambda: generated(theirs, ids, new),
        },
    )
    mixed = [names[row % len(names)] for row in range(ROWS)]
    batch = [ours._tokens.encode(prompts[own][row]) for row, own in enumerate(mixed)]
    rows = [Row(row, new, own) for row, own in zip(batch, mixed, strict=True)]
    compare(
        f"{ROWS} rows, {len(names)} adapters mixed",
        new * ROWS,
        given.repeats,
        {
            "nexus": lambda: decode(ours._decoder, rows, ends=()),
            "PEFT generate with adapter_names": lambda: generated(
                theirs, batch, new, adapter_names=mixed
            ),
            "PEFT generate, one group after another": lambda: one_group_after_another(
                theirs, batch, mixed, new
            ),
        },
    )
    few = {name: texts[: given.answers] for name, texts in prompts.items()}
    if given.answers:
        compare_answers(ours, theirs, few, new)
    measure_router(given.bundle, prompts)
    measure_switching(given.bundle, prompts)
    measure_opening(given.bundle, names)


if __name__ == "__main__":
    main()
