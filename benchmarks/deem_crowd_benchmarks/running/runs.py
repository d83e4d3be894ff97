"""Every aggregator on every label set under every seed, each in a process of its own; results on disk as they come."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import deem_crowd
from deem_crowd.exceptions import DataError, OverwriteError, ParameterError
from deem_crowd_benchmarks.running.evaluation import MEASURES, evaluate_alone
from deem_crowd_benchmarks.running.isolation import Limits, Outcome, isolated
from deem_crowd_benchmarks.running.measures import Reliability
from deem_crowd_benchmarks.running.methods import Method
from deem_crowd_benchmarks.sets.label_set import LabelSet, Source

RESULTS = "results.jsonl"
HITS = "hits"
LOCK = "running"
"""The file that holds the number of the process that writes results."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One (aggregator, label set, seed)."""

    source: Source
    method: Method
    seed: int

    @property
    def key(self) -> str:
        """What tells it from all others in a folder of results."""
        parameters = json.dumps(dict(self.method.parameters), sort_keys=True, default=str)
        parts = (
            self.source.kind,
            self.source.name,
            self.method.label,
            str(self.method.make),
            parameters,
        )
        seeds = str(self.seed)
        if self.method.takes_seed and self.method_seed != self.seed:
            seeds += f" and {self.method_seed}"
        text = "\x1f".join((*parts, self.method.origin, seeds))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def method_seed(self) -> int:
        """The seed of the method, never the one that drew the data: its first draws could be the true labels."""
        # one bit is flipped instead of adding a number: many libraries take no seed above 2**31 - 1
        return self.seed ^ 2**30 if self.source.drawn else self.seed


def plan(sources: Sequence[Source], methods: Sequence[Method], seeds: Sequence[int]) -> list[Run]:
    """Return the runs to do, set by set; where no seed can make a difference only the first is run."""
    return [
        Run(source, method, seed)
        for source in sources
        for seed in seeds
        for method in methods
        if seed == seeds[0] or source.drawn or method.seed_parameter
    ]


def perform(
    runs: Sequence[Run],
    out: Path,
    *,
    limits: Limits,
    jobs: int = 1,
    threads: int = 1,
    retry: bool = False,
    report: Callable[[Run, Row], None] = lambda run, row: None,
) -> list[Row]:
    """Do those of ``runs`` whose rows are not in ``out`` yet, and return the rows of all of them.

    Parameters
    ----------
    runs : list of Run
    out : Path
        The folder; ``results.jsonl`` in it gets a line as each run ends. It is made if it is not there.
    limits : Limits
        Of each run. What they end is a row with its reason.
    jobs : int
        Runs at a time. Times are comparable where jobs × threads is no more than the cores there are.
    threads : int
        Threads of each run.
    retry : bool
        Do again what failed before.
    report : callable
        Called with each run and its row: first those that were there, then each as it ends.

    Raises
    ------
    DataError, ParameterError
        If a label set cannot be had, or the file of results is damaged.
    OverwriteError
        If the folder holds anything but the results of a benchmark.
    KeyboardInterrupt
        The rows so far are kept; the processes are ended.
    """
    require_own(out)
    (out / HITS).mkdir(parents=True, exist_ok=True)
    with _writing(out) as write:
        known = {row["key"]: row for row in read_rows(out)}
        rows: dict[str, Row] = {}
        todo = []
        digests = _Digests()
        for run in runs:
            row = known.get(run.key)
            if row is None or (retry and row["status"] != "ok") or not digests.agree(run, row):
                todo.append(run)
            else:
                rows[run.key] = row
                report(run, row)
        for run, row in _performed(todo, out, limits, jobs, threads, digests):
            write(row)
            rows[run.key] = row
            report(run, row)
    return [rows[run.key] for run in runs]


_ROW_START = re.compile(rb'\{"key": "[0-9a-f]{16}"')
"""How every line of results begins."""


