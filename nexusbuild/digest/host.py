"""What machine and which libraries a result was made with: provenance, never part of a key."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from nexusbuild.digest.installed import package_folders


@cache
def host_kind() -> dict[str, str | int]:
    """The kind of machine, without its name: results are equal on machines of one kind."""
    import platform

    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "threads": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform

    return platform.processor()


@cache
def _providers() -> dict[str, list[str]]:
    from importlib import metadata

    return {name: sorted(set(dists)) for name, dists in metadata.packages_distributions().items()}


@cache
def version(distribution: str) -> str | None:
    """The installed version; None where it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def landlock_version() -> int | None:
    """Which Landlock the kernel has, by which a process can be confined; None: it has none."""
    import ctypes

    if sys.platform != "linux":
        return None
    # landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION): one number everywhere
    found = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    return int(found) if found >= 1 else None


def builder_version() -> str:
    """The version of the package that this builder came with."""
    return ", ".join(version(name) or "" for name in _providers().get("nexusbuild", ()))


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """distribution -> version, for what provides these top-level modules here."""
    names = {dist for module in modules for dist in _providers().get(module, ())}
    return {name: found for name in sorted(names) if (found := version(name)) is not None}


def changed_libraries(recorded: dict[str, str]) -> dict[str, tuple[str, str]]:
    """distribution -> (version then, version now), where they differ."""
    named = _versions_by_folder()
    # To ask what is installed takes longer than a plan: only of those whose folder looks another.
    suspects = [name for name, then in recorded.items() if named.get(_folder_name(name)) != then]
    now = {name: version(name) or "absent" for name in suspects}
    return {name: (recorded[name], now[name]) for name in suspects if now[name] != recorded[name]}


@cache
def _versions_by_folder() -> dict[str, str]:
    """`torch-2.6.0.dist-info` as torch -> 2.6.0, of each the one that Python finds first."""
    found: dict[str, str] = {}
    for _, folder in package_folders():
        name, _, rest = folder.removesuffix(".dist-info").partition("-")
        if rest and folder.endswith(".dist-info"):
            found.setdefault(_folder_name(name), rest)
    return found


def _folder_name(distribution: str) -> str:
    return distribution.lower().replace("-", "_").replace(".", "_")
