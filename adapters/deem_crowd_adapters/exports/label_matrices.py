"""Matrices of labelling functions' votes: Snorkel (npy, npz, JSON) and WRENCH (JSON).

Snorkel writes −1 where a function abstains (0.9 and later) or 0 (before); WRENCH writes −1.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.exceptions import DataError, ParameterError, counted, counted_of, first_few
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, canonical

_MATRICES = ("L", "label_matrix", "weak_labels", "votes", "predictions")
"""Keys of a JSON object that hold a matrix as a list of rows."""
_GOLD = ("Y", "y", "gold", "labels", "label", "y_true", "truth", "Y_gold", "gold_labels")
_SPARSE = frozenset({"data", "indices", "indptr", "shape", "format"})
"""The arrays of a file that scipy.sparse.save_npz wrote."""
_DOUBTFUL_ZEROS = 0.5
"""If more of a matrix is 0, and nothing is −1, 0 may mean an abstention."""

Array = npt.NDArray[Any]


def _is_arrays(content: Content) -> bool:
    return content.kind == "arrays"


def _is_json_matrix(content: Content) -> bool:
    if content.kind != "object":
        return False
    return any(
        isinstance(rows := content.value.get(key), list) and rows and isinstance(rows[0], list)
        for key in _MATRICES
    )


def _is_wrench(content: Content) -> bool:
    if content.kind == "records":
        return "weak_labels" in content.keys
    if content.kind != "object":
        return False
    first = next(iter(content.value.values()), None)
    return isinstance(first, dict) and "weak_labels" in first


def _is_wrench_names(content: Content) -> bool:
    """Tell whether this is WRENCH's label.json, which names the classes."""
    return (
        content.kind == "object"
        and content.stem == "label"
        and bool(content.value)
        and all(
            key.lstrip("-").isdigit() and isinstance(name, str)
            for key, name in content.value.items()
        )
    )


def read_arrays(content: Content, collected: Collected, abstain: Any = None) -> None:
    """Add the votes of each matrix, shape (N tasks, D functions), in a file of arrays; a matrix is a question.

    Parameters
    ----------
    content : Content
    collected : Collected
    abstain : int, str or 'none', optional
        The value that stands for no vote, ``'none'`` if each value is a vote. Where it is not given, −1 abstains,
        unless the file leaves it open: the values are −1, 0 and 1 alone, or most are 0 and none is −1.

    Raises
    ------
    DataError, ParameterError
    """
    arrays: dict[str, Array] = dict(content.value)
    if set(arrays) >= _SPARSE:
        arrays = {"": _dense(arrays, content)}
        abstain = 0 if abstain is None else abstain
    _read_matrices(arrays, content, collected, abstain)


def read_json(content: Content, collected: Collected, abstain: Any = None) -> None:
    """Add the votes of a JSON object that holds a matrix as a list of rows; ``abstain`` as in :func:`read_arrays`."""
    arrays = {}
    for key, value in content.value.items():
        if key in (*_MATRICES, *_GOLD) and isinstance(value, list):
            arrays[key] = _rows_to_array(value, content, key)
    _read_matrices(arrays, content, collected, abstain)


def _read_matrices(
    arrays: dict[str, Array], content: Content, collected: Collected, abstain: Any
) -> None:
    matrices = {name: a for name, a in arrays.items() if a.ndim == 2 and min(a.shape) > 0}
    if not matrices:
        shapes = {name or "the array": a.shape for name, a in arrays.items()}
        cubes = [name for name, a in arrays.items() if a.ndim == 3]
        raise DataError(
            f"{content.name} holds no matrix of votes, shape (tasks, functions): {shapes}. "
            + (
                "For distributions, shape (tasks, classes, functions), pass the array to deem_crowd_adapters.from_soft."
                if cubes
                else "Save the matrix of votes."
            )
        )
    golds = {
        n: a for n, a in arrays.items() if (a.ndim == 1 and n.split("_")[0] in _GOLD) or n in _GOLD
    }
    read = 0
    for name, matrix in matrices.items():
        if len(matrices) > 1 and _is_real(matrix):
            collected.notes.append(f"array {name!r} holds real numbers and is left out")
            continue
        fitting = [a for a in golds.values() if a.ndim == 1 and len(a) == len(matrix)]
        fitting = fitting if len(fitting) == 1 else []
        gold = None if not fitting else fitting[0].tolist()
        _add(matrix, gold, name, content, collected, abstain)
        read += 1
    if not read:
        raise DataError(f"{content.name}: all its matrices hold real numbers, which are no votes.")


