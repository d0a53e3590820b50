# `make demo` and `make test` set everything up by themselves; they need Python 3.12 or newer and make. `make help` lists the rest.

VENV ?= .venv
PY := $(VENV)/bin/python
# Options of the commands below:
OUT ?=
PYTEST_ARGS ?=
WORKERS ?= 2
export PYTHON

# Compiled programs are kept between test runs; their keys depend on the seed of Python's hashes.
PYTEST := PYTHONHASHSEED=0 $(PY) -m pytest
# pytest ends with 5 when it selects no test: a mistake, unless a selection was asked for that leaves none in one precision.
NONE_IS_FINE := $(if $(PYTEST_ARGS),|| test $$? -eq 5)

.NOTPARALLEL:
.PHONY: demo test test-slow lint format types examples notebooks map gallery optima modes bench verdicts wheel clean help data-env test-env dev-env bench-env
.DEFAULT_GOAL := help

demo: data-env ## fit real data both ways, compare with the exact posterior, write figures (OUT=folder)
	$(VENV)/bin/vi-toolkit demo $(if $(OUT),--output "$(OUT)")

test: test-env ## the tests in float64, then those that run in float32 (PYTEST_ARGS="-k name -x", WORKERS=2)
	$(PYTEST) -n $(WORKERS) --dist loadfile $(PYTEST_ARGS) $(NONE_IS_FINE)
	VI_TOOLKIT_X64=0 $(PYTEST) -n $(WORKERS) --dist loadfile $(PYTEST_ARGS) $(NONE_IS_FINE)

test-slow: test-env ## the tests that take long
	$(PYTEST) -n $(WORKERS) -m slow $(PYTEST_ARGS)

lint: dev-env ## ruff: rules and layout
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: dev-env ## ruff: put the layout right
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: dev-env ## mypy, strict, over the package
	$(PY) -m mypy

examples: data-env ## run every script in examples/
	$(PY) scripts/run_examples.py

notebooks: dev-env ## run every notebook in notebooks/ and hold it against its text (WRITE=1 writes them from the text)
	$(PY) scripts/run_notebooks.py $(if $(WRITE),--write)

map: data-env ## write the list of files in ARCHITECTURE.md again
	$(PY) scripts/write_map.py

gallery: data-env ## write docs/GALLERY.md and its picture: the posteriors that are known
	$(PY) scripts/write_gallery.py

optima: data-env ## write docs/OPTIMA.md: every objective's known minimiser against the fitted one, and docs/alpha_sweep.png
	$(PY) scripts/write_optima.py
	$(PY) scripts/write_alpha_sweep.py

modes: data-env ## write docs/ANNEALED.md and its picture: flows on forty normals and on the many-well (minutes)
	$(PY) scripts/write_annealed.py

bench: bench-env ## side by side with peers: speed, and 18 real posteriors (POSTERIORDB=folder of a local clone)
	$(PY) -m benchmarks
	$(PY) -m benchmarks posteriors $(if $(POSTERIORDB),--path "$(POSTERIORDB)")

verdicts: bench-env ## write docs/VERDICTS.md: how often vi.diagnose is wrong about fits whose truth is known
	$(PY) -m benchmarks verdicts
	$(PY) -m benchmarks verdicts --held-out

wheel: dev-env ## build the wheel, look inside, install it elsewhere and import it
	$(PY) scripts/check_wheel.py

data-env:
	@scripts/set-up $(VENV) data

test-env:
	@scripts/set-up $(VENV) test

dev-env:
	@scripts/set-up $(VENV) dev

bench-env:
	@scripts/set-up $(VENV) benchmarks

clean: ## remove what the commands above made, the virtual environment included
	test ! -e "$(VENV)/pyvenv.cfg" || rm -rf "$(VENV)"
	rm -rf build dist .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@echo "make demo | make test set everything up. PYTHON=/path/to/python chooses the interpreter."
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  %-10s %s\n' $$name "$$text"; done
