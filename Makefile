# make demo: balance a bundled long-tailed data set and see the classifier get better on the rare classes
# make test: run the tests          make lint: check style          make setup: only install
# make test-slow: what takes longer: whole runs of small workflows, full disks, millions of rows
# make test-all: all but the nightly ones, as CI does
# make test-chaos: kill a small run 30 times; make test-nightly: 200 times
# make test-slurm: run on a small Slurm, as root, with Debian's packages munge and slurm-wlm
# make repair: remake what is damaged in results/, and nothing else; PROFILE=slurm does it on a cluster
# make accept TARGETS=all_...: take results as made by the code as it is now
#
# PYTHON chooses the interpreter; PIP_ARGS goes to pip, for example the --extra-index-url of CPU-only builds.

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin

.PHONY: demo test test-slow test-chaos test-slurm test-all test-nightly lint format setup lock accept repair clean

demo: setup
	$(BIN)/snakemake --profile local all_demo
	@echo
	@cat results/demo/summary.md
	@echo
	@echo "Look at: results/demo/grid/demo.png   (real beside generated pictures)"
	@echo "         results/demo/results.csv     (every figure)"
	@echo "         results/demo/select/demo/summary.json   (generated pictures made and kept)"

test: setup
	$(BIN)/pytest

test-slow: setup
	$(BIN)/pytest -m "slow and not (chaos or slurm or nightly)"

test-chaos: setup
	$(BIN)/pytest -m "chaos and not nightly" -rP

test-slurm: setup
	$(BIN)/pytest -m slurm

test-all: setup
	$(BIN)/pytest -m "not nightly"

test-nightly: setup
	$(BIN)/pytest -m nightly -rP

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

setup: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=python3.11, say")'
	@$(PYTHON) -c 'import ensurepip' || { echo "Python's venv module is incomplete here; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint requirements.lock --editable '.[dev]'
	@touch $@

# What a fresh environment resolves to, from the pins in pyproject.toml
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(PIP_ARGS) --editable '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > requirements.lock
	rm -rf .venv-lock

# After a refactoring that changes no result: take what lies in results/ as made by the code as it is now
accept: setup
	$(BIN)/snakemake --profile local --touch $(TARGETS)

# Remake what is damaged in results/, and nothing else, as it was; PROFILE=slurm does it on a cluster
PROFILE ?= local
repair: setup
	@[ -z "$$(ls .snakemake/locks 2>/dev/null)" ] || { echo "A run is at work here: let it end, or after a kill say $(BIN)/snakemake --unlock"; exit 1; }
	$(BIN)/python -m pipeline.stages.verify --results results \
		--repair '$(BIN)/snakemake --profile $(PROFILE) --allowed-rules {stage} --'

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis counterweight.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
