# Needs Python ≥ 3.11, make and git; everything else goes into .venv. `make help` lists the targets.
#
#   make leaderboard PYTHON=python3.12      another Python
#   make leaderboard EXTRA=cuda12           JAX for NVIDIA GPUs (or cuda13)
#   make test PYTEST_ARGS="-k stde -x"      pytest's own options
#   make asv-smoke ASV_BENCH=Speed          which asv benchmarks

PYTHON ?= python3
EXTRA ?= cpu
WORKERS ?= 2
OUT ?= out
PYTEST_ARGS ?=
RANGE ?= HEAD~1..HEAD
ASV_BENCH ?= allen-cahn/two-body d=100 stde'

VENV := .venv
BIN := $(VENV)/bin
PDEZOO := $(BIN)/pdezoo
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACKAGE_READY := $(VENV)/.package-$(EXTRA)
DEV_READY := $(VENV)/.dev-$(EXTRA)

.DEFAULT_GOAL := help
.PHONY: help leaderboard site test test-slow perf chaos fuzz lint asv-smoke wheel wheels clean

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

leaderboard: $(PACKAGE_READY)  ## The small cross on this machine: out/leaderboard.html
	@status=0; $(PDEZOO) track run quick-1 --workers $(WORKERS) --store $(OUT)/records || status=$$?; \
	test $$status -le 1 || exit $$status; \
	$(PDEZOO) leaderboard --store $(OUT)/records && \
	$(PDEZOO) leaderboard --store $(OUT)/records --format png --output $(OUT)/leaderboard.png && \
	$(PDEZOO) leaderboard --store $(OUT)/records --format html --output $(OUT)/leaderboard.html && \
	echo "Open $(OUT)/leaderboard.html in a browser; the records are in $(OUT)/records." && exit $$status

site: $(DEV_READY)  ## The site of all records: site/index.html, which needs no network
	$(PDEZOO) site --output site

test: $(DEV_READY)  ## The tests that every change must pass
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(PYTEST_ARGS)

test-slow: $(DEV_READY)  ## Trainings to the end: minutes each
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

perf: $(DEV_READY)  ## pytest-benchmark: one residual evaluation, one step, against plain code
	$(BIN)/python -m pytest -m perf $(PYTEST_ARGS)

chaos: $(DEV_READY)  ## Kill sweeps at random moments; nothing may be lost
	$(BIN)/python -m pytest -m chaos $(PYTEST_ARGS)

fuzz: $(DEV_READY)  ## Ten thousand random inputs for each test that takes such; PYTEST_ARGS="-k matrix" for some
	$(BIN)/python -m pytest -m fuzz --hypothesis-profile=fuzz -n auto --maxprocesses 8 tests $(PYTEST_ARGS)

lint: $(DEV_READY)  ## Style, types, and the import contract between the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

asv-smoke: $(DEV_READY)  ## asv: one quick benchmark of every suite at this commit, and .asv/html
	$(BIN)/asv machine --yes >/dev/null
	$(BIN)/asv check --environment existing
	$(BIN)/asv run --python same --quick --set-commit-hash "$$(git rev-parse HEAD)" --bench "$(ASV_BENCH)"
	$(BIN)/asv publish

wheels: $(DEV_READY)  ## wheels/: pdezoo and all it needs, for a machine without a package index
	$(PIP) wheel -qq --wheel-dir wheels '.[$(EXTRA)]'
	@echo "There: python -m pip install --no-index --find-links wheels 'pdezoo[$(EXTRA)]'"

asv-history: $(DEV_READY)  ## asv over commits: RANGE=HEAD~3..HEAD ASV_BENCH=Compiled
	$(PDEZOO) history --commits "$(RANGE)" --bench "$(ASV_BENCH)"

wheel: $(DEV_READY)  ## dist/pdezoo-*.whl
	$(PIP) wheel -qq --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) $(OUT) site wheels .asv .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is ready when its stamp is newer than pyproject.toml; the package is installed in place.
$(PACKAGE_READY): pyproject.toml | $(BIN)/python
	@echo "Installing pdezoo and JAX into $(VENV): a minute or two, once."
	@$(PIP) install -qq --editable '.[$(EXTRA)]'
	@touch $@

$(DEV_READY): pyproject.toml | $(BIN)/python
	@echo "Installing pdezoo, JAX and the development tools into $(VENV): a minute or two, once."
	@$(PIP) install -qq --editable '.[$(EXTRA),dev]'
	@touch $@ $(PACKAGE_READY)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. pdezoo needs Python 3.11 or newer; name yours: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pdezoo needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu install the package python3-venv." >&2; exit 1; }
