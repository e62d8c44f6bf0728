# Each target sets up what it needs, so any of them works first on a fresh machine.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test chaos bench reference docs lint clean
ENV := source scripts/env.sh &&

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

setup:  ## .venv with the pinned packages, then the colcon workspace (only what has changed)
	@scripts/setup.sh

build:  ## run colcon again
	@scripts/setup.sh --build

demo: setup  ## the whole loop in simulation (QUICK=1 for a short one, ARGS="..." for ./apo demo)
	@./apo demo $(if $(QUICK),--quick) $(ARGS)

# pytest-xdist waits for ever for the rest of a file whose worker was replaced: a crash ends the run instead.
test: setup  ## all tests, three files at a time (ARGS="-k name -x" for pytest instead)
	@$(ENV) python -m pytest $(or $(ARGS),--numprocesses 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0)

chaos: setup  ## the stack in simulation under a seeded schedule of faults (FAULTS=500 SEED=0, ARGS="..." for ./apo chaos)
	@./apo chaos --faults $(or $(FAULTS),500) --seed $(or $(SEED),0) $(ARGS)

bench: setup  ## all benchmarks into runs/bench.jsonl (ONLY=name for one)
	@$(ENV) python bench/run.py $(if $(ONLY),--only $(ONLY)) $(ARGS)

reference: setup  ## write config/*.yaml and the generated pages of docs/reference from the code
	@$(ENV) PYTHONPATH="scripts:$$PYTHONPATH" python -m apo_reference

docs: setup  ## the pages of docs/ as a site in build/site; a broken link is an error
	@.venv/bin/python -c 'import material' 2>/dev/null || .venv/bin/python -m pip install --quiet \
		--disable-pip-version-check -c requirements/lock.txt -r requirements/docs.in
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

lint: setup  ## ruff (rules and format), yamllint, mypy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/yamllint --strict .
	@.venv/bin/mypy

clean:  ## remove build products; .venv and everything recorded or trained stay
	@rm -rf build install log *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find $(wildcard src test bench launch) -name __pycache__ -type d -prune -exec rm -rf {} +
	@find src -name '*.egg-info' -type d -prune -exec rm -rf {} +
