"""Build the wheel, install it into a clean environment, and use it outside the checkout.

Run it from anywhere with an interpreter that has ``build``: ``python tests/wheel/check_wheel.py``.
The environment, ``.venv-wheel``, is kept for the next run as long as pyproject.toml and
constraints.txt stay the same; the wheel itself is installed afresh every time.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-wheel"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = {
    "deem_crowd": ROOT / "deem_crowd",
    "deem_crowd_adapters": ROOT / "adapters" / "deem_crowd_adapters",
    "deem_crowd_benchmarks": ROOT / "benchmarks" / "deem_crowd_benchmarks",
    "deem_crowd_plugins": ROOT / "plugins" / "deem_crowd_plugins",
}

EXAMPLES = ROOT / "plugins" / "examples"

FIT = """
import numpy as np, pandas as pd, deem_crowd
rng = np.random.default_rng(0)
truth = rng.integers(3, size=120)
data = np.where(rng.random((120, 6)) < 0.7, truth[:, None], rng.integers(3, size=(120, 6)))
model = deem_crowd.DEEM(sampler="tempering", epochs=10).fit(data)
assert model.score(data, truth) > 0.7, model.score(data, truth)
frame = deem_crowd.Answers.from_dense(data).to_frame()
labels = deem_crowd.create("ebcc", n_seeds=2).fit_predict(frame)
assert (labels.sort_index() == truth).mean() > 0.7
"""

# Packages as a careless stranger might write them: name, module, and what the table then says.
CARELESS = {
    "taken-name": (
        "from deem_crowd import hookimpl\n"
        "@hookimpl\ndef deem_crowd_aggregators(): return {'ds': print}\n",
        "aggregator 'ds' comes from",
    ),
    "raises": ("raise RuntimeError('half installed')\n", "half installed"),
    "rubbish": (
        "from deem_crowd import hookimpl\n@hookimpl\ndef deem_crowd_samplers(): return ['dlp']\n",
        "rubbish",
    ),
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


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run ``command`` in ``cwd`` and return its output; leave with that output if it fails."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DEEM_CROWD"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nfailed with {done.returncode}:\n{done.stdout}")
    return done.stdout


def require(condition: bool, message: str) -> None:
    """Leave with ``message`` unless ``condition`` holds."""
    if not condition:
        sys.exit(f"wheel check: {message}")


def build(folder: Path) -> Path:
    """Build into ``folder`` by way of the source distribution, so that no old build/ gets in."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
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
    """Install ``wheel`` and all it asks for into .venv-wheel."""
    key = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes())
    stamp = VENV / ".made-from"
    pip = [SCRIPTS / "python", "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS]
    if not stamp.is_file() or stamp.read_text() != key.hexdigest():
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=True)
        run(*pip, wheel, cwd=folder)
        stamp.write_text(key.hexdigest())
    else:
        run(*pip, "--force-reinstall", "--no-deps", wheel, cwd=folder)
    run(SCRIPTS / "python", "-m", "pip", "check", cwd=folder)


