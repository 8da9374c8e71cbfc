PYTHON ?= .venv/bin/python
# The release of torch that the checks use. `make lock` writes it to constraints.txt.
TORCH := 2.13.0

.PHONY: help setup check test test-all bench lock
.DEFAULT_GOAL := help

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):  *## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

setup:  ## a virtual environment with everything that the checks need
	test -x $(PYTHON) || python3 -m venv .venv
	$(PYTHON) -m pip install -c constraints.txt -e '.[test,check]'

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

# One file for Python 3.11 and newer on every system. The CUDA packages are left out: the build of
# torch decides which of them it needs, and its CPU build needs none.
lock:  ## pin the newest releases of all dependencies in constraints.txt
	test -x build/uv/bin/uv || (python3 -m venv build/uv && build/uv/bin/python -m pip install --quiet uv)
	build/uv/bin/uv pip compile pyproject.toml --quiet --no-config --universal --python-version 3.11 \
		--all-extras --upgrade --upgrade-package torch==$(TORCH) --annotation-style line \
		--custom-compile-command 'make lock' --output-file build/lock.txt
	grep -vE '^(cuda|nvidia|triton)[a-z0-9-]*==' build/lock.txt > constraints.txt
