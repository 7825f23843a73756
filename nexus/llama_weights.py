"""The weights of a decoder of the Llama family, read from a packed backbone for the lean pass.

Modules that share their input become one matrix: queries, keys and values; gate and up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nexus.fused import FloatProduct, FusedLinear, Product
from nexus.int8_product import Int8Product, int8_products_are_exact
from nexus.packing import WEIGHTS, PackedWeights

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
EMBEDDING = "model.embed_tokens"
HEAD = "lm_head"
LARGEST_SIZE = 1 << 31


@dataclass(frozen=True)
class Shape:
    """What config.json says, in this module's words."""

    vocabulary: int
    width: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    epsilon: float
    theta: float
    positions: int
    tied: bool

    @property
    def parameters(self) -> int:
        """How many there are in the matrices."""
        attention = 2 * self.width * self.head_width * (self.heads + self.key_value_heads)
        layer = attention + 3 * self.width * self.intermediate
        return 2 * self.vocabulary * self.width + self.layers * layer

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape | None:
        """None where the lean pass does not compute what the configuration describes."""
        rope = config.get("rope_parameters")
        plain = (
            config.get("model_type") in FAMILIES
            and config.get("hidden_act") == "silu"
            and isinstance(rope, dict)
            and rope.get("rope_type") == "default"
            and set(rope) == {"rope_type", "rope_theta"}
            and not (config.get("sliding_window") and config.get("use_sliding_window", True))
            and set(config.get("layer_types") or ()) <= {"full_attention"}
        )
        try:
            shape = cls(
                vocabulary=config["vocab_size"],
                width=config["hidden_size"],
                intermediate=config["intermediate_size"],
                layers=config["num_hidden_layers"],
                heads=config["num_attention_heads"],
                key_value_heads=config["num_key_value_heads"],
                head_width=config.get("head_dim")
                or config["hidden_size"] // config["num_attention_heads"],
                epsilon=config["rms_norm_eps"],
                theta=rope["rope_theta"] if plain and rope else 0.0,
                positions=config["max_position_embeddings"],
                tied=config["tie_word_embeddings"],
            )
        except (KeyError, TypeError):
            return None
        return shape.checked() if plain else None

    def checked(self) -> Shape:
        """The shape itself. Raises ValueError where something in it is no size."""
        for name, value in vars(self).items():
            whole = type(value) is int and 0 < value <= LARGEST_SIZE
            real = name in ("epsilon", "theta") and isinstance(value, int | float) and value > 0
            if not whole and not real and not (name == "tied" and isinstance(value, bool)):
                raise ValueError(f"{name} is {str(value)[:40]!r}")
        if self.heads % self.key_value_heads or self.head_width % 2:
            raise ValueError("its heads do not fit each other")
        return self


@dataclass(frozen=True)
class Layer:
    """One block. Norms are scaled by the root of their width, as `_normalised` wants them.

    rotated_norm: Qwen3's norm of each query and key head, (heads + key/value heads, head width).
    """

    attention_norm: Tensor
    query_key_value: FusedLinear
    rotated_norm: Tensor | None
    output: FusedLinear
    feed_forward_norm: Tensor
    gate_up: FusedLinear
    down: FusedLinear


