"""The backbone's sizes: as the spec says, or as wide and deep as the profiles need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from targets.architecture.profiles import Profile
from targets.architecture.settings import BackboneSettings
from targets.architecture.union import union_rank

# nf4 packs blocks of 64 values; tensor cores like multiples of 64 as well.
GRAIN = 64
# A block whose removal raises the negative log-likelihood by less than this share is not counted.
NEGLIGIBLE = 0.1


@dataclass(frozen=True)
class BackboneShape:
    """Sizes of the backbone, and in `why` a sentence for each of them."""

    family: str
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    intermediate_size: int
    why: Mapping[str, str]


def backbone_shape(
    settings: BackboneSettings, profiles: Sequence[Profile], widths: Mapping[str, int]
) -> BackboneShape:
    """Sizes for all profiled capabilities together.

    widths: residual stream of every teacher. Raises ValueError where given sizes do not fit.
    """
    why: dict[str, str] = {}
    hidden = settings.hidden or _hidden(profiles, widths, why)
    layers = settings.layers or _layers(profiles, why)
    heads = settings.heads or _heads(hidden, why)
    intermediate = settings.intermediate or _round_up(hidden * 8 / 3)
    if settings.intermediate is None:
        why["intermediate_size"] = f"8/3 of {hidden}, as gated MLPs have it, up to {GRAIN}s"
    for name in ("hidden", "layers", "heads", "intermediate"):
        if getattr(settings, name) is not None:
            key = name + ("_size" if name in ("hidden", "intermediate") else "")
            why[key] = f"student.backbone.{name} says so"
    if hidden % heads:
        raise ValueError(
            f"student.backbone.heads: {heads} heads do not divide the width {hidden}; choose "
            "another number, or leave it to `auto`"
        )
    if settings.quantize == "nf4":
        for name, size in (("hidden", hidden), ("intermediate", intermediate)):
            if size % GRAIN:
                raise ValueError(
                    f"student.backbone.{name}: {size} is no multiple of {GRAIN}, which nf4 packs "
                    f"by; take {_round_up(size)}, or another `bundle.quantize`"
                )
    return BackboneShape(settings.family, hidden, layers, heads, heads, intermediate, why)


def layer_ranks(profiles: Sequence[Profile]) -> dict[str, dict[int, int]]:
    """Teacher -> key layer -> directions that all of the teacher's capabilities need there."""
    ranks: dict[str, dict[int, int]] = {}
    for teacher in sorted({profile.teacher for profile in profiles}):
        own = [profile for profile in profiles if profile.teacher == teacher]
        ranks[teacher] = {
            layer: union_rank([profile.key[layer] for profile in own if layer in profile.key])
            for layer in sorted({layer for profile in own for layer in profile.key})
        }
    return ranks


def _hidden(profiles: Sequence[Profile], widths: Mapping[str, int], why: dict[str, str]) -> int:
    teacher = max(sorted(widths), key=lambda name: widths[name])
    widest = _round_up(widths[teacher])
    if not profiles:
        why["hidden_size"] = f"the width of the widest teacher, {teacher}; nothing was profiled"
        return widest
    ranks = layer_ranks(profiles)
    rank, layer, source = max(
        (rank, layer, name) for name, of_name in ranks.items() for layer, rank in of_name.items()
    )
    hidden = min(_round_up(rank), widest)
    why["hidden_size"] = (
        f"{rank} directions are needed at layer {layer} of {source}, more than anywhere else; "
        f"rounded up to a multiple of {GRAIN}, at most the width of the widest teacher, {teacher} "
        f"({widths[teacher]})"
    )
    return hidden


def _layers(profiles: Sequence[Profile], why: dict[str, str]) -> int:
    if not profiles:
        raise ValueError("student.backbone.layers: nothing is profiled to follow; give a number")
    count, teacher, capability, depth = max(
        (_needed_layers(profile), profile.teacher, profile.capability, profile.layers)
        for profile in profiles
    )
    why["layers"] = (
        f"{count} of {depth} blocks of {teacher} matter to {capability} (removing one raises the "
        f"loss by at least {NEGLIGIBLE:.0%}), more than in any other teacher"
    )
    return count


def _needed_layers(profile: Profile) -> int:
    return max(1, int((profile.relative_rises() >= NEGLIGIBLE).sum()))


def _heads(hidden: int, why: dict[str, str]) -> int:
    wanted = 32 if hidden <= 512 else 64 if hidden <= 2048 else 128
    for width in range(wanted, hidden + 1):
        # Rotary positions turn pairs of values.
        if hidden % width == 0 and width % 2 == 0:
            why["heads"] = f"heads of {width} values for a width of {hidden}"
            return hidden // width
    raise ValueError(f"student.backbone.hidden: {hidden} is odd; rotary positions need it even")


def _round_up(size: float) -> int:
    """Up to the next multiple of GRAIN, at least one."""
    return max(1, -(-int(-(-size // 1)) // GRAIN)) * GRAIN
