"""Adapter training from a stored trace beside TRL's distillation with a live teacher.

    python benchmarks/against_trl.py [--steps 60] [--warmup 10] [--repeats 2] [--vocabulary 1024]

Needs TRL, in an environment of its own that sees the project's libraries (nothing is replaced):

    python -m venv --without-pip trl_venv
    python -c "import torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])" \\
        > $(echo trl_venv/lib/python3*/site-packages)/shared.pth
    python -m pip --python trl_venv/bin/python install --no-deps \\
        trl==1.16.0 datasets pandas pytz xxhash dill multiprocess
    trl_venv/bin/python benchmarks/against_trl.py

Both train the sample's student (Llama-like, width 128, 4 layers, int8 weights in float32) with
rank-32 LoRA on all linear layers and the embedding, and Nexus on the head too (TRL refuses one
there), on the same rows in the same batches of 16, in turns, on one thread.

Nexus: `adapter`'s own work, from a trace of `trace`'s own, with its optimiser, its checkpoints and
its looks at the held-out rows, as often as in the sample. TRL with a teacher (Llama-like, 160 x 3
unless said) that runs in every step, AdamW, no gradient checkpointing: `DistillationTrainer`, which
learns from answers that the student makes in every step, here as long as the data set's, and knows
no other way; and `GKDTrainer` with `lmbda=0`, its fastest way, which learns the data set's answers
as Nexus does, by the divergence over the whole vocabulary, in batches padded as ours. Set-up counts
on neither side; what the trace costs once is said next to it. Seconds are the processor's; tokens
are those of prompts and answers.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

sys.path.insert(0, str(Path(__file__).parents[1]))

from modalities.json_files import write_json, write_rows
from modalities.text.encoding import encode_rows
from modalities.text.families.llama import decoder_config
from modalities.text.fresh_decoder import Shape, Vocabulary, fresh_decoder
from modalities.text.sequences import batch_rows, tokens_of_steps
from nexus.packing import load_backbone
from nexusbuild.plugins import Job
from samplers import tool_calls
from specs.capabilities import Trace
from specs.student import Training
from targets.adapter.low_rank import embedding_name, fresh_low_rank, linear_names, peft_config
from targets.adapter.work import build as build_adapter
from targets.pack.work import build_backbone
from targets.tokenizer.training import trained_tokenizer
from targets.trace.work import build as build_trace

TEMPLATE = "{prompt}\n"
STUDENT = Shape(128, 4, 4, 384)
RANK, BATCH, SEED = 32, 16, 0
# As many rows as steps lie between two looks at them, as in the sample.
VALIDATION = 30
# As in the sample: of how many steps of how many rows the trace is made of once.
SAMPLE_STEPS, SAMPLE_ROWS = 700, 7560
OFF_POLICY, ON_POLICY = "TRL's GKDTrainer, off-policy", "TRL's DistillationTrainer"


def sampled(count: int) -> list[dict[str, Any]]:
    """Rows of the sample's tool calls, each prompt once."""
    draw = random.Random(SEED)
    rows: dict[str, dict[str, Any]] = {}
    while len(rows) < count:
        row = tool_calls.draw(draw)
        key = hashlib.sha256(row.prompt.encode()).hexdigest()[:16]
        rows[key] = {"id": key, "prompt": row.prompt, "answer": row.answer}
    return [rows[key] for key in sorted(rows)]  # the order in which training has them


