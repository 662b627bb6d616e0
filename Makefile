# SPDX-License-Identifier: Apache-2.0
# The verbs. Each sets up what it needs first; the second time that takes no time.
.DEFAULT_GOAL := help
.PHONY: help setup run test unit live matrix vm-test fuzz lint format bench docs lock dist clean

PYTHON ?= python3
export PYTHON

VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
C_FILES = $(shell find bpf native tests benchmarks -name '*.[ch]' 2>/dev/null)

help: ## this list
	@echo 'make VERB; the two that matter: make run, make test'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

setup: ## Debian packages, .venv, extension, BPF objects; nothing when nothing changed
	@tools/setup.sh run

run: setup ## plaintap $(ARGS); without ARGS the main job, opened by a sample exchange
	@tools/run.sh $(ARGS)

test: lint ## lint, then unit and live tests
	@tools/privileged.sh $(PYTEST) -p no:cacheprovider -m 'not matrix' tests/unit tests/live

unit: dev ## tests without root, network or compiler
	@$(PYTEST) tests/unit $(ARGS)

live: dev ## tests on this kernel with real programs, one row of each class
	@tools/privileged.sh $(PYTEST) -p no:cacheprovider -m 'not matrix' tests/live $(ARGS)

matrix: ## every row of every table; writes docs/matrix.md
	@tools/setup.sh matrix
	@PYTHONPATH=tools tools/privileged.sh $(PYTEST) -p no:cacheprovider -p matrix_report tests/live

vm-test: ## the core of the live tests in a guest with kernel K=6.1 or K=6.12, Go's with K=6.1-arm64
	@tools/setup.sh vm
	@tools/privileged.sh tools/vm/run.sh "$(K)" $(ARGS)

fuzz: ## one parser under hostile input, T=http1 and so on, for S=600 seconds
	@tools/setup.sh fuzz
	@$(VENV)/python tools/fuzz.py "$(T)" --seconds "$(or $(S),600)"

lint: dev ## ruff, mypy and clang-format, all clean or fail
	@$(VENV)/ruff check --quiet .
	@$(VENV)/ruff format --quiet --check .
	@$(VENV)/mypy --no-error-summary
	@$(VENV)/clang-format --dry-run -Werror $(C_FILES)

format: dev ## applies what lint asks for where a tool can
	@$(VENV)/ruff check --quiet --fix-only .
	@$(VENV)/ruff format .
	@$(VENV)/clang-format -i $(C_FILES)

bench: ## speed and memory as ratios; results in benchmarks/results/
	@tools/setup.sh bench
	@tools/privileged.sh $(VENV)/python benchmarks/run.py $(ARGS)

docs: setup ## writes the pages that derive from the code
	@$(VENV)/python -m plaintap.cli.docs

lock: dev ## resolves pyproject.toml into requirements/*.lock
	@tools/lock.sh

dist: setup ## wheel of this tree and source archive of the last commit, in dist/
	@mkdir -p dist
	@PATH="$$PWD/$(VENV):$$PATH" $(VENV)/python -c \
		"import mesonpy; print(mesonpy.build_sdist('dist'), mesonpy.build_wheel('dist'))"

clean: ## removes all that the verbs made, .venv too
	@rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache benchmarks/results
	@find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: dev
dev:
	@tools/setup.sh dev
