# `make` targets print what they do; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
PEOPLE ?= 10000
WEEKS ?= 12
HISTORY ?= 26
LOCKED := --universal --generate-hashes --no-emit-index-url --no-strip-extras --no-header

.DEFAULT_GOAL := help
.PHONY: help run ui test check format fuzz-ingest sync-faults test-worlds test-examples test-real-servers pages bench bench-sync bench-identity bench-personas bench-tracking bench-dimensions bench-models bench-affinity bench-adoption bench-persuasion bench-lookalikes bench-audiences lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/ready: requirements.lock pyproject.toml
	@echo "setting up the environment (once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q activation data_contracts ml orchestration # a run may not be allowed to, and would each time
	@touch $@

$(VENV)/ready-dev: requirements-dev.lock $(VENV)/ready
	@echo "setting up the test tools (once) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

$(DEMO)/personae.yml: | $(VENV)/ready
	@$(BIN)/personae demo $(DEMO) --people $(PEOPLE) --weeks $(HISTORY)

run: $(VENV)/ready $(DEMO)/personae.yml ## set up, generate the demo company and run its weekly job (12 weeks)
	@$(BIN)/personae run $(DEMO) --weeks $(WEEKS)

ui: $(VENV)/ready $(DEMO)/personae.yml ## open Dagster's UI on the demo company
	@$(BIN)/personae ui $(DEMO)

test: $(VENV)/ready-dev ## run the tests, on two cores
	@$(BIN)/python -m pytest -n 2 --dist loadscope

check: $(VENV)/ready-dev ## lint, types, imports; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

format: $(VENV)/ready-dev ## format Python
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

fuzz-ingest: $(VENV)/ready-dev ## load 10,000 planted files, the huge and the hostile ones (takes long)
	@$(BIN)/python -m benchmarks.fuzz_ingest

sync-faults: $(VENV)/ready-dev ## sync under every fault at every call and death at every step, and 1,000 drawn cases (takes long)
	@FAULT_CASES=1000 $(BIN)/python -m pytest -s -n 0 tests/unit/activation/sync/test_convergence.py tests/unit/activation/sync/test_kill.py tests/unit/activation/destinations/test_vendors.py

test-worlds: $(VENV)/ready-dev ## hold 300 drawn worlds of identities to ledgers from nothing (10 and 30 in `make test`)
	@DRAWN_WORLDS=300 $(BIN)/python -m pytest -n 0 tests/integration/identity/test_identity_changes_go_on.py tests/unit/ml/test_ml_identity_resolution.py

test-examples: $(VENV)/ready-dev ## run the examples on public data, the wholesaler's last twelve weeks (two in `make test`)
	@EXAMPLE_WEEKS=12 $(BIN)/python -m pytest -s -n 0 tests/end_to_end/test_examples.py

test-real-servers: $(VENV)/ready-dev ## sync to Ghost, GNU Mailman, OpenSSH and an S3 server for real; fetches the first two once
	@$(BIN)/python -m tests.real_servers.installing
	@REAL_SERVERS=1 $(BIN)/python -m pytest -s -n 0 tests/real_servers

bench-sync: $(VENV)/ready ## time the plan of a sync: a million people against a million, 3 % changed
	@$(BIN)/python -m benchmarks.sync

pages: $(VENV)/ready ## write docs/contracts from the contracts
	@$(BIN)/python -m data_contracts.documentation docs/contracts

bench: $(VENV)/ready ## time the weekly job beside a notebook-like script (takes long)
	@$(BIN)/python -m benchmarks.bench

bench-identity: $(VENV)/ready ## time a million contacts becoming people; with DATA=FOLDER of FEBRL's sets also count how well
	@$(BIN)/python -m benchmarks.identity
	@if [ -n "$(DATA)" ]; then $(BIN)/python -m benchmarks.febrl --data $(DATA); fi

bench-personas: $(VENV)/ready-dev ## measure how well personas are found, on simulated worlds and public data (takes long)
	@$(BIN)/python -m benchmarks.personas

bench-tracking: $(VENV)/ready-dev ## measure how personas stay themselves over 26 simulated weeks (takes long)
	@$(BIN)/python -m benchmarks.tracking

bench-dimensions: $(VENV)/ready-dev ## measure customer value, preferences and uplift, and their speed (takes long)
	@$(BIN)/python -m benchmarks.dimensions

bench-models: $(VENV)/ready-dev ## measure propensities on public data and in simulated worlds, and their speed (takes long)
	@$(BIN)/python -m benchmarks.models

bench-affinity: $(VENV)/ready-dev ## measure brand affinity and its speed, and write the figures to docs/affinity.md
	@$(BIN)/python -m benchmarks.affinity --write docs/affinity.md $(if $(DATA),--data $(DATA))

bench-adoption: $(VENV)/ready-dev ## measure the adoption curve on people of known innovativeness, and its speed
	@$(BIN)/python -m benchmarks.adoption

bench-persuasion: $(VENV)/ready-dev ## measure how well it is told what persuades whom, and what that costs
	@$(BIN)/python -m benchmarks.persuasion

bench-audiences: $(VENV)/ready ## time the gate for a million people and ten audiences
	@$(BIN)/python -m benchmarks.audiences

bench-lookalikes: $(VENV)/ready-dev ## measure look-alikes on public data, in simulated worlds and on a million people
	@$(BIN)/python -m benchmarks.lookalikes $(if $(DATA),--data $(DATA))

lock: ## resolve requirements again (needs uv)
	@uv pip compile -q $(LOCKED) --extra dev --extra connectors --extra destinations --extra semantic pyproject.toml -o requirements-dev.lock > /dev/null
	@uv pip compile -q $(LOCKED) -c requirements-dev.lock pyproject.toml -o requirements.lock > /dev/null

clean: ## remove the demo company and caches, not the environment
	@rm -rf $(DEMO) .pytest_cache .ruff_cache .mypy_cache
