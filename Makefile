PYTHON ?= .venv/bin/python
# The torch release used by the checks. `make lock` writes it to constraints.txt.
TORCH := 2.13.0

.PHONY: help setup check test test-all bench lock
.DEFAULT_GOAL := help

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):  *## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

setup:  ## create a virtual environment with everything the checks need
	test -x $(PYTHON) || python3 -m venv .venv
	$(PYTHON) -m pip install -c constraints.txt -e '.[test,check]'

check:  ## check lint, format, types and import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(dir $(PYTHON))lint-imports

test:  ## run the tests, with a sample of the slow ones
	$(PYTHON) -m pytest -n auto --dist loadgroup

test-all:  ## run every test case, then the tests as on other processors
	SLM_TUI_TEST_ALL=1 $(PYTHON) -m pytest -n auto --dist loadgroup
	$(PYTHON) -m tests.processors

bench:  ## run the benchmarks
	$(PYTHON) -m tests.benchmarks

# One file for Python 3.11 and newer on every system. CUDA packages are left out: which of them are
# needed depends on the torch build, and the CPU build needs none.
lock:  ## pin the latest releases of all dependencies in constraints.txt
	test -x build/uv/bin/uv || (python3 -m venv build/uv && build/uv/bin/python -m pip install --quiet uv)
	build/uv/bin/uv pip compile pyproject.toml --quiet --no-config --universal --python-version 3.11 \
		--all-extras --upgrade --upgrade-package torch==$(TORCH) --annotation-style line \
		--custom-compile-command 'make lock' --output-file build/lock.txt
	grep -vE '^(cuda|nvidia|triton)[a-z0-9-]*==' build/lock.txt > constraints.txt