def _dense(arrays: dict[str, Array], content: Content) -> Array:
    """Return a sparse matrix in full, in which what is not stored is 0."""
    from scipy import sparse

    try:
        kind = bytes(arrays["format"].item()).decode()
        maker = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[kind]
        shape = tuple(int(n) for n in arrays["shape"])
        matrix = maker((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
        if shape[0] * shape[1] > 2**31:
            raise DataError(f"{content.name}: a matrix of shape {shape} is too large to be read.")
        return np.asarray(matrix.toarray())
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{content.name} is no complete sparse matrix: {error}.") from error


def _rows_to_array(rows: list[Any], content: Content, key: str) -> Array:
    lengths = [len(row) if isinstance(row, list) else -1 for row in rows]
    odd = [i for i, length in enumerate(lengths) if length != lengths[0]]
    if odd:
        raise DataError(
            f"{content.name}: {counted(len(odd), 'row')} of {key!r} {'has' if len(odd) == 1 else 'have'} another "
            f"length than the first (rows {first_few(odd)})."
        )
    flat = [v for row in rows for v in (row if isinstance(row, list) else [row])]
    _refuse_strange(flat, f"{content.name}, {key}")
    kinds = {type(value) for value in flat}
    if kinds <= {int, float, bool, type(None)}:
        return np.array(rows, dtype=object).astype(float)  # None becomes NaN
    return np.array(rows, dtype=str)


def _refuse_strange(values: Sequence[Any], where: str) -> None:
    strange = [v for v in values if not isinstance(v, (int, float, str, type(None)))]
    if strange:
        raise DataError(
            f"{where}: {counted(len(strange), 'vote is', 'votes are')} a {type(strange[0]).__name__} and no label "
            f"(the first: {str(strange[0])[:60]}). Votes on tokens or spans of a task are no classification."
        )
    texts = {type(v) for v in values if v is not None and v != ""}
    if str in texts and len(texts) > 1:
        raise DataError(f"{where}: some votes are text and some numbers. Write all in one way.")


def _is_real(matrix: Array) -> bool:
    return matrix.dtype.kind == "f" and bool((matrix[~np.isnan(matrix)] % 1 != 0).any())


def _add(
    matrix: Array,
    gold: list[Any] | None,
    name: str,
    content: Content,
    collected: Collected,
    abstain: Any,
    tasks: Sequence[Hashable] | None = None,
    documented: int | None = None,
) -> None:
    """Add a matrix's votes; ``documented`` is what abstains if the format itself says so."""
    where = f"{content.name}, array {name!r}" if name else content.name
    if matrix.dtype.kind not in "iufbU":
        raise DataError(f"{where} holds {matrix.dtype}, no labels. Save integers or text.")
    votes = _whole(matrix, where)
    gold = _checked_gold(gold, where)
    none = _abstention(votes, gold, where, abstain, documented)
    if abstain is None and none is None and any(0 in row for row in votes):
        collected.notes.append("0 is read as a class, and nothing as an abstention")
    tasks = list(range(len(matrix))) if tasks is None else tasks
    collected.workers_are_global = True
    question = name or "label"
    n_none = 0
    for n, row in enumerate(votes):
        collected.content.setdefault(tasks[n], f"{content.name}/{tasks[n]}")
        collected.tasks.setdefault(tasks[n])
        for i, vote in enumerate(row):
            if vote is None or vote == none:
                n_none += 1
            else:
                collected.add(question, tasks[n], f"LF {i}", vote)
        if gold is not None and gold[n] is not None and gold[n] != none:
            collected.known(question, tasks[n], gold[n])
    if n_none:
        said = "missing votes" if none is None else f"votes of {none!r}, which abstain"
        collected.skip(said, n_none)


def _checked_gold(gold: list[Any] | None, where: str) -> list[Any] | None:
    """Return gold with whole numbers as integers and None where there is none."""
    if gold is None:
        return None
    odd = [g for g in gold if isinstance(g, float) and g == g and g % 1 != 0]
    if odd:
        raise DataError(
            f"{where}: {counted(len(odd), 'gold label is no whole number', 'gold labels are no whole numbers')} "
            f"({first_few(odd)})."
        )
    return [None if g is None or g != g else int(g) if isinstance(g, float) else g for g in gold]


def _whole(matrix: Array, where: str) -> list[list[Any]]:
    """Return the votes as integers or text, None where one is NaN or empty."""
    if matrix.dtype.kind == "U":
        return [[v.strip() or None for v in row] for row in matrix.tolist()]
    if matrix.dtype.kind != "f":
        return matrix.astype(np.int64).tolist()
    given = matrix[~np.isnan(matrix)]
    real = given[(given % 1 != 0) | np.isinf(given)]
    if len(real):
        raise DataError(
            f"{where}: "
            f"{counted_of(len(real), given.size, 'entry', 'is no whole number', 'are no whole numbers', 'entries')} "
            f"({first_few(np.unique(real), 3)}), so that they are scores or features and no votes. For "
            "probabilities of classes use from_soft or a soft long table."
        )
    return [[None if v != v else int(v) for v in row] for row in matrix.tolist()]


def _abstention(
    votes: list[list[Any]],
    gold: list[Any] | None,
    where: str,
    abstain: Any,
    documented: int | None,
) -> Any:
    """Return the value that stands for no vote, None if none does."""
    values = {v for row in votes for v in row if v is not None}
    texts = any(isinstance(v, str) for v in values)
    if abstain is not None:
        return _given(abstain, values, texts)
    if texts:
        return None
    odd = sorted(v for v in values if v < -1)
    if odd:
        raise DataError(
            f"{where}: votes are negative ({first_few(odd, 3)}). Say which value stands for no vote: "
            f"abstain={odd[0]} (in the shell: --adapter-set abstain={odd[0]}), or abstain='none'."
        )
    if documented is not None:
        return documented
    truth = {g for g in gold or [] if g is not None}
    if values <= {-1, 0, 1} and -1 in values:
        if truth and -1 not in truth:
            return -1
        if -1 in truth and 0 not in truth:
            return 0
        raise DataError(
            f"{where}: the votes are {first_few(sorted(values))}, so that −1 may stand for no vote beside classes 0 "
            "and 1, or 0 beside classes −1 and 1. Say which: abstain=-1 or abstain=0 (in the shell: --adapter-set "
            "abstain=-1)."
        )
    if -1 in values:
        return -1
    if 0 not in values or 0 in truth:
        return None
    if truth:
        return 0
    if _are_zeros_doubtful(votes, values):
        zeros = sum(v == 0 for row in votes for v in row)
        raise DataError(
            f"{where}: {counted_of(zeros, sum(map(len, votes)), 'vote', 'is', 'are')} 0 and none is −1, so that 0 "
            "may be a class "
            "or stand for no vote. Say which: abstain=0, or abstain='none' if 0 is a class (in the shell: "
            "--adapter-set abstain=0)."
        )
    return None


def _are_zeros_doubtful(votes: list[list[Any]], values: set[Any]) -> bool:
    """Tell whether 0 may be an abstention: most votes are 0, or most functions know one other class alone."""
    given = [v for row in votes for v in row if v is not None]
    if given.count(0) > _DOUBTFUL_ZEROS * len(given):
        return True
    if len(values - {0}) < 2:
        return False
    columns = [set(column) - {None} for column in zip(*votes, strict=True)]
    voting = [column for column in columns if column - {0}]
    narrow = [column for column in voting if len(column - {0}) == 1 and 0 in column]
    return len(narrow) > len(voting) / 2


def _given(abstain: Any, values: set[Any], texts: bool) -> Any:
    if isinstance(abstain, str) and abstain.lower() == "none":
        return None
    if isinstance(abstain, str) and not texts:
        try:
            abstain = int(abstain)
        except ValueError:
            raise ParameterError(
                f"abstain={abstain!r} is neither a whole number nor 'none'; votes are {first_few(sorted(values))}."
            ) from None
    if isinstance(abstain, bool) or not isinstance(abstain, (int, str)):
        raise ParameterError(f"abstain={abstain!r} is neither a vote nor 'none'.")
    return abstain


def read_wrench(content: Content, collected: Collected, abstain: Any = None) -> None:
    """Add the votes of WRENCH's ``train.json``, ``valid.json`` or ``test.json``; −1 abstains, ``label`` is gold."""
    if content.kind == "records":
        pairs = [(record.get("id", i), record) for i, record in enumerate(content.value)]
    else:
        pairs = list(content.value.items())
    rows: list[list[Any]] = []
    tasks: list[Hashable] = []
    gold: list[Any] = []
    for key, record in pairs:
        place = Spot(content, f"record {key!r}")
        record = place.mapped(record, "it")
        votes = place.listed(record.get("weak_labels"), "'weak_labels'")
        _refuse_strange(votes, str(place))
        if rows and len(votes) != len(rows[0]):
            raise place.damaged(
                f"'weak_labels' has {len(votes)} votes, and the first record {len(rows[0])}"
            )
        rows.append(votes)
        tasks.append(key)
        label = record.get("label")
        if isinstance(label, (list, dict)):
            raise place.damaged(f"'label' is a {type(label).__name__} and no class")
        gold.append(None if label == -1 else label)
        collected.content[key] = canonical(record.get("data"))
    if not rows or not rows[0]:
        raise DataError(f"{content.name} (WRENCH) holds no votes: 'weak_labels' is empty.")
    matrix = _rows_to_array(rows, content, "weak_labels")
    _add(matrix, gold, "", content, collected, abstain, tasks=tasks, documented=-1)


def read_wrench_names(content: Content, collected: Collected) -> None:
    """Say which class each number is."""
    names = ", ".join(f"{key} = {name}" for key, name in list(content.value.items())[:10])
    collected.notes.append(f"classes are numbers; {content.name} calls them {names}")


FORMATS = (
    Format("wrench", "WRENCH", _is_wrench, read_wrench, ("abstain",)),
    Format("wrench", "WRENCH", _is_wrench_names, read_wrench_names),
    Format("snorkel", "label matrix (Snorkel, JSON)", _is_json_matrix, read_json, ("abstain",)),
    Format("snorkel", "label matrix (Snorkel, npy or npz)", _is_arrays, read_arrays, ("abstain",)),
)