class Reading:
    """Takes the weights by name, each once, and fuses those that share their input."""

    def __init__(
        self,
        shape: Shape,
        weights: PackedWeights,
        device: torch.device,
        dtype: torch.dtype,
        *,
        keep_int8: bool,
    ) -> None:
        if shape.parameters > weights.numbers:
            raise ValueError(
                f"it describes {shape.parameters} weights, and {WEIGHTS} has at most "
                f"{weights.numbers}"
            )
        self._shape = shape
        self._weights = weights
        self._device = device
        self._dtype = dtype
        self._keep_int8 = (
            keep_int8
            and device.type == "cpu"
            and dtype == torch.float32
            and int8_products_are_exact()
        )
        self._left = set(weights.names)
        self.linears: list[FusedLinear] = []

    def embedding(self) -> Tensor:
        """The input embedding, in memory of its own: not that of the whole file."""
        shape = self._shape
        return self.tensor(f"{EMBEDDING}.weight", shape.vocabulary, shape.width).clone()

    def tensor(self, name: str, *size: int) -> Tensor:
        """A weight as it is computed with, of this size and no other."""
        tensor = self._weights.float32(name)
        self._take(name, tuple(tensor.shape), size)
        return tensor.to(self._device, self._dtype)

    def _take(self, name: str, found: tuple[int, ...], needed: tuple[int, ...]) -> None:
        self._left.remove(name)
        if found != needed:
            raise ValueError(f"{name} has shape {found} where {needed} is needed")

    def norm(self, module: str, width: int) -> Tensor:
        return self.tensor(f"{module}.weight", width) * math.sqrt(width)

    def layer(self, index: int) -> Layer:
        shape, prefix = self._shape, f"model.layers.{index}"
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        heads, pairs = shape.heads, shape.key_value_heads
        return Layer(
            attention_norm=self.norm(f"{prefix}.input_layernorm", shape.width),
            query_key_value=self.linear(
                [
                    (f"{attention}.q_proj", heads * shape.head_width),
                    (f"{attention}.k_proj", pairs * shape.head_width),
                    (f"{attention}.v_proj", pairs * shape.head_width),
                ],
                shape.width,
            ),
            rotated_norm=self._rotated_norm(attention),
            output=self.linear([(f"{attention}.o_proj", shape.width)], heads * shape.head_width),
            feed_forward_norm=self.norm(f"{prefix}.post_attention_layernorm", shape.width),
            gate_up=self.linear(
                [(f"{mlp}.gate_proj", shape.intermediate), (f"{mlp}.up_proj", shape.intermediate)],
                shape.width,
            ),
            down=self.linear([(f"{mlp}.down_proj", shape.width)], shape.intermediate),
        )

    def _rotated_norm(self, attention: str) -> Tensor | None:
        if f"{attention}.q_norm.weight" not in self._left:
            return None
        shape = self._shape
        of_queries = self.norm(f"{attention}.q_norm", shape.head_width)
        of_keys = self.norm(f"{attention}.k_norm", shape.head_width)
        return torch.cat(
            [of_queries.expand(shape.heads, -1), of_keys.expand(shape.key_value_heads, -1)]
        )

    def linear(self, parts: Sequence[tuple[str, int]], width: int) -> FusedLinear:
        """The modules of `parts`, (name, outputs) each, all of which read `width` values."""
        biases = [
            self.tensor(f"{name}.bias", out)
            if f"{name}.bias" in self._left
            else torch.zeros(out, device=self._device, dtype=self._dtype)
            for name, out in parts
        ]
        bias = torch.cat(biases)
        product = self._int8_product(parts, width) or self._float_product(parts, width)
        return self._listed(product, bias if bool(bias.any()) else None, parts)

    def _float_product(self, parts: Sequence[tuple[str, int]], width: int) -> FloatProduct:
        # Filled part by part: two copies of a large model are never in memory.
        transposed = torch.empty(
            (width, sum(out for _, out in parts)), device=self._device, dtype=self._dtype
        )
        start = 0
        for name, out in parts:
            transposed[:, start : start + out] = self.tensor(f"{name}.weight", out, width).t()
            start += out
        return FloatProduct(transposed)

    def _int8_product(self, parts: Sequence[tuple[str, int]], width: int) -> Int8Product | None:
        """The codes as they are stored; None where they are not codes, or not to be kept."""
        if not self._keep_int8:
            return None
        found = [self._weights.int8(f"{name}.weight") for name, _ in parts]
        stored = [codes for codes in found if codes is not None]
        if len(stored) < len(parts):
            return None
        for (name, out), codes in zip(parts, stored, strict=True):
            self._take(f"{name}.weight", tuple(codes[0].shape), (out, width))
        return Int8Product(
            torch.cat([codes for codes, _ in stored]), torch.cat([top for _, top in stored])
        )

    def head(self, embedding: Tensor) -> FusedLinear:
        parts = [(HEAD, self._shape.vocabulary)]
        if self._shape.tied and f"{HEAD}.weight" not in self._left:
            return self._listed(FloatProduct(embedding.t()), None, parts)
        return self.linear(parts, self._shape.width)

    def _listed(
        self, product: Product, bias: Tensor | None, parts: Sequence[tuple[str, int]]
    ) -> FusedLinear:
        self.linears.append(FusedLinear(len(self.linears), product, bias, parts))
        return self.linears[-1]

    def refuse_the_rest(self) -> None:
        """Raise ValueError where there are weights that the shape has no place for."""
        if self._left:
            raise ValueError(
                f"it describes a model other than {WEIGHTS}, which also has {min(self._left)}"
            )
