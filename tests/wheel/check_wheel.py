"""Build the wheel, install it, and use it outside the checkout, together with strangers' packages.

    python tests/wheel/check_wheel.py            # on top of the environment that runs this, as CI does
    python tests/wheel/check_wheel.py --clean    # in an environment of its own, with what the wheel asks for

Run it from anywhere with an interpreter that has ``build``. On top of an environment all that the wheel needs, to be
built and to run, comes from there, and nothing is fetched. A clean environment, ``.venv-wheel-clean``, is kept for the
next run as long as pyproject.toml and constraints.txt stay the same; the wheel itself is installed afresh every time.
The two packages in plugins/examples are built and installed beside it, and taken away again; so are three
that misbehave.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))
import processes  # noqa: E402

CLEAN = "--clean" in sys.argv[1:]
VENV = ROOT / (".venv-wheel-clean" if CLEAN else ".venv-wheel")
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
CONSTRAINTS = ROOT / "constraints.txt"
BUILD = [sys.executable, "-m", "build", *([] if CLEAN else ["--no-isolation"])]
PACKAGES = {
    "deem_crowd": ROOT / "deem_crowd",
    "deem_crowd_adapters": ROOT / "adapters" / "deem_crowd_adapters",
    "deem_crowd_benchmarks": ROOT / "benchmarks" / "deem_crowd_benchmarks",
    "deem_crowd_plugins": ROOT / "plugins" / "deem_crowd_plugins",
}

EXAMPLES = ROOT / "plugins" / "examples"

# Packages of strangers that misbehave: the source of the one module of each.
HOOK = """
from deem_crowd import hookimpl

@hookimpl
def deem_crowd_aggregators():
    return %s
"""
ROGUES = {
    "rogue-taken": HOOK % "{'deem': dict}",
    "rogue-raises": "raise RuntimeError('no licence')\n",
    "rogue-rubbish": HOOK % "['deem']",
}

INSIDE = """
import importlib, importlib.metadata, pathlib, sys, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib")).resolve()
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    path = pathlib.Path(module.__file__).resolve()
    assert path.is_relative_to(site), f"{name} was imported from {path}, not from {site}"
    assert (path.parent / "py.typed").is_file(), f"{name} has no py.typed"
import deem_crowd
assert deem_crowd.__version__ == importlib.metadata.version("deem-crowd"), deem_crowd.__version__
for name in deem_crowd.__all__:
    getattr(deem_crowd, name)
for folder in ("adapters", "benchmarks", "plugins", "samplers", "tests"):
    assert not (site / folder).exists(), f"the wheel installs a top-level {folder!r}"
"""

EXAMPLES_INSIDE = """
import importlib, pathlib, sysconfig
import numpy as np
import pandas as pd
import deem_crowd
site = pathlib.Path(sysconfig.get_path("purelib")).resolve()
for name in ("deem_crowd_ebcc", "deem_crowd_tempering"):
    path = pathlib.Path(importlib.import_module(name).__file__).resolve()
    assert path.is_relative_to(site), f"{name} was imported from {path}, not from {site}"
rng = np.random.default_rng(0)
truth = rng.integers(3, size=120)
answers = np.where(rng.random((120, 6)) < 0.8, truth[:, None], (truth[:, None] + 1) % 3)
answers[rng.random(answers.shape) < 0.3] = -1
model = deem_crowd.DEEM(n_classes=3, sampler="tempering", epochs=3).fit(answers)
right = (model.predict(answers) == truth).mean()
assert right > 0.8, f"DEEM(sampler='tempering') is right about {right:.0%}"
task, worker = np.nonzero(answers >= 0)
frame = pd.DataFrame({"task": task, "worker": worker, "label": answers[task, worker]})
labels = deem_crowd.create("ebcc", n_seeds=2).fit_predict(frame)
right = (labels.sort_index() == truth[labels.sort_index().index]).mean()
assert right > 0.8, f"ebcc is right about {right:.0%}"
"""


def run(*command: str | Path, cwd: Path, status: int = 0, **environment: str) -> str:
    """Run ``command`` in ``cwd`` and return its output; leave with that output if its ``status`` is another."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return _output(words, done.returncode, status, done.stdout)


