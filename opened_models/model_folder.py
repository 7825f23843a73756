"""What a model's folder says of itself without being opened: size, architecture, licence.

Reads config.json, the headers of safetensors files, the model card and LICENSE; no library of
models, no weights.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "config.json"
_LONGEST_HEADER = 100 << 20
_DEEPEST = 4
# Names of the hub's model cards that are not SPDX's own in another case.
_SPDX = {
    "mit": "MIT",
    "apache-2.0": "Apache-2.0",
    "cc0-1.0": "CC0-1.0",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "gpl-3.0": "GPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "unlicense": "Unlicense",
    "openrail": "LicenseRef-OpenRAIL",
    "gemma": "LicenseRef-Gemma",
}
# How the text of a licence begins; the first that is found counts.
_TEXTS = (
    (r"apache license\s+version 2\.0", "Apache-2.0"),
    (r"\bmit license\b|permission is hereby granted, free of charge", "MIT"),
    (r"attribution-noncommercial 4\.0", "CC-BY-NC-4.0"),
    (r"attribution-sharealike 4\.0", "CC-BY-SA-4.0"),
    (r"creative commons attribution 4\.0|attribution 4\.0 international", "CC-BY-4.0"),
    (r"cc0 1\.0|creative commons zero", "CC0-1.0"),
    (r"gnu affero general public license\s+version 3", "AGPL-3.0-only"),
    (r"gnu general public license\s+version 3", "GPL-3.0-only"),
    (r"gemma terms of use", "LicenseRef-Gemma"),
)


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model. parameters and licence: None where nothing says. bytes: of weights."""

    path: Path
    architecture: str
    parameters: int | None
    licence: str | None
    bytes: int


def model_folders(root: Path) -> list[ModelFolder]:
    """Every model below a folder, four levels deep at most; links are followed, once each."""
    return [model_folder(folder) for folder in sorted(_folders(root, set(), 0))]


def model_folder(path: Path) -> ModelFolder:
    """What a folder with a config.json or safetensors says; what cannot be read says nothing."""
    weights = sorted(path.glob("*.safetensors"))
    config = _json(path / CONFIG)
    return ModelFolder(
        path=path,
        architecture=_architecture(config),
        parameters=stored_parameters(weights) or configured_parameters(config),
        licence=stated_licence(path),
        bytes=sum(file.stat().st_size for file in weights),
    )


def _architecture(config: dict[str, Any]) -> str:
    """The class that the configuration names, else its family."""
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    return str(first or config.get("model_type", "unknown"))


def is_model(path: Path) -> bool:
    """Whether a folder holds a model rather than something else with a config.json."""
    return any(path.glob("*.safetensors")) or "model_type" in _json(path / CONFIG)


def stored_parameters(weights: list[Path]) -> int | None:
    """Numbers in the tensors of these files, by their headers; None where one cannot be read."""
    total = 0
    try:
        for file in weights:
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                if not 2 <= length <= _LONGEST_HEADER:
                    return None
                header = json.loads(stream.read(length))
            shapes = (entry["shape"] for name, entry in header.items() if name != "__metadata__")
            total += sum(math.prod(shape) for shape in shapes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return total or None


def configured_parameters(config: dict[str, Any]) -> int | None:
    """Parameters of a transformer by its config.json, to a few percent; None where it is none.

    Attention, MLP (three matrices, or an expert's three each), embedding and an untied head.
    """
    text = config.get("text_config")
    config = {**config, **text} if isinstance(text, dict) else config
    try:
        width = int(config.get("hidden_size") or config["n_embd"])
        layers = int(config.get("num_hidden_layers") or config["n_layer"])
        vocabulary = int(config["vocab_size"])
        heads = int(config.get("num_attention_heads") or config.get("n_head") or 1)
        key_heads = int(config.get("num_key_value_heads") or heads)
        head = int(config.get("head_dim") or width // heads)
        inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * width)
        experts = int(config.get("num_experts") or config.get("num_local_experts") or 0)
        inner_of_expert = int(config.get("moe_intermediate_size") or inner)
        matrices = 2 if "n_embd" in config else 3
    except (KeyError, TypeError, ValueError):
        return None
    attention = 2 * width * head * (heads + key_heads)
    mlp = matrices * width * (inner_of_expert * experts if experts else inner)
    tied = config.get("tie_word_embeddings", True)
    return layers * (attention + mlp) + vocabulary * width * (1 if tied else 2)


def stated_licence(path: Path) -> str | None:
    """SPDX name of a licence by the model card's head, or by the text of LICENSE."""
    return _card_licence(_text(path / "README.md")) or _licence_of_text(path)


def _card_licence(card: str) -> str | None:
    head = re.match(r"\ufeff?---\s*\n(.*?)\n---", card, re.DOTALL)
    if not head:
        return None
    stated = re.search(r"^license: *[\"']?([\w.+-]+)", head[1], re.MULTILINE)
    named = re.search(r"^license_name: *[\"']?([\w.+-]+)", head[1], re.MULTILINE)
    if not stated:
        return None
    name = stated[1].lower()
    if name in ("other", "unknown"):
        return f"LicenseRef-{named[1]}" if named else None
    if name.startswith("cc-"):
        return name.upper()
    return _SPDX.get(name, f"LicenseRef-{name}")


def _licence_of_text(path: Path) -> str | None:
    for name in ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING"):
        text = " ".join(_text(path / name)[:4000].lower().split())
        for pattern, licence in _TEXTS:
            if re.search(pattern, text):
                return licence
    return None


def _folders(root: Path, entered: set[Path], depth: int) -> Iterator[Path]:
    try:
        real = root.resolve()
        if real in entered or depth > _DEEPEST:
            return
        entered.add(real)
        if is_model(root):
            yield root
            return
        below = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError:
        return
    for name in below:
        if not name.startswith((".", "__")):
            yield from _folders(root / name, entered, depth + 1)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(1 << 20).decode("utf-8", errors="replace")
    except OSError:
        return ""
