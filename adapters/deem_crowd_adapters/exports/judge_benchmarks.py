"""AlpacaEval's annotations, and the verdicts of judges on the benchmarks LLMBar and JudgeBench.

The formats are those of ``annotations.json`` (AlpacaEval 1 and 2), ``evaluators/JUDGE/PROMPT/result.json`` (LLMBar) and
``outputs/*.jsonl`` (JudgeBench).
"""

from __future__ import annotations

from typing import Any

from deem_crowd.exceptions import counted
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.mt_bench import SWAPPED, is_abstention
from deem_crowd_adapters.exports.rows import having, name_of_file, records_of, short

_ABSTAINED = "abstentions such as error or null"
_TURNED = {"A>B": "B>A", "B>A": "A>B", "A=B": "A=B"}
_is_alpaca = having("output_1", "output_2", "preference")
_is_llmbar = having("input", "output_1", "output_2", "results")
_is_judgebench = having("pair_id", "judgments")


def read_alpaca(content: Content, collected: Collected) -> None:
    """Add which output each annotator prefers: 1, 2 or ``tie``.

    Preferences of AlpacaEval 2 are real numbers from 1 to 2, a judge's probability of output 2 plus one. Here each
    counts for the output it prefers, as in AlpacaEval's own discrete win rate: below 1.5 is 1, above is 2; the
    warning says how many were such. 1.5 exactly (0 in old files) is a tie. Null is an abstention. AlpacaEval has
    mapped swapped orders back.
    """
    n_real = 0
    seen: dict[tuple[str, frozenset[str]], str] = {}
    for place, row in records_of(content):
        texts = [
            str(row.get(key) or "") for key in ("instruction", "input", "output_1", "output_2")
        ]
        instruction, more, first, second = texts
        key = (f"{instruction}\n{more}", frozenset((first, second)))
        turned = seen.setdefault(key, first) != first
        outputs = [second, first] if turned else [first, second]
        task = short(instruction, more, *outputs)
        preference = row.get("preference")
        if is_abstention(preference):
            collected.skip(_ABSTAINED)
            continue
        try:
            value = float(preference)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise place.damaged(f"'preference' is {preference!r} and no number") from None
        if value != 0 and not 1 <= value <= 2:
            raise place.damaged(f"'preference' is {value:g} and not in 1 … 2")
        n_real += value not in (0, 1, 1.5, 2)
        label: int | str = "tie" if value in (0, 1.5) else 1 + (value > 1.5)
        if turned and label != "tie":
            label = 3 - int(label)
        annotator = row.get("annotator")
        if annotator is None and row.get("annotator_index") is not None:
            annotator = f"annotator {row['annotator_index']}"
        collected.add(
            "preference",
            task,
            name_of_file(content) if annotator is None else str(annotator),
            label,
        )
    if n_real:
        collected.notes.append(
            f"{counted(n_real, 'preference is a real number', 'preferences are real numbers')} (AlpacaEval 2), which "
            "counts for the output that it prefers: below 1.5 is 1, above is 2"
        )


def read_llmbar(content: Content, collected: Collected) -> None:
    """Add an evaluator's verdicts, ``'1'`` or ``'2'``, and the true one (``label``).

    Each pair is judged in both orders, and the file has mapped the second verdict back; the two are two sources, the
    judge and ``judge (swapped)``. The last round is the verdict. A judge is called after the folders of its file,
    ``GPT-4/Vanilla``. Ratings that are equal or unreadable, for which the files hold a made-up verdict, are left out.
    """
    judge = name_of_file(content, levels=2)
    for place, row in records_of(content):
        task = short(str(row.get("input")), row.get("output_1"), row.get("output_2"))
        label = row.get("label")
        if label is not None and label == label:
            collected.known("winner", task, str(label))
        rounds = place.listed(row.get("results"), "'results'")
        verdicts = [each for each in rounds if isinstance(each, dict) and "swap = False" in each]
        if not verdicts:
            raise place.damaged("'results' holds no verdict ('swap = False')")
        last = verdicts[-1]
        ratings = _score(last.get("score_1")), _score(last.get("score_2"))
        if "score_1" in last and (None in ratings or ratings[0] == ratings[1]):
            collected.skip("verdicts of equal or unreadable ratings", 2)
            continue
        for key, source in (("swap = False", judge), ("swap = True", judge + SWAPPED)):
            if key not in last:
                continue
            winner = place.mapped(last[key], repr(key)).get("winner")
            if is_abstention(winner):
                collected.skip(_ABSTAINED)
            elif str(winner) in ("1", "2", "tie"):
                collected.add("winner", task, source, str(winner))
            else:
                raise place.damaged(f"the winner is {winner!r} and neither 1 nor 2")


def _score(value: Any) -> int | None:
    """Return a rating of the Rating evaluators, a list of the model's text and how it ended."""
    text = value[0] if isinstance(value, list) and value else value
    try:
        return int(text)
    except (TypeError, ValueError):
        return None


def read_judgebench(content: Content, collected: Collected) -> None:
    """Add a judge's decisions, ``A>B``, ``B>A`` or ``A=B``, and the true one (``label``).

    The second judgment is of the pair in the other order, and the file does not map it back: it is mapped back here,
    and is a source of its own, ``judge (swapped)``. A reward model scores each answer by itself, so that its second
    judgment is its first again; that is left out.
    """
    for place, row in records_of(content):
        task = row.get("pair_id")
        if not isinstance(task, (str, int)):
            raise place.damaged(f"'pair_id' is {task!r}")
        truth = _decision(row.get("label"))
        if truth is not None:
            collected.known("decision", task, truth)
        judgments = place.listed(row.get("judgments"), "'judgments'")
        if _is_copy(judgments):
            collected.skip("second judgments of reward models, which see each answer alone")
            judgments = judgments[:1]
        if len(judgments) > 2:
            raise place.damaged(f"'judgments' holds {len(judgments)}, and at most two are known")
        for i, judgment in enumerate(judgments):
            judgment = place.mapped(judgment, "a judgment")
            decision = _decision(judgment.get("decision"))
            if decision is None:
                collected.skip("abstentions such as error or null")
                continue
            judge = _judge(row, judgment, content)
            source = judge + SWAPPED if i else judge
            collected.add("decision", task, source, _TURNED[decision] if i else decision)


def _is_copy(judgments: list[Any]) -> bool:
    scores = [
        j["judgment"].get("scores")
        for j in judgments
        if isinstance(j, dict) and isinstance(j.get("judgment"), dict)
    ]
    return (
        len(scores) == 2
        and all(isinstance(s, list) and len(s) == 2 for s in scores)
        and scores[0] == scores[1][::-1]
    )


def _decision(value: Any) -> str | None:
    if is_abstention(value) or not isinstance(value, str):
        return None
    text = value.replace(" ", "").replace(">>", ">").replace("<<", "<")
    text = {"A<B": "B>A", "B<A": "A>B", "B=A": "A=B", "tie": "A=B"}.get(text, text)
    return text if text in _TURNED else None


def _judge(row: dict[str, Any], judgment: dict[str, Any], content: Content) -> str:
    inner = judgment.get("judgment")
    model = inner.get("judge_model") if isinstance(inner, dict) else None
    parts = [str(part) for part in (row.get("judge_name"), model) if part]
    return "/".join(parts) or name_of_file(content)


FORMATS = (
    Format("alpaca-eval", "AlpacaEval annotations", _is_alpaca, read_alpaca),
    Format("llmbar", "LLMBar evaluator results", _is_llmbar, read_llmbar),
    Format("judgebench", "JudgeBench outputs", _is_judgebench, read_judgebench),
)
