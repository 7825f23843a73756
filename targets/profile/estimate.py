"""What a profile takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.sizes import Sizes, layers_of
from targets.budget.teachers import Opened


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """Samples and background are mapped twice; a block is left out in turn, from its place on; the
    reconstruction is judged on the pilot rows, a few times.

    A third of the blocks is key; each keeps a basis of a quarter of the width.
    """
    opened, volume = Opened.of(target, sizes), sizes.volume_for(target.name.partition("/")[2])
    samples, pilot = target.settings["samples"], target.settings["pilot_samples"]
    layers = layers_of(opened.parameters)
    passes = 4 * samples + pilot * (layers / 2 + 8)
    width = (opened.parameters / (12 * layers)) ** 0.5
    return Estimate(
        opened.needs,
        opened.reading_seconds + 5 + opened.forward_seconds(passes * volume.tokens),
        disk_bytes=layers / 3 * width * width / 4 * 4,
    )
