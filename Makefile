.DEFAULT_GOAL := help
GO ?= go

# Modules besides the root one, each with its own go.mod.
MODULES := $(shell git ls-files '*/go.mod' ':!tools' | xargs -r -n1 dirname)

# The servers that tests must start: one that cannot be started fails, where plain "go test" would skip.
REQUIRE := registry,buildkit,lifecycle,cluster,secrets,sigstore,sbom,real,postgres,redis,editor,ssh

# Packages that are tested at the same time: one more than processors, as tests wait for servers for much of their time.
PACKAGES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# Packages that "make test" tests with the race detector. The others need the clients of Kubernetes and BuildKit, and
# Helm, which are compiled once more for it, and their tests take twice as long: "make race" tests all of them with it.
RACE := ./builtins ./internal/... ./interp/format ./interp/lint ./interp/suite ./modules ./plan ./runtime ./runtime/internal/dockerignore \
	./runtime/internal/flight ./runtime/internal/retry ./runtime/internal/sched ./runtime/registry/... ./runtime/runtimetest ./runtime/sbom ./runtime/scan ./runtime/watch

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

LINT := $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## build bin/pipe; needs only Go and takes no server
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/pipe ./cmd/pipe

cluster: ## build bin/pipe-cluster, the local Kubernetes; minutes the first time, then kept
	@echo 'building bin/pipe-cluster: the first build of Kubernetes takes five to ten minutes, later ones seconds'
	cd cmd/pipe-cluster && $(GO) build -ldflags '-s -w' -o ../../bin/pipe-cluster .

secrets: ## build bin/pipe-secrets, the clients of managers of secrets; minutes the first time, then kept
	cd cmd/pipe-secrets && $(GO) build -ldflags '-s -w' -o ../../bin/pipe-secrets .

sigstore: ## build bin/pipe-sigstore, which signs images without keys, and an instance of Sigstore for tests; a minute the first time, then kept
	cd cmd/pipe-sigstore && $(GO) build -ldflags '-s -w' -o ../../bin/pipe-sigstore . && $(GO) build -ldflags '-s -w' -o ../../bin/sigstore-trial ./trial

sbom: ## build bin/pipe-sbom-linux-ARCH for this architecture, which builders make the SBOMs of images with
	cd cmd/pipe-sbom && CGO_ENABLED=0 GOOS=linux $(GO) build -ldflags '-s -w' -o ../../bin/pipe-sbom-linux-$$($(GO) env GOARCH) .

buildkit: ## build bin/buildkitd and bin/buildctl, which tests run in a cluster and benchmarks measure against; minutes the first time, then kept
	CGO_ENABLED=0 $(GO) build -C tools/buildkit -ldflags '-s -w' -o $(CURDIR)/bin/ github.com/moby/buildkit/cmd/buildkitd github.com/moby/buildkit/cmd/buildctl

lifecycle: ## build bin/lifecycle and bin/launcher of Cloud Native Buildpacks, which tests of buildpack() put into a builder; a minute or two the first time, then kept
	CGO_ENABLED=0 $(GO) build -C tools/lifecycle -ldflags '-s -w' -o $(CURDIR)/bin/ github.com/buildpacks/lifecycle/cmd/lifecycle github.com/buildpacks/lifecycle/cmd/launcher

deps: ## install what builds and local nodes need from the system's packages
	./scripts/deps.sh

demo: deps build cluster ## run examples/shop on the local stack: ends with a page served by real pods
	./scripts/demo.sh

demo-stop: ## end what make demo started
	./scripts/demo-stop.sh

test: deps build cluster secrets sigstore sbom buildkit lifecycle lint ## everything that must hold: format, lint, tests, some with the race detector, tidy modules
	./scripts/deps.sh nvim:neovim ssh:openssh-client node:nodejs npm:npm setcap:libcap2-bin
	./scripts/tidy.sh
	cd examples/vscode && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error && npm test
	PIPE_TEST_REQUIRE=$(REQUIRE) $(GO) test -vet=off -shuffle=on -p $(PACKAGES) -timeout 60m $$($(GO) list ./... | grep -vxF "$$($(GO) list $(RACE))")
	PIPE_TEST_REQUIRE=$(REQUIRE) $(GO) test -vet=off -race -shuffle=on -p $(PACKAGES) -timeout 60m $(RACE)
	$(GO) build -C examples/images -o $(CURDIR)/bin/images .
	PIPE_TEST_REQUIRE=$(REQUIRE) bin/images try sh -ec 'for m in $(MODULES); do \
		echo "cd $$m && $(GO) test ./..."; (cd $$m && $(GO) test -vet=off -timeout 60m ./...); done'

race: deps build cluster secrets sigstore sbom buildkit lifecycle ## the tests of all packages with the race detector; takes more than an hour
	PIPE_TEST_REQUIRE=$(REQUIRE) $(GO) test -race -shuffle=on -p $(PACKAGES) -timeout 120m ./...

lint: ## format and linters, for this system and for those that pipe also compiles for
	@$(LINT) run ./...
	@set -e; for m in $(MODULES); do echo "lint $$m"; (cd $$m && $(LINT) run --config $(CURDIR)/.golangci.yml ./...); done
	$(GO) build -C tools -o $(CURDIR)/bin/typecheck ./typecheck
	GOOS=darwin GOARCH=arm64 bin/typecheck ./cmd/pipe
	GOOS=windows GOARCH=amd64 bin/typecheck ./cmd/pipe

extension: ## test and pack the VS Code extension with what it needs: examples/vscode/pipelinefile.vsix; needs npm
	cd examples/vscode && npm ci --no-audit --no-fund && npm test && npm run package

kills: deps cluster ## kill 200 processes at writes to the cluster and at any time, 40 at those of two environments of one namespace, 50 at requests to the registry, others while they take over releases or copy images of charts, and 50 of one of two hosts that build the same image: nothing may be lost
	PIPE_TEST_REQUIRE=cluster,registry,buildkit $(GO) test ./runtime/deploy -run '^Test(Registry|Twin|Adopt|Mirroring)?Kills$$' -v -timeout 30m -kills 200
	PIPE_TEST_REQUIRE=buildkit $(GO) test ./runtime/build -run '^TestHostKills$$' -v -timeout 30m -kills 50

large: ## build a context of a million files, and copy an image with a layer of 20 GiB; takes some minutes, and 25 GB of disk
	PIPE_TEST_REQUIRE=buildkit $(GO) test ./runtime/build -run '^TestBuildManyFiles$$' -v -timeout 60m -files 1000000
	$(GO) test ./runtime/registry -run '^TestLargeLayerWhole$$' -v -timeout 60m -layer 21474836480

cgroups: ## check the limits of builds with cgroups of version 2, in User Mode Linux; installs it, and takes some minutes
	./scripts/cgroups.sh

bench: deps build cluster buildkit ## measure against others on this machine; prints ratios
	./scripts/bench.sh

generate: ## rewrite what is made from the code: the reference, the stubs, the commands' pages
	$(GO) test ./builtins ./stdlib ./interp/lint ./runtime/chart ./cmd/pipe -run Generate -update

fuzz: ## fuzz for a minute each
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z]*' $$p/*_test.go | sed 's/func //'); do \
			$(GO) test $$p -run '^$$' -fuzz "^$$f$$" -fuzztime 1m || exit 1; done; done

clean: ## remove what was built here; state under $$PIPE_HOME stays
	rm -rf bin dist

.PHONY: help build cluster secrets sigstore sbom buildkit lifecycle deps demo demo-stop test race lint extension kills large cgroups bench generate fuzz clean
