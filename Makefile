# Two commands do all: `make demo` and `make test`. Both install what they need into .venv, uv included.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3 || command -v python)
UV := $(shell command -v uv || echo .tools/bin/uv)
VENV := .venv
RUN := $(VENV)/bin
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE ?= copy
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.demo ## Train real models, run the ETL flow, and show the runs. No server, no account.
	@$(RUN)/python examples/demo.py

test: $(VENV)/.dev ## Run the tests.
	$(RUN)/python -m pytest

test-long: $(VENV)/.dev ## Run everything: the soak and fuzz runs too. Takes about an hour.
	$(RUN)/python -m pytest -m "long or not long" --timeout=3600

check: $(VENV)/.dev ## Lint, types, layers.
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	$(RUN)/lint-imports --no-logo

docs: $(VENV)/.dev ## Run every example of README and docs, and check that nothing is left undocumented.
	$(RUN)/python -m pytest tests/docs

bench: $(VENV)/.dev ## Measure everything that README and docs claim, beside the peers.
	$(RUN)/python benchmarks/log_call.py
	$(RUN)/python benchmarks/delivery.py
	$(RUN)/python benchmarks/footprint.py
	$(RUN)/tracklight selftest crash --kills 200 | tee benchmarks/results/crash.txt
	$(RUN)/python benchmarks/figures.py

constraints: $(UV) ## Resolve the versions in constraints.txt anew.
	$(UV) pip compile pyproject.toml --extra demo --extra prefect --group test --group check --universal \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url --upgrade -q -o constraints.txt

clean: ## Delete what was installed and built here.
	rm -rf $(VENV) .tools .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(UV):
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed: install it, or name it: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet uv

$(VENV)/bin/python: | $(UV)
	$(UV) venv --quiet --python $(PYTHON) $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (once; about a minute) ..."
	$(UV) pip install --quiet --python $(RUN)/python --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (once; about a minute) ..."
	$(UV) pip install --quiet --python $(RUN)/python --constraint constraints.txt --editable '.[demo,prefect]' \
		--group test --group check
	@touch $@

.PHONY: help demo test test-long check docs bench constraints clean
