# Each target sets up what it needs first: minutes and gigabytes the first time, nothing after that.
.DEFAULT_GOAL := help
.PHONY: help demo test fuzz soak bench lint setup rooms constraints clean
export PATH := $(PATH):/usr/sbin

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo:  ## run the node on real radiographs and show what comes back, in demo-out/ (ARGS="--input DIR" adds yours)
	@.ci/setup demo
	@.venv/bin/cxrnode demo $(ARGS)

# One thread of torch in each of two processes: with two threads each, the tests of the models took five times as long.
test: LEDGER ?= sqlite
test:  ## run every test (ARGS="-k spool" runs some; LEDGER=postgresql has every ledger there)
	@.ci/setup test
	@OMP_NUM_THREADS=1 LEDGER=$(LEDGER) .venv/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

fuzz: MINUTES ?= 10
fuzz:  ## run each fuzzer for MINUTES=10, and print seeds, rounds and what was found (FUZZ_SEED=n repeats one)
	@.ci/setup test
	@OMP_NUM_THREADS=1 FUZZ_MINUTES=$(MINUTES) nice .venv/bin/python -m pytest --timeout 0 -s $(ARGS) tests/fuzz

soak: STUDIES ?= 2000
soak: SENDERS ?= 8
soak:  ## the kill matrix in full, a replay of 300 studies, then STUDIES=2000 from SENDERS=8 while things go wrong (SOAK_SEED=n repeats the choices)
	@.ci/setup test
	@OMP_NUM_THREADS=1 MATRIX_TIMES=3 MATRIX_AWAY_S=60 .venv/bin/python -m pytest tests/flow/test_*_matrix.py
	@OMP_NUM_THREADS=1 REPLAY_STUDIES=300 .venv/bin/python -m pytest tests/flow/test_replay.py
	@OMP_NUM_THREADS=1 .venv/bin/python -m tests.soak.run --studies $(STUDIES) --senders $(SENDERS)

bench:  ## how long things take, beside what was promised: tests-out/bench.json (ARGS="million" runs that alone)
	@.ci/setup test
	@OMP_NUM_THREADS=1 .venv/bin/python -m tests.bench $(ARGS)

lint:  ## ruff, its formatter, and mypy
	@.ci/setup lint
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

setup:  ## only set up, for the tests and all else
	@.ci/setup test

rooms:  ## write the list of rooms into CONTRIBUTING.md, from the first lines of the modules
	@.ci/setup lint
	@.venv/bin/python -m tests.house.rooms

constraints:  ## write constraints.txt, from what is installed in .venv
	@.venv/bin/python -m tests.house.pins > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove what was made, but not .venv/ (gigabytes) and var/ (the node's state)
	rm -rf demo-out tests-out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -exec rm -rf {} +
