"""promptfoo: results of an evaluation, of which each grader of an output is a source that says pass or fail.

The format is that of ``promptfoo eval -o results.json`` and ``promptfoo export eval``, summaries of version 3 (and
2), the rows of ``-o results.jsonl``, and the table (version 4) that ``promptfoo view`` serves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deem_crowd.exceptions import ParameterError, first_few
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, canonical

_JUDGES = frozenset(
    {
        *(
            "agent-rubric",
            "answer-relevance",
            "context-faithfulness",
            "context-recall",
            "context-relevance",
        ),
        *(
            "conversation-relevance",
            "factuality",
            "g-eval",
            "human",
            "llm-rubric",
            "model-graded-closedqa",
        ),
        *(
            "model-graded-factuality",
            "pi",
            "search-rubric",
            "trajectory:goal-success",
            "video-rubric",
        ),
    }
)
"""Types of assertions that a model or a person grades."""
_FAILED = (
    "could not extract json",
    "no output",
    "llm-rubric produced malformed",
    "error:",
    "api error",
    "api call error",
    "api response error",
    "request failed",
    "request timed out",
    "rate limit",
    "error parsing",
    "failed to parse",
)
"""How the reason of an assertion begins where its grader gave no verdict (before there was ``graderError``)."""
ASSERTIONS = ("judges", "all")


@dataclass(frozen=True)
class _Verdict:
    """What one assertion said of one output."""

    task: str
    metric: str
    provider: str | None
    kind: str
    by_judge: bool
    label: str

    @property
    def what(self) -> str:
        return self.metric or self.kind


def _summary(content: Content) -> dict[str, Any] | None:
    """Return the object that holds the results, None if there is none."""
    if content.kind != "object":
        return None
    inner = content.value.get("results")
    if isinstance(inner, dict) and isinstance(inner.get("results"), list):
        return inner
    own = {"evalId", "stats", "version", "table"} & content.keys
    return content.value if isinstance(inner, list) and own else None


def _is_table(content: Content) -> bool:
    table = content.value.get("table") if content.kind == "object" else None
    return isinstance(table, dict) and {"head", "body"} <= set(table)


def _is_promptfoo(content: Content) -> bool:
    if content.kind == "records":
        return {"gradingResult", "provider", "success"} <= content.keys
    return _summary(content) is not None or _is_table(content)


def read(content: Content, collected: Collected, assertions: str | None = None) -> None:
    """Add the verdicts of the graders of each output: ``pass`` or ``fail``.

    A task is an output: a test, a provider and (where there are several) a prompt. A source is an assertion, named
    after its metric, else its type; where several graders look at the same metric, a source is the grader (its
    provider). Assertions of equal name in one test are numbered. Outputs that failed, outputs without a grading and
    graders that failed are left out: they say nothing of the output.

    Parameters
    ----------
    content : Content
    collected : Collected
    assertions : 'judges' or 'all', optional
        ``'judges'`` reads what a model or a person grades (``llm-rubric``, ``factuality``, ``g-eval``, ``human`` …) and
        leaves out deterministic assertions (``contains``, ``javascript``, ``latency`` …): these measure properties of
        their own and make no errors, so that they are no second opinions. ``'all'`` reads both. By default judges are
        read if there are two or more of them, else all, which is said.

    Raises
    ------
    DataError, ParameterError
    """
    if assertions not in (None, *ASSERTIONS):
        raise ParameterError(f"assertions={assertions!r} is none of {first_few(ASSERTIONS)}.")
    verdicts: list[_Verdict] = []
    for number, (row, task) in enumerate(_named(list(_cells(content)), collected)):
        verdicts += _verdicts(row, task, Spot(content, f"result {number}"), collected)
    chosen = _chosen(verdicts, assertions, collected)
    collected.hint = (
        "Results with gradingResult.componentResults are needed: run the evaluation again."
    )
    for verdict, question, source in _sources(chosen):
        collected.add(question, verdict.task, source, verdict.label)


def _cells(content: Content) -> Iterator[dict[str, Any]]:
    """Yield the results as rows of version 3, whatever the file's form."""
    if content.kind == "records":
        yield from content.value
        return
    summary = _summary(content)
    if summary is not None and summary["results"]:
        for number, row in enumerate(summary["results"]):
            yield Spot(content, f"result {number}").mapped(row, "a result")
        return
    place = Spot(content, "table")
    table = place.mapped((summary or content.value).get("table"), "it")
    prompts = place.listed(place.mapped(table.get("head"), "'head'").get("prompts"), "'prompts'")
    for number, row in enumerate(place.listed(table.get("body"), "'body'")):
        row = Spot(content, f"row {number} of the table").mapped(row, "it")
        outputs = Spot(content, f"row {number}").listed(row.get("outputs"), "'outputs'")
        for i, cell in enumerate(outputs):
            cell = Spot(content, f"row {number}, output {i}").mapped(cell, "it")
            prompt = prompts[i] if i < len(prompts) and isinstance(prompts[i], dict) else {}
            yield {
                **cell,
                "testIdx": row.get("testIdx", number),
                "promptIdx": i,
                "provider": cell.get("provider") or prompt.get("provider"),
                "prompt": prompt,
                "vars": row.get("vars"),
                "response": cell.get("response") or {"output": cell.get("text")},
            }


