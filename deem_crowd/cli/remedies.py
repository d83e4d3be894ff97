"""What messages of the library advise to call, in the words of the shell."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Callable

_COLUMNS = ("task", "worker", "label")
"""The parts whose columns have options of their own."""

# What messages of the library advise to call, and what does the same in the shell.
_REMEDIES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r": df\.dropna\([^)]*\)", ""),
    (r", e\.g\. (df(\['\w+'\])?\.astype\([^)]*\)|pd\.read_csv\([^)]*\))", ""),
    (
        r": df\[~?df\['label'\](?:\.isin\((\[.*?\])\)| != ('?-1'?))\]"
        r".*; if (not|it is a class), name the classes: .*\.$",
        lambda found: (
            f": {_abstaining(found[1] or f'[{found[2]}]')}; if {found[3]}, nothing has to change."
        ),
    ),
    (r"Rename the columns: df\.rename\(columns=\{…[^)]*\)", "Rename the column in the file"),
    (
        r"Rename the columns: df\.rename\(columns=\{([^}]*)\}\)",
        lambda found: f"Rename the columns in the file ({found[1].replace(': ', ' to ')})",
    ),
    (
        r"If a column has another name, say so: columns=\{'(\w+)': …\}",
        lambda found: f"If a column has another name, name it: {_option(found[1], 'COLUMN')}",
    ),
    (
        r"If the file has no header row, name its columns in their order: columns=\[[^]]*\]",
        "If the file has no header row, put one on top",
    ),
    (r"columns=(\{'\w+': [^}…]*\})", lambda found: _options(found[1])),
    (
        r"(?<=: )((task|worker|label|score)=…(, )?)+(?! \(in the shell)",
        lambda found: re.sub(r"(\w+)=…", lambda part: _option(part[1], "COLUMN"), found[0]),
    ),
    (r"pass duplicates='last' or 'first'", "pass --duplicates last or --duplicates first"),
    (r"(is missing in \d+ of \d+ rows \(rows [^)]*)\)", r"\1; the first is row 0)"),
    (
        r"If they are meant as one: df\['\w+'\]\.str.*\.$",
        "If they are meant as one, write them alike in the file.",
    ),
    (
        r"verdicts=\{(.*): …\}(.*) None for",
        lambda found: f"--adapter-set {_verdicts(found[1])}{found[2]} null for",
    ),
    (r"([Nn])ame it: (swap|swapped)=", r"\1ame it: --adapter-set \2="),
    (
        r"pass an ordered categorical, and see median_ and mean_: .*, ordered=True\)",
        "write a number for each label in the file and pass --set ordered=true",
    ),
    (
        r" Where such a label is right, pass all classes with the answers: "
        r"deem_crowd\.Answers\.from_frame\(df, classes=\[…\]\)\.",
        "",
    ),
    (r"fit with ordered=False", "pass --set ordered=false"),
    (
        r"convert them, df\['label'\] = pd\.to_numeric\(df\['label'\]\), (?=fit with ordered=True)",
        "",
    ),
    (r"fit with ordered=True(, and see median_ and mean_)?", "pass --set ordered=true"),
    (r"; if not, name the classes: classes=\[\.\.\.\]\.", "; if not, nothing has to change."),
    (
        r"Name the probability columns in classes=\[\.\.\.\]",
        """Name the probability columns: --adapter soft-long --adapter-set 'classes=["…", "…"]'""",
    ),
    (r"leave them out: df\[~df\['worker'\]\.isin\(.*?\)\]", "leave them out of the file"),
    (r"[Ll]eave (it|them) out: df\.iloc\[:\d+\], or delete", "Delete"),
    (r"leave it out: df\[df\['task'\] != .*\]\.$", "delete it in the file."),
    (r"labels as gold=?\.", "labels with --gold."),
    (r"\(gold=\)", "(--gold)"),
    (r"findings\(\) has (\d+) more", r"`deem-crowd report` has \1 more"),
    (
        r"align_sources\(\) finds which of a worker's names stands for which class",
        "if all have names of their own, `deem-crowd aggregate --method clusterings` needs no common ones",
    ),
    (r"^budget=(?=\d)", "--budget "),
    (r"Raise budget= or lower costs=", "Raise --budget or lower --costs"),
    (r"\(groups=\)", """(--set 'groups={"their name": ["…", "…"]}')"""),
    (r"(?:\bto_answers\([^()]*\)|\b\w+='[^']*') \(in the shell: ([^()]*)\)", r"\1"),
    (r"\b(missing|duplicates|format)='(\w+)'(?![^()]*\))", r"--\1 \2"),
    (r"^(exclude|unanswered|gold|labels)(?=:? (?:has|holds|names|gives|\d))", r"--\1"),
    (r"^costs (?=are|of|name)", "--costs: costs "),
    (r"leave (it|them) out with exclude=", r"leave \1 out with --exclude"),
    (
        r"Pass a DataFrame indexed by task, or a file with a column 'task', instead",
        "Give it a column (or array) 'task'",
    ),
    (
        r"index the frame by task, or give it a column 'task'",
        "give column 'task' the ids of the answers",
    ),
    (
        r"classifier_ predicts labels for them",
        "aggregate --save-classifier FILE.skops keeps a classifier that labels them",
    ),
    (r"or leave out features=", "or leave out --features"),
    (
        r"Encode such columns, e\.g\. by pd\.get_dummies",
        "Write such columns as numbers in the file, decimals with a point",
    ),
    (
        r"ordered=True (needs .*)\. Pass numbers\b.*, or an ordered categorical: .*\.$",
        r"--set ordered=true \1. Write a number for each in the file, decimals with a point.",
    ),
)


def _option(part: str, name: str) -> str:
    """Return the option that names the column of a part."""
    written = shlex.quote(name)
    return f"--{part} {written}" if part in _COLUMNS else f"--adapter-set {part}={written}"


def _options(columns: str) -> str:
    """Return the options that name columns, of the text of a dictionary from parts to names."""
    try:
        named = ast.literal_eval(columns)
    except (SyntaxError, ValueError):
        return f"columns={columns}"
    return " ".join(_option(part, str(name)) for part, name in named.items())


def _abstaining(labels: str) -> str:
    """Return the options that name labels that stand for no answer, of the text of a list."""
    return " ".join(f"--abstain={shlex.quote(str(label))}" for label in ast.literal_eval(labels))


def _verdicts(word: str) -> str:
    """Return the value of --adapter-set that says what a verdict means, of the text of its literal."""
    try:
        meaning = json.dumps({str(ast.literal_eval(word)): "…"}, ensure_ascii=False)
    except (SyntaxError, ValueError):
        meaning = f"{{{word}: '…'}}"
    return shlex.quote(f"verdicts={meaning}")


def in_shell_words(message: str) -> str:
    """Say what helps in the shell where a message of the library says what helps in Python."""
    for pattern, words in _REMEDIES:
        message = re.sub(pattern, words, message)
    return message
