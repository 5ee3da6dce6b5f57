# One command each; `make` alone lists them. Needs make, a POSIX shell and Python 3.11 to 3.13.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

python := $(VENV)/bin/python
install := $(python) -m pip install --disable-pip-version-check --quiet --quiet --editable

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv demo test test-slow coverage bench bench-digits bench-overfeat bench-scaling bench-memory lint format clean

help: ## list the targets
	@echo "make TARGET [PYTHON=python3.12] [VENV=.venv] [ARGS='-k lrn', for pytest]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(VENV)/.base ## build .venv with what the package needs to run

overfeat := $(python) -m tfcnns.train --recipe=overfeat_digits --overwrite --set=test_limit=100

demo: $(VENV)/.base ## train a small Network in Network and OverFeat on real digits, draw runs/demo/report.html
	$(python) -m tfcnns.train --recipe=nin_digits --out=runs/demo --overwrite
	$(python) -m tfcnns.evaluate --run=runs/demo
	$(overfeat) --out=runs/demo-classifier --epochs=8
	$(overfeat) --out=runs/demo-regressor --epochs=4 --set=stage=regressor --set=from_run=runs/demo-classifier
	$(overfeat) --out=runs/demo-detector --epochs=16 --set=stage=detector --set=from_run=runs/demo-regressor
	$(python) -m tfcnns.evaluate --run=runs/demo-detector
	$(python) -m tfcnns.plot --run=runs/demo-detector
	$(python) -m tfcnns.plot --run=runs/demo --link=runs/demo-detector
	$(python) -m tfcnns.export --run=runs/demo --out=runs/demo-export
	$(python) -m tfcnns.export --run=runs/demo-detector --out=runs/demo-detector-export
	@echo "Ask the export about an image, with TensorFlow alone:"
	@echo "  $(python) examples/ask_export.py runs/demo-detector-export [photo.jpg]"
	@echo "Open runs/demo/report.html in a browser; everything else about the run lies beside it."

test: $(VENV)/.test lint ## ruff, then the fast tests
	$(python) -m pytest -q $(ARGS)

test-slow: $(VENV)/.all lint ## ruff, then every test: also against torch, exports and all ways to install
	$(python) -m pytest -q -m "slow or not slow" $(ARGS)

coverage: $(VENV)/.test ## the fast tests, and the lines they miss
	$(python) -m pytest -q --cov --cov-report=term-missing:skip-covered $(ARGS)

bench-digits: $(VENV)/.base ## test error of recipes/nin_digits: mean and spread over five seeds
	$(python) benchmarks/digits.py

bench-overfeat: $(VENV)/.base ## localisation error and mAP of recipes/overfeat_digits over three seeds
	$(python) benchmarks/overfeat_digits.py

bench-scaling: $(VENV)/.base ## images a second of two workers against one, and what is lost where
	$(python) benchmarks/scaling.py

bench-memory: $(VENV)/.base ## peak memory for each pixel of a large image, of all that reads images
	$(python) benchmarks/memory.py

bench: $(VENV)/.all ## speed of the layers against stock Keras and torch
	$(python) benchmarks/layers.py

lint: $(VENV)/.test ## ruff: rules and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/.test ## let ruff rewrite what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## delete build leftovers and caches; runs/ and .venv stay
	rm -rf build dist tfcnns.egg-info .pytest_cache .ruff_cache .coverage htmlcov
	find layers pipelines tfcnns tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Stamps: an environment is built when it is missing and refreshed when setup.py changes.
# Each install holds the smaller ones.
$(VENV)/.base: $(VENV)/.made setup.py
	@echo "Installing tfcnns into $(VENV): about 2.7 GB, one to a few minutes the first time."
	@$(install) .
	@touch $@

$(VENV)/.test: $(VENV)/.made setup.py
	@echo "Installing tfcnns[test] into $(VENV): about 3.1 GB, one to a few minutes the first time."
	@$(install) '.[test]'
	@touch $(VENV)/.base $@

$(VENV)/.all: $(VENV)/.made setup.py
	@echo "Installing tfcnns[test,peers,export] into $(VENV): several GB, most of it torch."
	@$(install) '.[test,peers,export]'
	@touch $(VENV)/.base $(VENV)/.test $@

# An environment whose Python is gone (moved, or the system upgraded) counts as missing.
ifeq ($(wildcard $(python)),)
.PHONY: $(VENV)/.made
endif
$(VENV)/.made:
	@$(PYTHON) -c pass 2>/dev/null || { \
	  echo "$(PYTHON) was not found. Install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "tfcnns needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv or ensurepip. On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@if [ -x $(python) ]; then $(python) -m pip --version >/dev/null 2>&1 || $(python) -m ensurepip >/dev/null; \
	elif [ -e $(VENV)/pyvenv.cfg ]; then $(PYTHON) -m venv --clear $(VENV); \
	else $(PYTHON) -m venv $(VENV); fi
	@touch $@
