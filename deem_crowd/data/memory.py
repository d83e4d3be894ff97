"""Refuse early, with the bytes, what would not fit into memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from deem_crowd.exceptions import MemoryNeedError

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


def available_bytes() -> int:
    """Return the bytes this process may still take: free memory, within the limits of its container and address
    space."""
    free = min([int(psutil.virtual_memory().available), *container_bytes()])
    if resource is not None:
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free = min(free, max(0, limit - int(psutil.Process().memory_info().vms)))
    return free


def container_bytes(root: str = "/") -> list[int]:
    """Return what the container's memory limits leave, one number a limit, of cgroup v2 and v1; none where there is
    none.

    Files that the system keeps in memory, and gives up when memory is asked for (``inactive_file``), are not counted as
    used.

    Parameters
    ----------
    root : str
        Where ``proc`` and ``sys`` are mounted.
    """
    try:
        lines = Path(root, "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    left: list[int] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inner = rest.partition(":")
        if controllers == "":
            base, names = Path(root, "sys/fs/cgroup"), ("memory.max", "memory.current")
            cached = "inactive_file"
        elif "memory" in controllers.split(","):
            base = Path(root, "sys/fs/cgroup/memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            cached = "total_inactive_file"
        else:
            continue
        here = base / inner.lstrip("/")
        for folder in [here, *here.parents]:  # every group above limits, too
            if folder != base and base not in folder.parents:
                break
            with contextlib.suppress(OSError, ValueError):  # "max", or no such file
                limit, used = (int((folder / name).read_text()) for name in names)
                left.append(max(0, limit - max(0, used - _stated(folder, cached))))
    return left


def _stated(folder: Path, name: str) -> int:
    """Return a number of a control group's memory.stat; 0 if it says none."""
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            key, _, number = line.partition(" ")
            if key == name:
                return int(number)
    return 0


def human(n_bytes: float) -> str:
    """Return a byte count as text, in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:,.0f} {unit}" if unit == "B" else f"{n_bytes:,.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"


def require(n_bytes: int, what: str, remedy: str) -> None:
    """Raise :class:`MemoryNeedError` if ``n_bytes`` for ``what`` are not available.

    Only asked for sizes that can matter, so that small jobs pay nothing.
    """
    if n_bytes < 64 * 2**20:
        return
    free = available_bytes()
    if n_bytes > free:
        raise MemoryNeedError(
            f"{what} would need {human(n_bytes)}, and {human(free)} are available. {remedy}"
        )
