# Every target sets up what it needs: a virtual environment in .venv with the exact versions of constraints.txt.
# PROCESSES: in how many the tests run; many of them start processes of their own.
PYTHON ?= python3
PROCESSES ?= $(shell n=$$(nproc); [ $$n -lt 4 ] && echo $$n || echo 4)
BIN := .venv/bin
SOURCES := $(shell find schemas filters pipeline jobs recipes -type f -not -name '*.pyc')

help: ## this list
	@grep -hE '^[a-z./]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z./]+):.*## /\1\t/' | expand -t 20

demo: .venv/runs ## the whole way once, on a generated small web: ends with the ranking and report.html
	$(BIN)/webpairs demo --root demo

test: .venv/develops dist/webpairs.zip ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

lint: .venv/develops ## format, lint and types, checked
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

bench: .venv/runs ## ours beside a peer: make bench NAME=extract
	$(BIN)/python -m bench.$(or $(NAME),$(error say which: make bench NAME=extract))

docs: .venv/develops ## what is generated under docs/
	$(BIN)/python -m schemas.docs > docs/schemas.md
	$(BIN)/python -m filters.docs > docs/filters.md
	$(BIN)/python -m pipeline.download.docs
	$(BIN)/python -m pipeline.plan.docs

dist/webpairs.zip: .venv/runs $(SOURCES) ## the code as a zip for spark-submit --py-files
	$(BIN)/python -m jobs.package $@

dist/environment.pex: .venv/runs ## the Python packages that executors import, as one file for spark-submit --files
	$(BIN)/pip install -q -c constraints.txt -e '.[package,s3]'
	$(BIN)/python -m jobs.environment $@

clean: ## remove what the targets made
	rm -rf .venv dist demo build

# torch first and alone: pip then keeps the build it finds for this machine instead of replacing it.
.venv/runs: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt --upgrade pip
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[java,cpu]'
	touch $@

.venv/develops: .venv/runs
	$(BIN)/pip install -q -c constraints.txt -e '.[java,cpu,img2dataset,open_clip,tensorboard,s3,package,notebook,test,lint]'
	$(BIN)/pip install -q -c constraints.txt --no-deps clip-benchmark # its metrics only, without its dozen dependencies
	touch $@

.PHONY: help demo test lint bench docs clean
