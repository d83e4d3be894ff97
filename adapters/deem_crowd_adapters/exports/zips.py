"""Files of a zip archive, also those packed with Zstandard, which Python reads by itself from 3.14 on."""

from __future__ import annotations

import struct
import zipfile
import zlib

ZSTANDARD = 93
"""The number of the method in a zip archive, in the application note of the format."""
_LOCAL_HEADER = 30
"""Bytes before a file's name, of which the last four say how long the name and the extra field are."""


def unpacked(archive: zipfile.ZipFile, data: bytes, name: str) -> bytes:
    """Return the content of one file of an archive.

    Parameters
    ----------
    archive : ZipFile
    data : bytes
        The whole archive.
    name : str

    Raises
    ------
    zipfile.BadZipFile
        If the content is damaged.
    NotImplementedError
        If it is packed in another way.
    """
    info = archive.getinfo(name)
    if info.compress_type != ZSTANDARD:
        return archive.read(name)
    import pyarrow as pa

    header = data[info.header_offset : info.header_offset + _LOCAL_HEADER]
    if len(header) < _LOCAL_HEADER:
        raise zipfile.BadZipFile(f"the file {name!r} is cut off")
    start = info.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", header[-4:]))
    packed = data[start : start + info.compress_size]
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            content: bytes = stream.read(info.file_size)
    except OSError as error:
        raise zipfile.BadZipFile(f"the file {name!r} is damaged ({error})") from error
    if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile(f"the file {name!r} is damaged")
    return content
