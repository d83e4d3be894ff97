"""The test suite with other versions than those of constraints.txt; docs/compatibility.md holds what was run.

    pip install nox uv
    nox                     # all sessions whose Python is there
    nox -s oldest-3.10      # one

`oldest` takes the lower ends of all ranges of pyproject.toml, `newest` what the index has; the others change one thing
of constraints.txt. All need a download of torch for their Python: on Linux the index has CUDA builds of several GB.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False

PYTEST = ("-q", "-n", "2", "-p", "no:cacheprovider")


def run(session: nox.Session) -> None:
    """Run the tests, each process on one thread."""
    session.run("python", "-m", "pytest", *PYTEST, *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(python=["3.10", "3.11"])
def oldest(session: nox.Session) -> None:
    """The oldest version that each range admits."""
    pins = Path(session.create_tmp()) / "oldest.txt"
    session.install("uv")
    session.run(
        "uv", "pip", "compile", "pyproject.toml", "--extra", "dev", "--resolution", "lowest-direct",
        "--python-version", str(session.python), "--quiet", "--output-file", str(pins),
    )  # fmt: skip
    session.install("-r", str(pins))
    session.install("--no-deps", "-e", ".")
    run(session)


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def newest(session: nox.Session) -> None:
    """The newest version of everything that this Python has."""
    session.install("--upgrade", "-e", ".[dev]")
    run(session)


@nox.session(python="3.11")
@nox.parametrize(
    "change",
    ["pandas<3", "scikit-learn<1.7", "scikit-learn>=1.8", "torch<2.6"],
)
def changed(session: nox.Session, change: str) -> None:
    """constraints.txt with one package replaced."""
    name = change.replace("<", "=").replace(">", "=").partition("=")[0]
    pins = [
        line
        for line in Path("constraints.txt").read_text().splitlines()
        if not line.startswith(name)
    ]
    kept = Path(session.create_tmp()) / "constraints.txt"
    kept.write_text("\n".join(pins))
    session.install("-e", ".[dev]", change, "--constraint", str(kept))
    run(session)
