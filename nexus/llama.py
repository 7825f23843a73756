"""A lean forward pass for decoders of the Llama family: Llama, Mistral, Qwen2, Qwen3.

RMSNorm (Zhang & Sennrich 2019), rotary positions (Su et al. 2021), grouped-query attention (Ainslie
et al. 2023), SwiGLU (Shazeer 2020). Other architectures, and variants of these that are not listed
here, are computed by transformers (`nexus.transformers_decoder`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from nexus.adapters import Adapter
from nexus.fused import FusedLinear, Updates, Weights, fused_updates, merged_weights
from nexus.llama_weights import EMBEDDING, Layer, Reading, Shape
from nexus.packing import PackedWeights
from nexus.soft_tokens import SoftTokens

Item = TypeVar("Item")

# A step of a smaller model costs calls, not memory traffic: each adapter is worth a merged copy.
# A larger one is read once for all rows of a batch, as int8 where it is stored so.
MERGED_PARAMETERS = 1 << 24
# Room in the cache grows by this many tokens at least, and by half of what it has.
GROWTH = 64


@dataclass(frozen=True)
class Variant:
    """What a row is computed with: matrices, and what an adapter adds next to them."""

    weights: Weights
    updates: Updates | None


class LlamaDecoder:
    """The packed backbone, and its adapters next to it; rows of one batch may differ in adapter."""

    mixes = True

    def __init__(
        self, shape: Shape, weights: PackedWeights, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Raises ValueError or KeyError where the weights are not those that `shape` describes."""
        self._merges = shape.parameters <= MERGED_PARAMETERS
        reading = Reading(shape, weights, device, dtype, keep_int8=not self._merges)
        self.device = device
        self.dtype = dtype
        self.shape = shape
        self.positions = shape.positions
        self.vocabulary = shape.vocabulary
        self.width = shape.width
        embedding = reading.embedding()
        self.layers = [reading.layer(index) for index in range(shape.layers)]
        self.norm = reading.norm("model.norm", shape.width)
        self.head = reading.head(embedding)
        reading.refuse_the_rest()
        self._base = Weights(embedding, reading.linears)
        self.epsilon = torch.tensor(math.sqrt(shape.width * shape.epsilon), device=device)
        self.head_epsilon = torch.tensor(math.sqrt(shape.head_width * shape.epsilon), device=device)
        self._variants: dict[str | None, Variant] = {None: Variant(self._base, None)}
        empty = torch.empty(0, device=device)
        self._rotation_tables = empty, empty

    def add(self, name: str, adapter: Adapter) -> None:
        """Make an adapter known. Raises ValueError where it was made for another model."""
        updates = fused_updates(self._base, adapter.updates, EMBEDDING, self.dtype)
        variant = Variant(self._base, updates)
        if self._merges:
            variant = Variant(merged_weights(self._base, updates), None)
        self._variants[name] = variant

    def input_embedding(self, name: str) -> Tensor:
        """The backbone's own, (vocabulary, width). Raises ValueError where it has another name."""
        if name != f"{EMBEDDING}.weight":
            raise ValueError(f"{name[:100]!r} is not the input embedding")
        return self._base.embedding

    def session(self, mask: Tensor, adapters: Sequence[str | None]) -> LlamaSession:
        return LlamaSession(self, mask, [self._variants[name] for name in adapters])

    def rotation(self, positions: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines at positions (rows, tokens): (rows, tokens, 1, head width)."""
        # Taken once: another thread may put shorter ones in their place at any moment.
        cosines, sines = self._rotation_tables
        if longest > len(cosines):
            cosines, sines = self._rotations(max(longest, 2 * len(cosines)))
            self._rotation_tables = cosines, sines
        return cosines[positions].unsqueeze(2), sines[positions].unsqueeze(2)

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
        self._rows = len(mask)
        self._seen = 0
        # What hides the padding from attention, 0 or -inf, (rows, 1, 1, room); None where there is
        # no padding.
        self._padding: Tensor | None = None
        if not mask.all():
            padding = torch.zeros(mask.shape, device=model.device, dtype=model.dtype)
            self._padding = padding.masked_fill_(mask == 0, -math.inf)[:, None, None, :]
        # Of every layer keys, then values: (rows, 2 * key/value heads, room, head width).
        shape = model.shape
        room = (self._rows, 2 * shape.key_value_heads, 0, shape.head_width)
        empty = torch.empty(room, device=model.device, dtype=model.dtype)
        self._caches = [empty] * shape.layers

    @torch.inference_mode()
    def feed(self, ids: Tensor, last: int = 1, soft: SoftTokens | None = None) -> Tensor:
        model, tokens = self._model, ids.shape[1]
        if self._seen:
            following = torch.arange(1, tokens + 1, device=model.device)
            self._positions = self._positions[:, -1:] + following
        self._make_room(self._seen + tokens)
        rotation = model.rotation(self._positions, self._seen + tokens)
        mask = self._attention_mask(tokens)
        x = self._embed(ids.reshape(-1))
        if soft is not None:
            x = soft.place(x.view(self._rows, tokens, -1)).view(len(x), -1)
        for layer, cache in zip(model.layers, self._caches, strict=True):
            normalised = _normalise(x, layer.attention_norm, model.epsilon)
            states = self._times(layer.query_key_value, normalised)
            self._times(layer.output, self._attend(states, layer, cache, rotation, mask), onto=x)
            normalised = _normalise(x, layer.feed_forward_norm, model.epsilon)
            gate, up = self._times(layer.gate_up, normalised).chunk(2, dim=-1)
            self._times(layer.down, F.silu(gate, inplace=True).mul_(up), onto=x)
        self._seen += tokens
        x = x.view(self._rows, tokens, -1)[:, -last:].reshape(-1, model.shape.width)
        logits = self._times(model.head, _normalise(x, model.norm, model.epsilon))
        return logits.view(self._rows, -1, model.vocabulary)

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        self._variants = [self._variants[row] for row in rows.tolist()]
        self._group()
        self._rows = len(rows)
        self._positions = self._positions[rows]
        if self._padding is not None:
            self._padding = self._padding[rows]
        self._caches = [cache[rows] for cache in self._caches]

    def _attend(
        self,
        states: Tensor,
        layer: Layer,
        cache: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """What the queries gather from all values so far, (rows * tokens, heads * head width).

        states: the new tokens' queries, keys and values, which are rotated in place.
        """
        shape = self._model.shape
        heads, pairs = shape.heads, shape.key_value_heads
        # (rows, tokens, heads of queries then keys then values, head width)
        states = states.view(self._rows, -1, heads + 2 * pairs, shape.head_width)
        rotated = states[:, :, : heads + pairs]
        if layer.rotated_norm is not None:
            rotated.copy_(_normalise(rotated, layer.rotated_norm, self._model.head_epsilon))
        cosines, sines = rotation
        turned = rotated.roll(shape.head_width // 2, dims=-1)
        rotated.mul_(cosines).addcmul_(turned, sines)

        tokens, total = states.shape[1], self._seen + states.shape[1]
        cache[:, :, self._seen : total] = states[:, :, heads:].transpose(1, 2)
        keys, values = cache[:, :pairs, :total], cache[:, pairs:, :total]
        if tokens == 1:
            # Queries that share a key head are to it as so many positions.
            queries = states[:, 0, :heads].view(self._rows, pairs, -1, shape.head_width)
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        else:
            mixed = F.scaled_dot_product_attention(
                states[:, :, :heads].transpose(1, 2),
                keys,
                values,
                attn_mask=mask,
                is_causal=mask is None,
                enable_gqa=heads != pairs,
            ).transpose(1, 2)
        return mixed.reshape(self._rows * tokens, -1)

    def _group(self) -> None:
        """Find the runs of rows that share their matrices, and those that share their adapter."""
        self._weights = _runs([variant.weights for variant in self._variants])
        self._updates = _runs([variant.updates for variant in self._variants])

    def _times(self, linear: FusedLinear, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """The layer's output for x, with what each row's adapter makes of it.

        It is added to `onto`, in place, where that is given.
        """
        out = x.new_empty((len(x), linear.outputs)) if onto is None else onto
        for weights, part, into in _by_run(self._weights, x, out):
            weights.linears[linear.index].write(part, into, adds=onto is not None)
        for updates, part, into in _by_run(self._updates, x, out):
            if updates is not None and (update := updates.linears[linear.index]) is not None:
                update.add(part, into)
        return out

    def _embed(self, ids: Tensor) -> Tensor:
        """ids: (rows * tokens,) -> (rows * tokens, width)."""
        model = self._model
        x = torch.empty((len(ids), model.shape.width), device=model.device, dtype=model.dtype)
        for weights, part, into in _by_run(self._weights, ids, x):
            torch.index_select(weights.embedding, 0, part, out=into)
        for updates, part, into in _by_run(self._updates, ids, x):
            if updates is not None and updates.embedding is not None:
                updates.embedding.add(part, into)
        return x

    def _attention_mask(self, tokens: int) -> Tensor | None:
        """What is added to the scores, 0 or -inf, (rows or 1, 1, tokens or 1, total).

        None where nothing is hidden; None for several tokens: each looks at all before it.
        """
        total = self._seen + tokens
        padding = None if self._padding is None else self._padding[..., :total]
        if tokens == 1 or (padding is None and self._seen == 0):
            return padding
        later = torch.full(
            (1, 1, tokens, total), -math.inf, device=self._model.device, dtype=self._model.dtype
        ).triu(self._seen + 1)
        if padding is None:
            return later
        mask = later + padding
        # Padding looks at itself: a softmax over nothing would not be a number.
        mask.diagonal(self._seen, dim1=-2, dim2=-1).zero_()
        return mask

    def _make_room(self, total: int) -> None:
        """Let the cache hold `total` tokens; it is copied when it grows, so it grows by a lot."""
        have = self._caches[0].shape[2]
        if total <= have:
            return
        room = max(total + GROWTH, have + have // 2)
        for index, old in enumerate(self._caches):
            cache = old.new_empty((*old.shape[:2], room, old.shape[3]))
            cache[:, :, : self._seen] = old[:, :, : self._seen]
            self._caches[index] = cache
        if self._padding is not None:
            self._padding = F.pad(self._padding, (0, room - self._padding.shape[3]))


def _normalise(x: Tensor, weight: Tensor, epsilon: Tensor) -> Tensor:
    """RMSNorm over the last axis: x / sqrt(mean(x^2) + e) * w, in float32.

    Both roots are widened by the root of the width: epsilon is sqrt(width e), weight sqrt(width) w.
    """
    # To name the type costs a sixth of the whole where it is float32 already.
    dtype = None if x.dtype == torch.float32 else torch.float32
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=dtype)
    return (x / torch.hypot(length, epsilon)).to(x.dtype).mul_(weight)


def _runs(items: Sequence[Item]) -> list[tuple[Item, int]]:
    """Runs of the same object: it, and how many there are of it."""
    runs = (list(run) for _, run in groupby(items, key=id))
    return [(run[0], len(run)) for run in runs]


def _by_run(
    runs: Sequence[tuple[Item, int]], x: Tensor, out: Tensor
) -> Iterator[tuple[Item, Tensor, Tensor]]:
    """Every run's object with the part of x and of `out` that is of its rows."""
    if len(runs) == 1:
        yield runs[0][0], x, out
        return
    per_row = len(x) // sum(count for _, count in runs)
    sizes = [count * per_row for _, count in runs]
    parts = zip(runs, x.split_with_sizes(sizes), out.split_with_sizes(sizes), strict=True)
    for (item, _), part, into in parts:
        yield item, part, into
