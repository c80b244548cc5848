# Two commands are always true on a fresh machine: `make demo` and `make test`. The rest is for every day.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)
# Two for each of two cores: many tests wait for what other processes do.
PROCESSES ?= 4
.DEFAULT_GOAL := help
ENV_FILE ?= .env
DRAWN = $$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
.PHONY: help install demo up env test chaos chaos-short check format lint types audit words screenshots migrate clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

install: $(VENV)/installed ## virtual environment in .venv, with exactly the versions of constraints.txt

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pairboard needs Python 3.11 or newer, %s is %s: make PYTHON=python3.12" % (sys.executable, sys.version.split()[0]))'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (torch is large: minutes on the first time)"
	@$(PIP) -e .
	@# A package index of CPU builds must not leave a machine that has a GPU without it.
	@if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then \
	  $(BIN)/python -c 'import torch, sys; sys.exit(not torch.version.cuda)' \
	  || $(BIN)/python -m pip --isolated install --quiet --force-reinstall -c constraints.txt "$(TORCH)"; \
	  $(BIN)/python -c 'import torch, sys; sys.exit(None if torch.version.cuda else "this machine has an NVIDIA GPU, but the installed torch is CPU-only: install a CUDA build of $(TORCH) into $(VENV)")'; \
	fi
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@$(PIP) -e '.[test,onnx]'
	@touch $@

demo: $(VENV)/installed ## one real experiment from form to leaderboard; DATA=file.tsv on your own pairs, PRESET=note-02 SIZE=tiny another recipe
	@$(BIN)/pairboard demo $(if $(DATA),--data "$(DATA)") $(if $(PRESET),--preset "$(PRESET)") $(if $(SIZE),--size "$(SIZE)")

up: $(VENV)/installed ## web server and one worker on http://127.0.0.1:8000, until Ctrl-C
	@exec $(BIN)/pairboard up

env: ## .env for docker compose, from .env.example, with drawn secrets; one that is there stays
	@test ! -e "$(ENV_FILE)" || { echo "$(ENV_FILE) is there already: it stays as it is"; exit 1; }
	@umask 077 && sed -e "s/^POSTGRES_PASSWORD=$$/&$(DRAWN)/" -e "s/^PAIRBOARD_SECRET=$$/&$(DRAWN)/" .env.example > "$(ENV_FILE)"
	@echo "wrote $(ENV_FILE)"

test: $(VENV)/installed-test ## the tests; those that need Postgres, Redis or Chromium say so when they are skipped
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal $(ARGS)

chaos: $(VENV)/installed-test ## an hour (CHAOS_MINUTES) of faults on both set-ups; the last line is one JSON object
	@PAIRBOARD_TEST_MUTATIONS=all PAIRBOARD_TEST_HISTORIES=1000 $(BIN)/python -m pytest -m "slow or not slow" tests/chaos/test_mutations.py tests/chaos/test_histories.py
	@$(BIN)/python -m tests.chaos.history

chaos-short: $(VENV)/installed-test ## the same in minutes: each kind of fault once, three of the deliberate faults in a copy of the code
	@$(BIN)/python -m pytest -m slow tests/chaos

check: format lint types test ## everything: format, lint, types, tests

format: $(VENV)/installed-test ## rewrite the code in ruff's format
	@$(BIN)/ruff format .

lint: $(VENV)/installed-test ## ruff's format and rules, nothing rewritten
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/installed-test ## mypy, strict, for app, worker and ml.contract
	@$(BIN)/mypy

audit: ## known faults of the exact versions in constraints.txt; does not pass where the advisories can't be reached
	@$(PYTHON) .ci/audit

words: $(VENV)/installed ## collect every message of code and templates into app/locale, to be translated there
	@$(BIN)/python -m app.catalogues

screenshots: $(VENV)/installed-test ## pictures of every page in both languages, both themes, two widths, from real runs, into screenshots/
	@$(BIN)/python -m tests.pages.screenshots

migrate: $(VENV)/installed ## bring the database of the current settings to this version
	@$(BIN)/pairboard migrate

clean: ## remove the virtual environment and caches, never the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist *.egg-info
