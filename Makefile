PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint

setup: .venv/.installed

# The stamp makes `setup` a matter of milliseconds until a dependency changes.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/seq2seq train

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n auto --dist loadfile
