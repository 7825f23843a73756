"""A lean forward pass for decoders of the Llama family: Llama, Mistral, Qwen2, Qwen3.

RMSNorm (Zhang & Sennrich 2019), rotary positions (Su et al. 2021), grouped-query attention (Ainslie
et al. 2023), SwiGLU (Shazeer 2020); the queries, keys and values are one product, gate and up
another. Other architectures, and variants of these that are not listed here, are computed by
transformers (`nexus.transformers_decoder`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from nexus.adapters import Adapter
from nexus.fused import (
    FloatProduct,
    FusedLinear,
    Product,
    Updates,
    Weights,
    fused_updates,
    merged_weights,
)
from nexus.int8_product import Int8Product, int8_products_are_exact
from nexus.packing import WEIGHTS, PackedWeights

Item = TypeVar("Item")

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
EMBEDDING = "model.embed_tokens"
HEAD = "lm_head"
# A step of a smaller model costs calls, not memory traffic: each adapter is worth a merged copy.
# A larger one is read once for all rows of a batch, as int8 where it is stored so.
MERGED_PARAMETERS = 1 << 24
# Room in the cache grows by this many tokens at least, and by half of what it has.
GROWTH = 64


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
        except KeyError:
            return None
        return shape if plain else None


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


@dataclass(frozen=True)
class Variant:
    """What a row is computed with: matrices, and what an adapter adds beside them."""

    weights: Weights
    updates: Updates | None


class LlamaDecoder:
    """The packed backbone, and its adapters beside it; rows of one batch may differ in adapter."""

    mixes = True

    def __init__(
        self, shape: Shape, weights: PackedWeights, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Raises ValueError or KeyError where the weights are not those that `shape` describes."""
        self._merges = shape.parameters <= MERGED_PARAMETERS
        reading = _Reading(shape, weights, device, dtype, keep_int8=not self._merges)
        self.device = device
        self.dtype = dtype
        self.shape = shape
        self.positions = shape.positions
        self.vocabulary = shape.vocabulary
        embedding = reading.tensor(f"{EMBEDDING}.weight", shape.vocabulary, shape.width)
        self.layers = [reading.layer(index) for index in range(shape.layers)]
        self.norm = reading.norm("model.norm", shape.width)
        self.head = reading.head(embedding)
        reading.refuse_the_rest()
        self._base = Weights(embedding, reading.linears)
        self.epsilon = torch.tensor(math.sqrt(shape.width * shape.epsilon), device=device)
        self.head_epsilon = torch.tensor(math.sqrt(shape.head_width * shape.epsilon), device=device)
        self._variants: dict[str | None, Variant] = {None: Variant(self._base, None)}
        self._cosines = self._sines = torch.empty(0, device=device)

    def add(self, name: str, adapter: Adapter) -> None:
        """Make an adapter known. Raises ValueError where it was made for another model."""
        updates = fused_updates(self._base, adapter.updates, EMBEDDING, self.dtype)
        variant = Variant(self._base, updates)
        if self._merges:
            variant = Variant(merged_weights(self._base, updates), None)
        self._variants[name] = variant

    def session(self, mask: Tensor, adapters: Sequence[str | None]) -> LlamaSession:
        return LlamaSession(self, mask, [self._variants[name] for name in adapters])

    def rotation(self, positions: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines at positions (rows, tokens): (rows, tokens, 1, head width)."""
        if longest > len(self._cosines):
            self._cosines, self._sines = self._rotations(max(longest, 2 * len(self._cosines)))
        return self._cosines[positions].unsqueeze(2), self._sines[positions].unsqueeze(2)

    def _rotations(self, positions: int) -> tuple[Tensor, Tensor]:
        even = torch.arange(0, self.shape.head_width, 2, device=self.device).float()
        frequencies = 1.0 / self.shape.theta ** (even / self.shape.head_width)
        angles = torch.outer(torch.arange(positions, device=self.device).float(), frequencies)
        # The first half turns against the second; the sign is kept with the sine.
        cosines = torch.cat([angles.cos(), angles.cos()], dim=1)
        sines = torch.cat([-angles.sin(), angles.sin()], dim=1)
        return cosines.to(self.dtype), sines.to(self.dtype)


class LlamaSession:
    """A batch in flight. Within it, x is (rows * tokens, width), the rows one after another."""

    def __init__(self, model: LlamaDecoder, mask: Tensor, variants: Sequence[Variant]) -> None:
        self._model = model
        self._variants = list(variants)
        self._group()
        self._positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # (rows, tokens being read)
        # True where there is a token, (rows, tokens seen); None where no row is padded.
        self._there = None if bool(mask.all()) else mask.bool()
        self._rows = len(mask)
        self._seen = 0
        shape = model.shape
        room = torch.empty(
            (self._rows, shape.key_value_heads, 0, shape.head_width),
            device=model.device,
            dtype=model.dtype,
        )
        self._keys = [room] * shape.layers
        self._values = [room] * shape.layers

    @torch.inference_mode()
    def feed(self, ids: Tensor, last: int = 1) -> Tensor:
        model, tokens = self._model, ids.shape[1]
        if self._seen:
            self._advance(tokens)
        self._make_room(self._seen + tokens)
        rotation = model.rotation(self._positions, self._seen + tokens)
        mask = self._attention_mask(tokens)
        x = self._embedded(ids.reshape(-1))
        for index, layer in enumerate(model.layers):
            x = self._attended(x, index, layer, rotation, mask)
            gate, up = self._times(
                layer.gate_up, _normalised(x, layer.feed_forward_norm, model.epsilon)
            ).chunk(2, dim=-1)
            x = self._times(layer.down, F.silu(gate) * up, onto=x)
        self._seen += tokens
        x = x.view(self._rows, tokens, -1)[:, -last:].reshape(-1, model.shape.width)
        logits = self._times(model.head, _normalised(x, model.norm, model.epsilon))
        return logits.view(self._rows, -1, model.vocabulary)

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        self._variants = [self._variants[row] for row in rows.tolist()]
        self._group()
        self._rows = len(rows)
        self._positions = self._positions[rows]
        if self._there is not None:
            self._there = self._there[rows]
        self._keys = [keys[rows] for keys in self._keys]
        self._values = [values[rows] for values in self._values]

    def _attended(
        self,
        x: Tensor,
        index: int,
        layer: Layer,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """x and what attention adds to it."""
        model, shape = self._model, self._model.shape
        heads, own = shape.heads, shape.heads + shape.key_value_heads
        normalised = _normalised(x, layer.attention_norm, model.epsilon)
        states = self._times(layer.query_key_value, normalised)
        # (rows, tokens, heads of queries then keys then values, head width)
        states = states.view(self._rows, -1, own + shape.key_value_heads, shape.head_width)
        rotated = states[:, :, :own]
        if layer.rotated_norm is not None:
            rotated = _normalised(rotated, layer.rotated_norm, model.head_epsilon)
        cosines, sines = rotation
        half = shape.head_width // 2
        rotated = torch.addcmul(rotated * cosines, rotated.roll(half, dims=-1), sines)

        tokens, total = states.shape[1], self._seen + states.shape[1]
        keys, values = self._keys[index][:, :, :total], self._values[index][:, :, :total]
        keys[:, :, self._seen :] = rotated[:, :, heads:].transpose(1, 2)
        values[:, :, self._seen :] = states[:, :, own:].transpose(1, 2)
        if tokens == 1:
            # Queries that share a key head are to it as so many positions.
            queries = rotated[:, 0, :heads].view(self._rows, shape.key_value_heads, -1, half * 2)
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        else:
            mixed = F.scaled_dot_product_attention(
                rotated[:, :, :heads].transpose(1, 2),
                keys,
                values,
                attn_mask=mask,
                is_causal=mask is None,
                enable_gqa=heads != shape.key_value_heads,
            ).transpose(1, 2)
        return self._times(layer.output, mixed.reshape(len(x), -1), onto=x)

    def _group(self) -> None:
        """Find the runs of rows that share their matrices, and those that share their adapter."""
        self._weights = _runs([variant.weights for variant in self._variants])
        self._updates = _runs([variant.updates for variant in self._variants])

    def _times(self, linear: FusedLinear, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """The layer's output for x, with what each row's adapter makes of it, added to `onto`."""
        per_row, index = len(x) // self._rows, linear.index
        outs = []
        for start, stop, weights in self._weights:
            span = slice(start * per_row, stop * per_row)
            outs.append(weights.linears[index](x[span], None if onto is None else onto[span]))
        out = outs[0] if len(outs) == 1 else torch.cat(outs)
        for start, stop, updates in self._updates:
            if updates is not None and (update := updates.linears[index]) is not None:
                span = slice(start * per_row, stop * per_row)
                update.add(x[span], out[span])
        return out

    def _embedded(self, ids: Tensor) -> Tensor:
        """ids: (rows * tokens,) -> (rows * tokens, width)."""
        per_row = len(ids) // self._rows
        x = torch.cat(
            [
                weights.embedding[ids[start * per_row : stop * per_row]]
                for start, stop, weights in self._weights
            ]
        )
        for start, stop, updates in self._updates:
            if updates is not None and updates.embedding is not None:
                span = slice(start * per_row, stop * per_row)
                updates.embedding.add(ids[span], x[span])
        return x

    def _advance(self, tokens: int) -> None:
        """Positions and mask of the tokens that follow those seen."""
        following = torch.arange(1, tokens + 1, device=self._model.device)
        self._positions = self._positions[:, -1:] + following
        if self._there is not None:
            there = self._there.new_ones((self._rows, tokens))
            self._there = torch.cat([self._there, there], dim=1)

    def _attention_mask(self, tokens: int) -> Tensor | None:
        """What is added to the scores, (rows, 1, tokens, total); None where nothing is hidden.

        None for several tokens means that each looks at all before it.
        """
        visible = self._visible(tokens)
        if visible is None:
            return None
        # As numbers, once for all layers: attention itself would turn truth values into them.
        mask = torch.zeros(visible.shape, device=visible.device, dtype=self._model.dtype)
        return mask.masked_fill_(~visible, -math.inf)

    def _visible(self, tokens: int) -> Tensor | None:
        """True where a token may look, (rows, 1, tokens, total)."""
        if tokens == 1:
            return None if self._there is None else self._there[:, None, None, :]
        if self._there is None and self._seen == 0:
            return None
        total = self._seen + tokens
        device = self._model.device
        places = torch.arange(total, device=device)
        own = places[self._seen :, None]  # (tokens, 1)
        if self._there is None:
            return (places <= own)[None, None]
        # Padding looks at itself: a softmax over nothing would not be a number.
        seen = (places <= own) & self._there[:, None, :]
        return (seen | (places == own))[:, None]

    def _make_room(self, total: int) -> None:
        """Let the cache hold `total` tokens; it is copied when it grows, so it grows by a lot."""
        have = self._keys[0].shape[2]
        if total <= have:
            return
        shape = self._model.shape
        size = (
            self._rows,
            shape.key_value_heads,
            max(total + GROWTH, have + have // 2),
            shape.head_width,
        )
        for cache in (self._keys, self._values):
            for index, old in enumerate(cache):
                cache[index] = old.new_empty(size)
                cache[index][:, :, : self._seen] = old[:, :, : self._seen]


class _Reading:
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
        weight = torch.empty(
            (sum(out for _, out in parts), width), device=self._device, dtype=self._dtype
        )
        start = 0
        for name, out in parts:
            weight[start : start + out] = self.tensor(f"{name}.weight", out, width)
            start += out
        return FloatProduct(weight.t())

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


def _normalised(x: Tensor, weight: Tensor, epsilon: Tensor) -> Tensor:
    """RMSNorm over the last axis: x / sqrt(mean(x^2) + e) * w, in float32.

    Both roots are widened by the root of the width: epsilon is sqrt(width e), weight sqrt(width) w.
    """
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return (x / torch.hypot(length, epsilon)).to(x.dtype) * weight


def _runs(items: Sequence[Item]) -> list[tuple[int, int, Item]]:
    """Runs of the same object, as (first, last + 1, object)."""
    runs: list[tuple[int, int, Item]] = []
    for _, run in groupby(enumerate(items), key=lambda row: id(row[1])):
        rows = list(run)
        runs.append((rows[0][0], rows[-1][0] + 1, rows[0][1]))
    return runs
