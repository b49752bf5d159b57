#!/usr/bin/env bash
# Runs examples/shop on the local stack: builds what is missing, makes base images where no registry can be reached, lets
# pipe build and deploy the shop, and fetches its page. Run again, it finds everything unchanged.
set -euo pipefail
cd "$(dirname "$0")/.."

export PIPE_HOME=${PIPE_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/pipe}
demo=$PIPE_HOME/demo

say() { printf '\n== %s\n' "$*" >&2; }

[ -x bin/pipe ] || make build
[ -x bin/pipe-cluster ] || make cluster
mkdir -p "$demo"

say "base images"
go build -C examples/images -o ../../bin/images .
set=()
params=$(bin/images up -dir "$demo/images")
while read -r param; do
	[ -z "$param" ] || set+=(--set "$param")
done <<<"$params"

# The key that the web page shows to the API: made once, kept where only we can read it.
if [ ! -s "$demo/secrets.env" ]; then
	(umask 077 && printf 'API_KEY=%s\n' "$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" >"$demo/secrets.env")
fi

say "pipe run --local --env demo --wait-lock ${set[*]} --secrets $demo/secrets.env examples/shop/Pipelinefile"
start=${EPOCHREALTIME//[.,]/}
# A run that was killed holds its environment for a moment longer: the next one waits.
bin/pipe run --local --env demo --wait-lock "${set[@]}" --secrets "$demo/secrets.env" "$@" examples/shop/Pipelinefile
ms=$(((${EPOCHREALTIME//[.,]/} - start) / 1000))
say "$(printf 'pipe took %d.%03d s' $((ms / 1000)) $((ms % 1000)))"

kubeconfig=$PIPE_HOME/cluster/kubeconfig
if [ "$(bin/pipe-cluster status --dir "$PIPE_HOME/cluster" -o json | sed -n 's/^ *"node": "\(.*\)".*/\1/p')" = simulated ]; then
	cat <<-END

		The node of this cluster is simulated: releases, rollouts and readiness are real Kubernetes, but pods are marked ready
		without being run, so there is no page to look at. Run "make demo" as root on Linux for real pods.
	END
else
	go build -o bin/visit ./examples/shop/visit
	echo
	bin/visit -kubeconfig "$kubeconfig" -namespace shop-demo -service web
fi
cat <<-END

	Again           make demo            all services are unchanged
	Another title   scripts/demo.sh --set "title=Tea & Tools"    only web is deployed
	Its objects     KUBECONFIG=$kubeconfig kubectl -n shop-demo get all
	Stop it all     make demo-stop
END
