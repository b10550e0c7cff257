# Set-up, demo and checks. `make demo` is the place to begin: it needs Python 3.11 or newer as
# `python3` (or PYTHON=...), installs into .venv and downloads about 0.5 GB of models, once.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install models demo examples environments llama test suites soak fuzz audit check gpu bench clean

help: ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## /  \1: /p' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
		--constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

install: $(INSTALLED) ## Install the project and its tools into .venv.

models: $(INSTALLED) ## Prepare the demo models in the cache.
	$(BIN)/python -m adafuse.demo

demo: models ## Answer three questions from documents, with two models writing together.
	$(BIN)/python examples/rag_chain.py

examples: models ## Run the other examples: agents, extraction, conversations, a server, a cluster.
	$(BIN)/python examples/agent.py
	$(BIN)/python examples/extraction.py
	$(BIN)/python examples/terminal.py < /dev/null
	$(BIN)/python examples/llama_index_query.py
	$(BIN)/python examples/llama_index_chat.py
	$(BIN)/python examples/llama_index_agent.py
	$(BIN)/python examples/compare.py
	$(BIN)/python examples/serve_client.py
	$(BIN)/python examples/ray_cluster.py

# Not part of `test`: it installs torch twice.
environments: ## Try each framework in a clean environment without the other.
	./tests/clean_environments.sh $(PYTHON)

# A wheel of it is rare, so it is built, in some minutes; without a compiler its tests are left out.
llama: $(INSTALLED) ## Install llama.cpp, if there is a C++ compiler.
	@$(BIN)/python -c 'import llama_cpp' 2> /dev/null || ! command -v c++ > /dev/null \
		|| $(BIN)/python -m pip install --disable-pip-version-check --quiet \
			--constraint constraints.txt --editable '.[llama-cpp]' \
		|| echo "llama.cpp cannot be built here; its tests are left out" >&2

# torchao, for members that it quantises, is for the tests alone: it says a lot when it is imported.
test: llama models ## Run the tests, real models included.
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt \
		torchao || echo "torchao cannot be installed here; its tests are left out" >&2
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not long"

suites: models ## Run the standard suites of LangChain and LlamaIndex on the real models: an hour.
	$(BIN)/python -m pytest --numprocesses 2 -m long -rxX

soak: $(INSTALLED) ## 2,000 mixed calls from 8 callers over 20 minutes, on tiny members.
	$(BIN)/python -m pytest -m long tests/system/test_soak.py -rxX

fuzz: $(INSTALLED) ## 20,000 prompts, messages, tools, stop lists and settings, new ones each time.
	ADAFUSE_FUZZ=20000 $(BIN)/python -m pytest --numprocesses 2 -k fuzz

audit: $(INSTALLED) ## Look for known vulnerabilities in the pinned dependencies.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet 'pip-audit>=2.10,<3'
	$(BIN)/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip

check: $(INSTALLED) ## Lint, formatting, types and import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

gpu: models ## Run the tests that need an accelerator; what is skipped is named.
	$(BIN)/python -m pytest -m gpu -rs

# `make bench SAVE=--save` makes the run the one that later ones are compared with.
bench: models ## Measure speed: a table, a plot, and how it compares. Under 20 minutes on two cores.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
		--constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks speed $(SAVE)

clean: ## Remove what the targets above made, but not the prepared models.
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
