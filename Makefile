# `make help` lists the targets. Another environment: make test VENV=path/to/venv
VENV ?= .venv
PYTHON ?= python3
PYTEST_ARGS ?= -n 2

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help install demo test lint docs tutorial clean distclean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

install: $(STAMP) ## make the environment: pinned requirements, Detectron2, this package

demo: install ## train a small adaptive Mask R-CNN on Shapes, print its scores, draw pairs of crops
	$(PY) tools/demo.py

# One thread per worker: two workers that each start a thread per core slow each other down.
test: install ## run the tests
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PYTEST_ARGS)

lint: install ## check style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: $(DOCS_STAMP) ## build the documentation: docs/_build/html/index.html
	$(PY) -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html

tutorial: $(DOCS_STAMP) demo ## execute the tutorial and keep its outputs
	$(PY) docs/execute.py docs/tutorial.ipynb

clean: ## remove the demo's results, caches and build artifacts
	rm -rf output/demo build dist docs/_build docs/api *.egg-info .pytest_cache .ruff_cache
	find aa_detectron tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove the environment and Shapes as well
	rm -rf $(VENV) datasets/shapes datasets/shapes_classification

# bin/pip, not bin/python: where the system lacks ensurepip, venv leaves the latter behind.
$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

# The stamp is younger than what the installation is made from, or it is made again.
$(STAMP): setup.py requirements.txt requirements-dev.txt tools/install_detectron2.py \
		| $(VENV)/bin/pip
	$(PIP) install -r requirements-dev.txt
	$(PY) tools/install_detectron2.py
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DOCS_STAMP): requirements-docs.txt $(STAMP)
	$(PIP) install -r requirements-docs.txt
	@touch $@
