"""Files that are written whole or not at all, one or several together."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import BinaryIO

_STALE_SECONDS = 24 * 3600
"""After this time a temporary file is taken for one that a crash left behind."""


@dataclass(frozen=True)
class _Staged:
    """A complete temporary file, and where it goes."""

    name: str
    """The path as it was asked for; errors name it."""
    temporary: str
    target: str


_group: ContextVar[list[_Staged] | None] = ContextVar("deem_crowd_atomic_group", default=None)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` when the block ends without an error, and leaves no trace otherwise.

    It is written beside its destination, flushed to the disk and renamed: a reader sees the old file or the new one,
    also after an error, an interrupt or a power failure. A link stays a link, a file keeps its permissions, and a
    device or pipe is written directly. Temporary files that a crash left beside ``path`` more than a day ago are
    removed.

    Raises
    ------
    OSError
        As the system reports it; it names ``path``.
    """
    name = os.fspath(path)
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(name).st_mode
    if mode is not None and not stat.S_ISREG(mode):
        # A device or pipe (/dev/stdout, /dev/null) must never be replaced; a folder is refused by the system.
        with _naming(name), open(name, "wb") as device:
            yield device
        return
    target = os.path.realpath(name)
    temporary = _beside(target)
    try:
        with _naming(name), open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        _remove_stale(target)
        staged = _Staged(name, temporary, target)
        group = _group.get()
        if group is None:
            _replace([staged])
        else:
            group.append(staged)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def all_or_none() -> Iterator[None]:
    """Let every :func:`atomic_write` within the block take effect at its end, all of them or none.

    Files are replaced only when the block ends without an error. If one of them cannot be replaced, those that were
    replaced before it get their old content back. A block within another belongs to the outer one.

    Raises
    ------
    OSError
        As the system reports it; it names the path that failed.
    """
    if _group.get() is not None:
        yield
        return
    group: list[_Staged] = []
    token = _group.set(group)
    try:
        yield
        _replace(group)
    finally:
        _group.reset(token)
        for staged in group:
            with contextlib.suppress(OSError):
                os.unlink(staged.temporary)


def _replace(group: list[_Staged]) -> None:
    """Move temporary files to their targets; undo what was moved if one of them fails."""
    if len(group) == 1:  # a rename is whole by itself, and without a backup nothing may be undone
        with _naming(group[0].name):
            os.replace(group[0].temporary, group[0].target)
        return
    replaced: list[tuple[_Staged, str | None]] = []
    try:
        for staged in group:
            backup = _linked(staged.target)
            replaced.append((staged, backup))
            with _naming(staged.name):
                os.replace(staged.temporary, staged.target)
    except BaseException:
        for staged, backup in reversed(replaced):
            if not os.path.lexists(staged.temporary):  # it was moved
                with contextlib.suppress(OSError):
                    os.replace(backup, staged.target) if backup else os.unlink(staged.target)
        raise
    finally:
        for _, backup in replaced:
            if backup is not None:
                with contextlib.suppress(OSError):
                    os.unlink(backup)


def _linked(target: str) -> str | None:
    """Return a second name for what stands at ``target``; None if nothing does."""
    backup = _beside(target)
    try:
        os.link(target, backup)
    except FileNotFoundError:
        return None
    except OSError:  # a file system without hard links
        import shutil

        shutil.copy2(target, backup)
    return backup


def _beside(target: str) -> str:
    """Return the name of a temporary file in the folder of ``target``."""
    folder, base = os.path.split(target)
    return os.path.join(folder, f".{_short(base)}.{secrets.token_hex(6)}.tmp")


def _short(base: str) -> str:
    """Return the first 64 bytes of a file's name, so that a longer one is no more than file systems take."""
    return os.fsencode(base)[:64].decode(errors="ignore")


def _remove_stale(target: str) -> None:
    """Remove temporary files of the same target that are older than a day."""
    folder, base = os.path.split(target)
    form = re.compile(rf"\.{re.escape(_short(base))}\.[0-9a-f]{{12}}\.tmp")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if form.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > _STALE_SECONDS:
                    os.unlink(entry.path)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let errors of the system name the file that was asked for, and not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        raise OSError(error.errno, error.strerror, name) from error
