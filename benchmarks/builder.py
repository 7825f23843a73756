"""What it costs to find out that there is nothing to do: nexusbuild next to its neighbours.

    python benchmarks/builder.py [--targets 100 1000 10000] [--rounds 9] [--tools FOLDER]

Every tool has the same graph: ten layers, a tenth of the targets reads one source file each, every
other target the two above it. Each is built once for real and then asked for a build that has
nothing to do, and for a dry run. The commands take turns, so that all meet the same weather; of
each, the least of all rounds counts, in seconds on the clock and in seconds of processor time.
Then sha256 of a large file next to sha256sum. Ends with 1 where a promise is not kept.

--tools: a folder with the programs of other tools (make, ninja, doit, snakemake, dvc), looked in
before PATH. A tool that is not there, or takes longer than --patience seconds for one command, is
left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cheap_targets import LAYERS

from nexusbuild.digest.digests import FileDigests, hash_file
from nexusbuild.digest.statcache import StatCache

ROOT = Path(__file__).resolve().parents[1]
BASELINE = "python -c pass"
# What the builder promises at 1,000 targets, as multiples of the baseline.
PROMISED_AT = 1000
PROMISED = {"nexusbuild, dry run": 5.0, "nexusbuild, no-op": 12.0}
PROMISED_HASHING = 0.5  # of sha256sum's throughput
# Costs may grow this much faster than the number of targets before it counts as faster than linear.
SLACK = 1.15


@dataclass(frozen=True)
class Tool:
    """write: lays out a project of so many layers x width; commands: what is measured."""

    name: str
    program: str
    write: Callable[[Path, int], None]
    build: Sequence[str]
    commands: Mapping[str, Sequence[str]]
    largest: int = 10_000


@dataclass
class Cost:
    """The least of all rounds, and what all rounds took together."""

    wall: float = float("inf")
    processor: float = float("inf")
    spent: float = 0.0
    rounds: int = 0


def above(layer: int, place: int, width: int) -> list[str]:
    """The files that a target reads."""
    if layer == 0:
        return [f"in/{place}.txt"]
    return [f"out/{layer - 1}_{each}.txt" for each in sorted({place, (place + 1) % width})]


def write_sources(folder: Path, width: int) -> None:
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    for place in range(width):
        (folder / "in" / f"{place}.txt").write_text(f"text {place}\n")


def places(width: int) -> list[tuple[int, int]]:
    """(layer, place) of every target."""
    return [(layer, place) for layer in range(LAYERS) for place in range(width)]


def write_nexus(folder: Path, width: int) -> None:
    (folder / "nexus.yaml").write_text(f'{{"targets": {LAYERS * width}, "seed": 1}}\n')


def write_makefile(folder: Path, width: int) -> None:
    goals = " ".join(f"out/{LAYERS - 1}_{place}.txt" for place in range(width))
    rules = [
        f"out/{layer}_{place}.txt: {' '.join(above(layer, place, width))}\n"
        "\t@cat $^ | cut -c1-80 > $@"
        for layer, place in places(width)
    ]
    (folder / "Makefile").write_text("\n".join([f"all: {goals}", *rules]) + "\n")


def write_ninja(folder: Path, width: int) -> None:
    edges = [
        f"build out/{layer}_{place}.txt: join {' '.join(above(layer, place, width))}"
        for layer, place in places(width)
    ]
    rule = "rule join\n  command = cat $in | cut -c1-80 > $out"
    (folder / "build.ninja").write_text("\n".join([rule, *edges]) + "\n")


def write_doit(folder: Path, width: int) -> None:
    (folder / "dodo.py").write_text(
        f"""
DOIT_CONFIG = {{"verbosity": 0}}

def join(targets, dependencies):
    with open(targets[0], "w") as out:
        for path in sorted(dependencies):
            with open(path) as file:
                out.write(file.read()[:80])

def task_join():
    for layer in range({LAYERS}):
        for place in range({width}):
            above = [f"in/{{place}}.txt"]
            if layer:
                beside = {{place, (place + 1) % {width}}}
                above = [f"out/{{layer - 1}}_{{each}}.txt" for each in beside]
            target = f"out/{{layer}}_{{place}}.txt"
            yield {{"name": target, "targets": [target], "file_dep": above, "actions": [join]}}