def _named(
    rows: list[dict[str, Any]], collected: Collected
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each result with the name of its task."""
    prompts: dict[str, set[str]] = defaultdict(set)
    tests: dict[str, int] = {}
    for row in rows:
        prompts[_provider(row)].add(_prompt(row))
    times: Counter[str] = Counter()
    for row in rows:
        number = row.get("testIdx")
        if not isinstance(number, int):
            number = tests.setdefault(canonical(row.get("vars")), len(tests))
        provider = _provider(row)
        task = f"test {number}, {provider}"
        if len(prompts[provider]) > 1:
            label = row.get("promptIdx")
            task += f", prompt {_prompt(row)[:40] if label is None else label}"
        times[task] += 1
        if times[task] > 1:
            task += f", run {times[task]}"
        response = row.get("response")
        output = response.get("output") if isinstance(response, dict) else response
        collected.content[task] = canonical(row.get("vars"), provider, _prompt(row), output)
        yield row, task


def _provider(row: dict[str, Any]) -> str:
    provider = row.get("provider")
    if isinstance(provider, dict):
        provider = provider.get("label") or provider.get("id")
    return str(provider or "provider")


def _prompt(row: dict[str, Any]) -> str:
    prompt = row.get("prompt")
    return str(prompt.get("raw") if isinstance(prompt, dict) else prompt)


def _verdicts(
    row: dict[str, Any], task: str, place: Spot, collected: Collected
) -> Iterator[_Verdict]:
    grading = place.mapped(row.get("gradingResult"), "'gradingResult'")
    response = row.get("response")
    failed = row.get("failureReason") == 2 or (isinstance(response, dict) and response.get("error"))
    if failed or (not grading and row.get("error")):
        collected.skip("outputs that failed")
        return
    components = list(_flat(grading, place))
    if not components:
        collected.skip("outputs without graded assertions")
    for component in components:
        assertion = place.mapped(component.get("assertion"), "'assertion'")
        kind = str(assertion.get("type") or component.get("type") or "")
        if not kind:
            collected.skip("results that name no assertion")
            continue
        base = kind.removeprefix("not-")
        by_judge = base in _JUDGES or base.startswith("promptfoo:redteam:")
        if by_judge and _grader_failed(component):
            collected.skip("graders that failed")
            continue
        passed = component.get("pass")
        if not isinstance(passed, bool):
            raise place.damaged(f"'pass' of {kind!r} is {passed!r} and not true or false")
        metric = str(assertion.get("metric") or component.get("metric") or "")
        grader = assertion.get("provider")
        if isinstance(grader, dict):
            grader = grader.get("label") or grader.get("id")
        named = grader if isinstance(grader, str) else None
        yield _Verdict(task, metric, named, kind, by_judge, "pass" if passed else "fail")


def _flat(grading: dict[str, Any], place: Spot) -> Iterator[dict[str, Any]]:
    """Yield the results of single assertions; those of a set stand one level deeper."""
    for component in place.listed(grading.get("componentResults"), "'componentResults'"):
        component = place.mapped(component, "a component")
        if not component.get("assertion") and component.get("componentResults"):
            yield from _flat(component, place)
        else:
            yield component


def _grader_failed(component: dict[str, Any]) -> bool:
    metadata = component.get("metadata")
    if isinstance(metadata, dict) and metadata.get("graderError"):
        return True
    reason = component.get("reason")
    return (
        component.get("pass") is False
        and isinstance(reason, str)
        and reason.lower().startswith(_FAILED)
    )


def _chosen(
    verdicts: list[_Verdict], assertions: str | None, collected: Collected
) -> list[_Verdict]:
    judged = [verdict for verdict in verdicts if verdict.by_judge]
    n_others = len(verdicts) - len(judged)
    if assertions == "all" or not n_others:
        return verdicts
    most = max(Counter(verdict.task for verdict in judged).values(), default=0)
    if assertions is None and most < 2:
        collected.notes.append(
            f"{n_others:,} results of deterministic assertions are read, since no output has two model-graded ones "
            "(assertions='judges' leaves them out)"
        )
        return verdicts
    collected.skip("results of deterministic assertions, which assertions='all' reads", n_others)
    return judged


def _sources(verdicts: list[_Verdict]) -> Iterator[tuple[_Verdict, str, str]]:
    """Yield each verdict with its question and its source."""
    providers: dict[str, set[str | None]] = defaultdict(set)
    for verdict in verdicts:
        providers[verdict.what].add(verdict.provider)
    several = {what for what, named in providers.items() if len(named) > 1}
    times: Counter[tuple[str, str]] = Counter()
    most: Counter[str] = Counter()
    seen: list[tuple[_Verdict, str, str, int]] = []
    for verdict in verdicts:
        question = verdict.what if verdict.what in several else "pass"
        source = (verdict.provider or "default grader") if verdict.what in several else verdict.what
        key = f"{question}\n{source}"
        times[verdict.task, key] += 1
        most[key] = max(most[key], times[verdict.task, key])
        seen.append((verdict, question, source, times[verdict.task, key]))
    for verdict, question, source, number in seen:
        repeated = most[f"{question}\n{source}"] > 1
        yield verdict, question, f"{source} {number}" if repeated else source


FORMATS = (
    Format("promptfoo", "promptfoo results (version 3)", _is_promptfoo, read, ("assertions",)),
)
