# make demo: balance a bundled long-tailed data set, train classifiers on it, and print their accuracies
# make toy: draw the picture that explains feedback, docs/feedback_toy.png, in seconds
# make test: run the tests
# make test-slow: run the longer tests: whole small workflows, full disks, millions of rows
# make test-chaos: kill a small run 5 times
# make test-slurm: run a small Slurm and test on it; as root, with Debian's packages munge and slurm-wlm
# make test-nightly: kill a small run 200 times, run the slowest tests on Slurm and of further generators, and repeat tests for
#   further kinds of damage
# make test-all: run all tests but the nightly ones, as CI does
# make lint: check style; make format: correct it
# make docs: write the config's reference, docs/config.md
# make repair: remake what is damaged in results/, and nothing else; PROFILE=slurm does it on a cluster
# make accept TARGETS=all_...: take existing results as made by the current code
# make setup: only install; make clean: remove the environment; make lock: pin what a fresh environment has
#
# PYTHON chooses the interpreter. PIP_ARGS goes to pip, for example the --extra-index-url of CPU-only builds.
# OPTIONS of `repair` and `accept` go to snakemake, for example --configfile mine.yaml.
# WORKERS is the number of processes that run tests (default: auto, one per core).

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
# Text is UTF-8, whatever the locale
export PYTHONUTF8 := 1

.PHONY: demo toy test test-slow test-chaos test-slurm test-all test-nightly lint format docs setup lock accept repair clean

demo: setup
	$(BIN)/snakemake --profile local all_demo
	@echo
	@cat results/demo/summary.md
	@echo
	@echo "Look at: results/demo/grid/demo.png        (real pictures beside those of DiffuLT's generator)"
	@echo "         results/demo/grid/demo_text.png   (beside those of a small text-to-image model)"
	@echo "         results/demo/results.csv          (every figure)"
	@echo "         results/demo/select/demo/summary.json   (numbers of generated and kept pictures)"

toy: setup
	PYTHONPATH=. $(BIN)/python benchmarks/feedback_toy.py --output docs/feedback_toy.png

# Tests of one file run in one worker, because they share what they make; tests/conftest.py has the order of the files
WORKERS ?= auto
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST)

test-slow: setup
	$(PYTEST) -m "slow and not (chaos or slurm or nightly)"

test-chaos: setup
	$(BIN)/pytest -m "chaos and not nightly" -rP

test-slurm: setup
	$(BIN)/pytest -m slurm

test-all: setup
	$(PYTEST) -m "not nightly"

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

# The reference of the config is generated from its types
docs: setup
	$(BIN)/python -m pipeline.config.reference > docs/config.md

# Archives, and disks without links, turn the links to the profiles into text files
setup: .venv/installed
	@for name in local slurm; do \
		[ -d $$name ] || { rm -f $$name; ln -s profiles/$$name $$name 2>/dev/null || cp -r profiles/$$name $$name; }; \
	done

# An environment holds its own path, so a checkout that was moved or copied needs a new one
MOVED := $(shell made=$$(sed -n 's/^command = .* -m venv [^/]*//p' .venv/pyvenv.cfg 2>/dev/null); \
	[ -z "$$made" ] || [ "$$made" = "$$(pwd -P)/.venv" ] || echo .venv-moved)

.PHONY: .venv-moved
.venv-moved:
	@echo "This folder was moved or copied, so .venv is made anew"
	rm -rf .venv

# An interrupted installation leaves packages that pip cannot read, so the next one starts anew
.venv/installed: pyproject.toml requirements.lock $(MOVED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; for example, set PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip' || { echo "Python's venv module is incomplete here; on Debian: apt-get install python3-venv"; exit 1; }
	@[ -e $@ ] || rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint requirements.lock --editable '.[dev]'
	@touch $@

# The versions that pip chooses in a fresh environment, given the pins in pyproject.toml
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(PIP_ARGS) --editable '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > requirements.lock
	rm -rf .venv-lock

# For refactorings that change no result: take what lies in results/ as made by the current code
accept: setup
	$(BIN)/snakemake --profile local $(OPTIONS) --touch -- $(TARGETS)

# Files that are remade byte for byte keep their time stamps, so nothing that was made from them runs again
PROFILE ?= local
repair: setup
	@[ -z "$$(ls .snakemake/locks 2>/dev/null)" ] || { echo "A run is at work here: let it end, or after a kill say $(BIN)/snakemake --unlock"; exit 1; }
	$(BIN)/python -m pipeline.stages.verify --results results \
		--repair '$(BIN)/snakemake --profile $(PROFILE) $(OPTIONS) --allowed-rules {stage} --'

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis counterweight.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
