"""Inspect (UK AI Security Institute): evaluation logs, of which each scorer is a source.

The format is that of Inspect's logs of version 2: ``.eval`` (a zip archive of JSON) and ``.json``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, canonical, having

_NUMBERS = {1: "C", 0: "I", 0.5: "P"}
"""Numbers beside letters, as Inspect's own ``value_to_float`` reads the letters: correct, incorrect, partly."""
_LETTERS = frozenset("CIPN")
_NO_GRADE = "Grade not found in model output"
"""How the explanation begins where a model-graded scorer gave no grade; older versions of Inspect then wrote I."""
_is_json = having("eval", "status", "version", kinds=("object",))


@dataclass
class _Scores:
    """What one scorer gave, to one question."""

    scorer: str
    tasks: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    @property
    def distinct(self) -> set[Any]:
        given = (v for v in self.values if v is not None and v == v and v != "")
        return {canonical(v) if isinstance(v, list) else v for v in given}

    @property
    def measures(self) -> bool:
        """Whether the values are measurements, such as F1, instead of classes."""
        return len([v for v in self.distinct if isinstance(v, float) and v % 1 != 0]) > 2


def _is_archive(content: Content) -> bool:
    return content.kind == "archive" and any(
        part.name.endswith(("/header.json", "/_journal/start.json")) for part in content.value
    )


def read_archive(content: Content, collected: Collected) -> None:
    """Add the scores of an ``.eval`` file. A run that was cut off has no header, and its samples count."""
    samples, header = [], None
    for part in content.value:
        inside = part.name.removeprefix(content.name).lstrip("/")
        if inside == "header.json":
            header = _object(part)
        elif inside.startswith("samples/"):
            samples.append(_object(part))
    if header is None:
        start = next(p for p in content.value if p.name.endswith("/_journal/start.json"))
        header = {**_object(start), "status": "started"}
    _read(header, samples, content, collected)


def read_json(content: Content, collected: Collected) -> None:
    """Add the scores of a ``.json`` log."""
    samples = Spot(content, "the log").listed(content.value.get("samples"), "'samples'")
    _read(content.value, samples, content, collected)


def _object(part: Content) -> dict[str, Any]:
    return Spot(part, "the file").mapped(part.value if part.kind == "object" else None, "it")


def _read(
    header: dict[str, Any], samples: list[Any], content: Content, collected: Collected
) -> None:
    """Add the scores of the samples that came to an end; a sample in an epoch is a task."""
    spec = Spot(content, "the header").mapped(header.get("eval"), "'eval'")
    collected.hint = (
        "The log holds no scored samples: score it (inspect score), or take a log with its samples."
    )
    if header.get("status") not in (None, "success"):
        collected.notes.append(
            f"the run ended with status {header['status']!r}, and the samples that were scored until then are read"
        )
    places = [Spot(content, f"sample {number}") for number in range(len(samples))]
    samples = [place.mapped(each, "it") for place, each in zip(places, samples, strict=True)]
    epochs = {
        place.hashable(sample.get("epoch", 1), "'epoch'")
        for place, sample in zip(places, samples, strict=True)
    }
    by_question: dict[str, dict[str, _Scores]] = defaultdict(dict)
    for number, (place, sample) in enumerate(zip(places, samples, strict=True)):
        key = place.hashable(sample.get("id", number), "'id'")
        task = key if len(epochs) < 2 else f"{key}, epoch {sample.get('epoch', 1)}"
        output = place.mapped(sample.get("output"), "'output'")
        collected.content[task] = canonical(
            spec.get("task"), spec.get("model"), sample.get("input"),
            sample.get("epoch"), output.get("choices", output.get("completion")),
        )  # fmt: skip
        if sample.get("error"):
            collected.skip("samples that failed")
        elif sample.get("invalidation"):
            collected.skip("samples that were declared invalid")
        else:
            for question, scorer, value in _values(sample, place, collected):
                scores = by_question[question].setdefault(scorer, _Scores(scorer))
                scores.tasks.append(task)
                scores.values.append(value)
    for question, by_scorer in by_question.items():
        _add(question, list(by_scorer.values()), collected)


def _values(
    sample: dict[str, Any], place: Spot, collected: Collected
) -> Iterator[tuple[str, str, Any]]:
    """Yield question, scorer and value of each score; a dict of values answers several questions."""
    scores = sample.get("scores")
    if scores is None and sample.get("score") is not None:  # logs of version 1
        scores = {"score": sample["score"]}
    scores = place.mapped(scores, "'scores'")
    if not scores:
        collected.skip("samples without a score")
    for scorer, score in scores.items():
        value = score
        if isinstance(score, dict):
            if "value" not in score:
                raise place.damaged(f"the score of {scorer!r} has no 'value'")
            value = score["value"]
            if str(score.get("explanation") or "").startswith(_NO_GRADE):
                collected.skip("graders that failed")
                continue
        if isinstance(value, dict):
            for name, each in value.items():
                if isinstance(each, (dict, list)):
                    raise place.damaged(
                        f"the value {name!r} of {scorer!r} is a {type(each).__name__}"
                    )
                yield str(name), scorer, each
        else:
            yield "value", scorer, value


def _add(question: str, scorers: list[_Scores], collected: Collected) -> None:
    """Add the scores to a question, apart where scorers have no values in common."""
    _one_coding(scorers, collected)
    measures = [scores for scores in scorers if scores.measures]
    scorers = [scores for scores in scorers if not scores.measures]
    groups: list[tuple[set[Any], list[_Scores]]] = []
    for scores in scorers:
        mine = scores.distinct
        for whole in (_LETTERS, set(_NUMBERS)):  # a scorer may give one class alone
            mine |= whole if mine <= whole else set()
        joined = [group for group in groups if group[0] & mine]
        for group in joined:
            groups.remove(group)
        groups.append(
            (mine.union(*(g[0] for g in joined)), [*(s for g in joined for s in g[1]), scores])
        )
    for _, members in [*groups, *((set(), [scores]) for scores in measures)]:
        name = question
        if len(groups) > 1 or members[0].measures:
            name = members[0].scorer if question == "value" else f"{question} ({members[0].scorer})"
            collected.question(name).free_text |= members[0].measures
        for scores in members:
            for task, value in zip(scores.tasks, scores.values, strict=True):
                collected.add(name, task, scores.scorer, value)


def _one_coding(scorers: list[_Scores], collected: Collected) -> None:
    """Write C, I and P for 1, 0 and 0.5 where some scorers say it by letters and others by numbers."""
    lettered = [s for s in scorers if s.distinct and s.distinct <= _LETTERS]
    numbered = [s for s in scorers if s.distinct and s.distinct <= set(_NUMBERS)]
    if lettered and numbered:
        for scores in numbered:
            scores.values = [_NUMBERS.get(value) for value in scores.values]
        names = ", ".join(repr(scores.scorer) for scores in numbered[:3])
        collected.notes.append(f"1, 0 and 0.5 of {names} are read as C, I and P like the others'")


FORMATS = (
    Format("inspect", "Inspect log (version 2, .eval)", _is_archive, read_archive),
    Format("inspect", "Inspect log (version 2, JSON)", _is_json, read_json),
)
