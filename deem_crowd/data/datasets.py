"""Parquet files wherever they stand: local or in an object store, single or in folders that are partitioned by key."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import and_
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from deem_crowd.data.batches import LongTable
from deem_crowd.exceptions import DataError

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_STORES = ("AWS Error", "google::cloud", "Azure", "HTTP")
_FORBIDDEN = (
    "ACCESS", "403", "Forbidden", "PERMISSION_DENIED", "UNAUTHENTICATED", "Authentication", "authenticate"
)  # fmt: skip
IMPATIENT = timedelta(seconds=5)
"""How long the first look at a store of Google is tried again; without credentials it would be for fifteen minutes."""
_SCAN = ds.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=True)
_FORMAT = ds.ParquetFileFormat(default_fragment_scan_options=_SCAN)


@dataclass(frozen=True)
class DataFile:
    """A parquet file.

    Attributes
    ----------
    path : str
        As the user would name it.
    place : FileSystem
    inner : str
        The path inside ``place``.
    keys : dict of str to int or str
        From folders named ``key=value``.
    """

    path: str
    place: fs.FileSystem
    inner: str
    keys: dict[str, Any]

    def fragment(self, encoded: Sequence[str] = ()) -> ds.ParquetFileFragment:
        """Return the file for a scan, some columns as the dictionaries that they are stored by; nothing is read yet."""
        told = [ds.field(name) == value for name, value in self.keys.items()]
        read = ds.ParquetReadOptions(dictionary_columns=set(encoded))
        form = ds.ParquetFileFormat(read_options=read, default_fragment_scan_options=_SCAN)
        return form.make_fragment(
            self.inner, self.place, reduce(and_, told) if told else ds.scalar(True)
        )

    def schema(self, fragment: ds.ParquetFileFragment) -> pa.Schema:
        """Return the columns, keys among them.

        Raises
        ------
        DataError
            If this is no parquet file.
        OSError
            If the system does not let it be read.
        """
        try:
            schema = fragment.physical_schema
        except (pa.ArrowException, OSError) as error:
            if _is_of_the_system(error):
                raise
            if _is_of_the_store(error):
                raise _unreachable(self.path, error) from error
            raise DataError(f"{self.path} is no parquet file: {_said(error)}") from error
        for name, value in self.keys.items():
            if name not in schema.names:
                kind = pa.int64() if isinstance(value, int) else pa.string()
                schema = schema.append(pa.field(name, kind))
        return schema

    def read_into(self, table: LongTable, where: Any = None, rows: int = 1 << 20) -> None:
        """Add the rows to a table, ``rows`` at a time; row groups are read ahead, in parallel.

        Raises
        ------
        MissingColumnError, FormError, DataError, OSError
        """
        table.expect(self.schema(self.fragment()), self.path)
        # a filter compares values, and no numbers of a dictionary
        for batch in self.batches(table.columns, where, rows, encoded=where is None):
            table.add(batch, self.path)

    def batches(
        self,
        columns: list[str],
        where: Any = None,
        rows: int = 1 << 20,
        row_groups: list[int] | None = None,
        encoded: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows, ``rows`` at a time, of all row groups or of some; text as dictionaries if ``encoded``.

        Raises
        ------
        DataError, OSError
        """
        fragment = self.fragment()
        before = self._state()
        schema = self.schema(fragment)
        if encoded:
            text = [
                name
                for name in columns
                if schema.field(name).type in (pa.string(), pa.large_string())
            ]
            text = [name for name in text if name not in self.keys]
            fragment = self.fragment(text)
            for name in text:
                kind = pa.dictionary(pa.int32(), pa.string())
                schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
        try:
            if row_groups is not None:
                fragment = fragment.subset(row_group_ids=row_groups)
            yield from fragment.to_batches(
                schema=schema, columns=columns, filter=where, batch_size=rows, batch_readahead=4
            )
        except (pa.ArrowException, OSError) as error:
            if _is_of_the_store(error):
                raise _unreachable(self.path, error) from error
            raise DataError(
                f"{self.path} cannot be read: {_said(error)}{self._changed(before)}"
            ) from error
        if self._changed(before):
            raise DataError(f"{self.path}{self._changed(before)}.")

    def _state(self) -> tuple[Any, Any]:
        info = self.place.get_file_info(self.inner)
        return info.size, info.mtime_ns

    def _changed(self, before: tuple[Any, Any]) -> str:
        """Return words about the file having changed since; nothing if it has not."""
        if self._state() == before:
            return ""
        return " changed while it was read: read a copy, or wait until it is written"


