# Needs Python 3.11, make and git. Every target sets up what it needs in .venv first.
PYTHON ?= python3.11
BIN := .venv/bin
# Ray, Prefect and the tests start hundreds of processes; without this each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-slow lint bench clean
help:           ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

setup: .venv/.ready  ## make .venv and install the project with what its tests need
.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[dev]'
	touch $@

demo: setup     ## label six drawn clips from a local S3 bucket and print what came of it
	$(BIN)/labeling demo

test: setup     ## run the suite, all but its slow tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: setup  ## run the slow tests: killed processes, the page in a browser, foreign readers, real clips
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

lint: setup     ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup    ## measure and print; see BENCHMARKS.md
	$(BIN)/python -m tests.bench

clean:          ## remove .venv and what runs left
	rm -rf .venv outputs
