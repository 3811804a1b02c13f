# The commands a person runs are the commands CI runs (.ci/run). PYTHON: the environment's, `.venv` where `make install` made one.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python)

.PHONY: install check test quick fix

install:  ## an environment in .venv with everything, development tools included
	python3 -m venv .venv
	.venv/bin/python -m pip install -c constraints.txt -e ".[dev]"

check:  ## lint, format, types, layers
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()" --no-logo

test:  ## all tests
	$(PYTHON) -m pytest

quick:  ## the tests that take a few seconds at most each
	$(PYTHON) -m pytest -m "not slow"

fix:  ## what ruff can mend by itself
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format
