"""Which files a model's weights lie in, and how large it is, without opening a tensor."""

from __future__ import annotations

import json
import math
from pathlib import Path

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
FETCH = "The download may have been cut short: fetch the model again"

# The length of a safetensors header is stored in its first bytes; longer ones are refused by it.
LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files that the model is loaded from: those of its index where it has one.

    Some models come twice in one folder, as `consolidated.safetensors` besides. Raises ValueError
    where there are none, or one is missing: weights in pickles are not opened.
    """
    index = directory / INDEX
    if index.is_file():
        return _indexed_files(index)
    if (whole := directory / WHOLE).is_file():
        return [whole]
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"{directory} holds no .safetensors file. Pickled weights can run code and are not "
            "opened: save the model again with `model.save_pretrained(folder)`."
        )
    return files


def _indexed_files(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = [index.parent / name for name in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index} is no index of weights ({error}). {FETCH}") from error
    if not files:
        raise ValueError(f"{index} names no file. {FETCH}")
    if outside := [name for name in names if Path(name).name != name]:
        raise ValueError(f"{index} names {outside[0]!r}, which is not a file next to it. {FETCH}")
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file} is missing; {index.name} names it. {FETCH}")
    return files


def stored_parameters(files: list[Path]) -> int:
    """Numbers in all tensors of the files, by their headers.

    Raises ValueError naming a file that is broken, OSError where one cannot be read.
    """
    return sum(math.prod(shape) for file in files for shape in _shapes(file))


def _shapes(file: Path) -> list[list[int]]:
    try:
        with file.open("rb") as stored:
            length = int.from_bytes(stored.read(LENGTH_BYTES), "little")
            if not 0 < length <= LONGEST_HEADER:
                raise ValueError(f"its header is said to have {length} bytes")
            header = json.loads(stored.read(length))
        return [about["shape"] for name, about in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no whole safetensors file: {error}. {FETCH}") from error
