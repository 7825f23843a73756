"""Tensors of a safetensors file, as views of its bytes in memory.

The format: 8 bytes with the length of the header, least first; the header, JSON, which gives each
tensor a dtype, a shape and its place in what follows; the numbers, without gaps. Every limit is
checked before the header is parsed, and all of the header before a tensor is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from nexus.strict_json import parse_json

if TYPE_CHECKING:
    from torch import Tensor

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 10 << 20
MOST_TENSORS = 50_000
MOST_DIMENSIONS = 8
METADATA = "__metadata__"
# Name of the dtype in the format -> its name in torch, and bytes of a number.
DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}


@dataclass(frozen=True)
class Stored:
    """One tensor of a header. start and end: bytes, counted from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def tensors_in(content: bytearray) -> dict[str, Tensor]:
    """Every tensor by name; they share memory with `content`. Raises ValueError."""
    import torch

    length = header_length(content[:LENGTH_BYTES], len(content))
    begin = LENGTH_BYTES + length
    tensors = {}
    for stored in parse_header(content[LENGTH_BYTES:begin], len(content) - begin):
        dtype = getattr(torch, DTYPES[stored.dtype][0])
        start, end = begin + stored.start, begin + stored.end
        if start == end:
            tensors[stored.name] = torch.empty(stored.shape, dtype=dtype)
            continue
        part: bytearray | memoryview = memoryview(content)[start:end]
        if start % dtype.itemsize:
            part = bytearray(part)  # numbers lie at multiples of their size
        if dtype == torch.bool:
            flat = torch.frombuffer(part, dtype=torch.uint8) != 0
        else:
            flat = torch.frombuffer(part, dtype=dtype)
        tensors[stored.name] = flat.view(stored.shape)
    return tensors


def header_length(first: bytes | bytearray, size: int) -> int:
    """The length that the first 8 bytes of a file of `size` bytes give. Raises ValueError."""
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if len(first) < LENGTH_BYTES or LENGTH_BYTES + length > size:
        raise ValueError(f"it ends after {size} bytes, in its header")
    if length > MOST_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes, more than {MOST_HEADER_BYTES}")
    return length


def parse_header(header: bytes | bytearray, body: int) -> list[Stored]:
    """The tensors that a header describes, in their order in the `body` bytes behind it.

    Raises ValueError where they do not fill these exactly.
    """
    # One brace for the whole, one for the metadata; of braces in names there are few.
    if header.count(b"{") > MOST_TENSORS + 2:
        raise ValueError(f"its header may describe more than {MOST_TENSORS} tensors")
    about = parse_json(header, most_bytes=MOST_HEADER_BYTES, most_values=10 * MOST_TENSORS)
    if not isinstance(about, dict):
        raise ValueError("its header is no mapping")
    metadata = about.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{METADATA} is no mapping of texts")
    found = sorted(
        (_stored_tensor(name, fields) for name, fields in about.items()),
        key=lambda stored: (stored.start, stored.end),
    )
    end = 0
    for stored in found:
        if stored.start != end:
            raise ValueError(f"{stored.name[:60]!r} does not begin where the tensor before it ends")
        end = stored.end
    if end != body:
        raise ValueError(f"its tensors have {end} bytes, and {body} bytes follow its header")
    return found


def _stored_tensor(name: str, fields: Any) -> Stored:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name[:60]!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{name[:60]!r} has the dtype {str(dtype)[:20]!r}, which is not known")
    if not _are_sizes(shape) or len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"{name[:60]!r} has no shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{name[:60]!r} has no place")
    start, end = offsets
    if end - start != prod(shape) * DTYPES[dtype][1]:
        raise ValueError(f"{name[:60]!r} has {end - start} bytes, which is not what its shape says")
    return Stored(name, dtype, tuple(shape), start, end)


def _are_sizes(value: Any) -> bool:
    """Whether it is a list of whole numbers that a file can have as sizes."""
    return isinstance(value, list) and all(
        type(number) is int and 0 <= number < 1 << 62 for number in value
    )
