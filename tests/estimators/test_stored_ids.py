"""Ids in model files come back equal and of their own type; what cannot be stored is named, with what helps."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import json
import uuid
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import FormError, UnsupportedError

DAY = datetime.date(2024, 2, 27)
NOON = datetime.datetime(2024, 2, 27, 12, 0, 0, 1)
BERLIN = ZoneInfo("Europe/Berlin")
KINDS = {
    "uuid": lambda i: uuid.UUID(int=i * 2**90),
    "date": lambda i: DAY + datetime.timedelta(days=i),
    "datetime": lambda i: NOON + datetime.timedelta(days=i),
    "datetime in a zone": lambda i: (NOON + datetime.timedelta(days=90 * i)).replace(tzinfo=BERLIN),
    "time": lambda i: datetime.time(1, 2, i, 7),
    "timedelta": lambda i: datetime.timedelta(days=-i, microseconds=1),
    "Timestamp": lambda i: pd.Timestamp("2024-02-27 00:00:00.000000001") + pd.Timedelta(days=i),
    "Timedelta": lambda i: pd.Timedelta(days=-i, nanoseconds=1),
    "Decimal": lambda i: decimal.Decimal(i).scaleb(-25) + decimal.Decimal("1.10"),
    "bytes": lambda i: bytes([0, 255, i]),
    "frozenset": lambda i: frozenset([f"x{i}", ("y", i)]),
    "tuple": lambda i: (uuid.UUID(int=i), (DAY, float(i), None, True)),
    "infinity": lambda i: [float("inf"), -float("inf"), 0.5, 2.0, 3.25, 1e300][i],
    "many kinds": lambda i: [uuid.UUID(int=1), DAY, "x", ("y", 1), b"z", decimal.Decimal("1.5")][i],
}


def crowd(make) -> pd.DataFrame:
    """Return answers of six workers whose ids, and labels, are made from numbers."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=40)
    ids = pd.Series([make(i) for i in range(6)], dtype=object)
    rows = [
        (f"t{t}", w, truth[t] if rng.random() < 0.8 else rng.integers(3))
        for t in range(40)
        for w in range(6)
    ]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    objects = {
        name: pd.Series(ids.take(frame[name]).to_list(), dtype=object)
        for name in ("worker", "label")
    }
    return frame.assign(**objects)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_come_back_equal_and_of_their_type(kind, tmp_path) -> None:
    frame = crowd(KINDS[kind])
    agg = DEEMAggregator().fit(frame)
    agg.save(tmp_path / "m")
    again = DEEMAggregator.load(tmp_path / "m")
    for one, other in ((agg.skills_.index, again.skills_.index), (agg.labels_, again.labels_)):
        assert list(map(type, one)) == list(map(type, other))
        assert list(one) == list(other)
        assert list(map(repr, one)) == list(map(repr, other)) or "zone" in kind
    pd.testing.assert_frame_equal(agg.predict_proba(frame), again.predict_proba(frame))


class Colour(enum.Enum):
    red, green, blue, white, black, grey = range(6)


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "make", [lambda i: list(Colour)[i], lambda i: ipaddress.ip_address(i), lambda i: (1, Colour(i))]
)
def test_what_cannot_be_stored_is_named_and_text_helps(make, tmp_path) -> None:
    frame = crowd(make)
    agg = DEEMAggregator().fit(frame)
    kind = type(make(0)).__name__ if not isinstance(make(0), tuple) else "Colour"
    with pytest.raises(UnsupportedError, match=f"6 worker ids .* {kind}.*fit") as caught:
        agg.save(tmp_path / "m")
    assert not (tmp_path / "m.safetensors").exists()
    assert repr(make(0)) in str(caught.value)
    assert "df['worker'] = df['worker'].astype(str)" in str(caught.value)
    text = DEEMAggregator().fit(
        frame.assign(worker=frame["worker"].astype(str), label=frame["label"].astype(str))
    )
    text.save(tmp_path / "m")
    assert len(DEEMAggregator.load(tmp_path / "m").skills_) == 6


