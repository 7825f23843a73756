"""Any Hugging Face causal language model as a `Decoder`: transformers' own forward pass.

What it adds is a cache that grows in place, and adapters that are merged in one at a time.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from nexus.adapters import Adapter, AdapterSwitch
from nexus.soft_tokens import SoftTokens, reading_soft_tokens

# Cached states are copied when their buffer is full: every GROWTH tokens, not at each of them.
GROWTH = 64


class TransformersDecoder:
    """A model as transformers computes it; its rows of one session share one adapter."""

    mixes = False

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config(decoder=True)
        self.model = model
        self.device = torch.device(model.device)
        self.positions = int(getattr(model.config, "max_position_embeddings", None) or 1 << 30)
        self.vocabulary = int(config.vocab_size)
        self.width = int(config.hidden_size)
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        self._adapters: dict[str, Adapter] = {}
        # Merging gives the head a parameter of its own; a model without adapters is left alone.
        self._switch: AdapterSwitch | None = None
        embedding = model.get_input_embeddings().weight
        named = model.named_parameters()
        self._embedding_name = next((name for name, each in named if each is embedding), "")
        self._embedding: Tensor = embedding.data  # an adapter puts another in its place, for a time
        # The model has one adapter in it at a time: threads take turns.
        self.turn = threading.Lock()

    def add(self, name: str, adapter: Adapter) -> None:
        """Make an adapter known. Raises ValueError where it was made for another model."""
        with self.turn:
            if self._switch is None:
                self._switch = AdapterSwitch(self.model)
            self._switch.check(adapter)
            self._adapters[name] = adapter

    def input_embedding(self, name: str) -> Tensor:
        """The backbone's own, (vocabulary, width). Raises ValueError where it has another name."""
        if name != self._embedding_name:
            raise ValueError(f"{name[:100]!r} is not the input embedding")
        return self._embedding

    def use(self, name: str | None) -> None:
        """Compute with this adapter from now on; with none where there is no name."""
        if self._switch is None:
            return
        if name is None:
            self._switch.remove()
        else:
            self._switch.use(name, self._adapters[name])

    def session(self, mask: Tensor, adapters: Sequence[str | None]) -> TransformersSession:
        (adapter,) = set(adapters)
        return TransformersSession(self, mask, adapter)

    def accepts(self, argument: str) -> bool:
        """Whether the model's forward pass has an argument of this name."""
        return argument in self._takes


class TransformersSession:
    """A batch in flight, with the positions and the mask that transformers wants at every step."""

    def __init__(self, decoder: TransformersDecoder, mask: Tensor, adapter: str | None) -> None:
        self._decoder = decoder
        self._adapter = adapter
        self._mask = mask
        self._positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        self._padded = bool((mask == 0).any())
        self._cache = empty_cache(decoder.model)
        self._begun = False

    @torch.inference_mode()
    def feed(self, ids: Tensor, last: int = 1, soft: SoftTokens | None = None) -> Tensor:
        if self._begun:
            ones = self._mask.new_ones(ids.shape)
            self._mask = torch.cat([self._mask, ones], dim=1)
            self._positions = self._positions[:, -1:] + ones.cumsum(dim=1)
        self._begun = True
        extra: dict[str, Any] = {}
        if self._decoder.accepts("position_ids"):
            extra["position_ids"] = self._positions
        if self._decoder.accepts("logits_to_keep"):
            extra["logits_to_keep"] = last
        with self._decoder.turn, reading_soft_tokens(soft, self._decoder.model):
            # Another session may have run between two steps of this one.
            self._decoder.use(self._adapter)
            output = self._decoder.model(
                input_ids=ids,
                attention_mask=self._mask if self._padded else None,
                past_key_values=self._cache,
                use_cache=True,
                **extra,
            )
        logits: Tensor = output.logits
        return logits[:, -last:]

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        self._mask, self._positions = self._mask[rows], self._positions[rows]
        self._cache.batch_select_indices(rows)


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of one layer, appended in place: (rows, heads, tokens, head width)."""

    keys: Tensor
    values: Tensor
    room_keys: Tensor
    room_values: Tensor

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        seen = self.get_seq_length()
        total = seen + key_states.shape[-2]
        if seen == 0 or self.room_keys.shape[-2] < total:
            self.room_keys = _with_room(self.keys, key_states, seen, total)
            self.room_values = _with_room(self.values, value_states, seen, total)
        self.room_keys[..., seen:total, :] = key_states
        self.room_values[..., seen:total, :] = value_states
        self.keys = self.room_keys[..., :total, :]
        self.values = self.room_values[..., :total, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self.room_keys = self.room_keys.index_select(0, indices)
        self.room_values = self.room_values.index_select(0, indices)
        total = self.get_seq_length()
        self.keys = self.room_keys[..., :total, :]
        self.values = self.room_values[..., :total, :]


def _with_room(old: Tensor, new: Tensor, seen: int, total: int) -> Tensor:
    """A buffer like `new` for `total` tokens and GROWTH more, holding `seen` tokens of `old`."""
    rows, heads, _, width = new.shape
    room = new.new_zeros((rows, heads, total + GROWTH, width))
    if seen:
        room[..., :seen, :] = old
    return room


def empty_cache(model: PreTrainedModel) -> Cache:
    """Layers that grow in place; transformers' own where a model's attention is not plain."""
    config = model.config.get_text_config(decoder=True)
    own = DynamicCache(config=config)
    if own.layers and all(type(layer) is DynamicLayer for layer in own.layers):
        return Cache(layers=[GrowingLayer() for _ in own.layers])
    return own
