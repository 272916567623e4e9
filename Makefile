# What a developer types. Every target installs what it needs by itself, once: `make test` works on a fresh clone.
# Needs Python 3.11 or newer with its module venv, and make. Another Python: make PYTHON=python3.12 …

PYTHON ?= python3
VENV := .venv
DEVICE := .venv-device
BIN := $(VENV)/bin
# Two processes of one thread each: many small tests would spend their time starting and joining threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal
# What `make test-system` needs, each as command:package of Debian.
SYSTEM := chromium:chromium chromedriver:chromium-driver cmake:cmake c++:g++ psql:postgresql espeak-ng:espeak-ng flite:flite
# Everything that decides what an environment holds; the device's holds the runtime's wheel, so its sources too.
PINS := pyproject.toml runtime/pyproject.toml constraints.txt
RUNTIME := $(shell find runtime -type f -not -path '*/__pycache__/*')

.DEFAULT_GOAL := help
.PHONY: setup lint type test test-slow test-system test-device demo bench docs wheels clean help

setup: $(VENV)/.ready  ## make .venv and install edgetl there with all extras, at the versions of constraints.txt

lint: $(VENV)/.ready  ## check style, formatting and the import rules of docs/architecture.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(VENV)/.ready  ## check the types of the three packages, strictly
	$(BIN)/mypy

test: $(VENV)/.ready  ## run the tests that take seconds
	$(PYTEST) -m "not slow and not system"

test-slow: $(VENV)/.ready  ## run the tests that take minutes
	$(PYTEST) -m slow

test-system: $(VENV)/.ready  ## run the tests that need packages of the system: a real browser, a C++ compiler, PostgreSQL, synthesisers of speech
	@$(foreach one,$(SYSTEM),command -v $(firstword $(subst :, ,$(one))) > /dev/null || missing="$$missing $(lastword $(subst :, ,$(one)))";) \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; \
	  else echo "error: missing here:$$missing. On Debian: sudo apt-get install$$missing" >&2; exit 1; fi; fi
	$(BIN)/pytest -m system

test-device: $(DEVICE)/.ready  ## run the runtime's tests as a device has it: its wheel alone, without torch
	@! $(DEVICE)/bin/python -c "import torch" 2> /dev/null || { echo "error: torch is in $(DEVICE)" >&2; exit 1; }
	$(DEVICE)/bin/pytest -m "not slow and not system" tests/runtime

demo: $(VENV)/.ready  ## do the whole job on 2,624 photographs of solar cells: train, export, validate, gate
	$(BIN)/edgetl demo

bench: $(VENV)/.ready  ## measure the demo's model, the runtime and the gate on this machine: docs/benchmarks.md
	$(BIN)/python -m benchmarks.run

docs: $(VENV)/.ready  ## build the site of the documentation into site/; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir site

wheels: $(VENV)/.ready  ## build both distributions into dist/ and check what is in them
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m build --no-isolation --outdir dist runtime
	EDGETL_DIST=dist $(BIN)/pytest -q tests/test_packaging.py

clean:  ## remove what was built, the caches and the demo's folder; .venv stays
	rm -rf $(DEVICE) dist build demo site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

# uv installs in half a minute what pip takes two for; pip brings it. Qualcomm's package has no wheel for every system,
# and the tools for an Ethos-U, in an environment of their own inside this one, have none either.
$(VENV)/.ready: $(PINS) exporters/edgetl_exporters/ethosu_tools.py
	$(call environment,$(VENV))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt \
	  --build-constraints constraints.txt --editable '.[dev,demo,docs,fast,lite]'
	@$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --requirement pyproject.toml --extra qnn || \
	  echo "note: Qualcomm's simulator cannot be installed here; the tests that need it are skipped." >&2
	@$(BIN)/python -m edgetl_exporters.ethosu_tools || \
	  echo "note: Arm's compiler cannot be installed here; the tests that need it are skipped." >&2
	@touch $@

$(DEVICE)/.ready: $(PINS) $(RUNTIME)
	$(call environment,$(DEVICE))
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	  $(DEVICE)/bin/python -m pip install --quiet --disable-pip-version-check ./runtime pytest hypothesis
	@touch $@

# Make an environment, or finish one whose making was interrupted.
define environment
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or \
	  sys.exit("error: edgetl needs Python 3.11 or newer, $(PYTHON) is %d.%d. Run: make PYTHON=python3.11" % v[:2])'
	@$(1)/bin/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(1)
endef
