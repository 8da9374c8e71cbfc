PYTHON ?= .venv/bin/python

.PHONY: setup check test test-all bench

setup:  ## a virtual environment with everything that the checks need
	test -x $(PYTHON) || python3 -m venv .venv
	$(PYTHON) -m pip install -e '.[test,check]'

check:  ## lint, format, types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(dir $(PYTHON))lint-imports

test:  ## the tests, with a sample of the slow ones
	$(PYTHON) -m pytest -n auto --dist loadgroup

test-all:  ## every case of every test, then the tests as other processors run them
	SLM_TUI_TEST_ALL=1 $(PYTHON) -m pytest -n auto --dist loadgroup
	$(PYTHON) -m tests.processors

bench:  ## the benchmarks
	$(PYTHON) -m tests.benchmarks
