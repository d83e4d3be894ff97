"""Parquet in the stores of Google and of Azure, which programs on this machine imitate; S3 is in test_datasets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pyarrow.dataset as ds
import pytest
from parquet_places import NAMES, crowd, hive, same
from pyarrow import fs

from deem_crowd import Answers

pytestmark = pytest.mark.filterwarnings("ignore")  # the emulators' own

ACCOUNT, KEY = "somebody", base64.b64encode(b"secret").decode()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    """A store of Google's kind; the query of URIs in it."""
    server_of = pytest.importorskip(
        "gcp_storage_emulator.server",
        reason="there is no emulator of gs://: pip install gcp-storage-emulator",
    )
    port = free_port()
    server = server_of.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    query = f"endpoint_override=127.0.0.1:{port}&scheme=http"
    place, _ = fs.FileSystem.from_uri(f"gs://anonymous@answers/?{query}&project_id=ours")
    place.create_dir("answers")
    hive(crowd(), place, "answers/by", "year")
    yield query
    server.stop()


@pytest.fixture(scope="module")
def azure() -> Iterator[str]:
    """A store of Azure's kind; where it listens."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("there is no emulator of abfss://: npm install -g azurite")
    port = free_port()
    command = [program, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    command += ["--inMemoryPersistence", "--blobPort", str(port)]
    running = subprocess.Popen(
        command, env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        here = f"127.0.0.1:{port}"
        _wait_for(port, running)
        place = fs.AzureFileSystem(
            ACCOUNT, account_key=KEY,
            blob_storage_authority=here, blob_storage_scheme="http",
            dfs_storage_authority=here, dfs_storage_scheme="http",
        )  # fmt: skip
        place.create_dir("answers")
        hive(crowd(), place, "answers/by", "year")
        yield here
    finally:
        running.terminate()
        running.wait(10)


def _wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def signature(permissions: str) -> dict[str, str]:
    """Return a shared access signature of the account: what stands in the query of a URI instead of a key."""
    told = {"sv": "2021-12-02", "ss": "b", "srt": "sco", "sp": permissions, "se": "2099-01-01T00:00:00Z"}  # fmt: skip
    lines = [ACCOUNT, permissions, "b", "sco", "", told["se"], "", "https,http", told["sv"], "", ""]
    signed = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    return told | {"spr": "https,http", "sig": base64.b64encode(signed).decode()}


def read_everything(store: str, query: str) -> None:
    """Check what is read from a store in which the crowd stands in folders by year."""
    rows = crowd()
    same(Answers.from_parquet(f"{store}/by?{query}", **NAMES), rows)
    some = rows[rows["year"] == 2026]
    where = ds.field("year") == 2026
    same(Answers.from_parquet(f"{store}/by?{query}", **NAMES, where=where), some)
    same(Answers.from_parquet(f"{store}/by/year=2026/*.parquet?{query}", **NAMES), some)
    with pytest.raises(FileNotFoundError, match=r"/elsewhere: there is no such file"):
        Answers.from_parquet(f"{store}/elsewhere?{query}")


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_the_store_of_google(google, scheme) -> None:
    read_everything(f"{scheme}://anonymous@answers", google)


@pytest.mark.parametrize("scheme", ["abfs", "abfss"])
def test_the_store_of_azure(azure, scheme) -> None:
    query = {"blob_storage_authority": azure, "dfs_storage_authority": azure, "enable_tls": "false"}
    store = f"{scheme}://answers@{ACCOUNT}.dfs.core.windows.net"
    read_everything(store, urlencode(query | signature("rl")))
    for refused in (signature("w"), {"credential_kind": "anonymous"}):
        with pytest.raises(PermissionError, match="no permission to list or read it") as told:
            Answers.from_parquet(f"{store}/by?{urlencode(query | refused)}", **NAMES)
        assert "sig=" not in str(told.value)


def test_who_has_no_credentials_is_told_within_seconds(monkeypatch, tmp_path: Path) -> None:
    """No answer comes from where credentials of a machine of Google would."""
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr("deem_crowd.data.datasets.IMPATIENT", timedelta(seconds=1))
    began = time.monotonic()
    with pytest.raises(PermissionError, match="gs://answers/by: no permission to list or read it"):
        Answers.from_parquet("gs://answers/by", **NAMES)
    assert time.monotonic() - began < 60
