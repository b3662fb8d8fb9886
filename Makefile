# Latchkey. `make up` and `make test` do all set-up on a fresh machine; every
# target is quick the second time.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo development)
BIN     := $(CURDIR)/bin

# Pinned tools, built once into bin/ under a name with their version.
GOLANGCI_VERSION      := v2.15.0
WORKFLOWCHECK_VERSION := v0.6.0
GOLANGCI      := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
WORKFLOWCHECK := $(BIN)/workflowcheck-$(WORKFLOWCHECK_VERSION)

.PHONY: help setup setup-test build up demo test lint unit e2e bench clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing on this machine (PostgreSQL)
	@deploy/setup.sh

setup-test:
	@deploy/setup.sh test

# Without -trimpath, so that tests share what has been compiled. The version is given, so
# that a build needs neither git nor a repository.
build: ## Build bin/latchkey
	@[ -x $(BIN)/latchkey ] || echo "First build: compiles the Temporal server, which takes 4 to 8 minutes on two cores. Later builds take seconds."
	@go build -buildvcs=false -ldflags "-s -w -X latchkey/internal/app.Version=$(VERSION)" -o $(BIN)/latchkey .

up: setup build ## Run everything with a demo property, and print where
	@$(BIN)/latchkey up --demo

demo: setup build ## Play the story of an invitation with a running commentary
	@$(BIN)/latchkey demo

bench: setup build ## Measure unlocks against a baseline in the same run
	@$(BIN)/latchkey bench

test: setup-test build lint unit e2e ## Pass every test
	@echo "All tests passed."

lint: $(GOLANGCI) $(WORKFLOWCHECK) ## Run the linters
	@echo "Linting: golangci-lint, then workflowcheck"
	@$(GOLANGCI) run ./...
	@$(WORKFLOWCHECK) ./workflows/...

# Packages that link the Temporal server are tested without the race detector,
# because it would compile the server a second time; the simulation, because its days
# take four minutes with it, and what it plays is raced in packages of its own.
SERVER := go.temporal.io/server/temporal
UNRACED := latchkey/internal/simulation
unit: setup-test ## Test every package; with the race detector where the Temporal server is not linked in
	@all=$$(go list ./... | grep -v /internal/e2e); plain=(); race=(); \
	for p in $$all; do \
	  needs=$$(go list -deps -test $$p); \
	  if [ $$p = $(UNRACED) ] || grep -qx $(SERVER) <<<"$$needs"; then plain+=($$p); else race+=($$p); fi; \
	done; \
	echo "Testing $${#race[@]} packages with the race detector (its first build takes minutes)"; \
	go test -race -timeout 10m "$${race[@]}"; \
	echo "Testing $${#plain[@]} packages without it"; \
	go test -timeout 10m "$${plain[@]}"

e2e: setup-test build ## Test the real program from outside, killing it on the way
	@echo "End to end: the real program, its panels and kill -9 (takes minutes)"
	@LATCHKEY_BIN=$(BIN)/latchkey go test -timeout 15m ./internal/e2e

$(GOLANGCI):
	@echo "Building golangci-lint $(GOLANGCI_VERSION), once (takes minutes)"
	@GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(BIN)/golangci-lint $@

$(WORKFLOWCHECK):
	@echo "Building workflowcheck $(WORKFLOWCHECK_VERSION), once"
	@GOBIN=$(BIN) go install go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK_VERSION)
	@mv $(BIN)/workflowcheck $@

clean: ## Remove what was built
	@rm -rf $(BIN)
