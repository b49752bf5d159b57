#!/usr/bin/env bash
# Fails if a go.mod or go.sum is not what "go mod tidy" would write.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files 'go.mod' '*/go.mod' | while read -r mod; do
	dir=$(dirname "$mod")
	if ! (cd "$dir" && go mod tidy -diff); then
		echo "$mod is not tidy: run 'go mod tidy' in $dir" >&2
		exit 1
	fi
done
