#!/usr/bin/env bash
# Measures pipe against others on this machine, in one run: what counts is the ratios. The raw output goes to bench/,
# as all-COMMIT.txt (see bench/README.md); commit it together with the change that it justifies.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bench
out=bench/all-$(git rev-parse --short HEAD).txt

{
	echo "# $(go version), $(nproc) cores, $(git describe --tags --always --dirty)"
	echo "# evaluating 10 000 services, beside bare Starlark running the same loops"
	go test ./interp -run '^$' -bench . -benchtime 3s -count 3
	echo "# scheduling 100 000 tasks"
	go test ./runtime/internal/sched -run '^$' -bench . -benchtime 3x -count 3
	echo "# looking for 500 images in the embedded registry, for which the bar is 2 s"
	go test ./runtime/registry -run '^$' -bench LookForManyImages -benchtime 5x -count 3
	echo "# copying images whose layers are in the registry, beside crane copy, for which the bar is 1.1"
	go test ./runtime/registry -run '^$' -bench MirrorLayersThere -benchtime 100x
	echo "# 7 different builds in parallel, beside buildctl with the same BuildKit, for which the bar is 1.05"
	export BUILDCTL="$PWD/bin/buildctl"
	PIPE_TEST_REQUIRE=buildkit go test ./runtime/build -run '^$' -bench Parallel -benchtime 5x -timeout 30m
	echo "# the same 20 builds started by 4 processes, beside one, for which the bar is 1.1"
	PIPE_TEST_REQUIRE=buildkit go test ./runtime/build -run '^$' -bench SameBuilds -benchtime 5x -timeout 30m
	echo "# builds that wait for the network of their builder, on two beside one, for which the bar is 0.6"
	PIPE_TEST_REQUIRE=buildkit go test ./runtime/build -run '^$' -bench TwoBuilders -benchtime 5x -timeout 30m
	echo "# running 100 unchanged services that are built from 50 000 files, for which the bar is 1 s"
	PIPE_TEST_REQUIRE=cluster,buildkit go test ./cmd/pipe -run '^$' -bench Built -benchtime 10x -timeout 30m
	echo "# deploying 50 releases, beside helm upgrade --install --wait seven at a time"
	PIPE_TEST_REQUIRE=cluster go test ./runtime/deploy -run '^$' -bench . -benchtime 1x -count 3 -timeout 30m
	echo "# whole commands, on an environment of 500 unchanged services"
	PIPE_TEST_REQUIRE=cluster go test ./cmd/pipe -run '^$' -bench 'Commands|Watch' -benchtime 10x -timeout 30m
} | tee "$out"
echo "written to $out" >&2
