"""Watch a model run on two rows, and note what every candidate for a block does.

Candidates are the outermost lists of modules that hold matrices. Which of them are blocks shows
when they run: attention is a `scaled_dot_product_attention`, or a softmax over four dimensions
(rows, heads, tokens, tokens); the matrix that runs next and writes the stream's width mixes its
heads; the last other matrix that writes that width is the MLP's, and a module with stacked
matrices that is handed whole numbers is a mixture of experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers.modeling_utils import PreTrainedModel

from opened_models.blocks import StructureError, inside, matrices

# Two states count as different above this share of their size: far above rounding.
DIFFERENCE = 1e-3
SOFTMAX = (torch.softmax, Tensor.softmax, nn.functional.softmax)


@dataclass
class MatrixSight:
    """A matrix that ran: rows multiplied, widths read and written."""

    name: str
    module: nn.Module
    rows: int
    in_width: int
    out_width: int


@dataclass
class AttentionSight:
    """Attention that ran inside module `where`, after `before` matrices of its block."""

    where: str
    heads: int
    before: int


@dataclass
class ExpertsSight:
    """A module with `count` experts that was handed each token's choice of them."""

    name: str
    module: nn.Module
    count: int


@dataclass
class HeadsSight:
    """Heads and the matrix that mixes them; projected: width of queries, keys and values."""

    out: MatrixSight
    heads: int
    projected: int


@dataclass
class BlockSight:
    """What was seen of one block while it ran, in the order in which it happened."""

    name: str
    module: nn.Module
    passes: int = 0
    rows: int = 0
    width: int = 0
    first_alone: bool = False
    tuple_length: int | None = None
    matrices: list[MatrixSight] = field(default_factory=list)
    attended: list[AttentionSight] = field(default_factory=list)
    experts: list[ExpertsSight] = field(default_factory=list)
    path: list[str] = field(default_factory=list)

    def attentions(self) -> list[HeadsSight]:
        """Each attention with the matrix that writes its heads back to the stream."""
        found = []
        for seen in self.attended:
            out = next(
                (
                    matrix
                    for matrix in self.matrices[seen.before :]
                    if matrix.out_width == self.width and matrix.in_width % seen.heads == 0
                ),
                None,
            )
            if out is None:
                raise StructureError(
                    f"block {self.name}: a matrix that writes the {seen.heads} heads of "
                    f"{seen.where or 'its attention'} back to the residual stream of width "
                    f"{self.width} was looked for after that attention; ran: {self._ran()}"
                )
            projected = sum(
                matrix.out_width
                for matrix in self.matrices[: seen.before]
                if inside(matrix.name, seen.where)
            )
            found.append(HeadsSight(out, seen.heads, projected))
        return found

    def mlp(self) -> tuple[MatrixSight | None, ExpertsSight | None]:
        """The last matrix outside attention that writes the stream's width, or the experts."""
        heads_out = {id(seen.out) for seen in self.attentions()}
        outside = [
            matrix
            for matrix in self.matrices
            if matrix.out_width == self.width
            and matrix.rows == self.rows
            and id(matrix) not in heads_out
            and not any(inside(matrix.name, seen.where) for seen in self.attended)
        ]
        if not outside and not self.experts:
            raise StructureError(
                f"block {self.name}: an MLP's last matrix (it writes width {self.width}, for all "
                "tokens, outside attention) or a mixture of experts (a module with stacked "
                f"matrices that is handed chosen indices) was looked for; ran: {self._ran()}"
            )
        experts = self.experts[-1] if self.experts else None
        return outside[-1] if outside else None, experts

    def _ran(self) -> str:
        return ", ".join(f"{m.name} {m.in_width}->{m.out_width}" for m in self.matrices) or "none"


def watch(
    model: PreTrainedModel, lists: Mapping[str, list[nn.Module]], example: Mapping[str, Tensor]
) -> dict[str, list[BlockSight]]:
    """Run the model once; sights of the lists whose members all attend, in the order they ran.

    example: the forward's arguments for two rows. Raises StructureError where no list's do, where
    some of a list's do, or where a block runs more than once.
    """
    order: list[str] = []
    sights = {
        name: [BlockSight(f"{name}.{index}", module) for index, module in enumerate(members)]
        for name, members in lists.items()
    }
    with ExitStack() as hooks, torch.no_grad():
        running: list[BlockSight] = []
        for name, members in sights.items():
            for sight in members:
                hooks.enter_context(_note_passes(sight, running, order, name))
        hooks.enter_context(_AttentionWatch(running))
        model(**example, **({"use_cache": False} if model.can_generate() else {}))
    kept = {}
    for name in dict.fromkeys(order):
        members = sights[name]
        if any(sight.attended for sight in members):
            _check_members(type(model).__name__, name, members, order)
            kept[name] = members
    if not kept:
        ran = "; ".join(f"{members[0].name}: {members[0]._ran()}" for members in sights.values())
        raise StructureError(
            f"{type(model).__name__}: blocks with attention (scaled_dot_product_attention, or a "
            "softmax over rows, heads, tokens and tokens) and so with heads that a matrix writes "
            f"back to the residual stream were looked for; of their first blocks ran: {ran}"
        )
    return kept


