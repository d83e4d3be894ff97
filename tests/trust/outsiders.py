"""Methods that strangers wrote, what they return, and text that repaints a terminal."""

from __future__ import annotations

import unicodedata

ROWS = [(f"t{t}", f"w{w}", "ab"[(t + (w == 0)) % 2]) for t in range(4) for w in range(3)]


METHODS = '''
import ctypes, os, sys
import pandas as pd
from deem_crowd import hookimpl

print("printed at import")


class Vote:
    """A vote."""

    def fit_predict(self, data):
        counts = data.groupby(["task", "label"]).size().unstack(fill_value=0)
        return self.spoilt(counts.idxmax(axis=1))

    def spoilt(self, labels):
        return labels


def method(change):
    def spoilt(self, labels):
        return change(labels)
    return type("Method", (Vote,), {"spoilt": spoilt})


class Prints(Vote):
    def spoilt(self, labels):
        print("printed by Python")
        sys.stdout.flush()
        ctypes.CDLL(None).puts(b"printed by C")
        os.write(1, b"written to 1\\n")
        return labels


class Closes(Vote):
    def spoilt(self, labels):
        sys.stdout.close()
        return labels


class Replaces(Vote):
    def spoilt(self, labels):
        sys.stdout = open(os.devnull, "w")
        return labels


class Improper(Vote):
    def fit_predict(self, data):
        labels = super().fit_predict(data)
        self.probas_ = pd.DataFrame(5.0, index=labels.index, columns=["a", "b"])
        return labels


class Array(Vote):
    def fit_predict(self, data):
        labels = super().fit_predict(data)
        self.probas_ = pd.DataFrame(0.5, index=labels.index, columns=["a", "b"]).to_numpy()
        return labels


class Half(Vote):
    def fit_predict(self, data):
        labels = super().fit_predict(data)
        self.probas_ = pd.DataFrame(1.0, index=labels.index[:2], columns=["a"])
        return labels


class Abstains(Vote):
    abstains = True

    def fit_predict(self, data):
        labels = super().fit_predict(data)
        self.probas_ = pd.DataFrame({"a": labels == "a", "b": labels == "b"}, dtype=float).drop("t1")
        return labels.where(labels.index != "t1")


class Base(BaseException):
    pass


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no")


def fails(error):
    class Fails(Vote):
        def spoilt(self, labels):
            raise error
    return Fails


@hookimpl
def deem_crowd_aggregators():
    return {
        "good": Vote,
        "none": method(lambda x: None),
        "list": method(list),
        "frame": method(lambda x: x.to_frame()),
        "half": method(lambda x: x[:2]),
        "twice": method(lambda x: pd.concat([x, x[:1]])),
        "nan": method(lambda x: x.where(x.index != "t1")),
        "unhashable": method(lambda x: x.map(lambda y: [y])),
        "unknown": method(lambda x: x.map(lambda y: "zebra")),
        "renumbered": method(lambda x: x.reset_index(drop=True)),
        "abstains": Abstains,
        "improper": Improper,
        "array": Array,
        "patchy": Half,
        "prints": Prints,
        "closes": Closes,
        "replaces": Replaces,
        "exits": fails(SystemExit(0)),
        "silent": fails(Silent()),
        "base": fails(Base("no Exception")),
        "leaves": method(lambda x: os._exit(0)),
        "long-winded": fails(ValueError("x" * 10**7)),
        "paints": fails(ValueError("\\x1b[2J\\x1b]0;owned\\x07 \\u202e\\rerror")),
    }
'''


RETURNED = {
    "none": "returned a NoneType, not a Series",
    "list": "returned a list, not a Series",
    "frame": "returned a DataFrame, not a Series",
    "half": "no label for 2 tasks ('t2', 't3')",
    "twice": "more than one label for 1 task ('t0')",
    "nan": "no label for 1 task ('t1')",
    "unhashable": "labels that are not hashable (list)",
    "unknown": "1 label that no worker gave ('zebra'), for 4 tasks",
    "renumbered": "none of 4 tasks has a label; its index holds 0, 1, 2, 3",
}


OPEN = {
    "half": ("0.5000", "2 of 4 tasks have no label ('t2', 't3') and count as wrong."),
    "nan": ("0.7500", "1 of 4 tasks has no label ('t1') and counts as wrong."),
    "abstains": ("0.7500", "1 of 4 tasks has no label ('t1') and counts as wrong."),
}


def obeyed(text: str) -> list[str]:
    categories = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return [c for c in text if c != "\n" and unicodedata.category(c) in categories]


HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e\r"
