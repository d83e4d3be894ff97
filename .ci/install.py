"""Install what developing needs into the environment of this interpreter: ``python .ci/install.py CONSTRAINTS WHAT``.

As ``pip install WHAT`` does, editable where it is a folder, but by uv where it can be had: that takes half the CPU, and
uses every core. uv reads none of pip's configuration, so it is handed over. Where uv fails, pip installs.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

PIP = [sys.executable, "-m", "pip"]
OPTIONS = {
    "index-url": "--index-url",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "constraint": "--constraint",
    "trusted-host": "--allow-insecure-host",
}
"""What pip calls it → uv's option."""


def options() -> tuple[list[str], dict[str, str]]:
    """Return what pip is configured with, as uv's options and environment."""
    listed = subprocess.run(
        [*PIP, "config", "list"], capture_output=True, encoding="utf-8", check=True
    ).stdout
    given: list[str] = []
    environment = {"UV_LINK_MODE": "hardlink", "UV_NO_CACHE": "1", "UV_NO_PROGRESS": "1"}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2].replace("_", "-")
        words = value.strip("'\"").replace("\\n", " ").split()
        if name in OPTIONS:
            given += [part for word in words for part in (OPTIONS[name], word)]
        elif name == "cert" and words:
            environment["SSL_CERT_FILE"] = words[0]
        elif name == "default-timeout" and words:
            environment["UV_HTTP_TIMEOUT"] = words[0]
    return given, environment


def by_uv(constraints: str, what: list[str]) -> bool:
    """Install by uv; tell whether it is done."""
    pip = [*PIP, "install", "--quiet", "--constraint", constraints, "uv"]
    if importlib.util.find_spec("uv") is None and subprocess.run(pip, check=False).returncode:
        return False
    given, environment = options()
    command = [
        sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable,
        "--index-strategy", "unsafe-best-match",
        # a wheel that is unpacked at once: packing pyspark's 400 MB takes as long as all else
        "--config-settings-package", "pyspark:--build-option=--compression=stored",
        *given, "--constraint", constraints, *what,
    ]  # fmt: skip
    done = subprocess.run(command, env={**os.environ, **environment}, check=False)
    return done.returncode == 0


def main() -> int:
    """Install; the exit status is that of pip where it had to be called."""
    constraints, name = sys.argv[1:]
    what = ["--editable", name] if name.startswith(".") else [name]
    if by_uv(constraints, what):
        return 0
    sys.stderr.write("uv did not install the packages; pip does\n")
    # Modules are compiled when they are imported, which most of them never are.
    command = [*PIP, "install", "--quiet", "--no-compile", "--constraint", constraints, *what]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
