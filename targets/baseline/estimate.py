"""What a teacher's answers take."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.sizes import Sizes
from targets.budget.teachers import Opened


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """All rows that are held out are answered."""
    opened, volume = Opened.of(target, sizes), sizes.volume_for(target.name.partition("/")[2])
    held_out = volume.validation + volume.eval
    return Estimate(
        opened.needs,
        opened.reading_seconds + opened.generation_seconds(held_out, volume),
        disk_bytes=held_out * (200 + 12 * volume.answer),
    )
