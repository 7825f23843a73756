# Two commands: `make build` builds nexus.yaml into dist/, `make test` checks everything.
# Both set up .venv first and do nothing twice.

PYTHON ?= python3
BIN := .venv/bin

# The plainest instructions that torch, MKL and oneDNN can be held to: they round differently, as
# another kind of processor does, and do not multiply int8 exactly.
PLAIN_ARITHMETIC := ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 ONEDNN_MAX_CPU_ISA=SSE41

.PHONY: build test setup

build: .venv/installed
	$(BIN)/nexusbuild

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(PLAIN_ARITHMETIC) $(BIN)/python -m pytest -n 2 -m arithmetic

setup: .venv/installed-dev

# torch comes first and by exact version: asked for as somebody's dependency, pip may choose
# another build of it.
.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
