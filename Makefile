# make demo: install, train the demo study, write its page. make test: install, check everything.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint torture kernels clean
install: .venv/installed

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

demo: install
	$(BIN)/vitladder bench --machine
	$(BIN)/vitladder train -m +sweep=demo
	$(BIN)/vitladder fit outputs/demo
	@echo "The page of the demo:"
	@$(BIN)/vitladder report outputs/demo

lint: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses auto --dist worksteal

# Kills a small study at random and chosen moments, and compares it with one left in peace.
KILLS ?= 200
torture: .venv/installed-test
	$(BIN)/python tests/torture.py --kills $(KILLS)

# Compiles the Triton kernels for GPUs that need not be here; prints registers, spills, memory.
kernels: install
	$(BIN)/python -m vitladder.bench.kernels

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
