# The front door. `make` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help demo lab test check bench docs lock clean
BIN := .venv/bin
READY := .venv/.ready

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt pyproject.toml scripts/setup
	@scripts/setup && touch $@

demo: $(READY) ## A pod reads its secret with the stock SDK; every hop is shown
	@$(BIN)/podpass demo

lab: $(READY) ## Start a lab and say how to use it
	@$(BIN)/podpass lab up

test: $(READY) ## Run the tests
	@$(BIN)/pytest -q -n auto --dist worksteal

check: $(READY) ## Lint, types, rings, format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(READY) ## Print the budgets' figures as ratios
	@$(BIN)/python -m bench

docs: $(READY) ## Write the generated reference pages
	@$(BIN)/python -m docs.generate

lock: ## Pin the development requirements again, with hashes and without addresses (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header --group dev --extra lab --extra demo pyproject.toml -o requirements/dev.txt

clean: ## Remove what the targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
