"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when all went well, and leaves no trace otherwise.

    It is written beside its place, brought to the disk and renamed: a reader sees the old file or the new one, after an
    error, an interrupt or a power failure as well. A link stays a link, a file keeps its permissions, and a device or
    pipe is written directly.

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
        # A device or pipe (/dev/stdout, /dev/null) must never be replaced; that a folder is none, the system says.
        with _naming(name), open(name, "wb") as device:
            yield device
        return
    target = os.path.realpath(name)
    folder, base = os.path.split(target)
    # 64 bytes of the name keep it within what file systems take
    short = os.fsencode(base)[:64].decode(errors="ignore")
    temporary = os.path.join(folder, f".{short}.{secrets.token_hex(6)}.tmp")
    try:
        with _naming(name):
            with open(temporary, "xb") as file:
                if mode is not None:
                    os.chmod(temporary, stat.S_IMODE(mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let errors of the system name the file that was asked for, and not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        raise OSError(error.errno, error.strerror, name) from error