class Side:
    """Marks of the processor's clock after every step."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self, *_: Any, **__: Any) -> None:
        self.marks.append(time.process_time())

    def seconds(self, warmup: int) -> float:
        """From the end of the last warm-up step to the end of the last."""
        return self.marks[-1] - self.marks[warmup - 1]


class Bench:
    """Models, rows and a trace in a folder, made once; either side trains on them from scratch."""

    def __init__(self, folder: Path, vocabulary: int, steps: int, teacher: Shape) -> None:
        self.folder, self.steps, self.jobs = folder, steps, 0
        rows = sampled(steps * BATCH + VALIDATION)
        rows, held_out = rows[VALIDATION:], rows[:VALIDATION]
        texts = [text for row in rows for text in (row["prompt"], row["answer"])]
        self.tokenizer = trained_tokenizer(texts, "bpe", vocabulary)
        self.ends = {
            "eos_token_id": self.tokenizer.eos_token_id,
            "pad_token_id": self.tokenizer.pad_token_id,
        }
        self.tokenizer.save_pretrained(folder / "tokenizer")
        for name, shape in (("teacher", teacher), ("student", STUDENT)):
            config = decoder_config(shape, Vocabulary.of(self.tokenizer))
            model = fresh_decoder(config, SEED)
            model.generation_config = GenerationConfig(**self.ends)
            model.save_pretrained(folder / name)
            self.tokenizer.save_pretrained(folder / name)
        write_rows(folder / "train.jsonl", rows)
        write_rows(folder / "validation.jsonl", held_out)
        write_rows(folder / "baseline.jsonl", held_out)
        stop = {"strings": [], "max_new_tokens": 1}
        write_json(folder / "dataset.json", {"template": TEMPLATE, "stop": stop})
        write_json(folder / "adapter.json", {"rank": RANK, "ranks": {}})
        packed = self.job("pack:backbone", {"quantize": "int8"}, backbone=folder / "student")
        build_backbone(packed)
        self.backbone = packed.out
        pairs = [(row["prompt"], row["answer"]) for row in rows]
        self.encoded = encode_rows(self.tokenizer, TEMPLATE, pairs)
        self.lengths = [len(row.prompt_ids) + len(row.answer_ids) for row in self.encoded]

    def plan(self, seed: int) -> list[list[int]]:
        """The rows of every step, as `adapter` draws them."""
        return batch_rows(self.lengths, BATCH, self.steps, seed)

    def job(self, target: str, settings: dict[str, Any], **inputs: Any) -> Job:
        """A job as the engine hands it to work."""
        self.jobs += 1
        folder = self.folder / f"job-{self.jobs}"
        for name in ("out", "scratch"):
            (folder / name).mkdir(parents=True)
        named = {**inputs.pop("named", {}), **inputs}
        progress = named.pop("progress", lambda *_, **__: None)
        out, scratch = folder / "out", folder / "scratch"
        return Job(target, settings, named, {}, out, scratch, SEED, 1, progress)

    def traced(self) -> float:
        """Trace the rows; seconds that it took, opening the teacher included."""
        settings = {"load": "fp32", "metric": None, **Trace().model_dump(mode="json")}
        job = self.job(
            "trace:a/b",
            settings,
            model=self.folder / "teacher",
            train=self.folder / "train.jsonl",
            description=self.folder / "dataset.json",
        )
        before = time.process_time()
        build_trace(job)
        self.trace = job.out
        return time.process_time() - before

    def nexus(self) -> Side:
        """`adapter`'s work on the trace."""
        side = Side()
        training = Training(
            rank=RANK, steps=self.steps, batch=BATCH, validate_every=VALIDATION, retries=0
        )
        settings = {"metric": "exact_match", **training.model_dump(mode="json")}
        folder = self.folder
        job = self.job(
            "adapter:b",
            settings,
            backbone=self.backbone,
            tokenizer=folder / "tokenizer",
            architecture=folder / "adapter.json",
            validation=folder / "validation.jsonl",
            description=folder / "dataset.json",
            named={
                "trace/a": self.trace,
                "tokenizer/a": folder / "tokenizer",
                "baseline/a": folder / "baseline.jsonl",
            },
            progress=side.mark,
        )
        build_adapter(job)
        return side

    def trl_settings(self) -> dict[str, Any]:
        """What both trainers of TRL are told."""
        return {
            "output_dir": str(self.folder / "trl"),
            "beta": 0.0,
            "max_steps": self.steps,
            "per_device_train_batch_size": BATCH,
            "learning_rate": 1e-3,
            "gradient_checkpointing": False,
            "bf16": False,
            "use_cpu": True,
            "report_to": "none",
            "save_strategy": "no",
            "logging_strategy": "no",
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }

    def trl_parts(self, side: Side) -> dict[str, Any]:
        """Student, teacher, LoRA and clock of a trainer of TRL."""
        from peft import LoraConfig
        from transformers import AutoModelForCausalLM, TrainerCallback

        class Marks(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                side.mark()

        student = load_backbone(self.backbone)
        # TRL takes no adapter on the head: one matrix less to train.
        names = [*linear_names(student), embedding_name(student)]
        names.remove("lm_head.weight")
        lora = peft_config(fresh_low_rank(student, dict.fromkeys(names, RANK), SEED))
        return {
            "model": student,
            "teacher_model": AutoModelForCausalLM.from_pretrained(
                self.folder / "teacher", trust_remote_code=False
            ),
            "processing_class": self.tokenizer,
            "peft_config": LoraConfig(**lora),
            "callbacks": [Marks()],
        }

    def off_policy(self) -> Side:
        """TRL's `GKDTrainer` on the same batches."""
        from datasets import Dataset
        from trl.experimental.gkd import GKDConfig, GKDTrainer

        side = Side()
        order = [row for rows in self.plan(SEED) for row in rows]
        trainer = GKDTrainer(
            args=GKDConfig(lmbda=0.0, train_sampling_strategy="sequential", **self.trl_settings()),
            data_collator=self.padded,
            train_dataset=Dataset.from_dict({"row": order}),
            **self.trl_parts(side),
        )
        trainer.train()
        return side

    def on_policy(self) -> Side:
        """TRL's `DistillationTrainer` on the prompts of the same batches."""
        from datasets import Dataset
        from trl import DistillationConfig, DistillationTrainer

        side = Side()
        order = [row for rows in self.plan(SEED) for row in rows]
        prompts = [self.tokenizer.decode(self.encoded[row].prompt_ids) for row in order]
        answers = sum(len(self.encoded[row].answer_ids) for row in order)
        length = round(answers / len(order))
        trainer = DistillationTrainer(
            args=DistillationConfig(
                max_completion_length=length,
                generation_kwargs={"min_new_tokens": length},
                shuffle_dataset=False,
                **self.trl_settings(),
            ),
            train_dataset=Dataset.from_dict({"prompt": prompts}),
            **self.trl_parts(side),
        )
        trainer.train()
        return side

    def padded(self, items: Sequence[dict[str, int]]) -> dict[str, torch.Tensor]:
        """A batch as TRL wants it: labels are -100 where nothing is learned."""
        rows = [self.encoded[item["row"]] for item in items]
        longest = max(self.lengths[item["row"]] for item in items)
        shape = (len(rows), longest)
        ids = torch.full(shape, int(self.ends["pad_token_id"]))
        mask, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
        for line, row in enumerate(rows):
            whole = torch.tensor([*row.prompt_ids, *row.answer_ids])
            ids[line, : len(whole)], mask[line, : len(whole)] = whole, 1
            labels[line, len(row.prompt_ids) : len(whole)] = whole[len(row.prompt_ids) :]
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--teacher", default="160x3", metavar="WIDTHxLAYERS")
    parser.add_argument("--without-on-policy", action="store_true", help="it takes the longest")
    arguments = parser.parse_args()
    if importlib.util.find_spec("trl") is None:
        sys.exit(f"TRL is not installed here. {__doc__}")
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    width, layers = map(int, arguments.teacher.split("x"))
    teacher = Shape(width, layers, 5, width * 12 // 5)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments.vocabulary, arguments.steps, teacher)
        once = bench.traced()
        sides = {"Nexus": bench.nexus, OFF_POLICY: bench.off_policy, ON_POLICY: bench.on_policy}
        if arguments.without_on_policy:
            del sides[ON_POLICY]
        best: dict[str, float] = {}
        for _ in range(arguments.repeats):
            for name, side in sides.items():
                marks = side()
                assert len(marks.marks) == arguments.steps, "a mark a step"
                best[name] = min(best.get(name, 1e9), marks.seconds(arguments.warmup))
        tokens = tokens_of_steps(bench.lengths, bench.plan(SEED))
        counted = sum(tokens[arguments.warmup :])
        rows = len(bench.encoded)
    steps = arguments.steps - arguments.warmup
    trace = once / rows * SAMPLE_ROWS
    whole = {side: seconds / steps * SAMPLE_STEPS for side, seconds in best.items()}
    print(f"{counted / steps:.0f} tokens a step; a trace of {SAMPLE_ROWS} rows: {trace:.0f} s")
    print("| side | tokens/s | ms a step | Nexus is faster | with the trace |")
    print("|---|---|---|---|---|")
    for side, seconds in best.items():
        print(
            f"| {side} | {counted / seconds:,.0f} | {seconds / steps * 1e3:.0f} "
            f"| {seconds / best['Nexus']:.2f} | {whole[side] / (whole['Nexus'] + trace):.2f} |"
        )


if __name__ == "__main__":
    main()
