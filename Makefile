# `make help` lists the targets. Everything happens in .venv and target/.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-llm lint format bench wheel clean tools

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

tools:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is missing. Install it: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11. Name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: the venv module is missing. Install it: apt-get install python3-venv"; exit 1; }
	@command -v cargo >/dev/null || { echo "error: cargo is missing. Install Rust from https://rustup.rs, or: apt-get install cargo (1.85 or newer)"; exit 1; }
	@cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || echo "note: clippy or rustfmt is missing; make test needs them: rustup component add clippy rustfmt, or apt-get install rust-clippy rustfmt"
	@command -v cc >/dev/null || { echo "error: a C compiler is missing (the Rust linker needs it). Install it: apt-get install gcc"; exit 1; }

# Dependencies and the built package; made again when a source of the extension or the project file changes.
$(READY): pyproject.toml Cargo.toml $(shell find rust -name '*.rs' -o -name Cargo.toml 2>/dev/null) | tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing dtlns and what it needs into $(VENV) (PyTorch is large) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@for pause in 20 60 0; do \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]' && exit 0; \
	  [ $$pause = 0 ] || { echo "that failed; in $$pause s once more, in case it was the network"; sleep $$pause; }; \
	done; exit 1
	@touch $@

demo: $(READY) ## run the whole pipeline on MovieLens and print a comparison table
	@$(BIN)/dtlns run examples/movielens.toml

test: lint $(READY) ## run every check: formatting, lints, types, Rust tests, Python tests
	cargo test --workspace --quiet
	$(BIN)/python -m pytest -q

test-llm: tools ## run the tests of real language models in .venv-llm; downloads gigabytes
	@PYTHON=$(PYTHON) sh tests/llm/setup.sh '$(CURDIR)/.venv-llm'

lint: $(READY)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## format Rust and Python sources
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## run the benchmarks
	cargo bench --workspace
	$(BIN)/python -m pytest -q benches/python

wheel: $(READY) ## build an abi3 wheel and an sdist into dist/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --outdir dist

clean: ## remove the environment and everything built
	rm -rf $(VENV) .venv-llm target dist
