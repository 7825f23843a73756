"""What opening a teacher takes, and running it."""

from __future__ import annotations

from dataclasses import dataclass

from nexusbuild.plugins import Needs, Target
from targets.budget import devices
from targets.budget.devices import DISK_BYTES_PER_SECOND, DeviceClass, device_class
from targets.budget.needs import opened_needs
from targets.budget.sizes import STORED_BYTES_PER_PARAMETER, Sizes
from targets.budget.volumes import Volume


@dataclass(frozen=True)
class Opened:
    """The teacher that a target opens: its size, its precision and what it runs on."""

    parameters: int
    load: str
    device: DeviceClass
    needs: Needs

    @staticmethod
    def of(target: Target, sizes: Sizes) -> Opened:
        """The teacher that a target is named after."""
        teacher, hardware = target.name.partition("/")[0], sizes.spec.hardware
        parameters, load = sizes.teacher(teacher), target.settings["load"]
        needs = opened_needs(hardware, sizes.teachers[teacher], load)
        return Opened(parameters, load, device_class(hardware, parameters), needs)

    @property
    def reading_seconds(self) -> float:
        """Of reading its files."""
        return 1 + self.parameters * STORED_BYTES_PER_PARAMETER / DISK_BYTES_PER_SECOND

    def forward_seconds(self, tokens: float) -> float:
        """Of reading so many tokens."""
        return devices.forward_seconds(self.parameters, tokens, self.device)

    def generation_seconds(self, items: int, volume: Volume) -> float:
        """Of answering so many prompts of a data set."""
        return devices.generation_seconds(
            self.parameters, self.load, items, volume.tokens, volume.answer, self.device
        )
