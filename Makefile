# Everything one does with this repository; `make` alone lists it.
#
#   STORE=file|minio   which store run and demo use (default file)
#   PORT=7071          where run listens

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STORE   ?= file
PORT    ?= 7071
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The last commit of upstream MinIO: there are no newer releases (ADR 0011).
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c

# What also runs under the race detector; -short keeps it to a few minutes. Not the packages
# without goroutines (core, kv, history, the models). host/internal/e2e stays: its hosts are built
# with the detector too, and it is where all parts meet.
RACE      ?= $(addprefix ./taskhub/,. checkpoint commitlog lease/... ownership partition placement routing sched storage/... transport verdict) \
             ./plugins/... ./host/... ./bindings/... ./trigger/...
TESTFLAGS ?=

# Tests do not skip what make has installed. The DynamoDB stand-in needs Node; where
# there is none its tests say that they are skipped.
REQUIRE := DURAFUNC_REQUIRE_MINIO=1
ifneq ($(shell command -v npm),)
  DYNALITE := bin/dynalite
  REQUIRE  += DURAFUNC_REQUIRE_DYNALITE=1
endif

# The version comes from VERSION; asking git again fails in a clone of another owner.
BUILD   := go build -trimpath -buildvcs=false
SAMPLES := $(dir $(wildcard samples/*/main.go))

# Not in ./..., since the go tool passes over directories that begin with a dot.
CIPKGS := ./.ci/docs ./.ci/imports ./.ci/minio

ifeq ($(STORE),minio)
  # Starts MinIO unless one answers, creates the bucket, and runs what follows
  # with the environment that points a host at it.
  WITH_STORE   := bin/with-minio --
  STORE_NEEDS  := bin/minio with-minio
else ifneq ($(STORE),file)
  $(error STORE=$(STORE): must be file or minio)
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  STORE=minio makes run and demo use MinIO instead of files."

.PHONY: build
build: ## build the host: bin/durafunc
	@mkdir -p bin
	CGO_ENABLED=0 $(BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/durafunc ./cmd/durafunc

.PHONY: samples
samples: ## build the sample function apps: bin/samples/<name>
	@mkdir -p bin/samples
	CGO_ENABLED=0 $(BUILD) -ldflags '-s -w' -o bin/samples/ $(addprefix ./,$(SAMPLES))

.PHONY: deploy
deploy: samples ## copy samples/provisioning into functions/
	@mkdir -p functions
	@cmp -s bin/samples/provisioning functions/provisioning || install -m 755 bin/samples/provisioning functions/provisioning

.PHONY: run
run: build deploy $(STORE_NEEDS) ## run the host with samples/provisioning on 127.0.0.1:7071
	@exec $(WITH_STORE) bin/durafunc start --root . --address 127.0.0.1 --port $(PORT)

.PHONY: demo
demo: build deploy $(STORE_NEEDS) ## provision five devices from start to finish, and show it
	@$(BUILD) -o bin/demo ./samples/provisioning/demo
	@exec $(WITH_STORE) bin/demo --host-binary bin/durafunc --root .

# The deliberate bugs are there with this tag alone: an ordinary build has none of them.
SELFTEST := go test -timeout 20m -tags planted -run PlantedBug ./taskhub ./taskhub/internal/model ./taskhub/internal/planted

.PHONY: test
test: build samples bin/minio $(DYNALITE) ## every test, on files and on a real MinIO
	$(REQUIRE) go test -timeout 20m $(TESTFLAGS) ./... $(CIPKGS)
	$(SELFTEST) $(TESTFLAGS)
	$(REQUIRE) go test -timeout 20m -race -short $(TESTFLAGS) $(RACE)

.PHONY: check
check: ## format, vet, module file, picture of imports, lint with the import rules
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "not gofmt-clean:"; echo "$$out"; exit 1; }
	go vet ./... $(CIPKGS)
	go vet -tags planted ./taskhub ./taskhub/internal/...
	go mod tidy -diff
	@go run ./.ci/imports | diff -u docs/imports.md - || { echo "docs/imports.md is out of date: run make imports"; exit 1; }
	$(MAKE) --no-print-directory lint

.PHONY: lint
lint: bin/golangci-lint ## golangci-lint with the import rules alone
	bin/golangci-lint run ./... $(CIPKGS)
	bin/golangci-lint run --build-tags planted ./taskhub ./taskhub/internal/...

# Flags for durafunc-bench, as BENCHARGS="--workloads w1c --repetitions 5": those that are
# given here take the place of the ones below.
BENCHARGS  ?=
comma      := ,
unlessgiven = $(if $(findstring $(firstword $(1)),$(BENCHARGS)),,$(1))
ifdef QUICK
  BENCHFLAGS := --quick --repetitions 1 --quiet 1s
else
  BENCHFLAGS := $(call unlessgiven,--workloads w$(comma)flat)
endif
BENCHFLAGS += $(call unlessgiven,--store file$(comma)minio)

.PHONY: bench
bench: bin/minio ## the peers' workloads on files and on MinIO; QUICK=1: under 90 s
	CGO_ENABLED=0 $(BUILD) -o bin/durafunc-bench ./cmd/durafunc-bench
	CGO_ENABLED=0 $(BUILD) -ldflags '-s -w' -o bin/bench-app ./cmd/durafunc-bench/app
	@exec bin/durafunc-bench --dir .durafunc/bench --json bin/bench.jsonl $(BENCHFLAGS) $(BENCHARGS)

.PHONY: microbench
microbench: ## Go benchmarks of every package
	go test -run '^$$' -bench . -benchmem -timeout 30m ./...

# Extra flags for the chaos run, as CHAOSARGS="--seed 7 --clients 8 --keep".
DURATION  ?= 10m
CHAOSARGS ?=

.PHONY: chaos
chaos: build bin/minio ## three hosts under kills, freezes and store faults, then an audit; DURATION=2m: shorter
	CGO_ENABLED=0 $(BUILD) -o bin/chaos ./host/internal/chaos
	CGO_ENABLED=0 $(BUILD) -ldflags '-s -w' -o bin/chaos-app ./host/internal/chaos/testdata/app
	@exec bin/chaos --duration $(DURATION) --json bin/chaos.json $(CHAOSARGS)

# Seeds of a soak, from FIRST on. A failing seed prints itself and how to replay it.
SEEDS ?= 20000
FIRST ?= 10001

.PHONY: soak
soak: ## the simulation with SEEDS=20000 seeds from FIRST=10001 on: an hour or so
	go test ./taskhub -count 1 -timeout 24h -v -run 'TestSimulation$$' -sim.seeds $(SEEDS) -sim.first $(FIRST)

.PHONY: simulation-selftest
simulation-selftest: ## plant each deliberate bug, and print which seed found it
	$(SELFTEST) -count 1 -v | grep --line-buffered -E 'found by seed|^(---|ok|FAIL|panic)|did not find'

.PHONY: crash-long
crash-long: build samples bin/minio ## the crash tests in their long form
	DURAFUNC_REQUIRE_MINIO=1 DURAFUNC_CHAOS=long go test -count 1 -timeout 60m -v -run 'Chaos|Crash' ./...

.PHONY: minio
minio: bin/minio with-minio ## run MinIO with a bucket on 127.0.0.1:9000
	@exec bin/with-minio

.PHONY: minio-bin
minio-bin: bin/minio ## build MinIO once: bin/minio

bin/minio:
	@mkdir -p bin
	@echo "building MinIO once, which takes some minutes"
	GOBIN=$(CURDIR)/bin CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' github.com/minio/minio@$(MINIO_VERSION)

bin/dynalite:
	npm install --silent --no-fund --no-audit --no-save --prefix bin/dynalite dynalite@4.0.0

.PHONY: with-minio
with-minio:
	@mkdir -p bin
	@$(BUILD) -o bin/with-minio ./.ci/minio

bin/golangci-lint: .ci/tools/go.mod .ci/tools/go.sum
	@mkdir -p bin
	@echo "building golangci-lint once, which takes some minutes"
	cd .ci/tools && $(BUILD) -ldflags '-s -w' -o ../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: generate
generate: ## regenerate *.pb.go from *.proto, with pinned tools in bin/tools
	GOBIN=$(CURDIR)/bin/tools go install github.com/bufbuild/buf/cmd/buf@v1.75.0
	GOBIN=$(CURDIR)/bin/tools go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
	GOBIN=$(CURDIR)/bin/tools go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
	GOBIN=$(CURDIR)/bin/tools go install github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto@v0.6.1-0.20240319094008-0393e58bdf10
	PATH=$(CURDIR)/bin/tools:$$PATH buf generate --template .ci/buf.gen.yaml

.PHONY: imports
imports: ## draw docs/imports.md, the picture of who imports whom
	@drawn=$$(go run ./.ci/imports) && printf '%s\n' "$$drawn" > docs/imports.md

.PHONY: clean
clean: ## remove what was built; state in .durafunc/ and cached tools stay
	rm -rf bin/durafunc bin/demo bin/with-minio bin/samples functions/provisioning
