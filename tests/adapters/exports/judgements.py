"""Rows of what panels of judges publish."""

from __future__ import annotations


def pair(question, first, second, g1, g2, judge="gpt-4", turn=1):
    return {
        "question_id": question,
        "model_1": first,
        "model_2": second,
        "g1_winner": g1,
        "g2_winner": g2,
        "judge": [judge, "pair-v2"],
        "g1_judgment": "$ERROR$" if g1 == "error" else "[[A]]",
        "turn": turn,
        "tstamp": 1.0,
    }


def preference(value, annotator="judge", instruction="Say hi", one="hi", two="hello"):
    return {
        "instruction": instruction,
        "output_1": one,
        "generator_1": "ref",
        "output_2": two,
        "generator_2": "model",
        "annotator": annotator,
        "preference": value,
    }


def llmbar(number, label, *rounds):
    return {
        "input": f"Instruction {number}",
        "output_1": "one",
        "output_2": "two",
        "label": label,
        "results": [["a reference", "stop"], *rounds],
    }


def verdict(first, second, **more):
    return {
        "swap = False": {"completion": ["Output (a)", "stop"], "winner": first},
        "swap = True": {"completion": ["Output (b)", "stop"], "winner": second},
        **more,
    }


def judgebench(key, label, first, second, judge="arena_hard", model="o1", **scores):
    def judgment(decision, order):
        if decision == "failed":
            return None
        inner = {"judge_model": model, "response": ""}
        if scores:
            inner["scores"] = scores["scores"][::order]
        return {"judgment": inner, "decision": decision}

    return {
        "pair_id": key,
        "source": "x",
        "question": "q",
        "response_A": "a",
        "response_B": "b",
        "label": label,
        "judge_name": judge,
        "judgments": [judgment(first, 1), judgment(second, -1)],
    }
