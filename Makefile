# Fovea. `make run` serves, `make test` proves; each does all of its own set-up. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PYTHON VENV

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test check bench clean

help: ## Say what can be done here
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Serve on this machine; sets up what it needs first
	@scripts/run.sh $(ARGS)

test: $(VENV)/.dev ## Run every test (ARGS="-k budget" for some); sets up what it needs first
	@scripts/system-packages.sh
	$(PY) -m pytest $(ARGS)

check: $(VENV)/.dev ## Lint, formatting, types, import contracts, repository rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) scripts/check_repository.py

bench: $(VENV)/.dev ## Measure: prints a card, writes JSON to benchmarks/results/
	$(PY) -m benchmarks $(ARGS)

clean: ## Remove all that the other targets made: .venv, var, caches
	rm -rf $(VENV) var build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as new as the last install; editing either file installs again.
$(VENV)/.runtime: pyproject.toml fovea/pyproject.toml constraints.txt
	@scripts/install.sh

$(VENV)/.dev: pyproject.toml fovea/pyproject.toml constraints.txt
	@scripts/install.sh dev
