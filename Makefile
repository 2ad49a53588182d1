# Everything a contributor, a curious visitor and CI need. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

# An unchanged client of Kantata, for the test of its simulator. It pins a requests of 2018, so it is
# installed without its pins, beside the versions of them that uv.lock has.
TAP := tap-mavenlink==0.0.3 tap-framework==0.0.4 singer-python==5.1.5

# The same for NetSuite: it pins an httpx older than ours.
NETSUITE := netsuite==0.12.0

# The same for Certinia PSA, which pins a requests of 2021, and an asyncio client of Salesforce.
TIMECARD := salesforce-timecard==2.0.7 aiosalesforce==0.6.2 orjson==3.13.0

# What the tests of legacy-erp run against for real: a COBOL compiler and a database server, from Debian.
# Without them those tests are skipped, each by its name.
TEST_DEPS := gnucobol3 postgresql
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)

# How often `make api-fuzz` calls each operation.
EXAMPLES ?= 2000

.PHONY: demo test test-deps setup lint types imports unit api-fuzz bench format clean

demo: setup
	$(BIN)/isthmus demo

test: setup lint types imports unit

test-deps:
	@if dpkg -s $(TEST_DEPS) >/dev/null 2>&1; then echo "there already: $(TEST_DEPS)"; \
	elif command -v apt-get >/dev/null && $(AS_ROOT) true 2>/dev/null; then \
	  $(AS_ROOT) apt-get update -qq && \
	  $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(TEST_DEPS); \
	else echo "install these for the tests that are skipped without: $(TEST_DEPS)"; fi

setup: .venv/ready

# uv.lock decides what is installed; uv itself comes from PyPI like everything else.
.venv/ready: Makefile pyproject.toml uv.lock $(wildcard plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	UV_PROJECT_ENVIRONMENT=.venv $(BIN)/uv sync --quiet --frozen --all-packages --inexact
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(TAP) $(NETSUITE) $(TIMECARD)
	touch $@

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy
	for tests in plugins/*/tests; do $(BIN)/mypy $$tests || exit 1; done

imports:
	$(BIN)/lint-imports

# A worker for each core; a file stays with one worker, since its tests share what is costly to start.
# In their own order: by the number of their tests, the few long ones of tests/crash would come last, alone.
unit:
	$(BIN)/pytest -q -n auto --dist loadfile --no-loadscope-reorder

# schemathesis against the services, as `make test` does it with few examples; it takes a while.
api-fuzz: setup
	$(BIN)/python -m tests.services.fuzzed $(EXAMPLES)

bench: setup
	$(BIN)/python -m tests.benchmarks

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