def python(*words: str, cwd: Path, status: int = 0, **environment: str) -> str:
    """Run ``python words`` as :func:`run` does, in a fork of a process that has the installed libraries loaded."""
    done = processes.python(
        *words, cwd=cwd, env=os.environ | environment, interpreter=str(SCRIPTS / "python")
    )
    return _output(words, done.returncode, status, done.stdout + done.stderr)


def shell(*words: str, cwd: Path, status: int = 0, **environment: str) -> str:
    """Run the installed ``deem-crowd words`` in the same way."""
    return python("-m", "deem_crowd.cli", *words, cwd=cwd, status=status, **environment)


def _output(words: Sequence[str], status: int, expected: int, said: str) -> str:
    if status != expected:
        sys.exit(f"{' '.join(words)}\nended with {status}, not {expected}:\n{said}")
    return said


def require(condition: bool, message: str) -> None:
    """Leave with ``message`` unless ``condition`` holds."""
    if not condition:
        sys.exit(f"wheel check: {message}")


def build(folder: Path) -> Path:
    """Build into ``folder`` by way of the source distribution, so that no old build/ gets in."""
    run(*BUILD, "--outdir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """Compare the files in the wheel with those in the checkout, both ways."""
    packed = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not name.partition("/")[0].endswith(".dist-info")
    }
    sources = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    forgotten = sorted(sources - packed)
    require(not forgotten, f"not in the wheel (see packages in pyproject.toml): {forgotten}")
    strangers = sorted(name for name in packed if name.partition("/")[0] not in PACKAGES)
    require(not strangers, f"in the wheel, but in none of our packages: {strangers}")


def install(wheel: Path, folder: Path) -> None:
    """Install ``wheel`` where it is tried."""
    (install_cleanly if CLEAN else install_on_top)(wheel, folder)
    run(SCRIPTS / "python", "-m", "pip", "check", cwd=folder)


def install_on_top(wheel: Path, folder: Path) -> None:
    """Make an environment that has the packages of this one, but for deem-crowd, which is the wheel."""
    venv.create(VENV, clear=True)
    beneath = [path for path in sys.path if Path(path).name == "site-packages"]
    (_site() / "beneath.pth").write_text("\n".join(beneath) + "\n")
    pip = [SCRIPTS / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, "--ignore-installed", wheel, cwd=folder)


def install_cleanly(wheel: Path, folder: Path) -> None:
    """Install ``wheel`` with what it asks for: alone, and then with what the benchmarks ask for."""
    key = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes())
    stamp = VENV / ".made-from"
    pip = [SCRIPTS / "python", "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS]
    if not stamp.is_file() or stamp.read_text() != key.hexdigest():
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=True)
        run(*pip, wheel, cwd=folder)
        check_bare(folder)
        run(*pip, f"{wheel}[benchmarks]", "pytest", cwd=folder)
        stamp.write_text(key.hexdigest())
    else:
        run(*pip, "--force-reinstall", "--no-deps", wheel, cwd=folder)
        for name in [*_examples(), *ROGUES]:  # left over where an earlier run was cut short
            if list(_site().glob(f"{name.replace('-', '_')}-*.dist-info")):
                uninstall(folder, name)


def check_bare(folder: Path) -> None:
    """Without extras the demo runs, and what needs one names it."""
    table = run(SCRIPTS / "deem-crowd", "demo", cwd=folder)
    require("DEEM" in table.upper(), f"`deem-crowd demo` shows no DEEM:\n{table}")
    said = run(SCRIPTS / "deem-crowd", "benchmark", cwd=folder, status=1)
    require(
        "pip install 'deem-crowd[benchmarks]'" in said, f"a bare `deem-crowd benchmark`: {said}"
    )


def uninstall(folder: Path, *names: str) -> None:
    """Take packages out of .venv-wheel."""
    run(SCRIPTS / "python", "-m", "pip", "uninstall", "--quiet", "--yes", *names, cwd=folder)


def _site() -> Path:
    (site,) = VENV.glob("Lib/site-packages" if os.name == "nt" else "lib/python3*/site-packages")
    return site


def _examples() -> list[str]:
    return sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


def check_shell(folder: Path) -> None:
    """Use the installed command as somebody without the checkout would."""
    command = SCRIPTS / "deem-crowd"
    table = run(command, "plugins", cwd=folder, DEEM_CROWD_PLUGINS_STRICT="1", COLUMNS="200")
    for name in ("deem", "ds", "mv", "crowdkit"):
        require(name in table.split(), f"`deem-crowd plugins` does not list {name}:\n{table}")

    with (folder / "answers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["task", "worker", "label"])
        for task in range(12):
            for worker in range(5):
                wrong = (task + 3 * worker) % 12 == 0  # each worker errs once
                rows.writerow([f"t{task}", f"w{worker}", ["no", "yes"][(task % 2) ^ wrong]])
    run(command, "aggregate", "answers.csv", "-o", "labels.csv", cwd=folder)
    with (folder / "labels.csv").open(newline="") as file:
        labels = {row[0]: row[1] for row in list(csv.reader(file))[1:]}
    expected = {f"t{task}": ["no", "yes"][task % 2] for task in range(12)}
    require(labels == expected, f"`deem-crowd aggregate` gave {labels}, not {expected}")


def check_examples(folder: Path) -> None:
    """Build the example packages, install them, find and use them, run their tests, take one away."""
    built = folder / "examples"
    for name in _examples():
        # a copy, so that the checkout gets no build folder
        copy = folder / "sources" / name
        shutil.copytree(EXAMPLES / name, copy, ignore=shutil.ignore_patterns("*.egg-info", "build"))
        run(*BUILD, "--wheel", "--outdir", built, copy, cwd=folder)
    pip = [SCRIPTS / "python", "-m", "pip"]
    run(*pip, "install", "--quiet", "--no-deps", *sorted(built.glob("*.whl")), cwd=folder)
    run(*pip, "check", cwd=folder)

    table = shell("plugins", cwd=folder, DEEM_CROWD_PLUGINS_STRICT="1", COLUMNS="200")
    for entry in ("aggregator ebcc deem-crowd-ebcc", "sampler tempering deem-crowd-tempering"):
        listed = any(set(entry.split()) <= set(line.split()) for line in table.splitlines())
        require(listed, f"`deem-crowd plugins` does not list {entry}:\n{table}")
    shell("aggregate", "answers.csv", "--method", "ebcc", "-o", "ebcc.csv", cwd=folder)
    require(
        sorted((folder / "ebcc.csv").read_text().split())
        == sorted((folder / "labels.csv").read_text().split()),
        f"`--method ebcc` gave {(folder / 'ebcc.csv').read_text()}",
    )
    table = shell("compare", "answers.csv", "--methods", "mv,ebcc", cwd=folder)
    require("ebcc" in table.split(), f"`deem-crowd compare` shows no ebcc:\n{table}")
    bench = ["benchmark", "--data", "law:few-tasks", "--methods", "deem, mv, ebcc(n_seeds=2)"]
    table = shell(*bench, "--out", "bench", cwd=folder, COLUMNS="200")
    require("ebcc(n_seeds=2)" in table.split(), f"`deem-crowd benchmark` shows no ebcc:\n{table}")
    page = (folder / "bench" / "report.html").read_text(encoding="utf-8")
    require("<svg" in page, "`deem-crowd benchmark` drew no picture")
    python("-c", EXAMPLES_INSIDE, cwd=folder)
    sets = ROOT.parent / "shared" / "data"
    data = {"DEEM_CROWD_LABEL_SETS": str(sets)} if sets.is_dir() else {}
    for name in _examples():
        tests = folder / "sources" / name / "tests"
        said = python("-m", "pytest", "-q", str(tests), cwd=tests, OMP_NUM_THREADS="1", **data)
        print(f"wheel check: {name}: {said.strip().splitlines()[-1]}", flush=True)

    uninstall(folder, "deem-crowd-ebcc")
    table = shell("plugins", cwd=folder, DEEM_CROWD_PLUGINS_STRICT="1", COLUMNS="200")
    require("ebcc" not in table, f"deem-crowd-ebcc is uninstalled, and still listed:\n{table}")
    require("tempering" in table.split(), f"deem-crowd-tempering is gone with the other:\n{table}")
    said = shell("aggregate", "answers.csv", "--method", "ebcc", cwd=folder, status=2)
    require("no method is called 'ebcc'" in said, f"an uninstalled method: {said}")
    uninstall(folder, "deem-crowd-tempering")


def check_rogues(folder: Path) -> None:
    """Install packages that misbehave: each is named with its fault, and none stops the others."""
    wheels = [_wheel_of(name, source, folder) for name, source in ROGUES.items()]
    run(SCRIPTS / "python", "-m", "pip", "install", "--quiet", "--no-deps", *wheels, cwd=folder)
    try:
        said = " ".join(shell("plugins", cwd=folder, COLUMNS="300").split())
        for words in (
            r"rogue-raises 1\.0 broken: .*RuntimeError: no licence",
            r"rogue-rubbish 1\.0 broken: .*returned \['deem'\], not a mapping",
            r"aggregator 'deem' comes from plugin .* of deem-crowd .* and from plugin 'rogue-taken'",
            r"crowdkit deem-crowd",
        ):
            require(
                re.search(words, said) is not None, f"`deem-crowd plugins` lacks {words}: {said}"
            )
        aggregate = ["aggregate", "answers.csv", "-o", "again.csv"]
        said = shell(*aggregate, cwd=folder, status=1)
        require("'rogue-taken'" in said, f"a name claimed twice: {said}")
        shell(*aggregate, cwd=folder, DEEM_CROWD_PLUGINS_DENY="rogue-taken")
        same = (folder / "again.csv").read_text() == (folder / "labels.csv").read_text()
        require(same, "with the rival denied the labels are others")
        deny_two = {"DEEM_CROWD_PLUGINS_DENY": "rogue-taken,rogue-rubbish"}
        strict = {"DEEM_CROWD_PLUGINS_STRICT": "1"}
        said = shell(*aggregate, cwd=folder, status=1, **deny_two, **strict)
        require("rogue-raises" in said, f"strict mode does not name the broken plugin: {said}")
    finally:
        uninstall(folder, *ROGUES)
    table = shell("plugins", cwd=folder, DEEM_CROWD_PLUGINS_STRICT="1")
    require("rogue" not in table, f"uninstalled, and still listed:\n{table}")


def _wheel_of(name: str, source: str, folder: Path) -> Path:
    """Write the wheel of a package with one module, whose entry point has the same name."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    files = {
        f"{module}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[deem_crowd]\n{name} = {module}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return path


def main() -> None:
    """Run all checks; the exit status is 0 only if every one holds."""
    for name in [name for name in os.environ if name.startswith(("PYTHON", "DEEM_CROWD"))]:
        del os.environ[name]
    os.environ |= {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}
    with tempfile.TemporaryDirectory(prefix="deem-crowd-wheel-") as name:
        folder = Path(name)
        print("wheel check: build", flush=True)
        wheel = build(folder)
        check_contents(wheel)
        print(f"wheel check: install {'cleanly' if CLEAN else 'on top of the tests'}", flush=True)
        install(wheel, folder)
        print("wheel check: import and use it outside the checkout", flush=True)
        python("-c", INSIDE, *PACKAGES, cwd=folder)
        check_shell(folder)
        print("wheel check: packages of strangers", flush=True)
        check_examples(folder)
        check_rogues(folder)
    print("wheel check: passed")


if __name__ == "__main__":
    main()
