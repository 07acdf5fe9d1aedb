# The two commands: `make demo` and `make test`. They need Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
# The lock files are complete; nothing is resolved again at installation.
INSTALL = $(UV) pip install -q --no-deps --python $(BIN)/python
# Certificates of this machine, so that it works behind a company's proxy, too.
export UV_SYSTEM_CERTS ?= true
export UV_NATIVE_TLS ?= true

.PHONY: demo setup setup-dev test test-slow lint bench lock sbom clean help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.ready ## start everything with seed data and walk through it (ONCE=1: end after the tour)
	@$(BIN)/triptych demo $(if $(ONCE),--once)

setup: $(VENV)/.ready ## the environment alone

setup-dev: $(VENV)/.ready-dev ## the environment with what tests and linters need

test: $(VENV)/.ready-dev ## the test suite, against real servers
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup $(ARGS)

test-slow: $(VENV)/.ready-dev ## kill and chaos runs, browser, forks
	@$(BIN)/python -m pytest -m "slow and not alone" -n auto --maxprocesses 2 --dist loadgroup $(ARGS) || test $$? = 5
	@$(BIN)/python -m pytest -m "slow and alone" $(ARGS) || test $$? = 5

lint: $(VENV)/.ready-dev ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.ready-dev ## benchmarks; writes docs/benchmarks.md and its plots
	@$(BIN)/python -m tests.benchmarks

lock: $(VENV)/.ready-dev ## renew the lock files from pyproject.toml
	@$(BIN)/python -m infra.lock $(UV)

sbom: $(VENV)/.ready ## what is installed, as CycloneDX, in dist/sbom: one file for the suite, one for each image
	@$(BIN)/python -m infra.sbom dist/sbom

clean: ## remove the environment and the demo's data
	rm -rf $(VENV) .triptych

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is needed (Debian: apt install python3-venv)"; exit 1; }

$(BIN)/uv: | $(BIN)/python
	@test "$(UV)" != "$(BIN)/uv" || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.lock

$(VENV)/.ready: requirements.lock pyproject.toml | $(BIN)/uv
	@echo "installing (once) ..."
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	@echo "installing what tests need (once) ..."
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
