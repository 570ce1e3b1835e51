PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := operator worker protos demo benchmarks tests

.DEFAULT_GOAL := help
.PHONY: help
help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-22s %s\n", $$1, $$2}'