def require_own(out: Path) -> None:
    """Check that a folder is new or empty, or holds the results of a benchmark.

    Raises
    ------
    OverwriteError
        If it holds anything else, which a benchmark would overwrite or delete.
    """
    if not out.exists() or not any(out.iterdir()):
        return
    results, lock = out / RESULTS, out / LOCK
    content = results.read_bytes() if results.is_file() else b""
    if content:
        own = _ROW_START.match(content) is not None
    else:  # stopped before its first result
        names = {path.name for path in out.iterdir()}
        own = (
            (out / HITS).is_dir()
            and not any((out / HITS).iterdir())
            and names <= {HITS, RESULTS, LOCK}
        )
    if own and lock.exists():
        own = lock.is_file() and re.fullmatch(rb"\d{0,9}", lock.read_bytes()) is not None
    if not own:
        raise OverwriteError(
            f"{out} is not a folder of benchmark results; a benchmark would overwrite files in it. Choose a new or "
            "empty folder (--out)."
        )


def read_rows(out: Path) -> list[Row]:
    """Return the rows in a folder of results, the last of each key; a line that was cut short is left out.

    Raises
    ------
    DataError
        If a line in the middle cannot be read, or holds what no benchmark writes.
    """
    path = out / RESULTS
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    by_key: dict[str, Row] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _checked(json.loads(line))
            by_key[row["key"]] = row
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if number == len(lines):  # no line end: the writer was stopped here
                break
            raise DataError(
                f"{path}, line {number}, is no result: remove the line or the file."
            ) from error
    return list(by_key.values())


_KINDS: dict[str, Any] = {
    **dict.fromkeys(("key", "kind", "set", "method", "status", "reason", "origin", "digest"), str),
    **dict.fromkeys(MEASURES, (int, float)),
    "parameters": dict,
    "reliability": dict,
    "seed": int,
    "method_seed": int,
    "warnings": list,
    "workers": list,
}
_TABLES = ("gold", "estimated")


def _checked(row: Any) -> Row:
    """Return a row whose fields, where there are any, are of the kinds that a benchmark writes.

    Raises
    ------
    ValueError, KeyError, TypeError
    """
    json.dumps(row, ensure_ascii=False, allow_nan=False).encode()  # halves of characters, NaN
    if not isinstance(row, dict):
        raise TypeError(type(row))
    kinds = {} if "decision" in row else _KINDS  # whose fields are curves along a budget
    wrong = [
        name for name, kind in kinds.items() if name in row and not isinstance(row[name], kind)
    ]
    curve = row.get("reliability", {})
    if curve:
        np.array([curve[name] for name in Reliability._fields], dtype=np.float64)
    for worker in row.get("workers", []):
        k = len(worker["classes"])
        tables = np.array([worker[name] for name in _TABLES], dtype=np.float64)
        wrong += [] if tables.shape == (2, k, k) else ["workers"]
    if "key" not in row or wrong:
        raise ValueError(wrong)
    return row


def write_rows(out: Path, rows: Sequence[Row]) -> None:
    """Append rows that were made at once; each gets a key of its content's names."""
    require_own(out)
    (out / HITS).mkdir(parents=True, exist_ok=True)
    with _writing(out) as write:
        for row in rows:
            names = [str(v) for k, v in row.items() if k in _NAMES]
            key = hashlib.blake2b("\x1f".join(names).encode(), digest_size=8).hexdigest()
            write({"key": key, **row})


_NAMES = ("sampler", "model", "decision", "kind", "set", "strategy", "seed")
"""What tells rows apart that were made at once."""


def read_hits(out: Path, row: Row) -> Any:
    """Return what each task with gold added to the accuracy of a row, shape (|G|,); None if it was not kept."""
    path = out / HITS / f"{row['key']}.npy"
    try:
        hits = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # nothing is allocated for what is not there
    except (OSError, ValueError, EOFError):
        return None
    return np.array(hits) if hits.ndim == 1 and hits.dtype.kind == "f" else None


