# On a fresh machine each of these is the only command: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint completions clean

demo: .venv/installed
	$(BIN)/emoprune demo demo --force

test: .venv/installed lint
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

completions: .venv/installed
	$(BIN)/emoprune --show-completion bash > completions/emoprune.bash
	$(BIN)/emoprune --show-completion zsh > completions/_emoprune
	$(BIN)/emoprune --show-completion fish > completions/emoprune.fish

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis demo dist build
