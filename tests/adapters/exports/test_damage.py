"""Every reader of JSON, given files in which one value is replaced by a hostile one, or the end is cut off."""

from __future__ import annotations

import copy
import json
import warnings

import pytest
from by_hand import write
from deem_crowd_adapters.exports.read import Export, read_export
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_of_each import FILES

from deem_crowd.exceptions import DataError, DeemCrowdError

HOSTILE = [
    None, True, 0, -1, 1.5, 10**40, float("nan"), float("inf"), "", "x" * 10_000, "\x00\ud800", "🙂", "=1+1",
    [], [None], [[1]], [{}], {}, {"a": None}, {"": {"": []}},
]  # fmt: skip


def places(value, path=()):
    """Yield the path of every value in JSON."""
    yield path
    children = enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict):
        children = value.items()
    for key, child in children:
        yield from places(child, (*path, key))


def replaced(whole, path, value):
    whole = copy.deepcopy(whole)
    into = whole
    for key in path[:-1]:
        into = into[key]
    into[path[-1]] = value
    return whole


def outcome(path):
    """Return what is read, or the error; anything but an error of the project fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read_export(path)
        except DeemCrowdError as error:
            return error


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_a_hostile_value_is_an_error_that_names_the_file_or_no_error(tmp_path, name, data) -> None:
    whole = FILES[name]
    path = data.draw(st.sampled_from([p for p in places(whole) if p]))
    value = data.draw(st.sampled_from(HOSTILE))
    found = outcome(write(tmp_path / name, replaced(whole, path, value)))
    assert isinstance(found, Export) or name in str(found)


@pytest.mark.parametrize("name", FILES)
def test_a_value_that_is_gone_is_an_error_that_names_the_file_or_no_error(tmp_path, name) -> None:
    whole = FILES[name]
    for path in [p for p in places(whole) if p]:
        less = copy.deepcopy(whole)
        into = less
        for key in path[:-1]:
            into = into[key]
        del into[path[-1]]
        found = outcome(write(tmp_path / name, less))
        assert isinstance(found, Export) or name in str(found)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_is_never_half_read(tmp_path, name) -> None:
    whole = write(tmp_path / name, FILES[name]).read_text(encoding="utf-8").rstrip()
    for size in range(1, len(whole) - 1, max(1, len(whole) // 40)):
        part = whole[:size]
        found = outcome(write(tmp_path / name, part))
        lines = part.split("\n")
        complete = name.endswith(("jsonl", "ndjson")) and _is_json(lines[-1])
        assert isinstance(found, Export) == (complete and size > 1) or name in str(found)
        if isinstance(found, Export):
            assert complete


def _is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return not text.strip()
    return True


@pytest.mark.parametrize("text", ["[]", "{}"])
def test_json_without_a_record_is_said_to_be_empty(tmp_path, text) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json is empty: JSON without a record"):
        read_export(tmp_path / "x.json")
