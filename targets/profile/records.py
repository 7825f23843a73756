"""A profile on disk. Subspaces, statistics and text; never an activation of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modalities.json_files import write_json, write_rows
from modalities.text.asking import Answers
from opened_models.structure import Structure
from targets.profile.ablation import Ablation
from targets.profile.activation_mapping import ActivationMap
from targets.profile.coefficients import Coefficients
from targets.profile.head_importance import HeadImportance
from targets.profile.heldout import HeldoutVariance
from targets.profile.pilot import Pilot
from targets.profile.reconstruction import Basis, Reconstruction
from targets.profile.settings import Settings
from targets.profile.sinks import SinkFilter
from targets.profile.streaming_pca import Spectrum

# Fewer tokens than this many times k, and the rank says more of the sample than of the model.
TOKENS_PER_DIRECTION = 10
# A larger difference between a basis' own and held-out share of variance is warned of.
HELDOUT_GAP = 0.05
SELECTIVE_NEURONS = 16


@dataclass(frozen=True)
class Findings:
    """What the stages found, in memory. metric: how answers were scored. unit: of losses."""

    structure: Structure
    metric: str
    unit: str
    pilot: Pilot
    answers: Answers
    ablation: Ablation
    heads: HeadImportance
    activations: ActivationMap
    spectra: Mapping[int, Spectrum]
    sinks: Mapping[int, SinkFilter]
    heldout: Mapping[int, HeldoutVariance]
    reconstruction: Reconstruction
    bases: Mapping[int, Basis]
    coefficients: Mapping[int, Coefficients]


def write_profile(out: Path, name: str, settings: Settings, found: Findings) -> None:
    """Write basis, coefficients and meta of each key layer, heads, neurons, answers, summary."""
    ids = [str(row["id"]) for row in found.pilot.mapped]
    layers: dict[str, Any] = {}
    for layer, basis in found.bases.items():
        write_basis(out / f"layer_{layer}_basis.npz", basis, found.spectra[layer])
        np.savez(out / f"layer_{layer}_coeffs.npz", **found.coefficients[layer].arrays(ids))  # type: ignore[arg-type]
        layers[str(layer)] = _layer_summary(layer, found)
        write_json(out / f"layer_{layer}_meta.json", _layer_meta(layer, layers[str(layer)], found))
    write_json(out / "heads_importance.json", _heads(found))
    np.savez(out / "neurons.npz", **_neurons(found))  # type: ignore[arg-type]
    kept = found.answers.part(0, settings.verify_outputs)
    write_rows(
        out / "verify_outputs.jsonl",
        (
            {"id": row["id"], "prompt": row["prompt"], "answer": text}
            for row, text in zip(kept.rows, kept.texts)  # no texts where nothing is answered
        ),
    )
    size = sum(file.stat().st_size for file in out.iterdir())
    write_json(out / "profile.json", _summary(name, settings, found, layers, size))


def write_basis(path: Path, basis: Basis, found: Spectrum) -> None:
    """basis float16 (d, k), mean (d,), singular_values (k,), deviations (k,); float32."""
    weight = max(found.weight, 0.0)
    np.savez(
        path,
        basis=basis.matrix.numpy(),
        mean=basis.mean.numpy(),
        singular_values=(basis.deviations.double() * weight**0.5).float().numpy(),
        deviations=basis.deviations.numpy(),
    )


def _layer_summary(layer: int, found: Findings) -> dict[str, Any]:
    spectrum, basis, ablation = found.spectra[layer], found.bases[layer], found.ablation
    return {
        "d": found.structure.blocks[layer].width,
        "tower": found.structure.blocks[layer].tower,
        "k": basis.matrix.shape[1],
        "explained_variance": _round_value(spectrum.explained()[basis.rank - 1]),
        "heldout_explained_variance": _round_value(
            found.heldout[layer].explained()[basis.rank - 1]
        ),
        "tokens": spectrum.rows,
        "heldout_tokens": found.heldout[layer].rows,
        "massive_channels": list(spectrum.massive),
        "sink_tokens": found.sinks[layer].left_out,
        "ablation_drop": _round_value(ablation.metric_drop(layer) or 0.0),
        "nll_rise": _round_value(ablation.rises[layer]),
    }


def _layer_meta(layer: int, summary: Mapping[str, Any], found: Findings) -> dict[str, Any]:
    neurons = found.activations.neurons(layer)
    selective = neurons.selectivity().topk(min(SELECTIVE_NEURONS, len(neurons.frequency)))
    heads = found.activations.heads(layer)
    return {
        **summary,
        "curve": [_round_value(share) for share in found.spectra[layer].explained()],
        "heldout_curve": [_round_value(share) for share in found.heldout[layer].explained()],
        "neurons": {
            "count": len(neurons.frequency),
            "mean_frequency": _round_value(neurons.frequency.mean()),
            "mean_magnitude": _round_value(neurons.magnitude.mean()),
            "background_mean_frequency": _round_value(neurons.background_frequency.mean()),
            "background_mean_magnitude": _round_value(neurons.background_magnitude.mean()),
            "most_selective": [
                {"neuron": int(neuron), "selectivity": _round_value(value)}
                for value, neuron in zip(selective.values, selective.indices, strict=True)
            ],
        },
        "heads": {
            "mean_norm": [_round_value(value) for value in heads.magnitude],
            "background_mean_norm": [_round_value(value) for value in heads.background_magnitude],
        },
    }


def _heads(found: Findings) -> dict[str, Any]:
    def by_layer(values: tuple[tuple[float, ...], ...]) -> dict[str, list[float]]:
        return {str(i): [_round_value(value) for value in layer] for i, layer in enumerate(values)}

    heads = found.heads
    return {
        "method": heads.method,
        "unit": found.unit,
        "samples": len(found.pilot.ablated),
        "heads": by_layer(heads.heads),
        "groups": by_layer(heads.groups),
        "removed_groups": [list(group) for group in heads.removed],
        "heads_after_removal": by_layer(heads.heads_after),
    }


def _neurons(found: Findings) -> dict[str, np.ndarray]:
    arrays = {}
    for block in found.structure.blocks:
        statistics = found.activations.neurons(block.index)
        for name, values in vars(statistics).items():
            arrays[f"layer_{block.index}_{name}"] = values.numpy()
    return arrays


def _summary(
    name: str, settings: Settings, found: Findings, layers: Mapping[str, Any], size: int
) -> dict[str, Any]:
    structure, ablation, check = found.structure, found.ablation, found.reconstruction
    return {
        "profile": name,
        "hidden_size": structure.hidden_size,
        "num_layers": len(structure.blocks),
        "heads": structure.blocks[-1].heads,
        "towers": [
            {
                "name": tower.name,
                "first_layer": tower.first,
                "layers": tower.count,
                "hidden_size": tower.width,
            }
            for tower in structure.towers
        ],
        "key_layers": list(ablation.key_layers),
        "layers": layers,
        "samples": {
            "mapped": len(found.pilot.mapped),
            "ablated": len(found.pilot.ablated),
            "heldout": len(found.pilot.heldout),
            "with_coefficients": len(found.coefficients[ablation.key_layers[0]].by_sample),
        },
        "ablation": {
            "nll": _round_value(ablation.nll),
            "nll_rise": [_round_value(rise) for rise in ablation.rises],
            "order": list(ablation.order),
            "joint_nll_rise": [_round_value(rise) for rise in ablation.joint_rises],
            "unit": found.unit,
            "metric": found.metric,
            "whole": _round_value(ablation.metric),
            "without": {str(layer): _round_value(m) for layer, m in ablation.metrics.items()},
        },
        "reconstruction": {
            "metric": found.metric,
            "whole": _round_value(check.metric),
            "samples": check.samples,
            "max_fall": settings.max_metric_fall,
            "holds": check.holds,
            "explained_variance": check.explained_variance,
            "trials": [
                {
                    "explained_variance": trial.explained_variance,
                    "k": {str(layer): rank for layer, rank in trial.ranks.items()},
                    "metric": _round_value(trial.metric),
                    "fall": _round_value(trial.fall),
                    "interval_95": [_round_value(bound) for bound in trial.interval],
                    "holds": trial.holds,
                }
                for trial in check.trials
            ],
        },
        "warnings": warnings(found, settings.max_metric_fall),
        "bytes": size,
    }


def warnings(found: Findings, max_fall: float) -> list[str]:
    """What a person should know before trusting the profile, a sentence each."""
    doubts = [
        f"layer {layer}: {spectrum.rows} tokens are fewer than {TOKENS_PER_DIRECTION} times its "
        f"{found.bases[layer].rank} directions; its rank is bounded by the sample"
        for layer, spectrum in found.spectra.items()
        if spectrum.rows < TOKENS_PER_DIRECTION * found.bases[layer].rank
    ]
    for layer, spectrum in found.spectra.items():
        own, elsewhere = (
            float(source.explained()[found.bases[layer].rank - 1])
            for source in (spectrum, found.heldout[layer])
        )
        if own - elsewhere > HELDOUT_GAP:
            doubts.append(
                f"layer {layer}: its directions explain {own:.3f} of the variance that they were "
                f"made from and {elsewhere:.3f} of held-out text; more pilot rows would change them"
            )
        if own < found.reconstruction.explained_variance - 1e-6:
            doubts.append(
                f"layer {layer}: its sketch holds {own:.3f} of the variance, less than was asked"
            )
    if not found.reconstruction.holds:
        last = found.reconstruction.trials[-1]
        low, high = last.interval
        doubts.append(
            f"{found.metric} gets worse by {last.fall:.3f} (95 % interval {low:.3f} to "
            f"{high:.3f}) even at explained variance {last.explained_variance}, the last that is "
            f"tried, where less than {max_fall:g} was asked: the capability does not fit its "
            "subspaces. Ranks and protected subspaces are those of this last trial; take them as "
            "too small, or allow more with `profile.max_metric_fall`"
        )
    return doubts


def _round_value(value: float | torch.Tensor) -> float:
    """Eight significant digits: more is noise of the summation order."""
    return float(f"{float(value):.8g}")