def _check_members(model: str, name: str, members: list[BlockSight], order: list[str]) -> None:
    for sight in members:
        if sight.passes != 1:
            raise StructureError(
                f"{model}: block {sight.name} ran {sight.passes} times in one pass; blocks that "
                "run once each were looked for (weights that are shared between layers are not "
                "understood)"
            )
        if not sight.attended:
            raise StructureError(
                f"{model}: block {sight.name} has no attention while others of {name} have; "
                f"attention in every block was looked for; ran: {sight._ran()}"
            )
    place = order.index(name)
    if order[place : place + len(members)] != [name] * len(members):
        raise StructureError(
            f"{model}: the blocks of {name} were looked for one after another; those of another "
            f"list ran between them: {', '.join(dict.fromkeys(order))}"
        )


class _AttentionWatch(TorchFunctionMode):
    """Notes attention in the block that is running."""

    def __init__(self, running: list[BlockSight]) -> None:
        super().__init__()
        self.running = running

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else kwargs.get("query", kwargs.get("input"))
        attends = func is nn.functional.scaled_dot_product_attention or func in SOFTMAX
        if attends and self.running and isinstance(first, Tensor) and first.ndim == 4:
            sight = self.running[-1]
            heads, before = first.shape[1], len(sight.matrices)
            sight.attended.append(AttentionSight(sight.path[-1], heads, before))
        return func(*args, **kwargs)


@contextmanager
def _note_passes(
    sight: BlockSight, running: list[BlockSight], order: list[str], list_name: str
) -> Iterator[None]:
    """While this lasts, the block's passes are noted in `sight`, and its list in `order`."""

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        running.append(sight)
        order.append(list_name)
        sight.passes += 1
        given = args[0] if args else kwargs.get("hidden_states")
        if not isinstance(given, Tensor) or given.ndim != 3 or given.shape[0] != 2:
            shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise StructureError(
                f"block {sight.name}: a residual stream (rows, tokens, width) of two rows as first "
                f"argument or `hidden_states` was looked for; found: {shape}"
            )
        stream = _rows_apart(given)
        sight.rows, sight.width = stream[..., 0].numel(), stream.shape[-1]
        if args:
            return (stream, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": stream}

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        running.pop()
        sight.tuple_length = len(output) if isinstance(output, tuple) else None
        stream = output[0] if isinstance(output, tuple) else output
        if not isinstance(stream, Tensor) or stream.shape[-1] != sight.width:
            raise StructureError(
                f"block {sight.name}: a residual stream of width {sight.width}, as it reads, was "
                "looked for in what it returns, first; found: "
                f"{tuple(stream.shape) if isinstance(stream, Tensor) else type(stream).__name__}"
            )
        first = stream[:, 0].float()  # (2, width)
        sight.first_alone = float((first[0] - first[1]).norm()) < DIFFERENCE * float(first.norm())

    handles = [
        sight.module.register_forward_pre_hook(before, with_kwargs=True),
        sight.module.register_forward_hook(after, always_call=False),
    ]
    for name, module in sight.module.named_modules():
        handles.append(module.register_forward_pre_hook(_enter(sight, name), with_kwargs=True))
        handles.append(module.register_forward_hook(_left(sight)))
    handles += [leaf.register_forward_hook(_ran(sight, n)) for n, leaf in matrices(sight.module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rows_apart(stream: Tensor) -> Tensor:
    """Row 1 made different from row 0, except at the first position."""
    apart = stream.clone()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(stream.shape[1:], generator=generator).to(stream)
    apart[1] = stream[0] + noise * stream[0].float().std().to(stream).clamp(min=1e-3)
    apart[1, 0] = stream[0, 0]
    return apart


def _enter(sight: BlockSight, name: str) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sight.path.append(name)
        stacked = [one for one in module.parameters(recurse=False) if one.ndim == 3]
        chosen = [
            given
            for given in (*args, *kwargs.values())
            if isinstance(given, Tensor) and given.dtype in (torch.int64, torch.int32)
        ]
        if len(stacked) >= 2 and chosen:
            sight.experts.append(ExpertsSight(name, module, stacked[0].shape[0]))

    return hook


def _left(sight: BlockSight) -> Any:
    def hook(_module: nn.Module, _args: Any, _output: Any) -> None:
        sight.path.pop()

    return hook


def _ran(sight: BlockSight, name: str) -> Any:
    def hook(leaf: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor) or not args or not isinstance(args[0], Tensor):
            return
        read, wrote = args[0].shape[-1], output.shape[-1]
        rows = args[0].numel() // read
        sight.matrices.append(MatrixSight(name, leaf, rows, read, wrote))

    return hook
