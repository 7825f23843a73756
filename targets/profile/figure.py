"""A profile as a picture: how variance adds up, which blocks are missed, which heads matter.

A view of a profile's files, made when someone looks: no target depends on how it looks. The same
files give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from modalities.json_files import read_json

Theme = Literal["light", "dark"]

INCHES = (13.0, 4.4)
DOTS_PER_INCH = 120
# Beyond so many blocks, numbers above bars would touch.
MOST_LABELLED = 18


@dataclass(frozen=True)
class Colours:
    """A theme. layers: of key layers, in their order; quiet: of blocks that are not key."""

    paper: str
    ink: str
    faint: str
    quiet: str
    layers: tuple[str, ...]
    heat: str


# Okabe and Ito's colours, which the colour-blind can tell apart, on each paper those that show.
COLOURS: Mapping[Theme, Colours] = {
    "light": Colours(
        "#ffffff",
        "#1f2328",
        "#d7dbe0",
        "#b4bcc6",
        ("#0072b2", "#d55e00", "#009e73", "#b8447f", "#7a5c00", "#56b4e9"),
        "YlGnBu",
    ),
    "dark": Colours(
        "#14181d",
        "#e3e7ec",
        "#343b44",
        "#58626e",
        ("#56b4e9", "#e69f00", "#2fc79a", "#e08bbd", "#f0e442", "#8fb8ff"),
        "magma",
    ),
}


def profile_figure(profile: Path, theme: Theme = "light") -> bytes:
    """PNG of the profile whose files lie in `profile`."""
    summary = read_json(profile / "profile.json")
    metas = {
        layer: read_json(profile / f"layer_{layer}_meta.json") for layer in summary["key_layers"]
    }
    heads = read_json(profile / "heads_importance.json")
    colours = COLOURS[theme]
    with rc_context(_style(colours)):
        figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        variance, ablation, importance = figure.subplots(1, 3, width_ratios=(1.1, 1.0, 1.1))
        _draw_variance(variance, summary, metas, colours)
        _draw_ablation(ablation, summary, colours)
        _draw_heads(importance, summary, heads, colours)
        figure.suptitle(_title(summary), x=0.01, ha="left", fontsize=11, fontweight="bold")
        file = io.BytesIO()
        # The library would write its version, so that an upgrade changed the bytes.
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _style(colours: Colours) -> dict[Any, Any]:
    return {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.edgecolor": colours.faint,
        "axes.labelcolor": colours.ink,
        "axes.facecolor": colours.paper,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": colours.paper,
        "savefig.facecolor": colours.paper,
        "text.color": colours.ink,
        "xtick.color": colours.ink,
        "ytick.color": colours.ink,
        "grid.color": colours.faint,
        "legend.frameon": False,
        "legend.fontsize": 8,
    }


def _title(summary: Mapping[str, Any]) -> str:
    check = summary["reconstruction"]
    verdict = "holds" if check["holds"] else "does not hold"
    name = summary["profile"].replace("/", " · ")
    return (
        f"{name}    {_words(check['metric'])} {check['whole']:.3f} whole, "
        f"{check['trials'][-1]['metric']:.3f} in its subspaces: {verdict}"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _layer_colours(summary: Mapping[str, Any], colours: Colours) -> dict[int, str]:
    chosen = colours.layers
    return {layer: chosen[place % len(chosen)] for place, layer in enumerate(summary["key_layers"])}


def _draw_variance(
    axes: Axes,
    summary: Mapping[str, Any],
    metas: Mapping[int, Mapping[str, Any]],
    colours: Colours,
) -> None:
    aim = summary["reconstruction"]["explained_variance"]
    for layer, colour in _layer_colours(summary, colours).items():
        meta = metas[layer]
        rank = meta["k"] - len(meta["massive_channels"])
        curve, heldout = meta["curve"], meta.get("heldout_curve", [])
        shown = min(len(curve), max(8, 3 * rank))
        of_rank = f"block {layer}: {meta['k']} of {meta['d']}"
        axes.plot(np.arange(1, shown + 1), curve[:shown], color=colour, label=of_rank)
        axes.plot(
            np.arange(1, min(shown, len(heldout)) + 1),
            heldout[:shown],
            color=colour,
            ls=(0, (3, 2)),
        )
        axes.plot([rank], [curve[rank - 1]], "o", color=colour, markersize=5)
    axes.axhline(aim, color=colours.ink, linewidth=0.8, linestyle=":")
    axes.set_title("Explained variance")
    axes.set_xlabel("directions")
    axes.set_ylim(top=1.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", linewidth=0.6)
    axes.plot([], [], color=colours.ink, linestyle=(0, (3, 2)), label="on held-out rows")
    axes.plot(
        [], [], color=colours.ink, linestyle=":", linewidth=0.8, label=f"asked for: {aim:.1%}"
    )
    axes.legend(loc="lower right")


def _draw_ablation(axes: Axes, summary: Mapping[str, Any], colours: Colours) -> None:
    rises = np.array(summary["ablation"]["nll_rise"])
    of_key = _layer_colours(summary, colours)
    bars = [of_key.get(layer, colours.quiet) for layer in range(len(rises))]
    axes.bar(np.arange(len(rises)), rises, color=bars, width=0.8)
    axes.axhline(0, color=colours.ink, linewidth=0.8)
    metric = _words(summary["ablation"]["metric"])
    axes.set_title(f"Loss (bar) and {metric} without a block")
    axes.set_xlabel("block removed")
    axes.set_ylabel(f"rise, {summary['ablation'].get('unit', 'nats per answer token')}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.set_xlim(-0.7, len(rises) - 0.3)
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)
    low, high = min(0.0, rises.min()), max(0.0, rises.max())
    axes.set_ylim(low - 0.04 * (high - low), high + 0.14 * (high - low) or 1)
    if len(rises) <= MOST_LABELLED:
        for layer, without in summary["ablation"]["without"].items():
            top = max(float(rises[int(layer)]), 0.0)
            axes.annotate(
                f"{without:.2f}",
                (int(layer), top),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    _mark_towers(axes, summary, colours)


def _draw_heads(
    axes: Axes, summary: Mapping[str, Any], heads: Mapping[str, Any], colours: Colours
) -> None:
    grid = head_grid(heads["heads"])
    image = axes.imshow(grid.T, aspect="auto", origin="lower", cmap=colours.heat, vmin=0)
    axes.set_facecolor(colours.faint)  # where a block has no such head
    axes.set_title(f"Importance of heads ({heads['method']})")
    axes.set_xlabel("block (×: removed before a second look)")
    axes.set_ylabel("head")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    for block, group in heads["removed_groups"]:
        size = len(heads["heads"][str(block)]) // len(heads["groups"][str(block)])
        middles = np.arange(group * size, (group + 1) * size)
        axes.plot(np.full(size, block), middles, "x", color=colours.ink, markersize=4)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(heads["unit"])
    bar.ax.tick_params(length=0)
    _mark_towers(axes, summary, colours)


def _mark_towers(axes: Axes, summary: Mapping[str, Any], colours: Colours) -> None:
    """A line before every tower but the first."""
    for tower in summary.get("towers", [])[1:]:
        axes.axvline(tower["first_layer"] - 0.5, color=colours.ink, linewidth=0.8, linestyle="--")


def head_grid(by_block: Mapping[str, list[float]]) -> NDArray[np.float64]:
    """Importance (blocks, heads); NaN where a block has fewer heads than another."""
    most = max(len(values) for values in by_block.values())
    grid = np.full((len(by_block), most), np.nan)
    for block, values in by_block.items():
        grid[int(block), : len(values)] = values
    return grid
