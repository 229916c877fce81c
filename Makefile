# Fovea. `make run` serves, `make test` proves; each does all of its own set-up. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PYTHON VENV

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test fast check fix bench docs lock sbom release clean

help: ## Say what can be done here
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Serve on this machine; sets up what it needs first
	@scripts/run.sh $(ARGS)

test: $(VENV)/.dev ## Run every test (ARGS="-k budget" for some); sets up what it needs first
	@scripts/system-packages.sh
	@PY=$(PY) scripts/test.sh $(ARGS)

fast: $(VENV)/.dev ## Run the tests that need no browser, camera, Redis or training: about a minute
	$(PY) -m pytest tests/unit -m "not slow and not redis and not camera and not browser" $(ARGS)

check: $(VENV)/.dev ## Lint, formatting, types, import contracts, repository rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) scripts/check_repository.py

fix: $(VENV)/.dev ## Mend what `make check` can mend by itself: imports, formatting
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.dev ## Measure: prints a card, writes JSON to benchmarks/results/
	$(PY) -m benchmarks $(ARGS)

docs: $(VENV)/.dev ## Build the documentation as a site into build/site, offline; warnings are errors
	$(PY) scripts/reference.py
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build

lock: $(VENV)/.dev ## Write requirements*.lock anew after a change of dependencies (ARGS=--upgrade: the newest)
	$(PY) scripts/lock.py $(ARGS)

sbom: $(VENV)/.dev ## Write build/sbom.cdx.json: what an image for CPUs holds, as CycloneDX
	$(PY) -c "import sys, pathlib; sys.path.insert(0, 'scripts'); import release; release.sbom(pathlib.Path('build/sbom.cdx.json'))"

release: $(VENV)/.dev ## Build what a release consists of (TAG=v0.1.0): wheels, chart, SBOM, notes
	$(PY) scripts/release.py $(TAG)

clean: ## Remove all that the other targets made: .venv, var, caches
	rm -rf $(VENV) var build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as new as the last install; editing either file installs again.
$(VENV)/.runtime: pyproject.toml fovea/pyproject.toml requirements.lock
	@scripts/install.sh

$(VENV)/.dev: pyproject.toml fovea/pyproject.toml requirements-dev.lock requirements-moto.lock requirements-ray.lock
	@scripts/install.sh dev
