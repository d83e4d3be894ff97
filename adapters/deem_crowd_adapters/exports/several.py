"""Several files of one export → one collection: whose ids mean the same, and which tasks are the same."""

from __future__ import annotations

import glob
import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path, PurePath

from deem_crowd.exceptions import DataError, counted, first_few
from deem_crowd_adapters.exports.collected import Collected

_SUFFIXES = {
    *(".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".tab", ".parquet", ".npy", ".npz", ".xlsx"),
    *(".xml", ".zip", ".eval", ".gz", ".bz2", ".xz", ".zst"),
}
"""Files of a folder that are read; others, such as a README, are not."""

_ABOUT = {"settings.json", "dataset_info.json", "dataset_dict.json", "state.json", "config.json"}
"""Files that tools put beside answers, about them."""

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def expand(paths: Paths) -> list[str]:
    """Return the files that paths, folders and patterns stand for, those of a folder or pattern sorted by name.

    Of a folder without files of its own, those of its folders are read.

    Raises
    ------
    FileNotFoundError
        If one of them stands for none.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files: list[str] = []
    for path in [os.fspath(each) for each in given]:
        if os.path.isdir(path):
            here = _readable(Path(path).iterdir()) or _readable(Path(path).rglob("*"))
        elif os.path.exists(path) or path == "-" or not glob.has_magic(path):
            here = [path]
        else:
            here = sorted(glob.glob(path))
        if not here:
            raise FileNotFoundError(f"{path}: no file there that can be read")
        files += here
    if not files:
        raise FileNotFoundError("no file was named")
    return files


def _readable(entries: Iterable[Path]) -> list[str]:
    """Return the files among ``entries`` that may be answers, sorted."""
    return sorted(
        str(e)
        for e in entries
        if e.suffix.lower() in _SUFFIXES
        and not e.name.startswith(".")
        and e.name not in _ABOUT
        and e.is_file()
    )


def short_names(files: Sequence[str]) -> list[str]:
    """Return for each file the end of its path that tells it from the others, without suffixes."""
    parts = [list(PurePath(file).with_suffix("").parts) for file in files]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(files)


def join(pieces: Sequence[Collected]) -> Collected:
    """Return the answers of several files as one collection.

    A worker's id that stands in several files is made one of each file if it is a number (every server counts
    from 1), or if the same tasks were answered under it in several files with other labels. A task is the same in
    several files if its id is, unless the tasks of equal id hold other data; where no id is shared, tasks of equal
    data are the same.
    """
    if len(pieces) == 1:
        return pieces[0]
    names = short_names([piece.file for piece in pieces])
    titles = list(dict.fromkeys(piece.tool for piece in pieces))
    if len(titles) > 1:
        raise DataError(
            f"the files are of different kinds: {first_few(titles)} ({first_few(piece.file for piece in pieces)}). "
            "Read each kind by itself and join the frames."
        )
    _write_alike(pieces)
    joined = Collected(titles[0], f"{len(pieces)} files ({first_few(names, 3)})")
    tasks = _task_names(pieces, names, joined)
    workers = _worker_names(pieces, names, tasks, joined)
    for i, piece in enumerate(pieces):
        joined.left_out.update(piece.left_out)
        joined.tasks.update({tasks[i].get(task, task): None for task in piece.tasks})
        joined.hint = joined.hint or piece.hint
        joined.one_question = joined.one_question or piece.one_question
        joined.tool_option = joined.tool_option or piece.tool_option
        joined.notes += [note for note in piece.notes if note not in joined.notes]
        for name, question in piece.questions.items():
            into = joined.question(name)
            into.free_text |= question.free_text
            into.seen.update({tasks[i].get(task, task): None for task in question.seen})
            into.tasks += [tasks[i].get(task, task) for task in question.tasks]
            into.workers += [workers[i].get(worker, worker) for worker in question.workers]
            into.labels += question.labels
            into.times += question.times
            into.several += [
                (tasks[i].get(task, task), workers[i].get(worker, worker), labels)
                for task, worker, labels in question.several
            ]
            into.empty += question.empty
            into.differing.update({tasks[i].get(task, task): None for task in question.differing})
            for task, label in question.gold.items():
                into.know(tasks[i].get(task, task), label, question.gold_times[task])
    return joined


def _write_alike(pieces: Sequence[Collected]) -> None:
    """Make numbers text where another file has them as text: one other entry makes a column of a CSV so."""
    questions = [question for piece in pieces for question in piece.questions.values()]
    tasks = {task for piece in pieces for task in _all_tasks(piece) if isinstance(task, str)}
    people = {who for each in questions for who in each.workers if isinstance(who, str)}
    people |= {who for each in questions for _, who, _ in each.several if isinstance(who, str)}

    def task(one: Hashable) -> Hashable:
        return str(one) if type(one) is int and str(one) in tasks else one

    def worker(one: Hashable) -> Hashable:
        return str(one) if type(one) is int and str(one) in people else one

    for piece in pieces:
        piece.content = {task(one): text for one, text in piece.content.items()}
        piece.tasks = dict.fromkeys(map(task, piece.tasks))
    for each in questions:
        each.tasks = [*map(task, each.tasks)]
        each.workers = [*map(worker, each.workers)]
        each.several = [(task(one), worker(who), labels) for one, who, labels in each.several]
        each.seen, each.differing = (
            dict.fromkeys(map(task, of)) for of in (each.seen, each.differing)
        )
        each.gold, each.gold_times = (
            {task(one): value for one, value in of.items()} for of in (each.gold, each.gold_times)
        )


def _all_tasks(piece: Collected) -> set[Hashable]:
    return {task for question in piece.questions.values() for task in question.seen}


def _task_names(
    pieces: Sequence[Collected], names: list[str], joined: Collected
) -> list[dict[Hashable, Hashable]]:
    """Return what each file's tasks are called in the whole, where it is not as in the file."""
    times = Counter(task for piece in pieces for task in _all_tasks(piece))
    shared = {task for task, n in times.items() if n > 1}
    contents: dict[Hashable, set[str]] = defaultdict(set)
    for piece in pieces:
        for task, data in piece.content.items():
            if task in shared:
                contents[task].add(data)
    torn = [task for task, texts in contents.items() if len(texts) > 1]
    if shared and len(torn) <= len(shared) / 2:
        return [{} for _ in pieces]
    # Ids say nothing across files: each project counts its own tasks.
    first: dict[str, Hashable] = {}
    renamed: list[dict[Hashable, Hashable]] = []
    met = 0
    for piece, name in zip(pieces, names, strict=True):
        often = Counter(piece.content.values())
        mine: dict[Hashable, Hashable] = {}
        for task in _all_tasks(piece):
            own = f"{name}/{task}" if task in shared else task
            text = piece.content.get(task)
            if text is None or often[text] > 1:
                mine[task] = own
                continue
            met += text in first
            mine[task] = first.setdefault(text, own)
        renamed.append(mine)
    if met:
        joined.notes.append(
            f"the files share no task id, so tasks with the same data are taken for one ({met:,} of them)"
        )
    elif not all(piece.is_one_task for piece in pieces):
        joined.notes.append(
            "no task is shared by the files: if they hold the same tasks under other ids, give these the same ids"
        )
    return renamed


