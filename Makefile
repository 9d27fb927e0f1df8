# `make demo` is the whole job on a small corpus that avrep writes itself; `make help` lists the rest.
# The first interpreter that runs and is of a version that avrep supports.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help install demo test test-slow prove bench bench-quick evidence check format lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

install: $(STAMP)  ## create .venv from the pinned, hashed constraints

$(STAMP): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "avrep needs Python 3.11 or 3.12; none found. Mend: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' constraints.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: $(STAMP)  ## write a small corpus, index, pretrain, evaluate, report (about 5 minutes on 2 cores)
	$(BIN)/avrep demo --out runs/demo

test: $(STAMP)  ## the fast tests, in two processes (3 to 5 minutes)
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not slow and not gpu and not bench"

test-slow: $(STAMP)  ## the slow tests, but for those of `make prove`, in two processes
	$(BIN)/pytest -q -n 2 --dist loadfile -m "slow and not gpu and not bench and not faults"

prove: $(STAMP)  ## plant faults in the stream, and print what each of them cost
	$(BIN)/pytest -q -m faults

bench: $(STAMP)  ## measure speed beside other loaders (about 25 minutes); writes benchmarks/results
	$(BIN)/python -m benchmarks

bench-quick: $(STAMP)  ## the same roughly, in a few minutes; writes runs/bench/quick
	$(BIN)/python -m benchmarks --quick

evidence: $(STAMP)  ## train each objective for some minutes, three seeds (hours); writes docs/evidence.md
	$(BIN)/python -m evidence

check: $(STAMP)  ## format, lint, types, import contracts, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(STAMP)  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(STAMP)  ## renew constraints.txt from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --quiet --upgrade --output-file constraints.txt

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis dist
