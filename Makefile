# Two commands do all set-up: `make demo` and `make test`. Both are safe to repeat, and need
# no network once .venv is there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test check format coverage bench bench-papers bench-anomalies clean

help:
	@echo "make demo      fit auto-encoders on real data and write isthmus-demo/report.html"
	@echo "make test      run the tests"
	@echo "make check     formatting, lint, types, floors, examples in docstrings"
	@echo "make coverage  run the tests and show what they do not reach"
	@echo "make bench     measure against peers (installs them; see benchmarks/README.md)"
	@echo "make bench-papers  the papers' table: hours (installs peers; needs ISTHMUS_DATA)"
	@echo "make bench-anomalies  the anomalies' table: hours (installs peers; needs ISTHMUS_DATA)"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Isthmus needs Python 3.11 or newer, got " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/isthmus demo --out isthmus-demo

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

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

bench-papers: $(INSTALLED)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/isthmus bench papers

bench-anomalies: $(INSTALLED)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/isthmus bench anomalies

bench: $(INSTALLED)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/isthmus bench speed

clean:
	rm -rf $(VENV) isthmus-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
