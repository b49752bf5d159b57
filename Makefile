.DEFAULT_GOAL := help
GO ?= go

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## build bin/pipe
	$(GO) build -o bin/pipe ./cmd/pipe

cluster: ## build bin/pipe-cluster, the local Kubernetes (minutes the first time)
	cd cmd/pipe-cluster && $(GO) build -o ../../bin/pipe-cluster .

.PHONY: help build cluster
