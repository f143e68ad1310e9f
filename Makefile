# Everything that one does with this repository. `make help` lists it.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help setup tools check test test-all nightly unit contract simulation scenario system ci demo up down prune generate verify build velero-plugin bench clean soak crash-tests chaos mutants

# The stamp carries the lock file's hash, so that `make setup` is quick when nothing changed.
installed := node_modules/.installed-$(firstword $(shell sha256sum package-lock.json))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(installed) ## Install the npm packages (Node 24 is one of them)
$(installed):
	npm ls --all >/dev/null 2>&1 || npm ci --ignore-scripts
	touch $@

tools: ## Build the real servers that tests use: kube-apiserver, etcd, … (Go 1.26 or newer; kept in ~/.cache/dormouse)
	test/tools/build.sh

check: setup ## Format, lint, import fences, types, unused exports, and the unit tests that cost little: half a minute
	node test/run-all.ts checks quick

test: setup tools build ## What a change is judged by: unit, contract, simulation, system
	node test/run-all.ts unit contract simulation system

test-all: setup tools build ## make test, and what takes longer: crash tests, slow servers, load, deaths around Velero, arm64
	node test/run-all.ts unit contract simulation system nightly

nightly: setup tools build ## Only what make test-all has beyond make test
	node test/run-all.ts nightly

unit: setup ## Decisions, formats, manifests: no server
	node test/run-all.ts unit

contract: setup tools ## Each port over its memory and its real adapter
	node test/run-all.ts contract

simulation: setup ## All functions in one process, under fault plans
	node test/run-all.ts simulation

scenario: simulation # the name of earlier versions

soak: setup ## Many simulation runs by seed on all cores: make soak SEEDS=200
	node test/simulation/soak.ts $(or $(SEEDS),200) $(or $(FIRST),1)

mutants: setup ## Break the code on purpose, patch by patch: the tests must notice; writes docs/mutants.md
	node test/mutants/run.ts

system: setup tools build ## Real API server, real event sources, bundled functions
	node test/run-all.ts system

crash-tests: setup tools build ## Kill every process at every write, for an hour: ONLY=<pattern> runs some, SEED=<n> moves the moments
	node test/crash/run.ts

chaos: crash-tests # the name of earlier versions

ci: ## check and test in one go, from a clean checkout
	.ci/run

demo: setup tools build ## A backup, a loss and a restore, on this machine
	node test/environment/demo.ts

up: setup tools build ## Start the environment and leave it running
	node test/environment/cli.ts up

down: setup ## Stop the environment
	node test/environment/cli.ts down

prune: setup build ## Give back the space of deleted backups: make prune ARGS='--repository br-… [--dry-run]'
	node build/bundles/dormouse.mjs prune $(ARGS)

generate: setup ## Write shared/api/generated from config/crd, and the tables of rights in security.md from config/rbac
	node hack/generate.ts
	node hack/rights-table.ts

verify: setup ## Fail when something is not what `make generate` writes
	node hack/generate.ts --check
	node hack/rights-table.ts --check

build: setup ## Bundle each function and the command line into build/bundles, and Velero's plugin into build/velero
	node hack/build.ts
	node hack/velero-plugin.ts

velero-plugin: setup ## Velero's plugin for amd64 and arm64, as velero/Containerfile takes it
	node hack/velero-plugin.ts amd64 arm64

bench: setup build ## Measure: cold starts of the functions
	node test/bench/cold-start.ts

clean: ## Remove what was built in this folder
	rm -rf build
