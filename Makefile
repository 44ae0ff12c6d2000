# Every target makes the virtual environment first, with the pinned versions of constraints.txt.
# Needs Python 3.11 or newer with its venv module, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SIDE_BY_SIDE := -n logical --maxprocesses 4
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=15 -rs -o faulthandler_timeout=600

.DEFAULT_GOAL := help
.PHONY: help venv sweep test fast lint bench faults clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 16

venv: $(STAMP)  ## the virtual environment, made again when constraints.txt or pyproject.toml has changed

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ablate needs Python 3.11 or newer and $(PYTHON) is older or missing; name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv module; install it first (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "installing the pinned requirements into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) torch==2.13.0
	@$(PIP_INSTALL) -e '.[dev,dashboard]'
	@touch $@

sweep: $(STAMP)  ## the default study: search_spaces/dsae_losses.yaml
	$(BIN)/ablate sweep search_spaces/dsae_losses.yaml

test: fast $(STAMP)  ## the fast tests, the longer ones, then the slow ones (real Ray, MLflow, DDP), one at a time
	$(PYTEST) $(SIDE_BY_SIDE) -m "long and not slow and not faults"
	$(PYTEST) -m "slow and not faults"

fast: $(STAMP)  ## the fast tests, as many at a time as there are cores (at most 4): under 3 minutes on 2 cores
	$(PYTEST) $(SIDE_BY_SIDE) -m "not long and not slow and not faults"

faults: $(STAMP)  ## the long fault cases: killed nodes, lost servers, full disks
	$(PYTEST) -m faults

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## training steps, trial overhead, store, features; writes bench.json
	$(BIN)/ablate bench --json bench.json

clean:  ## remove the virtual environment and all caches
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache
