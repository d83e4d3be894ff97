"""Every fault of the table says what the table says, leaves nothing half done, and shows no traceback."""

from __future__ import annotations

import copy
import os
import shlex
from pathlib import Path

import faults
import processes
import pytest
from typer.testing import CliRunner

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.cli.app import app


def by_row(table):
    return pytest.mark.parametrize("fault", table, ids=[fault.row for fault in table])


@by_row(faults.FRAMES)
@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_frames(fault) -> None:
    with pytest.raises(fault.error) as raised:
        fault.call()
    assert type(raised.value) is fault.error
    assert faults.matches(str(raised.value), fault.message), str(raised.value)


@by_row(faults.ARRAYS)
@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_arrays(fault) -> None:
    with pytest.raises(fault.error) as raised:
        fault.call()
    assert type(raised.value) is fault.error
    assert faults.matches(str(raised.value), fault.message), str(raised.value)


@by_row(faults.SHELL)
def test_shell(fault, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    for name, text in fault.files.items():
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    result = CliRunner().invoke(app, shlex.split(fault.arguments))
    assert result.exit_code == fault.status, result.output
    assert result.stdout == ""
    assert faults.matches(faults.said(result.stderr), fault.message), faults.said(result.stderr)
    assert sorted(os.listdir()) == sorted(fault.files)  # nothing half-written


@pytest.mark.parametrize(("debug", "status"), [([], 1), (["--debug"], 1)], ids=["plain", "--debug"])
def test_a_traceback_is_there_for_who_asks(debug, status, tmp_path) -> None:
    (tmp_path / "a.csv").write_text("task,worker,label\na,1,x\n,2,y\n")
    done = processes.python("-m", "deem_crowd.cli", *debug, "aggregate", "a.csv", cwd=tmp_path)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.rstrip().endswith(
        "error: a.csv: column 'task' is missing in 1 of 2 rows (rows 1; the first is row 0). Drop or repair those rows."
    )
    assert ("Traceback (most recent call last)" in done.stderr) == bool(debug)


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_what_fails_leaves_a_fitted_object_as_it_was() -> None:
    """All faults of a fit, one after the other, on an object that is fitted."""
    frames, arrays = DEEMAggregator().fit(faults.frame()), DEEM().fit(faults.matrix())
    for model, table in ((frames, faults.FRAMES), (arrays, faults.ARRAYS)):
        before = dict(vars(model))
        kept = copy.deepcopy(before)
        for fault in table:
            given = getattr(fault.call, "given", None)
            if given is None:
                continue
            data, gold, parameters = given
            for name, value in parameters.items():
                setattr(model, name, value)
            with pytest.raises(fault.error):
                model.fit(data, gold=gold) if model is arrays else model.fit(data, gold)
            for name in parameters:
                setattr(model, name, kept[name])
            assert vars(model).keys() == before.keys()
            assert all(
                vars(model)[name] is before[name] for name in before if name not in parameters
            )