class _Digests:
    """The label sets of the runs, loaded when first needed, and their fingerprints."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[str, str, int], LabelSet] | None = None
        self._digests: dict[tuple[str, str, int], str] = {}

    def load(self, run: Run) -> tuple[LabelSet | Source, str]:
        """Return what a run's process is handed, and the fingerprint of the data (empty for large ones)."""
        if run.source.large:
            return run.source, ""
        key = (run.source.kind, run.source.name, run.seed if run.source.drawn else 0)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, run.source.load(run.seed))
            self._digests[key] = self._kept[1].digest
        return self._kept[1], self._digests[key]

    def agree(self, run: Run, row: Row) -> bool:
        """Tell whether a row is about the data that the run would see; drawn data follow from the seed."""
        return run.source.drawn or row.get("digest") == self.load(run)[1]


def _performed(
    todo: Sequence[Run], out: Path, limits: Limits, jobs: int, threads: int, digests: _Digests
) -> Iterator[tuple[Run, Row]]:
    stop = threading.Event()
    waiting = iter(todo)
    active: dict[Future[Outcome], tuple[Run, str]] = {}
    with ThreadPoolExecutor(jobs, "deem-crowd-run") as pool:
        try:
            while True:
                while len(active) < jobs and (run := next(waiting, None)) is not None:
                    data, digest = digests.load(run)
                    call = (data, run.method, run.seed, run.method_seed, threads)
                    future = pool.submit(isolated, evaluate_alone, *call, limits=limits, stop=stop)
                    active[future] = run, digest
                if not active:
                    return
                for future in wait(active, return_when=FIRST_COMPLETED).done:
                    run, digest = active.pop(future)
                    yield run, _row(run, digest, future.result(), threads, out)
        finally:
            stop.set()


def _row(run: Run, digest: str, outcome: Outcome, threads: int, out: Path) -> Row:
    row: Row = {
        "key": run.key,
        "kind": run.source.kind,
        "set": run.source.name,
        "method": run.method.label,
        "parameters": json.loads(json.dumps(dict(run.method.parameters), default=str)),
        "origin": run.method.origin,
        "seed": run.seed,
        "digest": digest,
        "threads": threads,
        "deem_crowd": deem_crowd.__version__,
    }
    if run.method.takes_seed:
        row["method_seed"] = run.method_seed
    if outcome.status != "ok":
        return {**row, "status": outcome.status, "reason": outcome.reason}
    evaluation = outcome.value
    row |= {
        "status": evaluation.status,
        "reason": evaluation.reason,
        **evaluation.sizes,
        **evaluation.measures,
    }
    row |= {
        "warnings": evaluation.warnings,
        "reliability": evaluation.reliability,
        "workers": evaluation.workers,
    }
    if evaluation.hits is not None and not run.source.large:
        np.save(out / HITS / f"{run.key}.npy", evaluation.hits)
    return row


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[Callable[[Row], None]]:
    """Open the file of results for appending; a last line that was cut short is removed first."""
    path = out / RESULTS
    with _locked(out), path.open("ab+") as file:
        file.seek(0)
        content = file.read()
        complete = content.rfind(b"\n") + 1
        if _is_row(content[complete:]):
            file.write(b"\n")
        else:
            file.truncate(complete)

        def write(row: Row) -> None:
            file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

        yield write


def _is_row(line: bytes) -> bool:
    with contextlib.suppress(ValueError, RecursionError):
        return _ROW_START.match(line) is not None and isinstance(json.loads(line), dict)
    return False


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Refuse to write where another process does."""
    path = out / LOCK
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            text = path.read_text() if path.exists() else ""
            if text.isdigit() and psutil.pid_exists(int(text)) and int(text) != os.getpid():
                raise ParameterError(
                    f"{out} is being written to by process {text}: wait, or choose another folder."
                ) from None
            path.unlink(missing_ok=True)  # its writer is dead
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
