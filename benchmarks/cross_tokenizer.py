"""What a teacher's tokenizer costs its student: every pair of BPE and bytes, built and gated.

    python benchmarks/cross_tokenizer.py FOLDER [--seed 42] [--steps 1000] [--pairs bpe/bytes ...]

Writes one spec per pair `teacher/student` below FOLDER, builds each with `nexusbuild` (one store,
so that a teacher is made once) and prints what the gates measured on 1,000 held-out rows. The
rows are numbers to be written in words: `4,709` becomes `four thousand seven hundred nine`, a
handful of BPE tokens or some forty bytes. Nothing but the two tokenizers differs between pairs;
the student learns the teacher's own answers and distributions, so that all it knows of the task
has come across. What is built already is not built again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from samplers.parts.spoken_values import words

ROOT = Path(__file__).parents[1]
KINDS = ("bpe", "bytes")
ROWS = 7000
SMALL = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")

SPEC = """\
nexus: 1
name: {name}
seed: {seed}
hardware: {{device: cpu, ram: 4GB, threads: 1}}
datasets:
  numbers: {{path: ../rows.jsonl, prompt: figure, response: words, licence: CC0-1.0,
            eval: 1000, validation: 200, pilot: 240}}
teachers:
  - id: counter
    source:
      train: {{family: llama, hidden: 128, layers: 3, heads: 4, intermediate: 320, steps: 900,
              batch: 16, learning_rate: 0.02, tokenizer: {{kind: {teacher}, vocab: 400}}}}
    licence: CC0-1.0
    capabilities: [spelling]
capabilities:
  spelling: {{dataset: numbers, metric: exact_match, trace: {{answers: teacher}},
             profile: {{samples: 40, pilot_samples: 8, explained_variance: 0.97}}}}
contracts:
  spelling: {{retain_fraction: 0.97}}
  router: {{metric: accuracy, at_least: 0.95}}
licences: {{allow: [CC0-1.0]}}
student:
  tokenizer: {{kind: {student}, vocab: 400}}
  backbone: {{init: scratch, family: llama, hidden: 96, layers: 4, heads: 4, intermediate: 256,
             steps: 300, batch: 16, learning_rate: 0.02, kl_weight: 0.5}}
  training: {{rank: 32, steps: {steps}, batch: 16, learning_rate: 0.01, kl_weight: 0.5, retries: 0}}
bundle: {{include: [spelling], quantize: int8}}
"""


def in_words(number: int) -> str:
    """An English number from 0 to 99,999."""
    if number < 20:
        return SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    many, rest = divmod(number, size)
    return f"{in_words(many)} {name}" + (f" {in_words(rest)}" if rest else "")


def write_rows(file: Path, seed: int) -> None:
    """Distinct numbers, as many with one digit as with the next where there are as many."""
    draw = random.Random(seed)
    numbers: set[int] = set()
    while len(numbers) < ROWS:
        numbers.add(draw.randrange(10 ** draw.randint(4, 5)))
    rows = ({"figure": f"{n:,}", "words": in_words(n)} for n in sorted(numbers))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def built(folder: Path, teacher: str, student: str, seed: int, steps: int) -> Path:
    """The folder in which a pair was built."""
    own = folder / f"{teacher}_to_{student}"
    own.mkdir(exist_ok=True)
    spec = SPEC.format(name=own.name, teacher=teacher, student=student, seed=seed, steps=steps)
    (own / "nexus.yaml").write_text(spec, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "nexusbuild", "--store", str(folder / "store"), "-j", "1"],
        cwd=own,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=sys.stderr,
        check=False,  # a contract that is missed ends with 3, and is a result
    )
    return own


def measured(own: Path) -> dict[str, Any]:
    """The verdict of a pair's gate, and the share of the student's tokens that were aligned."""
    verdict = json.loads((own / "build/gate/spelling/verdict.json").read_text(encoding="utf-8"))
    log = (own / "build/adapter/spelling/training_log.jsonl").read_text(encoding="utf-8")
    return verdict | {"aligned": json.loads(log.splitlines()[0])["aligned"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=1000, help="of the adapter")
    every = [f"{teacher}/{student}" for student in KINDS[::-1] for teacher in KINDS]
    parser.add_argument("--pairs", nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.jsonl", arguments.seed)
    print("| teacher | student | teacher's score | student's | retained | 95 % | aligned |")
    print("|---|---|---|---|---|---|---|")
    for pair in arguments.pairs:
        teacher, student = pair.split("/")
        own = built(folder, teacher, student, arguments.seed, arguments.steps)
        found = measured(own)
        low, high = found["interval"]
        print(
            f"| {teacher} | {student} | {found['teacher_score']:.3f} "
            f"| {found['student_score']:.3f} | {found['retained']:.3f} "
            f"| {low:.3f} .. {high:.3f} | {found['aligned']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
