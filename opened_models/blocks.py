"""The lists of modules that may be a model's blocks. Nothing runs, and no weight is needed."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel


class StructureError(ValueError):
    """The model is not understood; the message says what was looked for and what was found."""


def block_lists(model: PreTrainedModel) -> dict[str, list[nn.Module]]:
    """Outermost lists of modules that each hold at least two matrices, by name.

    Raises StructureError where there are none.
    """
    found: dict[str, list[nn.Module]] = {}
    for name, module in model.named_modules():
        inside_another = any(inside(name, outer) for outer in found)
        if not isinstance(module, nn.ModuleList) or inside_another or len(module) == 0:
            continue
        if all(sum(1 for _ in matrices(member)) >= 2 for member in module):
            found[name] = list(module)
    if not found:
        lists = [name for name, one in model.named_modules() if isinstance(one, nn.ModuleList)]
        raise StructureError(
            f"{type(model).__name__}: a list of blocks was looked for (a ModuleList each of whose "
            f"members holds at least two matrices); lists found: {', '.join(lists) or 'none'}"
        )
    return found


def matrices(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Leaves that multiply by a matrix: nn.Linear, GPT-2's Conv1D, quantised ones alike."""
    for name, leaf in module.named_modules():
        weight = getattr(leaf, "weight", None)
        is_leaf = next(leaf.children(), None) is None and not isinstance(leaf, nn.Embedding)
        if is_leaf and isinstance(weight, Tensor) and weight.ndim == 2:
            yield name, leaf


def inside(name: str, module: str) -> bool:
    """Whether the module called `name` is part of the one called `module`."""
    return bool(module) and name.startswith(f"{module}.")
