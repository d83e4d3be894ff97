"""A crowd's answers as Parquet partitioned by key, and an object store on this machine to hold them."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyarrow import fs

from deem_crowd import Answers


def crowd(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "item": np.arange(n) // 4,
            "year": np.where(np.arange(n) < n // 2, 2025, 2026),
            "source": rng.choice(["anna", "b/o b", "čeněk"], n),
            "said": rng.choice(["cat", "dog"], n),
        }
    ).drop_duplicates(["item", "source"])


NAMES = {"task": "item", "worker": "source", "label": "said"}


def as_read(rows: pd.DataFrame) -> pd.DataFrame:
    frame = Answers.from_frame(rows, **NAMES).to_frame()
    return (
        frame.sort_values(["task", "worker"])
        .reset_index(drop=True)
        .astype({"worker": str, "label": str})
    )


def same(found: Answers, rows: pd.DataFrame) -> None:
    frame = found.to_frame().sort_values(["task", "worker"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(
        frame.astype({"worker": str, "label": str}), as_read(rows), check_dtype=False
    )


def hive(rows: pd.DataFrame, place: fs.FileSystem, base: str, *keys: str) -> None:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    fields = pa.schema([table.schema.field(key) for key in keys])
    ds.write_dataset(
        table,
        base,
        filesystem=place,
        format="parquet",
        partitioning=ds.partitioning(fields, flavor="hive"),
    )


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An object store on this machine; the query of URIs in it."""
    server_of = pytest.importorskip(
        "moto.server", reason="moto is not installed: pip install 'moto[s3]' flask-cors"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = server_of.ThreadedMotoServer(port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"endpoint_override=http://{host}:{port}&region=us-east-1&allow_bucket_creation=true"
        server.stop()


def ask_who_it_is(endpoint: str, after: bytes) -> None:
    """Have the store refuse strangers after so many requests."""
    headers = {"Content-Type": "text/plain"}
    url = f"{endpoint}/moto-api/reset-auth"
    urllib.request.urlopen(urllib.request.Request(url, data=after, headers=headers)).close()
