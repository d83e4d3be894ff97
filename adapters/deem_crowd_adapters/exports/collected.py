"""What a reader finds in a file: answers to questions, what is no answer, and gold."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from deem_crowd.exceptions import DataError, DataWarning, ParameterError, counted, first_few
from deem_crowd.runtime.warning import warn

Multiple = Literal["error", "drop", "lists"]

FEW_CLASSES = 50
"""A question with at most so many distinct answers is one of classes, however few answers there are."""

WORDY = 60
"""Labels of more characters in the mean are sentences."""

MULTILABEL = (
    "A task with several labels is several yes-or-no questions: crowd-kit's BinaryRelevance asks them one by one, "
    "with DEEMAggregator() inside, and read_export(path{tool}, multiple='lists').answers is what it takes "
    "(docs/your-data.md). To leave these answers out instead: to_answers(path{format}, multiple='drop') "
    "(in the shell: --adapter-set multiple=drop)."
)


@dataclass
class Question:
    """The answers to one question; entry r of each list is answer r."""

    tasks: list[Hashable] = field(default_factory=list)
    workers: list[Hashable] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    """When each was given: text or numbers that sort by time; None where the file does not say."""
    gold: dict[Hashable, Any] = field(default_factory=dict)
    gold_times: dict[Hashable, Any] = field(default_factory=dict)
    differing: dict[Hashable, None] = field(default_factory=dict)
    """Tasks with known labels that differ."""
    seen: dict[Hashable, None] = field(default_factory=dict)
    """Tasks with an answer or a known label, by first appearance."""
    several: list[tuple[Hashable, Hashable, list[Any]]] = field(default_factory=list)
    """Task, worker and labels of answers that hold several labels at once."""
    empty: int = 0
    """How many answers are empty."""
    free_text: bool = False
    """Whether the tool says that its answers are text in the answerer's own words."""

    def know(self, task: Hashable, label: Any, time: Any) -> None:
        """Keep the known label of a task: of several the latest, or the last where there are no times."""
        if task in self.gold:
            before = self.gold_times[task]
            if self.gold[task] != label:
                self.differing[task] = None
            if type(before) is type(time) and isinstance(time, str | int | float) and time < before:
                return
        self.gold[task], self.gold_times[task] = label, time

    def put_in_order_of_time(self) -> None:
        """Sort the answers of one worker to one task by their times, keeping the rows that they occupy."""
        places: dict[tuple[Hashable, Hashable], list[int]] = defaultdict(list)
        for place, pair in enumerate(zip(self.tasks, self.workers, strict=True)):
            if all(isinstance(one, Hashable) for one in pair):  # others are refused, by name, later
                places[pair].append(place)
        for rows in places.values():
            kinds = {type(self.times[row]) for row in rows} if len(rows) > 1 else set()
            if len(kinds) == 1 and kinds <= {str, int, float}:
                labels = [self.labels[row] for row in sorted(rows, key=self.times.__getitem__)]
                for row, label in zip(rows, labels, strict=True):
                    self.labels[row] = label

    def is_doubtful(self) -> bool:
        """Tell whether the answers look like text or measurements instead of classes."""
        distinct = set(map(_plain, self.labels))
        if self.free_text or not distinct:
            return True
        texts = [label for label in distinct if isinstance(label, str)]
        if texts and sum(map(len, texts)) > WORDY * len(texts):
            return True
        fractions = [v for v in distinct if isinstance(v, float) and v % 1 != 0]
        if len(fractions) > len(distinct) / 2 and len(distinct) > 5:
            return True
        return len(distinct) > max(FEW_CLASSES, len(self.labels) / 2) or (
            len(distinct) > 0.8 * len(self.labels) > 5
        )


