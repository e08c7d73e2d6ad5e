# Needs make and Python 3.11 to 3.14; everything else is installed into .venv. No root, no Redis, no Docker.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
SLOWEST := --durations 20 --durations-min 1
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.PHONY: help setup demo test check lint test-unit test-contract test-processes test-simulation test-peers test-image \
	chaos chaos-sweep simulate format lock clean
.PHONY: lint-format lint-code lint-types lint-layers

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-15s %s\n' "$$name" "$$text"; done

setup: ## install the locked packages into .venv; does nothing if they are installed
	@.ci/venv

demo: setup ## run everything in one terminal, with the twin, without a key; ONCE=1 exits when the jobs have ended; ARGS=--all runs every task
	@$(BIN)/kilnhand demo $(if $(ONCE),--once) $(ARGS)

test: setup ## all tests that need no browser and no Node; all parts run, even when one fails
	@.ci/parts 1 test-unit test-contract test-processes test-simulation

check: setup ## format, lint, types, import layers, unit tests: under a minute
	@.ci/parts 2 lint test-unit

lint: setup ## format, lint, types, import layers; all of them, even when one fails
	@$(MAKE) --no-print-directory --keep-going lint-format lint-code lint-types lint-layers

lint-format:
	$(BIN)/ruff format --check .
lint-code:
	$(BIN)/ruff check .
lint-types:
	$(BIN)/mypy
lint-layers:
	$(BIN)/lint-imports --no-logo

test-unit: setup ## tests/unit
	$(BIN)/python -m pytest --numprocesses 2 $(SLOWEST) tests/unit $(ARGS)

test-contract: setup ## tests/contract
	$(BIN)/python -m pytest --numprocesses 2 $(SLOWEST) tests/contract $(ARGS)

test-processes: setup ## tests/integration and tests/acceptance: workers, gateways and Redis as processes
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(SLOWEST) tests/integration tests/acceptance $(ARGS)

test-simulation: setup ## tests/simulation: the simulation itself
	$(BIN)/python -m pytest --numprocesses 2 $(SLOWEST) tests/simulation $(ARGS)

test-peers: setup ## tests with Chromium and Node's fal client; installs both on Debian
	@.ci/peers
	$(BIN)/python -m pytest tests/peers $(ARGS)

test-image: setup ## run the image's build steps in clean virtual environments
	$(BIN)/python -m pytest tests/image $(ARGS)

chaos: setup ## kill processes, lose answers, steal messages, then check the eight promises; SEED=1 JOBS=300 MINUTES=2 WORKERS=3 OLD=<commit>
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(OLD),--old $(OLD)) $(ARGS)

chaos-sweep: setup ## check the same promises after a crash at every point of worker/testing/crash.py
	@$(BIN)/python -m tests.chaos --sweep $(ARGS)

simulate: setup ## whole worlds on a virtual clock, half a minute; WORLDS=100000 for as many, SEED=1 for the first
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(WORLDS),--worlds $(WORLDS)) $(ARGS)

format: setup ## format the code and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup ## write the locks again from pyproject.toml; UPGRADE=1 takes newer versions
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra demo --group dev --constraints requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group build --constraints requirements-dev.lock --output-file requirements-build.lock

clean: ## remove .venv, caches and the demo's files
	rm -rf .venv .kilnhand build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf tests/peers/fal_js/node_modules