def _worker_names(
    pieces: Sequence[Collected],
    names: list[str],
    tasks: list[dict[Hashable, Hashable]],
    joined: Collected,
) -> list[dict[Hashable, Hashable]]:
    """Return what each file's workers are called in the whole, where it is not as in the file."""
    seen: dict[Hashable, dict[int, dict[tuple[str, Hashable], object]]] = defaultdict(dict)
    for i, piece in enumerate(pieces):
        for asked, question in piece.questions.items():
            for task, worker, label in zip(
                question.tasks, question.workers, question.labels, strict=True
            ):
                answers = seen[worker].setdefault(i, {})
                answers[asked, tasks[i].get(task, task)] = label
    renamed: list[dict[Hashable, Hashable]] = [{} for _ in pieces]
    split = []
    for worker, files in seen.items():
        if len(files) < 2 or all(pieces[i].workers_are_global for i in files):
            continue
        if _is_counter(worker) or _disagrees(list(files.values())):
            split.append(worker)
            for i in files:
                renamed[i][worker] = f"{names[i]}/{worker}"
    if split:
        joined.notes.append(
            f"{counted(len(split), 'annotator id')} found in several files ({first_few(split, 3)}): taken for "
            f"another person in each file, such as {first_few([renamed[min(seen[split[0]])][split[0]]])}"
        )
    return renamed


def _is_counter(worker: Hashable) -> bool:
    return isinstance(worker, int) or (isinstance(worker, str) and worker.strip().isdigit())


def _disagrees(files: list[dict[tuple[str, Hashable], object]]) -> bool:
    """Tell whether answers in several files to the same tasks differ, so that several people gave them."""
    first: dict[tuple[str, Hashable], object] = {}
    differ = False
    for answers in files:
        for key, label in answers.items():
            differ |= key in first and first[key] != label
            first.setdefault(key, label)
    return differ
