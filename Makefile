# make demo   the whole path on the built-in phantom (environment included)
# make test   linters, types, import contract, all tests
# make test-fast   the same without tests marked slow
# make mutation   changes the code where numbers come from, one place at a
#             time: the share that the tests notice (docs/mutation.md)
# make bench  every speed against its floor or a peer's (PyTorch, MONAI), with
#             an environment of its own; rewrites the table of the results
# make graph  docs/images/imports.png: which room imports which
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# Tests run in so many processes.
WORKERS ?= 2
BENCH_VENV ?= .venv-bench
# Peers, never dependencies of the package.
PEERS := torch==2.13.0 monai==1.6.1
MUTATION := mutmut==3.8.1

.PHONY: demo test test-fast mutation bench check graph env clean

env: $(VENV)/.ready

$(VENV)/.ready: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check \
	    -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check \
	    --no-deps --editable .
	touch $@

demo: env
	$(BIN)/tfpartial demo

graph: env
	$(BIN)/python docs/draw_imports.py

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell tfpartial tfrecords_builder scripts benchmarks tests \
	    docs configs examples README.md CONTRIBUTING.md CHANGELOG.md
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-fast: check
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

mutation: env
	$(BIN)/pip install --quiet --disable-pip-version-check $(MUTATION)
	$(BIN)/python tests/mutation.py

$(BENCH_VENV)/.ready: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check \
	    -r requirements.lock
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check \
	    $(PEERS)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check \
	    --no-deps --editable .
	touch $@

bench: $(BENCH_VENV)/.ready
	$(BENCH_VENV)/bin/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) $(BENCH_VENV) runs records phantom mutants
