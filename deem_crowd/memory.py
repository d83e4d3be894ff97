"""Refuse early, with the bytes, what would not fit into memory."""

from __future__ import annotations

import psutil

from deem_crowd.exceptions import MemoryNeedError

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


def available_bytes() -> int:
    """Return the bytes this process may still take: free memory, and its address-space limit if it has one."""
    free = int(psutil.virtual_memory().available)
    if resource is not None:
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free = min(free, max(0, limit - int(psutil.Process().memory_info().vms)))
    return free


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
