"""What a scorer must not be able to do, tried for real: outside, where it works, and inside.

Only what succeeded outside and failed inside counts as refused.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

READER = "import sys; open(sys.argv[1], 'rb').read()"
SAFETENSORS_READER = """
import sys
sys.path[:] = sys.argv[2:]
from safetensors import safe_open
with safe_open(sys.argv[1], framework="np") as tensors:
    tensors.keys()
"""
# To start an interpreter on a machine that is busy with everything else takes long.
SECONDS = 300.0


@dataclass(frozen=True)
class Attempt:
    """One thing to try. `run` raises where it is refused."""

    what: str
    run: Callable[[], object]


@contextmanager
def attempts(folder: Path, bystander: Path | None) -> Iterator[list[Attempt]]:
    """Attempts on bait laid out in `folder` and on a listener; `bystander` is a file of the store
    that is none of the scorer's inputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "bait.txt"
    text.write_text("bait", encoding="utf-8")
    weights = folder / "bait.safetensors"
    save_file({"weight": torch.ones(2, 2)}, weights)
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        address = listener.getsockname()
        tries = [
            Attempt("open a file outside", lambda: text.read_bytes()),
            Attempt("open weights outside with safetensors", lambda: _keys(weights)),
            Attempt("list a folder outside", lambda: list(folder.iterdir())),
            Attempt("write a file outside", lambda: (folder / "new.txt").write_text("x")),
            Attempt("read a file outside in a subprocess", lambda: _read_elsewhere(text)),
            Attempt(
                "open weights outside with safetensors in a subprocess",
                lambda: _read_elsewhere(weights, SAFETENSORS_READER, *map(str, sys.path)),
            ),
            Attempt("connect to a socket", lambda: _connect(address)),
            Attempt("send a datagram", lambda: _send(address)),
            *_attempts_on_the_hubs_cache(),
        ]
        if bystander is not None:
            other = bystander
            tries.append(
                Attempt("open another target's file in the store", lambda: _first_byte(other))
            )
        yield tries


def check_outside(tries: list[Attempt]) -> None:
    """Every attempt works without confinement; else its failure inside would prove nothing."""
    for attempt in tries:
        try:
            attempt.run()
        except Exception as error:
            raise RuntimeError(
                f"cannot try the scorer's confinement: to {attempt.what} fails even outside "
                f"({error}). Free the loopback interface and the store for this process"
            ) from error


def check_inside(tries: list[Attempt]) -> list[dict[str, object]]:
    """Try everything under confinement. Raises RuntimeError where anything still works."""
    tried: list[dict[str, object]] = []
    for attempt in tries:
        try:
            attempt.run()
        except Exception as error:
            tried.append({"what": attempt.what, "refused": True, "with": type(error).__name__})
        else:
            raise RuntimeError(
                f"the scorer's confinement leaks: it could {attempt.what}. Nothing was scored; use "
                "a kernel with Landlock ABI 4 or newer, or allow seccomp or user namespaces"
            )
    return tried


def _keys(weights: Path) -> list[str]:
    with safe_open(weights, framework="pt") as tensors:
        return list(tensors.keys())


def _first_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)


def _attempts_on_the_hubs_cache() -> list[Attempt]:
    """Where downloaded teachers lie; none where there is no such cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    if not cache.is_dir():
        return []
    return [Attempt("list the hub's cache", lambda: list(cache.iterdir()))]


def _read_elsewhere(path: Path, reader: str = READER, *arguments: str) -> None:
    command = [sys.executable, "-I", "-S", "-c", reader, str(path), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


def _send(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", address)


def _connect(address: tuple[str, int]) -> None:
    socket.create_connection(address, timeout=SECONDS).close()