def files_of(paths: Paths, where: Any = None) -> list[DataFile]:
    """Return the files that paths, folders, patterns and URIs stand for, without those whose keys rule them out.

    Raises
    ------
    FileNotFoundError, DataError, OSError
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files: list[DataFile] = []
    for path in [os.fspath(p) for p in given]:
        files += _remote(path) if "://" in path else _local(path)
    if not files:
        raise FileNotFoundError("no parquet file was named")
    return files if where is None else _admitted(files, where)


def _local(path: str) -> list[DataFile]:
    place = fs.LocalFileSystem()
    if not os.path.isdir(path):
        return [DataFile(file, place, file, {}) for file in _expanded(path)]
    inside = sorted(glob.glob("**/*.parquet", root_dir=path, recursive=True))
    inside = [file for file in inside if not _is_hidden(file)]
    if not inside:
        raise FileNotFoundError(f"{path}: there is no such file, and no parquet file fits it")
    keys = _keys(inside)
    return [
        DataFile(os.path.join(path, file), place, os.path.join(path, file), told)
        for file, told in zip(inside, keys, strict=True)
    ]


def _expanded(path: str) -> list[str]:
    paths = [path] if os.path.exists(path) else sorted(glob.glob(path))
    if not paths:
        raise FileNotFoundError(f"{path}: there is no such file, and no parquet file fits it")
    return paths


def _remote(uri: str) -> list[DataFile]:
    """Return the files of a URI: a file, a folder, or a pattern."""
    uri, _, query = uri.partition("?") if "=" in uri.partition("?")[2] else (uri, "", "")
    base, pattern = uri, ""
    if glob.has_magic(uri):
        base = uri[: uri.rindex("/", 0, min(uri.find(sign) % (len(uri) + 1) for sign in "*?["))]
        pattern = uri[len(base) + 1 :]
    address = f"{base}?{query}" if query else base
    place, inner = _file_system(_impatient(address))
    scheme = base.partition("://")[0]
    try:
        info = place.get_file_info(inner)
        if info.type == fs.FileType.File:
            return [DataFile(uri, _file_system(address)[0], inner, {})]
        listed = place.get_file_info(fs.FileSelector(inner, recursive=True, allow_not_found=True))
    except (pa.ArrowException, OSError) as error:
        raise _unreachable(uri, error) from error
    files = sorted(one.path for one in listed if one.type == fs.FileType.File)
    inside = [os.path.relpath(file, inner) for file in files]
    inside = [
        file
        for file in inside
        if (fnmatch.fnmatch(file, pattern) if pattern else file.endswith(".parquet"))
        and not _is_hidden(file)
    ]
    if not inside:
        raise FileNotFoundError(f"{uri}: there is no such file, and no parquet file fits it")
    keys = _keys(inside)
    place, _ = _file_system(address)
    return [
        DataFile(f"{scheme}://{inner}/{file}", place, f"{inner}/{file}", told)
        for file, told in zip(inside, keys, strict=True)
    ]


def _impatient(uri: str) -> str:
    """Return a URI with a limit to how long the first look at a store of Google is tried again without credentials."""
    if not uri.startswith(("gs://", "gcs://")) or "retry_limit_seconds=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}retry_limit_seconds={IMPATIENT.total_seconds():g}"


def _file_system(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a URI and the path in it: pyarrow's own, else fsspec's."""
    try:
        place, inner = fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        import fsspec

        try:
            other, inner = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as error:
            raise DataError(f"{uri}: {_said(error)}") from error
        place = fs.PyFileSystem(fs.FSSpecHandler(other))
    except OSError as error:
        raise _unreachable(uri, error) from error
    return place, inner.rstrip("/")


def _admitted(files: list[DataFile], where: Any) -> list[DataFile]:
    """Return the files whose keys do not rule all rows out."""
    fragments = [file.fragment() for file in files]
    schema = files[0].schema(fragments[0])
    try:
        some = ds.FileSystemDataset(fragments, schema, _FORMAT, files[0].place)
        paths = {fragment.path for fragment in some.get_fragments(filter=where)}
    except pa.ArrowInvalid as error:
        raise DataError(f"the filter does not fit {files[0].path}: {_said(error)}") from error
    return [file for file in files if file.inner in paths]


def _keys(files: Sequence[str]) -> list[dict[str, Any]]:
    """Return the keys of files in folders named ``key=value``: integers where all values of a key are."""
    told = [
        dict(part.split("=", 1) for part in file.split("/")[:-1] if "=" in part) for file in files
    ]
    names = {name for keys in told for name in keys}
    whole = {
        name
        for name in names
        if all(keys[name].lstrip("-").isdecimal() for keys in told if name in keys)
    }
    return [
        {name: int(value) if name in whole else unquote(value) for name, value in keys.items()}
        for keys in told
    ]


def _is_hidden(file: str) -> bool:
    return any(part.startswith((".", "_")) for part in file.split("/"))


def _is_of_the_system(error: Exception) -> bool:
    """Tell the system's own errors from those about what is in a file."""
    return getattr(error, "errno", None) is not None


def _is_of_the_store(error: Exception) -> bool:
    """Tell errors of an object store from those about what is in a file."""
    return isinstance(error, OSError) and any(sign in str(error) for sign in _STORES)


def _unreachable(uri: str, error: Exception) -> OSError:
    """Return the error of a store that does not answer, or does not let this be read."""
    said = _said(error)
    if any(sign in said for sign in _FORBIDDEN):
        return PermissionError(
            f"{uri}: no permission to list or read it ({said}). Check the credentials."
        )
    return OSError(f"{uri} cannot be read: {said}")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