"""
    )


def write_snakemake(folder: Path, width: int) -> None:
    (folder / "Snakefile").write_text(
        f"""
def above(wildcards):
    layer, place = int(wildcards.layer), int(wildcards.place)
    if layer == 0:
        return [f"in/{{place}}.txt"]
    return [f"out/{{layer - 1}}_{{each}}.txt" for each in {{place, (place + 1) % {width}}}]

rule all:
    input: [f"out/{LAYERS - 1}_{{place}}.txt" for place in range({width})]

rule join:
    input: above
    output: "out/{{layer}}_{{place}}.txt"
    shell: "cat {{input}} | cut -c1-80 > {{output}}"
"""
    )


def write_dvc(folder: Path, width: int) -> None:
    stages = ["stages:"]
    for layer, place in places(width):
        reads = above(layer, place, width)
        target = f"out/{layer}_{place}.txt"
        stages.append(f"  join{layer}_{place}:\n    cmd: cat {' '.join(reads)} > {target}")
        stages.append(f"    deps: [{', '.join(reads)}]\n    outs: [{target}]")
    (folder / "dvc.yaml").write_text("\n".join(stages) + "\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc = shutil.which("dvc")
    assert dvc is not None
    subprocess.run([dvc, "init", "-q"], cwd=folder, check=True)


TOOLS = [
    Tool(
        "nexusbuild",
        "nexusbuild",
        write_nexus,
        [sys.executable, str(ROOT / "benchmarks" / "build_in_process.py")],
        {"dry run": ["nexusbuild", "--dry-run"], "no-op": ["nexusbuild"]},
    ),
    Tool(
        "make",
        "make",
        write_makefile,
        ["make", "-s"],
        {"dry run": ["make", "-n"], "no-op": ["make", "-s"]},
    ),
    Tool(
        "ninja",
        "ninja",
        write_ninja,
        ["ninja", "--quiet"],
        {"dry run": ["ninja", "-n"], "no-op": ["ninja", "--quiet"]},
    ),
    Tool(
        "doit",
        "doit",
        write_doit,
        ["doit"],
        {"dry run": ["doit", "list", "--all", "--status", "-q"], "no-op": ["doit"]},
    ),
    Tool(
        "snakemake",
        "snakemake",
        write_snakemake,
        ["snakemake", "-q", "all", "-c2"],
        {
            "dry run": ["snakemake", "-q", "all", "-n"],
            "no-op": ["snakemake", "-q", "all", "-c2"],
        },
        largest=1000,
    ),
    Tool(
        "DVC",
        "dvc",
        write_dvc,
        ["dvc", "repro", "-q"],
        {"dry run": ["dvc", "repro", "--dry"], "no-op": ["dvc", "repro", "-q"]},
        largest=100,
    ),
]


def run(command: Sequence[str], folder: Path, limit: float) -> tuple[float, float]:
    """Seconds on the clock and of processor time. TimeoutError, RuntimeError where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    watch = threading.Timer(limit, process.kill)
    watch.start()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    in_time = watch.is_alive()
    watch.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not in_time:
        raise TimeoutError(f"longer than {limit:.0f} s")
    if process.returncode:
        raise RuntimeError(f"ended with {process.returncode}")
    return took, usage.ru_utime + usage.ru_stime


