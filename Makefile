# Smart Factory. `make` shows what there is; `make demo` is the place to start.
# Needs Python 3.11 or newer with venv, and nothing else: everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Which backends: embedded, docker or an address; for Kafka also apache, or real (docker, else apache).
KAFKA ?= embedded
MONGODB ?= embedded
REDIS ?= embedded
export KAFKA MONGODB REDIS

# Cache compiled modules, also where the environment says not to (as images of containers do): compiling them again is
# more than half of the CPU time that each service needs to start. An empty value is the same as none.
export PYTHONDONTWRITEBYTECODE :=

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt
# Two test files at a time, each with backends of its own; PARALLEL= runs one after the other. Files start in the order
# in which their folders are written below: whole factories first, small files last, so that both workers end together.
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder

TO_RUN := $(VENV)/.installed-to-run
TO_TEST := $(VENV)/.installed-to-test
TO_MUTATE := $(VENV)/.installed-to-mutate

.DEFAULT_GOAL := help
.PHONY: help bench check demo up down test test-deep test-kafka test-chaos mutants lint types imports collected format constraints clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Variables: KAFKA=embedded|apache|docker|real|host:port  MONGODB=embedded|docker|mongodb://..."
	@echo "           REDIS=embedded|docker|redis://...  PYTHON=python3.12  ARGS='options of the command'"

demo: $(TO_RUN) ## Run the sample bicycle factory from orders to products, and check every number
	@$(BIN)/factory demo $(ARGS)

bench: export KAFKA := $(if $(filter embedded,$(KAFKA)),real,$(KAFKA))
bench: $(TO_TEST) ## Measure on Apache Kafka; prints ratios within one run
	@$(BIN)/python -m pytest tests/benchmarks $(ARGS)

up: $(TO_RUN) ## Start backends and services, keep them running, say where to look
	@$(BIN)/factory up $(ARGS)

down: $(TO_RUN) ## Stop what `make up` (also from elsewhere) started
	@$(BIN)/factory down

check: lint ## For daily work: lint, and the tests that need no backend
	@$(BIN)/python -m pytest $(PARALLEL) tests/contract tests/unit $(ARGS)

test: lint ## Lint, types, import contracts, and all tests on the chosen backends
	@$(BIN)/python -m pytest $(PARALLEL) tests/e2e tests/integration tests/contract tests/unit $(ARGS)

test-deep: export SEARCH := 20
test-deep: $(TO_TEST) ## Property and model tests with twenty times as many examples, other ones each time
	@$(BIN)/python -m pytest $(PARALLEL) -m hypothesis --timeout 3600 tests/integration tests/contract tests/unit $(ARGS)

test-kafka: export KAFKA := $(if $(filter embedded,$(KAFKA)),real,$(KAFKA))
test-kafka: $(TO_TEST) ## Integration, end-to-end and chaos tests on Apache Kafka (Docker, else Java and Maven)
	@$(BIN)/python -m pytest $(PARALLEL) tests/chaos tests/e2e tests/integration $(ARGS)

test-chaos: $(TO_TEST) ## Whole factories while their services are killed and their recipes edited
	@$(BIN)/python -m pytest $(PARALLEL) tests/chaos $(ARGS)

mutants: $(TO_MUTATE) ## Change the rules bit by bit, and count how many changes the unit tests notice (20 minutes of CPU)
	@$(BIN)/mutmut run $(ARGS)
	@$(BIN)/mutmut results --all true | $(BIN)/python tests/mutation_score.py

lint: $(TO_TEST) ## Style, formatting, types, import contracts, and that every test can be collected
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory --jobs=2 --output-sync types imports collected

types:
	@$(BIN)/mypy

imports:
	@$(BIN)/lint-imports

collected:
	@$(BIN)/python -m pytest --collect-only --quiet --quiet tests >/dev/null || { \
	  $(BIN)/python -m pytest --collect-only --quiet tests | tail -20; exit 1; }

format: $(TO_TEST) ## Format the code and repair what can be repaired
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

constraints: ## Renew deploy/constraints.txt from a fresh environment with the newest that pyproject.toml allows
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	@build/constraints/bin/python -m pip install --quiet --disable-pip-version-check -e '.[devkit,embedded,dev,mutants]'
	@head -2 deploy/constraints.txt > build/constraints.txt
	@build/constraints/bin/python -m pip freeze --exclude-editable >> build/constraints.txt
	@mv build/constraints.txt deploy/constraints.txt && rm -rf build/constraints

clean: ## Stop what runs here and remove data, logs and caches (not .venv)
	@[ ! -x $(BIN)/factory ] || $(BIN)/factory down
	@rm -rf .factory .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build mutants *.egg-info
	@find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Smart Factory needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(TO_RUN): pyproject.toml deploy/constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), once ..."
	@$(INSTALL) -e '.[devkit,embedded]'
	@touch $@

$(TO_TEST): pyproject.toml deploy/constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), once ..."
	@$(INSTALL) -e '.[devkit,embedded,dev]'
	@touch $@ $(TO_RUN)

$(TO_MUTATE): pyproject.toml deploy/constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), once ..."
	@$(INSTALL) -e '.[devkit,embedded,dev,mutants]'
	@touch $@ $(TO_TEST) $(TO_RUN)
