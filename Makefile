# Two commands do everything: `make selfplay` and `make test`. Both set up .venv first if need be.

PYTHON ?= python3
BIN := .venv/bin
# pip would compile every file, on one processor. Here all processors compile what is often imported; that a
# package ships files for another Python, which cannot be compiled, is no error.
SELDOM := /(tests?|testing|open_spiel|scipy|fontTools|networkx|pip|setuptools|lexers|physics|tensorboard)/
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

# A test worker for each processor, and one torch thread each: more would wait for one another.
TSC := .venv/node/node_modules/.bin/tsc
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8

.PHONY: setup selfplay test test-all tests check page-tools docs clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed" or 0)'
	$(PYTHON) -m venv .venv
	$(PIP) -e ".[dev]"
	$(BIN)/python -m compileall -q -j 0 -x '$(SELDOM)' .venv/lib >/dev/null || true
	touch $@

selfplay: setup
	$(BIN)/hex-ai selfplay --num-games 200 --board-size 11

# The types are checked beside the tests: they take half a minute of one processor.
test: setup
	$(MAKE) --jobs 2 check tests

test-all: setup
	HEX_AI_TEST_ALL=1 PYTEST_TIMEOUT=1800 $(MAKE) --jobs 2 check tests

tests: setup
	$(PYTEST)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	test ! -x $(TSC) || $(TSC)
	$(BIN)/python -m pytest tests/test_layers.py

# What checks the page beyond Python: types of its scripts, and barriers to people. Wants npm.
page-tools: .venv/page-tools

.venv/page-tools: .venv/installed
	npm install --silent --no-save --no-package-lock --prefix .venv/node axe-core@4 typescript@7
	touch $@

# The site, in site/. Warnings are errors, and nothing is fetched while it is built.
docs: .venv/docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/docs-installed: .venv/installed
	$(PIP) -e ".[docs]"
	touch $@

clean:
	rm -rf .venv build dist site *.egg-info
