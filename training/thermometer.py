"""How hot the GPU is, by NVIDIA's management library where it is installed."""

from __future__ import annotations

from collections.abc import Callable

Thermometer = Callable[[], float]
"""Degrees Celsius now."""


def gpu_thermometer() -> Thermometer | None:
    """Reads the hottest NVIDIA GPU; None where there is none, or no `nvidia-ml-py`."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
    except pynvml.NVMLError:
        return None
    if not handles:
        return None

    def hottest() -> float:
        sensor = pynvml.NVML_TEMPERATURE_GPU
        return float(max(pynvml.nvmlDeviceGetTemperature(handle, sensor) for handle in handles))

    return hottest
