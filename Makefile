# Every target makes its own .venv from a plain python3 and installs what it needs: nothing has to be there beforehand.
#   make test ARGS="-k wire -x"      hands arguments on
#   make test-docker BACKEND=trio    runs the specification tests on trio
#   make test PYTHON=python3.13      takes another Python (3.11 or later); `make clean` first if .venv is there already

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BACKEND ?= asyncio

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
SOURCES := wiredrv spec_tests tests benchmarks demo docs tools conftest.py

# Bytecode is kept, that of the tests' assertions too: otherwise every process compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo unit test browser specs spec-tests conformance differential fuzz streams test-docker lint format bench docs clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##/\1:/p' $(MAKEFILE_LIST) | awk -F': *' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.test  ## sessions and transactions on a real replica set, on asyncio and then on trio
	@$(BIN)/python -m demo --backend asyncio $(ARGS)
	@$(BIN)/python -m demo --backend trio $(ARGS)

# Three more processes than there are cores: many of these tests wait for a moment.
unit: WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 3)")
unit: $(VENV)/.test  ## the tests that need no server, in random order on all cores (less than a minute on two)
	@WIREDRV_FUZZ_CASES=$${WIREDRV_FUZZ_CASES:-200} $(BIN)/python -m pytest -m unit -n $(WORKERS) --dist worksteal --random-order $(ARGS)

# A process for each core, but not more than four: each of them starts servers.
test: WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(os.cpu_count() or 1, 4))")
test: $(VENV)/.test  ## all tests, with the real servers that they start themselves (WORKERS=0: in one process)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

browser: $(VENV)/.test  ## install a Chromium for the tests of HTML pages, if there is none (as root or with sudo)
	@$(BIN)/python -m tests.support.browser --install

# The state of the specifications that the tests were written against, and where it is fetched from: any git URL or clone.
SPECS_COMMIT := 92b3c0b9287bfba1b0ec4084300858d05c654f8c
SPECS_URL ?= https://github.com/mongodb/specifications
SPECS := .specifications

specs:  ## fetch MongoDB's specifications into .specifications, where the tests look for them (SPECS_URL=another source)
	@git init --quiet $(SPECS)
	@git --git-dir=$(SPECS)/.git cat-file -e $(SPECS_COMMIT) 2> /dev/null \
	|| git --git-dir=$(SPECS)/.git fetch --quiet --depth 1 '$(SPECS_URL)' $(SPECS_COMMIT) \
	|| { echo "The specifications cannot be fetched from $(SPECS_URL): name another source that has their commit $(SPECS_COMMIT) with make specs SPECS_URL=..." >&2; exit 1; }
	@git -C $(SPECS) -c advice.detachedHead=false checkout --quiet --force $(SPECS_COMMIT)
	@echo "The specifications are in $(SPECS), at commit $(SPECS_COMMIT). \"make spec-tests\" and \"make test\" find them there."

spec-tests: $(VENV)/.test  ## MongoDB's specification tests against a replica set that they start (BACKEND=trio)
	@$(SPEC_TESTS) $(ARGS)

conformance: $(VENV)/.test  ## the specification tests on every deployment; renews docs/conformance.md (ARGS="trio pymongo": only these)
	@$(BIN)/python -m spec_tests.renew $(ARGS)

differential: $(VENV)/.test  ## 20,000 generated scenarios on wiredrv and PyMongo Async, beside each other
	@$(BIN)/python -m tests.differential $(ARGS)

fuzz: $(VENV)/.test  ## 100,000 damaged replies and handshakes through the public API; --seed N --case K replays one
	@$(BIN)/python -m tests.fuzz $(ARGS)

streams: $(VENV)/.test  ## 10,000 events of change streams, compared with the oplog while the primary is killed and frozen
	@WIREDRV_STREAM_EVENTS=$${WIREDRV_STREAM_EVENTS:-10000} $(BIN)/python -m pytest -s tests/integration/test_change_streams_under_fire.py $(ARGS)

REPLICA_SET := mongodb://127.0.0.1:27117,127.0.0.1:27118,127.0.0.1:27119/?replicaSet=rs0
SHARDED := mongodb://127.0.0.1:27217,127.0.0.1:27218/
BALANCED_1 := mongodb://127.0.0.1:27417/?loadBalanced=true
BALANCED_2 := mongodb://127.0.0.1:27418/?loadBalanced=true

SPEC_TESTS := $(BIN)/python -m spec_tests --backend $(BACKEND)

test-docker: $(VENV)/.test  ## the specification tests against the servers of docker-compose.yml (MONGO_IMAGE=mongo:8.0)
	@docker compose up --detach --wait || { docker compose logs --tail 40; docker compose down --volumes; exit 1; }
	@status=0; \
	$(SPEC_TESTS) --uri '$(REPLICA_SET)' $(ARGS) || status=1; \
	$(SPEC_TESTS) --uri '$(SHARDED)' $(ARGS) || status=1; \
	SINGLE_MONGOS_LB_URI='$(BALANCED_1)' MULTI_MONGOS_LB_URI='$(BALANCED_2)' \
	$(SPEC_TESTS) --uri '$(BALANCED_1)' --suite load-balancers || status=1; \
	docker compose down --volumes; \
	exit $$status

lint: $(VENV)/.lint  ## ruff (rules and format), mypy --strict, and pyright on what users see of the types
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy --strict
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.lint  ## let ruff put the code into its format
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.bench  ## wiredrv beside the other drivers (DRIVERBENCH="--check" goes to MongoDB's driver benchmark)
	@$(BIN)/python -m benchmarks $(ARGS)
	@$(BIN)/python -m benchmarks.driverbench $(DRIVERBENCH)

docs: $(VENV)/.docs  ## build the documentation and the reference into site/; warnings are errors
	@$(BIN)/python -m docs.generate --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site $(ARGS)
	@$(BIN)/python -m docs.offline site

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(SPECS) .conformance site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("wiredrv needs Python 3.11 or later, and $(PYTHON) is %d.%d: name another one with make PYTHON=..." % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "installing wiredrv with its test tools and a server into $(VENV) ..." >&2
	@$(PIP_INSTALL) --editable '.[local,cli,test,ecosystem]'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@$(PIP_INSTALL) --editable '.[lint]'
	@touch $@

$(VENV)/.bench: pyproject.toml | $(BIN)/python
	@$(PIP_INSTALL) --editable '.[local,bench]'
	@touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	@$(PIP_INSTALL) --editable '.[docs]'
	@touch $@
