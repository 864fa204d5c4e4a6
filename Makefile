# make demo | test | check | fuzz MINUTES=10 | study CONFIG=configs/study_gz2_real.yaml | docs | venv | lint
# test: everything, as CI runs it; check: lint and the quick tests. WORKERS=1 runs them in one process.
# fuzz: damaged files and odd command lines, others each time, until one breaks a command or the time is over.
# Needs Python 3.11 or newer and a package index; makes its own environment in .venv.
PYTHON := $(or $(PYTHON),$(shell command -v python3))
CONFIG ?= configs/study_demo.yaml
CORES ?= all
WORKERS ?= logical
MINUTES ?= 10
STAMP := .venv/.installed
INSTALL := -c constraints.txt -e .[app,dev,docs,fidelity,finetune,mock,morphology,notebooks,remedies,study,test]
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONDONTWRITEBYTECODE

# Each worker takes the next tests when it has done its own, in their order: the fixtures of a module are made twice at most.
PYTEST := python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

.PHONY: demo test check fuzz study venv lint docs types
.DEFAULT_GOAL := demo

demo: CONFIG = configs/study_demo.yaml
demo: study

study: $(STAMP)
	galaxy-diffusion study --config $(CONFIG) --cores $(CORES)
	@echo "report: $(CURDIR)/$$(sed -n 's/^output_dir: *//p' $(CONFIG))/report/index.html"

test: $(STAMP) lint types
	$(PYTEST)

check: $(STAMP) lint types
	$(PYTEST) -m "not slow and not two_processes"

fuzz: $(STAMP)
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); while [ $$(date +%s) -lt $$end ]; do \
		$(PYTEST) -q --durations 0 --durations-min 60 --hypothesis-profile fuzz tests/fuzzing || exit; done

lint: $(STAMP)
	ruff check .
	ruff format --check .

# typings/ says which libraries count as untyped.
types: $(STAMP)
	basedpyright

# The site with the reference, in docs/_build/html; a warning is an error, so that a link that leads nowhere is found.
docs: $(STAMP)
	python -m sphinx -W --keep-going -b html docs docs/_build/html

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; install Python 3.11 or newer, or make PYTHON=/path/to/python3.12"; exit 2; }
	@[ -x .venv/bin/python ] || uv venv --quiet --seed --python $(PYTHON) .venv 2>/dev/null || $(PYTHON) -m venv .venv
	@# pip brings uv, which installs in a tenth of pip's time; where neither uv nor its index can be had, pip does it.
	@command -v uv >/dev/null || .venv/bin/python -m pip install --quiet uv || true
	@uv pip install --python .venv/bin/python $(INSTALL) || .venv/bin/python -m pip install --no-compile $(INSTALL)
	@touch $@
