# Each target works on a fresh machine: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-lowest lint fuzz completions clean

demo: .venv/installed
	$(BIN)/emoprune demo demo --force

test: .venv/installed lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# the tests with the oldest versions that pyproject.toml allows
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.venv-lowest/installed: pyproject.toml .venv/installed
	$(PYTHON) -m venv --clear .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	touch $@

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# inputs of each reader; what breaks one is saved in build/fuzz
COUNT ?= 20000
fuzz: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --count $(COUNT)

# the zsh file must begin with its #compdef line, so blank lines before the script are removed
completions: .venv/installed
	_EMOPRUNE_COMPLETE=source_bash $(BIN)/emoprune | sed '/./,$$!d' > completions/emoprune.bash
	_EMOPRUNE_COMPLETE=source_zsh $(BIN)/emoprune | sed '/./,$$!d' > completions/_emoprune
	_EMOPRUNE_COMPLETE=source_fish $(BIN)/emoprune | sed '/./,$$!d' > completions/emoprune.fish

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-lowest .pytest_cache .mypy_cache .ruff_cache .hypothesis demo dist build
