"""MT-Bench: judgments of pairs and of single answers by models (FastChat's llm_judge), and by people.

The formats are those of ``model_judgment/*_pair.jsonl``, ``*_single.jsonl`` and of the human judgments, also as tables
(the data set ``mt_bench_human_judgments``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, having, is_rows, name_of_file, records_of

ABSTENTIONS = frozenset({"", "error", "$error$", "null", "none", "nan", "n/a"})
"""What stands for a verdict where there is none, in lower case."""
SWAPPED = " (swapped)"
"""What is put after a judge's name for its verdicts on pairs in the other order."""
_OTHER = {"model_1": "model_2", "model_2": "model_1", "model_a": "model_b", "model_b": "model_a"}
_is_human = having("question_id", "model_a", "model_b", "winner")
_is_single = having("question_id", "model", "judge", "score")


def _is_pair(content: Content) -> bool:
    return is_rows(content, "question_id", "model_1", "model_2") and bool(
        {"g1_winner", "winner"} & content.keys
    )


def is_abstention(verdict: Any) -> bool:
    """Tell whether a verdict is none: null, ``error``, ``$ERROR$`` …"""
    return (
        verdict is None
        or verdict != verdict
        or (isinstance(verdict, str) and verdict.strip().lower() in ABSTENTIONS)
    )


def _judge(row: dict[str, Any], place: Spot) -> tuple[str, str]:
    """Return the judge's name and that of its prompt; the file's name where the row tells none."""
    judge = row.get("judge")
    if isinstance(judge, str) and judge:
        return judge, ""
    parts = [str(p) for p in place.listed(judge, "'judge'")] if judge is not None else []
    return (parts[0], "/".join(parts[1:])) if parts else (name_of_file(place.content), "")


def _turn(row: dict[str, Any]) -> Any:
    turn = row.get("turn")
    return 1 if turn is None else turn


def _pair(row: dict[str, Any], keys: tuple[str, str], place: Spot) -> tuple[str, bool]:
    """Return the task, and whether the models stand in it in the other order than in the row."""
    first, second = (row.get(key) for key in keys)
    for key, model in zip(keys, (first, second), strict=True):
        if not isinstance(model, str) or not model:
            raise place.damaged(f"{key!r} is {model!r} and no model's name")
    turned = str(first) > str(second)
    names = f"{second} vs {first}" if turned else f"{first} vs {second}"
    return f"question {row.get('question_id')}, turn {_turn(row)}, {names}", turned


def read_pair(content: Content, collected: Collected) -> None:
    """Add a judge's verdicts on pairs of models: ``model_1``, ``model_2`` or ``tie``.

    Each pair is shown in both orders. The file has mapped the second verdict back already; here the two are two
    sources, ``judge`` and ``judge (swapped)``, so that a bias towards a position shows in their skills. The two
    models of a task stand in alphabetical order, as FastChat has them. Verdicts made from two single scores are one
    source.
    """
    for place, row in records_of(content):
        task, turned = _pair(row, ("model_1", "model_2"), place)
        judge, _ = _judge(row, place)
        sources = {"g1_winner": judge, "g2_winner": judge + SWAPPED}
        if row.get("g1_winner") is None and row.get("g2_winner") is None:
            sources = {"winner": judge}
        elif row.get("m1_score") is not None:
            sources = {"g1_winner": judge}
        elif turned:
            sources = {"g1_winner": judge + SWAPPED, "g2_winner": judge}
        for key, source in sources.items():
            _add(row.get(key), task, source, turned, collected, place)


def read_human(content: Content, collected: Collected) -> None:
    """Add people's verdicts on pairs of models: ``model_a``, ``model_b`` or ``tie``, models in alphabetical order.

    A judge that saw most of its pairs in both orders, as models do, is two sources as in :func:`read_pair`.
    """
    rows = []
    orders: dict[str, dict[str, set[bool]]] = defaultdict(lambda: defaultdict(set))
    for place, row in records_of(content):
        task, turned = _pair(row, ("model_a", "model_b"), place)
        judge, _ = _judge(row, place)
        orders[judge][task].add(turned)
        rows.append((row.get("winner"), task, judge, turned, place))
    two = {
        judge
        for judge, pairs in orders.items()
        if 2 * sum(len(seen) == 2 for seen in pairs.values()) > len(pairs)
    }
    for verdict, task, judge, turned, place in rows:
        source = judge + SWAPPED if turned and judge in two else judge
        _add(verdict, task, source, turned, collected, place)


def _add(
    verdict: Any,
    task: str,
    source: str,
    turned: bool,
    collected: Collected,
    place: Spot,
) -> None:
    if is_abstention(verdict):
        collected.skip("abstentions such as error or null")
        return
    if not isinstance(verdict, str):
        raise place.damaged(f"a winner is {verdict!r} and no text")
    if verdict == "tie (inconsistent)":
        collected.skip("verdicts that flip with the order")
        return
    if verdict not in _OTHER and not verdict.startswith("tie"):
        raise place.damaged(
            f"a winner is {verdict!r} and neither of the models nor a tie. To read other verdicts, make a column "
            "'pair' of the question and its models: to_answers(path, task='pair', worker='judge', label='winner') "
            "(in the shell: --task pair --worker judge --label winner)"
        )
    collected.add("winner", task, source, _OTHER.get(verdict, verdict) if turned else verdict)


def read_single(content: Content, collected: Collected) -> None:
    """Add a judge's scores of single answers; −1, for a judgment without a score, is an abstention.

    A task is a question, a turn and a model. Where one judge scored an answer with several prompts, each is a source.
    """
    rows = []
    prompts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for place, row in records_of(content):
        judge, prompt = _judge(row, place)
        task = f"question {row.get('question_id')}, turn {_turn(row)}, {row.get('model')}"
        prompts[task, judge].add(prompt)
        rows.append((task, judge, prompt, _score(row.get("score"), place)))
    several = {judge for (_, judge), used in prompts.items() if len(used) > 1}
    none: Counter[str] = Counter()
    for task, judge, prompt, score in rows:
        if score is None:
            none[judge] += 1
            continue
        collected.add("score", task, f"{judge}/{prompt}" if judge in several else judge, score)
    collected.skip("judgments without a score", none.total())


def _score(value: Any, place: Spot) -> float | int | None:
    if is_abstention(value):
        return None
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise place.damaged(f"'score' is {value!r} and no number") from None
    if score == -1:
        return None
    return int(score) if score == int(score) else score


FORMATS = (
    Format("mt-bench", "MT-Bench judgments of pairs", _is_pair, read_pair),
    Format("mt-bench", "MT-Bench human judgments", _is_human, read_human),
    Format("mt-bench", "MT-Bench judgments of single answers", _is_single, read_single),
)
