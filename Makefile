# make demo   the whole path on the built-in phantom (environment included)
# make test   linters, types, import contract, all tests
# make test-fast   the same without tests marked slow
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test test-fast check env clean

env: $(VENV)/.ready

$(VENV)/.ready: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check \
	    -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check \
	    --no-deps --editable .
	touch $@

demo: env
	$(BIN)/python scripts/demo.py

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell tfpartial tfrecords_builder scripts benchmarks tests \
	    docs configs README.md CHANGELOG.md
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest

test-fast: check
	$(BIN)/python -m pytest -m "not slow"

clean:
	rm -rf $(VENV) runs records phantom