def prepared(size: int, home: Path, patience: float) -> dict[str, tuple[Sequence[str], Path]]:
    """command's name -> (command, its folder), for each tool that is here and was built in time."""
    found: dict[str, tuple[Sequence[str], Path]] = {
        BASELINE: ([sys.executable, "-c", "pass"], home)
    }
    for tool in TOOLS:
        if shutil.which(tool.program) is None or size > tool.largest:
            continue
        folder = home / f"{tool.program}{size}"
        write_sources(folder, size // LAYERS)
        tool.write(folder, size // LAYERS)
        try:
            seconds, _ = run(tool.build, folder, patience)
            print(f"  {tool.name} built {size} targets in {seconds:.1f} s", file=sys.stderr)
            for what, command in tool.commands.items():
                run(command, folder, patience)  # the first time is for caches
                found[f"{tool.name}, {what}"] = (command, folder)
        except (TimeoutError, RuntimeError) as error:
            print(f"  {tool.name} is left out at {size}: {error}", file=sys.stderr)
    return found


def measured(
    commands: Mapping[str, tuple[Sequence[str], Path]], rounds: int, patience: float
) -> dict[str, Cost]:
    """What each command costs; one that is slow has fewer rounds, but two at least."""
    costs = {name: Cost() for name in commands}
    for _ in range(rounds):
        for name, (command, folder) in commands.items():
            cost = costs[name]
            if cost.rounds >= 2 and cost.spent > patience / 10:
                continue
            wall, processor = run(command, folder, patience)
            cost.wall, cost.processor = min(cost.wall, wall), min(cost.processor, processor)
            cost.spent, cost.rounds = cost.spent + wall, cost.rounds + 1
    return costs


def show(costs: Mapping[int, Mapping[str, Cost]]) -> None:
    """A table: a row per command, per size its milliseconds and how many baselines that is."""
    names = list(dict.fromkeys(name for each in costs.values() for name in each))
    print("| | " + " | ".join(f"{size:,} targets" for size in costs) + " |")
    print("|---" * (len(costs) + 1) + "|")
    for name in names:
        cells = []
        for each in costs.values():
            cost, base = each.get(name), each[BASELINE]
            cells.append(
                "–"
                if cost is None
                else f"{cost.wall * 1000:.0f} ms, {cost.processor * 1000:.0f} ms "
                f"({cost.processor / base.processor:.1f} x)"
            )
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("Each cell: clock, processor time (as multiples of the first row's).")


def broken_promises(costs: Mapping[int, Mapping[str, Cost]]) -> list[str]:
    """What is dearer than the builder promises, by processor time."""
    found = []
    for name, limit in PROMISED.items():
        if PROMISED_AT in costs:
            base = costs[PROMISED_AT][BASELINE].processor
            times = costs[PROMISED_AT][name].processor / base
            if times > limit:
                found.append(f"{name} costs {times:.1f} x {BASELINE}, promised {limit:.0f}")
        sizes = sorted(costs)
        for small, large in pairwise(sizes):
            growth = costs[large][name].processor / costs[small][name].processor
            if growth > large / small * SLACK:
                found.append(f"{name} grows {growth:.1f} fold from {small} to {large} targets")
    return found


def hashing(home: Path, rounds: int) -> list[str]:
    """Prints sha256 throughput per core next to sha256sum's; what is slower than promised."""
    file = home / "large"
    block = os.urandom(1 << 20)
    with file.open("wb") as out:
        for _ in range(256):
            out.write(block)
    digests = FileDigests(StatCache(None))
    time.sleep(0.2)  # what was written just now is not taken for settled
    ours, theirs, cached = float("inf"), float("inf"), float("inf")
    for _ in range(rounds):
        began = time.process_time()
        hash_file(file)
        ours = min(ours, time.process_time() - began)
        theirs = min(theirs, run(["sha256sum", str(file)], home, 60)[1])
        digests.of_sources([str(file)])
        began = time.perf_counter()
        digests.of_sources([str(file)])
        cached = min(cached, time.perf_counter() - began)
    print(
        f"\nsha256, MB per second of one core: {256 / ours:.0f}; sha256sum: {256 / theirs:.0f} "
        f"({theirs / ours:.2f} of it). Cached: {cached * 1e6:.0f} microseconds per file."
    )
    slow = theirs / ours < PROMISED_HASHING
    return [f"hashing has {theirs / ours:.2f} of sha256sum's throughput"] if slow else []


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tools", type=Path)
    parser.add_argument("--patience", type=float, default=600.0)
    given = parser.parse_args()
    programs = [str(Path(sys.executable).parent), os.environ["PATH"]]
    if given.tools is not None:
        programs.insert(1, str(given.tools.resolve()))
    os.environ |= {
        "PATH": os.pathsep.join(programs),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")]),
        "NEXUSBUILD_RESOLVER": "cheap_targets:resolve",
    }
    # As installed: byte code is kept, output is buffered.
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        os.environ.pop(name, None)
    costs = {}
    with tempfile.TemporaryDirectory(prefix="nexus-benchmark-") as folder:
        for size in given.targets:
            commands = prepared(size, Path(folder), given.patience)
            costs[size] = measured(commands, given.rounds, given.patience)
        show(costs)
        broken = [*broken_promises(costs), *hashing(Path(folder), given.rounds)]
    for each in broken:
        print(f"broken promise: {each}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
