"""What a trace takes."""

from __future__ import annotations

from nexusbuild.plugins import Target
from targets.budget.estimate import Estimate
from targets.budget.sizes import Sizes
from targets.budget.teachers import Opened


def estimate(target: Target, sizes: Sizes) -> Estimate:
    """Every training row is read, and answered first where the teacher's own answers are learned.

    Kept are log-probabilities with packed indices, and the row itself.
    """
    opened, volume = Opened.of(target, sizes), sizes.volume_for(target.name.partition("/")[2])
    seconds = opened.forward_seconds(volume.train * volume.tokens)
    if target.settings["answers"] == "teacher":
        seconds += opened.generation_seconds(volume.train, volume)
    top = target.settings["top_k"]
    return Estimate(
        opened.needs,
        opened.reading_seconds + seconds,
        disk_bytes=volume.train * (200 + volume.answer * (5 * top + 8)),
    )
