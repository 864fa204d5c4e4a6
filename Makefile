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
EXTRAS := app dev docs fidelity finetune mock morphology notebooks remedies study test
COMMA := ,
SPACE := $(subst ,, )
INSTALL := -c constraints.txt -e .[$(subst $(SPACE),$(COMMA),$(EXTRAS))]
UV := 0.13.9
# Where requirements.lock has been tried every file must have its hash; elsewhere only the versions are fixed.
LOCKED := .venv/bin/python -c 'import platform as p, sys; sys.exit((sys.version_info[:2], p.system(), p.machine()) != ((3, 11), "Linux", "x86_64"))'
PIP = uv pip install --python .venv/bin/python $(1) || .venv/bin/python -m pip install --no-compile $(1)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONDONTWRITEBYTECODE

# Each worker takes the next tests when it has done its own, in their order: the fixtures of a module are made twice at most.
PYTEST := python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

.PHONY: demo test check test-run check-run fuzz study venv lock sbom lint docs types
.DEFAULT_GOAL := demo

demo: CONFIG = configs/study_demo.yaml
demo: study

study: $(STAMP)
	galaxy-diffusion study --config $(CONFIG) --cores $(CORES)
	@echo "report: $(CURDIR)/$$(sed -n 's/^output_dir: *//p' $(CONFIG))/report/index.html"

# Style and types are checked while the tests run.
test check:
	@$(MAKE) --no-print-directory --jobs 3 lint types $@-run

test-run: $(STAMP)
	$(PYTEST)

check-run: $(STAMP)
	$(PYTEST) -m "not slow and not two_processes"

fuzz: $(STAMP)
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); while [ $$(date +%s) -lt $$end ]; do \
		$(PYTEST) -q --durations 0 --durations-min 60 --hypothesis-profile fuzz tests/fuzzing || exit; done

lint: $(STAMP)
	ruff check .
	ruff format --check .

# typings/ says which libraries count as untyped. What has been found right is checked again once any module, or what it is
# checked against, has changed; a folder changes when a file is added or removed.
types: .venv/.types

.venv/.types: $(STAMP) pyproject.toml $(shell find galaxy_diffusion gz2_dataset typings -name __pycache__ -prune -o -type d -print -o -name '*.py*' -print)
	basedpyright
	@touch $@

# The site with the reference, in docs/_build/html; a warning is an error, so that a link that leads nowhere is found.
docs: $(STAMP)
	python -m sphinx -W --keep-going -b html docs docs/_build/html

venv: $(STAMP)

# The versions of all extras, and what make installs with the hashes of its files.
lock: $(STAMP)
	uv pip compile --quiet --all-extras --no-annotate --no-header pyproject.toml -o constraints.txt
	sed -i '1i # Tested versions. Made with: make lock' constraints.txt
	uv pip compile --quiet $(addprefix --extra ,$(EXTRAS)) --universal --generate-hashes --no-emit-index-url \
		--no-annotate --no-header -c constraints.txt pyproject.toml -o requirements.lock
	sed -i '1i # What make installs, with the hashes of its files. Made with: make lock' requirements.lock

# What make installs, with hashes, for those who look for known faults: CycloneDX.
sbom: $(STAMP)
	cyclonedx-py requirements requirements.lock --output-reproducible --output-file sbom.json

$(STAMP): pyproject.toml constraints.txt requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; install Python 3.11 or newer, or make PYTHON=/path/to/python3.12"; exit 2; }
	@[ -x .venv/bin/python ] || uv venv --quiet --seed --python $(PYTHON) .venv 2>/dev/null || $(PYTHON) -m venv .venv
	@# pip brings uv, which installs in a tenth of pip's time; where neither uv nor its index can be had, pip does it.
	@command -v uv >/dev/null || .venv/bin/python -m pip install --quiet uv==$(UV) || true
	@if $(LOCKED); then \
		{ $(call PIP,--require-hashes -r requirements.lock); } && { $(call PIP,--no-deps --no-build-isolation -e .); }; \
	else $(call PIP,$(INSTALL)); fi
	@touch $@