def check_shell(folder: Path) -> None:
    """Use the installed command as somebody without the checkout would."""
    shell = SCRIPTS / "deem-crowd"
    table = run(shell, "plugins", cwd=folder, DEEM_CROWD_PLUGINS_STRICT="1", COLUMNS="200")
    for name in ("deem", "ds", "mv", "crowdkit"):
        require(name in table.split(), f"`deem-crowd plugins` does not list {name}:\n{table}")

    with (folder / "answers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["task", "worker", "label"])
        for task in range(12):
            for worker in range(5):
                wrong = (task + 3 * worker) % 12 == 0  # each worker errs once
                rows.writerow([f"t{task}", f"w{worker}", ["no", "yes"][(task % 2) ^ wrong]])
    run(shell, "aggregate", "answers.csv", "-o", "labels.csv", cwd=folder)
    with (folder / "labels.csv").open(newline="") as file:
        labels = {row[0]: row[1] for row in list(csv.reader(file))[1:]}
    expected = {f"t{task}": ["no", "yes"][task % 2] for task in range(12)}
    require(labels == expected, f"`deem-crowd aggregate` gave {labels}, not {expected}")

    table = run(shell, "demo", cwd=folder)
    require("DEEM" in table.upper(), f"`deem-crowd demo` shows no DEEM:\n{table}")


def words(text: str) -> str:
    """Return text without the line breaks and frames of a table."""
    return " ".join(text.replace("│", " ").split())


def check_examples(folder: Path) -> None:
    """Install the example plugins as a stranger would, see them everywhere, test them, and take one away."""
    pip = [SCRIPTS / "python", "-m", "pip"]
    install = [*pip, "install", "--quiet", "--constraint", CONSTRAINTS]
    packages = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))
    require(len(packages) == 2, f"examples found: {packages}")
    copies = [shutil.copytree(path, folder / path.name) for path in packages]
    run(*install, "pytest", "build", cwd=folder)
    wheels = folder / "wheels"
    for copy in copies:
        run(sys.executable, "-m", "build", "--wheel", "--outdir", wheels, copy, cwd=folder)
    run(*install, "--no-deps", "--force-reinstall", *sorted(wheels.glob("*.whl")), cwd=folder)
    shell = SCRIPTS / "deem-crowd"
    sets = ROOT.parent / "shared" / "data"
    data = {"DEEM_CROWD_LABEL_SETS": str(sets)} if sets.is_dir() else {}

    def table() -> str:
        return run(shell, "plugins", cwd=folder, COLUMNS="250", DEEM_CROWD_PLUGINS_STRICT="1")

    for name in ("ebcc", "tempering", "deem-crowd-ebcc", "deem-crowd-tempering"):
        require(name in table(), f"`deem-crowd plugins` does not list {name}:\n{table()}")
    run(SCRIPTS / "python", "-c", FIT, cwd=folder)
    run(shell, "aggregate", "answers.csv", "-o", "by_ebcc.csv", "--method", "ebcc", cwd=folder)
    found = run(shell, "compare", "answers.csv", "--methods", "deem,ds,ebcc", cwd=folder)
    require("ebcc" in found, f"`deem-crowd compare` shows no ebcc:\n{found}")
    for copy in copies:
        run(SCRIPTS / "python", "-m", "pytest", "-q", copy / "tests", cwd=copy / "tests", **data)
    run(*pip, "uninstall", "--quiet", "--yes", "deem-crowd-ebcc", cwd=folder)
    require("ebcc" not in table(), f"ebcc is listed after it was uninstalled:\n{table()}")
    require("tempering" in table(), f"uninstalling one took the other away:\n{table()}")


def check_careless(folder: Path) -> None:
    """Install plugins with faults, one at a time: each is named, and the rest goes on working."""
    shell = SCRIPTS / "deem-crowd"
    pip = [SCRIPTS / "python", "-m", "pip"]
    for name, (code, seen) in CARELESS.items():
        place = folder / f"careless-{name}"
        place.mkdir()
        module = f"careless_{name.replace('-', '_')}"
        (place / f"{module}.py").write_text(code)
        (place / "pyproject.toml").write_text(
            f'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            f'[project]\nname = "{name}"\nversion = "1"\n'
            f'[project.entry-points.deem_crowd]\n{name} = "{module}"\n'
            f'[tool.setuptools]\npy-modules = ["{module}"]\n'
        )
        run(*pip, "install", "--quiet", "--no-deps", place, cwd=folder)
        table = run(shell, "plugins", cwd=folder, COLUMNS="250")
        require(name in table and seen in words(table), f"nothing is said of {name}:\n{table}")
        if name != "taken-name":  # a name claimed twice stops what needs names, and says so
            run(shell, "aggregate", "answers.csv", "-o", "labels.csv", cwd=folder)
        run(*pip, "uninstall", "--quiet", "--yes", name, cwd=folder)


def main() -> None:
    """Run all checks; the exit status is 0 only if every one holds."""
    with tempfile.TemporaryDirectory(prefix="deem-crowd-wheel-") as name:
        folder = Path(name)
        print("wheel check: build", flush=True)
        wheel = build(folder)
        check_contents(wheel)
        print("wheel check: install into a clean environment", flush=True)
        install(wheel, folder)
        print("wheel check: import and use it outside the checkout", flush=True)
        run(SCRIPTS / "python", "-c", INSIDE, *PACKAGES, cwd=folder)
        check_shell(folder)
        print("wheel check: example plugins, as a stranger installs them", flush=True)
        check_examples(folder)
        print("wheel check: plugins with faults", flush=True)
        check_careless(folder)
    print("wheel check: passed")


if __name__ == "__main__":
    main()
