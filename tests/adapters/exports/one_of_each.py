"""One export of each tool."""

from __future__ import annotations

from evaluations import SAMPLES, judged, log, promptfoo, result
from judgements import judgebench, llmbar, pair, preference, verdict
from matrices import VOTES, wrench
from services import V1, label_2, radio

FILES = {
    "promptfoo.json": promptfoo([result(t, "p", judged(True, False)) for t in range(2)]),
    "inspect.json": log(SAMPLES),
    "pair.jsonl": [pair(81, "a", "b", "model_1", "tie"), pair(82, "b", "a", "tie", "error")],
    "annotations.json": [preference(1), preference(1.7, "b")],
    "llmbar.json": [llmbar(0, 1, verdict("1", "2")), llmbar(1, 2, verdict("2", None))],
    "judgebench.jsonl": [judgebench("p1", "A>B", "A>B", "B>A"), judgebench("p2", "A>B", "A=B", None)],
    "matrix.json": {"L": VOTES.tolist(), "Y": [0, 1, 2]},
    "train.json": wrench([[-1, 0], [1, 1]], [0, 1]),
    "labelbox1.json": V1,
    "labelbox2.ndjson": [label_2("r1", "a", [{"name": "K", "radio_answer": {"name": "x"}}])],
    "labelbox3.json": [{**V1[0], "Label": {"classifications": [radio("Kind", "Cat")]}}],
}  # fmt: skip