class Collected:
    """Answers of one file (or several, joined), by question.

    Parameters
    ----------
    tool : str
        Whose format it is, and which version, for messages: ``'Label Studio JSON'``.
    file : str
        How messages call the file.
    """

    def __init__(self, tool: str, file: str) -> None:
        self.tool = tool
        self.file = file
        self.questions: dict[str, Question] = {}
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self.content: dict[Hashable, str] = {}
        """Task → its text or address, by which the same task is known in another file."""
        self.time: Any = None
        """When the answers that are added next were given."""
        self.tasks: dict[Hashable, None] = {}
        """All tasks of the file in their order, where it says which there are, answered or not."""
        self.hint = ""
        """What to do about it where there are no answers at all."""
        self.tool_option = ""
        """The name of the adapter, quoted, where a file is read so only if it is named."""
        self.one_question = ""
        """What to do where several questions are one."""
        self.is_one_task = False
        """Whether a file of this format is about one task, so that files share none."""
        self.workers_are_global = False
        """Whether a worker's id means the same person in every file (an e-mail address, a model's name)."""
        self.unnamed: str | None = None
        """What answers of which the file does not say who gave them are taken to be of."""

    def question(self, name: str) -> Question:
        """Return the question of that name; a new one has no answers."""
        return self.questions.setdefault(name, Question())

    def add(
        self, question: str, task: Hashable, worker: Hashable, label: Any, known: str = ""
    ) -> None:
        """Add an answer. A list of labels is an answer with several labels; an empty one is none.

        ``known`` is the tool's name for answers that are marked as true. With it, the label becomes a known one: as
        an answer, it would inflate the skill of whoever gave it.
        """
        if isinstance(label, (list, tuple)):
            if len(label) != 1:
                if label and known:
                    self.skip(f"{known} that hold several labels")
                elif label:
                    self.question(question).several.append((task, worker, list(label)))
                else:
                    self.question(question).empty += 1
                return
            label = label[0]
        if label is None or label == "" or (isinstance(label, float) and label != label):
            self.question(question).empty += 1
            return
        if isinstance(label, float) and math.isinf(label):
            raise DataError(
                f"{self.file}, task {task!r}: the answer to {question!r} is infinite, which is no label. "
                "Correct or remove it."
            )
        if isinstance(label, (dict, set)):
            raise DataError(
                f"{self.file}, task {task!r}: the answer to {question!r} is a {type(label).__name__} "
                f"({str(label)[:60]}), not a label. Choose another question, or export the labels alone."
            )
        if known:
            self.known(question, task, label, self.time)
            self.skip(f"{known}, which are used as known labels, not as answers")
            return
        into = self.question(question)
        into.seen[_plain(task)] = None
        into.tasks.append(task)
        into.workers.append(worker)
        into.labels.append(label)
        into.times.append(self.time)

    def of_nobody(self, name: str) -> str:
        """Return ``name``, the file's, as the annotator of an answer of which it does not say who gave it."""
        self.unnamed = name
        return name

    def say_unnamed(self) -> None:
        """Note tasks with several answers that name no annotator: of those of one annotator only one counts."""
        again = 0
        for question in self.questions.values():
            pairs = zip(question.tasks, question.workers, strict=True)
            times = Counter(str(task) for task, worker in pairs if worker == self.unnamed)
            again = max(again, sum(n > 1 for n in times.values()))
        if self.unnamed is not None and again:
            self.notes.append(
                f"answers that name no annotator count as those of one, {self.unnamed!r}, though "
                f"{counted(again, 'task has', 'tasks have')} several of them, of which one counts: if several people "
                "gave them, export who did"
            )

    def skip(self, reason: str, n: int = 1) -> None:
        """Count what is no answer; ``reason`` is a plural: ``'rejected assignments'``."""
        if n:
            self.left_out[reason] += n

    def known(self, question: str, task: Hashable, label: Any, time: Any = None) -> None:
        """Remember the true label that the export holds for a task, stated at some time."""
        into = self.question(question)
        into.know(task, label, time)
        into.seen[task] = None

    # ------------------------------------------------------------------ at the end

    def chosen(self, asked: str | None, multiple: Multiple = "error") -> Question:
        """Return the question to aggregate: the one asked for, the only one, or the only one with classes.

        Raises
        ------
        ParameterError
            If there is no question of the name asked for.
        DataError
            If the choice is open, there are no answers, or they hold several labels each.
        """
        given = {
            name: question
            for name, question in self.questions.items()
            if question.labels or question.several
        }
        if not given:
            self.skip("empty answers", sum(each.empty for each in self.questions.values()))
            besides = f", besides {_counts(self.left_out)}" if self.left_out else ""
            raise DataError(
                f"{self.file} ({self.tool}) holds no answers{besides}. "
                f"{self.hint or 'Export it again, with the annotations of people.'}"
            )
        if asked is not None:
            if asked not in given:
                raise ParameterError(
                    f"question={asked!r}: {self.file} ({self.tool}) has no answers to it. Questions: "
                    f"{first_few(given, 10)}."
                )
            name = asked
        elif len(given) == 1:
            name = next(iter(given))
        else:
            name = self._only_classes(given)
        chosen = given[name]
        if chosen.several and multiple == "error":
            raise DataError(
                f"{self.file} ({self.tool}): {len(chosen.several)} of "
                f"{counted(len(chosen.labels) + len(chosen.several), 'answer')} to {name!r} "
                f"{'holds' if len(chosen.several) == 1 else 'hold'} several labels (tasks "
                f"{first_few(dict.fromkeys(task for task, _, _ in chosen.several))}). "
                + MULTILABEL.format(
                    tool=f", {self.tool_option}" * bool(self.tool_option),
                    format=f", format={self.tool_option}" * bool(self.tool_option),
                )
            )
        if multiple != "lists":
            self.skip("answers with several labels", len(chosen.several))
        self.skip("empty answers", chosen.empty)
        if chosen.differing:
            self.notes.append(
                f"the true labels of {counted(len(chosen.differing), 'task')} differ, and the latest (without "
                f"times, the last in the files) counts ({first_few(chosen.differing)})"
            )
        others = [other for other in given if other != name]
        if others:
            self.notes.append(f"question {name!r} is read; left out: {first_few(others, 10)}")
        if chosen.free_text or (
            len(given) == 1 and chosen.is_doubtful() and len(chosen.labels) > 20
        ):
            self._refuse_text(name, chosen)
        return chosen

    def _only_classes(self, given: dict[str, Question]) -> str:
        clear = [name for name, question in given.items() if not question.is_doubtful()]
        if len(clear) == 1:
            return clear[0]
        shown = ", ".join(
            f"{name!r} ({counted(len(q.labels) + len(q.several), 'answer')}, e.g. "
            f"{first_few(dict.fromkeys(map(_plain, q.labels)), 2)})"
            for name, q in list(given.items())[:8]
        )
        best = max(clear or given, key=lambda name: len(given[name].labels))
        raise DataError(
            f"{self.file} ({self.tool}) holds {len(given)} questions: {shown}. Choose one: "
            f"to_answers(path, question={best!r}) (in the shell: --adapter-set question={_quoted(best)})."
            f"{self.one_question}"
        )

    def _refuse_text(self, name: str, chosen: Question) -> None:
        distinct = dict.fromkeys(map(_plain, chosen.labels))
        if chosen.free_text and len(distinct) < 0.5 * len(chosen.labels):
            return  # a text field that people used for a few words
        raise DataError(
            f"{self.file} ({self.tool}): the answers to {name!r} are free text or measurements, no classes: "
            f"{len(distinct)} of {len(chosen.labels)} are distinct ({first_few(distinct, 3)}). Aggregating needs a "
            "question with a few classes; texts can be classified first."
        )

    def warn(self) -> None:
        """Say in one warning what was left out and how the file was read, if there is something to say."""
        said = list(self.notes)
        if self.left_out:
            said.append(f"left out: {_counts(self.left_out)}")
        if said:
            warn(f"{self.file} ({self.tool}): {'; '.join(said)}.", DataWarning)


