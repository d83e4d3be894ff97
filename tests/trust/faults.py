"""Data that cannot be used, row by row of the contract for bad input, for both classes and the shell.

Messages are exact; ``{*}`` stands for words of another library, or a list that another test knows.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEM, Answers, DEEMAggregator, adapters
from deem_crowd.cli.intake import HOW_TO_READ
from deem_crowd.exceptions import (
    DataError,
    FormError,
    MissingColumnError,
    ParameterError,
    UnsupportedError,
)


def frame(**columns: Any) -> pd.DataFrame:
    """Return a small sound frame with columns replaced; None leaves one out."""
    sound = {"task": list("aabb"), "worker": [1, 2, 1, 2], "label": list("xyyx")}
    return pd.DataFrame({k: v for k, v in (sound | columns).items() if v is not None})


def objects(*values: Any) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def matrix(rows: int = 6, columns: int = 4, k: int = 3, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).integers(0, k, (rows, columns))
    found[0, :k] = range(k)
    return found


def soft(change: Callable[[np.ndarray], Any] = lambda array: None) -> np.ndarray:
    """Return distributions, shape (6, 3, 4), spoilt in place by ``change``."""
    array = np.random.default_rng(0).dirichlet(np.ones(3), (6, 4)).transpose(0, 2, 1).copy()
    change(array)
    return array


def put(value: float, *place: int) -> Callable[[np.ndarray], Any]:
    return lambda array: array.__setitem__(place, value)


@dataclass(frozen=True)
class Fault:
    """A call that has to fail, and what it has to say."""

    row: str
    call: Callable[[], Any]
    error: type[Exception]
    message: str


class fit:
    """Fits a new DEEMAggregator when called; what it is given can be taken for another one."""

    def __init__(self, data: Any, gold: Any = None, **parameters: Any) -> None:
        self.given = data, gold, parameters

    def __call__(self) -> Any:
        data, gold, parameters = self.given
        return DEEMAggregator(progress=False, **parameters).fit(data, gold)


class fit_array(fit):
    """The same for DEEM."""

    def __call__(self) -> Any:
        data, gold, parameters = self.given
        return DEEM(progress=False, **parameters).fit(data, gold=gold)


def fitted(**parameters: Any) -> DEEMAggregator:
    return DEEMAggregator(progress=False, **parameters).fit(frame())


FRAMES = [
    Fault("a column missing", fit(frame(worker=None)),
          MissingColumnError, "missing columns 'worker'; found 'task', 'label'. Rename the columns: df.rename(columns={…: 'worker'})."),
    Fault("all columns missing: a wide frame", fit(pd.DataFrame({"ann": ["x"], "bob": ["y"]})),
          MissingColumnError, "missing columns 'task', 'worker', 'label'; found 'ann', 'bob'. For a wide frame (one row a task, one column a worker) use deem_crowd_adapters.from_wide(df)."),
    Fault("a wide frame with its tasks", fit(pd.DataFrame({"task": [1], "ann": ["x"], "bob": ["y"]})),
          MissingColumnError, "missing columns 'worker', 'label'; found 'task', 'ann', 'bob'. For a wide frame (one row a task, one column a worker) use deem_crowd_adapters.from_wide(df)."),
    Fault("a column renamed", fit(frame().rename(columns={"label": "answer"})),
          MissingColumnError, "missing columns 'label'; found 'task', 'worker', 'answer'. Rename the columns: df.rename(columns={'answer': 'label'}), if these are meant."),
    Fault("columns in capitals and with blanks", fit(frame().set_axis(["Item ID", "Worker", "Label"], axis=1)),
          MissingColumnError, "missing columns 'task', 'worker', 'label'; found 'Item ID', 'Worker', 'Label'. Rename the columns: df.rename(columns={'Item ID': 'task', 'Worker': 'worker', 'Label': 'label'}), if these are meant."),
    Fault("a pivoted frame where a long one is needed", lambda: Answers.from_frame(frame().drop_duplicates(["task", "worker"]).pivot(index="task", columns="worker", values="label")),
          MissingColumnError, "missing columns 'task', 'worker', 'label'; found {*}. For a wide frame (one row a task, one column a worker) use deem_crowd_adapters.from_wide(df)."),
    Fault("probabilities instead of labels", fit(pd.DataFrame({"task": [1], "worker": ["ann"], "no": [0.2], "yes": [0.8]})),
          MissingColumnError, "missing columns 'label'; found 'task', 'worker', 'no', 'yes'. For probabilities, one column a class, use deem_crowd_adapters.from_soft_long(df)."),
    Fault("a column in the index", fit(frame().set_index("task")),
          MissingColumnError, "missing columns 'task'; found 'worker', 'label'. 'task' is in the index: call df.reset_index() first."),
    Fault("a column twice", fit(pd.concat([frame(), frame()[["label"]]], axis=1)),
          FormError, "column 'label' stands 2 times in the frame. Keep one of them."),
    Fault("missing task", fit(frame(task=["a", None, "b", np.nan])),
          DataError, "column 'task' is missing in 2 of 4 rows (rows 1, 3). Drop or repair those rows: df.dropna(subset=['task'])."),
    Fault("missing worker", fit(frame(worker=[1, np.nan, 1, 2])),
          DataError, "column 'worker' is missing in 1 of 4 rows (rows 1). Drop or repair those rows: df.dropna(subset=['worker']).astype({'worker': 'int64'}), since pandas has made 1.0 of 1 where others are missing."),
    Fault("missing label", fit(frame(label=["x", None, "y", np.nan])),
          DataError, "column 'label' is missing in 2 of 4 rows (rows 1, 3). Drop those rows, or pass missing='drop' to leave them out."),
    Fault("1 and '1'", fit(frame(label=objects(1, "1", 2, "2"))),
          DataError, "column 'label' mixes kinds that read or compare alike: 1 (int) and '1' (str); 2 (int) and '2' (str) (2 such pairs). Convert the column to one dtype first, e.g. df['label'].astype(str)."),
    Fault("True and 1", fit(frame(label=objects(True, 1, True, 0))),
          DataError, "column 'label' mixes kinds that read or compare alike: True (bool) and 1 (int) (1 such pair). Convert the column to one dtype first, e.g. df['label'].astype(str)."),
    Fault("1 and 1.0", fit(frame(label=objects(1, 1.0, 2, 2))),
          DataError, "column 'label' mixes kinds that read or compare alike: 1 (int) and 1.0 (float) (1 such pair). Convert the column to one dtype first, e.g. df['label'].astype('Int64')."),
    Fault("1 and '1' among workers", fit(frame(worker=objects(1, "1", 2, "2"))),
          DataError, "column 'worker' mixes kinds that read or compare alike: 1 (int) and '1' (str); 2 (int) and '2' (str) (2 such pairs). Convert the column to one dtype first, e.g. df['worker'].astype(str)."),
    Fault("labels that are lists", fit(frame(label=objects(["x"], ["y"], ["x"], ["y"]))),
          FormError, "column 'label' holds 4 lists (['x'], ['y'], ['x'], ['y']): several labels in one answer. Aggregate them with crowd-kit's BinaryRelevance(DEEMAggregator()), one yes-or-no question a label, or give one row a label."),
    Fault("another label by the same worker", fit(frame(task=list("aaab"), worker=[1, 1, 2, 2]), duplicates="error"),
          DataError, "1 answer repeats a (task, worker) pair with another label ('task a, worker 1'). Keep one answer of each pair, or pass duplicates='last' or 'first'."),
    Fault("gold with a label nobody used", fit(frame(), {"a": "z"}),
          DataError, "gold holds 1 label that no worker gave: 'z'. Labels given: 'x', 'y'. Correct gold, or leave those tasks out. Where such a label is right, pass all classes with the answers: deem_crowd.Answers.from_frame(df, classes=[…])."),
    Fault("gold twice for a task", fit(frame(), pd.DataFrame({"task": ["a", "a"], "label": ["x", "y"]})),
          DataError, "gold gives 1 task more than one label: 'a'. Keep one of them."),
    Fault("gold without a column", fit(frame(), pd.DataFrame({"task": ["a"], "truth": ["x"]})),
          MissingColumnError, "gold as a frame needs columns 'task' and 'label'; found 'task', 'truth'. Rename them, or pass a Series of labels whose index is the tasks."),
    Fault("gold as a path", fit(frame(), "gold.csv"),
          FormError, "gold is a str of unknown order; pass a Series indexed by task, a dict task → label, or a DataFrame with columns 'task' and 'label'. A file is read by deem_crowd_adapters.read_gold(path)."),
    Fault("gold of no known form", fit(frame(), np.array(["x", "y"])),
          FormError, "gold is a ndarray of unknown order; pass a Series indexed by task, a dict task → label, or a DataFrame with columns 'task' and 'label'."),
    Fault("a list instead of a frame", fit([["a", 1, "x"]]),
          FormError, "expected a DataFrame with columns 'task', 'worker', 'label', got list. Rows and dicts become one by pd.DataFrame(data, columns=[…]); a matrix of labels goes to deem_crowd.DEEM, other tables and files to deem_crowd_adapters.to_answers."),
    Fault("an array instead of a frame", fit(np.zeros((3, 2), dtype=int)),
          FormError, "expected a DataFrame with columns 'task', 'worker', 'label', got ndarray. Rows and dicts become one by pd.DataFrame(data, columns=[…]); a matrix of labels goes to deem_crowd.DEEM, other tables and files to deem_crowd_adapters.to_answers."),
    Fault("misspelt parameter", lambda: DEEMAggregator(n_itr=3),
          ParameterError, "DEEMAggregator has no parameter 'n_itr'. Did you mean 'n_iter'? It has: {*}."),
    Fault("misspelt set_params", lambda: DEEMAggregator().set_params(penlty=1),
          ParameterError, "DEEMAggregator has no parameter 'penlty'. Did you mean 'penalty'? It has: {*}."),
    Fault("n_iter=-1", fit(frame(), n_iter=-1),
          ParameterError, "n_iter=-1 is not allowed: n_iter is an integer >= 0."),
    Fault("init_method='nope'", fit(frame(), init_method="nope"),
          ParameterError, "init_method='nope' is not allowed: init_method is one of 'mv', 'mv_rand', 'mv_lo', 'rand'."),
    Fault("device='tpu'", fit(frame(), device="tpu"),
          ParameterError, "device='tpu' is no torch device; use 'auto', 'cpu' or 'cuda'."),
    Fault("device='mps' without one", fit(frame(), device="mps"),
          ParameterError, "device='mps': torch sees no MPS device here; use 'auto' or 'cpu'."),
    Fault("sampler='gibs'", fit(frame(), sampler="gibs"),
          ParameterError, "no sampler is called 'gibs' (did you mean 'gibbs'?); there are: dlp, exact, gibbs, gwg"),
    Fault("missing='keep'", fit(frame(), missing="keep"),
          ParameterError, "missing='keep' is not allowed: missing is one of 'error', 'drop'."),
    Fault("duplicates='all'", fit(frame(), duplicates="all"),
          ParameterError, "duplicates='all' is not allowed: duplicates is one of 'error', 'last', 'first'."),
    Fault("predict before fit", lambda: DEEMAggregator().predict(frame()),
          NotFittedError, "this DEEMAggregator is not fitted yet: call fit(df) first."),
    Fault("save before fit", lambda: DEEMAggregator().save("nowhere"),
          NotFittedError, "this DEEMAggregator is not fitted yet: there is no model to save."),
    Fault("predict with unknown workers", lambda: fitted(unknown_workers="error").predict(frame(worker=[1, 9, 8, 2])),
          DataError, "2 of 4 workers were not there in fit: 9, 8. Fit with their answers, or pass unknown_workers='average'."),
    Fault("predict with unknown labels", lambda: fitted().predict(frame(label=list("xyzz"))),
          DataError, "column 'label' holds 1 label that was not there in fit: 'z'. Known labels: 'x', 'y'."),
    Fault("more answers, whose ids have lost their zeros", lambda: DEEMAggregator().partial_fit(frame(task=["01", "01", "02", "02"])).partial_fit(frame(task=[1, 2, 3, 3])),
          DataError, "column 'task' mixes kinds that read or compare alike: '01' (str) and 1 (int); '02' (str) and 2 (int) (2 such pairs). Convert the column to one dtype first, e.g. pd.read_csv(path, dtype={'task': str})."),
    Fault("partial_fit after fit", lambda: fitted().partial_fit(frame()),
          ParameterError, "partial_fit continues only from partial_fit: fit and load keep no answers. Begin with partial_fit, or fit with all answers."),
    Fault("load what is not there", lambda: DEEMAggregator.load("nowhere"),
          FileNotFoundError, "there is no model file 'nowhere.safetensors'"),
]  # fmt: skip

LONG = np.column_stack([np.arange(480) // 12, np.arange(480) % 12, np.arange(480) % 4])

ARRAYS = [
    Fault("a long array passed as a matrix", fit_array(LONG),
          FormError, "this array of shape (480, 3) looks like the long format (task, worker, label): 40 × 12 ids and no (first, second) pair twice. Use DEEMAggregator().fit(pd.DataFrame(x, columns=['task', 'worker', 'label'])); if it is a matrix of three workers, pass n_classes."),
    Fault("label not below n_classes", fit_array(matrix(k=4), n_classes=3),
          DataError, "6 entries are not below n_classes=3: 3 (first at (0, 3), (2, 1), (2, 3)). Labels are 0..2."),
    Fault("label below -1", fit_array([[0, -2], [1, 0]]),
          DataError, "1 entry is below −1: -2 (first at (0, 1)). Labels are 0..K-1 and −1 is missing."),
    Fault("float NaN", fit_array([[0, np.nan], [1, 0]]),
          DataError, "1 entry is NaN (first at (0, 1)). Write −1 where an answer is missing: np.nan_to_num(x, nan=-1).astype(int)."),
    Fault("1.5", fit_array([[0, 1.5], [1, 0]]),
          DataError, "1 entry is not whole: 1.5 (first at (0, 1)). Labels are 0..K-1; for probabilities pass shape (tasks, classes, workers)."),
    Fault("labels 1..K", fit_array([[1, 2], [2, 1]]),
          DataError, "labels run to 2 but 1 value below it never occurs (0). Number the labels 0..K-1, or pass n_classes=3 if they are meant; where a number stands for a missing answer, pass −1."),
    Fault("labels 0, 10, 20", fit_array([[0, 10], [20, 0]]),
          DataError, "labels run to 20 but 18 values below it never occur (1, 2, 3, 4, 5, …). Number the labels 0..K-1, or pass n_classes=21 if they are meant; where a number stands for a missing answer, pass −1."),
    Fault("text", fit_array([["a", "b"], ["b", "a"]]),
          FormError, "predictions are numbers, −1 where an answer is missing; got dtype <U1. For labels of other kinds use DEEMAggregator (long format) or deem_crowd_adapters.from_wide (wide format)."),
    Fault("one dimension", fit_array([0, 1, 1]),
          FormError, "a matrix of labels has shape (tasks, workers), soft predictions (tasks, classes, workers); this array has shape (3,). Reshape your data: one row is x.reshape(1, -1)."),
    Fault("four dimensions", fit_array(np.zeros((2, 2, 2, 2))),
          FormError, "a matrix of labels has shape (tasks, workers), soft predictions (tasks, classes, workers); this array has shape (2, 2, 2, 2)."),
    Fault("ragged", fit_array([[0, 1], [1]]),
          FormError, "predictions are not a regular array: {*}."),
    Fault("a frame where an array is read", lambda: Answers.from_dense(frame()),
          FormError, "got a DataFrame where an array is expected. Long format (task, worker, label): DEEMAggregator().fit(df). Wide format (tasks × workers): deem_crowd_adapters.from_wide(df)."),
    Fault("a frame with ids", fit_array(pd.DataFrame({"id": range(12), "ann": [0, 1, 2] * 4, "bob": [0, 1, 2] * 4})),
          DataError, "1 of 3 columns looks like no worker: 'id'. 12 of the 12 values of 'id' are distinct, and 3 of these stand in another column. If it holds no answers, leave it out: df.drop(columns=['id']); if it does, pass the array: df.to_numpy()."),
    Fault("a frame of texts", fit_array(pd.DataFrame({"ann": ["x", "y"], "bob": [0, 1]})),
          FormError, "columns 'ann' of the frame hold no numbers ({*}). DEEM takes classes 0..K-1, one column a source; for other labels pass deem_crowd_adapters.from_wide(df), which takes task= for a column of ids."),
    Fault("sparse answers", fit_array(sparse.csr_matrix(np.eye(3))),
          FormError, "sparse input is not supported, since a zero that is not stored would be class 0. Answers that are mostly missing cost only what is stored in the long format: DEEMAggregator, or Answers.from_frame. A label matrix in which 0 abstains is L.toarray() - 1."),
    Fault("infinite answers", fit_array(np.array([[0, np.inf], [1, 0]])),
          DataError, "1 entry is infinite (first at (0, 1)). Labels are 0..K-1 and −1 is missing."),
    Fault("n_classes=1.5", fit_array(matrix(), n_classes=1.5),
          ParameterError, "n_classes=1.5 is not allowed: n_classes is an integer >= 1 or None."),
    Fault("soft rows that do not sum to 1", fit_array(soft(lambda a: a.__imul__(2))),
          DataError, "24 slices do not sum to 1 over the classes (at (task, worker) (0, 0), (0, 1), (0, 2), (0, 3), (1, 0), …; sums 2, 2, 2, 2, 2, …). The classes are axis 1 of shape (6, 3, 4): (tasks, classes, workers)."),
    Fault("soft negative", fit_array(soft(put(-0.5, 2, 1, 3))),
          DataError, "1 slices hold negative or infinite values (at (task, worker) (2, 3)). Answers are probabilities; pass log-probabilities through exp, logits through softmax over the classes."),
    Fault("soft NaN within a slice", fit_array(soft(put(np.nan, 2, 1, 3))),
          DataError, "1 slices hold NaN beside numbers (at (task, worker) (2, 3)). A missing answer is NaN, or zero, for every class; a class that a source cannot name has probability 0."),
    Fault("soft infinite", fit_array(soft(put(np.inf, 2, 1, 3))),
          DataError, "1 slices hold negative or infinite values (at (task, worker) (2, 3)). Answers are probabilities; pass log-probabilities through exp, logits through softmax over the classes."),
    Fault("soft with axes swapped", fit_array(soft().transpose(0, 2, 1)),
          DataError, "18 slices do not sum to 1 over the classes (at (task, worker) (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), …; sums 1.203, 1.375, 1.422, 1.097, 2.089, …). The sums are over axis 1 of shape (6, 4, 3); axis 2 sums to 1: are the axes swapped? They are (tasks, classes, workers)."),
    Fault("soft with another n_classes", fit_array(soft(), n_classes=4),
          DataError, "soft predictions of shape (6, 3, 4) have 3 classes on axis 1, but n_classes=4. The classes are axis 1 of shape (6, 3, 4): (tasks, classes, workers)."),
    Fault("gold of the wrong length", fit_array(matrix(), gold=[0, 1]),
          FormError, "gold has shape (2,); one class per task is needed, −1 where unknown: shape (6,)."),
    Fault("gold with NaN", fit_array(matrix(), gold=[0, 1, np.nan, np.nan, 0, 1]),
          FormError, "gold is NaN for 2 tasks. Write −1 where a class is unknown: np.nan_to_num(x, nan=-1)."),
    Fault("a folder as a model", lambda: DEEM.load("."),
          FormError, "'.' is a folder: name the file of the model."),
    Fault("gold as a dict", fit_array(matrix(), gold={0: 1}),
          FormError, "gold is a dict; here it is a vector with one class per task, −1 where unknown: shape (6,). DEEMAggregator takes a dict task → label."),
    Fault("gold that is no class", fit_array(matrix(), gold=[0, 1, 2, 3, 7, -1]),
          DataError, "gold holds 2 values that are not classes: 3, 7 (rows 3, 4). Classes are 0..2."),
    Fault("gold as text", fit_array(matrix(), gold=list("abcabc")),
          FormError, "gold has dtype <U1; classes are whole numbers 0..2, −1 where unknown. Names become numbers, in the order of the classes, by pd.Categorical(gold, […]).codes."),
    Fault("misspelt parameter", lambda: DEEM(n_class=3),
          ParameterError, "DEEM has no parameter 'n_class'. Did you mean 'n_classes'? It has: {*}."),
    Fault("another package's name of K", lambda: DEEM(cardinality=2),
          ParameterError, "DEEM has no parameter 'cardinality'. Did you mean 'n_classes'? It has: {*}."),
    Fault("misspelt override", lambda: DEEM().fit(matrix(), epoch=3),
          ParameterError, "DEEM.fit has no parameter 'epoch'. Did you mean 'epochs'? It has: {*}."),
    Fault("epochs=-1", fit_array(matrix(), epochs=-1),
          ParameterError, "epochs=-1 is not allowed: epochs is an integer >= 0 or None."),
    Fault("hidden_dim=0", fit_array(matrix(), hidden_dim=0),
          ParameterError, "hidden_dim=0 is not allowed: hidden_dim is an integer >= 1 and <= 16."),
    Fault("batch_size='all'", fit_array(matrix(), batch_size="all"),
          ParameterError, "batch_size='all' is not allowed: batch_size is an integer >= 1 or None."),
    Fault("automatic and named at once", fit_array(matrix(), auto_hyperparameters=True, hidden_dim=2),
          ParameterError, "auto_hyperparameters=True chooses the model, and hidden_dim=2 names one: leave one of them out."),
    Fault("gauge for several units", fit_array(matrix(), gauge="normalised", hidden_dim=2),
          UnsupportedError, "gauge='normalised' is for one hidden unit without layers; several units, and layers, are a Boltzmann machine with weights of its own. Use gauge='auto' or 'free'."),
    Fault("predict before fit", lambda: DEEM().predict(matrix()),
          NotFittedError, "this DEEM is not fitted yet: call fit(predictions) first."),
    Fault("predict with other columns", lambda: DEEM().fit(matrix()).predict(matrix()[:, :3]),
          DataError, "predictions have 3 columns (sources), the model was fitted with 4. Give one column per source, −1 where it did not answer."),
    Fault("predict with a new class", lambda: DEEM().fit(matrix()).predict(matrix() + 1),
          DataError, "8 entries are not below n_classes=3: 3 (first at (0, 2), (2, 1), (2, 3)). Labels are 0..2."),
    Fault("score without truth", lambda: DEEM().fit(matrix()).score(matrix()),
          ParameterError, "score needs y, an array of N true classes."),
    Fault("score with no known truth", lambda: DEEM().fit(matrix()).score(matrix(), [-1] * 6),
          DataError, "y holds no class (all −1): nothing can be scored."),
    Fault("align_to other tasks and another number of sources", lambda: DEEM().fit(matrix()).predict(matrix(), align_to=matrix()[:2, :2]),
          FormError, "align_to has 2 columns (sources), the model was fitted with 4."),
]  # fmt: skip


@dataclass(frozen=True)
class ShellFault:
    """A command line that has to fail, with what files there are."""

    row: str
    arguments: str
    status: int
    message: str
    files: dict[str, str | bytes]


SOUND = "task,worker,label\na,1,x\na,2,y\nb,1,y\nb,2,x\n"


def shell(row: str, arguments: str, status: int, message: str, **files: str | bytes) -> ShellFault:
    named = {name.replace("_", "."): text for name, text in files.items()}
    return ShellFault(row, arguments, status, message.replace("{LONG}", "\n" + HOW_TO_READ), named)


AGGREGATE = "aggregate a.csv -o out.csv"
SHELL = [
    shell("no such file", "aggregate nowhere.csv -o out.csv", 1,
          "nowhere.csv: No such file or directory"),
    shell("a folder that is none", "aggregate a.csv -o nowhere/out.csv", 1,
          "there is no folder to write nowhere/out.csv into (--output)", a_csv=SOUND),
    shell("no folder for a report", "report a.csv -o nowhere/out.html", 1,
          "there is no folder to write nowhere/out.html into (--output)", a_csv=SOUND),
    shell("an output without a format", "aggregate a.csv -o out.dat", 2,
          "Invalid value for --output: the name of 'out.dat' tells no format. Name it .csv, .tsv, .jsonl or .parquet, or give the format: 'csv', 'tsv', 'jsonl', 'parquet'.", a_csv=SOUND),
    shell("empty file", AGGREGATE, 1,
          "a.csv is empty. The first line names the columns: task, worker, label.{LONG}", a_csv=""),
    shell("a column missing", AGGREGATE, 1,
          "a.csv: missing columns 'worker'; found 'task', 'label'; needed 'task', 'worker', 'label'. If a column has another name, name it: --worker COLUMN.{LONG}", a_csv="task,label\na,x\n"),
    shell("a wide table", AGGREGATE, 1,
          "a.csv: missing columns 'task', 'worker', 'label'; found 'image', 'ann', 'bob'; needed 'task', 'worker', 'label'. If the file has no header row, put one on top.{LONG}", a_csv="image,ann,bob\n1,x,y\n2,x,x\n"),
    shell("bars between fields", AGGREGATE + " --format tsv", 1,
          "a.csv: missing columns 'task', 'worker', 'label'; found 'task|worker|label'; needed 'task', 'worker', 'label'. The fields seem to be separated by bars; save the file with commas.{LONG}", a_csv=SOUND.replace(",", "|")),
    shell("missing task", AGGREGATE, 1,
          "a.csv: column 'task' is missing in 1 of 4 rows (rows 2; the first is row 0). Drop or repair those rows.", a_csv=SOUND.replace("b,1", ",1")),
    shell("missing label", AGGREGATE, 1,
          "a.csv: column 'label' is missing in 2 of 4 rows (rows 1, 2; the first is row 0). Drop those rows, or pass --missing drop to leave them out.", a_csv=SOUND.replace(",y", ",")),
    shell("another label by the same worker", AGGREGATE + " --duplicates error", 1,
          "1 answer repeats a (task, worker) pair with another label ('task a, worker 1'). Keep one answer of each pair, or pass --duplicates last or --duplicates first.", a_csv=SOUND + "a,1,y\n"),
    shell("a row with too many fields", AGGREGATE, 1,
          "a.csv is not regular CSV: {*}. Correct that row.", a_csv=SOUND + "c,1,x,x\n"),
    shell("a quotation mark never closed", AGGREGATE, 1,
          "a.csv is not regular CSV: the quotation marks of the row that begins on line 6 do not match ({*}). Close the quoted field, or double the marks within it.", a_csv=SOUND + 'c,1,"x\n'),
    shell("not UTF-8", AGGREGATE, 1,
          "a.csv is not UTF-8: byte 0xe9 at position 46 (line 6). Convert it first, e.g. iconv -f windows-1252 -t utf-8.", a_csv=SOUND.encode() + "c,1,é\n".encode("latin1")),
    shell("UTF-16", AGGREGATE, 1,
          "a.csv is not UTF-8: byte 0xff at position 0; it looks like UTF-16. Convert it first, e.g. iconv -f utf-16 -t utf-8.", a_csv=SOUND.encode("utf-16")),
    shell("damaged gzip", "aggregate a.csv.gz -o out.csv", 1,
          "a.csv.gz is not a complete gzip file: {*}. Fetch or write it again.", **{"a_csv.gz": gzip.compress(SOUND.encode())[:-9]}),
    shell("no parquet", "aggregate a.parquet -o out.csv", 1,
          "a.parquet is no parquet file: {*}", a_parquet=b"PAR1 and nothing else"),
    shell("no JSON", "aggregate a.jsonl -o out.csv", 1,
          "a.jsonl, line 2, is not JSON: {*}. One object a line is needed.", a_jsonl='{"task": 1, "worker": 2, "label": 3}\n{"task": \n'),
    shell("1 and '1' in JSON", "aggregate a.jsonl -o out.csv", 1,
          "a.jsonl: column 'label' mixes kinds that read or compare alike: 3 (int) and '3' (str) (1 such pair). Convert the column to one dtype first.", a_jsonl='{"task": 1, "worker": 2, "label": 3}\n{"task": 2, "worker": 2, "label": "3"}\n'),
    shell("gold with a label nobody used", AGGREGATE + " --gold g.csv", 1,
          "--gold holds 1 label that no worker gave: 'z'. Labels given: 'x', 'y'. Correct gold, or leave those tasks out.", a_csv=SOUND, g_csv="task,label\na,z\n"),
    shell("gold twice for a task", AGGREGATE + " --gold g.csv", 1,
          "g.csv: 1 task has two gold labels ('a'). Keep one for each.", a_csv=SOUND, g_csv="task,label\na,x\na,y\n"),
    shell("gold without a column", AGGREGATE + " --gold g.csv", 1,
          "g.csv: missing columns 'label'; found 'task', 'truth'. Rename the column in the file.\nGold has one row a task: columns task, label; columns of other names: --gold-task, --gold-label.", a_csv=SOUND, g_csv="task,truth\na,x\n"),
    shell("no method of that name", AGGREGATE + " --method dem", 2,
          "Invalid value for --method: no method is called 'dem' (did you mean 'deem'?); there are: clusterings, deem, ds, glad, gold-mv, kos, mace, mmsr, mv, onecoin-ds, wawa, zbs", a_csv=SOUND),
    shell("misspelt parameter", AGGREGATE + " --method mv --set n_itr=3", 2,
          "Invalid value for --set: aggregator 'mv' has no parameter 'n_itr'; it takes: default_skill, on_missing_skill", a_csv=SOUND),
    shell("init_method=nope", AGGREGATE + " --set init_method=nope", 2,
          "Invalid value for --set: init_method='nope' is not allowed: init_method is one of 'mv', 'mv_rand', 'mv_lo', 'rand'.", a_csv=SOUND),
    shell("n_iter=-1", AGGREGATE + " --set n_iter=-1", 2,
          "Invalid value for --set: n_iter=-1 is not allowed: n_iter is an integer >= 0.", a_csv=SOUND),
    shell("--set for what is settled when answers are read", AGGREGATE + " --set duplicates=error", 2,
          "Invalid value for --set: duplicates has no part here, since answers are read before the fit: give --duplicates error", a_csv=SOUND),
    shell("--set without a value", AGGREGATE + " --set n_iter", 2,
          "Invalid value for --set: 'n_iter' is no NAME=VALUE of deem", a_csv=SOUND),
    shell("names of columns in the second row", AGGREGATE, 1,
          "a.csv: missing columns 'task', 'worker', 'label'; found '', 'First session', ''; needed 'task', 'worker', 'label'. If the names of the columns stand in a row below the first, remove the rows above it.{*}", a_csv=",First session,\nid,ann,bob\n1,x,y\n"),
    shell("the order of pairs not named", AGGREGATE + " --adapter pairwise", 1,
          "a.csv: missing column 'order', which tells whether a pair was shown in the other order; found 'task', 'worker', 'label'. Name it: --adapter-set swap=….", a_csv=SOUND),
    shell("the order of pairs under another name", AGGREGATE + " --adapter pairwise", 1,
          "a.csv: missing column 'order', which tells whether a pair was shown in the other order; found 'task', 'worker', 'label', 'Swapped'. If this is it, name it: --adapter-set swap='Swapped'.", a_csv="task,worker,label,Swapped\na,1,A,0\n"),
    shell("verdicts that are not known", AGGREGATE + " --adapter pairwise --adapter-set swap=task --adapter-set swapped=a", 1,
          """a.csv: column 'label': 4 of 4 verdicts are not known: 'x', 'y' (rows 0, 1, 2, 3). Say what each means: --adapter-set 'verdicts={"x": "…"}', with 'A' for what was shown first, 'B' for the other, 'tie', or null for no verdict.""", a_csv=SOUND),
    shell("a label of probabilities", AGGREGATE + " --adapter soft-long --label label", 2,
          "Invalid value for --label: adapter 'soft-long' has no parameter 'label'; it{*}", a_csv=SOUND),
    shell("costs of workers for tasks", "next a.csv --costs c.csv", 1,
          "c.csv: missing columns 'task'; found 'worker', 'cost'. Rename the column in the file. Costs are by task; with --pairs by worker.", a_csv=SOUND, c_csv="worker,cost\n1,2\n"),
    shell("costs in a format that is not read", "next a.csv --pairs --costs c.dat", 2,
          "Invalid value for --costs: the name of 'c.dat' tells no format. {*}", a_csv=SOUND, c_dat="[]"),
    shell("no adapter of that name", AGGREGATE + " --adapter csvv", 2,
          "Invalid value for --adapter: no adapter is called 'csvv' (did you mean 'csv'?); there are: " + ", ".join(sorted(adapters())), a_csv=SOUND),
    shell("one output for two tables", "aggregate a.csv -o out.csv --proba out.csv", 2,
          "Invalid value for --proba: 'out.csv' is already where --output goes", a_csv=SOUND),
    shell("probabilities of a method without", AGGREGATE + " --method kos --proba p.csv", 1,
          "method 'kos' gives no probabilities: leave out --proba.", a_csv=SOUND),
    shell("nothing to compare", "compare a.csv", 1,
          "there are no answers to compare methods on.", a_csv="task,worker,label\n"),
    shell("no method to compare", "compare a.csv --methods ,", 2,
          "Invalid value for --methods: name one method at least", a_csv=SOUND),
    shell("no suite of that name", "benchmark quik", 2,
          "Invalid value: there is no suite 'quik' (did you mean 'quick'?); there are: quick, crowd, ensemble, weak, judges, laws, {*}."),
    shell("no data set of that name", "benchmark --data crowdkit:nope --out b", 2,
          "Invalid value: crowd-kit has no data set 'nope'; there are: {*}"),
    shell("no folder of data", "benchmark --data nowhere --out b", 2,
          "Invalid value: there is no folder 'nowhere', and it names no data either: FOLDER, crowdkit:NAME, sklearn:NAME, sklearn-soft:NAME, law:NAME{*}"),
    shell("an unknown option", "aggregate a.csv --outptu x", 2,
          "No such option{*}--outptu{*}--output{*}", a_csv=SOUND),
    shell("no command of that name", "agregate a.csv", 2,
          "No such command 'agregate'.{*}", a_csv=SOUND),
]  # fmt: skip


def matches(found: str, message: str) -> bool:
    """Tell whether a message is the one in the table."""
    parts = [re.escape(part) for part in message.split("{*}")]
    return re.fullmatch(".*".join(parts), found, flags=re.DOTALL) is not None


def said(stderr: str) -> str:
    """Return the message on standard error: what follows "error: ", or what stands in the box of bad usage."""
    if "╭─ Error" in stderr:
        lines = [line for line in stderr.splitlines() if line.startswith("│")]
        return " ".join(line.strip("│ ") for line in lines)
    return stderr.strip().removeprefix("error: ")