def test_a_subclass_is_not_stored_as_what_it_is_not(tmp_path) -> None:
    class Instant(datetime.datetime):
        pass

    agg = DEEMAggregator().fit(crowd(lambda i: Instant(2024, 1, 1 + i)))
    with pytest.raises(UnsupportedError, match="Instant"):
        agg.save(tmp_path / "m")


def test_columns_and_groups_of_such_ids(tmp_path) -> None:
    names = [uuid.UUID(int=i) for i in range(4)]
    table = pd.DataFrame(np.random.default_rng(0).integers(2, size=(30, 4)), columns=names)
    DEEM().fit(table).save(tmp_path / "d")
    again = DEEM.load(tmp_path / "d")
    assert (again.predict(table[names[::-1]]) == again.predict(table)).all()
    frame = crowd(KINDS["uuid"])
    groups = {"two": [uuid.UUID(int=0), uuid.UUID(int=2**90)]}
    DEEMAggregator(groups=groups).fit(frame).save(tmp_path / "g")
    assert DEEMAggregator.load(tmp_path / "g").groups == groups


SPOILT = [
    {"UUID": "x"}, {"UUID": 3}, {"Decimal": "1e"}, {"Decimal": [1]}, {"bytes": "0g"}, {"bytes": 7},
    {"timedelta": [10**12, 0, 0]}, {"timedelta": ["a", 0, 0]}, {"time": 5}, {"float": "3"}, {"float": None},
    {"frozenset": [[]]}, {"frozenset": 3}, {"Timedelta": "x"}, {"Timestamp": {}}, {"tuple": 3},
    {"Colour": 1}, {"UUID": "0" * 32, "date": "2024-01-01"}, {"Decimal": "nan"},
]  # fmt: skip


def change(path, where: str, how) -> None:
    """Change the part of a model file that holds a text."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    (place,) = [name for name, text in header["__metadata__"].items() if where in text]
    content = json.loads(header["__metadata__"][place])
    how(content)
    header["__metadata__"][place] = json.dumps(content)
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> bytes:
    """Return the file of a model."""
    path = tmp_path_factory.mktemp("plain") / "m.safetensors"
    DEEMAggregator().fit(crowd(KINDS["uuid"])).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("spoilt", SPOILT)
def test_spoilt_ids_are_refused(spoilt, plain, tmp_path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(plain)

    def spoil(content: dict) -> None:
        content["ids"]["worker"]["values"][0] = spoilt

    change(path, '"UUID"', spoil)
    with pytest.raises(FormError, match="workers cannot be read"):
        DEEMAggregator.load(path)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory) -> bytes:
    """Return the file of a model with groups and known shares."""
    path = tmp_path_factory.mktemp("grouped") / "m.safetensors"
    names = [uuid.UUID(int=0), uuid.UUID(int=2**90)]
    balance = dict.fromkeys([KINDS["uuid"](i) for i in range(3)], 1 / 3)
    model = DEEMAggregator(groups={"two": names}, class_balance=balance)
    model.fit(crowd(KINDS["uuid"])).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("spoilt", SPOILT)
def test_spoilt_ids_of_groups_and_shares_are_refused(spoilt, grouped, tmp_path) -> None:
    def of_groups(content: dict) -> None:
        content["parameters"]["groups"]["two"][0] = spoilt

    def of_shares(content: dict) -> None:
        content["parameters"]["class_balance"]["by label"][0][0] = spoilt

    path = tmp_path / "m.safetensors"
    for how, words in ((of_groups, "groups cannot be read"), (of_shares, "balance cannot be read")):
        path.write_bytes(grouped)
        change(path, '"by label"', how)
        with pytest.raises(FormError, match=words):
            DEEMAggregator.load(path)
