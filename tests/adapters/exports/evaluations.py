"""Results of evaluations as promptfoo and Inspect write them, and one file of each tool."""

from __future__ import annotations

import json
import zipfile


def component(passed, kind="llm-rubric", reason="because", **assertion):
    return {
        "pass": passed,
        "score": float(passed),
        "reason": reason,
        "assertion": {"type": kind, **assertion},
    }


def result(test, provider, components, prompt=0, **more):
    return {
        "promptIdx": prompt,
        "testIdx": test,
        "testCase": {"vars": {"q": f"question {test}"}},
        "provider": {"id": provider, "label": ""},
        "prompt": {"raw": f"Answer {{{{q}}}} {prompt}", "label": "p"},
        "vars": {"q": f"question {test}"},
        "response": {"output": f"{provider} says {test}"},
        "success": all(c["pass"] for c in components),
        "failureReason": 0,
        "gradingResult": {"pass": True, "score": 1, "reason": "", "componentResults": components},
        **more,
    }


def promptfoo(results):
    return {
        "evalId": "eval-1",
        "results": {"version": 3, "timestamp": "2026", "prompts": [], "results": results},
        "config": {},
    }


def judged(passed, failed):
    """Return two judges' verdicts and a deterministic assertion."""
    return [
        component(passed, metric="helpful"),
        component(failed, "factuality", metric="true"),
        component(True, "contains"),
    ]


def sample(key, scores, epoch=1, **more):
    return {
        "id": key,
        "epoch": epoch,
        "input": f"input {key}",
        "target": "x",
        "output": {"model": "m", "choices": [{"message": {"content": f"out {key} {epoch}"}}]},
        "scores": {name: {"value": value, "answer": "a"} for name, value in scores.items()},
        **more,
    }


def log(samples, status="success", model="openai/m"):
    return {
        "version": 2,
        "status": status,
        "eval": {"task": "t", "model": model, "run_id": "r"},
        "plan": {},
        "results": {},
        "stats": {},
        "samples": samples,
    }


def write_eval(path, whole, header=True):
    """Write an .eval file: a zip of the header, of each sample, and of the journal."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        start = {"version": 2, "eval": whole["eval"], "plan": {}}
        archive.writestr("_journal/start.json", json.dumps(start))
        archive.writestr("_journal/summaries/1.json", json.dumps([{"id": 1, "epoch": 1}]))
        for one in whole["samples"]:
            archive.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
        archive.writestr("summaries.json", json.dumps([{"id": 1}]))
        if header:
            rest = {key: value for key, value in whole.items() if key != "samples"}
            archive.writestr("header.json", json.dumps(rest))
    return path


SAMPLES = [
    sample(1, {"judge_a": "C", "judge_b": "I"}),
    sample(1, {"judge_a": "C", "judge_b": "C"}, epoch=2),
    sample(2, {"judge_a": "I", "judge_b": "I"}),
    sample(2, {}, epoch=2, error={"message": "timed out", "traceback": ""}),
    sample("3", {"judge_a": "P"}),
    sample("3", {}, epoch=2),
]
