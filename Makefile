# make demo   install what running needs into .venv, and run the demo
# make test   install what developing needs, and run all that CI runs

PYTHON ?= python3
# Three on two cores: many tests wait for processes that they have started.
PYTEST_ARGS ?= -n 3 --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
# Bytecode is kept, even where the shell forbids it: tests start many processes, and each would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=
# Modules are compiled when they are imported, which most of them never are.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test pytest beside lint docs coverage format wheel-check wheel-clean fuzz audit clean

help:
	@sed -n '1,/^$$/s/^# //p' Makefile
	@echo "also: make pytest, lint, docs, wheel-check, wheel-clean, coverage, format, fuzz, audit, clean"

demo: $(VENV)/.runtime
	$(BIN)/deem-crowd demo

# What is checked beside the tests fills the moments in which these wait.
test: $(VENV)/.check
	$(MAKE) --jobs 2 pytest beside

# Each test process computes on one thread: two processes with two threads each are slower.
pytest: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

beside: $(VENV)/.check
	$(MAKE) lint
	$(MAKE) docs
	$(MAKE) wheel-check

# The site of the documentation, with tutorials run anew; a warning is an error, and so is anything that a page would fetch.
docs: $(VENV)/.check
	OMP_NUM_THREADS=1 $(BIN)/python docs/site/build.py

# What mypy makes it keeps: a fifth of its time went into looking for garbage.
lint: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -c "import gc; gc.disable(); from mypy.__main__ import console_entry; console_entry()"

# All tests once more, with the lines and branches that they reach; fails below the floor in pyproject.toml.
coverage: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report=term:skip-covered

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The wheel, built and tried on top of what the tests run with.
wheel-check: $(VENV)/.check
	$(BIN)/python tests/wheel/check_wheel.py

# The same in an environment of its own, into which it is installed with what it asks for; before a release.
wheel-clean: $(VENV)/.dev
	$(BIN)/python tests/wheel/check_wheel.py --clean

# Tests that draw their examples, with FUZZ times as many, drawn anew at each run.
FUZZ ?= 20
fuzz: $(VENV)/.dev
	OMP_NUM_THREADS=1 DEEM_CROWD_FUZZ=$(FUZZ) $(BIN)/python -m pytest $(PYTEST_ARGS) tests/trust tests/estimators/test_invariances.py tests/data/test_streaming.py \
		tests/adapters/test_round_trips.py tests/training/test_divergence.py \
		-k "cases or wild or life or mutated or extremes or signals or precision or invariances or streaming or round_trips or by_samples"

# Known vulnerabilities of the versions in constraints.txt; asks the package index for them.
audit: $(BIN)/python
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean:
	rm -rf $(VENV) .venv-wheel .venv-wheel-clean build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# Stamps: an environment is installed again only when what it is made from has changed. For developing uv installs, if it can
# be had: in half the CPU, on all cores.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	touch $@

$(VENV)/.check: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python .ci/install.py constraints.txt '.[check]'
	touch $(VENV)/.runtime $@

# pyspark has no wheel: while one is made of its 400 MB, lint and documentation go on.
$(VENV)/.dev: $(VENV)/.check
	$(BIN)/python .ci/install.py constraints.txt pyspark
	touch $@
