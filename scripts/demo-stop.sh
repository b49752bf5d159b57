#!/usr/bin/env bash
# Ends what demo.sh started: the cluster with all that runs in it, pipe's background processes, the registry of base images.
# What took long to make is kept: programs, images, build cache.
set -euo pipefail
cd "$(dirname "$0")/.."

export PIPE_HOME=${PIPE_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/pipe}
status=0
if [ -x bin/pipe-cluster ]; then
	bin/pipe-cluster down --dir "$PIPE_HOME/cluster" || status=1
fi
if [ -x bin/pipe ]; then
	bin/pipe daemon stop || status=1
fi
if [ -x bin/images ]; then
	bin/images down -dir "$PIPE_HOME/demo/images" || status=1
fi
exit $status