def frame_of(question: Question, where: str = "the export", lists: bool = False) -> pd.DataFrame:
    """Return the answers as a long frame: task, worker, label, R rows; with ``lists`` a label is a list of labels.

    Raises
    ------
    DataError
        If a text is no valid Unicode; ``where`` names the file.
    """
    if lists:
        several = question.several
        lists_of = [[label] for label in question.labels] + [labels for _, _, labels in several]
        tasks = [*question.tasks, *(task for task, _, _ in several)]
        workers = [*question.workers, *(worker for _, worker, _ in several)]
        return pd.DataFrame(
            {
                "task": _series(tasks, "tasks", where),
                "worker": _series(workers, "workers", where),
                "label": pd.Series(lists_of, dtype=object),
            }
        )
    kinds = set(map(type, question.labels))
    labels: Any = question.labels
    if kinds == {int, float}:
        labels = [int(v) if v % 1 == 0 else v for v in labels]
    elif len(kinds) > 1 and kinds <= {int, float, str, bool}:
        labels = [str(v) for v in labels]
    return pd.DataFrame(
        {
            "task": _series(question.tasks, "tasks", where),
            "worker": _series(question.workers, "workers", where),
            "label": _series(labels, "labels", where),
        }
    )


def gold_of(question: Question, where: str = "the export") -> pd.Series:
    """Return the true labels that the export holds, by task.

    Raises
    ------
    DataError
        As :func:`frame_of` does.
    """
    labels = _series(list(question.gold.values()), "gold labels", where).rename("label")
    tasks = _series(list(question.gold), "tasks", where).rename("task")
    return labels.set_axis(pd.Index(tasks))


def tasks_of(collected: Collected, answers: pd.DataFrame, known: Question | None) -> pd.Index:
    """Return all tasks that the files name, in the dtype of those with ``answers``; none if the files name none.

    The tasks of a question whose labels are ``known`` count as named, too.
    """
    tasks = list(collected.tasks)
    if not tasks and known is not None and not known.gold.keys() <= set(known.tasks):
        tasks = list(known.seen)
    if not tasks:
        return pd.Index([], dtype=object)
    if all(isinstance(task, str) for task in answers["task"]) and len(answers):
        tasks = [str(task) for task in tasks]
    index = pd.Index(pd.Series(tasks, dtype=object).infer_objects(), name="task")
    return index.astype(answers["task"].dtype) if len(answers) else index


def _series(values: list[Any], what: str, where: str) -> pd.Series:
    """Return ids as a Series; integers beside text become text, so that both are found."""
    kinds = set(map(type, values))
    if len(kinds) > 1 and kinds <= {int, str}:
        values = [str(value) for value in values]
    try:
        return pd.Series(values, dtype=object).infer_objects()
    except UnicodeEncodeError as error:
        odd = [
            v for v in values if isinstance(v, str) and any("\ud800" <= c <= "\udfff" for c in v)
        ]
        raise DataError(
            f"{where}: {counted(len(odd), 'entry', 'entries')} among the {what} "
            f"({first_few(odd, 2)}) {'is' if len(odd) == 1 else 'are'} no valid Unicode text. Correct the file."
        ) from error


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{reason} ({n:,})" for reason, n in counter.most_common())


def _plain(label: Any) -> Hashable:
    return label if isinstance(label, Hashable) else str(label)


def _quoted(name: str) -> str:
    return name if name.replace("_", "").isalnum() else f"'{name}'"
