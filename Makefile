# Two commands do all set-up: `make demo` and `make test`. Both are safe to repeat, and need
# no network once .venv is there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := $(VENV)/.peers

.PHONY: help demo test test-long check format coverage bench bench-papers bench-anomalies bench-compression clean

help:
	@echo "make demo      fit auto-encoders on real data and write isthmus-demo/report.html"
	@echo "make test      run the tests"
	@echo "make test-long  thousands of random arrays and damaged files more"
	@echo "make check     formatting, lint, types, floors, examples in docstrings"
	@echo "make coverage  run the tests and show what they do not reach"
	@echo "make bench     measure against peers (installs them; see benchmarks/README.md)"
	@echo "make bench-papers  the papers' table: hours (installs peers; needs ISTHMUS_DATA)"
	@echo "make bench-anomalies  the anomalies' table: hours (installs peers; needs ISTHMUS_DATA)"
	@echo "make bench-compression  the compression's table: minutes (installs peers; some rows need ISTHMUS_DATA)"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Isthmus needs Python 3.11 or newer, got " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/isthmus demo --out isthmus-demo

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

test-long: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto -m long

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --doctest-modules src

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --cov=isthmus --cov-report=term-missing:skip-covered

$(PEERS): $(INSTALLED) benchmarks/requirements.txt
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

bench-papers bench-anomalies bench-compression: $(PEERS)
	$(BIN)/isthmus bench $(@:bench-%=%)

bench: $(PEERS)
	$(BIN)/isthmus bench speed

clean:
	rm -rf $(VENV) isthmus-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
