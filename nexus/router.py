"""Which adapter a prompt asks for: the nearest capability, or none where it is like none.

Mean-pooled input embeddings of the frozen backbone and a multinomial logistic head with a
calibrated temperature choose. The router abstains from what is unlike all: far from the nearest
class centroid (Mahalanobis distance under one shrunk covariance, Lee et al. 2018), or made of
tokens that surprise every capability. No layer of the model runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nexus.configuration import parse_description
from nexus.errors import blame
from nexus.files import Folder, as_folder
from nexus.packing import WEIGHTS
from nexus.stored_tensors import tensors_in
from nexus.tokens import Tokens

Floats = NDArray[np.float32]

ROUTER_WEIGHTS = "router.safetensors"
ROUTER_JSON = "router.json"


@dataclass(frozen=True)
class Route:
    """The capability chosen, or None where the prompt is unlike all of them.

    probabilities: of every capability that can be chosen. distance: how unlike all of them it is,
    in units of what makes the router abstain: by its nearest centroid or by its tokens, whichever
    is more.
    """

    capability: str | None
    probabilities: Mapping[str, float]
    distance: float


class Router:
    """Chooses among `capabilities`; an isolated capability is never one of them."""

    def __init__(
        self,
        about: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        embedding: Tensor,
        tokens: Tokens,
    ) -> None:
        self.capabilities: tuple[str, ...] = tuple(about["capabilities"])
        self._temperature = float(about["temperature"])
        self._threshold = float(about["abstain_distance"])
        self._tokens = tokens
        parts = {name: tensor.float() for name, tensor in tensors.items()}
        self._refuse_what_does_not_fit(parts, embedding)
        self._width = embedding.shape[1]
        # A route is some calls, whatever its size. So one mean gives a prompt's features and, where
        # the bundle has it, how much its tokens surprise each capability; and one product the
        # scores of the capabilities and the whitened features.
        surprise = parts.get("surprise", torch.zeros(0, len(embedding)))
        weight, bias = parts["weight"] / self._temperature, parts["bias"] / self._temperature
        self._table = torch.cat([embedding, surprise.T], dim=1).numpy()
        self._projection = torch.cat([weight, parts["whitening"].T]).numpy()
        self._offset = torch.cat([bias, torch.zeros(self._width)]).numpy()
        self._whitened_centroids = (parts["centroids"] @ parts["whitening"]).numpy()

    def _refuse_what_does_not_fit(self, parts: Mapping[str, Tensor], embedding: Tensor) -> None:
        """Raise ValueError where tensors, names and numbers are not of one router."""
        if not self.capabilities:
            raise ValueError("it chooses among no capabilities")
        for name in self.capabilities:
            if not isinstance(name, str):
                raise ValueError(f"{name!r} is not the name of a capability")
        for number in (self._temperature, self._threshold):
            if not (math.isfinite(number) and number > 0):
                raise ValueError(f"{number} is no temperature and no distance")
        count, (vocabulary, width) = len(self.capabilities), embedding.shape
        shapes = {
            "weight": (count, width),
            "bias": (count,),
            "centroids": (count, width),
            "whitening": (width, width),
        }
        if "surprise" in parts:
            shapes["surprise"] = (count, vocabulary)
        for name, shape in shapes.items():
            found = tuple(parts[name].shape)
            if found != shape:
                raise ValueError(f"{name} has shape {found} where {shape} is needed")

    @classmethod
    def load(cls, router_dir: Path, backbone_dir: Path, tokenizer_dir: Path) -> Router:
        """Open the router's own files and, of the backbone, its input embedding alone."""
        tokens = Tokens(tokenizer_dir)
        return cls.over(router_dir, lambda name: input_embedding(backbone_dir, name), tokens)

    @classmethod
    def over(
        cls,
        directory: Path | Folder,
        embedding: Callable[[str], Tensor],
        tokens: Tokens,
    ) -> Router:
        """Open the router's own files. embedding: gives the input embedding by its name.

        Raises BundleError where they are not of one router, or of another backbone.
        """
        folder = as_folder(directory)
        with blame(f"router/{ROUTER_WEIGHTS}"):
            tensors = tensors_in(folder.read(ROUTER_WEIGHTS))
        with blame(f"router/{ROUTER_JSON}"):
            about = parse_description(folder.read(ROUTER_JSON))
            return cls(about, tensors, embedding(about["embedding"]), tokens)

    def route(self, prompts: Sequence[str]) -> list[Route]:
        """One decision per prompt. The prompts are as the user wrote them, in no template."""
        return [self._route(self._tokens.encode(text)) for text in prompts]

    def _route(self, ids: Sequence[int]) -> Route:
        count, width = len(self.capabilities), self._width
        means = mean_of_rows(self._table, ids)
        projected = self._projection @ means[:width] + self._offset
        surprise = means[width:].tolist()  # one for each capability, or none at all
        offsets = projected[count:] - self._whitened_centroids  # (capabilities, hidden)
        nearest = math.sqrt((offsets * offsets).sum(axis=1).min())
        distance = nearest / self._threshold
        probabilities = softmax(projected[:count].tolist())
        named = dict(zip(self.capabilities, probabilities, strict=True))
        # Equal probabilities are decided by name, so that the order of a file never matters.
        best = min(named, key=lambda name: (-named[name], name))
        if not ids:
            # A prompt of no tokens is like nothing, wherever zero may lie.
            distance = math.inf
        elif surprise:
            distance = max(distance, min(surprise))
        return Route(best if distance <= 1 else None, named, distance)


def softmax(logits: Sequence[float]) -> list[float]:
    """Of a few numbers, which are not worth a tensor."""
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]


def mean_of_rows(table: Floats, ids: Sequence[int]) -> Floats:
    """The mean of the tokens' rows, (columns,); zero for a text without tokens.

    In NumPy, for which a call on so few numbers is half as long as for torch.
    """
    if not ids:
        return np.zeros_like(table[0])
    mean: Floats = table.take(ids, axis=0).sum(axis=0) * (1 / len(ids))
    return mean


def input_embedding(backbone_dir: Path | Folder, name: str) -> Tensor:
    """The backbone's input embedding, float32 (vocabulary, hidden), as it is stored."""
    return tensors_in(as_folder(backbone_dir).read(WEIGHTS))[name].float().clone()
