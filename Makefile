# The front door. `make` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help demo lab extension test test-az record-az check bench docs lock clean
BIN := .venv/bin
READY := .venv/.ready
EXTENSION := dist/podpass_aks_pod_identity-0.1.0-py3-none-any.whl
# Many tests wait for the processes that they start: with one worker a core, half of the machine would rest.
WORKERS := $$((2 * $$(getconf _NPROCESSORS_ONLN)))
PIN := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt pyproject.toml scripts/setup
	@scripts/setup && touch $@

demo: $(READY) ## A pod reads its secret with the stock SDK; every hop is shown
	@$(BIN)/podpass demo

lab: $(READY) ## Start a lab and say how to use it
	@$(BIN)/podpass lab up

extension: $(EXTENSION) ## Build the Azure CLI's extension for pod identity

# In one step, because somebody may be installing what is there.
$(EXTENSION): $(READY) $(shell find extensions/az -name '*.py' -o -name '*.toml' -o -name '*.json' -o -name '*.md')
	@mkdir -p dist && place=$$(mktemp -d dist/.extension.XXXXXX) && trap 'rm -r "$$place"' EXIT && \
	  (cd extensions/az && ../../$(BIN)/python -m hatchling build -t wheel -d "../../$$place" >/dev/null) && \
	  mv "$$place"/*.whl $@ && echo "built $@; add it with: az extension add --yes --source $@"

test: $(READY) ## Run the tests
	@$(BIN)/pytest -q -n $(WORKERS) --dist worksteal

test-az: $(READY) ## Run the tests that need the stock Azure CLI; gets it first
	@scripts/az && $(BIN)/pytest -q -n $(WORKERS) --dist worksteal -m az tests/az tests/walkthroughs tests/meta

record-az: $(READY) ## Take down anew what the stock Azure CLI sends, for the tests that replay it
	@scripts/az && PODPASS_RECORD=1 $(BIN)/pytest -q tests/az/test_az_recorded.py

check: $(READY) ## Lint, types, rings, format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(READY) ## Print the budgets' figures as ratios
	@$(BIN)/python -m bench

docs: $(READY) ## Write the generated reference pages
	@$(BIN)/python -m docs.generate

lock: ## Pin the requirements again, with hashes and without addresses (needs uv)
	$(PIN) --group dev --extra lab --extra demo pyproject.toml -o requirements/dev.txt
	$(PIN) --group az -o requirements/az.txt

clean: ## Remove what the targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
