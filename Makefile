# One target per habit. Each makes .venv by itself the first time; nothing is fetched but packages.
PYTHON ?= python3
BIN := .venv/bin
# Containers often switch bytecode off: each of a test's processes would compile torch and MLflow anew.
export PYTHONDONTWRITEBYTECODE :=
# --system-certs: uv trusts what the machine's own pip and browser trust, a company's proxy included.
# The lock's versions and hashes are constraints, so that one lock serves every choice of extras.
INSTALL := $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python
LOCKED := $(INSTALL) --constraint requirements.lock -r pyproject.toml
# TORCH=cpu, cu130, ...: the builds of torch for that device, by uv's own switch; the lock has no hashes of these.
TORCH ?=
.DEFAULT_GOAL := help
.PHONY: help setup bench test test-long test-slow test-faults test-gpu test-browser docs speed lint types leaderboard reproduce reproduce-all everything ui suite-minutes lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: .venv/ready ## the environment, from requirements.lock; TORCH=cpu: without CUDA, a quarter of the disk

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.11'
ifneq ($(TORCH),)
	$(INSTALL) --torch-backend $(TORCH) $$(grep -oE '^(torch|torchvision)==[^ ]+' requirements.lock)
endif
	$(LOCKED) --extra dev --extra postgres
	$(INSTALL) --no-deps --editable .
	@touch $@

.venv/with-%: .venv/ready
	$(LOCKED) --extra $*
	@touch $@

bench: .venv/ready ## the main job on embedded data: a leaderboard and a picture, in minutes
	$(BIN)/rrrbench run bench

test: .venv/ready ## the fast tests, in two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-long: .venv/ready ## the tests that take seconds each: whole commands, notebooks, sites
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'long and not slow and not gpu' -rs

test-slow: .venv/with-ray ## the tests that take minutes: killed processes, a cluster, servers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'slow and not gpu' -rs

test-faults: .venv/ready ## of the slow tests a score: killed processes, lost servers, drivers that meet
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m faults -rs

test-gpu: .venv/ready ## what is marked gpu: wants a CUDA device
	$(BIN)/python -m pytest -m gpu -rs

test-browser: .venv/with-browser ## the leaderboard's pages in Chromium (Debian: apt-get install chromium)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser -rs tests/browser

docs: .venv/with-docs ## the site, in results/docs: guides, a page a method, the API; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

speed: .venv/ready ## the engine against plain loops, as a table
	$(BIN)/python -m rrrbench.benchmark.speed

lint: .venv/ready ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready ## pyrefly on the three folders
	$(BIN)/pyrefly check

leaderboard: .venv/ready ## the leaderboard's pages, in results/site, from the committed records
	$(BIN)/rrrbench report results/records/*.parquet --out results/site

reproduce: .venv/ready ## published numbers beside ours: what 2 cores can do in an hour (MNIST in RRRBENCH_DATA)
	$(BIN)/rrrbench reproduce ross2017 --max-minutes 45
	$(BIN)/rrrbench reproduce ghitu2025 --max-minutes 15

reproduce-all: .venv/ready ## every paper, whole: wants a GPU
	for paper in ross2017 ghitu2025 friedrich2023 rieger2020 heo2023; do $(BIN)/rrrbench reproduce $$paper || exit 1; done
	$(BIN)/rrrbench run reproduce/ghitu2025-tuning
	$(BIN)/rrrbench run reproduce/ghitu2025-as-meant

everything: .venv/ready ## the committed boards, records, papers and pages anew, in many hours: it can be interrupted and begun again
	$(BIN)/python -m rrrbench.benchmark.everything

ui: .venv/ready ## MLflow's own page on the local database, with a link to each suite's runs
	$(BIN)/rrrbench ui

suite-minutes: .venv/ready ## the minutes of `rrrbench list suites`, with all data in RRRBENCH_DATA
	OMP_NUM_THREADS=1 $(BIN)/python -m rrrbench.benchmark.running.minutes > minutes.csv
	mv minutes.csv benchmark/suites/minutes.csv

lock: .venv/ready ## requirements.lock anew
	$(BIN)/uv pip compile --quiet --system-certs --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 --extra browser --extra dev --extra docs --extra postgres --extra ray --extra slurm --upgrade pyproject.toml --output-file requirements.lock

clean: ## removes the environment and local results
	rm -rf .venv results/local
